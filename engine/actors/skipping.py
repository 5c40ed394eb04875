"""What a jump of the clock means for bars: windows in which nothing was listened to.

Promises: such a window is never complete without proof. After a short jump each window has a bar, which waits
for the proof of its feed from the end of the jump on; where a feed proves nothing, it is in doubt until a
`FeedGap` settles it. A jump over more windows than can be corrected leaves a hole without bars: the bar that
was open closes as incomplete, and the next one begins with the first trade after the jump. Base class of the
aggregator.
"""

from __future__ import annotations

from engine.actors.bars import JUMPED
from engine.actors.base import Emit, handles
from engine.actors.candle_bars import CandleBars
from engine.actors.closing import REVISABLE_BARS_MAX
from engine.actors.doubts import begin_doubt
from engine.clock import window_start
from engine.events import ClockJumped

__all__ = ["SKIPPED_MAX", "Skipping"]

SKIPPED_MAX = REVISABLE_BARS_MAX
"""A jump over more windows than this leaves a hole instead of bars."""


class Skipping(CandleBars):
    """Handles `ClockJumped`. State: `_resumed_ns`, the end of the last jump (see `Closing`)."""

    @handles(ClockJumped)
    def note_jump(self, jumped: ClockJumped, emit: Emit) -> None:
        """Note which windows were not listened to."""
        if not jumped.ahead:
            return
        self._resumed_ns = jumped.to_ns
        for instrument in sorted(self._markets):
            bar = self._open.get(instrument)
            after_ns = jumped.from_ns if bar is None else bar.end_ns
            if (jumped.to_ns - after_ns) // self._base_ns > SKIPPED_MAX:
                self._skip(instrument, jumped, emit)
            elif not self._proves:
                self._markets[instrument].doubt_ns = jumped.to_ns
                self._doubt(instrument, jumped.recv_ns, emit)

    def _skip(self, instrument: int, jumped: ClockJumped, emit: Emit) -> None:
        """Close the bars of an instrument as incomplete, and leave the windows after them without one."""
        market, to_ns = self._markets[instrument], jumped.to_ns
        bar = self._open.get(instrument)
        if bar is not None:
            for one in (bar, *market.waiting, *(series.bar for series in market.series[1:])):
                if one.end_ns > jumped.from_ns or not (self._proves and self._is_proved(market, one)):
                    one.because = one.because or JUMPED
            self._end(instrument, market, bar)
            self._close_until(instrument, bar.end_ns, "timer", to_ns, emit)
            del self._open[instrument]
        market.fresh = True
        market.hole_ns = max(market.hole_ns, to_ns)
        market.done_ns = max(market.done_ns, window_start(self._base_ns, to_ns))

    def _doubt(self, instrument: int, at_ns: int, emit: Emit) -> None:
        """Mark the bars of an instrument that are not settled as doubtful."""
        market = self._markets[instrument]
        begin_doubt(market, self._open.get(instrument))
        own = [self._open[instrument]] if instrument in self._open else []
        for bar in (*own, *market.waiting, *(series.bar for series in market.series)):
            bar.doubtful = True
        if market.lagging:
            self._doubt_lagging(instrument, at_ns, emit)
