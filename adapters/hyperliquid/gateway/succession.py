"""Puts fills in the order in which they happened, also those of one millisecond.

One order can fill at several prices within a millisecond, and money comes out wrong if the account's position
went through 0 between them and they are booked the other way round. Each fill says which position it found
(`startPosition`); the next one of its instrument found what it left. Called by the gateway.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from adapters.hyperliquid.gateway.account_wire import WireFill
from adapters.hyperliquid.gateway.ledger import decimal_of

__all__ = ["in_succession"]


def in_succession(rows: Iterable[WireFill], *, newest_first: bool = False) -> list[WireFill]:
    """Return fills, the oldest first. Without the positions those of one millisecond stay as they were given.

    `newest_first`: that is how they were given.
    """
    given = list(rows)
    if newest_first:
        given.reverse()
    moments: dict[int, dict[str, list[WireFill]]] = {}
    for row in given:
        moments.setdefault(row.time, {}).setdefault(row.coin, []).append(row)
    return [
        row
        for time in sorted(moments)
        for together in moments[time].values()
        for row in (together if len(together) == 1 else _chained(together))
    ]


def _chained(rows: list[WireFill]) -> list[WireFill]:
    """Return fills of one moment and instrument so that each found what the one before it left."""
    if any(row.start_position is None for row in rows):
        return rows
    left = [(row, decimal_of(row.start_position or "0"), _end(row)) for row in rows]
    ends = {end for _, _, end in left}
    at = next((start for _, start, _ in left if start not in ends), left[0][1])
    found: list[WireFill] = []
    while left:
        one = next((one for one in left if one[1] == at), left[0])
        left.remove(one)
        found.append(one[0])
        at = one[2]
    return found


def _end(row: WireFill) -> Decimal:
    """Return the position that a fill left."""
    size = decimal_of(row.sz)
    return decimal_of(row.start_position or "0") + (size if row.side == "B" else -size)
