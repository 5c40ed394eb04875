"""Adds trades that follow each other in one open bar, many in one call.

Does what `Aggregator.add` does with each of them, with the bar's values in local variables. Called by the
aggregator.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

from engine.actors.bars import OpenBar, precedes
from engine.events import Event, Trade

__all__ = ["Count", "add_following"]


class Count:
    """How many trades a call has added."""

    __slots__ = ("trades",)

    def __init__(self) -> None:
        self.trades = 0


def add_following(
    events: Iterator[Event],
    instrument: int,
    bar: OpenBar,
    now_ns: int,
    due_ns: int,
    count: Count,
    *,
    by_id: bool,
    shown: bool,
) -> Generator[Trade]:
    """Add trades of one instrument as long as each is the next one of the bar, and yield them if `shown`.

    They are received in order, from `now_ns` on and before `due_ns`. The bar has them when the iterator ends
    or is closed.
    """
    high, low, close, until_ns = bar.high, bar.low, bar.close, bar.until_ns
    last_ns = bar.last_ns
    last: Trade | None = None
    trades = quote = bought = sold = unsided = 0
    try:
        for event in events:
            if event.__class__ is not Trade or event.instrument != instrument:
                break
            recv_ns = event.recv_ns
            venue_ns = event.venue_ns
            if recv_ns < now_ns or recv_ns >= due_ns or venue_ns >= until_ns:
                break
            if venue_ns <= last_ns and (
                venue_ns < last_ns
                or (by_id and precedes(event.trade_id, bar.last_id if last is None else last.trade_id))
            ):
                break
            now_ns = recv_ns
            last_ns = venue_ns
            last = event
            close = event.price
            size = event.size
            side = event.aggressor
            if close > high:
                high = close
            elif close < low:
                low = close
            trades += 1
            quote += close * size
            if side > 0:
                bought += size
            elif side < 0:
                sold += size
            else:
                unsided += size
            if shown:
                yield event
    finally:
        if last is not None:
            bar.high, bar.low, bar.close = high, low, close
            bar.last_ns, bar.last_id = last_ns, last.trade_id
        bar.trades += trades
        bar.quote += quote
        bar.bought += bought
        bar.sold += sold
        bar.unsided += unsided
        count.trades = trades
