"""Which addresses an HTTP task may reach, judged before and after the name is resolved."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network
from typing import Final
from urllib.parse import SplitResult, urlsplit

import ssrfguard

from tasks.http_request import MAX_URL

#: Serves metadata and credentials inside Azure from a public address, so that no registry of private ones has it:
#: https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
AZURE: Final = ssrfguard.Block(
    network=ip_network("168.63.129.16/32"), name="Azure platform", rfc="vendor", reach=ssrfguard.Reach.DENIED
)
DENIED: Final = ssrfguard.AddressTable((*ssrfguard.DEFAULT_DENIED.blocks, AZURE))

#: Policies that are kept, one for each port that was called lately.
MOST_POLICIES: Final = 64
_UNFIT = re.compile(r"[\x00-\x20\x7f\\\ud800-\udfff]")
_DOTTED_QUAD = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")


class Refusal(Exception):
    """The call cannot be made or cannot go on; holds what the user is told."""

    def __init__(self, code: str, message: str, *, permanent: bool = True) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.permanent = permanent


class Guard:
    """Lets through the public internet and the networks that the operator allowed.

    Raises ValueError for an allowed network that would open an IPv6 prefix with IPv4 addresses inside (64:ff9b::/96).
    """

    def __init__(self, allowed_networks: Sequence[IPv4Network | IPv6Network]) -> None:
        self._policy = ssrfguard.Policy(
            allowed_networks=tuple(allowed_networks), denied_networks=DENIED, max_url_length=MAX_URL
        )
        # A policy looks at all of its networks when it is made, which takes as long as a call.
        self._policy_of = lru_cache(MOST_POLICIES)(self._make_policy)

    def check(self, url: str) -> ssrfguard.Target:
        """Where `url` leads, as far as it can be told without DNS. Raises Refusal."""
        parts = _split(url)
        _check_authority(parts)
        self._check_host(parts.hostname or "")
        try:
            return self._policy_for(url).check_url(url)
        except ssrfguard.BlockedURLError as blocked:
            if isinstance(blocked.__cause__, ssrfguard.BlockedAddressError):
                raise not_allowed(parts.hostname or "") from None
            raise Refusal("bad_host", "The host of the URL is not a valid name or address.") from None

    def resolve(self, target: ssrfguard.Target) -> tuple[ssrfguard.Address, ...]:
        """Every address of the target, each checked. Asks DNS once, for as long as that takes. Raises Refusal."""
        try:
            return ssrfguard.resolve(target, policy=self._policy_at(target.host, target.port))
        except ssrfguard.BlockedAddressError:
            # The address behind the name is not told: it would map the inside of the network for whoever asks.
            raise not_allowed(target.host) from None
        except (OSError, UnicodeError):
            raise Refusal("dns_failed", f"The name {target.host} could not be resolved.", permanent=False) from None

    def connect(self, addresses: Sequence[ssrfguard.Address], timeout: float) -> socket.socket:
        """A TCP connection to the first of the checked addresses that answers, `timeout` seconds for all together.

        Raises Refusal where the peer is not the address asked for, OSError where none answers.
        """
        address = addresses[0]
        policy = self._policy_at(address.hostname, address.port)
        attempts = min(len(addresses), policy.max_connection_attempts)
        try:
            return ssrfguard.connect(addresses, policy=policy, timeout=timeout / attempts)
        except ssrfguard.BlockedAddressError:
            raise not_allowed(address.hostname) from None

    def _check_host(self, host: str) -> None:
        """Refuse what ends at a refused address without DNS, however it is spelled."""
        name = _ascii(host).rstrip(".")
        if is_localhost(name):
            if not any(self._policy.permits_address(address) for address in ("127.0.0.1", "::1")):
                raise not_allowed(host)
            return
        if _DOTTED_QUAD.fullmatch(name):
            return
        address = _unusual_address(name)
        if address is None:
            return
        if not self._policy.permits_address(address):
            raise not_allowed(host)
        raise Refusal("bad_host", f"Write the address in its usual form: {address}.")

    def _policy_for(self, url: str) -> ssrfguard.Policy:
        parts = urlsplit(url)
        return self._policy_at(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))

    def _policy_at(self, host: str, port: int) -> ssrfguard.Policy:
        # Any port may be called, and a policy wants its ports listed. `localhost` is usually both 127.0.0.1 and ::1:
        # an operator who allowed one of them means it, while for any other name a mixed answer is refused whole.
        return self._policy_of(port, "drop" if is_localhost(host.rstrip(".")) else "reject")

    def _make_policy(self, port: int, partial: ssrfguard.PartialBlock) -> ssrfguard.Policy:
        return replace(self._policy, allowed_ports=frozenset({port}), on_partial_block=partial)


def not_allowed(host: str) -> Refusal:
    """The refusal of an address that is not public."""
    return Refusal(
        "address_not_allowed",
        f"{host[:253]} does not lead to the public internet; the operator can allow its network in "
        "HTTP_ALLOWED_NETWORKS.",
    )


def is_localhost(name: str) -> bool:
    """Whether the name means this machine without asking DNS (RFC 6761 §6.3)."""
    return name.lower() == "localhost" or name.lower().endswith(".localhost")


def shown(url: str) -> str:
    """The URL for messages: without credentials, query and fragment."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"[:200]


def _split(url: str) -> SplitResult:
    if len(url) > MAX_URL:
        raise Refusal("url_too_long", f"The URL is longer than {MAX_URL} characters.")
    if _UNFIT.search(url):
        message = "The URL must not contain spaces, backslashes or control characters; write a space as %20."
        raise Refusal("bad_url", message)
    try:
        parts = urlsplit(url)
    except ValueError:
        raise Refusal("bad_url", "This is not a valid URL.") from None
    if parts.scheme not in ("http", "https"):
        raise Refusal("bad_scheme", "The URL must start with http:// or https://.")
    return parts


def _check_authority(parts: SplitResult) -> None:
    if "@" in parts.netloc:
        message = "Put the credentials in an Authorization header, not in the URL."
        raise Refusal("credentials_in_url", message)
    if not parts.hostname:
        raise Refusal("no_host", "The URL names no host.")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise Refusal("bad_port", "The port must be a number from 1 to 65535.")


def _ascii(host: str) -> str:
    """The host as the resolver will see it: ① becomes 1, 例子.cn becomes xn--….cn."""
    if host.isascii() or len(host) > 253:
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        raise Refusal("bad_host", "The host of the URL is not a valid name or address.") from None


def _unusual_address(name: str) -> IPv4Address | None:
    """The address that the system's resolver reads from 2130706433, 0177.1 or 0x7f000001, or None for a name."""
    try:
        return IPv4Address(socket.inet_aton(name))
    except (OSError, ValueError):
        return None
