"""A session in one process that a test drives by hand: no clock, no files, no tasks.

    with Session() as s:
        s.say("Long", "target", "AAA", "1")     # at the next trade
        s.trade(100)
        s.trade(100)
        assert s.book("Long") == 1

The real sequencer and actors run it. When the block ends the session stops, the model follows all its records
(`checking.py`) and the records are derived again. `Session` trades on paper; `RealSession` (`real.py`) has
real orders, and the test is the venue. Prices and sizes are decimal; the market is `AAA` by default.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from types import TracebackType
from typing import Any, Self

import msgspec

from engine.actors import OrderManager
from engine.actors.orders.command_state import Answer
from engine.clock import DAY_NS, day_start_ns
from engine.config import Config
from engine.events import (
    ENDED,
    BookRead,
    Candle,
    ClockAdvanced,
    ContextRead,
    Event,
    FeedDown,
    FeedUp,
    InstrumentListed,
    OperatorCommand,
    OrderChanged,
    OrderRefused,
    PositionChanged,
    Quote,
    SessionStopped,
    SubmitOrder,
    TargetChanged,
    Trade,
)
from engine.events.rules import MarketRules, assumed_rules
from engine.sequencer import Sequencer
from engine.session import SessionBuilder
from engine.strategies import Strategy
from engine.values import parse_scaled
from tests.orders import scripted
from tests.orders.facts import Read
from tests.orders.scripted import Action, Scripted
from tests.orders.sequences import AAA, NAMES, PRICE_SCALE, SIZE_SCALE, STRATEGIES
from tests.orders.settings import Settings, config_of
from tests.replay.kit import Memory

MS = 1_000_000
SECOND_NS = 1000 * MS
MINUTE_NS = 60 * SECOND_NS
DAY = "2024-12-05"
NOON = day_start_ns(DAY) + DAY_NS // 2 - 30 * SECOND_NS
"""Half a minute before an hour of funding."""

EVE = day_start_ns(DAY) + DAY_NS - 20 * SECOND_NS
RATE_SCALE = 9

FREE = Settings(cash="1000", taker_fee="0", maker_fee="0", slippage_bps=0, latency_ms=0)
"""No fees, slippage or latency: the settings of the examples of the rules."""

Number = int | str | float


def load(use: str) -> type[Strategy]:
    """Return the only class that these sessions run."""
    assert use == "tests.orders.scripted:Scripted"
    return Scripted


BUILDER = SessionBuilder(load, "test", "0")


class Session:
    """One paper session, or several in the same journal after restarts.

    `memory` holds the records, `reads` what strategies read and called, by the event they handled.
    """

    mode = "paper"
    calm_ms = 0

    def __init__(
        self,
        settings: Settings = FREE,
        *,
        scripts: dict[str, str] | None = None,
        names: Sequence[str] = STRATEGIES,
        begin_ns: int = NOON,
    ) -> None:
        scripted.begin()
        self.settings = settings
        self.names = tuple(names)
        self.begin_ns = self.now_ns = begin_ns
        self.spoken = {name: scripted.new_script() for name in names} if scripts is None else {}
        self.config = self.make_config({**self.spoken, **(scripts or {})})
        self.memory = Memory()
        self.reads: dict[int, list[Read]] = {}
        self.trades = 0
        self.sessions = 0
        self.stopped = False
        self.sequencer = Sequencer(BUILDER, self.memory, self.memory)
        self.begin()
        self.send(*self.listings())

    def make_config(self, scripts: dict[str, str]) -> Config:
        """Return the configuration of the session."""
        return config_of(self.settings, scripts, self.begin_ns, self.calm_ms)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            from tests.orders.checking import assert_replays, check

            self.stop()
            broken = check(self)
            if broken is not None:
                raise broken
            assert_replays(self)

    # What happens.

    def send(self, *events: Event) -> None:
        """Give inputs to the engine."""
        # A restart of a strategy runs its hooks again on events of the past.
        again = any(isinstance(event, OperatorCommand) and event.command == "restart" for event in events)
        scripted.watch_with(None if again else self._watch)
        try:
            self.sequencer.run(list(events))
        finally:
            scripted.watch_with(None)
        self.after_send()

    def after_send(self) -> None:
        """On paper there is nothing more to do."""

    def say(self, strategy: str, verb: str, *arguments: Any, on: str = "trade", **named: Any) -> None:
        """Let a strategy call a verb in the next hook of this kind, a millisecond from now or later."""
        at_ms = (self.now_ns - self.begin_ns) // MS + 1
        scripted.add(self.spoken[strategy], [at_ms, on, verb, *arguments, named])

    def trade(self, price: Number, size: Number = 1000, *, market: int = AAA, after_s: Number = 1) -> None:
        """A trade, by default a large one and a second after what came before."""
        self.now_ns += ns(after_s)
        self.trades += 1
        self.send(
            Trade(
                self.now_ns,
                self.now_ns,
                market,
                self.price(price, market),
                self.size(size, market),
                1,
                self.trades,
            )
        )

    def quote(
        self,
        bid: Number,
        ask: Number,
        bid_size: Number = 1000,
        ask_size: Number = 1000,
        *,
        market: int = AAA,
        after_s: Number = "0.1",
    ) -> None:
        """The best bid and ask with their sizes."""
        self.now_ns += ns(after_s)
        best = (self.price(bid, market), self.size(bid_size, market))
        other = (self.price(ask, market), self.size(ask_size, market))
        self.send(Quote(self.now_ns, self.now_ns, market, *best, *other))

    def depth(
        self,
        bids: Sequence[tuple[Number, Number]],
        asks: Sequence[tuple[Number, Number]],
        *,
        market: int = AAA,
        after_s: Number = "0.1",
    ) -> None:
        """A whole order book: (price, size) for each level, best first."""
        self.now_ns += ns(after_s)
        both = [
            tuple((self.price(price, market), self.size(size, market), 1) for price, size in side)
            for side in (bids, asks)
        ]
        self.send(BookRead(self.now_ns, self.now_ns, market, *both))

    def candle(self, *prices: Number, volume: Number = 1000, market: int = AAA, minutes: int = 1) -> None:
        """The candle of the next minute: open, high, low, close."""
        self.now_ns = (self.now_ns // MINUTE_NS + minutes) * MINUTE_NS
        start_ns = self.now_ns - MINUTE_NS
        steps = [self.price(price, market) for price in prices]
        amount = self.size(volume, market)
        self.send(Candle(self.now_ns, self.now_ns, market, MINUTE_NS, start_ns, *steps, amount))

    def context(
        self, mark: Number, *, oracle: Number = 0, rate: str = "0", market: int = AAA, after_s: Number = "0.1"
    ) -> None:
        """Mark, oracle (by default the mark) and the hourly funding rate."""
        self.now_ns += ns(after_s)
        values = [parse_scaled(str(value), RATE_SCALE, signed=True) for value in (mark, oracle or mark, rate)]
        self.send(ContextRead(self.now_ns, market, RATE_SCALE, *values[:2], None, values[2], None, None))

    def feed(self, *, up: bool) -> None:
        """The feed of the market data is up, or down."""
        self.now_ns += MS
        self.send(FeedUp(self.now_ns, "sim", 2) if up else FeedDown(self.now_ns, "sim", "test"))

    def operator(self, command: str, target: str = "", detail: str = "") -> None:
        """An operator's command."""
        self.now_ns += MS
        self.send(OperatorCommand(self.now_ns, command, target, detail))

    def wait(self, seconds: Number) -> None:
        """Time passes and nothing else happens."""
        self.now_ns += ns(seconds)
        self.send(ClockAdvanced(self.now_ns))

    # Sessions.

    def listings(self) -> list[Event]:
        """Return the markets."""
        spot = {"BBB"} if self.settings.spot else set()
        return [
            InstrumentListed(
                self.now_ns,
                number,
                "sim",
                name,
                PRICE_SCALE[number],
                SIZE_SCALE[number],
                kind="spot" if name in spot else "perp",
                rules=rules_of("spot" if name in spot else "perp", self.settings),
            )
            for number, name in NAMES.items()
        ]

    def begin(self) -> None:
        """Begin a session with the state that the journal has."""
        self.sessions += 1
        self.stopped = False
        name = f"{self.sessions:016x}"
        self.send(BUILDER.start(recv_ns=self.now_ns, session=name, mode=self.mode, config=self.config))

    def stop(self) -> None:
        """Stop orderly: ten seconds for exits on their way."""
        self.send(OperatorCommand(self.now_ns, "stop"))
        for _ in range(11):
            self.now_ns += SECOND_NS
            self.send(ClockAdvanced(self.now_ns))
        self.send(SessionStopped(self.now_ns, f"{self.sessions:016x}", "test"))
        self.stopped = True

    def restart(self, *, after_s: Number = 1, orderly: bool = True) -> None:
        """Stop, or end at once as a killed process does, and begin again in a new process."""
        if orderly:
            self.stop()
        self.now_ns += ns(after_s)
        self.sequencer = resumed(self.memory)
        self.begin()

    # What the engine says, from its records.

    def answers(self) -> dict[str, Answer]:
        """Return the answers to operators' commands that the engine knows, by nonce."""
        manager = self.sequencer.actor("orders")
        assert isinstance(manager, OrderManager)
        return manager.answers

    def tuned(self) -> dict[str, str]:
        """Return the parameter that operators set, of each strategy where it is not its default."""
        return tuned_of(self.sequencer)

    def book(self, owner: str = "Long", market: int = AAA) -> Fraction:
        """Return the position of an owner."""
        changed = self.newest(PositionChanged, strategy=owner, instrument=market)
        return Fraction(0) if changed is None else Fraction(changed.size, 10 ** SIZE_SCALE[market])

    def cash(self) -> Fraction:
        """Return the account's money without unrealised profit, from the newest record of each book."""
        newest: dict[tuple[str, int], PositionChanged] = {}
        for changed in self.memory.events(PositionChanged):
            newest[changed.strategy, changed.instrument] = changed
        total = Fraction(self.settings.cash)
        for (_, market), changed in newest.items():
            unit = 10 ** (PRICE_SCALE[market] + SIZE_SCALE[market] + changed.finer)
            money = int(changed.realized) - int(changed.fees) + int(changed.funding)
            total += Fraction(money, unit)
        return total

    def wanted(self, owner: str = "Long", market: int = AAA) -> Fraction | None:
        """Return what a strategy wants to hold, as recorded."""
        changed = self.newest(TargetChanged, strategy=owner, instrument=market)
        if changed is None or changed.wanted is None:
            return None
        return Fraction(changed.wanted, 10 ** SIZE_SCALE[market])

    def state(self, owner: str = "Long", market: int = AAA) -> str:
        """Return the state of a target, "none" if there is none."""
        changed = self.newest(TargetChanged, strategy=owner, instrument=market)
        return "none" if changed is None else changed.state

    def submitted(self, **fields: Any) -> list[SubmitOrder]:
        """Return the orders sent, oldest first: those whose terms have these values."""
        return [
            command
            for command in self.memory.events(SubmitOrder)
            if all(getattr(command.terms, name) == value for name, value in fields.items())
        ]

    def live(self) -> list[str]:
        """Return the ids of orders that have not ended, waiting stops included."""
        states = {one.client_order_id: one.state for one in self.memory.events(OrderChanged)}
        return [name for name, state in states.items() if state not in ENDED]

    def refusals(self) -> list[str]:
        """Return the limits by which requests were refused, oldest first."""
        return [refused.limit for refused in self.memory.events(OrderRefused)]

    def newest(self, kind: type[Event], **fields: Any) -> Any:
        """Return the newest event of a type with these values, None if there is none."""
        for event in reversed(self.memory.events(kind)):
            if all(getattr(event, name) == value for name, value in fields.items()):
                return event
        return None

    def price(self, value: Number, market: int = AAA) -> int:
        """Return a price in steps."""
        return parse_scaled(str(value), PRICE_SCALE[market])

    def size(self, value: Number, market: int = AAA) -> int:
        """Return a size in steps."""
        return parse_scaled(str(value), SIZE_SCALE[market])

    def _watch(self, strategy: Scripted, what: str, event: Any, action: Action) -> None:
        self.reads.setdefault(id(event), []).append(reading_of(strategy, what, event, action))


exactly = functools.cache(Fraction)
"""The fraction of a decimal number: a session reads the same few positions again and again."""


def reading_of(strategy: Scripted, what: str, event: Any, action: Action) -> Read:
    """Return what a strategy reads now: its positions, targets and live orders."""
    held: list[tuple[int, Fraction, Fraction | None, frozenset[str]]] = []
    if not what.startswith("call") and event is not None:
        for market, name in NAMES.items():
            wanted = strategy.wanted(name)
            held.append(
                (
                    market,
                    exactly(str(strategy.position(name).exact)),
                    None if wanted is None else exactly(str(wanted)),
                    frozenset(order.client_order_id for order in strategy.orders(name)) - {""},
                )
            )
    return Read(strategy.label, what, action, tuple(held))


def rules_of(kind: str, settings: Settings) -> MarketRules:
    """Return the rules of a market: those assumed for its kind, and the smallest order of the settings."""
    return msgspec.structs.replace(assumed_rules(kind), value_min=settings.value_min)


def resumed(memory: Memory) -> Sequencer:
    """Return a sequencer in the state that the records lead to, as a new process has it."""
    sequencer = Sequencer(BUILDER, memory, memory)
    sequencer.follow(memory.all(memory.day))
    return sequencer


def tuned_of(sequencer: Sequencer) -> dict[str, str]:
    """Return the parameter that operators set, of each strategy where it is not its default."""
    strategies = {name: sequencer.actor(name) for name in STRATEGIES}
    values = {name: vars(vars(actor)["strategy"]).get("tuning", 0) for name, actor in strategies.items()}
    return {name: str(value) for name, value in values.items() if value}


def ns(seconds: Number) -> int:
    """Return seconds in nanoseconds."""
    return int(Decimal(str(seconds)) * SECOND_NS)
