"""Orders of every type in complete sessions: from the request to the position, and on replay (I4, I7)."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.clock import SECOND_NS
from engine.config import Config
from engine.events import (
    ActorFailed,
    CandleRead,
    Event,
    ModifyApproved,
    OrderCanceled,
    OrderChanged,
    OrderFilled,
    OrderModified,
    OrderRejected,
    OrderRequested,
    PositionChanged,
    SignalRaised,
    SubmitOrder,
    TrailChanged,
)
from tests.profiles import examples
from tests.replay.kit import (
    AAA,
    BBB,
    EVE,
    NOON,
    Memory,
    assert_replays_alone,
    config_of,
    market,
    markets,
    opening,
    run,
    steady,
    use,
)
from tests.replay.test_follow import assert_continues_the_same

careful = st.builds(
    lambda size, gap, every, latency_ms, fill_on_touch: config_of(
        use("Careful", params={"size": size, "gap": gap, "every": every}),
        latency_ms=latency_ms,
        fill_on_touch=fill_on_touch,
    ),
    st.sampled_from(["1", "0.1", "40"]),
    st.integers(1, 6),
    st.integers(1, 3),
    st.sampled_from([0, 40, 1500]),
    st.booleans(),
)


def history(at_ns: int, count: int = 4) -> list[Event]:
    """Candles of the seconds before a session."""
    return [
        CandleRead(at_ns, end, AAA, SECOND_NS, end - SECOND_NS, 5, 9, 4, 7, 3, 2, "history")
        for end in range(at_ns - count * SECOND_NS, at_ns, SECOND_NS)
    ]


def session(config: Config, at_ns: int, data: list[Event]) -> list[Event]:
    return opening(config, at_ns) + history(at_ns) + data


def check_orders(memory: Memory) -> None:
    """Check that requests, fills, reported states and positions agree for every order."""
    open_sizes: dict[str, int] = {}
    filled: Counter[str] = Counter()
    sent: dict[str, SubmitOrder] = {}
    reported: dict[str, OrderChanged] = {}
    positions: Counter[int] = Counter()
    recorded: dict[int, int] = {}
    for _, _, event in memory.all():
        if isinstance(event, SubmitOrder):
            assert event.client_order_id not in sent, "I5"
            sent[event.client_order_id] = event
            open_sizes[event.client_order_id] = event.size
        elif isinstance(event, OrderFilled):
            order = sent[event.client_order_id]
            before = positions[event.instrument]
            assert event.size <= open_sizes[event.client_order_id]
            open_sizes[event.client_order_id] -= event.size
            filled[event.client_order_id] += event.size
            positions[event.instrument] += event.side * event.size
            assert not order.reduce_only or abs(positions[event.instrument]) == abs(before) - event.size
        elif isinstance(event, OrderModified):
            open_sizes[event.client_order_id] = event.size
        elif isinstance(event, OrderCanceled | OrderRejected):
            del open_sizes[event.client_order_id]
        elif isinstance(event, OrderChanged):
            reported[event.client_order_id] = event
        elif isinstance(event, PositionChanged):
            recorded[event.instrument] = event.size
        else:
            assert not isinstance(event, ActorFailed), event
    assert {name: size for name, size in positions.items() if size} == {
        name: size for name, size in recorded.items() if size
    }
    for name, last in reported.items():
        assert last.filled == filled[name]
        working = open_sizes.get(name, 0)
        assert (last.state in ("Filled", "Canceled", "Rejected")) == (not working)
        assert not working or last.remaining == working


@examples(0.8)
@given(careful, markets, st.lists(st.integers(1, 60), max_size=6), st.sampled_from([NOON, EVE]))
def test_i7_the_states_of_all_orders_agree_and_the_session_replays(
    config: Config, plan: Any, cuts: list[int], at_ns: int
) -> None:
    memory = run(session(config, at_ns, market(plan, at_ns)), cuts)
    check_orders(memory)
    for day in memory.days:
        assert_replays_alone(memory, day)


@examples(0.15)
@given(careful, st.integers(1, 10**9))
def test_i7_on_longer_market_data_with_moving_prices(config: Config, seed: int) -> None:
    at_ns = EVE
    memory = run(session(config, at_ns, steady(400, at_ns, gap_ms=60, seed=seed)))
    check_orders(memory)
    for day in memory.days:
        assert_replays_alone(memory, day)


@examples(0.4)
@given(careful, markets, st.integers(3, 60), st.sampled_from([NOON, EVE]))
def test_r07_following_the_record_leads_to_the_same_orders_and_stops(
    config: Config, plan: Any, at: int, at_ns: int
) -> None:
    inputs = session(config, at_ns, market(plan, at_ns))
    assert_continues_the_same(inputs, min(at, len(inputs)))


def test_the_sessions_above_use_every_type_of_order() -> None:
    """A session without orders would satisfy the properties above, so their orders are counted here."""
    config = config_of(use("Careful", params={"gap": 1, "every": 2}), fill_on_touch=True)
    memory = run(session(config, NOON, steady(3000, NOON, gap_ms=400)))
    reasons = Counter(one.reason for one in memory.events(OrderCanceled))
    assert {"sibling filled", "parent ended", "reduce only"} <= set(reasons)
    rejected = " ".join(one.reason for one in memory.events(OrderRejected))
    assert "Post only" in rejected
    assert "Reduce only" in rejected
    fired = [one for one in memory.events(TrailChanged) if one.state == "fired"]
    requests = [one for one in memory.events(OrderRequested) if one.reason.startswith("trailing stop")]
    assert len(fired) == len(requests) > 3
    approved = memory.events(ModifyApproved)
    changed = {(one.client_order_id, one.limit_price) for one in memory.events(OrderModified)}
    assert sum((one.client_order_id, one.limit_price) in changed for one in approved) > 3
    filled = {one.client_order_id for one in memory.events(OrderFilled)}
    kinds = {
        (one.trigger, bool(one.parent)) for one in memory.events(SubmitOrder) if one.client_order_id in filled
    }
    assert kinds >= {("", False), ("sl", True), ("tp", True), ("sl", False), ("tp", False)}
    warm = [one.value for one in memory.events(SignalRaised) if one.name == "warm"]
    assert set(warm) == {4.0}, "history was counted, but no plots were recorded on it"
    assert {one.instrument for one in memory.events(OrderFilled)} == {AAA, BBB}
    check_orders(memory)
