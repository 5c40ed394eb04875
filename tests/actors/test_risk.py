"""Limits: each at its edge, in flight counted, latches that only a person lifts (L01, L02, L03, L07)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.actors import Risk
from engine.clock import SECOND_NS
from engine.config import RiskConfig
from engine.events import (
    ActorFailed,
    ActorRestarted,
    BarClosed,
    BarCorrected,
    EngineHalted,
    OperatorCommand,
    OrderApproved,
    OrderChanged,
    OrderFilled,
    OrderRefused,
    OrderRequested,
    SessionStarted,
    SubmitOrder,
    Trade,
)
from engine.values import BUY, SELL
from tests.actors.harness import MINUTE, Harness, T

FREE: dict[str, Any] = {"max_order_notional": "0", "max_position_notional": "0", "max_orders_per_minute": 0}


def desk(price: int = 10_000, **limits: Any) -> Harness:
    """AAA has price scale 2 and size scale 3: size 1000 at 10000 is 1 AAA at 100.00."""
    on = Harness(Risk(RiskConfig(**{**FREE, **limits})))
    if price:
        on.send(Trade(T, T, 1, price, 1, 1))
    return on


def wish(side: int, size: int, at_ns: int = T, limit: int = 0, strategy: str = "s") -> OrderRequested:
    return OrderRequested(at_ns, strategy, 1, side, size, limit)


def asked(on: Harness, *wishes: OrderRequested) -> list[str]:
    """What becomes of wishes: "" when approved, else the limit that refused; approved ones are submitted."""
    told = []
    for one in wishes:
        (answer,) = on.send(one)
        if isinstance(answer, OrderApproved):
            assert answer.request_seq == on.seq
            on.send(
                SubmitOrder(
                    T, f"0x{on.seq}", one.strategy, 1, one.side, one.size, one.limit_price, "Gtc", False
                )
            )
            told.append("")
        else:
            assert isinstance(answer, OrderRefused)
            assert answer.request_seq == on.seq
            assert answer.reason
            told.append(answer.limit)
    return told


def filled(on: Harness, side: int, size: int, order_id: str = "none") -> None:
    on.send(OrderFilled(T, T, order_id, 1, side, 10_000, size, 0, "taker", on.seq))


@pytest.mark.parametrize("side", [BUY, SELL])
@pytest.mark.parametrize(
    ("limit", "config"),
    [
        ("max_order_size", {"max_order_size": {"AAA": "5"}}),
        ("max_order_notional", {"max_order_notional": "500"}),
        ("max_position_size", {"max_position_size": {"AAA": "5"}}),
        ("max_position_notional", {"max_position_notional": "500"}),
    ],
)
def test_l01_each_size_limit_holds_at_its_edge(side: int, limit: str, config: dict[str, Any]) -> None:
    assert asked(desk(**config), wish(side, 4999)) == [""]
    assert asked(desk(**config), wish(side, 5000)) == [""]
    assert asked(desk(**config), wish(side, 5001)) == [limit]


def test_l01_the_rate_holds_at_its_edge_and_over_a_sliding_minute() -> None:
    on = desk(max_orders_per_minute=3)
    times = [T, T, T + 1, T + 2, T + MINUTE - 1, T + MINUTE, T + MINUTE, T + MINUTE, T + MINUTE + 1]
    told = asked(on, *(wish(BUY, 1, at) for at in times))
    rate = "max_orders_per_minute"
    assert told == ["", "", "", rate, rate, "", "", rate, ""]


def test_a_refused_wish_does_not_count_towards_the_rate() -> None:
    on = desk(max_orders_per_minute=1, max_order_size={"AAA": "1"})
    assert asked(on, *[wish(BUY, 5000)] * 3, wish(BUY, 1)) == ["max_order_size"] * 3 + [""]


@pytest.mark.parametrize("size", [0, -1])
def test_o20_a_size_that_became_zero_is_refused(size: int) -> None:
    assert asked(desk(), wish(BUY, size)) == ["size"]


def test_limit_zero_or_absent_is_no_limit() -> None:
    on = desk(max_order_size={"AAA": "0", "BBB": "1"}, max_position_size={"AAA": "0.0"})
    assert asked(on, wish(BUY, 10**15)) == [""]


def test_a_limit_finer_or_larger_than_the_instruments_scale_is_compared_exactly() -> None:
    assert asked(desk(max_order_size={"AAA": "0.0015"}), wish(BUY, 1), wish(BUY, 2)) == ["", "max_order_size"]
    assert asked(desk(max_order_size={"AAA": "99999999999999999"}), wish(BUY, 10**18)) == [""]


@given(st.lists(st.tuples(st.sampled_from([BUY, SELL]), st.integers(1, 4000)), max_size=25))
def test_l02_orders_in_flight_never_add_up_beyond_the_limit(plan: list[tuple[int, int]]) -> None:
    on = desk(max_position_size={"AAA": "5"})
    flying = {BUY: 0, SELL: 0}
    for side, size in plan:
        fits = flying[side] + size <= 5000
        assert asked(on, wish(side, size)) == ["" if fits else "max_position_size"]
        if fits:
            flying[side] += size


steps = st.lists(
    st.tuples(
        st.sampled_from(["wish", "wish", "fill", "part", "cancel", "reject"]),
        st.sampled_from([BUY, SELL]),
        st.integers(1, 4000),
    ),
    max_size=40,
)


@given(steps)
def test_l02_the_worst_case_is_what_is_held_and_all_that_may_still_fill(plan: Any) -> None:
    on = desk(max_position_size={"AAA": "5"})
    held, orders = 0, dict[str, tuple[int, int]]()
    for step, side, size in plan:
        if step == "wish":
            flying = sum(left for one, left in orders.values() if one == side)
            worst = held + side * (flying + size)
            allowed = abs(worst) <= 5000 or abs(worst) <= abs(held)
            assert asked(on, wish(side, size)) == ["" if allowed else "max_position_size"]
            if allowed:
                orders[f"0x{on.seq - 1}"] = side, size
        elif orders:
            name, (own, left) = next(iter(orders.items()))
            if step in ("fill", "part"):
                done = left if step == "fill" else max(1, left // 2)
                filled(on, own, done, name)
                held += own * done
                orders[name] = own, left - done
            elif step == "cancel":
                on.send(OrderChanged(T, name, "s", 1, "Canceled", 0, left))
                orders[name] = own, 0
            else:
                on.send(OrderChanged(T, name, "s", 1, "Rejected", 0, left))
                orders[name] = own, 0
            if not orders[name][1]:
                del orders[name]
        exposure = on.actor.state()["_exposures"].get(1)
        if exposure is not None:
            assert exposure.position == held
            assert exposure.buying == sum(left for one, left in orders.values() if one == BUY)
            assert exposure.selling == sum(left for one, left in orders.values() if one == SELL)


def test_o04_a_doubled_fill_is_counted_once() -> None:
    on = desk(max_position_size={"AAA": "5"})
    assert asked(on, wish(BUY, 5000)) == [""]
    report = OrderFilled(T, T, f"0x{on.seq - 1}", 1, BUY, 10_000, 2000, 0, "taker", 7)
    on.send(report, report)
    exposure = on.actor.state()["_exposures"][1]
    assert (exposure.position, exposure.buying) == (2000, 3000)


def test_l03_without_a_price_nothing_is_approved() -> None:
    assert asked(desk(price=0), wish(BUY, 1)) == ["no_price"]


def test_a_limit_price_counts_where_it_is_the_worse_one() -> None:
    on = desk(max_order_notional="500")
    assert asked(on, wish(BUY, 5000, limit=10_001)) == ["max_order_notional"]
    assert asked(on, wish(BUY, 5000, limit=9_000)) == [""]
    assert asked(on, wish(SELL, 5001, limit=9_000)) == ["max_order_notional"]
    assert asked(on, wish(SELL, 5000, limit=10_001)) == ["max_order_notional"]


def test_a_later_close_is_the_price_and_a_correction_is_not() -> None:
    on = desk(max_order_notional="500")
    bar = BarClosed(T, 1, MINUTE, T, 1, 1, 1, 20_000, 1, 1, "trade")
    on.send(bar)
    assert asked(on, wish(BUY, 2501), wish(BUY, 2500)) == ["max_order_notional", ""]
    on.send(BarCorrected(T, 1, MINUTE, T, 1, 1, 1, 1, 1, 1, "trade", 1))
    assert asked(on, wish(BUY, 2501)) == ["max_order_notional"]


@pytest.mark.parametrize("side", [BUY, SELL])
def test_a_reduction_always_passes_the_position_and_notional_limits(side: int) -> None:
    on = desk(max_position_size={"AAA": "1"}, max_position_notional="1", max_order_notional="1")
    filled(on, side, 50_000)
    assert asked(on, wish(side, 1)) == ["max_position_size"]
    assert asked(on, wish(-side, 50_000)) == [""]
    assert asked(on, wish(-side, 50_001)) == ["max_position_size"]


# Latches.


def test_l07_a_halt_refuses_all_until_a_person_resumes() -> None:
    on = desk()
    (halted,) = on.send(OperatorCommand(T, "halt"))
    assert halted == EngineHalted(T, "operator: halt")
    assert asked(on, wish(BUY, 1)) == ["halted"]
    on.send(SessionStarted(T, "b" * 16, "paper", "", "", "", (), ""))
    assert asked(on, wish(BUY, 1)) == ["halted"]
    assert on.send(OperatorCommand(T, "halt")) == []
    on.send(OperatorCommand(T, "resume"))
    assert asked(on, wish(BUY, 1)) == [""]


def test_a_stop_ends_with_its_session() -> None:
    on = desk()
    assert on.send(OperatorCommand(T, "stop")) == [EngineHalted(T, "operator: stop")]
    assert asked(on, wish(BUY, 1)) == ["halted"]
    on.send(SessionStarted(T, "b" * 16, "paper", "", "", "", (), ""))
    assert asked(on, wish(BUY, 1)) == [""]


def test_l07_a_halt_pressed_while_stopping_outlives_the_stop() -> None:
    on = desk()
    on.send(OperatorCommand(T, "stop"), OperatorCommand(T, "halt"))
    on.send(SessionStarted(T, "b" * 16, "paper", "", "", "", (), ""))
    assert asked(on, wish(BUY, 1)) == ["halted"]


def test_a_failure_while_stopping_outlives_the_stop() -> None:
    on = desk()
    on.send(OperatorCommand(T, "stop"), ActorFailed(T, "Mine", 7, "x", "halt"))
    on.send(SessionStarted(T, "b" * 16, "paper", "", "", "", (), ""))
    assert asked(on, wish(BUY, 1)) == ["halted"]


def test_a_failure_under_halt_halts_once_and_names_the_actor() -> None:
    on = desk()
    (halted,) = on.send(ActorFailed(T, "Mine", 7, "ValueError: x", "halt"))
    assert halted.reason == "Mine failed: ValueError: x"
    assert on.send(ActorFailed(T, "Other", 8, "x", "halt")) == []
    assert asked(on, wish(BUY, 1)) == ["halted"]


def test_quarantine_shuts_out_one_strategy_until_it_is_restarted() -> None:
    on = desk()
    assert on.send(ActorFailed(T, "s", 7, "x", "quarantine")) == []
    assert asked(on, wish(BUY, 1), wish(BUY, 1, strategy="t")) == ["quarantined", ""]
    on.send(ActorRestarted(T, "t", 1))
    assert asked(on, wish(BUY, 1)) == ["quarantined"]
    on.send(ActorRestarted(T, "s", 1))
    assert asked(on, wish(BUY, 1)) == [""]


def test_old_approvals_are_forgotten() -> None:
    """I11: the list of times is bounded by the rate."""
    on = desk(max_orders_per_minute=5)
    asked(on, *(wish(BUY, 1, T + n * 20 * SECOND_NS) for n in range(200)))
    assert len(on.actor.state()["_approvals_ns"]) <= 5
