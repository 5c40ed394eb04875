"""Bars by traded amount: they close at their threshold, and each trade is in one bar."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.actors import ActivityBars
from engine.clock import SECOND_NS
from engine.config import ActivityKind, BarsConfig, parse_config
from engine.errors import ConfigError
from engine.events import (
    ActivityBarClosed,
    ClockJumped,
    FeedDamaged,
    FeedDown,
    FeedGap,
    SessionStarted,
    Trade,
)
from engine.snapshot import state_classes
from engine.states import decode_state, encode_state
from tests.actors.harness import LISTED, Harness, T

KINDS = ("tick:3", "volume:2.5", "value:40.5", "imbalance:1.25", "tick:2@BBB")
trade_plans = st.lists(
    st.tuples(
        st.sampled_from([1, 1, 2]), st.integers(1, 5000), st.integers(1, 4000), st.sampled_from([1, -1, 0])
    ),
    min_size=1,
    max_size=60,
)


def new_harness(*kinds: str) -> Harness:
    return Harness(ActivityBars(BarsConfig(activity=kinds or KINDS).kinds()))


def tape(plan: list[tuple[int, int, int, int]]) -> list[Trade]:
    return [
        Trade(T + number, T + number, instrument, price, size, side, number)
        for number, (instrument, price, size, side) in enumerate(plan, 1)
    ]


def measured(measure: str, trades: list[Trade], instrument: int) -> Decimal:
    """Return the value of a kind's measure, in human units."""
    price_unit, size_unit = (
        Decimal(10) ** LISTED[instrument].price_scale,
        Decimal(10) ** LISTED[instrument].size_scale,
    )
    match measure:
        case "tick":
            return Decimal(len(trades))
        case "volume":
            return sum((trade.size / size_unit for trade in trades), Decimal(0))
        case "value":
            return sum((trade.price * trade.size / price_unit / size_unit for trade in trades), Decimal(0))
        case _:
            return abs(sum((trade.aggressor * trade.size / size_unit for trade in trades), Decimal(0)))


@given(trade_plans)
def test_every_trade_is_in_one_bar_of_a_kind_and_each_bar_ends_at_its_threshold(
    plan: list[tuple[int, int, int, int]],
) -> None:
    harness, trades = new_harness(), tape(plan)
    harness.send(*trades)
    for instrument, listed in LISTED.items():
        for kind in map(ActivityKind.parse, KINDS):
            if kind.instrument not in ("", listed.name):
                continue
            mine = [trade for trade in trades if trade.instrument == instrument]
            bars = [
                bar
                for bar in harness.all(ActivityBarClosed)
                if (bar.instrument, bar.kind) == (instrument, kind.name)
            ]
            for number, bar in enumerate(bars):
                held, mine = mine[: bar.trades], mine[bar.trades :]
                threshold = Decimal(kind.threshold)
                assert measured(kind.measure, held, instrument) >= threshold
                for fewer in range(1, len(held)):
                    assert measured(kind.measure, held[:fewer], instrument) < threshold
                assert bar.number == number
                prices = [trade.price for trade in held]
                assert (bar.open, bar.high, bar.low, bar.close) == (
                    prices[0],
                    max(prices),
                    min(prices),
                    prices[-1],
                )
                assert bar.volume == sum(trade.size for trade in held)
                assert bar.quote_volume == sum(trade.size * trade.price for trade in held)
                assert (bar.first_id, bar.last_id) == (held[0].trade_id, held[-1].trade_id)
                assert (bar.start_ns, bar.end_ns) == (held[0].venue_ns, held[-1].venue_ns)
            if mine:
                assert all(
                    measured(kind.measure, mine[:count], instrument) < threshold_of(kind)
                    for count in range(1, len(mine) + 1)
                ), "the remaining trades do not reach the threshold"


def threshold_of(kind: ActivityKind) -> Decimal:
    return Decimal(kind.threshold)


@given(trade_plans, st.integers(0, 60))
def test_restoring_a_snapshot_at_any_point_changes_nothing(
    plan: list[tuple[int, int, int, int]], cut: int
) -> None:
    trades = tape(plan)
    through, before, after = new_harness(), new_harness(), new_harness()
    through.send(*trades)
    before.send(*trades[:cut])
    classes = state_classes(["engine.actors.activity"])
    after.actor.restore(decode_state(encode_state(before.actor.state(), "activity"), classes))
    after.send(*trades[cut:])
    assert before.log + after.log == through.log


def test_a_bar_is_incomplete_after_a_start_or_a_gap_unless_the_gap_is_closed() -> None:
    harness = new_harness("tick:2")
    ticks = iter(tape([(1, 10, 1, 1)] * 30))

    def bar() -> ActivityBarClosed:
        (emitted,) = harness.send(next(ticks), next(ticks))
        assert isinstance(emitted, ActivityBarClosed)
        return emitted

    assert bar().because == "the data begins inside it"
    assert not bar().incomplete
    harness.send(next(ticks), FeedDown(T, "f", "x"))
    (emitted,) = harness.send(next(ticks))
    assert emitted.because == "the feed was down; what was missed is not known yet"
    harness.send(next(ticks), ClockJumped(T, T, T - 1, "stepped"))
    assert not harness.send(next(ticks))[0].incomplete
    harness.send(next(ticks), ClockJumped(T, T - 1, T, "paused"))
    assert harness.send(next(ticks))[0].because == "the feed was down; what was missed is not known yet"
    harness.send(next(ticks), FeedDown(T, "f", "x"), FeedGap(T, "f", 1, T, T, True))
    assert not harness.send(next(ticks))[0].incomplete
    harness.send(next(ticks), FeedDamaged(T, "f", "trades", 1, "x", in_doubt=True))
    assert harness.send(next(ticks))[0].incomplete
    assert bar().because == "the feed was down; what was missed is not known yet", "still in doubt"
    harness.send(FeedGap(T, "f", 1, T, T, True))
    assert not bar().incomplete
    harness.send(next(ticks), FeedGap(T, "f", 1, T, T, False))
    assert harness.send(next(ticks))[0].because == "the feed has a gap"
    harness.send(next(ticks), SessionStarted(T + SECOND_NS, "b" * 16, "paper", "", "", "", (), ""))
    assert harness.send(next(ticks))[0].incomplete
    assert not bar().incomplete


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("tick", "not a plain decimal number"),
        ("tick:0", "write it as"),
        ("tick:1.5", "decimals"),
        ("range:5", "measures: tick, volume, value, imbalance"),
        ("volume:-1", "negative"),
        ("volume:x@BTC", "not a plain decimal number"),
    ],
)
def test_an_invalid_kind_is_refused_with_its_name(kind: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config({"bars": {"activity": [kind]}})


def test_nothing_is_enabled_by_default() -> None:
    assert BarsConfig().kinds() == ()
    with pytest.raises(ConfigError, match="list each kind only once"):
        parse_config({"bars": {"activity": ["tick:5", "tick:5"]}})
