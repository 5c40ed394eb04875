"""What the settings of stores in databases have in common: addresses, chosen tables, how long rows are kept.

Promises that what is shown of an address holds no secret. Called by the kinds of stores that need a server.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

from engine.clock import DAY_NS
from engine.config import nearest
from engine.errors import ConfigError, NumberError
from engine.stores.rows.tables import TABLES
from engine.values import parse_span

__all__ = ["OTHER_NAMES", "STATE_TABLES", "Address", "chosen_tables", "kept_from", "retention_ns"]

OTHER_NAMES: Final = {"ohlcv": "bars", "price_ticks": "trades", "funding": "funding_rates"}
"""Views under names that many programs expect, and the tables that they show."""

STATE_TABLES: Final = frozenset(
    ("instruments", "orders", "order_sums", "open_trips", "fills", "positions", "sessions", "cursor")
)
"""Tables whose rows later records change or look up, so that no row is ever dropped for its age."""

_TOGETHER: Final = (
    frozenset(("orders", "order_sums", "fills", "round_trips", "open_trips")),
    frozenset(("positions", "position_changes")),
    frozenset(("footprints", "footprint_levels")),
    frozenset(("profiles", "profile_levels")),
    frozenset(("liquidation_windows", "liquidation_levels")),
)
"""Tables whose rows are made of the same events."""
_SECRET_MIN: Final = 4
"""Shorter passwords are not looked for: they are parts of many words."""
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[\w.-]*)(:[0-9]{1,5})?", re.ASCII)


class Address:
    """The URL of a server. `shown` is the address for people: without password and parameters.

    With `tokens` a user without a password is a secret too.
    Raises ConfigError, which does not show the text, for one of another scheme or without a valid host.
    """

    def __init__(self, url: str, *schemes: str, tokens: bool = False) -> None:
        example = f"{schemes[0]}://USER@HOST:PORT/NAME"
        try:
            if any(char <= " " for char in url):
                raise ValueError(url)
            parts = urlsplit(url)
        except ValueError:
            raise ConfigError(f"url: it is not a valid address; write it as {example}") from None
        login, _, hosts = parts.netloc.rpartition("@")
        if parts.scheme not in schemes:
            raise ConfigError(f"url: it does not begin with {schemes[0]}://; write it as {example}")
        if "@" in f"{parts.path}{parts.query}{parts.fragment}" or not all(
            _HOST.fullmatch(host) for host in hosts.split(",")
        ):
            raise ConfigError(
                "url: its host is not valid; write special characters of a password as %XX (%2F for /)"
            )
        user, colon, password = login.partition(":")
        if tokens and not colon:
            user, password = "***" if user else "", user
        self.url = url
        self.parts = parts
        self.shown = f"{parts.scheme}://{f'{user}@' if user else ''}{hosts}{parts.path}"
        self._secrets = {one for one in (password, unquote(password)) if len(one) >= _SECRET_MIN}

    def hide(self, text: str) -> str:
        """Return a text of a driver without the password, if it is in there."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text


def chosen_tables(names: Iterable[str]) -> frozenset[str]:
    """Return the tables that a store holds: those named, with what they need; all if none is named.

    Raises ConfigError for a name that is no table.
    """
    chosen = {_table(name, "tables") for name in names} or set(TABLES)
    for group in _TOGETHER:
        if chosen & group:
            chosen |= group
    return frozenset(chosen | {"instruments"}) - {"cursor"}


def retention_ns(given: Mapping[str, str], tables: frozenset[str]) -> dict[str, int]:
    """Return how long the rows of a table are kept, in nanoseconds by table.

    Raises ConfigError for a table that the store does not hold or whose rows are needed, and for a span of
    less than a day.
    """
    kept: dict[str, int] = {}
    for name, text in given.items():
        table = _table(name, "retention")
        if table in STATE_TABLES:
            raise ConfigError(f"retention: the rows of {name} are needed for later ones; leave it out")
        if table not in tables:
            raise ConfigError(f"retention: the store does not hold {name}; add it to tables")
        try:
            kept[table] = parse_span(text)
        except NumberError as error:
            raise ConfigError(f"retention: {name}: {error}") from None
        if kept[table] < DAY_NS:
            raise ConfigError(f"retention: {name}: {text} is less than a day (1d)")
    return kept


def kept_from(newest_ns: int, span_ns: int) -> int:
    """Return the time from which rows are kept: the beginning of a day in UTC.

    It counts from the newest record, not from the clock, so that the rows depend on the journal alone.
    """
    return (newest_ns - span_ns) // DAY_NS * DAY_NS


def _table(name: str, key: str) -> str:
    table = OTHER_NAMES.get(name, name)
    if table not in TABLES or table == "cursor":
        known = sorted([*TABLES, *OTHER_NAMES])
        raise ConfigError(f"{key}: there is no table {name!r}; {nearest(name, known)}")
    return table
