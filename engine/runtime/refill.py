"""Reads from the venue's history what strategies missed during a jump of the clock.

Owns the windows that still have to be read. Promises: a little after a jump, when the venue's candles have
their last trades, strategies receive the candles of the windows that ended in it, at most `[data]
warmup_bars` of each interval. A failed reading is reported and not repeated: a strategy that has seen a later
bar would not get them. Run by the live session.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import trio

from engine.clock import window_start
from engine.config import Config
from engine.errors import EngineError
from engine.events import ClockJumped, InstrumentListed
from engine.runtime.ingress import BATCH_MAX, Ingress
from engine.runtime.notices import Notice
from engine.runtime.plan import WarmUp
from engine.values import parse_interval

__all__ = ["REFILL_S", "Refill"]

REFILL_S: Final = 4.0
"""How long after a jump the candles are read, in real seconds: the last ones need a moment."""


class Refill:
    """The windows of jumps, by interval."""

    def __init__(
        self, config: Config, warm_up: WarmUp, now_ns: Callable[[], int], notify: Callable[[Notice], None]
    ) -> None:
        self._spans_ns = {name: parse_interval(name) for name in config.bars.intervals}
        self._most = config.data.warmup_bars
        self._warm_up = warm_up
        self._now_ns = now_ns
        self._notify = notify
        self._windows: dict[str, int] = {}
        self._wanted = trio.Event()

    def note(self, jumped: ClockJumped) -> None:
        """Note the windows that ended in a jump."""
        for name, span_ns in self._spans_ns.items():
            first_ns, last_ns = (window_start(span_ns, at) for at in (jumped.from_ns, jumped.to_ns))
            if last_ns > first_ns:
                count = -(-(last_ns - first_ns) // span_ns) + self._windows.get(name, 0)
                self._windows[name] = min(count, self._most)
        if self._windows:
            self._wanted.set()

    async def run(self, instruments: Sequence[InstrumentListed], ingress: Ingress) -> None:
        """Read what is noted, until cancelled."""
        while True:
            await self._wanted.wait()
            await trio.sleep(REFILL_S)
            self._wanted = trio.Event()
            windows, self._windows = self._windows, {}
            # What ended since the jump, while the candles were awaited, is read too: one more window.
            asked = {name: min(count + 1, self._most) for name, count in windows.items()}
            try:
                events = await self._warm_up(instruments, asked)
            except EngineError as error:
                self._notify(Notice("history", "failed", str(error)))
                continue
            now_ns = self._now_ns()
            read = [msgspec.structs.replace(event, recv_ns=now_ns) for event in events]
            for start in range(0, len(read), BATCH_MAX):
                await ingress.send(read[start : start + BATCH_MAX])
