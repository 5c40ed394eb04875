"""A live session with the parts that can fail: a slow or failing disk, a store.

Its time is the paced clock's: no result depends on how fast the machine is.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import trio

import engine.runtime.journal
from engine.clock import SystemClock
from engine.config import Config
from engine.errors import EngineError
from engine.events import Event, FeedUp, InstrumentListed, Trade
from engine.events.codec import Record
from engine.journal import Disk, JournalWriter
from engine.ports import Clock, Edge
from engine.runtime.ingress import Ingress
from engine.runtime.live import Live
from engine.runtime.notices import Notice
from engine.runtime.plan import LivePlan, LiveResult
from engine.runtime.projector import Projector
from engine.venue import LastTrades
from tests.pacing import pacing, sleep_in_thread
from tests.runtime.kit import LISTED, Counting, builder


class FaultyDisk(Disk):
    """A real disk that can be slow and fails the nth call of one kind; `fired` counts the failures."""

    def __init__(self, call: str = "", nth: int = 0, error: int = errno.EIO, times: int = 1) -> None:
        self.slow_s = 0.0
        self.fired = 0
        self.calls = 0
        self.failed_at = 0.0
        self._call, self._fails, self._error = call, range(nth, nth + times), error

    def _before(self, call: str) -> None:
        if call != self._call:
            return
        self.calls += 1
        if self.calls in self._fails:
            self.fired += 1
            self.failed_at = self.failed_at or time.process_time()
            raise OSError(self._error, os.strerror(self._error))

    def write(self, fd: int, data: memoryview | bytes) -> int:
        self._before("write")
        return super().write(fd, data)

    def create(self, path: Path) -> int:
        self._before("create")
        return super().create(path)

    def mkdir(self, path: Path) -> None:
        self._before("mkdir")
        super().mkdir(path)

    def fdatasync(self, fd: int) -> None:
        self._before("fdatasync")
        if self.slow_s:
            sleep_in_thread(self.slow_s)
        super().fdatasync(fd)

    def fsync_dir(self, path: Path) -> None:
        self._before("fsync_dir")
        super().fsync_dir(path)


def use_disk(monkeypatch: Any, disk: Disk) -> None:
    """Have live sessions write to this disk."""

    def writer(*args: Any, **kwargs: Any) -> JournalWriter:
        return JournalWriter(*args, **kwargs | {"disk": disk})

    monkeypatch.setattr(engine.runtime.journal, "JournalWriter", writer)


class Rig:
    """A session whose feed runs a script. `run(script)` returns when the session has ended."""

    def __init__(self, root: Path, settings: Config, clock: Clock | None = None, **plan: Any) -> None:
        self.root = root
        self.settings = settings
        self.clock = clock or SystemClock()
        self.live: Live
        self.ingress: Ingress
        self.result: LiveResult
        self.last: LastTrades = {}
        self.health: list[Notice] = []
        self.number = 0
        self._plan = plan

    async def run(self, script: Callable[[Rig], Awaitable[None]], *, stops: bool = True) -> LiveResult:
        """Run the script as the feed; unless `stops` is False, its end stops the session."""

        def make_feeds(
            instruments: Sequence[InstrumentListed], ingress: Ingress, last: LastTrades
        ) -> list[Edge]:
            self.ingress = ingress
            self.last = last

            async def play() -> None:
                await ingress.send([FeedUp(self.clock.now_ns(), "test", 1)])
                await script(self)
                if stops:
                    self.live.stop("script")
                await trio.sleep_forever()

            return [Edge("feed", play, fatal=(AssertionError,))]

        venue_events = self._plan.pop("venue_events", [])
        plan = LivePlan(
            root=self.root,
            config=self.settings,
            builder=builder(),
            clock=self.clock,
            ids=Counting(),
            instruments=self._plan.pop("instruments", [LISTED]),
            venue_events=venue_events,
            make_feeds=make_feeds,
            **self._plan,
        )
        self.live = Live(plan, self.health.append)
        async with pacing():
            self.result = await self.live.run()
        return self.result

    def trades(self, *prices: int) -> list[Event]:
        """Return a batch of trades, each with the clock's time."""
        made: list[Event] = []
        for price in prices:
            self.number += 1
            now = self.clock.now_ns()
            made.append(Trade(now, now, 1, price * 100, 1000, 1, self.number))
        return made

    async def send(self, *prices: int) -> None:
        await self.ingress.send(self.trades(*prices))

    async def record(self, *prices: int) -> None:
        """Send trades and wait until they are on disk."""
        await self.send(*prices)
        await self.durable()

    async def durable(self) -> None:
        """Wait until all sent events are on disk."""
        while self.ingress._inputs:
            await trio.lowlevel.checkpoint()
        await self.live.committer.settled()


class Rows:
    """A store in memory that keeps seqs, needs `slow_s` for a batch, and can be locked."""

    def __init__(self, slow_s: float = 0.0) -> None:
        self.seq = 0
        self.locked = False
        self.slow_s = slow_s
        self.running = self.most = 0
        self.gaps: list[tuple[int, int]] = []

    def apply(self, records: list[Record], *, seq: int, digest: bytes) -> int:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if self.slow_s:
                sleep_in_thread(self.slow_s)
            if self.locked:
                raise EngineError("rows.db: the database is locked")
            if records[0][0] > self.seq + 1:
                self.gaps.append((self.seq, records[0][0]))
            self.seq = seq
        finally:
            self.running -= 1
        return len(records)

    def catch_up(self, until_seq: int) -> int:
        if self.locked:
            raise EngineError("rows.db: the database is locked")
        self.seq = max(self.seq, until_seq)
        return self.seq

    def close(self) -> None:
        pass

    def projector(self, journal_id: bytes, durable_seq: int) -> Projector:
        return Projector(self, self.catch_up, durable_seq)
