"""Rate limits: their notation, and how an address counts."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_NOTATION = re.compile(r"(\d+)/(\d*)(second|minute|hour|day)s?")


@dataclass(frozen=True, kw_only=True)
class Rate:
    """So many requests in so many seconds."""

    requests: int
    seconds: int


def parse(text: str) -> Rate:
    """`600/minute`, `10/15seconds`. Raises ValueError."""
    form = _NOTATION.fullmatch(text)
    if form is None:
        raise ValueError(f"{text} is no rate limit, such as 600/minute")
    return Rate(requests=int(form[1]), seconds=int(form[2] or 1) * SECONDS[form[3]])


def place(address: str | None) -> str:
    """What counts as one address: an IPv4 address, or the /64 of an IPv6 one, which is what one customer gets."""
    try:
        parsed = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
