"""Trailing stops: when they move, fire and are dropped, against an independent formula."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.actors import Trailing
from engine.events import (
    ActorFailed,
    Candle,
    OrderRequested,
    PositionChanged,
    Quote,
    Trade,
    TrailChanged,
    TrailRequested,
)
from engine.snapshot import state_classes
from engine.states import decode_state, encode_state
from engine.values import BUY, SELL
from tests.actors.harness import MINUTE, Harness, T


def request(side: int = SELL, size: int = 10, distance: int = 5, strategy: str = "s") -> TrailRequested:
    return TrailRequested(T, strategy, 1, side, size, distance)


def trade(price: int, at: int = T + 1, venue_ns: int = 0, instrument: int = 1) -> Trade:
    return Trade(at, venue_ns or at, instrument, price, 1, BUY)


def candle(high: int, low: int, close: int, at: int = T + 1) -> Candle:
    return Candle(at, at, 1, MINUTE, T, close, high, low, close, 1)


def position(size: int, strategy: str = "s", instrument: int = 1) -> PositionChanged:
    return PositionChanged(T + 2, strategy, instrument, size, 0, 0, 0)


def trailing(*requests: TrailRequested) -> Harness:
    harness = Harness(Trailing())
    assert harness.send(*(requests or (request(),))) == [], "a trade arms the stop, not the request"
    return harness


def summary(events: list[Any]) -> list[tuple[str, int] | str]:
    return [(one.state, one.stop) if isinstance(one, TrailChanged) else one.reason for one in events]


prices = st.lists(st.integers(80, 120), min_size=1, max_size=40)


@given(st.sampled_from([BUY, SELL]), st.integers(1, 30), prices)
def test_a_stop_fires_at_the_first_trade_that_returns_by_its_distance_and_never_before(
    side: int, distance: int, tape: list[int]
) -> None:
    """The formula has no state: the best price is that of all earlier trades."""
    harness = trailing(request(side, 10, distance))
    fired = [
        number
        for number in range(1, len(tape))
        if (max(tape[:number]) - tape[number] if side == SELL else tape[number] - min(tape[:number]))
        >= distance
    ]
    for number, price in enumerate(tape):
        events = harness.send(trade(price, T + number))
        if number == 0:
            assert summary(events) == [("armed", price + side * distance)]
        elif fired and number == fired[0]:
            best = max(tape[:number]) if side == SELL else min(tape[:number])
            assert events[0] == TrailChanged(T + number, "s", 1, side, 10, best + side * distance, "fired")
            assert (best - price) * -side >= distance
            (order,) = events[1:]
            assert (order.side, order.size, order.limit_price, order.reduce_only) == (side, 10, 0, True)
        else:
            assert events == []
    assert len(harness.all(OrderRequested)) == bool(fired)
    assert harness.actor.listens(Trade) == (not fired)


def test_the_order_request_names_the_price_of_the_stop() -> None:
    harness = trailing()
    assert summary(harness.send(trade(10_050))) == [("armed", 10_045)]
    assert summary(harness.send(trade(10_070), trade(10_065))) == [
        ("fired", 10_065),
        "trailing stop at 100.65",
    ]
    (order,) = harness.all(OrderRequested)
    assert order == OrderRequested(
        T + 1, "s", 1, SELL, 10, reduce_only=True, reason="trailing stop at 100.65"
    )


def test_a_distance_above_the_price_never_fires() -> None:
    harness = trailing(request(distance=500))
    assert summary(harness.send(trade(100))) == [("armed", 0)]
    assert harness.send(trade(1), trade(400), trade(1)) == []


def test_f02_a_trade_older_than_one_seen_neither_moves_nor_fires_a_stop() -> None:
    """As in a venue's backlog after a reconnect."""
    harness = trailing()
    harness.send(trade(100, venue_ns=T + 50))
    assert (
        harness.send(trade(200, venue_ns=T + 49), trade(1, venue_ns=T + 49), trade(96, venue_ns=T + 50)) == []
    )
    assert summary(harness.send(trade(95, venue_ns=T + 51)))[0] == ("fired", 95)


def test_quotes_and_other_instruments_do_nothing() -> None:
    harness = trailing()
    harness.send(trade(100))
    assert harness.send(Quote(T, T, 1, 1, 1, 2, 1), trade(1, instrument=2)) == []


@pytest.mark.parametrize(
    ("side", "candles", "stop"),
    [
        (SELL, [(104, 96, 100)], 0),
        (SELL, [(105, 95, 104)], 95),  # the low is at the stop of before
        (SELL, [(110, 100, 108), (109, 105, 109)], 105),  # the high moved it, the next low is there
        (SELL, [(110, 98, 104)], 105),  # the close is behind the stop that the high made
        (BUY, [(104, 95, 99)], 0),
        (BUY, [(105, 95, 96)], 105),
        (BUY, [(100, 90, 93), (95, 91, 92)], 95),
        (BUY, [(102, 90, 96)], 95),
    ],
)
def test_on_candles_the_end_that_fires_comes_first_then_the_other_then_the_close(
    side: int, candles: list[tuple[int, int, int]], stop: int
) -> None:
    harness = trailing(request(side))
    assert summary(harness.send(candle(150, 50, 100))) == [("armed", 100 + side * 5)], "at its close"
    events = harness.send(*(candle(*one) for one in candles))
    assert summary(events)[:1] == ([("fired", stop)] if stop else [])


# Ends.


@pytest.mark.parametrize(
    ("side", "size", "goes"),
    [
        (SELL, 10, False),
        (SELL, 1, False),
        (SELL, 0, True),
        (SELL, -3, True),
        (BUY, -10, False),
        (BUY, 0, True),
        (BUY, 3, True),
    ],
)
def test_a_stop_is_dropped_when_its_position_is_flat_or_turned(side: int, size: int, goes: bool) -> None:
    harness = trailing(request(side))
    harness.send(trade(100))
    assert harness.send(position(0, strategy="other"), position(0, instrument=2)) == []
    assert summary(harness.send(position(size))) == ([("dropped", 100 + side * 5)] if goes else [])
    assert harness.actor.listens(Trade) == (not goes)
    assert bool(harness.send(trade(1 if side == SELL else 999))) == (not goes)


def test_a_stop_is_dropped_on_request_armed_or_not() -> None:
    harness = trailing()
    assert summary(harness.send(request(size=0))) == [("dropped", 0)]
    assert harness.send(request(size=0)) == []
    harness.send(request(), trade(100))
    assert summary(harness.send(request(size=0))) == [("dropped", 95)]
    assert not harness.actor.listens(Trade)


def test_another_request_replaces_the_stop() -> None:
    harness = trailing()
    harness.send(trade(100), request(distance=2, size=7))
    assert summary(harness.send(trade(90))) == [("armed", 88)], (
        "it starts again: the old stop would have fired"
    )
    harness.send(trade(88))
    (order,) = harness.all(OrderRequested)
    assert order.size == 7


def test_each_strategy_has_its_own_stop_which_is_dropped_when_it_fails() -> None:
    harness = trailing(request(), request(distance=7, strategy="t"))
    assert summary(harness.send(trade(100))) == [("armed", 95), ("armed", 93)]
    assert [one.strategy for one in harness.send(ActorFailed(T, "t", 3, "broke", "quarantine"))] == ["t"]
    assert [one.strategy for one in harness.send(trade(90))] == ["s", "s"]
    assert not harness.actor.listens(Trade)


def test_without_stops_market_data_is_not_routed() -> None:
    harness = Harness(Trailing())
    assert [harness.actor.listens(kind) for kind in (Trade, Candle, TrailRequested)] == [False, False, True]


@given(prices, st.integers(0, 40))
def test_r07_stops_are_restored_from_a_snapshot(tape: list[int], cut: int) -> None:
    harness, other = trailing(request(), request(BUY, strategy="t")), Harness(Trailing())
    for number, price in enumerate(tape):
        if number == cut:
            blob = encode_state(harness.actor.state(), "trailing")
            other.actor.restore(decode_state(blob, state_classes(["engine.actors.trailing"])))
        answer = harness.send(trade(price, T + number))
        assert number < cut or answer == other.send(trade(price, T + number))
