"""What tasks/http_*.py rely on in ssrfguard, urllib3 and http.client: a new version that breaks it fails here."""

from __future__ import annotations

import http.client
import importlib.metadata
import socket
from ipaddress import IPv4Address, ip_network

import pytest
import ssrfguard
from urllib3.connection import HTTPConnection

from tasks.http_answer import WholeResponse


def test_the_guard_is_the_version_that_was_read() -> None:
    assert importlib.metadata.version("ssrfguard") == "0.4.1"


def test_a_refused_literal_is_told_from_a_malformed_url_by_its_cause() -> None:
    with pytest.raises(ssrfguard.BlockedURLError) as refused:
        ssrfguard.Policy().check_url("http://127.0.0.1/")
    assert isinstance(refused.value.__cause__, ssrfguard.BlockedAddressError)
    with pytest.raises(ssrfguard.BlockedURLError) as malformed:
        ssrfguard.Policy().check_url("http://a..b/")
    assert malformed.value.__cause__ is None


def test_the_guard_asks_the_system_once_and_hands_on_what_it_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    row = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 80))

    def lookup(*args: object) -> list[object]:
        asked.append(args[0])
        return [row, row]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    policy = ssrfguard.Policy()
    (address,) = ssrfguard.resolve(policy.check_url("http://name.example.com/"), policy=policy)
    assert (address.sockaddr, address.hostname, address.port) == (("8.8.8.8", 80), "name.example.com", 80)
    assert asked == ["name.example.com"]


def test_connecting_checks_the_address_again_and_resolves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args: pytest.fail("resolved again"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = ssrfguard.Address(
            socket.AF_INET, listener.getsockname(), IPv4Address("127.0.0.1"), "name.example.com"
        )
        with pytest.raises(ssrfguard.BlockedAddressError):
            ssrfguard.connect([address], policy=ssrfguard.Policy())
        allowing = ssrfguard.Policy(allowed_networks=(ip_network("127.0.0.0/8"),))
        with ssrfguard.connect([address], policy=allowing, timeout=5) as connection:
            assert connection.getpeername() == listener.getsockname()


def test_a_failed_connect_keeps_the_reason_of_the_system_as_its_cause() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = listener.getsockname()
    address = ssrfguard.Address(socket.AF_INET, place, IPv4Address("127.0.0.1"), "127.0.0.1")
    policy = ssrfguard.Policy(allowed_networks=(ip_network("127.0.0.0/8"),))
    with pytest.raises(OSError, match="could not connect") as failed:
        ssrfguard.connect([address], policy=policy, timeout=5)
    assert isinstance(failed.value.__cause__, ConnectionRefusedError)


def test_our_table_adds_to_the_one_of_the_guard_and_takes_nothing_away() -> None:
    from tasks.http_guard import DENIED

    assert set(ssrfguard.DEFAULT_DENIED.blocks) < set(DENIED.blocks)
    assert DENIED.classify("168.63.129.16").blocked
    assert not DENIED.classify("168.63.129.17").blocked


def test_a_connection_that_was_given_no_socket_does_not_open_one_by_itself() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = HTTPConnection("127.0.0.1", listener.getsockname()[1], timeout=2)
        connection.auto_open = 0
        with pytest.raises(http.client.NotConnected):
            connection.request("GET", "/")


def test_a_connection_uses_the_socket_and_the_response_class_it_is_given() -> None:
    here, there = socket.socketpair()
    with here, there:
        connection = HTTPConnection("name.example.com", 80, timeout=2)
        connection.auto_open = 0
        connection.response_class = WholeResponse
        connection.sock = here
        connection.request("GET", "/x", headers={"Host": "name.example.com"}, preload_content=False)
        assert there.recv(1000).startswith(b"GET /x HTTP/1.1\r\n")
        there.sendall(b"HTTP/1.1 200 OK\r\nContent-Le")
        there.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionResetError):
            connection.getresponse()
        connection.close()
