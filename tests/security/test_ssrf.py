"""An HTTP task reaches no address that is not public, however the address is spelled, named or redirected to."""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.http_call import HttpCaller, HttpRequest
from tasks.model import Done, Failed, Limits
from tasks.report import Report
from tests.http_server import Server, answer
from tests.integration.service import free_port

PRIVATE_V4 = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254",
    "168.63.129.16", "169.254.0.1", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.192",
    "192.0.2.1", "192.168.0.1", "192.168.255.255", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
    "239.255.255.255", "240.0.0.1", "255.255.255.255",
]  # fmt: skip
PRIVATE_V6 = [
    "::", "::1", "0:0:0:0:0:0:0:1", "fc00::1", "fd00:ec2::254", "fdff::1", "fe80::1", "febf::1", "fec0::1", "ff02::1",
    "2001:db8::1", "100::1", "64:ff9b:1::1",
]  # fmt: skip

INNER = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
    "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
]  # fmt: skip


def mapped_forms(address: str) -> list[str]:
    """IPv6 addresses whose packets end at the IPv4 address."""
    number = int(IPv4Address(address))
    high, low = number >> 16, number & 0xFFFF
    inverted = number ^ 0xFFFFFFFF
    return [
        f"::ffff:{address}", f"::ffff:{high:x}:{low:x}", f"0:0:0:0:0:ffff:{high:x}:{low:x}", f"::{high:x}:{low:x}",
        f"64:ff9b::{high:x}:{low:x}", f"2002:{high:x}:{low:x}::1",
        f"2001:0:808:808::{inverted >> 16:x}:{inverted & 0xFFFF:x}",
    ]  # fmt: skip


def encoded_forms(address: str) -> list[str]:
    """Spellings that the system's resolver takes for the IPv4 address."""
    number = int(IPv4Address(address))
    a, b, c, d = IPv4Address(number).packed
    wide = str.maketrans("0123456789.", "０１２３４５６７８９。")
    return [
        str(number), hex(number), hex(number).upper().replace("X", "x"), f"0{number:o}", f"{a:#x}.{b:#x}.{c:#x}.{d:#x}",
        f"0{a:o}.0{b:o}.0{c:o}.0{d:o}", f"{a:#x}.{number & 0xFFFFFF}", f"{a}.{b}.{(c << 8) + d}",
        f"{a}.{number & 0xFFFFFF:#x}", address.translate(wide), f"{a:#06x}.{b}.{c}.{d}",
    ]  # fmt: skip


LITERALS = [
    *PRIVATE_V4,
    *(form for address in ("127.0.0.1", "10.0.0.1", "169.254.169.254") for form in encoded_forms(address)),
    *(f"[{address}]" for address in PRIVATE_V6),
    *(f"[{form}]" for address in ("127.0.0.1", "10.0.0.1", "169.254.169.254") for form in mapped_forms(address)),
    "localhost", "LOCALHOST", "localhost.", "a.localhost", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "①②⑦.⓪.⓪.①", "127.1", "127.0.1", "0", "0x0",
    "127.0.0.1.", "[::ffff:127.0.0.1]", "[::1%25lo]", "%6cocalhost", "127.0.0.1%2f", "017700000001", "0x7f.1",
]  # fmt: skip


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """Answers of DNS by name, a list for each time it is asked, the last for good; literals resolve as ever."""
    answers: dict[str, list[list[str]]] = {}
    ask = socket.getaddrinfo

    def lookup(host: str, port: int, *rest: Any) -> Any:
        if host not in answers:
            return ask(host, port, *rest) if not any(map(str.isalpha, host)) or ":" in host else _nowhere(host)
        now = answers[host].pop(0) if len(answers[host]) > 1 else answers[host][0]
        return [row for address in now for row in ask(address, port, 0, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)]

    def _nowhere(host: str) -> None:
        raise socket.gaierror(socket.EAI_NONAME, f"{host} is not known in this test")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return answers


def call(url: str, *allowed: str, **fields: Any) -> Failed | Done:
    caller = HttpCaller(allowed_networks=networks(*allowed), max_response_bytes=10_000)
    limits = Limits(timeout=10, max_result_bytes=100_000)
    return caller.call(HttpRequest(api_url=url, **fields), limits=limits, report=Report(0))


def networks(*names: str) -> list[IPv4Network | IPv6Network]:
    return [ip_network(name) for name in names]


def code_of(outcome: Failed | Done) -> str:
    return outcome.code if isinstance(outcome, Failed) else "done"


@pytest.mark.parametrize("host", LITERALS)
def test_an_inner_address_is_refused_at_submission_and_again_at_the_call(
    host: str, lookups: dict[str, list[list[str]]]
) -> None:
    caller = HttpCaller(allowed_networks=[], max_response_bytes=1000)
    with Server(lambda _seen, _connection: answer("inside")) as inside:
        found = caller.problems(HttpRequest(api_url=f"http://{host}:{inside.port}/latest/meta-data"))
        outcome = call(f"http://{host}:{inside.port}/latest/meta-data")
    assert inside.connections == 0
    assert [one.pointer for one in found] == ["/api_url"]
    assert found[0].code in ("address_not_allowed", "bad_host")
    assert code_of(outcome) == found[0].code


@pytest.mark.parametrize(
    "host", [*PRIVATE_V4, *(f"[{one}]" for one in PRIVATE_V6), "localhost", "2130706433", "0x7f.1"]
)
def test_the_refusal_of_an_inner_address_names_the_setting_that_would_allow_it(host: str) -> None:
    (problem,) = HttpCaller(allowed_networks=[], max_response_bytes=1000).problems(
        HttpRequest(api_url=f"http://{host}")
    )
    assert problem.code == "address_not_allowed"
    assert "HTTP_ALLOWED_NETWORKS" in problem.message


@given(
    network=st.sampled_from(INNER),
    place=st.integers(0, 2**32 - 1),
    form=st.integers(0, 30),
)
def test_no_spelling_of_any_inner_address_passes(network: str, place: int, form: int) -> None:
    inner = IPv4Network(network)
    address = str(inner[place % inner.num_addresses])
    forms = [address, *encoded_forms(address), *(f"[{one}]" for one in mapped_forms(address))]
    problems = HttpCaller(allowed_networks=[], max_response_bytes=1000).problems(
        HttpRequest(api_url=f"https://{forms[form % len(forms)]}/")
    )
    assert [one.code for one in problems] in (["address_not_allowed"], ["bad_host"])


@pytest.mark.parametrize("address", [*PRIVATE_V4, *PRIVATE_V6, *mapped_forms("127.0.0.1"), *mapped_forms("10.0.0.1")])
def test_a_name_that_leads_to_an_inner_address_is_refused_and_the_address_not_told(
    address: str, lookups: dict[str, list[list[str]]]
) -> None:
    lookups["inner.example.com"] = [[address]]
    outcome = call("http://inner.example.com/")
    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.permanent) == ("address_not_allowed", True)
    assert address not in outcome.message
    assert "HTTP_ALLOWED_NETWORKS" in outcome.message


def test_a_name_with_one_inner_address_among_others_is_refused_whole(lookups: dict[str, list[list[str]]]) -> None:
    with Server(lambda _seen, _connection: answer(), host="127.0.0.2") as public:
        lookups["mixed.example.com"] = [["127.0.0.2", "127.0.0.1"]]
        assert code_of(call(f"http://mixed.example.com:{public.port}/", "127.0.0.2/32")) == "address_not_allowed"
        assert public.connections == 0


def test_a_name_is_resolved_once_and_the_checked_address_is_the_one_connected_to(
    lookups: dict[str, list[list[str]]],
) -> None:
    lookups["rebinding.example.com"] = [["127.0.0.2"], ["127.0.0.1"]]
    with (
        Server(lambda _seen, _connection: answer("public"), host="127.0.0.2", port=free_port()) as public,
        Server(lambda _seen, _connection: answer("inside"), host="127.0.0.1", port=public.port) as inside,
    ):
        outcome = call(f"http://rebinding.example.com:{public.port}/", "127.0.0.2/32")
        again = call(f"http://rebinding.example.com:{public.port}/", "127.0.0.2/32")
    assert isinstance(outcome, Done)
    assert outcome.value["body"] == "public"
    assert public.seen[0].headers["Host"] == f"rebinding.example.com:{public.port}"
    assert code_of(again) == "address_not_allowed"
    assert inside.connections == 0


Location = Callable[[int], str]


@pytest.mark.parametrize(
    "location",
    [
        lambda port: f"http://127.0.0.1:{port}/admin",
        lambda port: f"//127.0.0.1:{port}/admin",
        lambda port: f"http://localhost:{port}/",
        lambda port: f"http://[::ffff:127.0.0.1]:{port}/",
        lambda _port: "http://169.254.169.254/latest/meta-data/",
        lambda port: f"http://2130706433:{port}/",
        lambda port: f"http://0x7f000001:{port}/",
        lambda port: f"http://inner.example.com:{port}/",
        lambda port: f"http://rebinding.example.com:{port}/",
    ],
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_an_inner_address_is_refused(
    status: int, location: Location, lookups: dict[str, list[list[str]]]
) -> None:
    lookups["inner.example.com"] = [["127.0.0.1"]]
    lookups["rebinding.example.com"] = [["127.0.0.2"], ["127.0.0.1"]]
    with Server(lambda _seen, _connection: answer("inside"), port=free_port()) as inside:
        target = location(inside.port)
        with Server(
            lambda _seen, _connection: answer(status=status, location=target), host="127.0.0.2", port=inside.port
        ) as public:
            start = "rebinding.example.com" if "rebinding" in target else "127.0.0.2"
            outcome = call(f"http://{start}:{public.port}/", "127.0.0.2/32", method="POST", body="x")
    assert code_of(outcome) == "address_not_allowed"
    assert inside.connections == 0
    assert len(public.seen) == 1


def test_allowing_one_network_allows_nothing_else() -> None:
    caller = HttpCaller(allowed_networks=networks("10.1.0.0/16", "fd12::/16"), max_response_bytes=1000)
    hosts = ["10.1.2.3", "10.2.0.1", "[fd12::1]", "[fd13::1]", "127.0.0.1", "localhost", "[::ffff:10.1.2.3]"]
    allowed = [host for host in hosts if not caller.problems(HttpRequest(api_url=f"http://{host}/"))]
    assert allowed == ["10.1.2.3", "[fd12::1]"]


@pytest.mark.parametrize("network", ["64:ff9b::/96", "::ffff:0:0/96", "2002::/16"])
def test_a_network_that_would_let_every_inner_ipv4_address_in_cannot_be_allowed(network: str) -> None:
    with pytest.raises(ValueError, match="allowed_networks"):
        HttpCaller(allowed_networks=networks(network), max_response_bytes=1000)


def test_public_addresses_and_names_are_not_refused() -> None:
    caller = HttpCaller(allowed_networks=[], max_response_bytes=1000)
    for host in ("8.8.8.8", "1.1.1.1", "[2606:4700:4700::1111]", "example.com", "localhost.example.com", "169.253.0.1"):
        assert caller.problems(HttpRequest(api_url=f"https://{host}:8443/")) == []


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_proxies_and_netrc_of_the_environment_are_ignored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scheme: str
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n", encoding="ascii")
    with (
        Server(lambda _seen, _connection: answer("proxied")) as proxy,
        Server(lambda _seen, _connection: answer("direct")) as server,
    ):
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            for spelled in (name, name.upper()):
                monkeypatch.setenv(spelled, proxy.url().replace("http", scheme))
        monkeypatch.setenv("no_proxy", "")
        monkeypatch.setenv("NETRC", str(netrc))
        caller = HttpCaller(allowed_networks=[ip_network("127.0.0.0/8")], max_response_bytes=10_000)
        limits = Limits(timeout=10, max_result_bytes=100_000)
        outcome = caller.call(HttpRequest(api_url=server.url()), limits=limits, report=Report(0))
    assert isinstance(outcome, Done)
    assert outcome.value["body"] == "direct"
    assert proxy.connections == 0
    assert "Authorization" not in server.seen[0].headers
