"""Which states of a book a feed may leave out of its record: those that it shows too seldom for.

A feed that keeps a book from changes records it at most every so often, and only when its best levels
changed; a decoder returns the state after every message. So every recorded book must be one of the decoded
states, and a state may be absent only for a reason: another one replaced it in less than that time, its
levels are those of the last record, the connection was lost or the recording ended before it was due, or the
feed reported that the book was damaged. Called by `redecode.py`.
"""

from __future__ import annotations

from collections.abc import Collection

from engine.events import BookRead

__all__ = ["BookState", "ThinnedBooks"]


class BookState:
    """A decoded state. `lasted_ns`: until the next one of its series; None: that is not decoded yet.

    `since_ns`: the last record of its series when it was decoded.
    """

    __slots__ = ("book", "lasted_ns", "since_ns", "unchanged")

    def __init__(self, book: BookRead, since_ns: int) -> None:
        self.book = book
        self.since_ns = since_ns
        self.lasted_ns: int | None = None
        self.unchanged = False


class ThinnedBooks:
    """The books of a recording, by instrument. `every_ns` is 0 if the feed records every book."""

    def __init__(self) -> None:
        self.every_ns = 0
        self._states: dict[int, BookState] = {}  # the newest one
        self._recorded: dict[int, BookRead] = {}
        self._damaged_ns: dict[int, int] = {}

    def clear(self) -> None:
        """Forget all books: a session ended."""
        self._states.clear()
        self._recorded.clear()
        self._damaged_ns.clear()

    def decode(self, book: BookRead) -> BookState:
        """Take note of a decoded state; it ends the one before."""
        before = self._states.get(book.instrument)
        if before is not None:
            self._end(before, book.recv_ns)
        last = self._recorded.get(book.instrument)
        state = BookState(book, last.recv_ns if last is not None else 0)
        self._states[book.instrument] = state
        return state

    def lose(self, recv_ns: int, speed: int, instruments: Collection[int] = ()) -> None:
        """Take note that the feed lost a connection, or ended, and so forgot the books not yet shown.

        `instruments` are those of the connection; () stands for all.

        Of a feed that ended, `recv_ns` is the last time of which the journal proves that it was running.
        Without another message it looks for due books again and again, in real time: one may be shown late.
        """
        for number in [number for number in self._states if not instruments or number in instruments]:
            state = self._states.pop(number)
            self._end(state, recv_ns)
            late_ns = 2 * self.every_ns * max(1, speed)
            state.unchanged = state.unchanged or recv_ns - state.book.recv_ns < late_ns

    def record(self, book: BookRead) -> None:
        """Take note of a recorded book."""
        self._recorded[book.instrument] = book

    def damage(self, instrument: int, recv_ns: int) -> None:
        """Take note of a damage that the feed reported; instrument 0 stands for all."""
        self._damaged_ns[instrument] = recv_ns

    def leaves_out(self, state: BookState) -> bool:
        """Return whether the feed leaves this state out by its rule."""
        if not self.every_ns:
            return False
        if state.lasted_ns is None:
            return self._is_recorded(state.book)
        return state.unchanged or state.lasted_ns < self.every_ns

    def is_damaged(self, state: BookState) -> bool:
        """Return whether the feed reported a damage since it last recorded the book of this state."""
        number = state.book.instrument
        newest_ns = max(self._damaged_ns.get(number, -1), self._damaged_ns.get(0, -1))
        return bool(self.every_ns) and newest_ns >= state.since_ns

    def _end(self, state: BookState, recv_ns: int) -> None:
        state.lasted_ns = recv_ns - state.book.recv_ns
        state.unchanged = self._is_recorded(state.book)

    def _is_recorded(self, book: BookRead) -> bool:
        last = self._recorded.get(book.instrument)
        return last is not None and (last.bids, last.asks) == (book.bids, book.asks)
