"""What is refused of an HTTP task when it is submitted, without any network."""

from __future__ import annotations

import math
import socket
from ipaddress import ip_network
from typing import Any

import pytest

from tasks.http_call import HttpCaller, HttpRequest
from tasks.http_request import first_hop, full_url, same_origin

PUBLIC = "https://api.example.com/v1?x=1"


@pytest.fixture(autouse=True)
def _no_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(*_args: object) -> None:
        raise AssertionError("a submission must not ask DNS")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)


def problems(**fields: Any) -> list[tuple[str, str]]:
    caller = HttpCaller(allowed_networks=[ip_network("10.1.0.0/16"), ip_network("fd00::/8")], max_response_bytes=1000)
    found = caller.problems(HttpRequest(**{"api_url": PUBLIC, **fields}))
    assert all(one.message.endswith(".") and len(one.message) < 200 for one in found)
    return [(one.pointer, one.code) for one in found]


@pytest.mark.parametrize(
    "url",
    [
        PUBLIC, "HTTP://Example.COM", "http://example.com:8080/a%20b?c=%2F#d", "http://8.8.8.8/", "http://[2606:4700::1]/",
        "http://例子.中国/路径?查询=值", "http://example.com./", "http://10.1.2.3:9/",
        "http://[fd00::1]/", "http://example.com:/", "http://a-b.example.com/100%",
    ],
)  # fmt: skip
def test_a_sound_url_is_accepted(url: str) -> None:
    assert problems(api_url=url) == []


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("", "bad_scheme"),
        ("example.com", "bad_scheme"),
        ("//example.com/", "bad_scheme"),
        ("file:///etc/passwd", "bad_scheme"),
        ("ftp://example.com/", "bad_scheme"),
        ("gopher://example.com/", "bad_scheme"),
        ("javascript:alert(1)", "bad_scheme"),
        ("http://", "no_host"),
        ("http:///path", "no_host"),
        ("http:example.com", "no_host"),
        ("http://:80/", "no_host"),
        ("http://user:pw@example.com/", "credentials_in_url"),
        ("http://@example.com/", "credentials_in_url"),
        ("http://example.com@127.0.0.1/", "credentials_in_url"),
        ("http://example.com\\@127.0.0.1/", "bad_url"),
        ("http://example.com/a b", "bad_url"),
        (" http://example.com/", "bad_url"),
        ("http://example.com/\r\nX: y", "bad_url"),
        ("http://exa\tmple.com/", "bad_url"),
        ("http://example.com/\x00", "bad_url"),
        ("http://example.com/\x7f", "bad_url"),
        ("http://example.com/\ud800", "bad_url"),
        ("http://[::1", "bad_url"),
        ("http://[zz]/", "bad_url"),
        ("http://example.com:0/", "bad_port"),
        ("http://example.com:65536/", "bad_port"),
        ("http://example.com:-1/", "bad_port"),
        ("http://example.com:x/", "bad_port"),
        ("http://a..b/", "bad_host"),
        ("http://a_b.com/", "bad_host"),
        ("http://-a.com/", "bad_host"),
        ("http://%31%32%37.0.0.1/", "bad_host"),
        ("http://[fe80::1%25eth0]/", "bad_host"),
        ("http://1.2.3/", "bad_host"),
        ("http://134744072/", "bad_host"),
        ("http://256.256.256.256/", "bad_host"),
        ("http://" + "a" * 300 + ".com/", "bad_host"),
        ("http://" + "例" * 200 + ".com/", "bad_host"),
        ("http://example.com/" + "a" * 9000, "url_too_long"),
    ],
)
def test_an_unsound_url_is_refused_with_its_reason(url: str, code: str) -> None:
    assert problems(api_url=url) == [("/api_url", code)]


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("", "x", "bad_header_name"),
        ("X Y", "x", "bad_header_name"),
        ("X:Y", "x", "bad_header_name"),
        ("X\r\nY", "x", "bad_header_name"),
        ("Näme", "x", "bad_header_name"),
        ("X-A", "a\r\nX-B: c", "bad_header_value"),
        ("X-A", "a\nb", "bad_header_value"),
        ("X-A", "a\0b", "bad_header_value"),
        ("X-A", "a\x7f", "bad_header_value"),
        ("X-A", "中文", "bad_header_value"),
        ("X-A", "\ud800", "bad_header_value"),
        ("Host", "internal", "header_not_allowed"),
        ("content-length", "1", "header_not_allowed"),
        ("Transfer-Encoding", "chunked", "header_not_allowed"),
        ("Connection", "keep-alive", "header_not_allowed"),
        ("TE", "trailers", "header_not_allowed"),
        ("Upgrade", "h2c", "header_not_allowed"),
        ("Expect", "100-continue", "header_not_allowed"),
        ("Proxy-Authorization", "x", "header_not_allowed"),
    ],
)
def test_a_header_that_could_smuggle_or_mislead_is_refused(name: str, value: str, code: str) -> None:
    assert problems(headers={name: value}) == [(f"/headers/{name}", code)]


def test_a_header_is_pointed_at_by_json_pointer_and_its_value_is_not_repeated() -> None:
    caller = HttpCaller(allowed_networks=[], max_response_bytes=1000)
    found = caller.problems(HttpRequest(api_url=PUBLIC, headers={"a/b~c": "hunter2\n", "X-Key": "hunter2\n"}))
    assert [one.pointer for one in found] == ["/headers/a~1b~0c", "/headers/X-Key"]
    assert not any("hunter2" in one.message for one in found)


def test_a_header_given_twice_in_different_case_is_refused() -> None:
    assert problems(headers={"X-A": "1", "x-a": "2"}) == [("/headers/x-a", "repeated_header")]


def test_latin_1_and_tabs_are_fine_in_a_header_value() -> None:
    assert problems(headers={"X-A": "caf\xe9\tau lait", "Authorization": "Bearer x"}) == []


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "GE T", "GET\r\n", "", "获取"])
def test_other_methods_are_refused(method: str) -> None:
    assert problems(method=method) == [("/method", "bad_method")]


@pytest.mark.parametrize("value", [math.nan, math.inf, "\ud800", [1, "\udfff"], {1, 2}, b"x", {("a",): 1}])
def test_json_that_no_receiver_could_read_is_refused(value: Any) -> None:
    assert problems(json=value) == [("/json", "bad_json")]


def test_json_and_body_exclude_each_other_even_where_the_json_is_null() -> None:
    assert problems(json=None, body="x") == [("/body", "conflict")]
    assert problems(json=None) == []
    assert problems(body="\ud800") == [("/body", "bad_text")]


@pytest.mark.parametrize("value", [None, {"a": 1}, math.nan, [[1]], [None], "\ud800"])
def test_a_parameter_is_a_plain_value_or_a_list_of_them(value: Any) -> None:
    assert problems(params={"a/b": value}) == [("/params/a~1b", "bad_param")]


def test_a_url_that_its_parameters_make_too_long_is_refused() -> None:
    assert problems(params={"a": "b" * 9000}) == [("/params", "url_too_long")]


@pytest.mark.parametrize("status", ["2x", "20", "600", 99, 1000, "xx", "2xxx", True])
def test_an_expected_status_that_cannot_come_is_refused(status: Any) -> None:
    assert problems(expected_status=("200", status)) == [("/expected_status/1", "bad_status")]


def test_all_problems_are_reported_together() -> None:
    found = problems(api_url="ftp://x/", method="X", headers={"Host": "a"}, json=1, body="", expected_status=("x",))
    assert [pointer for pointer, _ in found] == ["/api_url", "/method", "/headers/Host", "/body", "/expected_status/0"]


@pytest.mark.parametrize(
    ("here", "there", "same"),
    [
        ("http://a/x", "http://a:80/y", True), ("http://a/", "https://a/", True), ("https://a/", "http://a/", False),
        ("http://a/", "http://b/", False), ("http://a:81/", "https://a/", False), ("http://A/", "http://a/", True),
    ],
)  # fmt: skip
def test_an_origin_is_scheme_host_and_port_and_may_be_upgraded(here: str, there: str, same: bool) -> None:
    assert same_origin(here, there) is same


def test_the_query_is_kept_and_the_fragment_is_not_sent() -> None:
    request = HttpRequest(api_url="http://a?x=%2F#top", params={"y": False})
    assert full_url(request) == "http://a/?x=%2F&y=false"
    assert first_hop(request, None).url == full_url(request)
