"""Keeps a store in step with the journal while the engine trades. An edge: it may lag, fail and restart.

Takes committed turns through a bounded queue. When it starts, or is too far behind, it reads the journal
instead. Nothing waits for it, and nothing deterministic reads what it writes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import trio

from engine.events.codec import Record, in_order
from engine.runtime.committer import Committed

__all__ = ["Projection", "Projector"]

WAITING_MAX: Final = 2_000
"""Frames that may wait; beyond that the journal is read, which needs no memory."""
PAUSE_S: Final = 0.25
"""How long to gather frames for one transaction."""


class Projection(Protocol):
    """The writer of a store; see `engine.stores`. Called from one worker thread at a time."""

    @property
    def seq(self) -> int:
        """The last record whose rows are kept."""
        ...

    def apply(self, records: list[Record], *, seq: int, digest: bytes) -> int:
        """Add rows and move the cursor, in one transaction."""
        ...

    def close(self) -> None:
        """Checkpoint and close."""
        ...


class Projector:
    """See the module. `catch_up` reads the journal up to a durable seq and returns the seq reached."""

    def __init__(self, projection: Projection, catch_up: Callable[[int], int], durable_seq: int = 0) -> None:
        self.high_water = 0
        self._projection = projection
        self._catch_up = catch_up
        self._waiting: deque[Committed] = deque()
        self._behind = True
        self._last_seq = durable_seq
        self._wake = trio.Event()
        self._flushing = trio.Lock()

    @property
    def lag(self) -> int:
        """Records committed whose rows are not there yet."""
        return max(0, self._last_seq - self._projection.seq)

    def take(self, committed: Committed) -> None:
        """Take committed turns; never wait."""
        self._last_seq = committed.last_seq
        if self._behind or len(self._waiting) >= WAITING_MAX:
            self._waiting.clear()
            self._behind = True
        else:
            self._waiting.append(committed)
            self.high_water = max(self.high_water, len(self._waiting))
        self._wake.set()

    async def run(self) -> None:
        """Apply what is committed, for ever. Raises what the projection raises."""
        self._behind = True
        while True:
            await self.flush()
            self._wake = trio.Event()
            if not self._waiting and not self._behind:
                await self._wake.wait()
            await trio.sleep(PAUSE_S)

    async def flush(self) -> None:
        """Apply what has been committed until now; one call at a time, the others wait."""
        async with self._flushing:
            await self._flush()

    async def _flush(self) -> None:
        if self._behind:
            self._behind = False
            self._waiting.clear()
            try:
                await trio.to_thread.run_sync(self._catch_up, self._last_seq)
            except BaseException:
                self._behind = True
                raise
        if self._waiting:
            batch = list(self._waiting)
            self._waiting.clear()
            try:
                await trio.to_thread.run_sync(self._apply, batch)
            except BaseException:
                self._behind = True
                raise

    def _apply(self, batch: list[Committed]) -> None:
        records: list[Record] = []
        for committed in batch:
            records.extend(in_order(committed.first_seq, committed.inputs, committed.derived))
        last = batch[-1]
        self._projection.apply(records, seq=last.last_seq, digest=last.digest)
