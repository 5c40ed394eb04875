"""Writes imported events to day folders of a journal, each complete or absent.

Promises: a day appears in the journal's root only when
`put` was given its last batch; leaving the block with an error removes the day in progress and keeps the
complete ones; a day that exists already is refused when its first event comes. Each day is an archive of
its own: own journal id, first seq 1. Called by the importer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec

from engine.clock import DAY_NS, day_of
from engine.errors import ImportRefused, UsageError
from engine.events import Candle, Event, InstrumentListed, Trade
from engine.journal import (
    DayBuilder,
    day_of_ns,
    list_segments,
    staged_day,
)
from engine.ports import Ids
from engine.records import draft_of

__all__ = ["FRAME_EVENTS_MAX", "DayWriter"]

FRAME_EVENTS_MAX: Final = 4096
"""Events in one frame of an imported day."""


class DayWriter:
    """Writes batches of inputs into days below `root`, in order of time; a context manager.

    `seal` compresses each day. The journal of a live session, now or later, may hold imported
    days only if they are sealed; leave days unsealed only in roots that hold nothing but imports. `done`
    lists the complete days, `digests` their last digest in hex.
    """

    def __init__(self, root: Path, *, ids: Ids, seal: bool = True) -> None:
        self.root = root
        self.done: list[str] = []
        self.digests: dict[str, str] = {}
        self.bytes_written = 0
        self.day: str | None = None
        self.count = 0
        self.first_ns = 0
        self.last_ns = 0
        self.report: Callable[[], None] = lambda: None
        self._ids = ids
        self._seal = seal
        self._made: list[Path] = []
        self._staged: AbstractContextManager[DayBuilder] | None = None
        self._builder: DayBuilder | None = None

    def __enter__(self) -> DayWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        staged, self._staged = self._staged, None
        try:
            if staged is not None:
                assert kind is not None, "a day was opened and never closed"
                staged.__exit__(kind, error, trace)
        finally:
            if not self.done:
                self._remove_made()

    def write(self, events: Iterable[Trade | Candle], listed: InstrumentListed) -> None:
        """Write events in order of time. Each day begins with `listed`, received at its first event."""
        batch: list[Event] = []
        day_end = 0
        try:
            for event in events:
                ns = event.recv_ns
                if ns >= day_end:
                    if batch:
                        self._flush(batch, last=True)
                    else:
                        self.first_ns = ns
                    day_end = self.open_day(ns)
                    batch = [msgspec.structs.replace(listed, recv_ns=ns)]
                elif len(batch) >= FRAME_EVENTS_MAX:
                    self._flush(batch, last=False)
                    batch = []
                batch.append(event)
                self.last_ns = ns
        except ImportRefused as error:
            if batch and error.at_ns >= day_end:
                self._flush(batch, last=True)
            raise
        if batch:
            self._flush(batch, last=True)

    def _flush(self, batch: list[Event], *, last: bool) -> None:
        first = batch[0]
        assert isinstance(first, InstrumentListed | Trade | Candle)
        self.put(batch, first.recv_ns, last=last)
        self.count += len(batch) - isinstance(first, InstrumentListed)
        self.report()

    def open_day(self, at_ns: int) -> int:
        """Begin the day that holds `at_ns` and return the nanosecond at which it ends.

        Raises UsageError when it exists already, JournalError when it cannot be begun.
        """
        assert self._staged is None, "the day before is still open"
        day = day_of(at_ns)
        if (self.root / day).exists():
            raise UsageError(
                f"{self.root / day} exists already; import into another journal folder, or move that day away"
            )
        self._make_root()
        staged = staged_day(
            self.root,
            day_of_ns(at_ns),
            journal_id=self._ids.random_bytes(16),
            salts=lambda: self._ids.random_bytes(16),
            seal=self._seal,
        )
        self._builder = staged.__enter__()
        self._staged = staged
        self.day = day
        return (at_ns // DAY_NS + 1) * DAY_NS

    def put(self, events: list[Event], at_ns: int, *, last: bool) -> None:
        """Write one frame, of engine time `at_ns`; `last` completes the day. Raises JournalError."""
        builder, staged = self._builder, self._staged
        assert builder is not None
        assert staged is not None
        assert self.day is not None
        builder.append(draft_of(builder.seq + 1, events, ends=last), at_ns)
        if last:
            self._staged = self._builder = None
            staged.__exit__(None, None, None)
            self.done.append(self.day)
            self.digests[self.day] = builder.digest.hex()
            self.bytes_written += sum(
                segment.path.stat().st_size for segment in list_segments(self.root / self.day)
            )
            self.day = None

    def outcome(self) -> str:
        """Return what is in the journal after an error, for people."""
        if not self.done:
            return "nothing was imported"
        kept = (
            self.done[0]
            if len(self.done) == 1
            else f"{len(self.done)} days, {self.done[0]} to {self.done[-1]},"
        )
        verb = "is complete and stays" if len(self.done) == 1 else "are complete and stay"
        return f"{kept} {verb}; nothing of the day after was written"

    def _make_root(self) -> None:
        missing = [path for path in (self.root, *self.root.parents) if not path.exists()]
        try:
            for path in reversed(missing):
                path.mkdir(mode=0o700, exist_ok=True)
                self._made.append(path)
        except OSError as error:
            raise UsageError(f"{self.root}: cannot be made: {error.strerror or error}") from error

    def _remove_made(self) -> None:
        """Remove the folders made for a journal that stayed empty."""
        for path in reversed(self._made):
            try:
                path.rmdir()
            except OSError:
                return
