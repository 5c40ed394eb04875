"""Strategies that begin a session without their state keep their book, exits and protection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from engine.clock import DAY_NS, SECOND_NS
from engine.config import Config, StrategyConfig
from engine.events import (
    Event,
    OrderApproved,
    OrderFilled,
    PositionChanged,
    SessionStarted,
    StrategyBegan,
    TargetChanged,
    TargetSet,
    Trade,
)
from engine.sequencer import Sequencer
from engine.session import SessionBuilder
from engine.states import encode_state
from engine.strategies import Fill, Strategy, Tick
from replay.verification import DayReplay
from tests.replay.kit import MS, NOON, Memory, config_of, listings, stopped

LATER = 60 * SECOND_NS


class Holder(Strategy):
    """Buys once, protects what it bought, and leaves a bid far below and a target. Shows what it holds."""

    size: str = "1"
    spoil: str = ""

    def on_start(self) -> None:
        self.seen = 0
        self.placed = False
        self.kept: Any = None

    def on_trade(self, trade: Tick) -> None:
        self.seen += 1
        self.plot("held", self.position("AAA").size)
        self.plot("orders", len(self.orders("AAA")))
        if self.seen == 2 and not self.position("AAA"):
            self.target("AAA", self.size)
        if self.seen == 8 and self.spoil == "raise":
            raise ValueError("broke")

    def on_stop(self) -> None:
        if self.spoil == "keep":
            self.kept = len

    def on_fill(self, fill: Fill) -> None:
        if self.placed:
            return
        self.placed = True
        self.stop("AAA", "sell", self.size, "10")
        self.trail("AAA", self.size, "5")
        self.buy("AAA", "1", limit="5")


class Other(Holder):
    """The same under another name."""


class Still(Strategy):
    """Does nothing."""


CLASSES: dict[str, type[Strategy]] = {"mine:Holder": Holder, "mine:Other": Other, "mine:Still": Still}


def builder(sources: dict[type, str] | None = None) -> SessionBuilder:
    return SessionBuilder(
        CLASSES.__getitem__, "0" * 16, "0.0.test", lambda cls: (sources or {}).get(cls, "a" * 16)
    )


def use(cls: str = "Holder", /, **entry: Any) -> StrategyConfig:
    return StrategyConfig(use=f"mine:{cls}", on_failure="quarantine", **entry)


def trades(at_ns: int, count: int = 12, price: int = 123_450) -> list[Event]:
    return [
        Trade(at_ns + n * 100 * MS, at_ns + n * 100 * MS - MS, 1, price + n % 2 * 10, 900, 1, at_ns + n)
        for n in range(1, count + 1)
    ]


def begin(config: Config, at_ns: int, session: str, build: SessionBuilder, moves: Any = ()) -> SessionStarted:
    return build.start(recv_ns=at_ns, session=session, mode="paper", config=config, moves=tuple(moves))


class Sessions:
    """Sessions one after the other in one journal, in one process."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.sequencer: Sequencer | None = None
        self.number = 0

    def play(
        self,
        config: Config,
        at_ns: int,
        build: SessionBuilder | None = None,
        *,
        moves: Iterable[tuple[str, str]] = (),
        more: Iterable[Event] = (),
    ) -> list[Any]:
        """Play a session; return its events."""
        build = build or builder()
        self.number += 1
        if self.sequencer is None:
            self.sequencer = Sequencer(build, self.memory, self.memory)
        else:
            self.sequencer._registry._build = build
        started = begin(config, at_ns, f"{self.number:016x}", build, moves)
        listed = listings(at_ns) if self.number == 1 else []
        first = len(self.memory.all())
        self.sequencer.run([started, *listed, *trades(at_ns), *more, stopped(at_ns + 30 * SECOND_NS)])
        return [event for _, _, event in self.memory.all()[first:]]

    def shown(self, events: list[Any], name: str) -> list[float]:
        return [one.value for one in events if getattr(one, "name", "") == name and hasattr(one, "value")]


def first_session(**entry: Any) -> tuple[Sessions, list[Any]]:
    sessions = Sessions()
    events = sessions.play(config_of(use(**entry)), NOON)
    assert [one.size for one in events if isinstance(one, PositionChanged)][-1] == 1000
    return sessions, events


CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[type, str], str]] = {
    "parameter": ({}, {"params": {"size": "2"}}, {}, "its parameters changed"),
    "code": ({}, {}, {Holder: "b" * 16}, "its code changed"),
    "failed": ({"params": {"spoil": "raise"}}, {"params": {"spoil": "raise"}}, {}, "it failed"),
    "unstorable": (
        {"params": {"spoil": "keep"}},
        {"params": {"spoil": "keep"}},
        {},
        "its state could not be stored",
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("next_day", [False, True])
def test_a_strategy_without_its_state_knows_what_it_holds_and_buys_nothing_twice(
    case: str, next_day: bool
) -> None:
    before, after, sources, why = CASES[case]
    sessions, _ = first_session(**before)
    at_ns = NOON + (DAY_NS if next_day else LATER)
    events = sessions.play(config_of(use(**after)), at_ns, builder(sources))
    (began,) = [one for one in events if isinstance(one, StrategyBegan)]
    assert (began.name, began.fresh, began.why, began.positions) == ("Holder", True, why, ((1, 1000),))
    assert sessions.shown(events, "held")[0] == 1.0, "position() is that of the book from the first event on"
    assert sessions.shown(events, "orders")[0] >= 1, "its stop is one of its orders"
    assert not [one for one in events if isinstance(one, TargetSet | OrderFilled)], "nothing is bought again"
    wanted = [one for one in events if isinstance(one, TargetChanged)]
    assert all(one.wanted is None for one in wanted)
    assert wanted, "what it wanted before is withdrawn"
    days = dict.fromkeys(sessions.memory.days)
    for day in days:
        replay = DayReplay(builder(sources), sessions.memory)
        for frame in sessions.memory.day_frames(day):
            replay.feed(frame)


def test_a_strategy_that_takes_over_its_state_is_not_reported() -> None:
    sessions, _ = first_session()
    events = sessions.play(config_of(use()), NOON + LATER)
    assert not [one for one in events if isinstance(one, StrategyBegan)]
    assert sessions.shown(events, "held")[0] == 1.0


def test_a_strategy_without_anything_is_not_reported() -> None:
    sessions = Sessions()
    sessions.play(config_of(use("Still")), NOON)
    events = sessions.play(
        config_of(use("Still", instruments=("AAA",))), NOON + LATER, builder({Still: "b" * 16})
    )
    assert not [one for one in events if isinstance(one, StrategyBegan)]


def test_a_book_whose_name_is_not_configured_is_reported_at_each_start_and_stays_protected() -> None:
    sessions, _ = first_session()
    for number in (1, 2):
        at_ns = NOON + number * LATER
        events = sessions.play(config_of(use("Still")), at_ns)
        (began,) = [one for one in events if isinstance(one, StrategyBegan)]
        assert (began.name, began.fresh, began.positions) == ("Holder", False, ((1, 1000),))
        assert began.why == "no strategy of this name is configured"
    falling = trades(NOON + 3 * LATER + 5 * SECOND_NS, price=60_000)
    events = sessions.play(config_of(use("Still")), NOON + 3 * LATER, more=falling)
    sold = [one for one in events if isinstance(one, OrderFilled)]
    assert [(one.side, one.size) for one in sold] == [(-1, 1000)], "its trailing stop sold"


def test_openings_of_a_strategy_without_its_state_are_canceled_and_exits_stay() -> None:
    sessions, _ = first_session()
    assert sessions.sequencer is not None
    events = sessions.play(config_of(use(params={"size": "2"})), NOON + LATER)
    manager: Any = sessions.sequencer.actor("orders")
    assert all(order.exits for order in manager.live.values())
    assert manager.stops[1], "the stop is kept"
    assert manager.trails[1]["Holder"]
    assert not [one for one in events if isinstance(one, OrderApproved) and one.terms.role == "open"]


# Moves.


def test_a_renamed_strategy_takes_over_book_orders_and_state() -> None:
    sessions, _ = first_session()
    renamed = config_of(use(name="Renamed"))
    events = sessions.play(renamed, NOON + LATER, moves=[("Holder", "Renamed")])
    assert not [one for one in events if isinstance(one, StrategyBegan)], "it has the state too"
    assert sessions.shown(events, "held")[0] == 1.0
    changed = [(one.strategy, one.size) for one in events if isinstance(one, PositionChanged)]
    assert changed[:2] == [("Holder", 0), ("Renamed", 1000)]
    assert sessions.sequencer is not None
    manager: Any = sessions.sequencer.actor("orders")
    assert manager.money.costs[1].pop("Holder")[0] == 0, "what the flat book is reported to cost"
    for actor in sessions.sequencer._registry.actors:
        blob = encode_state(actor.state(), actor.name)
        kept = blob.replace(b"Holder-", b"")  # handles keep their text
        assert b"Holder" not in kept, actor.name
    falling = trades(NOON + 2 * LATER + 5 * SECOND_NS, price=60_000)
    events = sessions.play(renamed, NOON + 2 * LATER, more=falling)
    changed = [(one.strategy, one.size) for one in events if isinstance(one, PositionChanged)]
    assert changed[-1] == ("Renamed", 0), "its trailing stop sold"
    for day in dict.fromkeys(sessions.memory.days):
        replay = DayReplay(builder(), sessions.memory)
        for frame in sessions.memory.day_frames(day):
            replay.feed(frame)


def test_a_renamed_and_edited_strategy_takes_over_the_book_alone() -> None:
    sessions, _ = first_session()
    events = sessions.play(config_of(use("Other")), NOON + LATER, moves=[("Holder", "Other")])
    (began,) = [one for one in events if isinstance(one, StrategyBegan)]
    assert (began.name, began.fresh, began.positions) == ("Other", True, ((1, 1000),))
    assert sessions.shown(events, "held")[0] == 1.0
