"""The documents say what the code does."""

from __future__ import annotations

import ast
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import annotated_types
import pytest

from api import representation
from config.settings import Settings
from docs import generate
from tasks.base_tasks import KINDS, build_kinds
from tasks.model import Retry, Run, Status
from tasks.submission import CallbackFields, Parser, RetryFields, Submission
from tests.make import NOW, make_settings, make_task

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")])
REFERENCE = ROOT / "docs" / "reference"
GUIDE = ROOT / "tests" / "data" / "guide.zh.md"
#: The user's own guide, word for word.
GUIDE_SHA256 = "b7d4e785d3653f2e6e21f311168b0a6e1c230bbcbe2a90c7a97ec8813fa3c61e"


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(text: str, language: str = r"\w*") -> list[str]:
    """The fenced blocks of a page."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def rows(page: Path) -> Iterator[list[str]]:
    """The cells of every row of every table that begins with a code word."""
    for line in text_of(page).splitlines():
        if line.startswith("| "):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def words(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


# --- settings ----------------------------------------------------------------------------------------------------

SETTINGS = {words(cells[0])[0]: cells for cells in rows(REFERENCE / "settings.md") if words(cells[0])}


def test_the_page_of_settings_has_every_setting_and_no_other() -> None:
    assert set(SETTINGS) == {name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_a_setting_is_documented_with_its_default(name: str) -> None:
    default = Settings.model_fields[name].default
    said = SETTINGS[name.upper()][1]
    if default is None:
        assert said.endswith("none")
    elif default == ():
        assert said == "empty"
    elif isinstance(default, tuple):
        assert said == ",".join(map(str, default))
    elif isinstance(default, bool):
        assert said == str(default).lower()
    elif isinstance(default, int | float):
        assert float(said) == default
    elif isinstance(default, Path):
        assert Path(said) == default
    else:
        assert said == str(default)


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_a_setting_is_documented_with_its_bounds(name: str) -> None:
    bounds = Settings.model_fields[name].metadata
    allowed = SETTINGS[name.upper()][2]
    least = [bound.ge for bound in bounds if isinstance(bound, annotated_types.Ge)]
    above = [bound.gt for bound in bounds if isinstance(bound, annotated_types.Gt)]
    most = [bound.le for bound in bounds if isinstance(bound, annotated_types.Le)]
    if least and most:
        assert allowed == f"{least[0]} to {most[0]}"
    elif above and most:
        assert allowed == f"more than {above[0]}, at most {most[0]}"
    elif least:
        assert allowed == f"at least {least[0]}"


# --- errors ------------------------------------------------------------------------------------------------------


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted([*(ROOT / folder).rglob("*.py"), *(ROOT / folder).rglob("*.lua")])


def literal(node: ast.AST | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def codes_of(path: Path) -> Iterator[str]:
    """The codes that a module names: `code="…"`, a class's `code = "…"`, and BadRequest's second argument."""
    for node in ast.walk(ast.parse(text_of(path))):
        found: list[ast.AST | None] = []
        if isinstance(node, ast.Call):
            found += [keyword.value for keyword in node.keywords if keyword.arg == "code"]
            if isinstance(node.func, ast.Name) and node.func.id in ("BadRequest", "_problem") and len(node.args) > 1:
                found.append(node.args[1])
        elif isinstance(node, ast.ClassDef):
            found += [
                each.value
                for each in node.body
                if isinstance(each, ast.Assign) and [getattr(target, "id", "") for target in each.targets] == ["code"]
            ]
        yield from (code for each in found if (code := literal(each)))


def documented() -> set[str]:
    """The codes and reasons in the tables of the page of errors."""
    found = set()
    for cells in rows(REFERENCE / "errors.md"):
        place = 1 if cells[0].isdigit() else 0
        found.update(words(cells[place]))
    return found


def test_every_code_that_the_code_names_is_documented() -> None:
    named = {code: path for path in sources("api", "tasks") if path.suffix == ".py" for code in codes_of(path)}
    missing = {code: path.name for code, path in named.items() if code not in documented()}
    assert {code: place for code, place in missing.items() if code != "service_error"} == {}


def test_no_code_is_documented_that_the_code_does_not_know() -> None:
    known = "\n".join(text_of(path) for path in sources("api", "tasks"))
    assert [code for code in sorted(documented()) if not re.search(rf"""["']{re.escape(code)}["']""", known)] == []


# --- the API -----------------------------------------------------------------------------------------------------

API = text_of(REFERENCE / "api.md")


def fields() -> Iterator[str]:
    for model in (Submission, RetryFields, CallbackFields, *(kind.Spec for kind in KINDS)):
        yield from (field.alias or name for name, field in model.model_fields.items())


@pytest.mark.parametrize("name", sorted(set(fields())))
def test_every_field_of_a_submission_is_documented(name: str) -> None:
    assert name in [word for cells in rows(REFERENCE / "api.md") for word in words(cells[0])]


def test_every_field_of_an_answer_is_documented() -> None:
    run = representation.run_detail(_run())
    task = representation.task_detail(make_task(retry=Retry(max=1), expires_in=5, last_run=_run()), ())
    often = representation.task_detail(make_task(task_type="scheduled"), ())
    shown = {*run, *task, *often, *(run["attempts"][0] if run["attempts"] else ())}
    assert [name for name in sorted(shown) if f'"{name}"' not in API and f"`{name}`" not in API] == []


def _run() -> Run:
    return Run(id="t.1", task_id="t", number=1, status=Status.RUNNING, due_at=NOW, attempt=1, started_at=NOW)


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    """The OpenAPI document."""
    return generate.description()


def test_every_call_and_every_shape_in_the_page_is_what_the_description_of_the_api_makes_it(
    described: dict[str, Any],
) -> None:
    assert generate.api(API, described) == API, "docs/reference/api.md is dated: run python -m docs.generate"


def test_every_field_that_is_sent_has_a_meaning(described: dict[str, Any]) -> None:
    shapes = described["components"]["schemas"]
    sent = [
        name
        for name in shapes
        if name.startswith("Submit") or name in ("TaskEdit", "PreviewFields", "RetryFields", "CallbackFields")
    ]
    missing = [
        f"{name}.{field}"
        for name in sent
        for field, schema in shapes[name]["properties"].items()
        if not schema.get("description")
    ]
    assert missing == []


BOUNDS = ("minimum", "maximum", "maxLength", "maxItems", "maxProperties")


def bounds_of(schema: dict[str, Any]) -> Iterator[int]:
    """The numbers that bound a field, but for those that go without saying."""
    for part in (schema, *schema.get("anyOf", ())):
        yield from (part[name] for name in BOUNDS if 1 < part.get(name, 0) < 100_000_000)


def written_fields() -> Iterator[tuple[str, list[str]]]:
    """The fields in the tables that people wrote about submissions, and the cells of their rows."""
    written = API[API.index("## POST /api/tasks") : API.index("## POST /api/tasks/batch")]
    for line in written.splitlines():
        if line.startswith("| `"):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            yield from ((name, cells) for name in words(cells[0]))


@pytest.mark.parametrize(("name", "cells"), list(written_fields()), ids=[name for name, _ in written_fields()])
def test_what_people_wrote_about_a_field_is_what_the_description_says(
    described: dict[str, Any], name: str, cells: list[str]
) -> None:
    shapes = described["components"]["schemas"]
    holders = [
        shape
        for key, shape in shapes.items()
        if key.startswith(("Submit", "RetryFields", "CallbackFields")) and name in shape.get("properties", {})
    ]
    assert holders, f"there is no field {name}"
    schema = holders[0]["properties"][name]
    plain = " ".join(cells).replace(",", "")
    assert [bound for bound in bounds_of(schema) if str(bound) not in plain] == []
    if len(cells) == 3:
        assert (cells[1] == "needed") is all(name in shape["required"] for shape in holders)
        default = schema.get("default")
        if default is not None:
            shown = f"{default:g}" if isinstance(default, float) else str(default)
            assert cells[1].strip("`").lower() == shown.lower()


def test_every_json_block_is_json() -> None:
    for page in PAGES:
        for block in blocks(text_of(page), "json"):
            json.loads(block)


def submissions() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every body in the documents that is sent to make a task."""
    for page in PAGES:
        text = text_of(page)
        found = blocks(text, "json") + re.findall(r"-d '(\{.*?\})'", text, re.DOTALL)
        for number, body in enumerate(found):
            value = json.loads(body)
            is_of_another_kind = "checksum_of" in value
            if isinstance(value, dict) and "task_type" in value and "id" not in value and not is_of_another_kind:
                yield f"{page.relative_to(ROOT)}-{number}", value


@pytest.fixture(scope="module")
def parser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parser]:
    settings = make_settings(tmp_path_factory.mktemp("parser"), http_allowed_networks="10.0.0.0/8,192.168.0.0/16")
    kinds = build_kinds(settings)
    yield Parser(kinds, settings)
    for kind in kinds.values():
        kind.close()


@pytest.mark.parametrize(("place", "body"), list(submissions()), ids=[place for place, _ in submissions()])
def test_every_example_of_a_submission_is_accepted(parser: Parser, place: str, body: dict[str, Any]) -> None:
    assert parser.parse(body, NOW).task.name == body["name"]


# --- pages and links ---------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()) for heading in headings]
    return {heading.strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_anchors_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL)
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", text):
        if "://" in target or target.startswith("mailto:"):
            continue
        there = page.parent / target if target else page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there), f"{target}#{anchor}"


def test_the_page_of_states_is_what_the_table_of_moves_makes_it() -> None:
    assert text_of(ROOT / "docs" / "explain" / "states.md") == generate.states()


# --- attacks -----------------------------------------------------------------------------------------------------

ATTACKS = [cells for cells in rows(ROOT / "docs" / "explain" / "security.md") if len(cells) == 3 and "](" in cells[2]]


@pytest.mark.parametrize("cells", ATTACKS, ids=[cells[0][:40] for cells in ATTACKS])
def test_every_attack_in_the_table_is_held_by_the_tests_that_it_names(cells: list[str]) -> None:
    for part in cells[2].split("; "):
        found = re.fullmatch(r"\[(\w+)\]\(([^)]+)\): (.+)", part)
        assert found, part
        name, path, tests = found.groups()
        file = (ROOT / "docs" / "explain" / path).resolve()
        assert file.stem == name
        there = {node.name for node in ast.walk(ast.parse(text_of(file))) if isinstance(node, ast.FunctionDef)}
        assert words(tests)
        assert [test for test in words(tests) if test not in there] == []


def test_the_attacks_that_we_promised_to_try_are_in_the_table() -> None:
    told = " ".join(cell for cells in ATTACKS for cell in cells).lower()
    promised = (
        *("forged", "alg: none", "wrong key", "another owner", "higher role", "encodings", "redirects", "rebinding"),
        *("ipv6", "proxies", "smuggling", "1,000 slow", "depth", "doubled names", "huge numbers", "log", "path tricks"),
        "time that a login takes",
    )
    assert [word for word in promised if word not in told] == []
    assert len(ATTACKS) > 20


# --- the guide and the two readmes -------------------------------------------------------------------------------


def test_the_guide_is_the_users_own_word_for_word() -> None:
    assert hashlib.sha256(GUIDE.read_bytes()).hexdigest() == GUIDE_SHA256


def test_the_chinese_readme_holds_every_command_of_the_guide() -> None:
    lines = {line.strip() for line in text_of(ROOT / "README.zh-CN.md").splitlines()}
    missing = [
        line.strip()
        for block in blocks(text_of(GUIDE), "bash")
        for line in block.splitlines()
        if line.strip() and not line.lstrip().startswith("#") and line.strip() not in lines
    ]
    assert missing == []


def without_comments(block: str) -> list[str]:
    lines = [re.sub(r"\s+#.*", "", line).rstrip() for line in block.splitlines()]
    return [line for line in lines if line and not line.lstrip().startswith("#")]


def test_both_readmes_have_the_same_commands() -> None:
    english, chinese = (blocks(text_of(ROOT / name), "bash") for name in ("README.md", "README.zh-CN.md"))
    assert [without_comments(block) for block in english] == [without_comments(block) for block in chinese]


# --- a new kind, as the page says --------------------------------------------------------------------------------

USE = """
import json, sys
from pathlib import Path
from tasks.base_tasks import build_kinds
from tasks.store import Store
from tasks.task_manager import TaskManager
from tasks.worker import Worker
from config.settings import load

class Bell:
    letters = None

    def ring(self, run_ids, priority=None):
        self.rung = list(run_ids)

settings, store, bell = load(), Store(sys.argv[1], timeout=5), Bell()
kinds = build_kinds(settings)
manager = TaskManager(store=store, bell=bell, kinds=kinds, settings=settings)
task = manager.submit(json.loads(sys.argv[2]))
worker = Worker(store=store, kinds=kinds, settings=settings, ring=bell.ring)
worker.hear(bell.rung[0])
task = manager.get(task.id)
print(json.dumps([task.kind, task.status, task.last_run.result, task.last_run.stdout]))
"""


def test_a_kind_is_added_as_its_page_says(redis_url: str, tmp_path: Path) -> None:
    page = text_of(ROOT / "docs" / "howto" / "add-a-kind.md")
    imports, kind, entry = blocks(page, "python")
    (body,) = re.findall(r"-d '(\{.*?\})'", page, re.DOTALL)
    for folder in ("config", "tasks"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    module = tmp_path / "tasks" / "base_tasks.py"
    source = module.read_text(encoding="utf-8")
    source = source.replace("from typing import", f"{imports}\nfrom typing import", 1)
    before, _, after = source.partition("#: Every kind there is.\n")
    module.write_text(f"{before}{kind}\n\n{entry}\n{after.partition(chr(10))[2]}", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", USE, redis_url, body],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "DATA_DIR": str(tmp_path / "var"), "LOG_DIR": str(tmp_path / "logs")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    digest = hashlib.sha256(json.loads(body)["checksum_of"].encode()).hexdigest()
    assert json.loads(done.stdout) == ["checksum", "succeeded", digest, "1 rounds of sha256\n"]
