"""Measures how late a live session handles what it receives, and keeps it able to read while it is late.

The lag of a batch is the longer of two times: from the receipt of its oldest input, or from when a timer was
due, to its turn; and how long a task that wakes four times a second was last kept waiting, because what lay
in the sockets could not be read for so long. The kernel's time of receipt would be closer, but under TLS it
belongs to no message; how late each connection is, the feed measures by the venue's times and by pings.

Owns when a lag is recorded (`EngineLagging`), and the size of batches: a batch takes about BATCH_S, so that
a slow handler keeps neither pings nor signals waiting for long, and after a long one the feeds read what has
arrived. What is queued takes about QUEUED_S: a stop has to wait for it. Called by `Live`. The order manager
decides by what is recorded, so a replay decides the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

import trio

from engine.config import Config
from engine.events import EngineLagging
from engine.ports import Clock
from engine.runtime.ingress import BATCH_MAX, INPUTS_MAX, Ingress

__all__ = ["Lag"]

BEAT_S: Final = 0.25
"""How often the event loop's own lateness is measured."""
BATCH_S: Final = 0.05
"""How long a batch should take: the next ones are as small as that needs."""
BATCH_FIRST: Final = 16
"""Inputs of the first batch."""
QUEUED_S: Final = 5.0
"""How long the queued inputs should take; more of them wait in the feeds."""
LONG_S: Final = 0.005
"""After a batch that took longer, the feeds read on."""
READ_S: Final = 0.05
"""How long they may, in one go."""
QUIET_PASSES: Final = 6
"""Passes of the event loop without a new input after which everything has been read: from the socket to the
queue a message needs up to four."""

_MS: Final = 1_000_000


class Lag:
    """The lag of one session. `speed`: seconds of the engine's clock per real second.

    `busiest` returns the handler of a strategy that took the most time since its last call, "" if none stands
    out, and its milliseconds. `now_ms` is the lag of the newest batch, `highest_ms` the highest one.
    `batch_max`: how many inputs the next batch may have.
    """

    def __init__(
        self, config: Config, clock: Clock, speed: float, busiest: Callable[[], tuple[str, int]]
    ) -> None:
        self.now_ms = 0
        self.highest_ms = 0
        self.batch_max = BATCH_FIRST
        self._clock = clock
        self._speed = speed
        self._busiest = busiest
        self._age_ms = config.risk.max_price_age_ms
        self._bound_ms = min((one for one in (config.limits.lag_ms, self._age_ms) if one), default=0)
        self._since_ns = 0
        self._overdue_ms = 0
        self._reported_ms = 0
        self._times = 0
        self._began_ns = 0
        self._lagged_ns = 0
        self._handlers: Counter[str] = Counter()

    def __str__(self) -> str:
        """Return one line."""
        text = f"lag {self.now_ms:,} ms, at most {self.highest_ms:,} ms"
        if not self._times:
            return text
        lagged_ns = self._lagged_ns
        if self._reported_ms:
            lagged_ns += self._clock.monotonic_ns() - self._began_ns
        text += f", {self._times:,} times above {self._bound_ms:,} ms for {lagged_ns / 1e9:,.1f} s"
        return text + "".join(f", {name} took {ms:,} ms" for name, ms in self._handlers.most_common(1))

    def look(self, oldest_ns: int, reached_ns: int) -> list[EngineLagging]:
        """Return what to record before the turn of what arrived, or was due, at `oldest_ns`.

        `reached_ns` is the engine's time: what is recorded must not make timers fire before it.
        """
        now_ns = self._clock.now_ns()
        self._since_ns = self._since_ns or now_ns  # what was due while the engine was down is not late
        waited_ns = now_ns - max(oldest_ns, self._since_ns)
        lag_ms = self.now_ms = max(int(waited_ns / self._speed) // _MS, self._overdue_ms, 0)
        self.highest_ms = max(self.highest_ms, lag_ms)
        if not self._is_reported(lag_ms):
            return []
        recovered = lag_ms <= self._bound_ms // 2
        handler, handler_ms = self._busiest()
        if handler:
            self._handlers[handler] += handler_ms
        if recovered:
            self._lagged_ns += self._clock.monotonic_ns() - self._began_ns
        elif not self._reported_ms:
            self._times += 1
            self._began_ns = self._clock.monotonic_ns()
        self._reported_ms = 0 if recovered else lag_ms
        return [EngineLagging(reached_ns, self._reported_ms, handler, handler_ms)]

    def ran(self, count: int, took_s: float) -> None:
        """Note how long a batch took: the next one takes about BATCH_S, and is at most twice as large."""
        if took_s > BATCH_S:
            self.batch_max = max(1, int(count * BATCH_S / took_s))
        else:
            self.batch_max = min(2 * self.batch_max, BATCH_MAX)

    async def beat(self, ingress: Ingress) -> None:
        """Measure the event loop's lateness until cancelled, and have it looked at if it matters."""
        while True:
            at = trio.current_time() + BEAT_S
            await trio.sleep_until(at)
            self._overdue_ms = int((trio.current_time() - at) * 1000)
            if self._reported_ms or 0 < self._bound_ms < self._overdue_ms:
                ingress.wake()

    async def let_read(self, ingress: Ingress, took_s: float) -> None:
        """Let other tasks run after a batch; after a long one, until everything that arrived has been read.

        The bound of the queue follows the size of batches.

        One pass of the loop reads one message of a connection. If every pass had a long batch, messages would
        arrive faster than they are read, and wait in the kernel, where nothing knows their age.
        """
        ingress.inputs_max = min(int(self.batch_max * QUEUED_S / BATCH_S), INPUTS_MAX)
        await trio.lowlevel.checkpoint()
        until = trio.current_time() + READ_S
        quiet = 0
        while took_s > LONG_S and quiet < QUIET_PASSES and trio.current_time() < until:
            received = ingress.received
            await trio.lowlevel.checkpoint()
            quiet = quiet + 1 if ingress.received == received else 0

    def _is_reported(self, lag_ms: int) -> bool:
        """Return whether a lag is recorded: the first above the bound, a much changed one, the recovery."""
        reported_ms = self._reported_ms
        if not reported_ms:
            return 0 < self._bound_ms < lag_ms
        if lag_ms > self._age_ms >= reported_ms:
            return True  # from here on openings are refused
        return 2 * lag_ms >= 3 * reported_ms or 2 * lag_ms <= reported_ms or 2 * lag_ms <= self._bound_ms
