"""Every block of docs/howto/recipes.md does what it says, against a running service."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.service import ROOT, Service

PAGE = (ROOT / "docs" / "howto" / "recipes.md").read_text(encoding="utf-8")
PASSWORD = "right horse, wrong staple"
#: What a recipe prints, by its number, in whichever language; where curl shows other words than the others, both.
PRINTS = {
    1: r'succeeded 5 (None|null)|"result": 5',
    2: r"T18:30:00.000Z",
    3: r'scheduled.*"?next_run_at"?|scheduled 20\d\d-',
    4: r'20 stored|"name": "two"',
    5: r'succeeded 3\.14|"result": 3\.14',
    6: r"(?s)output.*end.*succeeded",
    7: r"[0-9a-f]{8}-[0-9a-f]{4}-",
    8: r"\d+ have succeeded|[0-9a-f-]{36} ",
    9: r"[1-9]\d* schedules are there again|nightly report",
    10: r"(?s)operator.*\d tasks|\"total\": 0",
}


def recipes() -> Iterator[tuple[int, str, str]]:
    """Number, language and text of every block."""
    for part in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        number = int(part.partition(".")[0])
        for language, text in re.findall(r"```(\w+)\n(.*?)```", part, re.DOTALL):
            yield number, language, text


RECIPES = list(recipes())


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that wants tokens."""
    service = Service(tmp_path_factory.mktemp("guarded"), AUTH_REQUIRED="true", ADMIN_PASSWORD=PASSWORD)
    try:
        service.start("redis", "api")
        yield service
    finally:
        service.stop()


@pytest.fixture(scope="module")
def busy(service: Service) -> Service:
    """The service with a task that has succeeded and a schedule, which some recipes look for."""
    service.submit(
        name="nightly report", task_type="scheduled", cron_expression="@daily", api_url="https://example.com/",
        tags=["nightly"],
    )  # fmt: skip
    service.finished(service.code("def f():\n    return 1")["id"])
    return service


def test_every_recipe_is_told_in_every_language() -> None:
    assert [(number, language) for number, language, _ in RECIPES] == [
        (number, language) for number in range(1, 11) for language in ("bash", "python", "javascript")
    ]


def command(language: str, text: str, folder: Path) -> list[str]:
    if language == "bash":
        return ["bash", "-euo", "pipefail", "-c", text]
    if language == "python":
        return [sys.executable, "-c", text]
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node on this machine")
    file = folder / "recipe.mjs"
    file.write_text(text, encoding="utf-8")
    return [node, str(file)]


@pytest.mark.parametrize(
    ("number", "language", "text"), RECIPES, ids=[f"{number}-{language}" for number, language, _ in RECIPES]
)
def test_a_recipe_does_what_it_says(
    busy: Service, request: pytest.FixtureRequest, tmp_path: Path, number: int, language: str, text: str
) -> None:
    address = request.getfixturevalue("guarded").url if "ADMIN_PASSWORD" in text else busy.url
    done = subprocess.run(
        command(language, text, tmp_path),
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "API": address, "ADMIN_PASSWORD": PASSWORD, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert re.search(PRINTS[number], done.stdout), done.stdout
    assert "urn:tms:problem" not in done.stdout
    if number == 7 and language == "bash":
        first, second = done.stdout.splitlines()
        assert first == second
