"""The order books of a feed whose venue sends snapshots and diffs.

Owns the books of a channel and the requests for their snapshots. Promises: `BookRead` is emitted only for a
book that is in step, when its best levels changed, at most every `EVERY_MS`; a book that breaks is a
`FeedDamaged` of its instrument with the reason, and gets a new snapshot, at once the first time and then less
and less often while it breaks again; no other book is touched. A book whose best levels come near the end of
its snapshot gets a newer one without a break. Called by a venue's feed:

    feed.stream_up      -> books.expect(instruments)           pushed snapshots are due from now on
    snapshot, diff      -> books.take_snapshot, books.take_diff
    a hole in a number of the connection -> books.lose(instruments, reason)
    feed.stream_down    -> books.lose(instruments)             reported by FeedDown already
    feed.run            -> books.run                           late reads, and requests for snapshots

`ask` returns a pulled snapshot, or sends a request to subscribe again and returns None.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import trio

from adapters.transport.context import FeedContext
from adapters.transport.sequence import Diff, Snapshot
from adapters.transport.synced import EVERY_MS, SyncedBook
from engine.errors import VenueError
from engine.events import BookRead, InstrumentListed

__all__ = ["Ask", "Books"]

Ask = Callable[[InstrumentListed], Awaitable[Snapshot | None]]

_SNAPSHOT_S: Final = 10.0
"""How long a snapshot may take until it is asked for again."""
_BACKOFF_S_MIN: Final = 1.0
_BACKOFF_S_MAX: Final = 60.0
_CALM_S: Final = 10.0
"""A book in step for so long is asked for at once when it breaks."""
_AT_ONCE: Final = 4


class Books:
    """The books of one channel. `take` emits a book, `note` reports a damage (`Damages.note`)."""

    def __init__(
        self,
        context: FeedContext,
        channel: str,
        books: Iterable[SyncedBook],
        ask: Ask,
        take: Callable[[BookRead], None],
        note: Callable[[str, int, str], None],
    ) -> None:
        self._context = context
        self._channel = channel
        self._ask = ask
        self._take = take
        self._note = note
        self._books = {book.listed.instrument: book for book in books}
        self._due_at: dict[int, float] = {}  # trio's clock: when to ask for the snapshot of a book
        self._tries: dict[int, int] = {}  # requests since the book was in step for long
        self._good_at: dict[int, float] = {}
        self._refreshed_at: dict[int, float] = {}  # when a newer snapshot of a book in step was asked for
        self._asking = trio.CapacityLimiter(_AT_ONCE)
        self.breaks = 0

    def expect(self, instruments: Iterable[InstrumentListed]) -> None:
        """Expect the snapshots that follow a subscription; those that do not come are asked for."""
        for listed in instruments:
            book = self._books.get(listed.instrument)
            if book is not None and not book.pulled and book.state == "syncing":
                self._due_at[listed.instrument] = trio.current_time() + _SNAPSHOT_S

    def take_snapshot(self, instrument: int, snapshot: Snapshot, recv_ns: int) -> None:
        """Take a snapshot of a book."""
        book = self._books[instrument]
        self._read(book, recv_ns, waited=True)
        self._settle(instrument, recv_ns, book.take_snapshot(snapshot))

    def take_diff(self, instrument: int, diff: Diff, recv_ns: int) -> None:
        """Take a diff of a book. The first one asks for the snapshot, if that is pulled."""
        book = self._books[instrument]
        self._read(book, recv_ns, waited=True)
        self._settle(instrument, recv_ns, book.take_diff(diff))
        if book.waits and instrument not in self._due_at:
            self._due_at[instrument] = trio.current_time()

    def lose(self, instruments: Iterable[InstrumentListed], reason: str = "") -> None:
        """Leave books out of step; with a reason, report it and ask for new snapshots."""
        for listed in instruments:
            number = listed.instrument
            book = self._books.get(number)
            if book is None:
                continue
            book.lose(reason)
            self._due_at.pop(number, None)
            if reason:
                self._break(number, reason)
            else:
                self._tries[number] = 0

    async def run(self) -> None:
        """Emit what is due and ask for snapshots until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                await trio.sleep(EVERY_MS / 1000)
                now_ns = self._context.clock.now_ns()
                for book in self._books.values():
                    self._read(book, now_ns, waited=True)
                now = trio.current_time()
                for number, book in self._books.items():
                    if book.thin and now - self._refreshed_at.get(number, -_SNAPSHOT_S) >= _SNAPSHOT_S:
                        self._refreshed_at[number] = now
                        book.refresh()
                        nursery.start_soon(self._request, number)
                for number in [number for number, due_at in self._due_at.items() if due_at <= now]:
                    self._tries[number] = self._tries.get(number, 0) + 1
                    self._due_at[number] = now + max(_SNAPSHOT_S, self._backoff_s(number))
                    nursery.start_soon(self._request, number)

    def __str__(self) -> str:
        """Return one line: the number of books in each state."""
        states = [book.state for book in self._books.values()]
        counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
        return f"{counts}, broken {self.breaks} times"

    async def _request(self, number: int) -> None:
        book = self._books[number]
        async with self._asking:
            if book.state != "syncing" and not book.thin:
                return
            try:
                with trio.fail_after(_SNAPSHOT_S):
                    snapshot = await self._ask(book.listed)
            except (VenueError, trio.TooSlowError) as error:
                reason = str(error) or f"no answer in {_SNAPSHOT_S:g} s"
                self._note(self._channel, number, f"its snapshot cannot be read: {reason}")
                if book.state == "syncing":
                    self._due_at[number] = trio.current_time() + self._backoff_s(number)
                return
        if snapshot is not None:
            self.take_snapshot(number, snapshot, snapshot.recv_ns or self._context.clock.now_ns())

    def _settle(self, number: int, recv_ns: int, reason: str) -> None:
        book = self._books[number]
        if reason:
            self._break(number, reason)
        notice = book.take_notice()
        if notice:
            self._note(self._channel, number, notice)
        if book.state == "syncing":
            return
        if self._due_at.pop(number, None) is not None or number not in self._good_at:
            self._good_at[number] = trio.current_time()
        self._read(book, recv_ns)

    def _break(self, number: int, reason: str) -> None:
        self.breaks += 1
        now = trio.current_time()
        good_at = self._good_at.pop(number, None)
        if good_at is not None and now - good_at >= _CALM_S:
            self._tries[number] = 0
        self._note(self._channel, number, f"{reason}; a new snapshot is asked for")
        self._due_at[number] = now + self._backoff_s(number)

    def _backoff_s(self, number: int) -> float:
        tries: int = self._tries.get(number, 0)
        return min(_BACKOFF_S_MIN * 2.0 ** (tries - 1), _BACKOFF_S_MAX) if tries else 0.0

    def _read(self, book: SyncedBook, now_ns: int, *, waited: bool = False) -> None:
        read = book.read(now_ns, waited=waited)
        if read is not None:
            self._take(read)
