"""Import of trades: exact, in order, each day complete or absent."""

from __future__ import annotations

import errno
import json
import tempfile
import tracemalloc
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.files import ImportProgress
from adapters.files.days import FRAME_EVENTS_MAX
from adapters.files.numbers import NO_VALUES
from engine.clock import DAY_NS, day_of, day_start_ns, iso_text
from engine.errors import ImportRefused, JournalError, UsageError
from engine.events import InstrumentListed, Trade
from engine.journal import Disk, read_frames, verify_day, verify_journal
from engine.values import BUY, NO_SIDE, SELL, format_scaled

from .kit import CountingIds, Imports

START = day_start_ns("2022-01-15")
MS = 1_000_000
HEADER = "timestamp,price,quantity\n"


def csv_text(rows: int, *, first_ms: int = START // MS, step_ms: int = 1000) -> str:
    lines = [f"{first_ms + row * step_ms},{100 + row % 7}.5,0.{row % 9 + 1}" for row in range(rows)]
    return HEADER + "\n".join(lines) + "\n"


TRADES = st.lists(
    st.tuples(
        st.integers(0, 3 * DAY_NS // MS),
        st.integers(1, 10**9),
        st.integers(1, 10**9),
        st.sampled_from(["buy", "sell", ""]),
        st.one_of(st.integers(1, 2**63 - 1), st.text("xyz-", max_size=5)),
    ),
    min_size=1,
    max_size=30,
).map(lambda rows: sorted(rows, key=lambda row: row[0]))


def are_doubted(rows: list[tuple[int, int, int, str, int | str]]) -> bool:
    """Whether a column holds no ids: one stands for two trades of one time, or half of them come again."""
    firsts: dict[int | str, tuple[int, int, int]] = {}
    counts: Counter[str] = Counter()
    for ms, price, size, _, number in rows:
        if number and number not in NO_VALUES:
            before = firsts.setdefault(number, (ms, price, size))
            counts["rows"] += 1
            counts["repeated"] += before != (ms, price, size)
            counts["contradicted"] += before != (ms, price, size) and before[0] == ms
    return counts["contradicted"] > 0 or (counts["rows"] > 0 and 2 * counts["repeated"] >= counts["rows"])


@given(TRADES)
def test_journal_read_back_equals_the_rows(rows: list[tuple[int, int, int, str, int | str]]) -> None:
    sides = {"buy": BUY, "sell": SELL, "": NO_SIDE}
    cells = [
        (str(START // MS + ms), format_scaled(price, 2), format_scaled(size, 4), side, str(number))
        for ms, price, size, side, number in rows
    ]
    names = ("time", "price", "size", "side", "id")
    forms = {
        "a.csv": "\n".join(map(",".join, [names, *cells])),
        "b.csv.gz": "\r\n".join(map(",".join, [names, *cells])) + "\r\n",
        "c.jsonl": "\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in cells),
        "d": "\ufeff" + "\n\n".join(map(",".join, [names, *cells])),
    }
    ids_doubted = are_doubted(rows)
    given: set[object] = set()
    expected = []
    for ms, price, size, side, number in rows:
        # One that comes again, the same in all with its id, counts once.
        trade_id = 0 if ids_doubted or number in NO_VALUES else number or 0
        if not trade_id or (ms, price, size, side, number) not in given:
            given.add((ms, price, size, side, number))
            expected.append(Trade(START + ms * MS, START + ms * MS, 1, price, size, sides[side], trade_id))
    digests = []
    for name, content in forms.items():
        with tempfile.TemporaryDirectory() as folder:
            imports = Imports(Path(folder))
            report = imports.load(content, name=name, price_decimals=2, size_decimals=4)
            assert report.trades + report.duplicates == len(rows)
            assert report.trades == len(expected)
            assert (
                list(report.days) == imports.days() == sorted({day_of(trade.recv_ns) for trade in expected})
            )
            found = []
            for day in report.days:
                listed, *trades = imports.events(day)
                first = next(trade.recv_ns for trade in expected if day_of(trade.recv_ns) == day)
                assert listed == InstrumentListed(first, 1, "venue", "COIN", 2, 4, kind="perp")
                found += trades
            assert found == expected
            digests.append(report.digests)
    assert digests.count(digests[0]) == len(digests)


def test_the_same_file_gives_the_same_digest_with_any_ids(imports: Imports) -> None:
    text = csv_text(10_000, step_ms=20_000)
    reports = [
        imports.load(text, journal=imports.folder / name, ids=CountingIds(start))
        for name, start in (("one", 1), ("two", 1000))
    ]
    assert reports[0].digests == reports[1].digests
    assert len(reports[0].days) == 3
    assert len(set(reports[0].digests.values())) == 3
    day = imports.folder / "one" / "2022-01-15"
    assert verify_day(day).digest.hex() == reports[0].digests["2022-01-15"]
    assert len(verify_journal(imports.folder / "one").archives) == 3


@pytest.mark.parametrize("rows", [1, FRAME_EVENTS_MAX - 2, FRAME_EVENTS_MAX - 1, FRAME_EVENTS_MAX, 9000])
def test_frames_are_full_and_the_last_one_ends_the_day_cleanly(imports: Imports, rows: int) -> None:
    imports.load(csv_text(rows))
    frames = list(read_frames(imports.journal / "2022-01-15"))
    assert [frame.count for frame in frames[:-1]] == [FRAME_EVENTS_MAX] * (len(frames) - 1)
    assert sum(frame.count for frame in frames) == rows + 1
    assert [frame.flags & 1 for frame in frames] == [0] * (len(frames) - 1) + [1]


def test_midnight_belongs_to_the_new_day(imports: Imports) -> None:
    last = (START + DAY_NS) // MS - 1
    imports.load(csv_text(3, first_ms=last, step_ms=1), price_decimals=1, size_decimals=1)
    assert [len(imports.events(day)) for day in ("2022-01-15", "2022-01-16")] == [2, 3]
    assert imports.trades("2022-01-16")[0].recv_ns == START + DAY_NS


def test_decimals_are_measured_when_they_are_not_given(imports: Imports) -> None:
    report = imports.load(
        HEADER + "1642204800000,1.50,2.0\n1642204800001,1.25,1e-3\n1642204800002,3,4.1000\n"
    )
    assert (report.price_decimals, report.size_decimals) == (2, 3)
    assert report.measured == ("price_decimals", "size_decimals")
    listed = imports.events("2022-01-15")[0]
    assert isinstance(listed, InstrumentListed)
    assert (listed.price_scale, listed.size_scale) == (2, 3)
    prices_and_sizes = [(each.price, each.size) for each in imports.trades("2022-01-15")]
    assert prices_and_sizes == [(150, 2000), (125, 1), (300, 4100)]


def test_f01_ids_and_sides_may_be_absent_and_repeated_trades_are_left_out_and_counted(
    imports: Imports,
) -> None:
    rows = (
        "1642204800000,1,1,7\n" * 2
        + "1642204800000,1,1,8\n1642204800001,1,1,8\n"
        + "1642204800002,1,1,\n" * 2
    )
    report = imports.load("time,price,size,id\n" + rows)
    assert (report.trades, report.duplicates) == (5, 1)
    assert [trade.trade_id for trade in imports.trades("2022-01-15")] == [7, 8, 8, 0, 0]
    assert {trade.aggressor for trade in imports.trades("2022-01-15")} == {NO_SIDE}


def test_the_maker_column_determines_the_taker(imports: Imports) -> None:
    imports.load("T,p,q,m\n1642204800000,1,1,true\n1642204800000,1,1,False\n")
    assert [trade.aggressor for trade in imports.trades("2022-01-15")] == [SELL, BUY]


def test_columns_by_position_without_names(imports: Imports) -> None:
    report = imports.load("1642204800000;1.5;2\n", columns={"time": "0", "price": "1", "size": "2"})
    assert (report.trades, report.columns) == (1, {"time": "0", "price": "1", "size": "2"})


def refused(
    imports: Imports, content: str | bytes, name: str = "trades.csv", **options: Any
) -> ImportRefused:
    with pytest.raises(ImportRefused) as caught:
        imports.load(content, name=name, **options)
    assert caught.value.file == str(imports.folder / name)
    assert str(caught.value).startswith(f"{imports.folder / name}, line {caught.value.line}: ")
    assert "\n" not in str(caught.value)
    return caught.value


EARLIER = "1642204800000,1.5,2"
GOOD = "1642204800010,1.5,2"
BAD_LINES = [
    ("1642204800010,abc,2", "price 'abc' is not a plain decimal number"),
    ("1642204800010,,2", "price is empty"),
    ("1642204800010,NaN,2", "price 'NaN'"),
    ("1642204800010,0,2", "price '0' is zero"),
    ("1642204800010,-1,2", "price '-1' is negative"),
    ("1642204800010,1,0.00", "size '0.00' is zero"),
    ("1642204800010,1,-2", "size '-2' is negative"),
    ("1642204800010,1.555,2", "price '1.555' has more than 2 decimals"),
    ("1642204800010,1.5,2.12345", "size '2.12345' has more than 4 decimals"),
    ("1642204800010,1.5", "2 columns; the first line has 3"),
    ("1642204800010,1.5,2,3", "4 columns; the first line has 3"),
    ("1642204800009,1.5,2", "goes back: the row before is at 2022-01-15T00:00:00.010000000Z; the rows"),
    ("1642204800,1.5,2", "looks like s, but the first time of this file was in ms"),
    ("1642204800001000,1.5,2", "looks like us, but the first time of this file was in ms"),
    ("2022-01-15,1.5,2", "is text, but the times of this file are in ms"),
    (",1.5,2", "time is empty"),
    ("1642204800010,1e40,2", "exponent out of range"),
    ("1642204800010,99999999999999999999,2", "does not fit 64 bits at 2 decimals"),
    ("1642204800010,\u0661,2", "not a plain decimal number"),
    ('1642204800010,"1.5"x,2', "not CSV"),
    ('1642204800010,1.5,"2', "ends inside a quoted cell"),
    ("1642204800010,1.5\r,2", "carriage return inside the line"),
    ("1642204800010,1.5\0,2", "NUL byte"),
]


@pytest.mark.parametrize(
    ("line", "reason", "measured"),
    [(line, reason, False) for line, reason in BAD_LINES]
    # Measured decimals fit every number.
    + [(line, reason, True) for line, reason in BAD_LINES if "decimals" not in reason],
)
def test_an_unreadable_line_is_reported(imports: Imports, line: str, reason: str, measured: bool) -> None:
    options: dict[str, Any] = {} if measured else {"price_decimals": 2, "size_decimals": 4}
    error = refused(imports, f"{HEADER}{EARLIER}\n\n{GOOD}\n{line}", **options)
    assert (error.line, reason in error.reason) == (5, True), error.reason
    assert error.reason.endswith("; nothing was imported")
    assert not imports.journal.exists()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"time": 1642204800000, "price": "abc", "size": 1}', "price 'abc'"),
        ('{"time": 1642204800000, "size": 1}', "price is empty"),
        ('{"time": 1642204800000, "price": null, "size": 1}', "price is empty"),
        ('{"time": 1642204800000, "price": true, "size": 1}', "price 'true'"),
        ('{"time": 1642204800000, "price": [1], "size": 1}', "'price' is a list"),
        ('{"time": 1642204800000, "price": NaN, "size": 1}', "NaN is not a number"),
        ('{"time": 1642204800000, "price": 1e999, "size": 1}', "exponent out of range|not a plain"),
        ('{"time": 1642204800000, "price": 1, "price": 2, "size": 1}', "'price' is given twice"),
        ('{"time": 1642204800000, "price": 1, "size": 1', "not JSON"),
        ('{"time": 1642204800000, "price": 1, "size": 1} x', "not JSON: Extra data"),
        ("[1642204800000, 1, 1]", "not a JSON object"),
        ("[" * 100_000, "nested too deep"),
    ],
)
def test_an_unreadable_json_line_is_reported(imports: Imports, line: str, reason: str) -> None:
    good = '{"time": 1642204800000, "price": 1.5, "size": "2"}\n'
    error = refused(imports, good + "\n" + line + "\n", "trades.jsonl", price_decimals=2, size_decimals=2)
    assert error.line == 3
    assert any(part in error.reason for part in reason.split("|")), error.reason


def test_json_numbers_keep_their_exact_text(imports: Imports) -> None:
    imports.load('{"t": 1642204800.123456789, "p": 0.1234567890123456789e1, "q": 1E2}', name="t.ndjson")
    trade = imports.events("2022-01-15")[1]
    assert trade == Trade(START + 123_456_789, START + 123_456_789, 1, 1234567890123456789, 100, NO_SIDE)


@pytest.mark.parametrize(
    ("content", "name", "line", "reason"),
    [
        (b"", "trades.csv", 1, "the file is empty"),
        (b"\n\n", "trades.csv", 1, "the file is empty"),
        (b"", "trades.jsonl", 1, "the file is empty"),
        (HEADER.encode(), "trades.csv", 1, "no row of data"),
        (b"caf\xe9,price\n", "trades.csv", 1, "byte 0xe9 is not UTF-8"),
        (HEADER.encode() + GOOD.encode() + b"\n1,caf\xe9,2\n", "trades.csv", 3, "byte 0xe9 is not UTF-8"),
        (HEADER.encode("utf-16"), "trades.csv", 1, "byte 0xff is not UTF-8"),
        (b"[]", "trades.json", 1, "an array without elements"),
        (b"x" * 3_000_000, "trades.csv", 1, "longer than 1048576 bytes"),
        (HEADER.encode() + b'1642204800000,1,"' + b"1\n" * 100_000, "trades.csv", 65538, "more than 131072"),
        (b"not parquet at all", "trades.parquet", 1, "not a Parquet file"),
    ],
)
def test_an_invalid_file_is_refused(
    imports: Imports, content: bytes, name: str, line: int, reason: str
) -> None:
    error = refused(imports, content, name)
    assert (error.line, reason in error.reason) == (line, True), error
    assert not imports.journal.exists()


@pytest.mark.parametrize("cut", [1, 8, 9, 2000, 30_000])
def test_gzip_cut_short_is_refused_at_the_line_it_ends_in(imports: Imports, cut: int) -> None:
    path = imports.write(csv_text(20_000), "trades.csv.gz")
    packed = path.read_bytes()[:-cut]
    path.write_bytes(packed)
    text = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(packed)
    with pytest.raises(ImportRefused, match="cut short or damaged") as caught:
        imports.load(path)
    assert caught.value.line == text.count(b"\n") + 1


LINES = [b"time,price,size\n", b"2022-01-15,1,1\n", b"1642204800000,1.5,2\n"]
LINES += [b'{"t":1642204800000,"p":1,"q":2}\n']
MARKS = [
    b",",
    b"\n",
    b"\r",
    b'"',
    b"{",
    b"[",
    b"-",
    b"1e9",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"PAR1",
    b"\x1f\x8b",
]
PIECES = st.sampled_from(LINES) | st.sampled_from(MARKS)


@given(
    st.lists(PIECES | st.binary(max_size=6), max_size=8).map(b"".join),
    st.sampled_from(["a.csv", "a.csv.gz", "a.jsonl", "a.jsonl.gz", "a.parquet", "a", "a.gz"]),
    st.sampled_from([{}, {"time": "0", "price": "1", "size": "2"}]),
)
def test_any_bytes_are_imported_or_refused(content: bytes, name: str, columns: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        imports = Imports(Path(folder))
        try:
            days = list(imports.load(content, name=name, columns=columns).days)
            reason = ""
        except UsageError as error:
            days, reason = imports.days(), str(error)
        assert imports.days() == days
        assert "\n" not in reason
        assert imports.journal.exists() == bool(days)


def test_a_file_that_cannot_be_opened_is_a_usage_error(imports: Imports) -> None:
    for path in (imports.folder / "absent.csv", imports.folder):
        with pytest.raises(UsageError, match="cannot be read"):
            imports.load(path)


def test_a_bad_last_line_leaves_no_part_of_its_day_and_all_of_the_previous_day(imports: Imports) -> None:
    text = csv_text(12_000, step_ms=10_000)  # a day and 9 hours
    error = refused(imports, text + "1642324800000,oops,1\n")
    assert error.line == 12_002
    assert imports.days() == ["2022-01-15"]
    assert error.reason.endswith("2022-01-15 is complete and stays; nothing of the day after was written")
    assert len(imports.events("2022-01-15")) == 8641
    whole = imports.load(text, journal=imports.folder / "whole")
    assert verify_day(imports.journal / "2022-01-15").digest.hex() == whole.digests["2022-01-15"]


def test_a_bad_first_line_of_a_day_leaves_the_days_before(imports: Imports) -> None:
    error = refused(imports, csv_text(3, step_ms=86_400_000) + f"{START // MS + 3 * 86_400_000},-1,1\n")
    assert imports.days() == ["2022-01-15", "2022-01-16", "2022-01-17"]
    assert "3 days, 2022-01-15 to 2022-01-17, are complete and stay" in error.reason


def test_a_bad_byte_does_not_affect_the_previous_day(imports: Imports) -> None:
    content = csv_text(2, step_ms=86_400_000).encode() + b"\xff\n"
    assert refused(imports, content, price_decimals=1, size_decimals=1).line == 4
    assert imports.days() == ["2022-01-15"]


def test_a_day_that_no_import_wrote_is_refused_and_kept(imports: Imports) -> None:
    (imports.journal / "2022-01-15").mkdir(parents=True)
    (imports.journal / "2022-01-15" / "notes.txt").write_text("mine")
    seen: list[ImportProgress] = []
    text = csv_text(30_000, first_ms=START // MS - 86_400_000, step_ms=10_000)
    with pytest.raises(UsageError, match=r"2022-01-15: holds no records.*2022-01-14 is complete and stays"):
        imports.load(text, price_decimals=1, size_decimals=1, progress=seen.append)
    assert imports.days() == ["2022-01-14", "2022-01-15"]
    assert (imports.journal / "2022-01-15" / "notes.txt").read_text() == "mine"
    assert seen[-1].day == "2022-01-14"
    assert seen[-1].rows == 8640


def test_a_full_disk_leaves_no_part_of_a_day(imports: Imports, monkeypatch: pytest.MonkeyPatch) -> None:
    written = 0
    write = Disk.write

    def full(self: Disk, fd: int, data: memoryview | bytes) -> int:
        nonlocal written
        written += 1
        if written > 1:  # a day is written at once
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, fd, data)

    monkeypatch.setattr(Disk, "write", full)
    with pytest.raises(JournalError, match=r"No space left.*2022-01-15 is complete and stays"):
        imports.load(csv_text(40_000, step_ms=10_000))
    assert imports.days() == ["2022-01-15"]


def test_an_interrupt_leaves_no_part_of_a_day(imports: Imports) -> None:
    def stop(progress: ImportProgress) -> None:
        if progress.stage == "importing":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        imports.load(csv_text(20_000), progress=stop)
    assert not imports.journal.exists()


def test_a_journal_folder_that_is_a_file_is_refused(imports: Imports) -> None:
    imports.journal.write_text("here")
    with pytest.raises((UsageError, JournalError)):
        imports.load(csv_text(5))
    assert imports.journal.read_text() == "here"


def test_one_instrument_in_one_file(imports: Imports) -> None:
    rows = "BTC,1642204800000,1,1\nBTC,1642204800000,1,1\nETH,1642204800000,1,1\n"
    error = refused(imports, "symbol,time,price,size\n" + rows)
    assert (error.line, "of 'ETH', the rows before are of 'BTC'" in error.reason) == (4, True)
    assert imports.load("symbol,time,price,size\n" + rows, columns={"symbol": ""}).trades == 3


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"price_decimals": 19}, "price decimals must be 0 to 18"),
        ({"size_decimals": -1}, "size decimals must be 0 to 18"),
        ({"venue": ""}, "venue '' must be"),
        ({"instrument": "a\nb"}, "must be 1 to 64 printable"),
        ({"interval": "7m"}, "'7m' is not a bar interval"),
        ({"interval": "1m"}, "holds trades; an interval is for candles"),
        ({"time_unit": "minutes"}, "not a unit of time"),
        ({"columns": {"cost": "x"}}, "'cost' is not a role"),
    ],
)
def test_contradictory_options_are_refused(imports: Imports, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        imports.load(csv_text(5), **options)
    assert not imports.journal.exists()


def test_progress_is_reported_in_both_passes(imports: Imports) -> None:
    seen: list[ImportProgress] = []
    imports.load(csv_text(40_000), progress=seen.append, name="trades.csv.gz")
    assert [each.stage for each in seen] == sorted((each.stage for each in seen), reverse=True)
    assert {each.stage for each in seen} == {"measuring", "importing"}
    assert (seen[-1].rows, seen[-1].bytes_read, seen[-1].day) == (40_000, seen[-1].bytes_total, "2022-01-15")


@pytest.mark.parametrize("name", ["trades.csv", "trades.csv.gz", "trades.jsonl"])
def test_memory_does_not_grow_with_the_file(imports: Imports, name: str) -> None:
    peaks = []
    for rows in (20_000, 44_000):
        text = csv_text(rows, step_ms=100)
        if name.endswith("jsonl"):
            lines = (line.split(",") for line in text.splitlines()[1:])
            text = "".join(f'{{"t":{time},"p":"{price}","q":{size}}}\n' for time, price, size in lines)
        path = imports.write(text, name)
        del text
        tracemalloc.start()
        folder = imports.folder / str(rows)
        imports.load(path, journal=folder, price_decimals=1, size_decimals=1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 1_500_000, peaks  # 24,000 more rows are 6 MB of events


def test_first_and_last_time_are_reported(imports: Imports) -> None:
    report = imports.load(csv_text(100))
    assert iso_text(report.first_ns) == "2022-01-15T00:00:00.000000000Z"
    assert iso_text(report.last_ns) == "2022-01-15T00:01:39.000000000Z"


@pytest.mark.parametrize(
    ("kind", "on_margin", "leverage"), [("perp", True, 20), ("spot", False, 1), ("stock", False, 1)]
)
def test_the_kind_of_an_instrument_decides_how_it_is_held(
    imports: Imports, kind: str, on_margin: bool, leverage: int
) -> None:
    """A file states no trading rules, so those of the kind are assumed, and marked as assumed."""
    report = imports.load("time,price,size\n1733313600000,1,1\n", instrument_kind=kind)
    (listed,) = [one for one in imports.events(report.days[0]) if isinstance(one, InstrumentListed)]
    rules = listed.rules
    assert (listed.kind, rules.on_margin, rules.leverage, rules.stated) == (kind, on_margin, leverage, False)


def test_another_kind_of_instrument_is_refused(imports: Imports) -> None:
    with pytest.raises(UsageError, match="kind 'option' is not one of perp, spot, stock"):
        imports.load("time,price,size\n1733313600000,1,1\n", instrument_kind="option")
    assert imports.days() == []
