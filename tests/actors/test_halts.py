"""Halts, pauses, flatten and the stop: what they cancel, what passes, and how long they last."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from engine.events import (
    ActorFailed,
    CancelOrder,
    EngineHalted,
    FillBooked,
    MarketHalted,
    OrderApproved,
    OrderRefused,
    PositionDiffers,
    TargetChanged,
)
from engine.values import BUY, SELL
from tests.actors.rig import FEED_PRICE, Rig


def working() -> Rig:
    """Return a session with real orders: S is long 2, with a bid, a resting exit and a stop; so is T."""
    rig = Rig("S", "T", real=True, markets=2).hold("S", 2).hold("T", 2).hold("S", 2, market=2)
    for name, market in (("S", 1), ("T", 1), ("S", 2)):
        rig.buy(name, 1, limit=90, market=market)
        rig.sell(name, 1, limit=110, market=market)
        rig.stop(name, 1, 80, market=market)
    for order in [one for number in (1, 2) for one in rig.placed(number)]:
        if order.client_order_id in rig.manager.live:
            rig.accept(order)
    return rig


def canceled(rig: Rig) -> list[tuple[str, int, str]]:
    """Return (owner, market, purpose and limit) of the cancels sent."""
    names = {one.client_order_id: one for number in (1, 2) for one in rig.placed(number)}
    found = []
    for cancel in rig.events(CancelOrder):
        order = names[cancel.client_order_id]
        assert order.terms.role == "open", "exits and protection stay"
        found.append((order.strategy, order.instrument, f"{order.terms.purpose} {order.terms.limit // 100}"))
    return found


BIDS = [("S", 1, "own 90"), ("T", 1, "own 90"), ("S", 2, "own 90")]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (EngineHalted(0, "x"), BIDS),
        (MarketHalted(0, 2, "x"), BIDS[2:]),
        (MarketHalted(0, 1, "x"), BIDS[:2]),
        (ActorFailed(0, "S", 7, "x", "quarantine"), [BIDS[0], BIDS[2]]),
        (ActorFailed(0, "T", 7, "x", "quarantine"), BIDS[1:2]),
        (ActorFailed(0, "S", 7, "x", "halt"), [BIDS[0], BIDS[2], BIDS[1]]),
        (ActorFailed(0, "orders", 7, "x", "halt"), BIDS),
    ],
    ids=lambda one: type(one).__name__,
)
def test_a_halt_cancels_what_opens_and_leaves_exits_and_stops(event: Any, expected: list[Any]) -> None:
    rig = working()
    rig.derive(event)
    assert canceled(rig) == expected
    assert not [one for one in rig.orders() if one[0].startswith("buy") and one[0] != "buy own"]
    assert rig.book("S") == 2


@pytest.mark.parametrize(
    ("command", "target", "expected"),
    [("halt", "", BIDS), ("pause", "", BIDS), ("pause", "T", BIDS[1:2]), ("stop", "", BIDS)],
)
def test_an_operator_cancels_what_opens(command: str, target: str, expected: list[Any]) -> None:
    rig = working()
    rig.operate(command, target)
    assert canceled(rig) == expected


# How long a halt lasts.


def openings(rig: Rig, name: str = "S", market: int = 1) -> str:
    """Return the limit that refuses a buy at a price of now, or ""."""
    rig.trade(FEED_PRICE, market=market)
    refused = len(rig.refusals())
    rig.buy(name, "0.1", market=market)
    return "".join(rig.refusals()[refused:])


def test_l07_a_halt_stays_over_restarts_until_an_operator_resumes() -> None:
    rig = Rig()
    rig.operate("halt")
    assert [one.reason for one in rig.events(EngineHalted)] == ["operator: halt"]
    assert openings(rig) == "halted"
    rig.restart()
    assert openings(rig) == "halted"
    assert rig.manager.gates.halted == "operator: halt"
    rig.operate("halt")
    assert len(rig.events(EngineHalted)) == 1
    rig.operate("resume")
    assert openings(rig) == ""
    assert rig.manager.gates.halted == ""


def test_a_stop_ends_with_its_session_and_a_halt_during_it_stays() -> None:
    rig = Rig()
    rig.operate("stop")
    assert rig.manager.gates.halted == "", "a stop is no halt"
    assert openings(rig) == "stopping"
    rig.restart()
    assert openings(rig) == ""
    rig.operate("stop")
    rig.operate("halt")
    rig.restart()
    assert openings(rig) == "halted"


def test_a_failure_under_halt_names_the_actor_and_the_first_reason_stays() -> None:
    rig = Rig("S", "T")
    rig.derive(ActorFailed(0, "T", 7, "ValueError: x", "halt"))
    rig.operate("halt")
    assert [one.reason for one in rig.events(EngineHalted)] == ["T failed: ValueError: x"]
    assert openings(rig) == "halted"


def test_a_market_stays_halted_until_somebody_resumes_it_or_all() -> None:
    for target in ("", "M2"):
        rig = Rig(markets=2)
        rig.derive(MarketHalted(0, 2, "liquidation"))
        rig.restart()
        assert (openings(rig), openings(rig, market=2)) == ("", "market_halted")
        assert rig.manager.gates.halted_markets == {"M2": "liquidation"}
        rig.operate("resume", "S")
        rig.operate("resume", "M1")
        assert openings(rig, market=2) == "market_halted"
        rig.operate("resume", target)
        assert openings(rig, market=2) == ""


def test_a_paused_strategy_stays_paused_over_restarts_until_somebody_resumes_it_or_all() -> None:
    for target in ("", "S"):
        rig = Rig("S", "T")
        rig.operate("pause", "S")
        rig.restart()
        assert (openings(rig), openings(rig, "T")) == ("paused", "")
        assert rig.manager.gates.paused == ["S"]
        rig.operate("resume", target)
        assert openings(rig) == ""
        assert rig.manager.gates.paused == []


def test_o18_a_difference_to_the_venue_halts_the_market_unless_it_is_adopted() -> None:
    rig = Rig(markets=2)
    rig.derive(PositionDiffers(0, 1, 100, 40), PositionDiffers(0, 2, 0, 5, True))
    (halted,) = rig.events(MarketHalted)
    assert (halted.instrument, halted.reason) == (1, "own fills make a position of 1, the venue says 0.4")
    assert (openings(rig), openings(rig, market=2)) == ("market_halted", "")


def test_l14_a_fill_beyond_its_order_halts_the_engine() -> None:
    rig = Rig(real=True)
    rig.buy("S", 1)
    order = rig.newest()
    rig.fill(order, 1, 100)
    assert rig.events(EngineHalted) == []
    rig.fill(order, "0.5", 100)
    reason = f"{order.client_order_id} filled more than was ordered"
    assert [one.reason for one in rig.events(EngineHalted)] == [reason]


# A pause.


def test_a_pause_keeps_the_target_and_resume_works_it() -> None:
    """Long 1, paused, `target(-1)`: closed while paused, opened after the resume."""
    rig = Rig()
    rig.target("S", 1)
    rig.trade(100)
    rig.operate("pause", "S")
    rig.target("S", -1)
    rig.trade(101, 101)
    assert (rig.book("S"), rig.wanted("S")) == (0, -1)
    changed = rig.events(TargetChanged)[-1]
    assert (changed.state, changed.reason) == ("waiting", "paused")
    rig.wait(120)
    assert rig.events(TargetChanged)[-1] == changed
    rig.operate("resume", "S")
    rig.trade(102)
    assert rig.book("S") == -1
    assert rig.refusals() == []


def test_a_pause_does_not_withdraw_what_its_canceled_order_has_filled() -> None:
    rig = Rig(real=True)
    rig.target("S", 2)
    order = rig.newest()
    rig.accept(order)
    rig.operate("pause")
    rig.fill(order, "0.5", 100)
    rig.end(order)
    assert (rig.book("S"), rig.wanted("S")) == (Decimal("0.5"), 2)
    rig.operate("resume")
    assert rig.newest().terms.size == 150


# Flatten.


def test_flatten_closes_with_protective_bounds_sets_the_target_to_0_and_pauses() -> None:
    rig = Rig("S", "T", markets=2)
    rig.target("S", 2)
    rig.target("T", 1)
    rig.target("S", 1, market=2)
    rig.trade(100)
    rig.trade(100, market=2)
    rig.operate("flatten", "M1")
    sent = [one for one in rig.events(OrderApproved) if one.terms.purpose == "flatten"]
    assert [(one.strategy, one.instrument, one.terms.size) for one in sent] == [("S", 1, 200), ("T", 1, 100)]
    assert [one.terms.bound for one in sent] == [9000, 9000], "10 % beyond the price"
    rig.trade(99)
    assert (rig.book("S"), rig.book("T"), rig.book("S", 2)) == (0, 0, 1)
    assert (rig.wanted("S"), rig.wanted("T"), rig.wanted("S", 2)) == (0, 0, 1)
    rig.target("S", 1)
    rig.trade(99)
    assert rig.book("S") == 0, "paused"
    rig.operate("resume")
    rig.trade(99)
    assert rig.book("S") == 1
    assert rig.refusals() == []


def test_flatten_of_a_strategy_leaves_the_others_and_cancels_its_entries() -> None:
    rig = Rig("S", "T", real=True).hold("S", 2).hold("T", 1)
    rig.buy("S", 1, limit=90)
    rig.accept(rig.newest())
    rig.operate("flatten", "S")
    assert len(rig.canceled()) == 1
    assert rig.orders("S")[-1][:2] == ("sell flatten", 2)
    assert rig.orders("T") == []
    assert (openings(rig, "S"), openings(rig, "T")) == ("paused", "")


def test_flatten_closes_manual_orders_and_foreign_ones_only_if_they_are_named() -> None:
    """S +2, manual +1, external -0.5: flatten sells 2 for S and 1 for manual."""
    for target, expected in (
        ("", [("S", SELL, 200), ("manual", SELL, 100)]),
        ("M1", [("S", SELL, 200), ("manual", SELL, 100)]),
        ("manual", [("manual", SELL, 100)]),
        ("external", [("external", BUY, 50)]),
    ):
        rig = Rig().hold("S", 2)
        for owner, side, size in (("manual", BUY, 100), ("external", SELL, 50)):
            rig.derive(FillBooked(0, owner, 1, side, 10_000, size, 0, 0, "", 0, "taker", "open", "own"))
        rig.operate("flatten", target)
        sent = [one for one in rig.events(OrderApproved) if one.terms.purpose == "flatten"]
        assert [(one.strategy, one.terms.side, one.terms.size) for one in sent] == expected


def test_flatten_passes_a_halt_and_takes_its_size_from_resting_exits() -> None:
    rig = Rig(real=True).hold("S", 2)
    rig.sell("S", "1.5", limit=110)
    rig.accept(rig.newest())
    rig.operate("halt")
    rig.operate("flatten")
    assert rig.orders()[-1][:2] == ("sell flatten", 2), "sent at once"
    assert len(rig.canceled()) == 1


# A stop.


@pytest.mark.parametrize(("on_stop", "seconds"), [("keep", 10), ("flatten", 60)])
def test_an_exit_that_is_owed_is_tried_again_while_the_session_stops(on_stop: str, seconds: int) -> None:
    rig = Rig(real=True, risk={"on_stop": on_stop}).hold("S", 2)
    rig.operate("flatten")
    first = rig.newest()
    rig.operate("stop")
    rig.end(first)
    rig.wait(1)
    second = rig.newest()
    assert second != first
    assert second.terms.purpose == "flatten"
    rig.wait(seconds)
    rig.end(second)
    rig.wait(5)
    assert rig.newest() == second
    assert rig.refusals()[-1] == "stopping"


def test_a_stop_refuses_new_exits_of_a_strategy_and_lets_its_target_close() -> None:
    rig = Rig().hold("S", 2)
    rig.target("S", 1)
    rig.operate("stop")
    rig.sell("S", 1)
    assert rig.refusals() == ["stopping"]
    rig.trade(100)
    assert rig.book("S") == 1
    for size in (0, 2):
        rig.target("S", size)
    assert rig.refusals() == ["stopping"] * 3, "nothing begins any more"
    rig.trade(100)
    assert (rig.book("S"), rig.wanted("S")) == (1, 1)


def test_a_stop_can_close_all_positions_or_cancel_every_order() -> None:
    rig = Rig("S", "T", risk={"on_stop": "flatten"}).hold("S", 2).hold("T", "-1")
    rig.operate("stop")
    rig.trade(100, 100)
    assert (rig.book("S"), rig.book("T")) == (0, 0)
    rig = Rig(real=True, risk={"on_stop": "cancel"}).hold("S", 2)
    rig.sell("S", 1, limit=110)
    rig.accept(rig.newest())
    rig.operate("stop")
    assert len(rig.canceled()) == 1


def test_the_opening_part_of_a_turn_is_dropped_by_a_halt() -> None:
    rig = Rig(real=True).hold("S", 1)
    rig.sell("S", 3)
    rig.operate("halt")
    assert [(one.limit, one.role) for one in rig.events(OrderRefused)] == [("turn", "open")]
    rig.fill(rig.newest(), 1, 100)
    assert rig.book("S") == 0
    assert rig.orders() == []
