"""A strategy that begins without its state reads what its book still holds, and what protects it."""

from __future__ import annotations

from typing import Any

from engine.actors.base import handlers_of
from engine.events import PositionChanged, StopChanged, StrategyBegan, TargetChanged
from engine.strategies import Strategy
from engine.strategies.actor import StrategyActor
from tests.actors.harness import Harness
from tests.actors.rig import Rig


def reported(rig: Rig, *, fresh: bool) -> list[Any]:
    """Return what books and order manager report when the strategy "S" begins."""
    began = StrategyBegan(rig.tick(), "S", fresh, "its file was edited", ((1, 200),))
    emitted: list[Any] = []
    for name in ("books", "orders"):
        for kind, handler in handlers_of(rig._sequencer.actor(name)):
            if kind is StrategyBegan:
                handler(began, emitted.append)
    return emitted


def test_positions_stops_and_the_end_of_targets_are_reported_to_it() -> None:
    rig = Rig("S", "R")
    rig.target("S", 2)
    rig.target("R", -1)
    rig.trade(101, 101)
    rig.stop("S", 2, 97)
    rig.stop("R", 1, 110)
    events = reported(rig, fresh=True)
    assert [type(event) for event in events] == [PositionChanged, TargetChanged, StopChanged]
    assert {event.strategy for event in events} == {"S"}, "other strategies go on as they were"

    begun = Harness(StrategyActor(Strategy, "S", {}), rig._sequencer.instruments)
    begun.send(*events)
    strategy = begun.strategy
    position = strategy.position("M1")
    assert (position.size, position.entry) == (2.0, 101.0)
    assert strategy.wanted("M1") is None
    (stop,) = strategy.orders("M1")
    assert (stop.side, stop.size, stop.trigger_price, stop.state) == ("sell", 2.0, 97.0, "Waiting")


def test_a_strategy_that_begins_with_its_state_keeps_its_target() -> None:
    rig = Rig("S")
    rig.target("S", 2)
    rig.trade(101, 101)
    rig.stop("S", 2, 97)
    assert [type(event) for event in reported(rig, fresh=False)] == [PositionChanged]
    assert rig.wanted("S") == 2
