"""How much of the equity was at risk: time long and short, gross and net notional.

Owns the weighting by time. Notional is measured at each change of a position and at the first mark of the
account in every five minutes, at the newest close of a bar or fill of the instrument; until the next measure
it counts as it was. Promises constant memory beside the two curves. Called by the collector.
"""

from __future__ import annotations

from typing import Final

from engine.analysis.curves import Points
from engine.analysis.shapes import Curve, Exposure
from engine.clock import SECOND_NS

__all__ = ["Exposures"]

_EVERY_NS: Final = 300 * SECOND_NS

Key = tuple[int, str]


class Exposures:
    """State: sizes of the books and prices of the markets as floats, the newest measure, and the sums.

    `held_ns` is the time with a position, of any kind.
    """

    def __init__(self) -> None:
        self.held_ns = 0
        self._sizes: dict[Key, float] = {}
        self._prices: dict[int, float] = {}
        self._since_ns = self._long_ns = self._short_ns = 0
        self._changed = True
        self._due_ns = self._measured_ns = 0
        self._gross = self._net = 0.0
        self._gross_sum = self._net_sum = 0.0
        self._gross_max = self._net_min = self._net_max = 0.0
        self._known = False
        self._gross_points, self._net_points = Points(), Points()

    def begin(self, at_ns: int) -> None:
        """Begin the period."""
        self._since_ns = self._measured_ns = at_ns

    def price(self, number: int, price: float) -> None:
        """Note the newest price of a market."""
        self._prices[number] = price

    def hold(self, key: Key, size: float, at_ns: int) -> None:
        """Note the signed size of a book."""
        if self._sizes.get(key, 0.0) == size:
            return
        self._count(at_ns)
        if size:
            self._sizes[key] = size
        else:
            del self._sizes[key]
        self._changed = True

    def mark(self, at_ns: int, equity: float) -> None:
        """Measure at a mark of the account, if it is time to."""
        if at_ns < self._due_ns and not self._changed:
            return
        self._weigh(at_ns)
        self._due_ns, self._changed = (at_ns // _EVERY_NS + 1) * _EVERY_NS, False
        gross = net = 0.0
        for (number, _), size in self._sizes.items():
            value = size * self._prices.get(number, 0.0)
            gross += abs(value)
            net += value
        if equity <= 0:
            self._gross = self._net = 0.0
            return
        self._known = True
        self._gross, self._net = gross / equity * 100, net / equity * 100
        self._gross_max = max(self._gross_max, self._gross)
        self._net_min, self._net_max = min(self._net_min, self._net), max(self._net_max, self._net)
        self._gross_points.add(at_ns, self._gross)
        self._net_points.add(at_ns, self._net)

    def finish(self, at_ns: int) -> None:
        """End the period."""
        self._count(at_ns)
        self._weigh(at_ns)

    def result(self, span_ns: int) -> Exposure:
        """Return the percentages of a period of this length."""
        if span_ns <= 0:
            return Exposure(reason="the period has no length")
        held, long, short = (part / span_ns * 100 for part in (self.held_ns, self._long_ns, self._short_ns))
        if not self._known:
            return Exposure(held, long, short, reason="the equity is not known, or never was above 0")
        return Exposure(
            held,
            long,
            short,
            self._gross_sum / span_ns,
            self._gross_max,
            self._net_sum / span_ns,
            self._net_min,
            self._net_max,
        )

    @property
    def holding(self) -> bool:
        """Whether any book holds something."""
        return bool(self._sizes)

    def curves(self) -> tuple[Curve, Curve]:
        """Return gross and net notional, in percent of the equity."""
        return self._gross_points.curve(), self._net_points.curve()

    def _count(self, at_ns: int) -> None:
        """Add the time until now with what is held."""
        passed = max(0, at_ns - self._since_ns)
        self._since_ns = max(self._since_ns, at_ns)
        if self._sizes and passed:
            self.held_ns += passed
            sizes = self._sizes.values()
            self._long_ns += passed if max(sizes) > 0 else 0
            self._short_ns += passed if min(sizes) < 0 else 0

    def _weigh(self, at_ns: int) -> None:
        """Weigh the newest measure by its time."""
        passed = max(0, at_ns - self._measured_ns)
        self._measured_ns = max(self._measured_ns, at_ns)
        self._gross_sum += self._gross * passed
        self._net_sum += self._net * passed
