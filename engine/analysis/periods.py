"""Days and months of a period: what each of them brought.

Owns the division into days and months UTC. A day belongs to the date at which it began; its amounts are
differences of the account from its begin to its end, exact, so days and months sum to the period. Called by
`report`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import pairwise

from engine.analysis.returns import daily_returns
from engine.analysis.shapes import Day, DayPoint, Month
from engine.analysis.trips import difference, text_of, total
from engine.clock import DAY_NS, day_of

__all__ = ["days_of", "months_of"]


def days_of(points: Sequence[DayPoint], ended: Mapping[int, int]) -> list[Day]:
    """Return the days between points of the account; `ended` are round trips by days since the epoch."""
    days = []
    for before, now in pairwise(points):
        equity, moved, fees, funding = (
            difference(Decimal(getattr(now, name)), Decimal(getattr(before, name)))
            for name in ("equity", "moved", "fees", "funding")
        )
        returns = daily_returns(
            [float(before.equity), float(now.equity)], [float(before.moved), float(now.moved)]
        )
        days.append(
            Day(
                day_of(now.at_ns - 1),
                now.at_ns,
                now.equity,
                text_of(difference(equity, moved)),
                text_of(fees),
                text_of(funding),
                returns[0] * 100 if returns else None,
                ended.get((now.at_ns - 1) // DAY_NS, 0),
            )
        )
    return days


def months_of(days: Sequence[Day]) -> list[Month]:
    """Return the months. A return is the product of the daily returns, minus 1, in percent."""
    found: dict[str, list[Day]] = {}
    for day in days:
        found.setdefault(day.day[:7], []).append(day)
    return [
        Month(
            month,
            _grown([day.return_percent for day in inside]),
            len(inside),
            _sum(inside, "net_profit"),
            _sum(inside, "fees"),
            _sum(inside, "funding"),
            sum(day.round_trips for day in inside),
        )
        for month, inside in found.items()
    ]


def _grown(returns: Sequence[float | None]) -> float | None:
    """Return the growth in percent, None if a day has no return."""
    known = [one for one in returns if one is not None]
    return (math.prod(1 + one / 100 for one in known) - 1) * 100 if len(known) == len(returns) else None


def _sum(days: Sequence[Day], name: str) -> str:
    found = Decimal(0)
    for day in days:
        found = total(found, Decimal(getattr(day, name)))
    return text_of(found)
