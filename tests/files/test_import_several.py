"""Import of several files: instruments from names, files in any order, days that exist already."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from adapters.files import ImportReport
from engine.clock import DAY_NS, SystemIds, day_start_ns
from engine.errors import ImportRefused, UsageError
from engine.events import Candle, Event, InstrumentListed, SessionStarted, Trade
from engine.journal import JournalWriter, Staging, Tail, ensure_identity, verify_day
from engine.records import draft_of
from engine.values import format_scaled

from .kit import Imports

START = day_start_ns("2024-01-30")
MS = 1_000_000
MINUTE = 60_000_000_000
DAYS = ["2024-01-30", "2024-01-31", "2024-02-01", "2024-02-02"]


def klines(first_day: int, days: int, price: str = "100.5", step_ns: int = 8 * 60 * MINUTE) -> str:
    """Return klines as Binance's archives have them: no names, milliseconds."""
    starts = range(START + first_day * DAY_NS, START + (first_day + days) * DAY_NS, step_ns)
    lines = [
        f"{start // MS},{price},{price},{price},{price},2.25,{(start + step_ns) // MS - 1},1,9,1,1,0"
        for start in starts
    ]
    return "\n".join(lines) + "\n"


def zipped(imports: Imports, name: str, text: str) -> Path:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name.replace(".zip", ".csv"), text)
    return imports.write(packed.getvalue(), name)


def trades(*rows: tuple[int, str, str, object]) -> str:
    """Return trades: seconds after the start, price, size, id."""
    lines = [f"{START // MS + second * 1000},{price},{size},{number}" for second, price, size, number in rows]
    return "time,price,size,id\n" + "\n".join(lines) + "\n"


def decimals(events: Sequence[Event]) -> list[tuple[object, ...]]:
    """Return events with names and decimals instead of numbers and scales."""
    listed: dict[int, InstrumentListed] = {}
    found: list[tuple[object, ...]] = []
    for event in events:
        if isinstance(event, InstrumentListed):
            listed[event.instrument] = event
        elif isinstance(event, Trade):
            one = listed[event.instrument]
            price, size = (
                format_scaled(event.price, one.price_scale),
                format_scaled(event.size, one.size_scale),
            )
            found.append((one.name, event.recv_ns, float(price), float(size), event.trade_id))
        elif isinstance(event, Candle):
            one = listed[event.instrument]
            close = float(format_scaled(event.close, one.price_scale))
            found.append((one.name, event.recv_ns, event.start_ns, close))
    return found


def two_coins(imports: Imports) -> list[Path]:
    return [
        zipped(imports, "ETHUSDT-8h-2024-02.zip", klines(2, 2, "3000.25")),
        zipped(imports, "BTCUSDT-8h-2024-01.zip", klines(0, 2, "42000")),
        zipped(imports, "ETHUSDT-8h-2024-01.zip", klines(0, 2, "2900")),
        zipped(imports, "BTCUSDT-8h-2024-02.zip", klines(2, 2, "43000.5")),
    ]


def test_months_of_two_instruments_make_one_journal(imports: Imports) -> None:
    report = imports.load_all(two_coins(imports))
    assert report.days == tuple(DAYS)
    assert [(one.instrument, one.candles, one.files, one.interval) for one in report.instruments] == [
        ("BTCUSDT", 12, 2, "8h"),
        ("ETHUSDT", 12, 2, "8h"),
    ]
    for day in DAYS:
        btc, eth, *candles = imports.events(day)
        assert isinstance(btc, InstrumentListed)
        assert isinstance(eth, InstrumentListed)
        # One listing of each, with the scale of all its files; received with the first event of the day.
        assert (btc.name, btc.instrument, btc.price_scale) == ("BTCUSDT", 1, 1)
        assert (eth.name, eth.instrument, eth.price_scale) == ("ETHUSDT", 2, 2)
        assert btc.recv_ns == eth.recv_ns == day_start_ns(day) + 8 * 60 * MINUTE
        got = [(one.instrument, one.recv_ns) for one in candles if isinstance(one, Candle)]
        ends = [day_start_ns(day) + at * 8 * 60 * MINUTE for at in (1, 2)] + [day_start_ns(day) + DAY_NS - 1]
        assert got == [(number, end) for end in ends for number in (1, 2)]
    assert all(file.derived == ("instrument", "interval") for file in report.files)


def test_a_month_of_daily_candles_opens_no_day_of_the_next(imports: Imports) -> None:
    """The example of the issue: February was refused, because January's last candle ends in it."""
    for name, first in (("BTCUSDT-1d-2024-02.zip", 2), ("BTCUSDT-1d-2024-01.zip", 0)):
        report = imports.load_all([zipped(imports, name, klines(first, 2, step_ns=DAY_NS))])
        assert report.days == tuple(DAYS[first : first + 2])
        assert (report.extended, report.unchanged) == ({}, ())
    assert imports.days() == DAYS


def test_the_order_of_files_and_imports_does_not_change_a_day(imports: Imports) -> None:
    files = two_coins(imports)
    given = {"price_decimals": 2, "size_decimals": 2}
    together = imports.load_all(files, journal=imports.folder / "one", **given)
    for name, order in (("two", (3, 2, 1, 0)), ("three", (1, 0, 3, 2))):
        last: ImportReport | None = None
        for at in order:
            last = imports.load_all([files[at]], journal=imports.folder / name, **given)
        assert last is not None
        found = {day: verify_day(imports.folder / name / day).digest.hex() for day in DAYS}
        assert found == together.digests
    assert imports.load_all(files[::-1], journal=imports.folder / "four", **given).digests == together.digests


def test_a_day_is_extended_by_another_instrument_and_both_digests_are_reported(imports: Imports) -> None:
    btc = imports.load(trades((5, "100.5", "1", 1), (9, "101", "2", 2)), instrument="BTC")
    eth = imports.load(trades((4, "9.25", "3", 7), (9, "9.5", "4", 8)), instrument="ETH")
    day = "2024-01-30"
    assert eth.extended == {day: btc.digests[day]}
    assert eth.digests[day] == verify_day(imports.journal / day).digest.hex() != btc.digests[day]
    first, second, *events = imports.events(day)
    assert isinstance(first, InstrumentListed)
    assert isinstance(second, InstrumentListed)
    assert [(one.name, one.price_scale, one.recv_ns) for one in (first, second)] == [
        ("BTC", 1, START + 4_000 * MS),
        ("ETH", 2, START + 4_000 * MS),
    ]
    assert [(one.instrument, one.trade_id) for one in events if isinstance(one, Trade)] == [
        (2, 7),
        (1, 1),
        (1, 2),
        (2, 8),
    ]
    assert imports.days() == [day]


def test_a_later_import_with_finer_values_moves_the_day_to_its_scales(imports: Imports) -> None:
    imports.load(trades((5, "100.5", "1", 1)))
    imports.load(trades((7, "100.125", "0.5", 2)))
    listed, *events = imports.events("2024-01-30")
    assert isinstance(listed, InstrumentListed)
    assert (listed.price_scale, listed.size_scale) == (3, 1)
    got = [(one.price, one.size) for one in events if isinstance(one, Trade)]
    assert got == [(100_500, 10), (100_125, 5)]
    # And a coarser one after it.
    imports.load(trades((9, "99", "2", 3)))
    assert [one.price for one in imports.trades("2024-01-30")] == [100_500, 100_125, 99_000]


def test_an_import_that_adds_nothing_changes_nothing(imports: Imports) -> None:
    text = trades((5, "100.5", "1", 1), (90_000, "101", "2", 2))
    first = imports.load(text)
    before = {path: path.read_bytes() for path in imports.journal.rglob("*") if path.is_file()}
    again = imports.load(text)
    assert again.unchanged == again.days == first.days
    assert (again.digests, again.trades, again.extended) == (first.digests, first.trades, {})
    assert {path: path.read_bytes() for path in before} == before


def test_the_name_of_each_file_says_its_instrument_or_the_option_does(imports: Imports) -> None:
    text = trades((5, "100.5", "1", 1))
    later = trades((7, "100.5", "1", 2))
    named = imports.write(text, "BTCUSDT-trades-2024-01-30.csv.gz")
    other = imports.write(later, "ETHUSDT-trades-2024-01-30.csv")
    plain = imports.write(later, "data.csv")
    with pytest.raises(
        UsageError, match=r"data.csv: its name does not say which instrument.*give --instrument"
    ):
        imports.load_all([named, plain])
    with pytest.raises(UsageError, match="say BTCUSDT and ETHUSDT; without --instrument"):
        imports.load_all([named, other], instrument="BTC")
    assert not imports.journal.exists()
    report = imports.load_all([plain, named], instrument="BTC")
    assert [one.instrument for one in report.instruments] == ["BTC"]
    assert [file.derived for file in report.files] == [(), ()]
    assert [one.trade_id for one in imports.trades("2024-01-30")] == [1, 2]


@pytest.mark.parametrize(
    ("names", "texts", "reason"),
    [
        (
            ("BTCUSDT-1m-2024-01.csv",),
            (trades((5, "1", "1", 1)),),
            "its name says candles, but it holds trades",
        ),
        (
            ("BTCUSDT-8h-2024-01.zip",),
            (klines(0, 2, step_ns=DAY_NS),),
            "its name says candles of 8h, but it holds candles of 1d",
        ),
        (
            ("BTCUSDT-trades-2024-01.csv", "BTCUSDT-8h-2024-01.zip"),
            (trades((5, "1", "1", 1)), klines(0, 1)),
            "hold trades and candles of 8h|hold candles of 8h and trades",
        ),
        (
            ("BTCUSDT-trades-2024-01.csv", "BTCUSDT-aggTrades-2024-01.csv"),
            (trades((5, "1", "1", 1)), trades((5, "1", "1", 1))),
            "hold trades and aggTrades",
        ),
        (
            ("BTCUSDT-8h-2024-01.zip", "BTCUSDT-1d-2024-01.zip"),
            (klines(0, 1), klines(0, 1, step_ns=DAY_NS)),
            "hold candles of 8h and candles of 1d",
        ),
    ],
)
def test_two_kinds_of_data_of_one_instrument_are_refused(
    imports: Imports, names: tuple[str, ...], texts: tuple[str, ...], reason: str
) -> None:
    files = [
        zipped(imports, name, text) if name.endswith("zip") else imports.write(text, name)
        for name, text in zip(names, texts, strict=True)
    ]
    with pytest.raises(UsageError, match=reason):
        imports.load_all(files)
    assert not imports.journal.exists()


def test_candles_of_a_day_with_trades_of_the_instrument_are_refused(imports: Imports) -> None:
    imports.load(trades((5, "1", "1", 1)), instrument="BTCUSDT")
    with pytest.raises(UsageError, match=r"2024-01-30.* has trades of it, the files have candles of 8h"):
        imports.load_all([zipped(imports, "BTCUSDT-8h-2024-01.zip", klines(0, 1))])
    assert len(imports.trades("2024-01-30")) == 1


def test_what_two_files_have_counts_once_and_a_contradiction_is_refused(imports: Imports) -> None:
    one = zipped(imports, "BTCUSDT-8h-2024-01.zip", klines(0, 3, "42000"))
    same = zipped(imports, "BTCUSDT-8h-2024-02.zip", klines(1, 3, "42000"))
    other = zipped(imports, "BTCUSDT-8h-2024-03.zip", klines(1, 3, "42001"))
    report = imports.load_all([one, same])
    (btc,) = report.instruments
    assert (btc.candles, btc.duplicates, report.days) == (12, 6, tuple(DAYS))
    folder = imports.folder / "other"
    with pytest.raises(UsageError, match=r"2024-01.zip and .*2024-03.zip have different candles"):
        imports.load_all([one, other], journal=folder)
    assert [path.name for path in folder.iterdir()] == ["2024-01-30"]
    with pytest.raises(UsageError, match=r"which exists already, and .*2024-03.zip have different candles"):
        imports.load_all([other])
    assert imports.load_all([one, same]).unchanged == tuple(DAYS)


def test_a_bad_row_of_one_file_leaves_the_days_before_it_of_all(imports: Imports) -> None:
    good = imports.write(trades(*((hour * 3600, "100", "1", hour + 1) for hour in range(72))), "A-trades.csv")
    bad = imports.write(
        trades((5, "9", "1", 1), (90_000, "9", "1", 2)) + f"{START // MS + 100_000_000},x,1,3\n",
        "B-trades.csv",
    )
    with pytest.raises(ImportRefused, match=r"B-trades.csv, line 4: .*2024-01-30 is complete and stays"):
        imports.load_all([good, bad])
    assert imports.days() == ["2024-01-30"]
    assert len(imports.trades("2024-01-30")) == 25


def test_a_day_that_a_session_recorded_is_refused(imports: Imports) -> None:
    imports.journal.mkdir()
    ensure_identity(imports.journal, bytes(16))
    started = SessionStarted(START + 1, "s", "live", "", "", "", (), "{}")
    with JournalWriter(imports.journal, Tail(bytes(16)), salts=lambda: bytes(16)) as writer:
        writer.append(draft_of(1, [started]), START + 1)
    text = trades((-90_000, "1", "1", 1), (5, "1", "1", 2))
    with pytest.raises(UsageError, match=r"2024-01-30: .*session.*; 2024-01-28 is complete and stays"):
        imports.load(text)
    assert imports.days() == ["2024-01-28", "2024-01-30", "journal.id"]


def test_a_day_that_an_earlier_version_imported_with_a_candle_of_the_day_before_is_refused(
    imports: Imports,
) -> None:
    listed = InstrumentListed(START, 1, "venue", "COIN", 1, 2)
    old = Candle(START, START, 1, MINUTE, START - MINUTE, 10, 10, 10, 10, 1)
    imports.journal.mkdir()
    with Staging(imports.journal, random=SystemIds().random_bytes) as staging:
        staging.begin(20240130).append(draft_of(1, [listed, old], ends=True), START)
        staging.complete()
        staging.publish()
    with pytest.raises(UsageError, match="an earlier version imported it"):
        imports.load(klines(0, 1), interval="8h")


def test_an_instrument_of_another_kind_does_not_extend_a_day(imports: Imports) -> None:
    imports.load(trades((5, "1", "1", 1)), instrument_kind="spot")
    with pytest.raises(UsageError, match=r"has venue:COIN as spot, .* not perp"):
        imports.load(trades((7, "1", "1", 2)), instrument_kind="perp")


def test_a_file_given_twice_and_times_from_midnight_of_several_files_are_refused(imports: Imports) -> None:
    one, two = (imports.write(trades((5, "1", "1", 1)), name) for name in ("A-trades.csv", "B-trades.csv"))
    with pytest.raises(UsageError, match="was given twice"):
        imports.load_all([one, one])
    with pytest.raises(UsageError, match="are of one file"):
        imports.load_all([one, two], day="2024-01-30")


def test_one_name_of_two_venues_are_two_instruments_of_a_day(imports: Imports) -> None:
    for venue, price in (("kraken", "101"), ("binance", "100")):
        imports.load(trades((5, price, "1", 1)), venue=venue, instrument="BTC")
    binance, kraken, *events = imports.events("2024-01-30")
    assert isinstance(binance, InstrumentListed)
    assert isinstance(kraken, InstrumentListed)
    assert [(one.venue, one.instrument) for one in (binance, kraken)] == [("binance", 1), ("kraken", 2)]
    assert [(one.instrument, one.price) for one in events if isinstance(one, Trade)] == [(1, 100), (2, 101)]


def test_many_days_are_put_in_place_in_several_lots(
    imports: Imports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error leaves the lots before it and the complete days of its own."""
    monkeypatch.setattr("adapters.files.days._PUBLISH_DAYS", 3)
    text = trades(*((day * 86_400, "1", "1", day + 1) for day in range(8)))
    with pytest.raises(ImportRefused, match="8 days, 2024-01-30 to 2024-02-06, are complete and stay"):
        imports.load(text + f"{START // MS + 8 * 86_400_000},x,1,9\n")
    assert len(imports.days()) == 8
    assert imports.load(text).unchanged == tuple(imports.days())


def test_the_venue_before_the_name_of_the_instrument_is_not_a_part_of_it(imports: Imports) -> None:
    path = imports.write(trades((0, "100.5", "1", 1)))
    for name, key in (("x:ONE", "x:ONE"), ("y:TWO", "x:y:TWO"), ("THREE", "x:THREE")):
        report = imports.load_all([path], venue="x", instrument=name)
        assert [f"{one.venue}:{one.instrument}" for one in report.instruments] == [key]
    with pytest.raises(UsageError, match="1 to 64"):
        imports.load_all([path], venue="x", instrument="x:")
    with pytest.raises(UsageError, match=r"a colon ends the venue in venue:NAME; write binance-usdm"):
        imports.load_all([path], venue="binance:usdm", instrument="ONE")


def test_an_interval_of_a_name_that_is_none_is_refused_with_the_file(imports: Imports) -> None:
    text = klines(0, 1, step_ns=6 * 60 * MINUTE)
    paths = [zipped(imports, f"{name}-2024-01-30.zip", text) for name in ("ONE-6h", "TWO-8h")]
    with pytest.raises(UsageError, match=r"ONE-6h-2024-01-30\.zip: '6h' is not a bar interval"):
        imports.load_all(paths)
