"""Emits bars again that have changed since they closed: once for all late trades of a while, not for each.

After an interruption a venue sends what was missed at once: thousands of trades for the same few windows. A
bar with a late trade is emitted again WAIT_NS later (or `grace_ms`, if that is longer). With each correction
of the bar the wait for the next one doubles, up to DOUBLINGS times. A correction waits neither past midnight
nor past the end of the session or the time at which its bar is dropped, so the last revision has every trade.
A gap that is reported as closed makes bars complete in the same way: the trades that were missed follow it.

Owns the timers of corrections. Base class of the aggregator; `_emit_again` is the only place where a bar
gets its next revision.
"""

from __future__ import annotations

from typing import Final

from engine.actors.bars import Market, OpenBar, Series, bar_event
from engine.actors.base import Actor, Emit, SetTimer
from engine.clock import DAY_NS, SECOND_NS
from engine.values import InstrumentId

__all__ = ["LATE", "Corrections"]

WAIT_NS: Final = SECOND_NS
"""Shortest wait of a correction for more late trades."""

DOUBLINGS: Final = 6
"""The longest wait is 64 times the shortest one."""

LATE: Final = "late"
"""Part of the key of the timers of corrections."""


class Corrections(Actor):
    """State: per instrument, the bars that have changed and when each is due (`OpenBar`, `Market`)."""

    _markets: dict[InstrumentId, Market]
    _grace_ns: int

    def _correct_later(self, bar: OpenBar, instrument: int, at_ns: int, emit: Emit) -> None:
        """Note that a closed bar has changed: it is emitted again when it is due."""
        if bar.due_ns:
            return
        wait_ns = max(self._grace_ns, WAIT_NS) << min(bar.revision, DOUBLINGS)
        midnight_ns = at_ns - at_ns % DAY_NS + DAY_NS
        bar.due_ns = min(at_ns + wait_ns, midnight_ns - 1)
        market = self._markets[instrument]
        if not market.due_ns or bar.due_ns < market.due_ns:
            self._set_late_timer(instrument, bar.due_ns, emit)

    def _emit_corrections(
        self, instrument: int, at_ns: int, emit: Emit, *, all_of_them: bool = False
    ) -> None:
        """Emit the bars whose corrections are due, and set the timer of the next ones."""
        market = self._markets[instrument]
        if not market.due_ns:
            return
        market.due_ns = 0
        left: list[int] = []
        for series in market.series:
            for bar in series.closed:
                if bar.due_ns > at_ns and not all_of_them:
                    left.append(bar.due_ns)
                elif bar.due_ns:
                    self._emit_again(bar, instrument, series, "trade" if bar.unsent else "gap", at_ns, emit)
        if left:
            self._set_late_timer(instrument, min(left), emit)

    def _set_late_timer(self, instrument: int, due_ns: int, emit: Emit) -> None:
        self._markets[instrument].due_ns = due_ns
        emit(SetTimer(self.name, due_ns, f"{instrument} {LATE}"))

    def _emit_again(
        self, bar: OpenBar, instrument: int, series: Series, closed_by: str, at_ns: int, emit: Emit
    ) -> None:
        """Emit a closed bar with the next revision."""
        bar.revision += 1
        bar.unsent = False
        bar.due_ns = 0
        emit(bar_event(bar, instrument, series.interval_ns, closed_by, at_ns))
