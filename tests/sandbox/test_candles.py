"""Candles of every interval of the venue, including weeks and months."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.exchange.candles import CANDLES_MAX, INTERVALS, CandleBook, candle_end, candle_start
from engine.clock import SECOND_NS

from .kit import START_NS, ask, quote, running, tape_of, trade

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_MS = 86_400_000
UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}

ticks = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 4 * 3_600_000), st.integers(0, 40 * DAY_MS)),
        st.integers(1, 1000),
        st.integers(1, 1000),
    ),
    min_size=1,
    max_size=60,
)


def start_of(interval: str, time_ms: int) -> int:
    """Return the start of the candle that contains a time, computed with the calendar."""
    moment = EPOCH + timedelta(milliseconds=time_ms)
    if interval == "1M":
        start = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    elif interval == "1w":
        day = moment - timedelta(days=moment.weekday())
        start = day.replace(hour=0, minute=0, second=0, microsecond=0)
    else:
        length = int(interval[:-1]) * UNITS[interval[-1]]
        start = EPOCH + (moment - EPOCH) // length * length
    return (start - EPOCH) // timedelta(milliseconds=1)


@given(ticks, st.integers(0, 2 * 10**12), st.sampled_from(INTERVALS))
def test_candles_equal_bars_computed_from_the_trades(
    gaps: list[tuple[int, int, int]], start_ms: int, interval: str
) -> None:
    book = CandleBook()
    bars: dict[int, list[tuple[int, int]]] = defaultdict(list)
    at_ms = start_ms
    for gap_ms, price, size in gaps:
        at_ms += gap_ms
        book.add(at_ms, price, size)
        bars[start_of(interval, at_ms)].append((price, size))
    found = [
        (c.start_ms, c.open, c.high, c.low, c.close, c.volume, c.notional, c.trades)
        for c in book.snapshot(interval)
    ]
    assert found == [
        (
            start,
            trades[0][0],
            max(price for price, _ in trades),
            min(price for price, _ in trades),
            trades[-1][0],
            sum(size for _, size in trades),
            sum(price * size for price, size in trades),
            len(trades),
        )
        for start, trades in sorted(bars.items())
    ]


@given(st.integers(0, 4 * 10**12), st.sampled_from(INTERVALS))
@example(1_709_164_800_000, "1M")  # 29 February
def test_candles_follow_each_other_without_gaps(time_ms: int, interval: str) -> None:
    start_ms = candle_start(interval, time_ms)
    end_ms = candle_end(interval, start_ms)
    assert start_ms == start_of(interval, time_ms)
    assert start_ms <= time_ms < end_ms
    assert candle_start(interval, end_ms - 1) == start_ms
    assert candle_start(interval, end_ms) == end_ms


@pytest.mark.parametrize(
    ("interval", "start", "close"),
    [
        ("3d", "2024-12-04", "2024-12-07"),
        ("1w", "2024-12-02", "2024-12-09"),
        ("1M", "2024-12-01", "2025-01-01"),
    ],
)
async def test_long_candles_are_served_by_candle_snapshot(interval: str, start: str, close: str) -> None:
    began, closes = (
        int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000) for day in (start, close)
    )
    assert began <= START_NS // 1_000_000 < closes
    tape = tape_of([quote(0, 841430, 841440), trade(0, 841440), trade(1, 841430)])
    async with running(tape) as (_, address):
        request = {"coin": "BTC", "interval": interval, "startTime": closes - 1}
        rows = await ask(address, {"type": "candleSnapshot", "req": {**request, "endTime": closes}})
    assert [(row["t"], row["T"], row["i"], row["n"]) for row in rows] == [(began, closes - 1, interval, 2)]


@pytest.mark.parametrize("interval", ["1m", "1h"])
def test_only_the_newest_candles_are_kept(interval: str) -> None:
    book = CandleBook()
    length_ms = candle_end(interval, 0)
    for number in range(CANDLES_MAX + 50):
        book.add(number * length_ms, number + 1, 1)
    candles = book.snapshot(interval)
    assert len(candles) == CANDLES_MAX
    assert candles[-1].close == CANDLES_MAX + 50
    assert candles[0].open == 51


@given(ticks, st.sampled_from(INTERVALS), st.integers(0, 3 * DAY_MS))
def test_the_history_has_a_flat_candle_where_nothing_was_traded(
    gaps: list[tuple[int, int, int]], interval: str, after_ms: int
) -> None:
    book = CandleBook()
    at_ms = 0
    for gap_ms, price, size in gaps:
        at_ms += gap_ms
        book.add(at_ms, price, size)
    now_ms = at_ms + after_ms
    traded = {candle.start_ms: candle for candle in book.snapshot(interval)}
    history = book.history(interval, now_ms)
    assert len(history) <= CANDLES_MAX
    last = candle_start(interval, now_ms)
    assert history[-1].start_ms == (last if last in traded else candle_start(interval, last - 1))
    for before, candle in pairwise(history):
        assert candle.start_ms == candle_end(interval, before.start_ms), "without gaps"
        if candle.start_ms in traded:
            assert candle == traded[candle.start_ms]
        else:
            values = (candle.open, candle.high, candle.low, candle.close, candle.volume, candle.trades)
            assert values == (*[before.close] * 4, 0, 0)
    assert len(history) == CANDLES_MAX or history[0].start_ms == min(traded)


def test_the_tape_of_the_tests_begins_on_a_thursday() -> None:
    """A start on a Monday would not test the alignment of weeks."""
    assert datetime.fromtimestamp(START_NS // SECOND_NS, UTC).weekday() == 3
