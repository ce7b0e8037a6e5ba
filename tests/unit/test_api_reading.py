"""Reading page by page and again: Link, ETag, If-None-Match."""

from __future__ import annotations

import re

import pytest

from tests.api import Api
from tests.make import code_body, end, take


def following(link: str | None) -> str | None:
    """The path in a Link header, None where there is none."""
    if link is None:
        return None
    found = re.fullmatch(r'<(/[^<>"\s]+)>; rel="next"', link)
    assert found, link
    return found[1]


def test_links_lead_through_all_tasks_while_more_arrive(api: Api) -> None:
    stored = [api.submit(name=f"一 & {number}")["id"] for number in range(7)]
    seen, path = [], following('</api/tasks?limit=2&name=%E4%B8%80+%26>; rel="next"')
    while path:
        page = api.get(path)
        assert page.status_code == 200, page.text
        seen += [task["id"] for task in page.json["tasks"]]
        assert (page.headers.get("Link") is None) == (page.json["next_cursor"] is None)
        path = following(page.headers.get("Link"))
        api.submit(name="一 & newer")
    assert seen == stored[::-1]


def test_links_lead_through_all_runs(api: Api) -> None:
    task = api.submit(task_type="scheduled", cron_expression="@daily", overlap="allow")
    runs = [api.call("POST", f"/api/tasks/{task['id']}/run").json["id"] for _ in range(5)]
    seen, path = [], f"/api/tasks/{task['id']}/runs?limit=2"
    while path:
        page = api.get(path)
        seen += [run["id"] for run in page.json["runs"]]
        path = following(page.headers.get("Link")) or ""
    assert seen == runs[::-1]


def test_what_has_not_changed_is_not_sent_again(api: Api) -> None:
    task = api.submit()
    for path in (f"/api/tasks/{task['id']}", f"/api/tasks/{task['id']}/runs/{task['id']}.1"):
        first = api.get(path)
        tag = first.headers["ETag"]
        assert re.fullmatch(r'"[^"]+"', tag)
        for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            again = api.get(path, headers={"If-None-Match": known})
            assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag), known
        assert api.call("HEAD", path, headers={"If-None-Match": tag}).status_code == 304
        assert first.headers["Cache-Control"] == "private, no-cache"
        before = api.get(path, headers={"If-None-Match": '"other"'})
        assert (before.status_code, before.json) == (200, first.json)


@pytest.mark.parametrize("path", ["/api/tasks/{0}", "/api/tasks/{0}/runs/{0}.1"])
def test_every_step_of_a_run_changes_the_tag(api: Api, path: str) -> None:
    path = path.format(api.submit()["id"])
    tags = [api.get(path).headers["ETag"]]
    claim = take(api.store)
    tags.append(api.get(path).headers["ETag"])
    end(api.store, claim)
    answer = api.get(path, headers={"If-None-Match": tags[-1]})
    assert (answer.status_code, answer.json["status"]) == (200, "succeeded")
    assert len({*tags, answer.headers["ETag"]}) == 3


def test_a_submission_with_if_none_match_is_no_reading(api: Api) -> None:
    answer = api.post("/api/tasks", code_body(), headers={"If-None-Match": "*"})
    assert answer.status_code == 201
    assert api.get("/api/tasks").headers.get("Link") is None
