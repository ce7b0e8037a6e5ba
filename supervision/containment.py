"""What `start.py` says of the sandbox: the layers in force in the workers, or why no code is run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: What each layer of `/api/health` is called in the line.
NAMES = {
    "seccomp": "seccomp",
    "rlimits": "rlimits",
    "no_new_privs": "no_new_privs",
    "landlock": "Landlock",
    "uid_drop": "own user",
    "pdeathsig": "death with the parent",
}


def line(health: Mapping[str, Any]) -> str:
    """One line for a person, from what `/api/health` answers."""
    told = [worker.get("sandbox", {}) for worker in health.get("workers", ())]
    refusing = next((each for each in told if not each.get("available")), None)
    if refusing is not None:
        return f"sandbox   NOT there: code tasks are refused, HTTP tasks go on. {refusing.get('reason', '')}".rstrip()
    if not told:
        return "sandbox   unknown: no worker has told of it yet; see /api/health"
    layers: Mapping[str, Any] = told[0].get("layers", {})
    there = [_shown(layer, layers[layer]) for layer in NAMES if layers.get(layer)]
    missing = [NAMES[layer] for layer in NAMES if layers.get(layer) is False]
    return f"sandbox   holds   {', '.join(there)}" + (f"; without {', '.join(missing)}" if missing else "")


def _shown(layer: str, value: Any) -> str:
    return f"Landlock ABI {value}" if layer == "landlock" else NAMES[layer]
