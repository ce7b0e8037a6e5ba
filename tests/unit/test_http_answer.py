"""How the bytes of an answer become JSON data."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.http_answer import Answer


def content(body: bytes, kind: str = "", *, truncated: bool = False, max_bytes: int = 1 << 20) -> dict[str, Any]:
    headers = {"Content-Type": kind} if kind else {}
    answer = Answer(status=200, headers=headers, url="http://a/", body=body, truncated=truncated)
    value = answer.value(elapsed=0.1, max_bytes=max_bytes)
    return {name: value[name] for name in value if name in ("json", "body", "body_base64")}


@pytest.mark.parametrize(
    "kind", ["application/json", "application/problem+json; charset=utf-8", "text/json", "APPLICATION/JSON"]
)
def test_json_is_parsed_where_the_type_says_json(kind: str) -> None:
    assert content('{"a": "中"}'.encode(), kind) == {"json": {"a": "中"}}


def test_json_of_another_type_stays_text() -> None:
    assert content(b'{"a": 1}', "text/plain") == {"body": '{"a": 1}'}
    assert content(b'{"a": 1}') == {"body": '{"a": 1}'}


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"", b"[NaN]", b"[Infinity]", b"[1e999]", b'["\\ud800"]', b"[" * 5000 + b"]" * 5000,
        b"[" * 150 + b"]" * 150, b"1" * 5000,
    ],
)  # fmt: skip
def test_json_that_could_not_be_stored_and_read_again_is_given_as_text(body: bytes) -> None:
    assert content(body, "application/json") == {"body": body.decode()}


def test_json_in_another_charset_is_read() -> None:
    assert content('{"名": 1}'.encode("gbk"), "application/json; charset=GBK") == {"json": {"名": 1}}


@pytest.mark.parametrize(
    "charset", ["gbk", "gb2312", "gb18030", "big5", "utf-8", "utf-16", "UTF-16LE", "euc-jp", '"gbk"']
)
def test_text_is_read_in_the_charset_the_server_names(charset: str) -> None:
    assert content("中文字".encode(charset.strip('"')), f"text/html; charset={charset}") == {"body": "中文字"}


def test_utf16_that_does_not_say_its_byte_order_is_no_error() -> None:
    assert content(b"\0\0", "text/plain; charset=utf-16") == {"body": "\0\0"}


def test_text_without_a_charset_is_utf8_and_its_byte_order_mark_is_dropped() -> None:
    assert content(b"\xef\xbb\xbf" + "中".encode(), "text/html") == {"body": "中"}
    assert content(b"caf\xe9", "text/html") == {"body": "caf\ufffd"}


@pytest.mark.parametrize(
    "charset", ["punycode", "idna", "unicode_escape", "zlib_codec", "rot13", "utf-7", "no-such", "a\0b", "é"]
)
def test_codecs_that_are_no_charset_are_not_used(charset: str) -> None:
    assert content(b"a-b\\u0041", f"text/plain; charset={charset}") == {"body": "a-b\\u0041"}


def test_bytes_that_nothing_calls_text_are_given_in_base64() -> None:
    image = b"\x89PNG\r\n\x1a\n\xff\xfe"
    assert content(image, "image/png") == {"body_base64": base64.b64encode(image).decode()}
    assert content(image) == {"body_base64": base64.b64encode(image).decode()}


def test_a_character_cut_at_the_cap_leaves_no_rubbish() -> None:
    body = "中文".encode()
    assert content(body[:-1], truncated=True) == {"body": "中"}
    assert content(body[:-1], "text/plain; charset=utf-8", truncated=True) == {"body": "中"}
    assert content(b'{"a": 1}', "application/json", truncated=True) == {"body": '{"a": 1}'}


def test_base64_that_is_cut_can_still_be_decoded() -> None:
    cut = content(b"\xff" * 5000, "image/png", max_bytes=2000)["body_base64"]
    assert base64.b64decode(cut, validate=True) == b"\xff" * (len(cut) // 4 * 3)


def test_headers_past_their_cap_are_dropped_and_the_answer_is_marked() -> None:
    headers = {f"X-{number}": "v" * 1000 for number in range(90)}
    value = Answer(status=200, headers=headers, url="http://a/", body=b"", truncated=False).value(
        elapsed=0, max_bytes=1 << 20
    )
    assert 50 < len(value["headers"]) < 70
    assert value["truncated"] is True


@given(
    body=st.binary(max_size=3000),
    kind=st.sampled_from(
        ["", "application/json", "text/html", "image/png", "text/plain; charset=utf-16", "x; charset=gbk"]
    ),
    truncated=st.booleans(),
    max_bytes=st.integers(1024, 4000),
)
def test_any_answer_fits_in_its_bytes_and_can_be_stored(
    body: bytes, kind: str, truncated: bool, max_bytes: int
) -> None:
    answer = Answer(
        status=200, headers={"Content-Type": kind}, url="http://a/" + "u" * 900, body=body, truncated=truncated
    )
    value = answer.value(elapsed=1, max_bytes=max_bytes)
    stored = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    assert len(stored) <= max_bytes
    assert json.loads(stored) == value
    assert len({"json", "body", "body_base64"} & set(value)) == 1
