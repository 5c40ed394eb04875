"""A strategy that begins without its state reads what its book still holds, and what protects it."""

from __future__ import annotations

from engine.events import StrategyBegan, TargetChanged
from engine.strategies import Strategy
from engine.strategies.actor import StrategyActor
from engine.strategies.inheriting import inherit
from tests.actors.harness import Harness
from tests.actors.rig import Rig


def begun(rig: Rig) -> Harness:
    """Return the strategy "S" as it begins in the middle of what the rig did."""
    on = Harness(StrategyActor(Strategy, "S", {}), rig._sequencer.instruments)
    inherit(on.actor.own, "S", [rig._sequencer.actor(name) for name in ("books", "orders")])  # type: ignore[attr-defined]
    return on


def holding() -> Rig:
    """Return strategies with a position and a stop each: S also has an exit that rests."""
    rig = Rig("S", "R")
    rig.target("S", 2)
    rig.target("R", -1)
    rig.trade(101, 101)
    rig.stop("S", 2, 97)
    rig.stop("R", 1, 110)
    return rig


def test_it_reads_positions_stops_and_orders_of_its_own_book_before_any_event() -> None:
    rig = holding()
    rig.sell("S", 1, limit=120)
    strategy = begun(rig).strategy
    position = strategy.position("M1")
    assert (position.size, position.entry) == (2.0, 101.0)
    shown = [(one.side, one.size, one.trigger_price, one.limit, one.state) for one in strategy.orders("M1")]
    assert shown == [("sell", 2.0, 97.0, None, "Waiting"), ("sell", 1.0, None, 120.0, "PendingNew")]


def test_its_targets_are_forgotten_and_those_of_others_stand() -> None:
    rig = holding()
    on = begun(rig)
    assert on.strategy.wanted("M1") == 2
    rig.derive(StrategyBegan(rig.tick(), "S", True, "its code changed", ((1, 200),)))
    on.send(*[one for one in rig.events(TargetChanged) if one.strategy == "S"])
    assert on.strategy.wanted("M1") is None
    assert (rig.wanted("S"), rig.wanted("R")) == (None, -1)
