"""Which trades of one instrument may be missing: those since a time of the venue, and those in holes.

A doubt begins at the last trade that is known when the feed goes down or a message cannot be used. The next
`FeedGap` ends it, since everything after a gap is delivered in order. Promises: a gap settles only what it
covers, so what lies between the beginning of a doubt and a gap that begins later stays a hole, until another
gap covers it; the number of holes is bounded. Pure functions on a `Market`. Called by the aggregator.
"""

from __future__ import annotations

from typing import Final

from engine.actors.bars import Market, OpenBar

__all__ = ["HOLES_MAX", "begin_doubt", "in_hole", "settle"]

HOLES_MAX: Final = 16
"""Of more holes, the two oldest are joined."""


def begin_doubt(market: Market, newest: OpenBar | None) -> None:
    """Note that trades may be missing after the last known one. `newest`: the bar that is open, if any."""
    if not market.since_ns:
        bars = (*market.series[0].closed, *market.waiting, *((newest,) if newest is not None else ()))
        market.since_ns = max((one.end_ns if one.proved else one.last_ns for one in bars), default=0)


def settle(market: Market, from_ns: int, to_ns: int) -> None:
    """End the doubt, and take what a gap covers out of the holes."""
    spans = list(market.holes_ns)
    if market.since_ns:
        spans.append((market.since_ns, from_ns))
    market.since_ns = 0
    left = []
    for begin_ns, end_ns in spans:
        left += [(begin_ns, min(end_ns, from_ns)), (max(begin_ns, to_ns), end_ns)]
    holes = sorted({span for span in left if span[0] < span[1]})
    if len(holes) > HOLES_MAX:
        holes[:2] = [(holes[0][0], max(holes[0][1], holes[1][1]))]
    market.holes_ns = holes


def in_hole(market: Market, bar: OpenBar) -> bool:
    """Return whether trades of a window may be in a hole that no gap has covered."""
    return any(begin_ns < bar.end_ns and bar.start_ns < end_ns for begin_ns, end_ns in market.holes_ns)
