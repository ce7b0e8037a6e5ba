"""`ca_certificate` of HTTP tasks: whom it makes believable, for which name, and what is no certificate."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from tasks.http_call import HttpCaller, HttpRequest
from tasks.http_trust import MOST
from tasks.model import Done, Failed, Limits, Outcome
from tasks.report import Report
from tasks.store import Store
from tests.api import make_api
from tests.certificates import Authority, private_key
from tests.http_server import Server, answer
from tests.make import http_body


@pytest.fixture(scope="module")
def root() -> Authority:
    return Authority("Inner Root")


@pytest.fixture(scope="module")
def between(root: Authority) -> Authority:
    return Authority("Inner Workshop", root)


@contextmanager
def serving(context: ssl.SSLContext) -> Iterator[Server]:
    with Server(lambda _seen, _connection: answer("hello"), tls=context) as server:
        yield server


def call(url: str, **fields: Any) -> Outcome:
    caller = HttpCaller(allowed_networks=[ip_network("127.0.0.0/8")], max_response_bytes=10_000)
    limits = Limits(timeout=10, max_result_bytes=100_000)
    return caller.call(HttpRequest(api_url=url, **fields), limits=limits, report=Report(0))


def refused(outcome: Outcome) -> str:
    assert isinstance(outcome, Failed), outcome
    assert outcome.code == "tls_failed"
    return outcome.message


def test_who_is_signed_by_the_named_authority_is_believed_and_nobody_else(root: Authority, tmp_path: Path) -> None:
    context, _ = root.server(tmp_path, "localhost")
    with serving(context) as server:
        url = server.url(host="localhost")
        assert isinstance(call(url, ca_certificate=root.pem), Done)
        assert isinstance(call(url, ca_certificate=f"Inner root, 2026:\r\n{root.pem}\n\n# end"), Done)
        assert "not accepted" in refused(call(url))
        assert "not accepted" in refused(call(url, ca_certificate=Authority("Inner Root").pem))
        assert len(server.seen) == 2


def test_the_name_must_still_fit(root: Authority, tmp_path: Path) -> None:
    context, _ = root.server(tmp_path, "inner.example.com")
    with serving(context) as server:
        assert "localhost" in refused(call(server.url(host="localhost"), ca_certificate=root.pem))
        assert server.seen == []


def test_an_authority_in_between_and_the_server_itself_can_be_named(
    root: Authority, between: Authority, tmp_path: Path
) -> None:
    context, own = between.server(tmp_path, "localhost")
    with serving(context) as server:
        url = server.url(host="localhost")
        for believed in (root.pem, between.pem, own, Authority("Other").pem + between.pem):
            assert isinstance(call(url, ca_certificate=believed), Done)


def test_a_redirect_is_held_to_the_same_authority(root: Authority, tmp_path: Path) -> None:
    ours, _ = root.server(tmp_path, "localhost")
    theirs, _ = Authority("Other").server(tmp_path, "localhost")
    with serving(ours) as good, serving(theirs) as bad:
        for server, believed in ((good, True), (bad, False)):
            there = server.url(host="localhost")
            with Server(lambda _seen, _connection, there=there: answer(status=302, location=there)) as first:  # type: ignore[misc]
                outcome = call(first.url(), ca_certificate=root.pem)
            assert isinstance(outcome, Done) is believed
        assert bad.seen == []


def test_what_the_operator_trusts_is_not_believed_beside_the_named_one(
    root: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "trusted.pem"
    file.write_text(root.pem, encoding="ascii")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    context, _ = root.server(tmp_path, "localhost")
    with serving(context) as server:
        url = server.url(host="localhost")
        assert isinstance(call(url), Done)
        refused(call(url, ca_certificate=Authority("Other").pem))


BODY = "MIIBszCCAVmgAwIBAgIUAAAA"
BAD = {
    "nothing in it": "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----",
    "text": "inner-ca.pem",
    "a path": "/etc/ssl/certs/ca-certificates.crt",
    "damaged": f"-----BEGIN CERTIFICATE-----\n{BODY}\n-----END CERTIFICATE-----",
    "no Base64": "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----",
    "cut off": f"-----BEGIN CERTIFICATE-----\n{BODY}",
    "a request for one": f"-----BEGIN CERTIFICATE REQUEST-----\n{BODY}\n-----END CERTIFICATE REQUEST-----",
    "not ASCII": "-----BEGIN CERTIFICATE-----\né\n-----END CERTIFICATE-----",
    "half a pair": "-----BEGIN CERTIFICATE-----\n\ud800\n-----END CERTIFICATE-----",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_what_is_no_certificate_is_refused_with_a_reason(text: str) -> None:
    caller = HttpCaller(allowed_networks=[], max_response_bytes=1000)
    (problem,) = caller.problems(HttpRequest(api_url="https://a.example/", ca_certificate=text))
    assert (problem.pointer, problem.code) == ("/ca_certificate", "bad_certificate")
    assert text not in problem.message


def test_a_good_one_does_not_hide_a_bad_one(root: Authority) -> None:
    caller = HttpCaller(allowed_networks=[], max_response_bytes=1000)
    for text, told in (
        (root.pem + BAD["damaged"], "Certificate 2 of 2"),
        (root.pem + private_key(), "private key"),
        (root.pem * (MOST + 1), f"at most {MOST}"),
    ):
        (problem,) = caller.problems(HttpRequest(api_url="https://a.example/", ca_certificate=text))
        assert told in problem.message


@pytest.mark.parametrize("kind", ["RSA PRIVATE KEY", "PRIVATE KEY", "rsa private key", "ENCRYPTED PRIVATE  KEY"])
def test_a_private_key_is_told_from_certificates_however_it_is_written(root: Authority, kind: str) -> None:
    caller = HttpCaller(allowed_networks=[], max_response_bytes=1000)
    text = f"{root.pem}----BEGIN {kind}----\nc2VjcmV0\n"
    (problem,) = caller.problems(HttpRequest(api_url="https://a.example/", ca_certificate=text))
    assert "private key" in problem.message


def test_beginnings_are_counted_before_their_ends_are_looked_for() -> None:
    # Looking for the end of each took a second for one of these, and a request may hold fifteen.
    caller = HttpCaller(allowed_networks=[], max_response_bytes=1000)
    text = "-----BEGIN CERTIFICATE-----" * 2_000
    (problem,) = caller.problems(HttpRequest(api_url="https://a.example/", ca_certificate=text))
    assert problem.message == f"Give at most {MOST} certificates."


def test_the_api_says_so_at_submission_and_shows_what_was_accepted(
    root: Authority, store: Store, tmp_path: Path
) -> None:
    api = make_api(store, tmp_path, http_allow_unverified_tls=True)
    try:
        stored = api.post("/api/tasks", http_body(ca_certificate=root.pem))
        assert (stored.status_code, stored.json["ca_certificate"]) == (201, root.pem)
        bad = api.post("/api/tasks", http_body(ca_certificate=BAD["text"], verify_tls=False))
        assert bad.status_code == 422
        assert {each["code"] for each in bad.json["errors"]} == {"bad_certificate", "conflict"}
        large = api.post("/api/tasks", http_body(ca_certificate="x" * 65_537))
        assert [each["code"] for each in large.json["errors"]] == ["too_large"]
    finally:
        api.close()
