"""Reads quotes and closed candles over HTTP while a stream stays down.

Decides when polling begins and ends. Promises: both are reported by `FeedPolling`; polls stay within the
budget of the `Governor`, so with many instruments they only get slower; candles of the shortest bar
are emitted for windows that are over, as "repair", each once. Run by `feed.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import trio

from adapters.transport.candles import CandleSource, stamped
from adapters.transport.context import FeedContext
from adapters.transport.governor import Priority
from adapters.transport.stream import Stream
from engine.errors import VenueError
from engine.events import FeedPolling, InstrumentListed

__all__ = ["Polling"]

_LOOK_S: Final = 1.0


class Polling:
    """Watches `streams`. `poll_quote` reads and emits the current quote; raises VenueError.

    `request_repair` is called for the polled windows when the stream is back: polling reads candles of the
    shortest interval only, and the venue's backlog may repeat the same trades.
    """

    def __init__(
        self,
        context: FeedContext,
        source: CandleSource,
        streams: Sequence[Stream],
        after_s: float,
        poll_quote: Callable[[InstrumentListed], Awaitable[None]],
        request_repair: Callable[[int, int, int], None],
    ) -> None:
        self._context = context
        self._source = source
        self._streams = streams
        self._base_ns = min(source.intervals_ns, default=0)
        self._after_s = after_s
        self._poll_quote = poll_quote
        self._request_repair = request_repair
        self._active = False
        # By instrument, while it is polled: where the emitted windows begin, and where they end.
        self._from_ns: dict[int, int] = {}
        self._next_ns: dict[int, int] = {}

    async def run(self) -> None:
        """Poll while a stream is down for long, until cancelled."""
        while True:
            await trio.sleep(_LOOK_S)
            down = [stream for stream in self._streams if self._is_long_down(stream)]
            if down and not self._active:
                self._active = True
                self._report(f"{self._context.health.last_loss}; down for {self._after_s:g} s")
            if not down:
                continue
            began = trio.current_time()
            for stream in down:
                for listed in stream.instruments:
                    if self._is_long_down(stream):
                        await self._poll(listed, stream.down_ns)
            await trio.sleep_until(began + self._context.limits.poll_s - _LOOK_S)

    def stream_up(self) -> None:
        """Called when a stream is up: stop polling if it was the last one down."""
        if self._active and not any(self._is_long_down(stream) for stream in self._streams):
            self._active = False
            self._report("")
            for instrument, from_ns in self._from_ns.items():
                self._request_repair(instrument, from_ns, self._context.clock.now_ns())
            self._from_ns.clear()
            self._next_ns.clear()

    def _report(self, reason: str) -> None:
        self._context.emit(
            FeedPolling(self._context.clock.now_ns(), self._context.name, self._active, reason)
        )

    def _is_long_down(self, stream: Stream) -> bool:
        return stream.down_since is not None and trio.current_time() - stream.down_since >= self._after_s

    async def _poll(self, listed: InstrumentListed, down_ns: int) -> None:
        """Read one instrument: its quote, and the candles of windows that are over since the last poll."""
        self._context.health.polls += 1
        try:
            await self._poll_quote(listed)
            if self._base_ns:
                await self._poll_candles(listed, down_ns)
        except VenueError:
            self._context.health.venue_errors += 1

    async def _poll_candles(self, listed: InstrumentListed, down_ns: int) -> None:
        now_ns = self._context.clock.now_ns()
        over_ns = now_ns // self._base_ns * self._base_ns
        if self._context.seconds_since(over_ns) < self._context.limits.grace_s:
            over_ns -= self._base_ns
        # The first poll begins with the window in which the connection was lost: trades are missing in it
        # too.
        start_ns = max(self._next_ns.get(listed.instrument, 0), down_ns // self._base_ns * self._base_ns)
        if start_ns >= over_ns:
            return
        candles = await self._source.read(
            listed,
            self._base_ns,
            start_ns,
            over_ns,
            purpose="repair",
            recv_ns=now_ns,
            priority=Priority.MARKET,
        )
        if not self._active:
            return  # the stream is back: repair follows its gap
        self._from_ns.setdefault(listed.instrument, start_ns)
        self._next_ns[listed.instrument] = over_ns
        self._context.emit(*stamped(candles, self._context.clock.now_ns()))
