"""Drawdowns: how far and how long the equity was below its highest value, on every mark.

Owns the running peak. Money is exact integers at a scale that only grows. Deposits and withdrawals move the
peak with the equity, so they are no loss and no recovery. Promises constant memory: only the worst drawdowns
are kept. Called by the collector with each mark, and by `drawdowns_of` with a list.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from engine.analysis.formulas import Measured, none
from engine.clock import DAY_NS
from engine.values import rescale

__all__ = ["KEPT", "Drawdown", "Drawdowns", "drawdowns_of"]

KEPT: Final = 10
"""Drawdowns that are kept: the deepest ones."""


class Drawdown(msgspec.Struct):
    """A time below a peak. Times are UTC nanoseconds; `end_ns` is None if the equity has not recovered.

    `depth` is the largest fall in money, at `scale`, and `percent` the largest in percent of the peak, None
    of a peak of 0 or below. `valley_ns` is the time of the largest fall in money. `days` is the time from
    the peak to the recovery, or to the end of the period.
    """

    start_ns: int
    valley_ns: int
    end_ns: int | None
    depth: int
    scale: int
    percent: float | None
    days: float


class Drawdowns:
    """State: the peak, the drawdown that goes on, and the results.

    `most` is the largest fall in money, at `scale`, which is -1 before the first mark; `most_percent` that
    in percent of the peak, `longest_ns` the longest time below a peak, `below_ns` the sum of these times,
    and `worst` the deepest drawdowns, deepest first. `now_percent` is the fall at the newest mark in percent
    of the peak; of a peak of 0 or below it stays what it was.
    """

    def __init__(self) -> None:
        self.scale = -1
        self.most = 0
        self.most_percent: float | None = None
        self.longest_ns = self.below_ns = 0
        self.now_percent = 0.0
        self._peak = 0
        self._moved = 0
        self._at_ns = 0
        self._open: Drawdown | None = None
        self.worst: list[Drawdown] = []

    def hold(self, at_ns: int) -> None:
        """Note that the equity is what it was until now: an account without positions does not move."""
        if self._open is None and self.scale >= 0:
            self._at_ns = max(self._at_ns, at_ns)

    def add(self, at_ns: int, equity: int, scale: int = 0, moved: int = 0) -> None:
        """Count a mark. `moved` is the sum of deposits less withdrawals; the first mark is the first peak."""
        if scale != self.scale:
            self._refine(scale)
            if self.scale < 0:
                self.scale, self._peak, self._moved, self._at_ns = scale, equity, moved, at_ns
                self.most_percent = 0.0 if equity > 0 else None
                return
        if moved != self._moved:
            self._peak += moved - self._moved
            self._moved = moved
        fall = self._peak - equity
        if fall <= 0:
            if self._open is not None:
                self._end(self._open, at_ns)
                self._open.end_ns = at_ns
                self._open = None
            self._peak, self._at_ns, self.now_percent = equity, at_ns, 0.0
            if equity > 0 and self.most_percent is None:
                self.most_percent = 0.0
            return
        now = self._open
        if now is None:
            now = self._open = Drawdown(self._at_ns, at_ns, None, 0, self.scale, None, 0.0)
        if fall > now.depth:
            now.depth, now.valley_ns = fall, at_ns
            self.most = max(self.most, fall)
        if self._peak > 0:
            percent = self.now_percent = fall / self._peak * 100
            if now.percent is None or percent > now.percent:
                now.percent = percent
                self.most_percent = max(self.most_percent or 0.0, percent)

    def finish(self, at_ns: int) -> None:
        """Count a drawdown that goes on until the end of the period."""
        if self._open is not None:
            self._end(self._open, at_ns)

    def _end(self, one: Drawdown, at_ns: int) -> None:
        self.longest_ns = max(self.longest_ns, at_ns - one.start_ns)
        self.below_ns += at_ns - one.start_ns
        one.days = (at_ns - one.start_ns) / DAY_NS
        if len(self.worst) == KEPT and _depth(one) <= _depth(self.worst[-1]):
            return
        if one not in self.worst:
            self.worst.append(one)
        self.worst.sort(key=_depth, reverse=True)
        del self.worst[KEPT:]

    def _refine(self, scale: int) -> None:
        """Move the amounts to a finer scale, exactly."""
        if self.scale < 0:
            return
        before, self.scale = self.scale, scale
        self._peak, self._moved, self.most = (
            rescale(one, before, scale) for one in (self._peak, self._moved, self.most)
        )
        for one in [*self.worst, *([] if self._open is None else [self._open])]:
            one.depth, one.scale = rescale(one.depth, one.scale, scale), scale

    @property
    def max_drawdown_percent(self) -> Measured:
        """The largest fall in percent of the peak before it."""
        if self.most_percent is None:
            return none("the equity never was above 0" if self.scale >= 0 else "no equity")
        return Measured(self.most_percent)

    @property
    def max_drawdown_days(self) -> Measured:
        """The longest time from a peak to its recovery or to the end; after `finish`."""
        return none("no equity") if self.scale < 0 else Measured(self.longest_ns / DAY_NS)


def _depth(one: Drawdown) -> tuple[float, int]:
    return (-1.0 if one.percent is None else one.percent), one.depth


def drawdowns_of(marks: Iterable[tuple[int, int]], scale: int = 0) -> Drawdowns:
    """Return the drawdowns of (time, equity) marks; the last one is the end of the period."""
    found, at_ns = Drawdowns(), 0
    for at_ns, equity in marks:
        found.add(at_ns, equity, scale)
    found.finish(at_ns)
    return found
