"""Gap detection for one instrument's trades: each is emitted once, and every gap is reported.

Owns the state between a loss and the first live trade after it. Promises: trades that are proved to follow
the last known one close the gap; otherwise the newest trades are read from the venue while live ones are
held. All that arrived is emitted, whether that closes the gap or not. What is still missing is reported as
one `FeedGap` with `closed` False for each hole, from the last known trade before it to the first one after
it; the rest of the interruption is a closed gap. Repair of the holes' bars from the venue's candles is
requested. The memory of single trades is in `trades.py`.

A message or print that cannot be used (`damage`) leaves a hole too, without a loss: live trades go on, and
the hole is settled a little later (`doubts.py`).

How a venue proves that nothing is missing is passed in as `proof`: an overlap with trades that the venue
sends again on subscribing, or consecutive trade numbers. Called by a feed with the trades of a
message.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

import msgspec
import trio

from adapters.transport.context import FeedContext
from adapters.transport.doubts import Doubt, Hole, gaps_of
from adapters.transport.trades import Key, TradeMemory, by_time
from engine.clock import iso_text
from engine.errors import VenueError
from engine.events import FeedGap, InstrumentListed, Trade

__all__ = ["Carrier", "GapHost", "GapTracker", "Pieces", "Proof", "RecentTrades"]

Pieces = list[list[Trade]]
"""Trades of one instrument, oldest first. Within a piece none is missing; between two there may be one."""

RecentTrades = Callable[[InstrumentListed], Awaitable[Pieces]]
"""Returns the newest trades of an instrument; raises VenueError."""

Proof = Callable[[TradeMemory, list[Trade], Key | None], bool]
"""Returns whether a piece proves that no trade is missing since a known one (None: the last)."""


class Carrier(Protocol):
    """The stream that carries an instrument.

    `reached_ns` is the venue's time up to which it is known to have delivered, 0 if that is not known.
    """

    backfills: int
    reached_ns: int

    def start_soon(self, task: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Run a task that ends with the connection."""
        ...


class GapHost(NamedTuple):
    """What a tracker calls.

    `repair` takes (instrument, from, until): the venue's times between which bars are incomplete. `report`
    takes (instrument, reason, whether trades are newly in doubt) of a print that is left out.
    """

    repair: Callable[[int, int, int], None]
    report: Callable[[int, str, bool], None]


class GapTracker:
    """The trades of one instrument. `recent`, if given, reads missed ones."""

    def __init__(
        self,
        context: FeedContext,
        listed: InstrumentListed,
        memory: TradeMemory,
        recent: RecentTrades | None,
        host: GapHost,
        proof: Proof,
    ) -> None:
        self._context = context
        self._listed = listed
        self._instrument = listed.instrument
        self._recent = recent
        self._host = host
        self._proof = proof
        self._doubt = Doubt(context.limits)
        self._backlog_due = True  # the next trades may be the venue's old ones
        self._damaged = False  # whether something was damaged since the loss, before the request
        self.memory = memory

    @property
    def in_doubt(self) -> bool:
        """Whether a `FeedGap` is still to follow because of damage."""
        return self._doubt.begun

    @property
    def known(self) -> Key | None:
        """The last trade before all that may be missing; None if none is known. A venue that answers trades
        by their ids is asked for those since this one."""
        keys = [hole.after for hole in self._doubt.holes if not hole.conflict]
        return min([key for key in [*keys, self.memory.last_key] if key is not None], default=None)

    def lose(self) -> None:
        """Note a lost connection or subscription."""
        self.memory.lose()
        self._doubt.settling = False  # its task ended with the connection
        self._backlog_due = True

    def receive(self, pieces: Pieces, recv_ns: int, carrier: Carrier) -> None:
        """Emit live trades. After a loss, join them, or hold them and read the missed ones."""
        memory = self.memory
        if memory.waiting is not None:
            memory.waiting[-1] += pieces[0]
            memory.waiting += pieces[1:]
            if sum(map(len, memory.waiting)) > self._context.limits.waiting_max:
                self._join(self._release(), recv_ns, carrier)
        elif not memory.resuming:
            self._emit_live(pieces, carrier)
        elif self._is_proved(pieces) or not self._may_request(carrier):
            self._join(pieces, recv_ns, carrier)
        else:
            memory.waiting = pieces
            carrier.start_soon(self._backfill, carrier)

    def damage(self, carrier: Carrier) -> None:
        """Note that trades may be missing after the last known one."""
        memory = self.memory
        self._doubt.begin(memory.last_ns)
        if memory.waiting is not None:
            memory.waiting.append([])
        elif not memory.resuming:
            self._doubt.open_hole(memory.last_ns, memory.last_key)
            self._start_settling(carrier)
        else:
            self._damaged = True

    def doubt_since(self, from_ns: int) -> bool:
        """Let the gap that settles a doubt or a loss begin no later than `from_ns`; return False without one.

        An interruption can begin before this instrument's trades are lost: with another stream of the feed.
        """
        if not (self._doubt.begun or self.memory.resuming):
            return False
        self._doubt.begin(from_ns)
        return True

    async def check_if_silent(self, carrier: Carrier) -> None:
        """Read the newest trades of an instrument that is silent after a reconnect: some may be missing."""
        memory = self.memory
        if memory.resuming and memory.waiting is None and self._may_request(carrier):
            memory.waiting = [[]]
            await self._backfill(carrier)

    # ---- live

    def _emit_live(self, pieces: Pieces, carrier: Carrier) -> None:
        fresh = self._take(pieces[0], carrier)
        for piece in pieces[1:]:
            self._context.emit(*fresh)
            self.damage(carrier)
            fresh = self._take(piece, carrier)
        self._context.emit(*fresh)
        self._backlog_due = False

    def _take(self, piece: list[Trade], carrier: Carrier) -> list[Trade]:
        """Return the new trades of a live piece, and report those that cannot be used."""
        memory = self.memory
        fresh = memory.take(piece)
        if fresh:
            self._context.health.prints += len(fresh)
            if self._doubt.holes:
                self._doubt.close_hole(fresh[0].venue_ns)
        if memory.conflict is not None:
            self._report_conflict(carrier)
        if memory.too_old is not None:
            old, memory.too_old = memory.too_old, None
            if not self._backlog_due:
                self._context.health.prints_refused += 1
                self._host.report(
                    self._instrument,
                    f"{self._listed.name}: a print of {iso_text(old.venue_ns)} came at "
                    f"{iso_text(old.recv_ns)}: too old, or a clock is wrong",
                    False,
                )
        return fresh

    def _report_conflict(self, carrier: Carrier) -> None:
        """Report a known trade id with other content: which is right, only the candle can show."""
        conflict, self.memory.conflict = self.memory.conflict, None
        assert conflict is not None
        new = not self._doubt.begun
        self._doubt.begin(conflict.venue_ns)
        self._doubt.add_conflict(conflict.venue_ns)
        self._host.report(
            self._instrument, f"{self._listed.name}: a print came again with other content", new
        )
        self._start_settling(carrier)

    # ---- after a loss

    def _join(self, pieces: Pieces, recv_ns: int, carrier: Carrier, *, complete: bool = True) -> None:
        """Join pieces to the known trades: emit the gaps, then the new trades.

        Without any piece the gap is open, unless `complete` and no trade was known either. An empty piece at
        the end stands for damage that nothing has followed yet.
        """
        memory, doubt = self.memory, self._doubt
        from_ns = memory.last_ns
        ends_damaged = len(pieces) > 1 and not pieces[-1]
        memory.join()
        self._backlog_due = self._damaged = False
        found = [piece for piece in memory.carried + pieces if piece]
        memory.carried = []
        fresh: list[Trade] = []
        holes: list[Hole] = []
        joined = not (found or memory.proved) and complete
        for piece in sorted(found, key=lambda one: one[0].venue_ns):
            doubt.prove(piece, partial(self._proof, memory, piece))
            proved = self._proof(memory, piece, None)
            reached_ns, reached = memory.last_ns, memory.last_key
            fresh += self._take_late(piece)
            after = [one for one in piece if one.venue_ns >= reached_ns]
            if not proved and after:
                holes.append(Hole(reached_ns, after[0].venue_ns, reached))
            joined = joined or proved or bool(after)
        if not joined:
            holes.append(Hole(from_ns, recv_ns, memory.last_key))
        fresh = [msgspec.structs.replace(trade, recv_ns=recv_ns) for trade in fresh]
        memory.too_old = None
        self._context.health.prints += len(fresh)
        if memory.conflict is not None:
            self._report_conflict(carrier)
        if doubt.holes or ends_damaged:
            # One gap of each hole follows, once all are settled.
            doubt.begin(from_ns)
            doubt.add_holes(holes)
            if ends_damaged:
                doubt.open_hole(memory.last_ns, memory.last_key)
            self._context.emit(*fresh)
            self._start_settling(carrier)
            return
        self._emit_gaps(doubt.end(from_ns), holes, fresh, recv_ns)

    def _emit_gaps(self, from_ns: int, holes: list[Hole], fresh: list[Trade], recv_ns: int) -> None:
        self._context.health.gaps_open += bool(holes)
        self._context.health.gaps_closed += not holes
        until_ns = max(self.memory.last_ns, recv_ns)
        gaps = [
            FeedGap(recv_ns, self._context.name, self._instrument, *span)
            for span in gaps_of(from_ns, holes, until_ns)
        ]
        self._context.emit(*gaps, *fresh)
        if holes:
            self._host.repair(self._instrument, min(hole.from_ns for hole in holes), until_ns)

    def _is_proved(self, pieces: Pieces) -> bool:
        return any(self._proof(self.memory, piece, None) for piece in pieces)

    def _may_request(self, carrier: Carrier) -> bool:
        return self._recent is not None and carrier.backfills < self._context.limits.backfills_max

    async def _backfill(self, carrier: Carrier) -> None:
        """Read the newest trades from the venue; live ones are held in `waiting` meanwhile."""
        carrier.backfills += 1
        memory = self.memory
        count = len(memory.waiting or [[]])
        # What was damaged before the request is not delivered again: the answer has it.
        recovered = await self._read_recent(None if self._damaged else carrier)
        recv_ns = self._context.clock.now_ns()
        if memory.waiting is not None:
            pieces = self._release()
            if recovered is not None:
                if len(pieces) == count:
                    # The answer has all until it was given, the newest piece all since before the request.
                    pieces[-1] = by_time(recovered[-1] + pieces[-1])
                    recovered = recovered[:-1]
                pieces = [*recovered, *pieces]
            self._join(pieces, recv_ns, carrier, complete=recovered is not None)
        elif memory.resuming:
            memory.carry(recovered or [])  # the connection was lost meanwhile
        else:
            self._emit_recovered(recovered or [], recv_ns)  # too many trades waited

    async def _read_recent(self, carrier: Carrier | None = None) -> Pieces | None:
        """Return the newest trades of the venue, None if it does not give them.

        Those that a late `carrier` has not come to yet are left out: it will deliver them itself, in order.
        After damage none are: what was damaged is not delivered again.
        """
        context = self._context
        assert self._recent is not None, "missed trades are read over HTTP"
        with trio.move_on_after(context.limits.backfill_s):
            try:
                pieces = await self._recent(self._listed)
            except VenueError:
                context.health.venue_errors += 1
                return None
            if carrier is None or not carrier.reached_ns:
                return pieces
            held_ns = [one.venue_ns for piece in self.memory.waiting or [] for one in piece]
            until_ns = max([carrier.reached_ns, self.memory.last_ns, *held_ns])
            return [[one for one in piece if one.venue_ns <= until_ns] for piece in pieces]
        return None

    def _emit_recovered(self, pieces: Pieces, recv_ns: int) -> None:
        """Emit the trades of an answer that are new, after live ones that are newer."""
        for piece in pieces:
            self._doubt.prove(piece, partial(self._proof, self.memory, piece))
            fresh = [msgspec.structs.replace(one, recv_ns=recv_ns) for one in self._take_late(piece)]
            self._context.health.prints += len(fresh)
            self._context.emit(*fresh)
        self.memory.too_old = None

    def _take_late(self, piece: list[Trade]) -> list[Trade]:
        """Return the new trades of a piece, which may be older than known ones.

        Where time stamps are equal and ids do not count up, bars order trades by arrival. A new trade that
        the venue has before a known one of its time arrives in the wrong order: which of them opens or closes
        a bar, only the candle can show.
        """
        memory = self.memory
        fresh = memory.take(piece)
        if fresh and len(fresh) < len(piece) and self._listed.ids == "arrival":
            new = {(one.venue_ns, one.trade_id) for one in fresh}
            late = 0
            for one in piece:
                if (one.venue_ns, one.trade_id) in new:
                    late = one.venue_ns
                elif one.venue_ns == late:
                    self._doubt.begin(late)
                    self._doubt.add_conflict(late)
                    late = 0
        return fresh

    def _release(self) -> Pieces:
        """Return the trades that were held."""
        waiting, self.memory.waiting = self.memory.waiting or [[]], None
        return [by_time(piece) for piece in waiting]

    # ---- after damage

    def _start_settling(self, carrier: Carrier) -> None:
        if not self._doubt.settling:
            self._doubt.settling = True
            carrier.start_soon(self._settle, carrier)

    async def _settle(self, carrier: Carrier) -> None:
        """Read the newest trades, emit those that are missing, and report what is still missing."""
        doubt, memory = self._doubt, self.memory
        for wait_s in doubt.waits_s():
            await trio.sleep(wait_s)
            recovered = await self._read_recent() if self._recent is not None else None
            if memory.resuming:
                memory.carry(recovered or [])
                doubt.settling = False
                return  # the next trades are joined first
            if not doubt.begun:
                return
            self._emit_recovered(recovered or [], self._context.clock.now_ns())
            if memory.conflict is not None:
                self._report_conflict(carrier)
            if not doubt.provable or self._recent is None:
                break
        doubt.settling = False
        recv_ns = self._context.clock.now_ns()
        holes = doubt.holes
        self._emit_gaps(doubt.end(memory.last_ns), holes, [], recv_ns)
