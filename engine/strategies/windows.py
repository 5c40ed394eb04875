"""The newest bars that a strategy has asked for, by market and interval.

Owns a bounded window for each market and interval, filled from the first time it is asked for. The exact
records are state of the actor (`kept`); the views are made again after a restart. Used by the strategy's
actor only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from operator import index
from typing import Final

from engine.events import ActivityBarClosed, BarClosed, InstrumentListed
from engine.strategies.views import Bar, market_of, view_bar
from engine.values import InstrumentId

__all__ = ["BARS_MAX", "Closed", "Kept", "Windows"]

BARS_MAX: Final = 10_000
"""The most bars of a window. They are stored in the strategy's state."""

Closed = BarClosed | ActivityBarClosed
Kept = dict[tuple[InstrumentId, str], deque[Closed]]


class Windows:
    """The views of the windows. `kept` is passed to each call, because a restored state replaces it."""

    def __init__(self) -> None:
        self._views: dict[tuple[int, str], deque[Bar]] = {}

    def add(self, kept: Kept, event: Closed, bar: Bar) -> None:
        """Add a bar to its window, if it has one."""
        key = (event.instrument, bar.interval)
        window = kept.get(key)
        if window is not None:
            window.append(event)
            views = self._views.get(key)
            if views is not None:
                views.append(bar)

    def newest(
        self, kept: Kept, named: tuple[InstrumentListed, str], interval: str, n: int, shown: Bar | None
    ) -> Sequence[Bar]:
        """Return the newest `n` bars, oldest first. A new window begins with `shown`, the current bar.

        `named` is the listing of the market and its label.
        """
        count = index(n)
        if not 1 <= count <= BARS_MAX:
            raise ValueError(f"a window has 1 to {BARS_MAX} bars, not {n}")
        key = (named[0].instrument, interval)
        window = kept.get(key)
        if window is None:
            of_it = shown is not None and (shown.event.instrument, shown.interval) == key
            window = kept[key] = deque([shown.event] if shown is not None and of_it else [], count)
        elif (window.maxlen or 0) < count:
            window = kept[key] = deque(window, count)
            self._views.pop(key, None)
        views = self._views.get(key)
        if views is None or len(views) != len(window):
            market = market_of(*named)
            views = self._views[key] = deque((view_bar(one, market) for one in window), window.maxlen)
        skipped = len(views) - count
        return [bar for number, bar in enumerate(views) if number >= skipped]
