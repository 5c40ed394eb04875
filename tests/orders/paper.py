"""Runs a plan as a paper session in one process: no clock, no files, no tasks.

`Run` feeds the steps of a plan to the real sequencer and actors, one input at a time, and keeps every record
and everything that the strategies read. `check` follows the records with the model and returns what breaks
the rules; `assert_replays` derives the session again. Used by the tests of random sequences and by `shrink`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from fractions import Fraction
from random import Random
from typing import Any

from engine.clock import DAY_NS, day_start_ns
from engine.config import AccountConfig, BarsConfig, Config, PaperConfig, RiskConfig, StrategyConfig
from engine.events import (
    BookRead,
    Candle,
    ClockAdvanced,
    ContextRead,
    DayOpened,
    Event,
    FeedDown,
    FeedGap,
    FeedUp,
    InstrumentListed,
    OperatorCommand,
    Quote,
    SessionStopped,
    TimerFired,
    Trade,
    engine_time,
)
from engine.events.codec import Record
from engine.sequencer import Sequencer
from engine.session import SessionBuilder
from engine.strategies import Strategy
from engine.values import parse_scaled
from replay.verification import DayReplay
from tests.orders import scripted
from tests.orders.facts import Broken, Read
from tests.orders.invariants import check_end, check_turn
from tests.orders.model import Model
from tests.orders.paper_fills import PaperFills
from tests.orders.scripted import Action, Scripted
from tests.orders.sequences import NAMES, PRICE_SCALE, SIZE_SCALE, STRATEGIES, Plan, Settings, Step
from tests.replay.kit import Memory

MS = 1_000_000
MINUTE_NS = 60_000 * MS
DAY = "2024-12-05"
NOON = day_start_ns(DAY) + DAY_NS // 2 - 30_000 * MS  # half a minute before funding is settled
EVE = day_start_ns(DAY) + DAY_NS - 20_000 * MS
SESSION = "00000000000000aa"
RATE_SCALE = 9


def load(use: str) -> type[Strategy]:
    """Return the only class that these sessions run."""
    assert use == "tests.orders.scripted:Scripted"
    return Scripted


BUILDER = SessionBuilder(load, "test", "0")


def config_of(plan: Plan) -> Config:
    """Return the configuration of a plan: its settings, and the script of each strategy."""
    settings = plan.settings
    begin_ns = begin_of(settings)
    scripts = scripts_of(plan)
    entries = tuple(
        StrategyConfig(
            use="tests.orders.scripted:Scripted",
            name=name,
            params={"script": scripts[name], "label": name, "begin_ns": begin_ns},
            on_failure=settings.on_failure,
        )
        for name in STRATEGIES
    )
    return Config(
        strategies=entries,
        bars=BarsConfig(intervals=("1m",)),
        risk=RiskConfig(
            max_order_notional="1000000",
            max_position_notional=settings.position_notional,
            max_orders_per_minute=settings.orders_per_minute,
        ),
        paper=PaperConfig(
            latency_ms=settings.latency_ms,
            taker_fee=settings.taker_fee,
            maker_fee=settings.maker_fee,
            slippage_bps=settings.slippage_bps,
            fill_on_touch=settings.fill_on_touch,
        ),
        account=AccountConfig(cash=settings.cash),
    )


def begin_of(settings: Settings) -> int:
    """Return when a plan's session begins: at a whole minute, or shortly before midnight."""
    return EVE if settings.begin == "eve" else NOON


def scripts_of(plan: Plan) -> dict[str, str]:
    """Return the script of each strategy as JSON."""
    scripts: dict[str, list[Any]] = {name: [] for name in STRATEGIES}
    at_ms = 0
    for step in plan.steps:
        at_ms += step.after_ms
        if step.kind == "call":
            strategy, hook, *call = step.values
            scripts[strategy].append([at_ms, hook, *call])
    return {name: json.dumps(script) for name, script in scripts.items()}


class Run:
    """One session. `memory` holds its records, `reads` what strategies read in their hooks."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.config = config_of(plan)
        self.memory = Memory()
        self.reads: dict[int, list[Read]] = {}
        self.now_ns = begin_of(plan.settings)
        self.trades = 0
        self.sessions = 0
        self.sequencer = Sequencer(BUILDER, self.memory, self.memory)
        self._start()
        self.sequencer.run(list(self._listings()))

    def play(self) -> Run:
        """Run every step, then stop the session."""
        scripted.watch_with(self._watch)
        try:
            for step in self.plan.steps:
                self.now_ns += step.after_ms * MS
                self._do(step)
            self._stop()
        finally:
            scripted.watch_with(None)
        return self

    def records(self) -> Iterable[Record]:
        """Return every record by rising seq."""
        return self.memory.all()

    def _watch(self, strategy: Scripted, what: str, event: Any, action: Action) -> None:
        """Keep what a strategy reads and calls, by the event that it handles."""
        self.reads.setdefault(id(event), []).append(Read(strategy.label, what, action))

    def _start(self) -> None:
        self.sessions += 1
        started = BUILDER.start(
            recv_ns=self.now_ns, session=f"{self.sessions:016x}", mode="paper", config=self.config
        )
        self.sequencer.run([started])

    def _stop(self) -> None:
        self.sequencer.run([OperatorCommand(self.now_ns, "stop")])
        for _ in range(12):
            self.now_ns += 1000 * MS
            self.sequencer.run([ClockAdvanced(self.now_ns)])
        self.sequencer.run([SessionStopped(self.now_ns, f"{self.sessions:016x}", "test")])

    def _listings(self) -> Iterator[InstrumentListed]:
        for number, name in NAMES.items():
            kind = "spot" if self.plan.settings.spot and name == "BBB" else "perp"
            yield InstrumentListed(
                self.now_ns, number, "sim", name, PRICE_SCALE[number], SIZE_SCALE[number], kind=kind
            )

    def _do(self, step: Step) -> None:
        kind = step.kind
        if kind == "call":
            return
        if kind == "restart":
            self._stop()
        if kind in ("restart", "kill"):
            self.sequencer = resumed(self.memory)
            self._start()
            return
        self.sequencer.run([self._event(step)])

    def _event(self, step: Step) -> Event:
        now, market, values = self.now_ns, step.market, step.values
        if step.kind == "trade":
            self.trades += 1
            return Trade(now, now - 3 * MS, market, *values, self.trades)
        if step.kind == "quote":
            return Quote(now, now - 3 * MS, market, *values)
        if step.kind == "book":
            bids, asks = (tuple((price, size, 1) for price, size in side) for side in values)
            return BookRead(now, now - 3 * MS, market, bids, asks)
        if step.kind == "candle":
            end = now // MINUTE_NS * MINUTE_NS
            return Candle(now, end, market, MINUTE_NS, end - MINUTE_NS, *values)
        if step.kind == "context":
            mark, oracle, rate = values
            unit = 10 ** (RATE_SCALE - PRICE_SCALE[market])
            funding = parse_scaled(rate, RATE_SCALE, signed=True)
            return ContextRead(now, market, RATE_SCALE, mark * unit, oracle * unit, None, funding, None, None)
        if step.kind == "up":
            return FeedUp(now, "sim", 2)
        if step.kind == "down":
            return FeedDown(now, "sim", "test")
        if step.kind == "gap":
            return FeedGap(now, "sim", market, now - values[0] * MS, now)
        if step.kind == "operator":
            return OperatorCommand(now, *values)
        assert step.kind == "clock", step.kind
        return ClockAdvanced(now)


def resumed(memory: Memory, until_seq: int = 0) -> Sequencer:
    """Return a sequencer in the state that the records up to a seq lead to, as a new process has it."""
    sequencer = Sequencer(BUILDER, memory, memory)
    records = memory.all(memory.day if not until_seq else None)
    sequencer.follow(record for record in records if not until_seq or record[0] <= until_seq)
    return sequencer


def check(run: Run) -> Broken | None:
    """Follow a session's records with the model; return the first that breaks a rule, None if none does."""
    settings = run.plan.settings
    model = Model(STRATEGIES, Fraction(settings.cash))
    fills = PaperFills(
        model,
        settings.latency_ms,
        Fraction(settings.taker_fee),
        Fraction(settings.maker_fee),
        settings.slippage_bps,
        settings.fill_on_touch,
    )
    try:
        for turn in turns(run.records()):
            first = turn[0]
            fills.begin_turn(first[0], first[2])
            for seq, _, event in turn:
                model.follow(seq, event, engine_time(event))
                for read in run.reads.get(id(event), ()):
                    model.hear(read)
                fills.follow(seq, event)
            check_turn(model)
        if run.plan.calm:
            check_end(model)
    except Broken as broken:
        return broken
    return None


def turns(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Divide records into turns: each begins with an input, a timer or a day."""
    turn: list[Record] = []
    for record in records:
        if turn and (not record[1] or isinstance(record[2], TimerFired | DayOpened)):
            yield turn
            turn = []
        turn.append(record)
    if turn:
        yield turn


def assert_replays(run: Run, random: Random) -> None:
    """Derive the session again from its inputs: each day alone, and cut at a random turn."""
    memory = run.memory
    for day in dict.fromkeys(memory.days):
        replay = DayReplay(BUILDER, memory)
        for frame in memory.day_frames(day):
            replay.feed(frame)
