"""What the first pass doubts: ids that are none, the noise of floats, the order of rows, times, indexes."""

from __future__ import annotations

import io
import tempfile
import tracemalloc
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.files import sorting, survey
from adapters.files.noise import Column, Rounding, digits_of
from engine.clock import DAY_NS, day_start_ns
from engine.errors import ImportRefused, UsageError
from engine.events import Candle, InstrumentListed, Trade
from engine.journal import list_days
from engine.values import parse_interval
from replay.bars import bars_of

from .kit import Imports

MS = 1_000_000
START = day_start_ns("2024-01-01")
START_MS = START // MS
CANDLES = "time,open,high,low,close,volume\n"


def trades_of(imports: Imports) -> list[Trade]:
    return [trade for day in imports.days() for trade in imports.trades(day)]


def sizes(imports: Imports) -> list[Fraction]:
    listed = imports.events(imports.days()[0])[0]
    assert isinstance(listed, InstrumentListed)
    return [Fraction(trade.size, 10**listed.size_scale) for trade in trades_of(imports)]


# Ids.


@pytest.mark.parametrize("none", ["None", "nan", "NaN", "-", "", "null", "<NA>"])
def test_cells_that_say_there_is_no_id_are_no_ids(imports: Imports, none: str) -> None:
    rows = "".join(f"{START_MS},1,{size},{none}\n" for size in ("0.5", "0.5", "1"))
    report = imports.load("time,price,size,id\n" + rows)
    assert (report.trades, report.duplicates) == (3, 0)
    assert sum(sizes(imports)) == 2
    assert [trade.trade_id for trade in trades_of(imports)] == [0, 0, 0]


def test_one_id_for_two_trades_of_one_time_is_no_id_and_nothing_is_lost(imports: Imports) -> None:
    report = imports.load(f"time,price,size,id\n{START_MS},1,1,7\n{START_MS},1,1,7\n{START_MS},2,1,7\n")
    assert (report.trades, report.duplicates) == (3, 0)
    assert any("column 'id': 1 of 3 rows repeat the id of another trade" in note for note in report.notes)
    assert {trade.trade_id for trade in trades_of(imports)} == {0}


def test_an_id_that_comes_again_for_most_trades_is_no_id(imports: Imports) -> None:
    rows = "".join(f"{START_MS + at // 2},1,1,user\n" for at in range(6))
    report = imports.load("time,price,size,id\n" + rows)
    assert (report.trades, report.duplicates) == (6, 0)
    assert any("not taken for trade ids" in note for note in report.notes)


def test_an_id_that_comes_again_rarely_is_reported(imports: Imports) -> None:
    rows = "".join(f"{START_MS + at},1,1,{at % 9}\n" for at in range(10))
    report = imports.load("time,price,size,id\n" + rows)
    assert any("1 of 10 rows repeat" in note and "--columns id=" in note for note in report.notes)
    assert [trade.trade_id for trade in trades_of(imports)] == [*range(9), 0]


def test_repeated_trades_are_counted_in_the_notes(imports: Imports) -> None:
    report = imports.load("time,price,size,id\n" + f"{START_MS},1,1,7\n" * 3)
    assert (report.trades, report.duplicates) == (1, 2)
    assert any("2 trades left out: the same id and time came before" in note for note in report.notes)


def test_ids_are_remembered_within_a_bound(imports: Imports, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "IDS_REMEMBERED", 10)
    rows = "".join(f"{START_MS + at},1,1,{at % 500}\n" for at in range(1000))
    assert not any("repeat" in note for note in imports.load("time,price,size,id\n" + rows).notes)


def test_a_column_may_be_said_to_be_absent(imports: Imports) -> None:
    text = f"time,price,size,id,side\n{START_MS},1,1,7,long\n{START_MS},1,1,7,long\n"
    with pytest.raises(ImportRefused, match=r"side 'long' .*--columns side= leaves"):
        imports.load(text)
    report = imports.load(text, columns={"id": "", "side": ""})
    assert (report.trades, report.duplicates) == (2, 0)


# The noise of floats.


def test_noise_is_rounded_to_the_step_and_reported(imports: Imports) -> None:
    rows = f"{START_MS},1.1,0.30000000000000004\n{START_MS},1.2000000000000002,0.6999999999998\n"
    report = imports.load("time,price,size\n" + rows + f"{START_MS},1,2.5\n")
    assert (report.price_decimals, report.size_decimals) == (1, 1)
    assert sizes(imports) == [Fraction("0.3"), Fraction("0.7"), Fraction("2.5")]
    assert [trade.price for trade in trades_of(imports)] == [11, 12, 10]
    assert "1 price with the noise of floats rounded, as 1.2000000000000002 to 1.2" in report.notes
    assert "2 sizes with the noise of floats rounded, as 0.30000000000000004 to 0.3" in report.notes


def test_noise_is_rounded_to_the_step_of_its_own_file(imports: Imports) -> None:
    """0.1 of 32 bits, widened to 64, is noise in a column of tenths; the other file has eight decimals."""
    noisy = imports.write(f"time,price,size\n{START_MS},1,0.10000000149011612\n{START_MS},1,0.2\n", "a.csv")
    fine = imports.write(f"time,price,size\n{START_MS + 1},1,0.00000001\n", "b.csv")
    report = imports.load_all([noisy, fine], instrument="COIN")
    assert report.instruments[0].size_decimals == 8
    assert sizes(imports) == [Fraction("0.1"), Fraction("0.2"), Fraction("0.00000001")]


def test_computed_sizes_without_a_step_need_an_answer(imports: Imports) -> None:
    text = f"time,price,size\n{START_MS},1,0.1234567890123456\n{START_MS},1,0.5\n"
    with pytest.raises(UsageError, match=r"1 of its sizes, such as 0.1234567890123456, .*--size-decimals"):
        imports.load(text)
    report = imports.load(text, size_decimals=3)
    assert sizes(imports) == [Fraction("0.123"), Fraction("0.5")]
    assert any("0.1234567890123456 to 0.123" in note for note in report.notes)


def test_a_small_number_is_not_the_noise_of_a_large_step(imports: Imports) -> None:
    text = f"time,price,size\n{START_MS},1,0.0000012345678901234\n{START_MS},1,5\n"
    with pytest.raises(UsageError, match=r"1 of its sizes, such as 0.0000012345678901234"):
        imports.load(text)


def test_digits_that_no_float_has_are_kept(imports: Imports) -> None:
    """Amounts in wei have 18 decimals."""
    report = imports.load(
        f"time,price,size\n{START_MS},1,0.123456789012345678\n{START_MS},1,0.1234567890123456\n"
    )
    assert report.size_decimals == 18
    assert sizes(imports)[1] == Fraction("0.1234567890123456")


def test_what_rounds_to_zero_and_a_plain_number_beyond_the_decimals_are_refused(imports: Imports) -> None:
    header = f"time,price,size\n{START_MS},1,1\n"
    with pytest.raises(ImportRefused, match=r"size '0.0000000000000004' .*zero|has more than"):
        imports.load(header + f"{START_MS},1,0.0000000000000004\n", size_decimals=2)
    with pytest.raises(ImportRefused, match=r"size '0.0001234567890123' rounds to zero"):
        imports.load(header + f"{START_MS},1,0.0001234567890123\n", size_decimals=2)
    with pytest.raises(ImportRefused, match=r"size '0.123' has more than 2 decimals"):
        imports.load(header + f"{START_MS},1,0.123\n", size_decimals=2)


@given(
    st.lists(st.integers(1, 10**9), min_size=1, max_size=20),
    st.integers(0, 6),
    st.lists(st.integers(-3, 3), min_size=1, max_size=5),
)
@example([3, 1], 1, [1])
def test_noise_in_any_column_leaves_its_numbers(values: list[int], decimals: int, noise: list[int]) -> None:
    """A column of numbers on a step, some written by a program that added a few units in the last place."""
    import math

    numbers = [value / 10**decimals for value in values]
    cells = []
    for at, number in enumerate(numbers):
        for _ in range(abs(noise[at % len(noise)])):
            number = math.nextafter(number, math.inf if noise[at % len(noise)] > 0 else 0)
        cells.append(repr(number))
    column = Column()
    plain = [f"{value}e-{decimals}" for value in values]
    for cell in (*cells, *plain):
        column.add(cell)
    found, rounds = column.settle(18)
    exact = max((digits_of(cell) or (0, 0))[1] for cell in plain)
    assert found == exact
    rounding = Rounding(found, asked=False)
    for cell, value in zip(cells, values, strict=True):
        text = rounding.round(cell) or cell if rounds else cell
        assert Fraction(text) == Fraction(value, 10**decimals)


@given(st.integers(1, 10**30), st.integers(0, 18), st.integers(0, 18), st.booleans())
def test_rounding_is_never_further_than_half_a_step(value: int, places: int, scale: int, asked: bool) -> None:
    digits = str(value).rjust(places + 1, "0")
    cell = f"{digits[:-places]}.{digits[-places:]}" if places else digits
    text = Rounding(scale, asked=asked).round(cell)
    if text is not None:
        assert abs(Fraction(text) - Fraction(cell)) * 2 <= Fraction(1, 10**scale)


# The order of rows.


TIMES = st.lists(st.integers(0, 3 * DAY_NS // MS), min_size=1, max_size=60)


@given(TIMES, st.sampled_from([3, 7, 65_536]))
def test_newest_first_gives_the_same_days_as_oldest_first(times: list[int], held: int) -> None:
    rows = [f"{START_MS + at},{number + 1},1" for number, at in enumerate(sorted(times))]
    before, sorting.ROWS_HELD = sorting.ROWS_HELD, held  # type: ignore[misc]
    try:
        with tempfile.TemporaryDirectory() as folder:
            imports = Imports(Path(folder))
            one = imports.load("\n".join(["time,price,size", *rows]))
            other = imports.load(
                "\n".join(["time,price,size", *reversed(rows)]), journal=imports.folder / "other"
            )
    finally:
        sorting.ROWS_HELD = before  # type: ignore[misc]
    if len(set(times)) > 1:  # rows of one time are in order either way
        assert one.digests == other.digests
        assert any("newest row comes first" in note for note in other.notes)


def test_rows_of_a_source_in_another_order_are_sorted_and_keep_theirs_within_a_time(
    imports: Imports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sorting, "ROWS_HELD", 4)
    header = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"
    times = [5, 3, 9, 3, 1, 8, 8, 2, 7, 3, 6]
    rows = [
        f"x,Y,{START_MS * 1000 + at},{START_MS * 1000 + number},{number},buy,1,{number + 1}\n"
        for number, at in enumerate(times)
    ]
    imports.load(header + "".join(rows))
    expected = sorted(range(len(times)), key=lambda number: (times[number], number))
    assert [trade.trade_id for trade in trades_of(imports)] == expected


def test_memory_does_not_grow_with_a_file_that_is_sorted(
    imports: Imports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sorting, "ROWS_HELD", 2048)
    peaks = []
    for count in (6_000, 30_000):
        path = imports.write(
            "time,price,size\n" + "".join(f"{START_MS + (count - at) * 100},1.5,1\n" for at in range(count))
        )
        tracemalloc.start()
        imports.load(path, journal=imports.folder / str(count))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 3_000_000, peaks  # five times the rows are 6 MB of events


def test_a_bad_row_of_a_file_that_is_sorted_is_named_by_its_line(imports: Imports) -> None:
    rows = [f"{START_MS - at},1,1" for at in range(5)]
    rows[3] = f"{START_MS - 3},x,1"
    with pytest.raises(ImportRefused, match="price 'x'") as caught:
        imports.load("\n".join(["time,price,size", *rows]))
    assert caught.value.line == 5


@pytest.mark.parametrize("order", [[0, 2, 1], [2, 0, 1]])
def test_rows_in_no_order_are_named_as_such(imports: Imports, order: list[int]) -> None:
    rows = [f"{START_MS + at * 60_000},1,1,1,1,1\n" for at in order]
    with pytest.raises(ImportRefused, match=r"goes back.*neither oldest first nor newest first; sort"):
        imports.load(CANDLES + "".join(rows))


def test_the_interval_of_candles_that_come_newest_first(imports: Imports) -> None:
    report = imports.load(CANDLES + f"{START_MS + 60_000},1,1,1,1,2\n{START_MS},1,1,1,1,1\n")
    assert (report.interval, report.candles) == ("1m", 2)


# Times.


def test_digits_of_a_date_are_a_time_of_that_year(imports: Imports) -> None:
    report = imports.load("time,price,size\n202401020304,1,1\n202401020305,1,1\n")
    assert report.days == ("2024-01-02",)
    assert trades_of(imports)[0].venue_ns == START + DAY_NS + (3 * 3600 + 4 * 60) * 10**9
    with pytest.raises(ImportRefused, match="no time of the years"):
        imports.load("time,price,size\n202413020304,1,1\n")


@pytest.mark.parametrize(
    ("interval", "weekday", "first"), [("1w", "Monday", "2024-01-01"), ("1w", "Thursday", "2024-01-04")]
)
def test_weeks_begin_where_the_venue_begins_them(
    imports: Imports, interval: str, weekday: str, first: str
) -> None:
    start = day_start_ns(first)
    week = parse_interval("1w")
    rows = "".join(f"{(start + at * week) // MS},{at + 1},{at + 2},1,{at + 1},5\n" for at in range(3))
    report = imports.load(CANDLES + rows)
    assert (report.interval, report.candles) == ("1w", 3)
    assert f"weeks begin on {weekday}" in report.notes
    days = [day.path for day in list_days(imports.journal)]
    bars = [each.bar for each in bars_of(days, week)]
    assert [bar.start_ns for bar in bars] == [start + at * week for at in range(3)]
    assert [bar.open for bar in bars] == [1, 2, 3]
    with pytest.raises(ImportRefused, match="a candle of 1w cannot start at"):
        imports.load(
            CANDLES + rows + f"{(start + 4 * week + DAY_NS) // MS},1,1,1,1,1\n",
            journal=imports.folder / "off",
        )


def test_months_have_their_own_lengths(imports: Imports) -> None:
    firsts = ["2024-01-01", "2024-02-01", "2024-03-01", "2024-04-01"]
    rows = "".join(f"{day},1,1,1,1,{at + 1}\n" for at, day in enumerate(firsts))
    report = imports.load(CANDLES + rows)
    assert report.interval == "1M"
    candles = [event for day in report.days for event in imports.events(day) if isinstance(event, Candle)]
    assert [candle.venue_ns for candle in candles] == [
        day_start_ns(day) for day in (*firsts[1:], "2024-05-01")
    ]


def test_the_interval_of_sparse_candles_is_what_their_source_says(imports: Imports) -> None:
    rows = "".join(f"{START // 10**9 + at * 60},1,1,1,1,2,1\n" for at in (0, 3, 6))
    assert imports.load(rows, name="XBTUSD_1.csv").interval == "1m"
    header = "ts_event,rtype,publisher_id,instrument_id,open,high,low,close,volume\n"
    rows = "".join(f"{START + at * 60 * 10**9},33,1,5,1.0,1.0,1.0,1.0,2\n" for at in (0, 5))
    report = imports.load(header + rows, name="ohlcv.csv", journal=imports.folder / "other")
    assert (report.layout, report.interval) == ("databento-ohlcv", "1m")


# Customs about silence.


def minute_bars(imports: Imports, interval: str) -> list[tuple[int, int, bool]]:
    days = [day.path for day in list_days(imports.journal)]
    bars = [each.bar for each in bars_of(days, parse_interval(interval), unclosed=True)]
    return [(bar.start_ns - START, int(bar.volume), bar.incomplete) for bar in bars]


def test_minutes_that_kraken_leaves_out_make_no_bar_incomplete(imports: Imports) -> None:
    rows = "".join(f"{START // 10**9 + at * 60},1,1,1,1,2,1\n" for at in (0, 1, 4, 5, 7, 9, 10))
    report = imports.load(rows, venue="kraken", name="XBTUSD_1.csv")
    assert report.layout == "kraken-ohlcvt"
    five = parse_interval("5m")
    assert minute_bars(imports, "5m")[:2] == [(0, 6, False), (five, 6, False)]


def test_a_silent_minute_of_binance_is_flat_and_a_missing_one_is_a_gap(imports: Imports) -> None:
    def row(minute: int, volume: str) -> str:
        start = START_MS + minute * 60_000
        return f"{start},1,1,1,1,{volume},{start + 59_999},1,0,0,0,0\n"

    rows = "".join(row(minute, "0" if minute == 2 else "2") for minute in range(11) if minute != 7)
    report = imports.load(rows, venue="binance")
    assert report.layout == "binance-klines"
    five = parse_interval("5m")
    assert minute_bars(imports, "5m")[:2] == [(0, 8, False), (five, 8, True)]
    assert (2 * 60_000 * MS, 0, False) in minute_bars(imports, "1m")


@pytest.mark.parametrize(("venue", "incomplete"), [("binance", True), ("coinbase", False), ("other", True)])
def test_without_a_layout_the_venue_says_what_a_missing_candle_is(
    imports: Imports, venue: str, incomplete: bool
) -> None:
    rows = "".join(f"{START_MS + at * 60_000},1,1,1,1,2\n" for at in range(11) if at != 7)
    imports.load(CANDLES + rows, venue=venue)
    assert minute_bars(imports, "5m")[:2] == [(0, 10, False), (parse_interval("5m"), 8, incomplete)]


@pytest.mark.parametrize(("kind", "incomplete"), [("spot", True), ("stock", False)])
def test_days_on_which_an_exchange_of_stocks_is_closed_are_no_gap(
    imports: Imports, kind: str, incomplete: bool
) -> None:
    rows = "".join(f"{START_MS + at * 86_400_000},1,1,1,1,2\n" for at in range(40) if at % 7 < 5)
    imports.load(CANDLES + rows, venue="nasdaq", instrument_kind=kind)
    assert minute_bars(imports, "1M")[0] == (0, 2 * 23, incomplete)


def test_two_missing_days_make_a_month_incomplete(imports: Imports) -> None:
    def row(day: int) -> str:
        start = START_MS + day * 86_400_000
        return f"{start},1,1,1,1,2,{start + 86_399_999},1,0,0,0,0\n"

    rows = "".join(row(day) for day in range(62) if day not in (10, 20))
    imports.load(rows, venue="binance")
    january, february = minute_bars(imports, "1M")[:2]
    assert january == (0, 2 * 29, True)
    assert february == (31 * DAY_NS, 2 * 29, False)


# Data frames.


def test_the_index_of_a_data_frame_is_the_time(imports: Imports) -> None:
    rows = "".join(f"2024-01-01 00:0{minute}:00+00:00,1,2,1,2,3\n" for minute in (0, 1))
    text = ",Open,High,Low,Close,Volume\n" + rows
    report = imports.load(text)
    assert (report.candles, report.interval) == (2, "1m")
    assert any("index of a data frame" in note for note in report.notes)
    numbered = ",time,price,size\n0,1704067200000,1,1\n1,1704067200001,1,1\n"
    report = imports.load(numbered, journal=imports.folder / "numbered")
    assert (report.trades, report.columns["time"]) == (2, "time")
    with pytest.raises(UsageError, match=r"no time column"):
        imports.load(",price,size\n0,1,1\n1,1,1\n", journal=imports.folder / "none")


def test_the_index_of_a_parquet_file_is_the_time(imports: Imports) -> None:
    stamps = pa.array([START, START + 60 * 10**9], pa.timestamp("ns", tz="UTC"))
    prices = {name: pa.array([1.5, 2.5]) for name in ("open", "high", "low", "close", "volume")}
    table = pa.table({**prices, "__index_level_0__": stamps})
    sink = io.BytesIO()
    pq.write_table(table, sink)
    report = imports.load(sink.getvalue(), name="frame.parquet")
    assert (report.candles, report.interval, report.days) == (2, "1m", ("2024-01-01",))
    assert report.columns["time"] == "__index_level_0__"


def test_raw_prices_in_parquet_are_scaled(imports: Imports) -> None:
    row: dict[str, Any] = {
        "ts_event": pa.array([START], pa.uint64()),
        "rtype": pa.array([0]),
        "publisher_id": pa.array([1]),
        "instrument_id": pa.array([5]),
        "action": pa.array(["T"]),
        "side": pa.array(["A"]),
        "price": pa.array([92992950000000]),
        "size": pa.array([2], pa.uint32()),
    }
    sink = io.BytesIO()
    pq.write_table(pa.table(row), sink)
    report = imports.load(sink.getvalue(), name="raw.parquet")
    assert (report.layout, report.price_decimals) == ("databento-trades", 2)
    assert trades_of(imports)[0].price == 9299295
