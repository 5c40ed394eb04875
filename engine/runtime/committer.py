"""Makes turns durable, one frame per sync, and then releases their commands.

The sink of a live session. Turns gather while a sync is under way and go into the next frame together (group
commit): at most one frame is unsynced. A frame with nothing but market data may wait `idle_ms` for more
turns; an order, a cancel, a fill or an operator's command is written at once. The sync runs in a worker
thread; any failure poisons the journal and ends the session.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import msgspec
import trio

from engine.clock import DAY_NS, day_start_ns
from engine.events import (
    COMMANDS,
    ActorFailed,
    Event,
    OperatorCommand,
    OrderApproved,
    OrderCanceled,
    OrderFilled,
    OrderRejected,
    SessionStarted,
    SessionStopped,
    engine_time,
)
from engine.events.codec import Derived
from engine.journal import JournalWriter
from engine.ports import Effects
from engine.records import draft_of

__all__ = ["Committed", "Committer"]

IDLE_MS: Final = 20
FRAME_RECORDS_MAX: Final = 16_384
PENDING_RECORDS_MAX: Final = 131_072
"""Upper bound on records waiting for the disk. Beyond it the sequencer waits, and so do the feeds (J21)."""

_URGENT: Final = frozenset({*COMMANDS, OrderApproved, OrderFilled, OrderCanceled, OrderRejected, ActorFailed})
_URGENT_INPUTS: Final = frozenset({OperatorCommand, SessionStarted, SessionStopped})


class Committed(msgspec.Struct, frozen=True):
    """Turns that are on disk, and the chain digest at their end."""

    day: str
    first_seq: int
    inputs: list[Event]
    derived: list[Derived]
    digest: bytes

    @property
    def last_seq(self) -> int:
        """Seq of the last record."""
        return self.first_seq + len(self.inputs) + len(self.derived) - 1


class _Outcome(Protocol):
    """The result of a worker thread: the digest after the frame, or the error it raised."""

    def unwrap(self) -> bytes:
        """Return the digest, or raise."""
        ...


class _Chunk:
    """Turns of one day that wait to be written."""

    __slots__ = ("day", "derived", "first_seq", "inputs")

    def __init__(self, day: str, first_seq: int, inputs: list[Event], derived: list[Derived]) -> None:
        self.day = day
        self.first_seq = first_seq
        self.inputs = inputs
        self.derived = derived


class Committer:
    """The sink of a live session. `durable_seq` is the seq of the last record on disk.

    An urgent turn goes to the worker thread from `append` itself, and its commands are released from the
    callback of the thread: no task switch lies on this path.
    """

    def __init__(
        self,
        writer: JournalWriter,
        effects: Effects,
        notify: Callable[[Committed], None],
        idle_ms: int = IDLE_MS,
    ) -> None:
        self.durable_seq = writer.seq
        self.high_water = 0
        self._writer = writer
        self._effects = effects
        self._notify = notify
        self._idle_s = idle_ms / 1000
        self._day = ""
        self._chunks: deque[_Chunk] = deque()
        self._pending = 0
        self._urgent = False
        self._in_flight: _Chunk | None = None
        self._error: BaseException | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._wake = trio.Event()
        self._done = trio.Event()

    def open_day(self, day: str) -> None:
        """Begin a day. See `engine.ports.Sink`."""
        self._day = day

    def append(self, first_seq: int, inputs: list[Event], derived: list[Derived]) -> None:
        """Queue whole turns. See `engine.ports.Sink`."""
        count = len(inputs) + len(derived)
        last = self._chunks[-1] if self._chunks else None
        # Turns without inputs end a day. They stay a separate frame, by which a replay recognises them.
        if (
            last is not None
            and last.day == self._day
            and last.inputs
            and inputs
            and len(last.inputs) + len(last.derived) + count <= FRAME_RECORDS_MAX
        ):
            last.inputs += inputs
            last.derived += derived
        else:
            self._chunks.append(_Chunk(self._day, first_seq, inputs, derived))
        self._pending += count
        self.high_water = max(self.high_water, self._pending)
        self._urgent = (
            self._urgent
            or any(record[2].__class__ in _URGENT for record in derived)
            or any(event.__class__ in _URGENT_INPUTS for event in inputs)
        )
        if self._urgent:
            self._start()
        if last is None:
            self._wake.set()

    @property
    def backlogged(self) -> bool:
        """Whether the disk is so far behind that the sequencer should wait."""
        return self._pending > PENDING_RECORDS_MAX

    async def settled(self) -> None:
        """Wait until everything appended so far is durable."""
        while self._pending:
            self._urgent = True
            self._start()
            await self._done.wait()

    async def run(self) -> None:
        """Commit until cancelled. Raises JournalPoisoned when a write or sync fails.

        Does not return before the worker thread has finished, since the file is closed afterwards.
        """
        self._token = trio.lowlevel.current_trio_token()
        if self._urgent:
            self._start()
        try:
            while self._error is None:
                if not self._chunks:
                    self._wake = trio.Event()
                    await self._wake.wait()
                else:
                    await trio.sleep(self._idle_s)
                    self._start()
            raise self._error
        finally:
            with trio.CancelScope(shield=True):
                while self._in_flight is not None:
                    await self._done.wait()

    def _start(self) -> None:
        """Pass the oldest chunk to the worker thread, unless it is busy: one unsynced frame at a time."""
        if self._in_flight is not None or not self._chunks or self._error is not None or self._token is None:
            return
        chunk = self._in_flight = self._chunks.popleft()
        if not self._chunks:
            self._urgent = False
        draft = draft_of(chunk.first_seq, chunk.inputs, chunk.derived)
        append = functools.partial(self._writer.append, draft, _time_in_day(chunk))
        trio.lowlevel.start_thread_soon(append, self._deliver, "journal")

    def _deliver(self, outcome: _Outcome) -> None:
        """Runs in the worker thread: pass its result to the event loop."""
        assert self._token is not None
        self._token.run_sync_soon(self._finish, outcome)

    def _finish(self, outcome: _Outcome) -> None:
        """Called when a frame is durable: release its commands, report it, start an urgent next one."""
        chunk = self._in_flight
        assert chunk is not None
        self._in_flight = None
        try:
            digest = outcome.unwrap()
        except BaseException as error:
            self._error = error
        else:
            self._pending -= len(chunk.inputs) + len(chunk.derived)
            self.durable_seq = chunk.first_seq + len(chunk.inputs) + len(chunk.derived) - 1
            commands = [record for record in chunk.derived if record[2].__class__ in COMMANDS]
            if commands:
                self._effects.release(self.durable_seq, commands)
            self._notify(Committed(chunk.day, chunk.first_seq, chunk.inputs, chunk.derived, digest))
            if self._urgent:
                self._start()
        self._wake.set()
        self._done.set()
        self._done = trio.Event()


def _time_in_day(chunk: _Chunk) -> int:
    """Return the engine time of a chunk's first record, kept within the chunk's day."""
    first = chunk.inputs[0] if chunk.inputs else chunk.derived[0][2]
    start_ns = day_start_ns(chunk.day)
    return min(max(engine_time(first), start_ns), start_ns + DAY_NS - 1)
