"""The source of a live session: a view of the journal, up to the newest durable record.

Committed turns wait in a bounded queue, and a task of the server gives them to the view, a few at a time, so
that neither the sequencer nor the committer ever waits for it. A start passes the records of the newest day
to it while it reads them. After an error, and when the queue has overflowed, a new view is made of the newest
day's records, in a thread.
"""

from __future__ import annotations

import functools
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec
import trio

from engine.api.ports import Standing, harmless
from engine.api.problems import Problem
from engine.api.stream import Messages, frame_of
from engine.errors import UsageError
from engine.events.codec import Record, in_order
from engine.journal import list_days
from engine.records import open_day, records_of
from engine.runtime.committer import Committed
from engine.runtime.starting import Starting
from engine.views import queries
from engine.views.answers import Answer, Health
from engine.views.older import Older
from engine.views.shapes import Hello
from engine.views.stream import Changes, StreamMessage
from engine.views.trading import Defaults, no_defaults
from engine.views.view import View

__all__ = ["LiveSource"]

PAUSE_S: Final = 0.05
"""How long turns are gathered before the view gets them: what a person sees is that much late."""
WAITING_MAX: Final = 65_536
"""Records that may wait. Beyond it the journal is read instead."""
SLICE_RECORDS: Final = 200
"""After so many records, at the end of a frame, other tasks run."""
FLUSH_S: Final = 0.25
"""How often prices, and what follows from them, are sent."""
SHOWN_S: Final = 1.0
"""How long the answer of a command waits for the view."""
READERS_MAX: Final = 8
"""How many questions about older records may wait."""
QUIET_S: Final = 60.0
"""How long messages are still made after the last reader has gone: it may come back for them."""


class LiveSource:
    """Implements `ports.Source` for a live session. `lines` returns the lines of its health by name.

    `defaults` are those of a strategy's parameters; `starting` tells how far the start is, None after it.
    """

    def __init__(
        self,
        root: Path,
        journal: str,
        seq: int,
        lines: Callable[[], dict[str, str]],
        defaults: Defaults = no_defaults,
        starting: Starting | None = None,
    ) -> None:
        self.journal = journal
        self._starting = starting
        self.messages = Messages(seq)
        self._root = root
        self._lines = lines
        self._defaults = defaults
        self._view = View(journal, defaults=defaults)
        self._from_seq = seq
        self._ready = True
        self._began = False
        self._waiting: deque[Committed] = deque()
        self._records = 0
        self._durable_seq = seq
        self._dropped_seq = 0
        self._journal = Older(root, journal)
        self._reading = trio.CapacityLimiter(1)
        self._changes: Changes | None = None  # while somebody reads
        self._flushed = self._read = trio.current_time()
        self._synced = trio.current_time()
        self._wake = trio.Event()
        self._applied = trio.Event()
        self._following = False

    @property
    def standing(self) -> Standing:
        """Where the answers stand."""
        view = self._view
        return Standing(journal=self.journal, seq=view.seq, at_ms=view.at_ns // 1_000_000)

    def passing(self, records: Iterator[Record]) -> Iterator[Record]:
        """Pass on records, and give them to the view. After an error of the view it has to be made again."""
        batch: list[Record] = []
        try:
            for record in records:
                yield record
                batch.append(record)
                if len(batch) >= SLICE_RECORDS:
                    self._apply_quietly(batch)
                    batch = []
        finally:
            self._apply_quietly(batch)

    def _apply_quietly(self, batch: list[Record]) -> None:
        """Apply records of a start. What fails is read again when the session runs, and shows the error."""
        try:
            if self._ready:
                self._view.apply(batch)
        except Exception:
            self._ready = False
            self._from_seq = -1

    def take(self, committed: Committed) -> None:
        """Queue committed turns. Never waits, never raises."""
        self._durable_seq = committed.last_seq
        self._synced = trio.current_time()
        self._records += len(committed.inputs) + len(committed.derived)
        if self._records > WAITING_MAX:
            self._ready = False
            self._dropped_seq = committed.last_seq
            self._waiting.clear()
            self._records = 0
        else:
            self._waiting.append(committed)
        self._wake.set()

    def begin(self) -> None:
        """Begin to serve, or to serve again after an error."""
        whole = self._view.seq == self._from_seq and not self._dropped_seq
        self._ready = whole and not self._began
        self._began = True
        self.messages = Messages(self._view.seq)

    async def follow(self) -> None:
        """Keep the view in step until cancelled. Raises what the view raises."""
        self._following = True
        self._applied = trio.Event()
        try:
            while True:
                while not self._ready:
                    await self._read_day()
                self._wake = trio.Event()
                if not self._waiting:
                    with trio.move_on_after(math.inf if self._changes is None else FLUSH_S):
                        await self._wake.wait()
                await trio.sleep(PAUSE_S)
                await self._apply_waiting()
                self._flush()
        finally:
            self._following = False
            self._applied.set()

    async def answer(self, name: str, query: Mapping[str, str]) -> msgspec.Struct:
        """Return the answer of a path. Raises Problem."""
        self.check_begun()
        if not self._ready:
            raise Problem("starting", "the day's records are being read; ask again in a moment", retry_s=1)
        try:
            answer = queries.answer(self._view, name, query)
        except UsageError as error:
            raise Problem("bad_query", str(error)) from None
        if answer is None or queries.is_short(answer, query):
            answer = await self._older(name, query)
        if isinstance(answer, Health):
            ago_ms = (trio.current_time() - self._synced) * 1000
            synced = {"journal": f"seq {self._durable_seq}, last sync {ago_ms:.0f} ms ago"}
            answer.lines = self._lines() | synced
        return answer

    def check_begun(self) -> None:
        """See `Source`."""
        if self._starting is not None and not self._starting.done.is_set():
            raise Problem("starting", f"{self._starting}; ask again in a moment", retry_s=1)

    async def shown(self) -> None:
        """Wait until answers show what is durable now, SHOWN_S at most; not once the session ends."""
        seq = self._durable_seq
        with trio.move_on_after(SHOWN_S):
            while self._following and self._view.seq < seq:
                await self._applied.wait()

    async def _older(self, name: str, query: Mapping[str, str]) -> Answer:
        """Return an answer from the journal. One is read at a time, so that trading keeps its core."""
        if self._reading.statistics().tasks_waiting >= READERS_MAX:
            raise Problem("busy", "older records are being read for others; ask again in a moment", retry_s=1)
        view = self._view
        ask = functools.partial(self._journal.answer, seq=view.seq, at_ms=view.at_ns // 1_000_000)
        try:
            async with self._reading:
                return await trio.to_thread.run_sync(ask, name, query, abandon_on_cancel=True)
        except UsageError as error:
            raise Problem("bad_query", str(error)) from None

    def hello(self, *, read_only: bool) -> Hello:
        """Return the first message of a stream."""
        hello = Changes(self._view).hello()
        hello.read_only = read_only
        return hello

    async def _apply_waiting(self) -> None:
        while self._ready and self._waiting:
            records: list[Record] = []
            while self._waiting and len(records) < SLICE_RECORDS:
                committed = self._waiting.popleft()
                self._records -= len(committed.inputs) + len(committed.derived)
                if committed.last_seq > self._view.seq:  # else the journal had it
                    records += in_order(committed.first_seq, committed.inputs, committed.derived)
            self._view.apply(records)
            self._applied.set()
            self._applied = trio.Event()
            self._send(records)
            await trio.lowlevel.checkpoint()

    def _send(self, records: list[Record]) -> None:
        """Make messages of records that the view has, if somebody reads."""
        now = trio.current_time()
        if self.messages.readers:
            self._read = now
        if now - self._read > QUIET_S or not (self.messages.readers or self._changes):
            self._changes = None
            self.messages.reset(self._view.seq)
            return
        if self._changes is None:
            self._changes = Changes(self._view)
        found = self._changes.changes(records)
        self._add(found)

    def _flush(self) -> None:
        """Send the newest prices, if it is time."""
        now = trio.current_time()
        if self._changes is not None and now - self._flushed >= FLUSH_S:
            self._flushed = now
            found = self._changes.flush()
            self._add(found)

    def _add(self, found: list[StreamMessage]) -> None:
        frames = [(one.seq, frame_of(one.kind, harmless(one.data), one.seq)) for one in found]
        self.messages.add(frames, self._view.seq)

    async def _read_day(self) -> None:
        """Make a new view of the newest day's records that are durable now. A stop does not wait for it."""
        until = self._durable_seq
        read = functools.partial(_read_view, self._root, self.journal, until, self._defaults)
        self._view = await trio.to_thread.run_sync(read, abandon_on_cancel=True)
        self._changes = None
        self.messages.reset(self._view.seq)
        self._ready = self._view.seq >= self._dropped_seq  # else the queue overflowed meanwhile


def _read_view(root: Path, journal: str, until: int, defaults: Defaults = no_defaults) -> View:
    """Return a view of the newest day that begins by `until`. Runs in a thread."""
    view = View(journal, defaults=defaults)
    for day in reversed(list_days(root)):
        for frame in open_day(day.path):
            if frame.last_seq > until:
                break
            batch: list[Record] = list(records_of(frame))
            view.apply(batch)
        if view.seq:
            break
    return view
