"""Gap detection for one instrument's trades: each is emitted once, in order, and every gap is reported.

Owns the state between a loss and the first live trade after it. Promises: trades that are proved to follow
the last known one close the gap; otherwise the newest trades are read from the venue while live ones are
held; if that does not prove the gap closed, a `FeedGap` with `closed` False is emitted, and repair of its
bars from the venue's candles is requested. The memory of single trades is in `trades.py`.

How a venue proves that nothing is missing is passed in as `proof`: an overlap with trades that the venue
sends again on subscribing, or consecutive trade numbers. Called by a feed with the trades of a
message.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec
import trio

from adapters.transport.connection import Loss
from adapters.transport.context import FeedContext
from adapters.transport.trades import TradeMemory, by_time
from engine.errors import VenueError
from engine.events import FeedGap, InstrumentListed, Trade

__all__ = ["Carrier", "GapTracker", "Proof", "RecentTrades"]

RecentTrades = Callable[[InstrumentListed], Awaitable[list[Trade]]]
"""Returns the newest trades of an instrument, oldest first; raises VenueError."""

Proof = Callable[[TradeMemory, list[Trade]], bool]
"""Returns whether trades received after a loss prove that none is missing since the last known one.

Always False while the memory is doubtful.
"""


class Carrier(Protocol):
    """The stream that carries an instrument."""

    backfills: int

    def lose(self, loss: Loss) -> None:
        """Close the connection."""
        ...

    def start_soon(self, task: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Run a task that ends with the connection."""
        ...


class GapTracker:
    """The trades of one instrument. `recent`, if given, reads missed ones.

    `on_open_gap` takes (instrument, from, until): the venue's times between which bars are incomplete.
    """

    def __init__(
        self,
        context: FeedContext,
        listed: InstrumentListed,
        memory: TradeMemory,
        recent: RecentTrades | None,
        on_open_gap: Callable[[int, int, int], None],
        proof: Proof,
    ) -> None:
        self._context = context
        self._listed = listed
        self._instrument = listed.instrument
        self._recent = recent
        self._on_open_gap = on_open_gap
        self._proof = proof
        self.memory = memory

    def receive(self, trades: list[Trade], recv_ns: int, carrier: Carrier) -> None:
        """Emit live trades. After a loss, join them, or hold them and read the missed ones."""
        memory = self.memory
        if memory.waiting is not None:
            memory.waiting += trades
            if len(memory.waiting) > self._context.limits.waiting_max:
                self._give_up(recv_ns, carrier)
        elif not memory.resuming:
            self._context.emit(*memory.take(trades))
            self._check(carrier)
        elif self._proof(memory, trades):
            self._join(trades, True, recv_ns, carrier)
        elif memory.doubtful or not self._may_request(carrier):
            self._join(trades, False, recv_ns, carrier)
        else:
            memory.waiting = trades
            carrier.start_soon(self._backfill, carrier)

    async def check_if_silent(self, carrier: Carrier) -> None:
        """Read the newest trades of an instrument that is silent after a reconnect: some may be missing."""
        memory = self.memory
        if memory.resuming and memory.waiting is None and self._may_request(carrier):
            memory.waiting = []
            await self._backfill(carrier)

    def _check(self, carrier: Carrier) -> None:
        """Close the connection after a known trade id with other content, to read everything again."""
        if self.memory.doubtful:
            carrier.lose(Loss(f"{self._listed.name}: a print came again with other content"))

    def _join(self, trades: list[Trade], closed: bool, recv_ns: int, carrier: Carrier) -> None:
        """Join trades to the known ones: emit the gap, then the new trades.

        A closed gap spans the whole interruption. An open one ends at the first trade received after it.
        """
        memory = self.memory
        from_ns = memory.last_ns
        memory.join()
        carried = [msgspec.structs.replace(trade, recv_ns=recv_ns) for trade in memory.carried]
        memory.carried = []
        fresh = memory.take(by_time(carried + trades))
        until_ns = max(memory.last_ns, recv_ns)
        to_ns = until_ns
        health = self._context.health
        if closed:
            health.gaps_closed += 1
        else:
            health.gaps_open += 1
            # There may be another gap between the trades held by an earlier connection and these; it is
            # included.
            known = {(trade.venue_ns, trade.trade_id) for trade in trades}
            ends = (
                one.venue_ns
                for one in fresh
                if one.venue_ns >= from_ns and (one.venue_ns, one.trade_id) in known
            )
            to_ns = next(ends, until_ns)
        gap = FeedGap(recv_ns, self._context.name, self._instrument, from_ns, to_ns, closed)
        self._context.emit(gap, *fresh)
        if not closed:
            self._on_open_gap(self._instrument, from_ns, until_ns)
        self._check(carrier)

    def _may_request(self, carrier: Carrier) -> bool:
        return self._recent is not None and carrier.backfills < self._context.limits.backfills_max

    async def _backfill(self, carrier: Carrier) -> None:
        """Read the newest trades from the venue; live ones are held in `waiting` meanwhile."""
        context = self._context
        assert self._recent is not None, "missed trades are read over HTTP"
        carrier.backfills += 1
        recovered: list[Trade] | None = None
        with trio.move_on_after(context.limits.backfill_s):
            try:
                recovered = await self._recent(self._listed)
            except VenueError:
                context.health.venue_errors += 1
        recv_ns = context.clock.now_ns()
        memory = self.memory
        if memory.waiting is None:
            return  # the connection was lost meanwhile
        if recovered is None:
            self._give_up(recv_ns, carrier)
            return
        closed = self._proof(memory, recovered) or (not recovered and not memory.proved)
        recovered = [msgspec.structs.replace(trade, recv_ns=recv_ns) for trade in recovered]
        self._join(by_time(recovered + self._release(recv_ns)), closed, recv_ns, carrier)

    def _give_up(self, recv_ns: int, carrier: Carrier) -> None:
        self._join(self._release(recv_ns), False, recv_ns, carrier)

    def _release(self, recv_ns: int) -> list[Trade]:
        """Return the trades that were held, stamped now, since the engine's time never goes back."""
        waiting, self.memory.waiting = self.memory.waiting or [], None
        return by_time([msgspec.structs.replace(trade, recv_ns=recv_ns) for trade in waiting])
