"""Time bars: equal to an independent count, each once, with empty windows (F02, F07, F08, T02, T07)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.actors import Aggregator
from engine.clock import SECOND_NS
from engine.config import BarsConfig
from engine.events import BarClosed, Candle, Event, FeedUp, PriceMarked, SessionStopped, Trade
from engine.values import INT64_MAX
from tests.actors.harness import MINUTE, Harness, T
from tests.profiles import examples

GRACE = 500_000_000
Row = tuple[int, int, int, int, int, int]


class PlannedTrade(NamedTuple):
    """One trade of a plan: time since the one before, delay, instrument, price and size."""

    gap_ns: int
    late_ns: int
    instrument: int
    price: int
    size: int


trade_plans = st.builds(
    PlannedTrade,
    st.sampled_from([0, 1, SECOND_NS // 3, SECOND_NS, 7 * SECOND_NS, 61 * SECOND_NS, 400 * SECOND_NS]),
    st.just(0),
    st.sampled_from([1, 1, 2]),
    st.integers(1, 1000),
    st.integers(1, 10**6),
)


def new_harness(*intervals: str, grace_ms: int = GRACE // 1_000_000) -> Harness:
    return Harness(Aggregator(BarsConfig(intervals, grace_ms)))


def tape(plan: Sequence[PlannedTrade]) -> list[Trade]:
    now, trades = T, []
    for number, one in enumerate(plan):
        now += one.gap_ns
        venue = now - one.late_ns
        trades.append(Trade(now, venue, one.instrument, one.price, one.size, 1, number))
    return trades


def play(harness: Harness, trades: Sequence[Event], until_ns: int = 0) -> None:
    for trade in trades:
        harness.advance(trade.recv_ns)  # type: ignore[attr-defined]
        harness.send(trade)
    harness.advance(until_ns)


def counted(trades: Sequence[Trade], span: int, instrument: int, until_ns: int) -> dict[int, Row]:
    """Count bars independently: each window since the first trade, flat at the last close if empty."""
    mine = [trade for trade in trades if trade.instrument == instrument]
    found: dict[int, Row] = {}
    if not mine:
        return found
    start = mine[0].venue_ns // span * span
    close = 0
    while start + span <= until_ns:
        inside = [one for one in mine if start <= one.venue_ns < start + span]
        if inside:
            values = [one.price for one in inside]
            close = values[-1]
            volume = sum(one.size for one in inside)
            found[start] = values[0], max(values), min(values), close, volume, len(inside)
        else:
            found[start] = close, close, close, close, 0, 0
        start += span
    return found


def row(bar: BarClosed) -> Row:
    return bar.open, bar.high, bar.low, bar.close, int(bar.volume), bar.trades


def closed(harness: Harness, interval_ns: int, instrument: int) -> dict[int, Row]:
    """Return the emitted bars, each at its highest revision."""
    found: dict[int, Row] = {}
    revisions: dict[int, int] = {}
    for bar in harness.all(BarClosed):
        if (bar.interval_ns, bar.instrument) == (interval_ns, instrument):
            assert bar.revision == revisions.get(bar.start_ns, -1) + 1
            revisions[bar.start_ns] = bar.revision
            found[bar.start_ns] = row(bar)
    return found


@examples(1.5)
@given(st.lists(trade_plans, min_size=1, max_size=40))
@example([PlannedTrade(0, 0, 1, 5, 1), PlannedTrade(0, 0, 1, 5, 1), PlannedTrade(60 * SECOND_NS, 0, 1, 7, 1)])
def test_bars_equal_an_independent_count(plan: list[PlannedTrade]) -> None:
    """F02 too: trades with equal time stamps are all counted."""
    harness = new_harness("1m", "5m", "15m")
    trades = tape(plan)
    end = trades[-1].recv_ns // (15 * MINUTE) * 15 * MINUTE + 15 * MINUTE
    play(harness, trades, end + GRACE)
    for span in (MINUTE, 5 * MINUTE, 15 * MINUTE):
        for instrument in (1, 2):
            assert closed(harness, span, instrument) == counted(trades, span, instrument, end), span


@examples(0.8)
@given(st.lists(trade_plans, min_size=1, max_size=40))
def test_f08_no_bar_closes_before_a_later_trade_or_its_grace_period_ends(plan: list[PlannedTrade]) -> None:
    harness = new_harness("1m", "5m")
    trades = tape(plan)
    for trade in trades:
        for bar in harness.advance(trade.recv_ns):
            assert bar.closed_by == "timer"
            assert bar.at_ns >= bar.start_ns + bar.interval_ns + GRACE
        for bar in harness.send(trade):
            assert bar.closed_by == "trade"
            assert trade.venue_ns >= bar.start_ns + bar.interval_ns
            assert trade.instrument == bar.instrument


@given(st.lists(trade_plans, min_size=1, max_size=30))
def test_each_bar_is_emitted_once_in_order_without_holes(plan: list[PlannedTrade]) -> None:
    harness = new_harness("1m", "5m")
    trades = tape(plan)
    play(harness, trades, trades[-1].recv_ns + 20 * MINUTE)
    for instrument in (1, 2):
        for span in (MINUTE, 5 * MINUTE):
            starts = list(closed(harness, span, instrument))
            assert starts == list(range(starts[0], starts[0] + len(starts) * span, span)) if starts else True
            assert all(start % span == 0 for start in starts)


late_trade_plans = st.builds(
    PlannedTrade,
    st.sampled_from([SECOND_NS, 20 * SECOND_NS, 59 * SECOND_NS]),
    st.sampled_from([0, 0, SECOND_NS, 61 * SECOND_NS, 150 * SECOND_NS]),
    st.just(1),
    st.integers(1, 1000),
    st.integers(1, 10**6),
)


@examples(1.5)
@given(st.lists(late_trade_plans, min_size=2, max_size=40))
def test_t07_a_late_trade_corrects_its_bars_by_a_new_revision(plan: list[PlannedTrade]) -> None:
    """High, low, volume and count are those of all trades; revisions increase by one."""
    harness = new_harness("1m", "5m")
    trades = tape(plan)
    first_ns = trades[0].venue_ns // (5 * MINUTE) * 5 * MINUTE
    trades = [one for one in trades if one.venue_ns >= trades[0].venue_ns // MINUTE * MINUTE]
    end = trades[-1].recv_ns // (5 * MINUTE) * 5 * MINUTE + 5 * MINUTE
    play(harness, trades, end + GRACE)
    harness.send(SessionStopped(end + GRACE, "s", "test"))  # no correction waits any longer
    for span in (MINUTE, 5 * MINUTE):
        bars = closed(harness, span, 1)
        for start in range(first_ns, end, span):
            inside = [one for one in trades if start <= one.venue_ns < start + span]
            if inside:
                _, high, low, _, volume, count = bars[start]
                assert high == max(one.price for one in inside)
                assert low == min(one.price for one in inside)
                assert (volume, count) == (sum(one.size for one in inside), len(inside))


def test_t07_a_trade_too_late_for_kept_bars_changes_nothing_and_is_counted() -> None:
    harness = new_harness("1m")
    play(harness, [Trade(T, T + 30, 1, 100, 1, 1)], T + 62 * MINUTE)
    before = len(harness.log)
    assert harness.send(Trade(T + 62 * MINUTE, T + 1, 1, 500, 1, 1)) == []
    assert len(harness.log) == before
    assert harness.actor.state()["_too_late"] == 1


def test_a_late_trade_before_the_first_bar_is_dropped_and_counted() -> None:
    harness = new_harness("1m")
    assert harness.send(Trade(T, T, 1, 100, 1, 1), Trade(T, T - 2 * MINUTE, 1, 1, 1, 1)) == []
    assert harness.actor.state()["_too_late"] == 1


def test_f05_late_trades_in_order_give_the_same_bar_as_trades_in_time() -> None:
    """As after a reconnect: the bar closed without trades, then the venue's backlog arrives."""
    inside = [Trade(T + n, T + MINUTE + n, 1, 100 + n, 1, 1, n) for n in range(1, 4)]
    first, last = Trade(T, T, 1, 90, 1, 1), Trade(T + 3 * MINUTE, T + 3 * MINUTE, 1, 95, 1, 1)
    in_time, late = new_harness("1m"), new_harness("1m")
    play(in_time, [first, *inside, last])
    play(late, [first])
    late.advance(T + 2 * MINUTE + GRACE)
    play(late, [*inside, last])
    assert closed(late, MINUTE, 1)[T + MINUTE] == closed(in_time, MINUTE, 1)[T + MINUTE]


def test_volume_beyond_64_bits_is_text_and_exact() -> None:
    harness = new_harness("1m", "5m")
    trades = [Trade(T + n, T + n, 1, 5, INT64_MAX, 1, n) for n in range(3)]
    play(harness, trades, T + 5 * MINUTE + GRACE)
    first = harness.all(BarClosed)[0]
    assert first.volume == str(3 * INT64_MAX)
    longer = next(bar for bar in harness.all(BarClosed) if bar.interval_ns == 5 * MINUTE)
    assert longer.volume == str(3 * INT64_MAX)


def test_t02_a_trade_far_ahead_closes_each_window_in_between() -> None:
    harness = new_harness("1m", "5m")
    harness.send(Trade(T, T, 1, 100, 1, 1))
    late = T + 60 * MINUTE + GRACE
    bars: list[Any] = harness.send(Trade(late, late, 1, 50, 1, 1))
    assert len([bar for bar in bars if bar.interval_ns == MINUTE]) == 60
    assert len([bar for bar in bars if bar.interval_ns == 5 * MINUTE]) == 12
    assert all(row(bar) == (100, 100, 100, 100, 0, 0) for bar in bars if bar.start_ns >= T + 5 * MINUTE)


@pytest.mark.parametrize("venue_ns", [T + 300 * 86_400 * SECOND_NS, T // 1000, 0, -SECOND_NS])
def test_t06_an_implausible_venue_time_does_not_open_many_bars(venue_ns: int) -> None:
    """In the future, in ms instead of ns, in 1970, negative: left out and counted."""
    harness = new_harness("1h")
    for trade in (Trade(T, T, 1, 100, 1, 1), Trade(T + 1, venue_ns, 1, 100, 1, 1)):
        harness.send(trade)
    other = new_harness("1h")
    other.send(Trade(T, venue_ns, 1, 100, 1, 1))
    other.advance(T + 1)
    assert len(harness.log) + len(other.log) < 1000


def test_the_first_bar_is_incomplete_unless_a_trade_is_at_its_start() -> None:
    harness = new_harness("1m", "5m")
    play(
        harness, [Trade(T + 1, T + 1, 1, 5, 1, 1), Trade(T, T + MINUTE, 2, 5, 1, 1)], T + 10 * MINUTE + GRACE
    )
    marks = {
        (bar.instrument, bar.interval_ns, bar.start_ns): bar.incomplete for bar in harness.all(BarClosed)
    }
    assert marks[1, MINUTE, T]
    assert not marks[1, MINUTE, T + MINUTE]
    assert marks[1, 5 * MINUTE, T]
    assert not marks[2, MINUTE, T + MINUTE]
    assert marks[2, 5 * MINUTE, T]
    assert not marks[2, 5 * MINUTE, T + 5 * MINUTE]


def test_f13_instruments_are_never_mixed() -> None:
    harness = new_harness("1m")
    play(harness, [Trade(T, T, 1, 100, 3, 1), Trade(T, T, 2, 7, 9, 1)], T + MINUTE + GRACE)
    assert [(bar.instrument, *row(bar)) for bar in harness.all(BarClosed)] == [
        (1, 100, 100, 100, 100, 3, 1),
        (2, 7, 7, 7, 7, 9, 1),
    ]


def test_a_stop_emits_the_last_price_of_each_instrument() -> None:
    harness = new_harness("1m")
    play(harness, [Trade(T, T, 2, 7, 1, 1), Trade(T, T, 1, 100, 1, 1), Trade(T + 1, T + 1, 1, 101, 1, 1)])
    emitted = harness.send(SessionStopped(T + 5, "a", "test"))
    assert emitted == [PriceMarked(T + 5, 1, 101), PriceMarked(T + 5, 2, 7)]


# Candles.


def candle(start_ns: int, values: tuple[int, int, int, int, int], span: int = MINUTE) -> Candle:
    return Candle(start_ns + span, start_ns + span, 1, span, start_ns, *values, trades=2)


candle_values = st.tuples(st.integers(10, 99), st.integers(0, 9), st.integers(0, 9), st.integers(0, 50)).map(
    lambda v: (v[0], v[0] + v[1], v[0] - v[2], v[0] + v[1] - v[2], v[3])
)


@given(st.lists(candle_values, min_size=5, max_size=40))
def test_candles_become_bars_and_longer_bars(plan: list[tuple[int, int, int, int, int]]) -> None:
    harness = new_harness("1m", "5m")
    candles = [candle(T + n * MINUTE, values) for n, values in enumerate(plan)]
    harness.send(*candles)
    short = [bar for bar in harness.all(BarClosed) if bar.interval_ns == MINUTE]
    assert [row(bar)[:5] for bar in short] == [
        (one.open, one.high, one.low, one.close, one.volume) for one in candles
    ]
    assert {bar.closed_by for bar in short} == {"candle"}
    longer = [bar for bar in harness.all(BarClosed) if bar.interval_ns == 5 * MINUTE]
    assert len(longer) == len(plan) // 5
    for number, bar in enumerate(longer):
        parts = candles[number * 5 : number * 5 + 5]
        traded = [one for one in parts if one.volume or one.trades]
        assert (bar.open, bar.close) == (traded[0].open, traded[-1].close)
        assert (bar.high, bar.low) == (max(p.high for p in traded), min(p.low for p in traded))
        assert int(bar.volume) == sum(int(p.volume) for p in parts)
        assert not bar.incomplete


@given(st.lists(st.integers(0, 12), min_size=2, max_size=20, unique=True).map(sorted), candle_values)
def test_the_last_bar_emitted_has_the_last_price(
    minutes: list[int], values: tuple[int, int, int, int, int]
) -> None:
    """With any candles missing: the account is valued at the last bar."""
    harness = new_harness("1m", "5m", "15m")
    for number, minute in enumerate(minutes):
        one = candle(T + minute * MINUTE, (*values[:3], values[2] + number % 2, 1))
        assert harness.send(one)[-1].close == one.close


def test_candles_of_two_intervals_keep_their_own_bars() -> None:
    harness = new_harness("1m", "5m", "15m")
    harness.send(candle(T, (50, 55, 45, 50, 1)), candle(T + 5 * MINUTE, (50, 55, 45, 50, 1), span=5 * MINUTE))
    spans = {bar.interval_ns // MINUTE for bar in harness.all(BarClosed) if bar.start_ns == T + 5 * MINUTE}
    assert spans == {5}


def test_f07_a_repeated_candle_corrects_its_bar() -> None:
    harness = new_harness("1m", "5m")
    for minute in (0, 1, 1, 2, 3, 4):
        harness.send(candle(T + minute * MINUTE, (50, 55, 45, 50, 10)))
    assert [bar.revision for bar in harness.all(BarClosed) if bar.start_ns == T + MINUTE] == [0, 1]
    assert [int(bar.volume) for bar in harness.all(BarClosed) if bar.interval_ns == 5 * MINUTE] == [50]


def test_f04_a_missing_candle_makes_the_longer_bar_incomplete() -> None:
    harness = new_harness("1m", "5m")
    harness.send(FeedUp(T, "f", 1))
    for n in (0, 1, 3, 4, 5, 6, 7, 8, 9):
        harness.send(candle(T + n * MINUTE, (50, 55, 45, 50, 1)))
    longer = [bar for bar in harness.all(BarClosed) if bar.interval_ns == 5 * MINUTE]
    assert [bar.incomplete for bar in longer] == [True, False]
