"""The documents say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from config.settings import Settings
from docs import generate

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")])
GUIDE = (ROOT / "tests" / "data" / "guide.zh.md").read_text(encoding="utf-8")


def blocks(text: str) -> list[str]:
    """The fenced blocks of a page."""
    return re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_is_documented(name: str) -> None:
    assert f"`{name.upper()}`" in (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), target


def test_the_chinese_readme_holds_every_command_of_the_guide() -> None:
    readme = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")
    lines = {line.strip() for line in readme.splitlines()}
    missing = [
        line.strip()
        for block in re.findall(r"```bash\n(.*?)```", GUIDE, re.DOTALL)
        for line in block.splitlines()
        if line.strip() and not line.lstrip().startswith("#") and line.strip() not in lines
    ]
    assert missing == []


def test_the_page_of_states_is_current() -> None:
    assert generate.__doc__
    page = (ROOT / "docs" / "explain" / "states.md").read_text(encoding="utf-8")
    for status in ("scheduled", "queued", "running", "retrying", "stopping", "succeeded", "lost", "skipped"):
        assert status in page
