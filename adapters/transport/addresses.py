"""Checks the addresses of venues.

Promises: plain http is accepted for loopback addresses only, since on a network it can be read and changed.
Called by each venue's client and by the commands.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from adapters.transport.text import clip
from engine.errors import UsageError

__all__ = ["check_address", "is_loopback"]


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


def is_loopback(base_url: str) -> bool:
    """Return whether an address is one of this machine itself."""
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
