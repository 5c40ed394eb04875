"""Parts of sessions in one process: strategies, a clock based on trio's, and replays of the journal."""

from __future__ import annotations

import importlib
from pathlib import Path

import trio

from engine.clock import ClockReadings
from engine.config import BarsConfig, Config, StrategyConfig
from engine.events import Event, InstrumentListed
from engine.journal import list_days
from engine.records import JournalHistory, open_day, read_records
from engine.session import SessionBuilder
from engine.strategies import Bar, Strategy, Tick
from replay.verification import replay_day

NOON = 1_733_400_000_000_000_000  # 2024-12-05T12:00:00Z
SECOND = 1_000_000_000
LISTED = InstrumentListed(0, 0, "test", "AAA", 2, 3)


class Fragile(Strategy):
    """Holds a position from its first trade on, and raises on a trade at price 666."""

    size: str = "0.5"

    def on_start(self) -> None:
        self.seen = 0
        self.closed = 0

    def on_trade(self, trade: Tick) -> None:
        if trade.price == 666.0:
            raise ValueError(f"cannot look at {object()}")
        self.seen += 1
        self.target("AAA", self.size if self.seen % 2 else "0.1")

    def on_bar(self, bar: Bar) -> None:
        self.closed += 1


class Steady(Fragile):
    """The same, but it never raises."""

    def on_trade(self, trade: Tick) -> None:
        self.seen += 1
        self.target("AAA", self.size if self.seen % 2 else "0.1")


class TestClock:
    """The engine's clock, based on trio's, so that a mock clock moves both. `shift_ns` steps it."""

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

    def readings(self) -> ClockReadings:
        now_ns, monotonic_ns = self.now_ns(), self.monotonic_ns()
        return ClockReadings(now_ns, now_ns, monotonic_ns, monotonic_ns)


class Counting:
    """Ids that count up: the same ids in every run."""

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


def events(root: Path) -> list[Event]:
    return [record[2] for day in list_days(root) for record in read_records(day.path)]


def of(kind: type[Event], root: Path) -> list[Event]:
    return [event for event in events(root) if isinstance(event, kind)]


def assert_replays(root: Path) -> None:
    """Assert that each day of the journal replays identical on its own."""
    days = list_days(root)
    assert days
    for day in days:
        report, _ = replay_day(open_day(day.path), builder(), history=JournalHistory(root))
        assert report.identical, (day.path.name, report.divergence)
