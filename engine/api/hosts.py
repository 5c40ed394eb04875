"""Which Host a request may name. A page of another site that resolves its name to this machine is refused.

The rule comes before authentication and holds for every request over TCP. The port does not matter: behind a
tunnel the browser sees another one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

from engine.errors import UsageError

__all__ = ["Hosts", "host_of"]

_HOST: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]{1,253})(?::([0-9]{1,5}))?")


def host_of(text: str) -> str | None:
    """Return the name in a Host header or an address bar in one spelling, None if it is not valid."""
    match = _HOST.fullmatch(text)
    if match is None or (match[2] is not None and not 0 < int(match[2]) < 1 << 16):
        return None
    name = match[1].lower()
    if name.startswith("["):
        try:
            return f"[{ip_address(name[1:-1])}]"
        except ValueError:
            return None
    return name.removesuffix(".") or None


class Hosts:
    """The names under which this server answers: the loopback ones, and those given."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        """Raise UsageError for a name that cannot be one."""
        self._names = {"127.0.0.1", "localhost", "[::1]"}
        for name in names:
            found = host_of(_bracketed(name))
            if found is None or (":" in name and not found.startswith("[")):
                raise UsageError(f"--dashboard-name {name!r}: give a name as browsers see it, without a port")
            self._names.add(found)

    def allows(self, header: str, local: str) -> bool:
        """Return whether a Host header names this server.

        `local` is our IP address of the connection. No name of another site is written as an IP address.
        """
        name = host_of(header)
        return name is not None and (name in self._names or name == _bracketed(local))


def _bracketed(host: str) -> str:
    if ":" in host and not host.startswith("["):
        try:
            return f"[{ip_address(host)}]"
        except ValueError:
            return host
    return host
