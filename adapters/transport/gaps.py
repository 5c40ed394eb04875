"""One coin's prints on their way to the engine: told once, in order, every hole measured and named.

Owns what happens between a loss and the first live print after it. Promises: a replay that overlaps the last
print seen closes the gap; one that does not is helped by asking the venue, while live prints wait; what
still cannot be proved is a `FeedGap` that is open, and is handed on for repair from the venue's candles.
Called by `feed.py` with the prints of each message. Memory and judgement of single prints are in
`prints.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec
import trio

from adapters.hyperliquid.decode import by_time
from adapters.hyperliquid.wire import WireTrade
from adapters.transport.connection import Loss
from adapters.transport.context import Desk, Recent
from adapters.transport.trades import Prints
from engine.errors import VenueError, VenueProtocolError
from engine.events import FeedGap, InstrumentListed, Trade

__all__ = ["Carrier", "Tape"]


class Carrier(Protocol):
    """The connection that carries a coin."""

    backfills: int

    def lose(self, loss: Loss) -> None:
        """Give the connection up."""
        ...

    def start_soon(self, task: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Run a task that ends with the connection."""
        ...


class Tape:
    """The prints of one instrument. `recent` is asked for missed ones, if given.

    `on_open_gap` takes (instrument, from, until): the venue's times between which bars are not whole.
    """

    def __init__(
        self,
        desk: Desk,
        listed: InstrumentListed,
        prints: Prints,
        recent: Recent | None,
        on_open_gap: Callable[[int, int, int], None],
    ) -> None:
        self._desk = desk
        self._instrument = listed.instrument
        self._coin = listed.name
        self._recent = recent
        self._on_open_gap = on_open_gap
        self.prints = prints

    def tell(self, trades: list[Trade], recv_ns: int, carrier: Carrier) -> None:
        """Tell live prints; hold, ask or judge after a loss."""
        prints = self.prints
        if prints.waiting is not None:
            prints.waiting += trades
            if len(prints.waiting) > self._desk.limits.waiting_max:
                self._give_up(recv_ns, carrier)
        elif not prints.resuming:
            self._desk.emit(*prints.take(trades))
            self._check(carrier)
        elif prints.reaches(trades):
            self._join(trades, True, recv_ns, carrier)
        elif prints.doubtful or not self._may_ask(carrier):
            self._join(trades, False, recv_ns, carrier)
        else:
            prints.waiting = trades
            carrier.start_soon(self._backfill, carrier)

    async def ask_if_silent(self, carrier: Carrier) -> None:
        """A coin that stays silent after a reconnect may be quiet, or have prints we missed."""
        prints = self.prints
        if prints.resuming and prints.waiting is None and self._may_ask(carrier):
            prints.waiting = []
            await self._backfill(carrier)

    def _check(self, carrier: Carrier) -> None:
        """A print that came again with other content: not to be trusted until everything is read anew."""
        if self.prints.doubtful:
            carrier.lose(Loss(f"{self._coin}: a print came again with other content"))

    def _join(self, trades: list[Trade], closed: bool, recv_ns: int, carrier: Carrier) -> None:
        """Join a replay to what was seen before: say what is known of the hole, then tell the new prints.

        A closed gap spans all of the interruption, as nothing of it is missing. An open one ends at the first
        print that is known again.
        """
        prints = self.prints
        from_ns = prints.last_ns
        prints.join()
        carried = [msgspec.structs.replace(trade, recv_ns=recv_ns) for trade in prints.carried]
        prints.carried = []
        fresh = prints.take(by_time(carried + trades))
        until_ns = max(prints.last_ns, recv_ns)
        to_ns = until_ns
        health = self._desk.health
        if closed:
            health.gaps_closed += 1
        else:
            health.gaps_open += 1
            # There may be another hole between what an earlier connection left and this replay: spanned too.
            known = {(trade.venue_ns, trade.trade_id) for trade in trades}
            ends = (
                one.venue_ns
                for one in fresh
                if one.venue_ns >= from_ns and (one.venue_ns, one.trade_id) in known
            )
            to_ns = next(ends, until_ns)
        gap = FeedGap(recv_ns, self._desk.name, self._instrument, from_ns, to_ns, closed)
        self._desk.emit(gap, *fresh)
        if not closed:
            self._on_open_gap(self._instrument, from_ns, until_ns)
        self._check(carrier)

    def _may_ask(self, carrier: Carrier) -> bool:
        return self._recent is not None and carrier.backfills < self._desk.limits.backfills_max

    async def _backfill(self, carrier: Carrier) -> None:
        """Ask the venue for the newest prints; what it prints meanwhile is held in `waiting`."""
        desk = self._desk
        assert self._recent is not None, "asked for only where there is somebody to ask"
        carrier.backfills += 1
        rows: list[WireTrade] | None = None
        with trio.move_on_after(desk.limits.backfill_s):
            try:
                rows = await self._recent(self._coin)
            except VenueError:
                desk.health.venue_errors += 1
        recv_ns = desk.clock.now_ns()
        prints = self.prints
        if prints.waiting is None:
            return  # given up meanwhile
        if rows is None:
            self._give_up(recv_ns, carrier)
            return
        try:
            recovered = desk.decoder.trades(reversed(rows), recv_ns)
        except VenueProtocolError:
            desk.health.venue_errors += 1
            self._give_up(recv_ns, carrier)
            return
        recovered = [trade for trade in recovered if trade.instrument == self._instrument]
        closed = prints.reaches(recovered) or (not rows and not prints.proved)
        self._join(by_time(recovered + self._release(recv_ns)), closed, recv_ns, carrier)

    def _give_up(self, recv_ns: int, carrier: Carrier) -> None:
        self._join(self._release(recv_ns), False, recv_ns, carrier)

    def _release(self, recv_ns: int) -> list[Trade]:
        """Return what was held, stamped anew: the engine learns of it only now, and time never goes back."""
        waiting, self.prints.waiting = self.prints.waiting or [], None
        return by_time([msgspec.structs.replace(trade, recv_ns=recv_ns) for trade in waiting])
