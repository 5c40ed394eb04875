"""A bar in the making, and the bars of one instrument at one interval: the aggregator's state.

Prices and sizes are integers at the instrument's scales, times UTC nanoseconds of the venue. Called by the
aggregator only, which decides when a bar closes.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.actors.base import State
from engine.events import CandleRead, Trade

__all__ = ["OpenBar", "Series", "add_late", "flatten", "no_bar", "prove", "series_of"]


@dataclass(slots=True)
class OpenBar:
    """One bar in the making, or lately closed. Prices and sizes are integers at the instrument's scales.

    A dataclass with slots, where other states are structs: a store takes half the time, and a print makes
    four of them.

    `until_ns` is the end once the bar has a print, and the start before: so one comparison finds both the
    first print of a bar and the end of it. `merged_ns` is the end of the last part, in a longer bar.
    `proved`: it is the venue's own candle, which no gap can put in doubt.
    """

    start_ns: int
    end_ns: int
    until_ns: int
    open: int
    high: int
    low: int
    close: int
    volume: int = 0
    trades: int = 0
    incomplete: bool = False
    doubtful: bool = False
    revision: int = 0
    merged_ns: int = 0
    proved: bool = False


class Series(State):
    """The bars of one instrument at one interval: the open one, and the last closed ones, oldest first."""

    interval_ns: int
    bar: OpenBar
    closed: list[OpenBar]


def series_of(spans_ns: list[int]) -> list[Series]:
    """Return a series without bars for each interval, the shortest first."""
    return [Series(span, no_bar(), []) for span in spans_ns]


def no_bar() -> OpenBar:
    """Return what stands where no bar is open: it ends before every print."""
    return OpenBar(0, 0, 0, 0, 0, 0, 0)


def prove(bar: OpenBar, candle: CandleRead) -> None:
    """Make a bar what the venue's candle says."""
    bar.open, bar.high, bar.low, bar.close = candle.open, candle.high, candle.low, candle.close
    bar.volume, bar.trades = int(candle.volume), candle.trades
    bar.incomplete = bar.doubtful = False
    bar.proved = True


def add_late(bar: OpenBar, trade: Trade, last: bool) -> None:
    """Add a late print: it moves high, low and volume, the close if it is the last, the open if alone."""
    if not bar.trades:
        flatten(bar, trade.price)
    bar.high = max(bar.high, trade.price)
    bar.low = min(bar.low, trade.price)
    if last:
        bar.close = trade.price
    bar.volume += trade.size
    bar.trades += 1


def flatten(bar: OpenBar, price: int) -> bool:
    """Make a silent bar flat at a price; return whether that changed it."""
    changed = bar.close != price
    bar.open = bar.high = bar.low = bar.close = price
    return changed
