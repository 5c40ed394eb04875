"""The candles of a page are the bars of the run, joined when there are many, and memory stays bounded."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clock import DAY_NS, SECOND_NS, day_start_ns
from engine.events import BarClosed, BarCorrected, Event, InstrumentListed, SignalRaised, StopChanged
from engine.pages import charting
from engine.pages.charting import Candles, Charting, Steps
from replay.backtesting import DigestSink, run_backtest
from tests.replay.kit import BUSY
from tests.replay.test_backtest import recorded
from tests.strategies.fakes import builder

T = day_start_ns("2024-12-05")
MINUTE_NS = 60 * SECOND_NS
ABC = InstrumentListed(T, 1, "sim", "ABC", 2, 1)

row = st.tuples(*[st.integers(1, 1000)] * 4, st.floats(0, 10))


def bar(start_ns: int, price: int = 100, interval_ns: int = MINUTE_NS, **others: Any) -> BarClosed:
    return BarClosed(
        start_ns + interval_ns,
        1,
        interval_ns,
        start_ns,
        price,
        price + 5,
        price - 5,
        price,
        30,
        3,
        "",
        **others,
    )


def read(events: list[Event]) -> Charting:
    found = Charting()
    found.append(1, [ABC], [])
    found.append(2, [], [(seq, 1, event) for seq, event in enumerate(events, 2)])
    return found


@given(st.lists(st.tuples(st.integers(0, 3000), row), max_size=120, unique_by=lambda one: one[0]))
def test_joined_candles_are_those_of_the_longer_interval(rows: list[tuple[int, Any]]) -> None:
    before, charting.CANDLES_MAX = charting.CANDLES_MAX, 10  # type: ignore[misc]
    try:
        found = Candles(SECOND_NS, 2)
        for second, one in sorted(rows):
            found.add(T + second * SECOND_NS, one, gap=False)
    finally:
        charting.CANDLES_MAX = before  # type: ignore[misc]
    assert len(found.starts) <= 10
    wanted: dict[int, list[Any]] = {}
    for second, one in sorted(rows):
        at_ns = T + second * SECOND_NS
        wanted.setdefault(at_ns - at_ns % found.interval_ns, []).append(one)
    assert found.starts == list(wanted)
    for one, group in zip(found.rows, wanted.values(), strict=True):
        assert one[:4] == (
            group[0][0], max(at[1] for at in group), min(at[2] for at in group), group[-1][3],
        )  # fmt: skip
        assert one[4] == pytest.approx(math.fsum(at[4] for at in group))


def test_a_month_of_minutes_becomes_candles_of_three_minutes() -> None:
    found = Candles(MINUTE_NS, 2)
    for at in range(43_200):
        found.add(T + at * MINUTE_NS, (at, at + 1, at - 1, at, 1.0), gap=at == 100)
    assert (len(found.starts), found.interval_ns) == (14_400, 3 * MINUTE_NS)
    assert found.gaps == {T + 99 * MINUTE_NS}


def test_only_the_shortest_interval_is_drawn_and_a_correction_replaces_its_bar() -> None:
    events: list[Event] = [
        bar(T), bar(T + MINUTE_NS, incomplete=True), bar(T, interval_ns=5 * MINUTE_NS),
        BarCorrected(T + 3 * MINUTE_NS, 1, MINUTE_NS, T + MINUTE_NS, 7, 9, 6, 8, 30, 3, ""),
    ]  # fmt: skip
    found = read(events).candles[1]
    assert found.starts == [T, T + MINUTE_NS]
    assert found.rows == [(100, 105, 95, 100, 3.0), (7, 9, 6, 8, 3.0)]
    assert not found.gaps


def test_prices_move_to_a_finer_scale_with_their_instrument() -> None:
    found = read([bar(T)])
    finer = InstrumentListed(T, 1, "sim", "ABC", 4, 1)
    found.append(10, [finer], [(11, 10, bar(T + MINUTE_NS, 10_000))])
    assert [one[0] for one in found.candles[1].rows] == [10_000, 10_000]


def test_a_stop_is_drawn_from_when_it_waits_until_it_fires() -> None:
    def stop(at: int, price: int, state: str, handle: str = "a") -> StopChanged:
        return StopChanged(T + at * MINUTE_NS, "s", 1, handle, -1, 5, "sl", price, state)

    lines = read([
        stop(1, 9000, "waiting"), stop(2, 9100, "waiting"), stop(3, 9200, "waiting", "b"),
        stop(4, 9200, "dropped", "b"), stop(5, 9100, "firing"), stop(6, 9100, "fired"),
    ]).stops[1]  # fmt: skip
    assert list(lines) == [("s", "stop")]
    drawn = lines["s", "stop"].at(MINUTE_NS)
    assert [at for at, _ in drawn] == [T + at * MINUTE_NS for at in range(1, 7)]
    assert [value for _, value in drawn[:4]] == [90.0, 91.0, 92.0, 91.0]
    assert all(math.isnan(value) for _, value in drawn[4:])


def test_a_plot_has_the_newest_value_of_each_candle_and_stays_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(charting, "CANDLES_MAX", 50)
    steps = Steps()
    for at in range(5000):
        steps.add(T + at * SECOND_NS, float(at))
    assert len(steps.times) <= 101
    quarter = 900 * SECOND_NS
    assert steps.at(quarter) == [(T + at * quarter, min(4999, at * 900 + 899.0)) for at in range(6)]


def test_too_many_lines_are_counted_and_not_kept() -> None:
    found = read([SignalRaised(T, "s", 1, f"n{at}", 1.0) for at in range(30)])
    assert len(found.plots[1]) == 12
    assert len(found.lines_left) == 18


def test_a_watcher_sees_every_frame_of_a_backtest(tmp_path: Path) -> None:
    class Copy(DigestSink):
        """Chains what it sees, as the run itself does."""

    copy, drawn = Copy(), Charting()
    report = run_backtest(recorded(tmp_path / "days"), builder(), BUSY, DigestSink(), watch=[copy, drawn])
    assert copy.digest.hex() == report.digest
    assert sum(len(one.starts) for one in drawn.candles.values())
    assert DAY_NS % next(iter(drawn.candles.values())).interval_ns == 0
