"""Known layouts: one small file of each, with the exact trades, bars and notes that come of it."""

from __future__ import annotations

import json
import lzma
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from adapters.files import ImportReport
from adapters.files.known import CUSTOMS, KNOWN, LAYOUT_NAMES
from engine.clock import iso_text
from engine.errors import ImportRefused, UsageError
from engine.events import Candle, InstrumentListed, Trade
from engine.journal import list_days
from engine.values import BUY, NO_SIDE, SELL, format_scaled, parse_interval
from replay.bars import bars_of

from .kit import Imports
from .layout_cases import CASES, DATABENTO, IN_2025_US, START, START_MS, START_S, Case, kline, lines


def decimal(number: int | str, scale: int) -> str:
    text = format_scaled(int(number), scale)
    return text.rstrip("0").rstrip(".") if "." in text else text


def check(imports: Imports, report: ImportReport, case: Case) -> None:
    """Compare what is in the journal with the case: events, bars, and the layout that was named."""
    assert report.layout == case.layout
    assert any(f"({case.layout})" in note for note in report.notes)
    assert case.notes in " ".join(report.notes)
    events = [event for day in report.days for event in imports.events(day)]
    listed = events[0]
    assert isinstance(listed, InstrumentListed)
    assert listed.silence == case.silence
    price, size = listed.price_scale, listed.size_scale
    trades = [event for event in events if isinstance(event, Trade)]
    assert [
        (
            one.venue_ns - START,
            decimal(one.price, price),
            decimal(one.size, size),
            one.aggressor,
            one.trade_id,
        )
        for one in trades
    ] == case.rows
    candles = [event for event in events if isinstance(event, Candle)]
    if not case.rows:
        found = [
            (
                one.start_ns - START,
                *(decimal(part, price) for part in (one.open, one.high, one.low, one.close)),
            )
            for one in candles
        ]
        assert found == [bar[:5] for bar in case.bars]
        assert [decimal(one.volume, size) for one in candles] == [bar[5] for bar in case.bars]
        assert report.interval == case.interval
    days = [day.path for day in list_days(imports.journal)]
    bars = [each.bar for each in bars_of(days, parse_interval(case.interval), unclosed=True)]
    begun = [bar for bar in bars if START + case.bars[0][0] <= bar.start_ns <= START + case.bars[-1][0]]
    assert [
        (
            bar.start_ns - START,
            *(decimal(part, price) for part in (bar.open, bar.high, bar.low, bar.close)),
            decimal(bar.volume, size),
        )
        for bar in begun
    ] == case.bars


@pytest.mark.parametrize("case", CASES, ids=[f"{case.layout} {case.name}" for case in CASES])
def test_each_layout_is_recognised_named_and_read_exactly(imports: Imports, case: Case) -> None:
    check(imports, imports.load(case.content, name=case.name), case)


def test_every_layout_has_a_case() -> None:
    assert {case.layout for case in CASES} == {one.name for one in KNOWN}


@pytest.mark.parametrize("case", CASES, ids=[f"{case.layout} {case.name}" for case in CASES])
@pytest.mark.parametrize("form", ["zip", "xz", "gz"])
def test_a_packed_file_is_read_as_it_is(imports: Imports, case: Case, form: str) -> None:
    path = imports.folder / f"{case.name}.{form}"
    if form == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(case.name, case.content)
    elif form == "xz":
        path.write_bytes(lzma.compress(case.content.encode()))
    else:
        path = imports.write(case.content, path.name)
    report = imports.load(path)
    plain = imports.load(case.content, name=case.name, journal=imports.folder / "plain")
    assert (report.layout, report.digests) == (case.layout, plain.digests)


@pytest.mark.parametrize("case", CASES, ids=[f"{case.layout} {case.name}" for case in CASES])
def test_a_layout_may_be_forced_where_it_fits_only(imports: Imports, case: Case) -> None:
    plain = imports.load(case.content, name=case.name)
    forced = imports.load(case.content, name=case.name, journal=imports.folder / "forced", layout=case.layout)
    assert forced.digests == plain.digests
    others = {one.name for one in KNOWN if one.kind != plain.kind}
    for other in sorted(others):
        with pytest.raises(UsageError, match=rf"--layout {other}: "):
            imports.load(case.content, name=case.name, journal=imports.folder / "other", layout=other)


def test_an_unknown_layout_is_refused_with_what_was_seen_and_what_is_known(imports: Imports) -> None:
    with pytest.raises(UsageError) as caught:
        imports.load(f"{START_MS},5,42000.5,7,8\n", name="x.csv")
    text = str(caught.value)
    assert f"5 columns ({START_MS}, 5, 42000.5, 7, 8)" in text
    for known in KNOWN:
        assert (f"{known.name} (" in text) == bool(known.widths)
    assert "time=0" not in text
    assert "--columns" in text
    with pytest.raises(UsageError, match=r"'foo' is not known; known: columns binance-klines"):
        imports.load("time,price,size\n1,1,1\n", layout="foo")
    assert LAYOUT_NAMES[0] == "columns"


def test_positions_that_contradict_the_rows_are_refused(imports: Imports) -> None:
    """Klines read as time=0,price=1,size=2 would take the high for a size; trades, an id for a time."""
    klines = kline(START_MS, START_MS + 59_999, "10,12,9,11", "1.5")
    wrong = {"time": "0", "price": "1", "size": "2"}
    with pytest.raises(UsageError, match=r"price=1: the rows are Binance klines .* column 1 is open"):
        imports.load(klines, columns=wrong)
    trades = f"4359999999,42000.5,0.25,10500.1,{START_MS + 5},True,True\n"
    with pytest.raises(UsageError, match=r"time=0: the rows are Binance trades .* column 0 is id"):
        imports.load(trades, columns=wrong)
    with pytest.raises(ImportRefused, match=r"no time of the years 1973 to 2100.*column of the times"):
        imports.load(trades, columns=wrong, layout="columns")
    right = imports.load(klines, columns={"time": "0", "open": "1", "trades": ""})
    assert right.candles == 1


def test_no_row_without_names_fits_two_layouts() -> None:
    """A column of two layouts of one width is of times in different units, or true and false in one only."""
    shapes = [(known, width) for known in KNOWN for width in known.widths]
    for at, (one, width) in enumerate(shapes):
        for other, wide in shapes[at + 1 :]:
            if width == wide:
                pairs = zip(one.columns[:width], other.columns[:width], strict=True)
                kinds = [(first[1], second[1]) for first, second in pairs]
                apart = any("b" in pair and pair[0] != pair[1] and "x" not in pair for pair in kinds)
                apart_in_time = ("t", "t") in kinds and not set(one.units) & set(other.units)
                assert apart or apart_in_time, (one.name, other.name)


def test_a_damaged_row_is_refused_by_its_line_though_the_layout_was_recognised(imports: Imports) -> None:
    rows = [kline(START_MS + at * 60_000, START_MS + at * 60_000 + 59_999, "1,1,1,1", "1") for at in range(5)]
    for damage, reason in ((",1,1,1,1,", "high 1 and low 3"), (",1,1,1,1,", "price|open 'x'")):
        bad = "1,1,3,1" if reason.startswith("high") else "x,1,1,1"
        text = lines(*rows[:2], rows[2].replace(damage, f",{bad},"), *rows[3:])
        with pytest.raises(ImportRefused, match=reason) as caught:
            imports.load(text)
        assert caught.value.line == 3


def test_sides_that_are_the_makers_may_be_turned(imports: Imports) -> None:
    text = lines("time,price,size,side", f"{START_MS},1,1,buy", f"{START_MS},1,1,sell", f"{START_MS},1,1,")
    report = imports.load(text, turned=True)
    assert [trade.aggressor for trade in imports.trades("2024-01-01")] == [SELL, BUY, NO_SIDE]
    assert any("--turn-sides" in note for note in report.notes)
    with pytest.raises(UsageError, match="--turn-sides: no column of sides"):
        imports.load("time,price,size\n1704067200000,1,1\n", turned=True)
    lighter = lines("time,price,size,is_maker_ask", f"{START_MS},1,1,true", f"{START_MS},1,1,false")
    imports.load(lighter, turned=True, columns={"maker": "is_maker_ask"}, journal=imports.folder / "lighter")
    imports.journal = imports.folder / "lighter"
    assert [trade.aggressor for trade in imports.trades("2024-01-01")] == [BUY, SELL]


def test_coinbase_sides_may_be_left_out_or_turned_back(imports: Imports) -> None:
    case = next(one for one in CASES if one.layout == "coinbase-trades")
    imports.load(case.content, name=case.name, turned=True)
    assert [trade.aggressor for trade in imports.trades("2024-01-01")] == [BUY, SELL]
    imports.load(case.content, name=case.name, columns={"side": ""}, journal=imports.folder / "none")
    imports.journal = imports.folder / "none"
    assert [trade.aggressor for trade in imports.trades("2024-01-01")] == [NO_SIDE, NO_SIDE]


def test_a_databento_price_that_there_is_none_of_and_other_actions_are_refused(imports: Imports) -> None:
    row = f"{START},{START},0,1,5,{{}},N,0,{{}},1,0,1,1"
    good = row.format("T", 92992950000000)
    with pytest.raises(ImportRefused, match="stands for no price") as caught:
        imports.load(lines(DATABENTO, good, row.format("T", 2**63 - 1)))
    assert caught.value.line == 3
    with pytest.raises(ImportRefused, match="action 'A' is no trade"):
        imports.load(lines(DATABENTO, good, row.format("A", 92992950000000)))


def archive_of(path: Path, members: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def months(*names: str) -> dict[str, str]:
    """Members with one kline each, a minute apart, in microseconds from 2025 as the venue has it."""
    members = {}
    for at, name in enumerate(names):
        start = START_MS + at * 60_000
        members[name] = kline(start, start + 59_999, "10,12,9,11", f"{at + 1}") + "\n"
    return members


def test_members_of_an_archive_are_read_in_the_order_of_their_names(imports: Imports) -> None:
    first, second = "BTCUSDT-1m-2024-01.csv", "BTCUSDT-1m-2024-02.csv"
    members = months(first, second)
    path = archive_of(imports.folder / "a.zip", {second: members[second], first: members[first], "x/": ""})
    report = imports.load(path)
    candles = [event for event in imports.events("2024-01-01") if isinstance(event, Candle)]
    assert [candle.volume for candle in candles] == [1, 2]
    assert report.candles == 2


def test_each_member_may_have_the_names_and_its_own_unit(imports: Imports) -> None:
    names = "open_time,open,high,low,close,volume,close_time,quote_volume,count,a,b,ignore\n"
    old = kline(START_MS, START_MS + 59_999, "10,12,9,11", "1") + "\n"
    new = kline(IN_2025_US, IN_2025_US + 59_999_999, "10,12,9,11", "2") + "\n"
    path = archive_of(imports.folder / "b.zip", {"B-2024-12.csv": names + old, "B-2025-01.csv": names + new})
    assert imports.load(path).days == ("2024-01-01", "2025-01-01")


def test_an_error_names_the_member_and_its_line(imports: Imports) -> None:
    first, second = "B-2024-01.csv", "B-2024-02.csv"
    header = "time,price,size\n"
    path = archive_of(
        imports.folder / "c.zip",
        {first: header + f"{START_MS},1,1\n", second: header + f"{START_MS + 1},1,1\n{START_MS + 2},x,1\n"},
    )
    with pytest.raises(ImportRefused, match="price 'x'") as caught:
        imports.load(path)
    assert (caught.value.file, caught.value.line) == (f"{path}/{second}", 3)


def test_an_archive_of_several_instruments_is_refused_and_one_may_be_named(imports: Imports) -> None:
    rows = {name: f"{START_S},{price},1\n" for name, price in (("XBTUSD.csv", 42000), ("ETHUSD.csv", 2000))}
    path = archive_of(imports.folder / "Kraken_Trading_History.zip", rows)
    with pytest.raises(
        UsageError, match=r"several kinds or instruments \(ETHUSD.csv, XBTUSD.csv\); name one"
    ):
        imports.load(path)
    imports.load(path / "XBTUSD.csv")
    assert imports.trades("2024-01-01")[0].price == 42000
    with pytest.raises(UsageError, match=r"has no file 'LTC.csv'; it has ETHUSD.csv, XBTUSD.csv"):
        imports.load(path / "LTC.csv")


def damaged() -> list[tuple[str, bytes]]:
    text = lines("time,price,size", *(f"{START_MS + at},1.5,{at + 1}" for at in range(5000))).encode()
    import bz2

    import zstandard

    whole = {
        "t.csv.xz": lzma.compress(text),
        "t.csv.bz2": bz2.compress(text),
        "t.csv.zst": zstandard.ZstdCompressor().compress(text),
    }
    return [(name, data[:-20]) for name, data in whole.items()]


@pytest.mark.parametrize(("name", "data"), damaged(), ids=[name for name, _ in damaged()])
def test_a_packed_file_that_is_cut_short_is_refused(imports: Imports, name: str, data: bytes) -> None:
    path = imports.folder / name
    path.write_bytes(data)
    with pytest.raises(ImportRefused, match="cut short or damaged"):
        imports.load(path)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"PK\x03\x04....", "a damaged zip archive"),
        (b"PK\x05\x06" + bytes(18), "holds no data file"),
    ],
)
def test_a_damaged_or_empty_archive_is_refused(imports: Imports, data: bytes, reason: str) -> None:
    path = imports.folder / "d.zip"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=reason):
        imports.load(path)


def test_the_command_prints_what_was_recognised(imports: Imports) -> None:
    from click.testing import CliRunner

    from engine.commands.import_ import import_command

    case = next(one for one in CASES if one.layout == "tardis-trades")
    path = imports.write(case.content, case.name)
    given: list[Any] = [path, "--venue", "bitmex", "--instrument", "XBTUSD", "--journal", imports.journal]
    done = CliRunner().invoke(import_command, [str(part) for part in given])
    assert done.exit_code == 0, done.output
    assert "recognised as Tardis trades (tardis-trades)" in done.output
    assert "1 of 3 rows go back in time" in done.output
    given[-1] = imports.folder / "json"
    done = CliRunner().invoke(import_command, [str(part) for part in (*given, "--json")])
    told = json.loads(done.output)
    assert told["layout"] == "tardis-trades"
    assert any("Tardis trades" in note for note in told["notes"])
    assert iso_text(START).startswith("2024-01-01")


def test_the_table_of_the_documentation_has_every_layout() -> None:
    page = (Path(__file__).parents[2] / "docs/importing.md").read_text("utf-8")
    table = page.partition("<!-- layouts -->")[2].partition("<!-- end -->")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.strip().splitlines()[2:]]
    expected = []
    for known in KNOWN:
        shape = f"{' or '.join(map(str, known.widths))} columns" if known.widths else "names"
        shape = f"JSON arrays of {shape}" if known.arrays else shape
        named = ", or names" if known.widths and known.needs else ""
        expected.append([f"`{known.name}`", known.title, shape + named, known.says])
    assert rows == expected


def test_the_documentation_names_every_custom_about_silence() -> None:
    page = (Path(__file__).parents[2] / "docs/importing.md").read_text("utf-8")
    table = page.partition("| venue or layout | silence |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    found = {name: silence for names, silence in rows for name in re.findall(r"`([a-z-]+)`", names)}
    venues = {venue: customs[0] for venue, customs in CUSTOMS.items()}
    assert found == venues | {known.name: known.silence for known in KNOWN if known.silence}
