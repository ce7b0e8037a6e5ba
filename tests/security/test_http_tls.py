"""TLS of HTTP tasks: which certificates are accepted, for which name, and what a failure is called."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from tasks.http_call import HttpCaller, HttpRequest
from tasks.model import Done, Failed, Limits, Outcome
from tasks.report import Report
from tests.http_server import Seen, Server, answer


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate that signs itself, for the name `localhost`, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)],
        check=True,
        capture_output=True,
        timeout=30,
    )  # fmt: skip
    return cert, key


@pytest.fixture
def secure(certificate: tuple[Path, Path]) -> Iterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    def script(seen: Seen, _connection: socket.socket) -> bytes:
        if seen.target.startswith("/to?"):
            return answer(status=302, location=seen.target.partition("?")[2])
        return answer("secret")

    with Server(script, tls=context) as server:
        server.names = []  # type: ignore[attr-defined]
        context.sni_callback = lambda _socket, name, _context: server.names.append(name)  # type: ignore[attr-defined]
        yield server


def call(url: str, **fields: Any) -> Outcome:
    caller = HttpCaller(allowed_networks=[ip_network("127.0.0.0/8")], max_response_bytes=10_000)
    limits = Limits(timeout=10, max_result_bytes=100_000)
    return caller.call(HttpRequest(api_url=url, **fields), limits=limits, report=Report(0))


def test_a_certificate_that_nobody_vouches_for_is_refused_for_good(secure: Server) -> None:
    outcome = call(secure.url(host="localhost"))
    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.permanent) == ("tls_failed", True)
    assert outcome.message == "The certificate of localhost was not accepted: self-signed certificate."
    assert secure.seen == []


def test_the_user_may_waive_the_check(secure: Server) -> None:
    outcome = call(secure.url(), verify_tls=False)
    assert isinstance(outcome, Done)
    assert outcome.value["body"] == "secret"


def test_a_certificate_that_the_operator_trusts_counts_for_its_name_only(
    secure: Server, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    trusted, mismatched = call(secure.url(host="localhost")), call(secure.url(host="127.0.0.1"))
    assert isinstance(trusted, Done)
    assert isinstance(mismatched, Failed)
    assert (mismatched.code, mismatched.permanent) == ("tls_failed", True)
    assert "127.0.0.1" in mismatched.message
    assert secure.names[0] == "localhost"  # type: ignore[attr-defined]
    assert len(secure.seen) == 1


def test_the_certificate_must_be_for_the_name_and_not_for_the_address_it_leads_to(
    secure: Server, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    row = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", secure.port))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args: [row])
    outcome = call(secure.url(host="other.example.com"))
    assert isinstance(outcome, Failed)
    assert outcome.code == "tls_failed"
    assert "other.example.com" in outcome.message
    assert secure.names == ["other.example.com"]  # type: ignore[attr-defined]
    assert secure.seen == []


def test_a_server_without_tls_is_a_tls_failure_worth_another_try() -> None:
    # It answers whatever comes first, as servers do; a ClientHello may hold no end of a line to wait for.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        plain = threading.Thread(target=_answer_without_tls, args=(listener,), daemon=True)
        plain.start()
        outcome = call(f"https://127.0.0.1:{listener.getsockname()[1]}/", verify_tls=False)
        plain.join(10)
    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.permanent) == ("tls_failed", False)


def _answer_without_tls(listener: socket.socket) -> None:
    listener.settimeout(10)
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(answer(status=400))


def test_a_redirect_from_https_to_http_is_refused(secure: Server) -> None:
    with Server(lambda _seen, _connection: answer()) as plain:
        outcome = call(secure.url(f"/to?{plain.url()}"), verify_tls=False)
    assert isinstance(outcome, Failed)
    assert outcome.code == "insecure_redirect"
    assert plain.connections == 0


def test_a_redirect_from_http_to_https_is_checked_like_a_first_call(secure: Server) -> None:
    with Server(lambda _seen, _connection: answer(status=301, location=secure.url())) as plain:
        strict, lax = call(plain.url()), call(plain.url(), verify_tls=False)
    assert isinstance(strict, Failed)
    assert strict.code == "tls_failed"
    assert isinstance(lax, Done)
    assert lax.value["url"] == secure.url()
