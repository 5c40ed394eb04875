"""Series of open interest, funding and liquidations from recorded days, by window.

Open interest and the running funding rate are states that a venue repeats (`ContextRead`): a row has the
first, highest, lowest and last value received in its window. Windows without any have what was read from the
venue's history of open interest (`OpenInterestRead`). Settled rates (`FundingRead`) are added up.
Those of money for one unit cannot be added to fractions and have rows of their own (`unit`).
Liquidations (`LiquidationRead`) are added up by what they closed, and as a heat map also by price level, by
the code of the actor of `[flow] liquidations`.
Windows without data have no row. Promises: every number is exact; the same days give the same rows; memory
holds the rows. Called by `engine bars --kind`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec

from engine.actors.bars import is_implausible
from engine.actors.flow.levels import width_of
from engine.actors.flow.liquidations import ForcedWindow
from engine.clock import iso_text, window_end, window_start
from engine.events import ContextRead, FundingRead, InstrumentListed, LiquidationRead, OpenInterestRead
from engine.values import format_interval, format_scaled
from replay.joining import JoinedDays

__all__ = ["KINDS", "series_of"]

KINDS: Final = ("open-interest", "funding", "liquidations", "liquidation-levels")
"""The series, besides bars of prices."""

_TYPES: Final = (InstrumentListed, ContextRead, FundingRead, OpenInterestRead, LiquidationRead)
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


_Key = tuple[int, int, str]  # instrument, start of a window, unit of a funding rate (else "")

_FRACTION: Final = "fraction"
"""The unit of running rates, see `FundingRead.unit`."""


def series_of(
    folders: Sequence[Path],
    kind: str,
    interval_ns: int,
    *,
    level: Mapping[str, str] = MappingProxyType({}),
    progress: Callable[[int], None] = lambda _: None,
) -> list[tuple[InstrumentListed, dict[str, Any]]]:
    """Return the rows of a kind of series with their instruments, by instrument and time.

    `level` are the widths of price levels by instrument, as in `[flow] level`, in quote currency.
    Raises UsageError and JournalError as `JoinedDays`.
    """
    joined = JoinedDays(folders, types=_TYPES)
    listed = {one.instrument: one for one in joined.instruments}
    states: dict[_Key, _State] = {}
    settled: dict[_Key, int] = {}
    closed: dict[_Key, ForcedWindow] = {}
    past: list[OpenInterestRead] = []
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
                    unit = _FRACTION if kind == "funding" else ""
                    key = event.instrument, window_start(interval_ns, event.recv_ns), unit
                    exact = _exact(value, event.scale)
                    states.setdefault(key, _State(exact, exact, exact, exact)).add(exact)
            elif isinstance(event, OpenInterestRead) and kind == "open-interest":
                past.append(event)
            elif isinstance(event, FundingRead) and kind == "funding":
                key = event.instrument, window_start(interval_ns, event.venue_ns), event.unit
                settled[key] = settled.get(key, 0) + _exact(event.rate, event.scale)
            elif isinstance(event, LiquidationRead) and kind.startswith("liquidation"):
                number = event.instrument
                if is_implausible(event):
                    continue
                if number not in widths:
                    widths[number] = width_of(listed[number], level, event.price)
                key = number, window_start(interval_ns, event.venue_ns), ""
                closed.setdefault(key, ForcedWindow({})).add(event, widths[number])
        progress(read)
    read_live = frozenset(states)
    for one in sorted(past, key=lambda found: (found.venue_ns, found.recv_ns)):
        key = one.instrument, window_start(interval_ns, one.venue_ns), ""
        if key not in read_live:
            exact = _exact(one.open_interest, one.scale)
            states.setdefault(key, _State(exact, exact, exact, exact)).add(exact)
    keys = sorted(states.keys() | settled.keys() | closed.keys(), key=lambda key: (listed[key[0]].key, *key))
    return [
        (listed[key[0]], dict(_shared(key, interval_ns, listed[key[0]])) | row)
        for key in keys
        for row in (
            _forced(closed[key], kind, listed[key[0]])
            if key in closed
            else [dict(_states(states.get(key), settled.get(key), key[2]))]
        )
    ]


def _shared(key: _Key, interval_ns: int, listed: InstrumentListed) -> Iterator[tuple[str, Any]]:
    """Yield the cells that every row begins with."""
    _, start_ns, _ = key
    yield "instrument", listed.name
    yield "venue", listed.venue
    yield "interval", format_interval(interval_ns)
    yield "start", iso_text(start_ns)
    yield "start_ns", start_ns
    yield "end_ns", window_end(interval_ns, start_ns)


def _states(state: _State | None, settled: int | None, unit: str) -> Iterator[tuple[str, Any]]:
    """Yield the cells of open interest, or of funding in a unit: numbers that must be exact are text."""
    for name in ("open", "high", "low", "close"):
        yield name, None if state is None else format_scaled(getattr(state, name), _SCALE)
    yield "count", 0 if state is None else state.count
    if unit:
        yield "unit", unit
        yield "settled", None if settled is None else format_scaled(settled, _SCALE)


def _forced(window: ForcedWindow, kind: str, listed: InstrumentListed) -> list[dict[str, Any]]:
    """Return the cells of the liquidations of a window, or of each of its levels, the lowest first."""
    if kind == "liquidations":
        parts: list[tuple[dict[str, Any], int, int, int]] = [({}, window.longs, window.shorts, window.count)]
    else:
        parts = [
            ({"price": format_scaled(price, listed.price_scale)}, cell.longs, cell.shorts, cell.count)
            for price, cell in sorted(window.cells.items())
        ]
    return [
        {
            **level,
            "longs": format_scaled(longs, listed.size_scale),
            "shorts": format_scaled(shorts, listed.size_scale),
            "count": count,
            "sampled": window.sampled,
        }
        for level, longs, shorts, count in parts
    ]


def _exact(value: int | str, scale: int) -> int:
    """Return a value at `_SCALE`."""
    return int(value) * int(10 ** (_SCALE - scale))
