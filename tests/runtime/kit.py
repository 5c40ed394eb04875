"""A live session in one process: a scripted feed, a clock over trio's, a replay of what it wrote."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import trio

from engine.config import BarsConfig, Config, StrategyConfig
from engine.events import Event, FeedUp, InstrumentListed, Trade
from engine.journal import list_days
from engine.ports import Edge
from engine.records import JournalHistory, open_day, read_records
from engine.runtime.ingress import Ingress
from engine.runtime.live import Live
from engine.runtime.plan import LivePlan
from engine.session import SessionBuilder
from engine.strategies import Bar, Strategy, Tick
from engine.venue import LastTrades
from replay.verification import replay_day

NOON = 1_733_400_000_000_000_000  # 2024-12-05T12:00:00Z
SECOND = 1_000_000_000
LISTED = InstrumentListed(0, 0, "test", "AAA", 2, 3)


class Fragile(Strategy):
    """Holds a position from its first print on, and raises on a print at price 666."""

    size: str = "0.5"

    def on_start(self) -> None:
        self.seen = 0
        self.bars = 0

    def on_trade(self, trade: Tick) -> None:
        if trade.price == 666.0:
            raise ValueError(f"cannot look at {object()}")
        self.seen += 1
        self.target("AAA", self.size if self.seen % 2 else "0.1")

    def on_bar(self, bar: Bar) -> None:
        self.bars += 1


class Steady(Fragile):
    """The same, and nothing disturbs it."""

    def on_trade(self, trade: Tick) -> None:
        self.seen += 1
        self.target("AAA", self.size if self.seen % 2 else "0.1")


class TestClock:
    """The engine's clock over trio's, so that a mock clock moves both. `shift_ns` steps it."""

    __test__ = False

    def __init__(self, start_ns: int = NOON) -> None:
        self.start_ns = start_ns
        self.shift_ns = 0

    def now_ns(self) -> int:
        return self.start_ns + self.shift_ns + int(trio.current_time() * SECOND)

    def monotonic_ns(self) -> int:
        return int(trio.current_time() * SECOND)

    def real_seconds_until(self, engine_ns: int) -> float:
        return (engine_ns - self.now_ns()) / SECOND


class Counting:
    """Ids that count up: the same in every run."""

    def __init__(self) -> None:
        self.number = 0

    def random_bytes(self, count: int) -> bytes:
        self.number += 1
        return self.number.to_bytes(count, "big")


def load(use: str) -> type[Strategy]:
    module, _, name = use.partition(":")
    found: type[Strategy] = getattr(importlib.import_module(module), name)
    return found


def builder() -> SessionBuilder:
    return SessionBuilder(load, "test", "0")


def config(*names: str, on_failure: str = "halt") -> Config:
    uses = tuple(StrategyConfig(use=f"tests.runtime.kit:{name}", on_failure=on_failure) for name in names)
    return Config(strategies=uses, bars=BarsConfig(intervals=("1m", "5m")))


Script = Callable[["Desk"], Awaitable[None]]


class Desk:
    """What a script may do: send prints, wait, look at the session, stop it."""

    def __init__(self, root: Path, settings: Config, clock: TestClock | None = None) -> None:
        self.root = root
        self.clock = clock or TestClock()
        self.settings = settings
        self.live: Live
        self.ingress: Ingress
        self.number = 0

    async def run(self, script: Script) -> None:
        """Run a session whose feed plays the script; it stops when the script ends."""

        def make_feeds(
            instruments: Sequence[InstrumentListed], ingress: Ingress, last: LastTrades
        ) -> list[Edge]:
            self.ingress = ingress

            async def play() -> None:
                await ingress.send([FeedUp(self.clock.now_ns(), "test", 1)])
                await script(self)
                self.live.stop("script")
                await trio.sleep_forever()

            return [Edge("feed", play, fatal=(Exception,))]

        plan = LivePlan(
            root=self.root,
            config=self.settings,
            builder=builder(),
            clock=self.clock,
            ids=Counting(),
            instruments=[LISTED],
            venue_events=[],
            make_feeds=make_feeds,
        )
        self.live = Live(plan, lambda _: None)
        with trio.fail_after(1_000_000):
            self.result = await self.live.run()

    async def print(self, price: int, size: int = 1) -> None:
        self.number += 1
        now = self.clock.now_ns()
        await self.ingress.send([Trade(now, now, 1, price * 100, size * 1000, 1, self.number)])
        await self.settled()

    async def say(self, *events: Event) -> None:
        await self.ingress.send(list(events))
        await self.settled()

    async def settled(self) -> None:
        """Wait until what was sent is in the journal."""
        for _ in range(5):
            await trio.lowlevel.checkpoint()
        await self.live.committer.settled()


def events(root: Path) -> list[Event]:
    return [record[2] for day in list_days(root) for record in read_records(day.path)]


def of(kind: type[Event], root: Path) -> list[Event]:
    return [event for event in events(root) if isinstance(event, kind)]


def assert_replays(root: Path) -> None:
    """Every day of the journal re-derives bit for bit, each alone."""
    days = list_days(root)
    assert days
    for day in days:
        report, _ = replay_day(open_day(day.path), builder(), history=JournalHistory(root))
        assert report.identical, (day.path.name, report.divergence)
