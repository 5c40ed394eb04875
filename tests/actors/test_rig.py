"""The rig itself: a verb goes through the whole chain, a reaction too, and nothing is lost by a restart."""

from __future__ import annotations

from decimal import Decimal

from engine.events import FillBooked, OrderRejected
from tests.actors.rig import Rig


def test_target_is_filled_at_the_next_trade() -> None:
    rig = Rig()
    rig.target("S", "1.5")
    assert rig.orders("S") == [("buy target", Decimal("1.5"), Decimal(0))]
    rig.trade(101)
    assert rig.book("S") == Decimal("1.5")
    assert rig.fills("S") == [(Decimal("1.5"), Decimal(101))]
    assert rig.wanted("S") == Decimal("1.5")


def test_reaction_of_a_strategy_calls_verbs_within_the_turn() -> None:
    rig = Rig("S", "T")
    rig.when("T", FillBooked, lambda fill: rig.target("T", -1) if fill.owner == "S" else None)
    rig.buy("S", 1)
    rig.trade(100)
    assert rig.book("S") == 1
    rig.trade(102)
    assert rig.book("T") == -1
    assert rig.account() == 0


def test_state_survives_a_restart() -> None:
    rig = Rig()
    rig.target("S", 1)
    rig.trade(100)
    rig.restart()
    rig.target("S", 0)
    rig.trade(99)
    assert rig.book("S") == 0
    assert rig.cash_flow("S") == -1


def test_test_plays_the_real_venue() -> None:
    rig = Rig(real=True)
    rig.quote(99, 101)
    rig.buy("S", 2, limit=99)
    (order,) = rig.placed()
    rig.accept(order)
    rig.fill(order, 1, 99)
    assert rig.book("S") == 1
    rig.end(order)
    assert rig.orders("S") == []
    rig.buy("S", 1, limit=90)
    rig.reject(rig.placed()[-1])
    assert rig.events(OrderRejected)
