"""Checks the addresses of venues.

Promises: plain http is accepted for loopback addresses only, since on a network it can be read and changed.
Called by each venue's client and by the commands.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from urllib.parse import urlsplit

from adapters.transport.text import clip
from engine.errors import SafetyRefusal, UsageError

__all__ = ["address_for_orders", "check_address", "is_loopback"]


def check_address(base_url: str, example: str) -> str:
    """Return a venue's base address without a slash at the end. Raises UsageError, which shows `example`."""
    try:
        parts = urlsplit(base_url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    wrong = parts.username is not None or parts.query or parts.fragment
    if not host or parts.scheme not in ("http", "https") or wrong:
        raise UsageError(f"{clip(base_url)} is not a venue's address; write it as {example}")
    if parts.scheme == "http" and not is_loopback(base_url):
        raise UsageError(f"{clip(base_url)} is plain http to another machine, which is refused; use https")
    return base_url.rstrip("/")


def address_for_orders(
    venue: str, network: str, known: str | None, base_url: str | None, check: Callable[[str], str]
) -> str:
    """Return the address for real orders: only that of the configured network, `known`, or a sandbox's.

    `known` is None for a sandbox, whose address is given and of this machine. Raises UsageError,
    SafetyRefusal.
    """
    if base_url is None:
        if known is None:
            raise SafetyRefusal(
                "real orders on a sandbox need its --base-url; "
                f"start one with `engine sandbox --venue {venue}`"
            )
        return known
    url = check(base_url)
    if url != known if known is not None else not is_loopback(url):
        raise SafetyRefusal(
            f"venues.{venue}.network is {network!r}, but {url} is not {known or 'on this machine'}; "
            "set both to the network you mean"
        )
    return url


def is_loopback(base_url: str) -> bool:
    """Return whether an address is one of this machine itself."""
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
