"""Addresses, networks and origins in settings: which of them are right, and which name this machine only."""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import urlsplit

LOOPBACK_NAMES = ("localhost", "")
#: IPv6 prefixes whose addresses carry IPv4 ones, so that allowing them would open every inner network:
#: RFC 4291 §2.5.5.2, RFC 6052, RFC 3056, RFC 4380.
WRAPPING_NETWORKS = tuple(
    ipaddress.ip_network(text) for text in ("::ffff:0:0/96", "64:ff9b::/96", "2002::/16", "2001::/32")
)


def is_loopback(host: str) -> bool:
    """Whether `host` names this machine only."""
    if host in LOOPBACK_NAMES:
        return host == "localhost"
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_origin(text: str) -> bool:
    """Whether this is what a browser sends as Origin: scheme, host and port (RFC 6454)."""
    parts = urlsplit(text)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and f"{parts.scheme}://{parts.netloc}" == text


def carries_ipv4(network: Any) -> bool:
    """Whether IPv4 addresses hide in an IPv6 network; `::/0`, which says so, does not count."""
    wrapping = (each for each in WRAPPING_NETWORKS if each.version == network.version)
    return bool(network.prefixlen) and any(network.overlaps(each) for each in wrapping)
