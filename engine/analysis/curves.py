"""Curves of a period in bounded memory: equity, drawdown, benchmark, notional.

Owns how a long curve is thinned. A curve holds all of its points up to `POINTS_MAX`. One more, and the time
is divided into equal spans, aligned to the epoch: each keeps its first, lowest, highest and last point, and
the spans are doubled until at most half of `POINTS_MAX` is left. Promises: the first and the last point, and
the lowest and the highest value of every span, so also of the whole, are kept; the result depends on the
points alone. Called by the collector.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from itertools import repeat
from operator import floordiv
from typing import Final

from engine.analysis.shapes import Curve
from engine.analysis.trips import added

__all__ = ["POINTS_MAX", "Benchmark", "Points"]

POINTS_MAX: Final = 50_000
"""Points of one curve: about what a page draws at once."""

_NARROWEST_NS: Final = 1_000_000

_KEPT: Final = 4
"""Points that a span keeps at most."""


class Points:
    """Points of one curve, in the order of their times; `span_ns` is the span once it is thinned, else 0.

    Of several at one time the last one is shown.
    """

    def __init__(self, points_max: int = POINTS_MAX) -> None:
        self._max = points_max
        self._at_ns = array("q")
        self._values = array("d")
        self._newest_ns = self.span_ns = 0
        self._thinned = 0  # points from the begin on, of whole spans

    def __len__(self) -> int:
        return len(self._values)

    def add(self, at_ns: int, value: float) -> None:
        """Add a point. One that is earlier than the newest counts as at the same time."""
        if at_ns < self._newest_ns:
            at_ns = self._newest_ns
        self._newest_ns = at_ns
        self._at_ns.append(at_ns)
        self._values.append(value)
        if len(self._values) > self._max:
            self._thin()

    def curve(self, factor: float = 1.0, plus: float = 0.0) -> Curve:
        """Return the curve, each value times `factor` plus `plus`. Of points at one time only the last."""
        if self.span_ns:
            self._keep()
        times, values = self._at_ns, self._values
        last = len(times) - 1
        kept = [at for at in range(len(times)) if at == last or times[at] != times[at + 1]]
        return Curve(
            [times[at] for at in kept], [values[at] * factor + plus for at in kept], bool(self.span_ns)
        )

    def _thin(self) -> None:
        """Widen the spans until at most half of the points that are allowed remain."""
        length_ns = self._at_ns[-1] - self._at_ns[0]
        if not self.span_ns:
            self.span_ns = _NARROWEST_NS
            # Narrower spans cannot be few enough: most of them have a point.
            while length_ns // self.span_ns > self._max:
                self.span_ns *= 2
            while self._fewest() > self._max // 2 and self.span_ns <= length_ns:
                self.span_ns *= 2
        self._keep()
        while len(self._values) > self._max // 2 and self.span_ns <= length_ns:
            self.span_ns *= 2
            self._thinned = 0
            self._keep()

    def _fewest(self) -> int:
        """Return a number of points that the spans keep at least: those of a span, or its ends."""
        counts = Counter(map(floordiv, self._at_ns, repeat(self.span_ns)))
        return sum(count if count < _KEPT else 2 for count in counts.values())

    def _keep(self) -> None:
        """Keep of each span its first, lowest, highest and last point."""
        times, values, span_ns = self._at_ns, self._values, self.span_ns
        begin = self._thinned
        kept_ns, kept = times[:begin], values[:begin]
        while begin < len(times):
            end = bisect_left(times, (times[begin] // span_ns + 1) * span_ns, begin)
            if end == len(times):
                self._thinned = len(kept)  # more points may come in this span
            if end - begin < _KEPT:
                places: Sequence[int] = range(begin, end)
            else:
                span = values[begin:end]
                low, high = begin + span.index(min(span)), begin + span.index(max(span))
                places = sorted({begin, low, high, end - 1})
            for at in places:
                kept_ns.append(times[at])
                kept.append(values[at])
            begin = end
        self._at_ns, self._values = kept_ns, kept


class Benchmark:
    """What all instruments have gained, each bought at the close of its first bar.

    State: the first and the newest close of each instrument, exact, the newest as integers with their
    scales; and the curve of the sum of their gains. An instrument whose first bar comes later counts as money
    until then.
    """

    def __init__(self) -> None:
        self.firsts: dict[int, Decimal] = {}
        self._factors: dict[int, float] = {}
        self.newest: dict[int, tuple[int, int]] = {}
        self._gains: dict[int, float] = {}
        self._at_ns = 0
        self._pending = False
        self._points = Points()

    def close(self, number: int, price: int, scale: int, at_ns: int) -> None:
        """Note the close of a bar, not earlier than the newest."""
        if at_ns != self._at_ns:
            self._settle()
            self._at_ns = at_ns
        self._pending = True
        known = self.newest.get(number)
        if known == (price, scale):
            return
        if known is None or known[1] != scale:
            if known is None:
                self.firsts[number] = added(Decimal(0), price, scale)
            first = float(self.firsts[number])
            self._factors[number] = 1 / first / 10.0**scale if first > 0 else 0.0
        self.newest[number] = price, scale
        factor = self._factors[number]
        self._gains[number] = price * factor - 1 if factor else 0.0

    def held_prices(self) -> list[tuple[Decimal, Decimal]]:
        """Return (close of the first bar, last close) of each instrument that has bars."""
        return [(first, added(Decimal(0), *self.newest[number])) for number, first in self.firsts.items()]

    def curve(self, start: float) -> Curve:
        """Return the value of `start` money in equal parts; after the last bar."""
        bought = sum(1 for factor in self._factors.values() if factor)
        if not bought:
            return Curve()
        self._settle()
        return self._points.curve(start / bought, start)

    def _settle(self) -> None:
        """Add the point of the newest closes."""
        if self._pending:
            gains = self._gains.values()
            self._points.add(self._at_ns, math.fsum(gains) if len(gains) > 1 else next(iter(gains)))
            self._pending = False
