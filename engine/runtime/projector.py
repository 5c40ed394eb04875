"""Keeps one store in step with the journal while the engine trades. An edge: it may lag, fail and restart.

Takes committed turns through a bounded queue; when it falls too far behind, or starts, it reads the journal
instead. Nothing waits for it, and nothing deterministic reads what it writes. A session has one for each
store, so that a store which fails or hangs stops neither trading nor the other stores.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import trio

from engine.events.codec import Record, in_order
from engine.runtime.committer import Committed

__all__ = ["Projector", "Writer"]

WAITING_MAX: Final = 2_000
"""Upper bound on queued frames; beyond it the journal is read instead, which needs no memory."""
RECORDS_MAX: Final = 131_072
"""The same for their records: a burst has thousands in a frame."""
PAUSE_S: Final = 0.25
"""How long frames are gathered for one batch."""


class Writer(Protocol):
    """What a projector needs of `engine.stores.writer.StoreWriter`. Called by one thread at a time."""

    @property
    def seq(self) -> int:
        """Seq of the last record whose rows are written."""
        ...

    def apply(self, records: list[Record], *, seq: int, digest: bytes) -> int:
        """Write rows and move the cursor."""
        ...

    def close(self) -> None:
        """Close the store."""
        ...


class Projector:
    """The projector of one store. `catch_up` reads the journal up to a durable seq, and returns the seq."""

    def __init__(self, writer: Writer, catch_up: Callable[[int], int], durable_seq: int = 0) -> None:
        self.high_water = 0
        self._writer = writer
        self._catch_up = catch_up
        self._waiting: deque[Committed] = deque()
        self._records = 0  # of those that wait
        self._behind = True
        self._last_seq = durable_seq
        self._wake = trio.Event()
        self._flushing = trio.Lock()

    @property
    def lag(self) -> int:
        """Number of committed records whose rows are not written yet."""
        return max(0, self._last_seq - self._writer.seq)

    def __str__(self) -> str:
        """How far behind the store is, for the health line."""
        return f"{self.lag:,} records behind" if self.lag else "up to date"

    def take(self, committed: Committed) -> None:
        """Queue committed turns. Never waits."""
        self._last_seq = committed.last_seq
        self._records += len(committed.inputs) + len(committed.derived)
        if self._behind or len(self._waiting) >= WAITING_MAX or self._records > RECORDS_MAX:
            self._take_waiting()
            self._behind = True
        else:
            self._waiting.append(committed)
            self.high_water = max(self.high_water, len(self._waiting))
        self._wake.set()

    async def run(self) -> None:
        """Write committed turns until cancelled. Raises what the store raises."""
        self._behind = True
        while True:
            await self.flush()
            self._wake = trio.Event()
            if not self._waiting and not self._behind:
                await self._wake.wait()
            await trio.sleep(PAUSE_S)

    async def flush(self) -> None:
        """Write what has been committed so far. One call runs at a time, others wait."""
        async with self._flushing:
            await self._flush()

    def close(self) -> None:
        """Close the store. Raises what the store raises."""
        self._writer.close()

    async def _flush(self) -> None:
        if self._behind:
            self._behind = False
            self._take_waiting()
            try:
                await trio.to_thread.run_sync(self._catch_up, self._last_seq)
            except BaseException:
                self._behind = True
                raise
        if batch := self._take_waiting():
            try:
                await trio.to_thread.run_sync(self._apply, batch)
            except BaseException:
                self._behind = True
                raise

    def _take_waiting(self) -> list[Committed]:
        batch = list(self._waiting)
        self._waiting.clear()
        self._records = 0
        return batch

    def _apply(self, batch: list[Committed]) -> None:
        records: list[Record] = []
        for committed in batch:
            records.extend(in_order(committed.first_seq, committed.inputs, committed.derived))
        last = batch[-1]
        self._writer.apply(records, seq=last.last_seq, digest=last.digest)
