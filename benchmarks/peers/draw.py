"""Draws what `python -m benchmarks curves` measured. `python draw.py FILE FOLDER`."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
# Text stays text, and the same figures make the same file.
mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "tms", "font.size": 10})

from matplotlib import pyplot as plt  # noqa: E402

found = json.loads(Path(sys.argv[1]).read_text("utf-8"))
folder = Path(sys.argv[2])
subtitle = f"{found['machine']}, {found['at']}, load {found['load']:.0f} at the start"


def axes(title: str) -> tuple:
    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    axis.set_title(f"{title}\n{subtitle}", fontsize=10)
    axis.grid(alpha=0.3)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    return figure, axis


def save(figure: plt.Figure, axis: plt.Axes, name: str) -> None:
    axis.legend(frameon=False)
    figure.savefig(folder / name, metadata={"Date": None, "Creator": None})


figure, axis = axes("POST /api/tasks a second, by connections: median, least and most")
for name, rates in found["rates"].items():
    many = [int(number) for number in rates]
    axis.plot(many, [statistics.median(all_) for all_ in rates.values()], marker="o", label=name)
    axis.fill_between(many, [min(all_) for all_ in rates.values()], [max(all_) for all_ in rates.values()], alpha=0.15)
axis.set_xscale("log", base=2)
axis.set_xticks(many, [str(number) for number in many])
axis.set_ylim(bottom=0)
axis.set_xlabel("connections")
axis.set_ylabel("POST/s")
save(figure, axis, "rate.svg")

figure, axis = axes("From POST to the end seen, one connection; ours in the sandbox")
for name, times in found["latencies"].items():
    ordered = sorted(times)
    axis.plot(ordered, [(place + 1) / len(ordered) * 100 for place in range(len(ordered))], label=name)
axis.set_xscale("log")
axis.set_xlabel("milliseconds")
axis.set_ylabel("% of tasks within")
save(figure, axis, "latency.svg")
