"""What the data of a period lacks: gaps of the feeds, and bars that lack trades.

Owns which gaps and bars still count at the end: a bar that a correction made complete does not. Promises at
most `ROWS_MAX` rows of each; all are counted. Called by the collector.
"""

from __future__ import annotations

from typing import Final

from engine.analysis.shapes import Gap, IncompleteBar
from engine.events import BarClosed, BarCorrected, FeedGap
from engine.instruments import Instruments
from engine.values import format_interval

__all__ = ["Doubts"]

ROWS_MAX: Final = 1_000

_BARS_MAX: Final = 50_000
"""Incomplete bars that a correction can still take back, the newest."""


class Doubts:
    """State: the gaps, the first ones as rows, and the incomplete bars by market, interval and start.

    Gaps that end before `begin_ns` do not count.
    """

    def __init__(self, instruments: Instruments) -> None:
        self.gaps: list[Gap] = []
        self.gaps_count = self.begin_ns = 0
        self._instruments = instruments
        self._bars: dict[tuple[int, int, int], tuple[int, str]] = {}
        self._older = 0

    @property
    def bars_count(self) -> int:
        """The number of incomplete bars."""
        return self._older + len(self._bars)

    def gap(self, seq: int, gap: FeedGap) -> None:
        """Note a gap, unless the venue's backlog shows that nothing is missing."""
        if not gap.closed and gap.to_ns >= self.begin_ns:
            self.gaps_count += 1
            if len(self.gaps) < ROWS_MAX:
                known = gap.instrument in self._instruments
                label = self._instruments.label(gap.instrument) if known else ""
                self.gaps.append(Gap(label, gap.from_ns, gap.to_ns, seq))

    def bar(self, seq: int, bar: BarClosed) -> None:
        """Note an incomplete bar."""
        self._bars[bar.instrument, bar.interval_ns, bar.start_ns] = seq, bar.because
        if len(self._bars) > _BARS_MAX:
            del self._bars[next(iter(self._bars))]
            self._older += 1

    def corrected(self, _seq: int, bar: BarCorrected) -> None:
        """Forget a bar that is complete now."""
        if not bar.incomplete:
            self._bars.pop((bar.instrument, bar.interval_ns, bar.start_ns), None)

    def bar_rows(self) -> list[IncompleteBar]:
        """Return the first incomplete bars."""
        rows = list(self._bars.items())[:ROWS_MAX]
        return [
            IncompleteBar(
                self._instruments.label(number), format_interval(interval_ns), start_ns, because, seq
            )
            for (number, interval_ns, start_ns), (seq, because) in rows
        ]
