"""Orders of every type in complete sessions: from the request to the position, and on replay (I4, I7)."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.actors import Books, OrderManager
from engine.clock import SECOND_NS
from engine.config import Config
from engine.events import (
    ActorFailed,
    CancelRequested,
    CandleRead,
    Event,
    LogWritten,
    ModifyApproved,
    OrderCanceled,
    OrderChanged,
    OrderFilled,
    OrderModified,
    OrderRefused,
    OrderRejected,
    PositionChanged,
    SignalRaised,
    StopChanged,
    SubmitOrder,
    TargetChanged,
    TrailChanged,
)
from engine.sequencer import Sequencer
from engine.strategies.actor import StrategyActor
from tests.profiles import examples
from tests.replay.kit import (
    AAA,
    BBB,
    EVE,
    NOON,
    Memory,
    assert_replays_alone,
    batches,
    config_of,
    market,
    markets,
    opening,
    run,
    steady,
    use,
)
from tests.replay.test_follow import assert_continues_the_same
from tests.strategies.fakes import builder

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
            open_sizes[event.client_order_id] = event.terms.size
        elif isinstance(event, OrderFilled):
            order = sent[event.client_order_id]
            before = positions[event.instrument]
            assert event.size <= open_sizes[event.client_order_id]
            open_sizes[event.client_order_id] -= event.size
            filled[event.client_order_id] += event.size
            positions[event.instrument] += event.side * event.size
            assert not order.terms.reduce_only or abs(positions[event.instrument]) == abs(before) - event.size
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
    canceled = {one.reason for one in memory.events(CancelRequested)}
    assert {"its time to live ended", "another order of its group was filled"} <= canceled
    rejected = " ".join(one.reason for one in memory.events(OrderRejected))
    assert "Post only" in rejected
    fired = [one for one in memory.events(TrailChanged) if one.state == "fired"]
    assert len(fired) > 3
    assert {one.state for one in memory.events(StopChanged)} == {"waiting", "firing", "fired", "dropped"}
    assert {"waiting", "working", "reached", "withdrawn"} <= {
        one.state for one in memory.events(TargetChanged)
    }
    approved = memory.events(ModifyApproved)
    changed = {(one.client_order_id, one.limit_price) for one in memory.events(OrderModified)}
    assert sum((one.client_order_id, one.limit_price) in changed for one in approved) > 3
    placed = {(one.client_order_id, one.terms) for one in memory.events(SubmitOrder)}
    assert any(terms.purpose == "own" and terms.trigger for _, terms in placed), "a stop entry"
    filled = {one.client_order_id for one in memory.events(OrderFilled)}
    kinds = {(terms.purpose, terms.role, bool(terms.parent)) for name, terms in placed if name in filled}
    assert kinds >= {
        *((purpose, role, False) for purpose in ("own", "target") for role in ("open", "close")),
        *((purpose, "close", attached) for purpose in ("stop", "take") for attached in (True, False)),
        ("trail", "close", False),
    }
    refused = memory.events(OrderRefused)
    assert {"nothing_to_close", "exit_budget", "turn"} <= {one.limit for one in refused}
    assert len(memory.events(LogWritten)) == len(refused), "on_order is called for each"
    warm = [one.value for one in memory.events(SignalRaised) if one.name == "warm"]
    assert set(warm) == {4.0}, "history was counted, but no plots were recorded on it"
    assert {one.instrument for one in memory.events(OrderFilled)} == {AAA, BBB}
    check_orders(memory)


@examples(0.4)
@given(careful, st.integers(1, 10**9), st.lists(st.integers(10, 500), max_size=8))
def test_a_strategy_reads_what_the_books_and_the_order_manager_have(
    config: Config, seed: int, cuts: list[int]
) -> None:
    """After any turn its copies of positions, targets, orders and stops are equal to the originals."""
    memory = Memory()
    sequencer = Sequencer(builder(), memory, memory)
    for batch in batches(session(config, NOON, steady(300, NOON, gap_ms=150, seed=seed)), cuts):
        sequencer.run(batch)
        books, manager = sequencer.actor("books"), sequencer.actor("orders")
        mine = sequencer.actor("Careful")
        assert isinstance(books, Books)
        assert isinstance(manager, OrderManager)
        assert isinstance(mine, StrategyActor)
        own = mine.own
        for number in (AAA, BBB):
            book, held = books.book("Careful", number), own.held(number)
            exact = Fraction(book.cost, 10**books.scale)
            assert (held.size, Fraction(held.cost, 10**held.scale)) == (book.size, exact)
            target = manager.aims.get(number, {}).get("Careful")
            assert own.aim(number).size == (target.wanted if target is not None else None)
        live = {name: order.left for name, order in manager.live.items() if order.owner == "Careful"}
        assert {name: order.remaining for name, order in own.live.items()} == live
        stops = [one for each in manager.stops.values() for one in each.values()]
        assert own.stops.keys() == {one.handle for one in stops}
        waiting = {turn.terms.handle for turn in manager.turns.values()}
        waiting |= {one.terms.handle for one in manager.waiting}
        assert own.asked.keys() == waiting
