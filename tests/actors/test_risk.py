"""Limits at their boundaries, with working orders; halts that only an operator ends (L01, L02, L03, L07)."""

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


def new_harness(price: int = 10_000, **limits: Any) -> Harness:
    """AAA has price scale 2 and size scale 3: size 1000 at 10000 is 1 AAA at 100.00."""
    harness = Harness(Risk(RiskConfig(**{**FREE, **limits})))
    if price:
        harness.send(Trade(T, T, 1, price, 1, 1))
    return harness


def request(side: int, size: int, at_ns: int = T, limit: int = 0, strategy: str = "s") -> OrderRequested:
    return OrderRequested(at_ns, strategy, 1, side, size, limit)


def check(harness: Harness, *requests: OrderRequested) -> list[str]:
    """Return "" for each approved request, else the limit that refused it. Approved ones are submitted."""
    results = []
    for one in requests:
        (answer,) = harness.send(one)
        if isinstance(answer, OrderApproved):
            assert answer.request_seq == harness.seq
            harness.send(
                SubmitOrder(
                    T, f"0x{harness.seq}", one.strategy, 1, one.side, one.size, one.limit_price, "Gtc", False
                )
            )
            results.append("")
        else:
            assert isinstance(answer, OrderRefused)
            assert answer.request_seq == harness.seq
            assert answer.reason
            results.append(answer.limit)
    return results


def filled(harness: Harness, side: int, size: int, order_id: str = "none") -> None:
    harness.send(OrderFilled(T, T, order_id, 1, side, 10_000, size, 0, "taker", harness.seq))


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
    assert check(new_harness(**config), request(side, 4999)) == [""]
    assert check(new_harness(**config), request(side, 5000)) == [""]
    assert check(new_harness(**config), request(side, 5001)) == [limit]


def test_l01_the_rate_holds_at_its_edge_and_over_a_sliding_minute() -> None:
    harness = new_harness(max_orders_per_minute=3)
    times = [T, T, T + 1, T + 2, T + MINUTE - 1, T + MINUTE, T + MINUTE, T + MINUTE, T + MINUTE + 1]
    results = check(harness, *(request(BUY, 1, at) for at in times))
    rate = "max_orders_per_minute"
    assert results == ["", "", "", rate, rate, "", "", rate, ""]


def test_a_refused_request_does_not_count_towards_the_rate() -> None:
    harness = new_harness(max_orders_per_minute=1, max_order_size={"AAA": "1"})
    assert check(harness, *[request(BUY, 5000)] * 3, request(BUY, 1)) == ["max_order_size"] * 3 + [""]


@pytest.mark.parametrize("size", [0, -1])
def test_o20_a_size_that_became_zero_is_refused(size: int) -> None:
    assert check(new_harness(), request(BUY, size)) == ["size"]


def test_limit_zero_or_absent_is_no_limit() -> None:
    harness = new_harness(max_order_size={"AAA": "0", "BBB": "1"}, max_position_size={"AAA": "0.0"})
    assert check(harness, request(BUY, 10**15)) == [""]


def test_a_limit_finer_or_larger_than_the_instruments_scale_is_compared_exactly() -> None:
    assert check(new_harness(max_order_size={"AAA": "0.0015"}), request(BUY, 1), request(BUY, 2)) == [
        "",
        "max_order_size",
    ]
    assert check(new_harness(max_order_size={"AAA": "99999999999999999"}), request(BUY, 10**18)) == [""]


@given(st.lists(st.tuples(st.sampled_from([BUY, SELL]), st.integers(1, 4000)), max_size=25))
def test_l02_orders_in_flight_never_add_up_beyond_the_limit(plan: list[tuple[int, int]]) -> None:
    harness = new_harness(max_position_size={"AAA": "5"})
    flying = {BUY: 0, SELL: 0}
    for side, size in plan:
        fits = flying[side] + size <= 5000
        assert check(harness, request(side, size)) == ["" if fits else "max_position_size"]
        if fits:
            flying[side] += size


steps = st.lists(
    st.tuples(
        st.sampled_from(["request", "request", "fill", "part", "cancel", "reject"]),
        st.sampled_from([BUY, SELL]),
        st.integers(1, 4000),
    ),
    max_size=40,
)


@given(steps)
def test_l02_the_worst_case_is_the_position_and_all_orders_that_may_still_fill(plan: Any) -> None:
    harness = new_harness(max_position_size={"AAA": "5"})
    held, orders = 0, dict[str, tuple[int, int]]()
    for step, side, size in plan:
        if step == "request":
            flying = sum(left for one, left in orders.values() if one == side)
            worst = held + side * (flying + size)
            allowed = abs(worst) <= 5000 or abs(worst) <= abs(held)
            assert check(harness, request(side, size)) == ["" if allowed else "max_position_size"]
            if allowed:
                orders[f"0x{harness.seq - 1}"] = side, size
        elif orders:
            name, (own, left) = next(iter(orders.items()))
            if step in ("fill", "part"):
                done = left if step == "fill" else max(1, left // 2)
                filled(harness, own, done, name)
                held += own * done
                orders[name] = own, left - done
            elif step == "cancel":
                harness.send(OrderChanged(T, name, "s", 1, "Canceled", 0, left))
                orders[name] = own, 0
            else:
                harness.send(OrderChanged(T, name, "s", 1, "Rejected", 0, left))
                orders[name] = own, 0
            if not orders[name][1]:
                del orders[name]
        exposure = harness.actor.state()["_exposures"].get(1)
        if exposure is not None:
            assert exposure.position == held
            assert exposure.buying == sum(left for one, left in orders.values() if one == BUY)
            assert exposure.selling == sum(left for one, left in orders.values() if one == SELL)


def test_o04_a_duplicate_fill_is_counted_once() -> None:
    harness = new_harness(max_position_size={"AAA": "5"})
    assert check(harness, request(BUY, 5000)) == [""]
    report = OrderFilled(T, T, f"0x{harness.seq - 1}", 1, BUY, 10_000, 2000, 0, "taker", 7)
    harness.send(report, report)
    exposure = harness.actor.state()["_exposures"][1]
    assert (exposure.position, exposure.buying) == (2000, 3000)


def test_l03_without_a_price_nothing_is_approved() -> None:
    assert check(new_harness(price=0), request(BUY, 1)) == ["no_price"]


def test_a_limit_price_counts_if_it_is_worse_than_the_last_price() -> None:
    harness = new_harness(max_order_notional="500")
    assert check(harness, request(BUY, 5000, limit=10_001)) == ["max_order_notional"]
    assert check(harness, request(BUY, 5000, limit=9_000)) == [""]
    assert check(harness, request(SELL, 5001, limit=9_000)) == ["max_order_notional"]
    assert check(harness, request(SELL, 5000, limit=10_001)) == ["max_order_notional"]


def test_a_later_close_is_the_price_and_a_correction_is_not() -> None:
    harness = new_harness(max_order_notional="500")
    bar = BarClosed(T, 1, MINUTE, T, 1, 1, 1, 20_000, 1, 1, "trade")
    harness.send(bar)
    assert check(harness, request(BUY, 2501), request(BUY, 2500)) == ["max_order_notional", ""]
    harness.send(BarCorrected(T, 1, MINUTE, T, 1, 1, 1, 1, 1, 1, "trade", 1))
    assert check(harness, request(BUY, 2501)) == ["max_order_notional"]


@pytest.mark.parametrize("side", [BUY, SELL])
def test_a_reduction_always_passes_the_position_and_notional_limits(side: int) -> None:
    harness = new_harness(max_position_size={"AAA": "1"}, max_position_notional="1", max_order_notional="1")
    filled(harness, side, 50_000)
    assert check(harness, request(side, 1)) == ["max_position_size"]
    assert check(harness, request(-side, 50_000)) == [""]
    assert check(harness, request(-side, 50_001)) == ["max_position_size"]


# Halts.


def test_l07_a_halt_refuses_everything_until_an_operator_resumes() -> None:
    harness = new_harness()
    (halted,) = harness.send(OperatorCommand(T, "halt"))
    assert halted == EngineHalted(T, "operator: halt")
    assert check(harness, request(BUY, 1)) == ["halted"]
    harness.send(SessionStarted(T, "b" * 16, "paper", "", "", "", (), ""))
    assert check(harness, request(BUY, 1)) == ["halted"]
    assert harness.send(OperatorCommand(T, "halt")) == []
    harness.send(OperatorCommand(T, "resume"))
    assert check(harness, request(BUY, 1)) == [""]


def test_a_stop_ends_with_its_session() -> None:
    harness = new_harness()
    assert harness.send(OperatorCommand(T, "stop")) == [EngineHalted(T, "operator: stop")]
    assert check(harness, request(BUY, 1)) == ["halted"]
    harness.send(SessionStarted(T, "b" * 16, "paper", "", "", "", (), ""))
    assert check(harness, request(BUY, 1)) == [""]


def test_l07_a_halt_while_stopping_stays_after_the_stop() -> None:
    harness = new_harness()
    harness.send(OperatorCommand(T, "stop"), OperatorCommand(T, "halt"))
    harness.send(SessionStarted(T, "b" * 16, "paper", "", "", "", (), ""))
    assert check(harness, request(BUY, 1)) == ["halted"]


def test_a_failure_while_stopping_stays_after_the_stop() -> None:
    harness = new_harness()
    harness.send(OperatorCommand(T, "stop"), ActorFailed(T, "Mine", 7, "x", "halt"))
    harness.send(SessionStarted(T, "b" * 16, "paper", "", "", "", (), ""))
    assert check(harness, request(BUY, 1)) == ["halted"]


def test_a_failure_under_halt_halts_once_and_names_the_actor() -> None:
    harness = new_harness()
    (halted,) = harness.send(ActorFailed(T, "Mine", 7, "ValueError: x", "halt"))
    assert halted.reason == "Mine failed: ValueError: x"
    assert harness.send(ActorFailed(T, "Other", 8, "x", "halt")) == []
    assert check(harness, request(BUY, 1)) == ["halted"]


def test_quarantine_refuses_one_strategy_until_it_is_restarted() -> None:
    harness = new_harness()
    assert harness.send(ActorFailed(T, "s", 7, "x", "quarantine")) == []
    assert check(harness, request(BUY, 1), request(BUY, 1, strategy="t")) == ["quarantined", ""]
    harness.send(ActorRestarted(T, "t", 1))
    assert check(harness, request(BUY, 1)) == ["quarantined"]
    harness.send(ActorRestarted(T, "s", 1))
    assert check(harness, request(BUY, 1)) == [""]


def test_old_approvals_are_forgotten() -> None:
    """I11: the list of times is bounded by the rate."""
    harness = new_harness(max_orders_per_minute=5)
    check(harness, *(request(BUY, 1, T + n * 20 * SECOND_NS) for n in range(200)))
    assert len(harness.actor.state()["_approvals_ns"]) <= 5
