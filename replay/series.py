"""Series of open interest, funding and liquidations from recorded days, by window.

Open interest and the running funding rate are states that a venue repeats (`ContextRead`): a row has the
first, highest, lowest and last value received in its window. Settled rates (`FundingRead`) are added up.
Liquidations (`LiquidationRead`) are added up by what they closed, and as a heat map also by price level.
Windows without data have no row. Promises: every number is exact; the same days give the same rows; memory
holds the rows. Called by `engine bars --kind`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from engine.actors.flow.levels import width_of
from engine.clock import iso_text, window_end, window_start
from engine.events import ContextRead, FundingRead, InstrumentListed, LiquidationRead
from engine.values import SELL, format_interval, format_scaled
from replay.joining import JoinedDays

__all__ = ["KINDS", "series_of"]

KINDS: Final = ("open-interest", "funding", "liquidations", "liquidation-levels")
"""The series, besides bars of prices."""

_TYPES: Final = (InstrumentListed, ContextRead, FundingRead, LiquidationRead)
_SCALE: Final = 60
"""The scale at which values of different scales are compared and added; no venue is finer."""


class _State(msgspec.Struct):
    """Values of a window at `_SCALE`."""

    open: int
    high: int
    low: int
    close: int
    count: int = 0

    def add(self, value: int) -> None:
        self.high, self.low = max(self.high, value), min(self.low, value)
        self.close = value
        self.count += 1


class _Closed(msgspec.Struct):
    """What liquidations of a window closed, in units of the size scale. `sampled`: there may be more."""

    longs: int = 0
    shorts: int = 0
    count: int = 0
    sampled: bool = False

    def add(self, read: LiquidationRead) -> None:
        if read.side == SELL:
            self.longs += read.size
        else:
            self.shorts += read.size
        self.count += 1
        self.sampled = self.sampled or read.sampled


_Key = tuple[int, int, int]  # instrument, start, price level (0 without)


def series_of(
    folders: Sequence[Path],
    kind: str,
    interval_ns: int,
    *,
    progress: Callable[[int], None] = lambda _: None,
) -> list[tuple[InstrumentListed, dict[str, Any]]]:
    """Return the rows of a kind of series with their instruments, by instrument and time.

    Raises UsageError and JournalError as `JoinedDays`.
    """
    joined = JoinedDays(folders, types=_TYPES)
    listed = {one.instrument: one for one in joined.instruments}
    states: dict[_Key, _State] = {}
    settled: dict[_Key, int] = {}
    closed: dict[_Key, _Closed] = {}
    widths: dict[int, int] = {}
    read = 0
    for batch in joined.batches():
        for event in batch:
            read += 1
            if isinstance(event, InstrumentListed):
                listed[event.instrument] = event
            elif isinstance(event, ContextRead) and kind in ("open-interest", "funding"):
                value = event.open_interest if kind == "open-interest" else event.funding
                if value is not None:
                    key = event.instrument, window_start(interval_ns, event.recv_ns), 0
                    exact = _exact(value, event.scale)
                    states.setdefault(key, _State(exact, exact, exact, exact)).add(exact)
            elif isinstance(event, FundingRead) and kind == "funding" and not event.per_unit:
                key = event.instrument, window_start(interval_ns, event.venue_ns), 0
                settled[key] = settled.get(key, 0) + _exact(event.rate, event.scale)
            elif isinstance(event, LiquidationRead) and kind.startswith("liquidation"):
                number, level = event.instrument, 0
                if kind == "liquidation-levels":
                    if number not in widths:
                        widths[number] = width_of(listed[number], {}, event.price)
                    level = event.price - event.price % widths[number]
                key = number, window_start(interval_ns, event.venue_ns), level
                closed.setdefault(key, _Closed()).add(event)
        progress(read)
    keys = sorted(states.keys() | settled.keys() | closed.keys(), key=lambda key: (listed[key[0]].key, *key))
    return [
        (listed[key[0]], dict(_row(key, kind, interval_ns, listed[key[0]], states, settled, closed)))
        for key in keys
    ]


def _row(
    key: _Key,
    kind: str,
    interval_ns: int,
    listed: InstrumentListed,
    states: dict[_Key, _State],
    settled: dict[_Key, int],
    closed: dict[_Key, _Closed],
) -> Iterator[tuple[str, Any]]:
    """Yield the cells of a row: numbers that must be exact are decimal text."""
    _, start_ns, level = key
    yield "instrument", listed.name
    yield "venue", listed.venue
    yield "interval", format_interval(interval_ns)
    yield "start", iso_text(start_ns)
    yield "start_ns", start_ns
    yield "end_ns", window_end(interval_ns, start_ns)
    if kind.startswith("liquidation"):
        one = closed[key]
        if kind == "liquidation-levels":
            yield "price", format_scaled(level, listed.price_scale)
        yield "longs", format_scaled(one.longs, listed.size_scale)
        yield "shorts", format_scaled(one.shorts, listed.size_scale)
        yield "count", one.count
        yield "sampled", one.sampled
        return
    state = states.get(key)
    for name in ("open", "high", "low", "close"):
        yield name, None if state is None else format_scaled(getattr(state, name), _SCALE)
    yield "count", 0 if state is None else state.count
    if kind == "funding":
        yield "settled", format_scaled(settled[key], _SCALE) if key in settled else None


def _exact(value: int | str, scale: int) -> int:
    """Return a value at `_SCALE`."""
    return int(value) * int(10 ** (_SCALE - scale))
