"""Quotes, funding rates, marks and open interest of files: exact, by their layouts, together or alone."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Callable
from decimal import Decimal
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from adapters.files.known import CUSTOMS
from adapters.files.market_layouts import MARKET_KNOWN
from adapters.files.messages import LAYOUTS
from engine.clock import day_start_ns
from engine.commands.import_ import import_command
from engine.errors import ImportRefused, UsageError
from engine.events import BookRead, ContextRead, Event, FeedGap, FundingRead, InstrumentListed, Quote, Trade
from engine.values import format_scaled
from tests.profiles import examples

from .kit import Imports

DAY = "2024-01-30"
START_MS = day_start_ns(DAY) // 1_000_000
START_US = START_MS * 1000

QUOTES = "timestamp,bid,bid_size,ask,ask_size\n"
CASES: dict[str, tuple[str, str, list[str]]] = {
    "tardis-quotes": (
        "q.csv",
        (
            "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount\n"
            f"binance,COIN,{START_US + 9},{START_US + 20},2.5,101.5,100.25,1\n"
            f"binance,COIN,{START_US + 8},{START_US + 21},2,101,100,1\n"
            f"binance,COIN,{START_US + 10},{START_US + 22},,,100.25,1\n"
        ),
        ["8000 100 1 101 2", "9000 100.25 1 101.5 2.5", "10000 100.25 1 0 0"],
    ),
    "binance-quotes": (
        "q.csv",
        (
            "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time\n"
            f"1,100.10,3.000,100.20,0.250,{START_MS + 1},{START_MS + 2}\n"
        ),
        ["1000000 100.1 3 100.2 0.25"],
    ),
    "tardis-contexts": (
        "c.csv",
        (
            "exchange,symbol,timestamp,local_timestamp,funding_timestamp,funding_rate,predicted_funding_rate,"
            "open_interest,last_price,index_price,mark_price\n"
            f"bitmex,COIN,{START_US},{START_US + 5},,0.0001,,,,42000.125,42001.5\n"
            f"bitmex,COIN,{START_US + 1},{START_US + 5},,0.0001,,812.5,,,\n"
        ),
        ["0 mark 42001.5 oracle 42000.125 interest -", "1000 mark - oracle - interest 812.5"],
    ),
    "binance-metrics": (
        "m.csv",
        (
            "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio\n"
            "2024-01-30 00:05:00,COIN,73211.5030000000000000,3165113205.48,1.2\n"
        ),
        ["300000000000 mark - oracle - interest 73211.503"],
    ),
    "binance-funding": (
        "f.csv",
        (
            "calc_time,funding_interval_hours,last_funding_rate\n"
            f"{START_MS + 3},8,0.00010000\n{START_MS + 28_800_000},4,-0.00012345\n"
        ),
        ["3000000 0.0001", "28800000000000 -0.00012345"],
    ),
    "hyperliquid-funding": (
        "f.json",
        json.dumps(
            [
                {"coin": "COIN", "fundingRate": "0.0000125", "premium": "0.0003", "time": START_MS + 76},
                {"coin": "COIN", "fundingRate": "-0.0000001", "premium": "0", "time": START_MS + 3_600_011},
            ]
        ),
        ["76000000 0.0000125", "3600011000000 -0.0000001"],
    ),
    "kraken-funding": (
        "f.json",
        '[{"timestamp":"2024-01-30T08:00:00Z","fundingRate":0.218,"relativeFundingRate":2.5e-06}]',
        ["28800000000000 0.0000025"],
    ),
    "ccxt-funding": (
        "f.json",
        (
            '[{"info":{"x":[1]},"symbol":"COIN","fundingRate":1.25e-05,"timestamp":'
            f'{START_MS + 5},"datetime":"2024-01-30T00:00:00.005Z"}}]'
        ),
        ["5000000 0.0000125"],
    ),
}


def text(value: object, scale: int) -> str:
    """A value in decimals, as short as it is exact."""
    if value is None:
        return "-"
    found = format_scaled(value, scale)  # type: ignore[arg-type]
    return found.rstrip("0").rstrip(".") if "." in found else found


def lines(events: list[Event], start_ns: int = START_MS * 1_000_000) -> list[str]:
    """Events as lines, at the scales of their instrument."""
    listed = next(event for event in events if isinstance(event, InstrumentListed))
    price, size = listed.price_scale, listed.size_scale
    found = []
    for event in events:
        if isinstance(event, Quote):
            sides = (event.bid, price), (event.bid_size, size), (event.ask, price), (event.ask_size, size)
            values = " ".join(text(*side) for side in sides)
        elif isinstance(event, FundingRead):
            values = text(event.rate, event.scale)
        elif isinstance(event, ContextRead):
            parts = ("mark", event.mark), ("oracle", event.oracle), ("interest", event.open_interest)
            values = " ".join(f"{name} {text(value, event.scale)}" for name, value in parts)
        else:
            continue
        found.append(f"{event.recv_ns - start_ns} {values}")
    return found


@pytest.mark.parametrize("layout", CASES)
def test_each_layout_is_recognised_and_read_exactly(imports: Imports, layout: str) -> None:
    name, content, expected = CASES[layout]
    report = imports.load(content, name=name)
    assert report.layout == layout
    assert lines(imports.events(DAY)) == expected
    again = imports.load(content, name=name)
    assert again.unchanged == (DAY,)
    forced = imports.load(content, name=name, layout=layout, journal=imports.folder / "forced")
    assert forced.digests == report.digests
    with pytest.raises(UsageError, match="--layout tardis-books: "):
        imports.load(content, name=name, layout="tardis-books")


def test_every_layout_of_market_data_has_a_case_and_is_in_the_documentation() -> None:
    books = {"tardis-books", "tardis-book-updates"}  # tests/files/test_books.py
    assert CASES.keys() | books == {one.name for one in MARKET_KNOWN}
    page = (Path(__file__).parents[2] / "docs/importing.md").read_text("utf-8")
    table = page.partition("<!-- market layouts -->")[2].partition("<!-- end -->")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.strip().splitlines()[2:]]
    assert rows == [[f"`{one.name}`", one.title, one.kind, one.says] for one in MARKET_KNOWN]
    assert all(f"`{name}`" in page for name in LAYOUTS)
    assert "binance" in CUSTOMS


def test_columns_are_found_by_their_usual_names_or_given(imports: Imports) -> None:
    plain = imports.load(QUOTES + f"{START_MS},100.5,1,101,2\n")
    named = QUOTES.replace("ask,", "offer,").replace("bid,", "b,") + f"{START_MS},100.5,1,101,2\n"
    with pytest.raises(UsageError, match="no price column for trades"):
        imports.load(named)
    given = imports.load(named, columns={"bid": "b", "ask": "offer"}, journal=imports.folder / "other")
    assert given.digests == plain.digests
    without = f"{START_MS},100.5,1,101,2\n"
    places = {"time": "0", "bid": "1", "bid_size": "2", "ask": "3", "ask_size": "4"}
    by_place = imports.load(without, columns=places, journal=imports.folder / "third")
    assert by_place.digests == plain.digests
    context = imports.load(
        f"time,value\n{START_MS},3.5\n",
        data="contexts",
        columns={"mark": "value"},
        journal=imports.folder / "c",
    )
    assert (context.kind, context.contexts) == ("contexts", 1)


def test_two_kinds_in_one_file_are_chosen_not_guessed(imports: Imports) -> None:
    content = f"time,funding_rate,mark_price\n{START_MS},0.01,42000\n"
    with pytest.raises(UsageError, match="--data funding or --data contexts"):
        imports.load(content)
    imports.load(content, data="contexts")
    both = imports.load(content, data="funding", rates="percent")
    assert lines(imports.events(DAY)) == ["0 mark 42000 oracle - interest -", "0 0.0001"]
    assert both.extended.keys() == {DAY}


@pytest.mark.parametrize(
    ("unit", "expected"), [("fraction", "0.01"), ("percent", "0.0001"), ("money", "0.01 per unit")]
)
def test_the_unit_of_a_funding_rate_is_asked_for_where_the_layout_does_not_say(
    imports: Imports, unit: str, expected: str
) -> None:
    content = f"time,rate\n{START_MS},0.01\n"
    with pytest.raises(UsageError, match="give --funding-unit fraction or percent or money"):
        imports.load(content)
    assert imports.days() == []
    imports.load(content, rates=unit)
    (rate,) = (event for event in imports.events(DAY) if isinstance(event, FundingRead))
    assert text(rate.rate, rate.scale) + " per unit" * rate.per_unit == expected
    known = CASES["binance-funding"][1]
    with pytest.raises(UsageError, match="rates of binance-funding are given as a fraction"):
        imports.load(known, rates="money")
    with pytest.raises(UsageError, match="--funding-unit: it holds quotes, not funding rates"):
        imports.load(QUOTES + f"{START_MS},1,1,2,1\n", rates="money")


def test_a_crossed_quote_is_counted_and_played_as_an_unknown_one(imports: Imports) -> None:
    rows = ("100,1,101,1", "101,1,101,1", "102,1,101,1", "100,1,101,3", "0,0,101,3")
    content = QUOTES + "".join(f"{START_MS + at},{row}\n" for at, row in enumerate(rows))
    report = imports.load(content)
    assert any("crossed: 1 times" in note and "first: line 3" in note for note in report.notes)
    assert [line.split(" ", 1)[1] for line in lines(imports.events(DAY))] == [
        "100 1 101 1",
        "0 0 0 0",
        "100 1 101 3",
        "0 0 101 3",
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (QUOTES + f"{START_MS},100,-1,101,1\n", "line 2: bid_size .*-1"),
        (QUOTES + f"{START_MS},x,1,101,1\n", "line 2: bid 'x'"),
        (
            QUOTES + f"{START_MS},1,1,2,1\n{START_MS - 1},1,1,2,1\n{START_MS},1,1,2,1\n",
            "line 3: time .* goes back",
        ),
        (QUOTES + f"{START_MS},1,1,2\n", "line 2: 4 columns"),
        (QUOTES, "no row of data"),
        (f"calc_time,funding_interval_hours,last_funding_rate\n{START_MS},8,x\n", "line 2: rate 'x'"),
        (f"calc_time,funding_interval_hours,last_funding_rate\n{START_MS},8,\n", "line 2: rate"),
        (
            f"calc_time,funding_interval_hours,last_funding_rate\n{START_MS},8,1\n{START_MS},8,1\n",
            "line 3: a second funding rate",
        ),
        (
            f"time,bids[0].price,bids[0].size,ask_0_price,ask_0_size\n{START_MS},1,-2,3,4\n",
            "line 2: size .*-2",
        ),
        (f"time,mark_price\n{START_MS},much\n", "line 2: a value 'much'"),
    ],
)
def test_a_row_that_cannot_be_read_is_refused_by_its_line(
    imports: Imports, content: str, reason: str
) -> None:
    with pytest.raises(ImportRefused, match=reason):
        imports.load(content)
    assert imports.days() == []


def test_series_of_an_instrument_are_one_day_in_any_order_of_imports(imports: Imports) -> None:
    """Trades, quotes, books, marks and rates: together or one after the other, and again."""
    files = {
        "trades": f"time,price,size,id\n{START_MS + 5},100.125,1,1\n{START_MS + 9},100,2,2\n",
        "quotes": QUOTES + f"{START_MS},100,1,101,2\n{START_MS + 5},100,1,101,2\n",
        "books": f"time,bid_px_00,bid_sz_00,ask_px_00,ask_sz_00\n{START_MS + 5},100,0.001,101,2\n",
        "funding": CASES["binance-funding"][1],
        "contexts": f"time,mark_price\n{START_MS + 5},100.0625\n",
    }
    paths = {name: imports.write(content, f"{name}.csv") for name, content in files.items()}
    whole = imports.load_all([*paths.values()], instrument="COIN")
    (one,) = whole.instruments
    assert (one.trades, one.quotes, one.books, one.contexts, one.rates) == (2, 2, 1, 1, 2)
    assert one.kind == "trades, quotes, books, contexts, funding"
    events = [type(event) for event in imports.events(DAY)]
    assert events == [
        InstrumentListed,
        Quote,
        FundingRead,
        Trade,
        Quote,
        BookRead,
        ContextRead,
        Trade,
        FundingRead,
    ]
    for number, order in enumerate([*permutations(paths.values())][::17]):
        journal = imports.folder / str(number)
        for path in order:
            last = imports.load_all([path], instrument="COIN", journal=journal)
        assert last.digests == whole.digests
        again = imports.load_all([*order], instrument="COIN", journal=journal)
        assert (again.digests, again.unchanged) == (whole.digests, (DAY,))


def test_data_without_prices_says_nothing_about_windows_without_trades(imports: Imports) -> None:
    """Quotes first, then candles of a venue without flat ones, or the other way round: the same day."""
    candles = imports.write(
        "time,open,high,low,close,volume\n" + f"{START_MS},1,1,1,1,1\n{START_MS + 60_000},1,1,1,1,1\n",
        "c.csv",
    )
    quotes = imports.write(QUOTES + f"{START_MS},1,1,2,1\n", "q.csv")
    for name, order in (("one", (candles, quotes)), ("two", (quotes, candles))):
        for path in order:
            imports.load_all([path], venue="coinbase", instrument="COIN", journal=imports.folder / name)
    one, two = (Imports(imports.folder / name) for name in ("one", "two"))
    one.journal, two.journal = imports.folder / "one", imports.folder / "two"
    assert one.events(DAY) == two.events(DAY)
    assert isinstance(listed := one.events(DAY)[0], InstrumentListed)
    assert listed.silence == "none"


def test_contradictions_of_two_files_are_refused_with_both(imports: Imports) -> None:
    one = imports.write(f"time,rate\n{START_MS},0.01\n", "one.csv")
    two = imports.write(f"time,rate\n{START_MS},0.02\n", "two.csv")
    with pytest.raises(UsageError, match=r"one\.csv and .*two\.csv have different funding rates"):
        imports.load_all([one, two], instrument="COIN", rates="fraction")
    marks = imports.write(f"time,mark_price\n{START_MS},5\n{START_MS + 1},6\n", "marks.csv")
    interest = imports.write(f"time,open_interest\n{START_MS},7\n{START_MS + 1},8\n", "interest.csv")
    imports.load_all([marks, interest], instrument="COIN")
    assert len(lines(imports.events(DAY))) == 4
    other = imports.write(f"time,mark_price\n{START_MS},5.5\n", "other.csv")
    with pytest.raises(UsageError, match="have different mark"):
        imports.load_all([other], instrument="COIN")


@examples(0.5)
@given(
    st.lists(
        st.tuples(st.integers(1, 40_000_000), st.integers(-(10**9), 10**9), st.integers(0, 20)),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from(["fraction", "percent"]),
)
def test_rates_are_exact_whatever_their_digits_and_times(
    settled: list[tuple[int, int, int]], unit: str
) -> None:
    """A settlement is a row: times jitter, and steps of one hour and eight follow each other."""
    ms, content, expected = START_MS, "time,rate\n", []
    for step, value, places in settled:
        ms += step
        cell = format_scaled(value, places)
        content += f"{ms},{cell}\n"
        places += 2 if unit == "percent" else 0
        expected.append((ms * 1_000_000, text(value, places) if places <= 18 else None))
    with tempfile.TemporaryDirectory() as folder:
        imports = Imports(Path(folder))
        report = imports.load(content, rates=unit)
        found = [
            event for day in report.days for event in imports.events(day) if isinstance(event, FundingRead)
        ]
    assert [event.venue_ns for event in found] == [ns for ns, _ in expected]
    for event, (_, exact) in zip(found, expected, strict=True):
        assert exact is None or text(event.rate, event.scale) == exact


# Recordings.


def recording(*messages: tuple[int, dict[str, Any]]) -> str:
    return "".join(f"{(START_MS + ms) * 1_000_000} {json.dumps(message)}\n" for ms, message in messages)


def trade(number: int, ms: int, price: str = "100.50") -> dict[str, Any]:
    data = {"e": "trade", "E": START_MS + ms, "T": START_MS + ms, "s": "COIN", "t": number, "p": price}
    return {"stream": "coin@trade", "data": {**data, "q": "0.250", "X": "MARKET", "m": True}}


def test_a_recording_has_its_series_with_times_of_receipt_and_of_the_venue(imports: Imports) -> None:
    ticker = {"u": 5, "s": "COIN", "b": "100.00", "B": "1.0", "a": "101.00", "A": "2.0"}
    mark = {"e": "markPriceUpdate", "E": START_MS + 9, "s": "COIN", "p": "100.123", "i": "100.1", "r": "0.1"}
    content = recording(
        (10, trade(7, 8)),
        (11, trade(7, 8)),
        (12, {"stream": "coin@bookTicker", "data": ticker}),
        (13, mark),
        (14, trade(10, 13)),
        (15, {"result": None, "id": 1}),
    )
    report = imports.load_all([imports.write(content, "messages")])
    (one,) = report.instruments
    assert {file.layout for file in report.files} == {"binance-messages"}
    assert (one.trades, one.quotes, one.contexts, one.duplicates) == (3, 1, 1, 1)
    notes = " ".join(report.notes)
    assert "COIN 2 trade ids are missing" in notes
    assert "not read: 1 of another kind" in notes
    events = imports.events(DAY)
    prints = [event for event in events if isinstance(event, Trade)]
    times = [((one.recv_ns // 1_000_000) - START_MS, one.venue_ns // 1_000_000 - START_MS) for one in prints]
    assert times == [(10, 8), (14, 13)]
    (gap,) = (event for event in events if isinstance(event, FeedGap))
    assert (gap.from_ns // 1_000_000 - START_MS, gap.to_ns // 1_000_000 - START_MS) == (8, 13)
    assert lines(events) == ["12000000 100 1 101 2", "13000000 mark 100.123 oracle 100.1 interest -"]


def test_a_clock_behind_the_venues_is_moved_and_the_note_says_by_how_much(imports: Imports) -> None:
    report = imports.load(recording((10, trade(1, 1510)), (20, trade(2, 1500))), name="messages")
    assert any("at least 1.5 s behind" in note for note in report.whole.notes)
    prints = imports.trades(DAY)
    assert [(one.recv_ns - one.venue_ns) // 1_000_000 for one in prints] == [0, 20]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"e":"trade"', "line 2: not JSON"),
        ('{"e":"trade","s":"COIN","m":true,"t":1,"T":1}', "line 2: the message has no 'p'"),
        ('{"e":"trade","s":"COIN","m":true,"t":2,"T":1,"p":"-5","q":"1"}', "line 2: price .*-5"),
        ('{"e":"depthUpdate","s":"COIN","U":1,"u":2,"b":[["1"]],"a":[]}', "line 2: a level of b"),
        ('{"e":"depthUpdate","s":"COIN","U":1,"u":"2","b":[],"a":[]}', "line 2: u is not a whole number"),
    ],
)
def test_a_message_that_cannot_be_read_is_refused_by_its_line(
    imports: Imports, line: str, reason: str
) -> None:
    content = recording((1, trade(1, 1))) + f"{(START_MS + 2) * 1_000_000} {line}\n"
    with pytest.raises(ImportRefused, match=reason):
        imports.load(content, name="messages")
    assert imports.days() == []


def test_a_recording_of_several_instruments_is_imported_whole_or_by_name(imports: Imports) -> None:
    other = trade(1, 3)
    other["data"]["s"] = "OTHER"
    path = imports.write(recording((2, trade(1, 1)), (4, other)), "messages.gz")
    report = imports.load_all([path])
    assert [one.instrument for one in report.instruments] == ["COIN", "OTHER"]
    one = imports.load_all([path], instrument="OTHER", journal=imports.folder / "one")
    assert [each.instrument for each in one.instruments] == ["OTHER"]
    with pytest.raises(UsageError, match="has COIN, OTHER, not THIRD"):
        imports.load_all([path], instrument="THIRD")
    with pytest.raises(UsageError, match="--data quotes: it has trades"):
        imports.load_all([path], data="quotes")
    with pytest.raises(UsageError, match="--columns: a recording of messages has neither"):
        imports.load_all([path], columns={"time": "0"})
    with pytest.raises(UsageError, match="--layout tardis-trades: it is a recording"):
        imports.load_all([path], layout="tardis-trades")
    unknown = imports.write(recording((2, {"hello": 1})), "unknown")
    with pytest.raises(UsageError, match="messages of no venue that is known"):
        imports.load_all([unknown])


def test_recorded_funding_of_two_schedules_keeps_its_times(
    imports: Imports, recorded: Callable[[str], Path]
) -> None:
    with gzip.open(recorded("candles/hl-BTC-funding-1h.csv.gz"), "rt", encoding="utf-8") as whole:
        rows = whole.read().splitlines()
    report = imports.load("\n".join(rows[:40]) + "\n", name="f.csv", rates="fraction")
    assert report.rates == 39
    found = [event for day in report.days for event in imports.events(day) if isinstance(event, FundingRead)]
    plain = [row.split(",") for row in rows[1:40]]
    assert [(event.venue_ns // 1_000_000, text(event.rate, event.scale)) for event in found] == [
        (int(at), format(Decimal(rate), "f")) for at, rate in plain
    ]


def test_the_command_says_what_it_imported(imports: Imports) -> None:
    path = imports.write(QUOTES + f"{START_MS},100,1,101,2\n", "quotes.csv")
    given = [str(path), "--venue", "x", "--instrument", "COIN", "--journal", str(imports.journal)]
    done = CliRunner().invoke(import_command, given)
    assert done.exit_code == 0, done.output
    assert "x:COIN: 1 quotes from quotes.csv" in done.output
    told = json.loads(CliRunner().invoke(import_command, [*given, "--json"]).output)
    assert (told["quotes"], told["trades"]) == (1, 0)
    rates = imports.write(f"time,rate\n{START_MS},0.01\n", "rates.csv")
    given = [str(rates), "--venue", "x", "--instrument", "COIN", "--journal", str(imports.folder / "r")]
    done = CliRunner().invoke(import_command, [*given, "--funding-unit", "percent"])
    assert "x:COIN: 1 funding rates from rates.csv" in done.output
