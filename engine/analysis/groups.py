"""Breakdowns: what each instrument, strategy, reason, hour and weekday brought.

Owns the sums of the groups, exact. A part is what a position brought from its entry to its exit, or to the
end of the period. Each part counts once in every table, and what belongs to no part is a row of its own, so
the rows of every table sum to the totals. Promises bounded memory: at most `GROUPS_MAX` names a table, and
one more row for the rest of them. Called by `bookings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, NamedTuple

import msgspec

from engine.analysis.shapes import BEFORE, MORE, OPEN_END, OTHER, GroupRow
from engine.analysis.trips import difference, text_of, total
from engine.clock import DAY_NS, SECOND_NS

__all__ = ["GROUPS_MAX", "TABLES", "TITLES", "WEEKDAYS", "Groups", "Money", "Part", "names_of"]

GROUPS_MAX: Final = 1_000

TITLES: Final = {
    "instrument": "instruments",
    "strategy": "strategies",
    "entry_reason": "reasons of entries",
    "exit_reason": "reasons of exits",
    "hour": "hours",
    "weekday": "weekdays",
}
"""The tables, with what people call what each has a row of."""

TABLES: Final = tuple(TITLES)

WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_THURSDAY: Final = 3
"""The weekday of the epoch."""

_LAST: Final = (BEFORE, OPEN_END, MORE, OTHER)
_ZERO: Final = Decimal(0)


class Money(NamedTuple):
    """Exact amounts: net = profit - fees + funding."""

    profit: Decimal = _ZERO
    fees: Decimal = _ZERO
    funding: Decimal = _ZERO

    @property
    def net(self) -> Decimal:
        """What is left."""
        return total(difference(self.profit, self.fees), self.funding)

    def plus(self, other: Money) -> Money:
        """Return the sums."""
        return Money(*map(total, self, other))

    def minus(self, other: Money) -> Money:
        """Return the differences."""
        return Money(*map(difference, self, other))


class Part(NamedTuple):
    """What a position brought. `names` are those of `TABLES` (see `names_of`).

    `net` is the profit after fees of a round trip, which has begun and ended in the period; None for every
    other part.
    """

    names: tuple[str, ...]
    money: Money
    net: Decimal | None = None


class _Sums(msgspec.Struct):
    """The sums of a group. Of round trips: their number, wins, losses, and the best and the worst."""

    money: Money = Money()
    open: Decimal = _ZERO
    trips: int = 0
    won: int = 0
    lost: int = 0
    gained: Decimal = _ZERO
    given: Decimal = _ZERO
    best: Decimal | None = None
    worst: Decimal | None = None

    def add(self, part: Part) -> None:
        self.money = self.money.plus(part.money)
        net = part.net
        if net is None:
            self.open = total(self.open, part.money.net)
            return
        self.trips += 1
        if net > 0:
            self.won, self.gained = self.won + 1, total(self.gained, net)
        elif net < 0:
            self.lost, self.given = self.lost + 1, total(self.given, net)
        self.best = net if self.best is None else max(self.best, net)
        self.worst = net if self.worst is None else min(self.worst, net)

    def row(self, name: str) -> GroupRow:
        return GroupRow(
            name,
            self.trips,
            self.won,
            self.lost,
            text_of(self.money.profit),
            text_of(self.money.fees),
            text_of(self.money.funding),
            text_of(self.money.net),
            text_of(self.open),
            self.won / self.trips * 100 if self.trips else None,
            float(self.gained) / -float(self.given) if self.given else None,
            None if self.best is None else text_of(self.best),
            None if self.worst is None else text_of(self.worst),
        )


class Groups:
    """State: the sums by table and name, and those of all parts."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[str, _Sums]] = {table: {} for table in TABLES}
        self.money = Money()
        self.full: set[str] = set()

    def add(self, part: Part) -> None:
        """Count a part in every table."""
        self.money = self.money.plus(part.money)
        for table, name in zip(TABLES, part.names, strict=True):
            sums = self._tables[table]
            if name not in sums and len(sums) >= GROUPS_MAX:
                self.full.add(table)
                name = MORE
            sums.setdefault(name, _Sums()).add(part)

    def copy(self) -> Groups:
        """Return a copy that is changed on its own."""
        twin = Groups()
        twin._tables = {
            table: {name: msgspec.structs.replace(one) for name, one in sums.items()}
            for table, sums in self._tables.items()
        }
        twin.money, twin.full = self.money, set(self.full)
        return twin

    def rows(self, table: str, whole: Money, titles: Mapping[str, str] = {}) -> list[GroupRow]:
        """Return the rows of a table by name, weekdays in their order; then what is in no group.

        `whole` is what the rows sum to; `titles` are names that are shown in the place of others.
        """
        sums = self._tables[table]
        order = {name: at for at, name in enumerate((*WEEKDAYS, *_LAST))}
        names = sorted(sums, key=lambda name: (name in _LAST, order.get(name, 0), name))
        rows = [sums[name].row(titles.get(name, name)) for name in names]
        rest = whole.minus(self.money)
        if any(rest):
            rows.append(_Sums(rest, rest.net).row(OTHER))
        return rows


def names_of(
    instrument: str, strategy: str, entry_reason: str, exit_reason: str, entered_ns: int
) -> tuple[str, ...]:
    """Return the names of a part in the tables. An entry that is not in the period is its reason: `BEFORE`
    or `OTHER`, also as hour and weekday."""
    if entry_reason in (BEFORE, OTHER):
        return instrument, strategy, entry_reason, exit_reason, entry_reason, entry_reason
    days, within_ns = divmod(entered_ns, DAY_NS)
    hour, weekday = within_ns // (3600 * SECOND_NS), WEEKDAYS[(days + _THURSDAY) % 7]
    return instrument, strategy, entry_reason, exit_reason, f"{hour:02}", weekday
