"""Days of several journals: instruments meet by name, at one exact scale, whatever their numbers were."""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from engine.clock import SECOND_NS, day_start_ns
from engine.errors import UsageError
from engine.events import Event, FeedUp, InstrumentListed, MarketRules, SessionStarted, Trade, engine_time
from engine.journal import list_days
from engine.records import inputs_of, open_day
from replay.joining import JoinedDays
from replay.verification import replay_day
from tests.replay.imports import bars, imported, play, results, steps
from tests.replay.kit import NOON, config_of, listings, opening, stopped, use, write_journal
from tests.replay.test_backtest import run as written_run
from tests.strategies.fakes import builder

FIRST, SECOND = "2024-01-01", "2024-01-02"
HALVES = ("100.0", "100.5", "101.0", "101.5", "102.0")
QUARTERS = ("100.00", "100.25", "100.50", "100.75", "101.00")
FINE = ("0.125", "1.5", "2.001")


def two_days(root: Path) -> list[Path]:
    """Import the days of the example one by one: the first at scales 1 and 0, the second at 2 and 3."""
    first = imported(root / "a", steps(FIRST, HALVES, ("1",), 720, 120))
    return first + imported(root / "b", steps(SECOND, QUARTERS, FINE, 720, 120))


def test_days_of_other_scales_have_their_own_values(tmp_path: Path) -> None:
    """The bar of the first day opened at 10 with volume 0.72, and a position of 1 became 0.01."""
    folders = two_days(tmp_path)
    scales = [inputs_of(next(iter(open_day(folder))))[0] for folder in folders]
    assert [(one.price_scale, one.size_scale) for one in scales] == [(1, 0), (2, 3)]  # type: ignore[attr-defined]
    first, second = bars(folders, "1d", unclosed=True)
    assert (first["open"], first["high"], first["close"], first["volume"]) == ("100", "102", "102", "720")
    volume = sum(Decimal(FINE[number % 3]) for number in range(720))
    assert (second["open"], second["high"], second["low"]) == ("100", "101", "100")
    assert Decimal(second["volume"]) == volume
    report = play(folders)
    assert report.positions["Hold BTCUSDT"] == {"side": "buy", "size": "1", "cost": "100.5", "mark": "101"}
    assert (report.unrealized_pnl, report.realized_pnl) == ("0.5", "0")
    together = imported(
        tmp_path / "c", [*steps(FIRST, HALVES, ("1",), 720, 120), *steps(SECOND, QUARTERS, FINE, 720, 120)]
    )
    once = play(together)
    assert results(once) == results(report)


def test_two_instruments_of_two_folders_are_two(tmp_path: Path) -> None:
    """Once ETHUSDT had the positions of BTCUSDT: both were instrument 1 of their day."""
    folders = imported(tmp_path / "btc", steps(FIRST, ("60000", "60001"), ("0.5",), 100, 60), "BTCUSDT")
    folders += imported(tmp_path / "eth", steps(SECOND, ("3000.5", "3000"), ("2",), 100, 60), "ETHUSDT")
    report = play(folders)
    assert report.positions == {
        "Hold BTCUSDT": {"side": "buy", "size": "1", "cost": "60000", "mark": "60001"},
        "Hold ETHUSDT": {"side": "buy", "size": "1", "cost": "3000.5", "mark": "3000"},
    }
    assert (report.realized_pnl, report.unrealized_pnl) == ("0", "0.5")
    rows = bars(folders, "1d", unclosed=True)
    assert [(row["instrument"], row["open"], row["volume"]) for row in rows] == [
        ("BTCUSDT", "60000", "50"),
        ("ETHUSDT", "3000.5", "200"),
    ]


def test_a_name_of_two_venues_is_two_instruments(tmp_path: Path) -> None:
    rows = steps(FIRST, ("100", "101"), ("1",), 10, 60)
    folders = imported(tmp_path / "a", rows, "BTCUSDT", venue="binance")
    folders += imported(tmp_path / "b", rows, "BTCUSDT", venue="binance-usdm")
    joined = JoinedDays(folders)
    assert [(one.instrument, one.key) for one in joined.instruments] == [
        (1, "binance:BTCUSDT"),
        (2, "binance-usdm:BTCUSDT"),
    ]
    assert {row["venue"]: row["volume"] for row in bars(folders, "1h", unclosed=True)} == {
        "binance": "10",
        "binance-usdm": "10",
    }


def test_a_week_of_days_of_other_scales_loses_no_day(tmp_path: Path) -> None:
    """2024-01-01 is a Monday. The day before the listed one had another scale and was left out."""
    two_days(tmp_path / "x")
    root = tmp_path / "x/a"
    shutil.move(tmp_path / "x/b" / SECOND, root / SECOND)
    volume = 720 + sum(Decimal(FINE[number % 3]) for number in range(720))
    for day in (FIRST, SECOND):
        (row,) = bars([root / day], "1w", unclosed=True)
        assert (row["open"], row["high"], Decimal(row["volume"])) == ("100", "102", volume)
    (row,) = bars([root / SECOND, root / FIRST], "1w", unclosed=True)
    assert Decimal(row["volume"]) == volume


def test_neither_order_nor_names_of_folders_matter(tmp_path: Path) -> None:
    folders = two_days(tmp_path / "x")
    folders += imported(tmp_path / "x/c", steps(SECOND, ("3000", "3001"), ("1",), 720, 120), "ETHUSDT")
    expected = play(folders)
    names = [tmp_path / "zz", tmp_path / "yy", tmp_path / "aa"]
    for folder, name in zip(folders, names, strict=True):
        shutil.copytree(folder, name)
    assert play(names) == play(names[::-1]) == play([names[1], names[0], names[2]]) == expected


def test_the_journal_of_a_run_over_joined_days_replays_identical(tmp_path: Path) -> None:
    folders = two_days(tmp_path) + imported(tmp_path / "c", steps(SECOND, ("3",), ("1",), 700, 99), "ETHUSDT")
    report = written_run(folders, config_of(use("Averages"), intervals=("1m", "1d")), tmp_path / "out")
    days = [day.path for day in list_days(tmp_path / "out")]
    assert [day.name for day in days] == [FIRST, SECOND]
    found = [replay_day(open_day(day), builder())[0] for day in days]
    assert all(one.identical for one in found)
    assert found[-1].digest == report.digest


def test_days_of_one_date_are_merged_by_time(tmp_path: Path) -> None:
    folders = imported(tmp_path / "a", steps(FIRST, ("100", "101"), ("1",), 5000, 7), "AAA")
    folders += imported(tmp_path / "b", steps(FIRST, ("5.5", "6"), ("1",), 3000, 11), "BBB")
    batches = list(JoinedDays(folders).batches())
    assert max(map(len, batches)) > 1000, "short parts are gathered"
    inputs = [event for batch in batches for event in batch]
    assert [type(event) for event in inputs[:3]] == [InstrumentListed, InstrumentListed, Trade]
    times = [(engine_time(event), event.instrument) for event in inputs if isinstance(event, Trade)]
    assert times == sorted(times), "at one time in the order of the names"
    assert len(times) == 8000


def test_a_day_given_twice_is_refused(tmp_path: Path) -> None:
    (day,) = imported(tmp_path / "a", steps(FIRST, HALVES, ("1",), 10, 60))
    with pytest.raises(UsageError, match=f"{day}: the same day is given twice"):
        play([day, day])
    link = tmp_path / "link"
    link.symlink_to(day)
    with pytest.raises(UsageError, match=f"{day} and {link}: the same day is given twice"):
        play([day, link])


def test_days_with_an_instrument_at_the_same_time_are_refused_by_name(tmp_path: Path) -> None:
    rows = steps(FIRST, HALVES, ("1",), 10, 60)
    (one,) = imported(tmp_path / "a", rows)
    for number, part in enumerate((rows[9:], rows[:1], rows[3:5])):
        (other,) = imported(tmp_path / f"b{number}", part)
        with pytest.raises(UsageError, match="both have data of binance:BTCUSDT at the same time") as caught:
            play([one, other])
        assert str(one) in str(caught.value)
        assert str(other) in str(caught.value)
    with pytest.raises(UsageError, match="at the same time"):
        bars([one, other], "1m")
    shutil.copytree(one, tmp_path / "copy")
    with pytest.raises(UsageError, match="at the same time"):
        play([tmp_path / "copy", one])


def test_parts_of_a_day_in_two_journals_are_one_day(tmp_path: Path) -> None:
    rows = steps(FIRST, HALVES, ("1",), 100, 60)
    (one,) = imported(tmp_path / "b", rows[:50])
    (other,) = imported(tmp_path / "a", rows[50:])
    (whole,) = imported(tmp_path / "c", rows)
    report, expected = play([other, one]), play([whole])
    assert results(report) == results(expected)


def test_one_instrument_of_two_kinds_is_refused(tmp_path: Path) -> None:
    folders = imported(tmp_path / "a", steps(FIRST, HALVES, ("1",), 10, 60))
    folders += imported(tmp_path / "b", steps(SECOND, HALVES, ("1",), 10, 60), instrument_kind="spot")
    with pytest.raises(UsageError, match="binance:BTCUSDT is of kind perp in the one and spot in the other"):
        play(folders)


def test_a_value_that_does_not_fit_the_joint_scale_is_refused(tmp_path: Path) -> None:
    folders = imported(tmp_path / "a", steps(FIRST, ("60000",), ("1",), 10, 60))
    folders += imported(tmp_path / "b", steps(SECOND, ("1.5",), ("1",), 10, 60), price_decimals=16)
    with pytest.raises(UsageError, match="does not fit 64 bits with 16 decimals of the price"):
        play(folders)


def test_inputs_of_one_journal_pass_as_the_same_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = imported(tmp_path / "a", steps(FIRST, HALVES, ("1",), 5000, 30))
    read: list[list[Event]] = []
    kept = inputs_of

    def remember(frame):  # type: ignore[no-untyped-def]
        read.append(kept(frame))
        return read[-1]

    monkeypatch.setattr("replay.joining.inputs_of", remember)
    found = list(JoinedDays(folders).batches())
    assert [id(event) for batch in found for event in batch if isinstance(event, Trade)] == [
        id(event) for batch in read for event in batch if isinstance(event, Trade)
    ]


# Days that sessions recorded.


def trade(at_s: float, instrument: int, price: int, size: int) -> Trade:
    at_ns = NOON + int(at_s * SECOND_NS)
    return Trade(at_ns, at_ns, instrument, price, size, 1, int(at_s * 10) + 1)


def test_a_listing_within_a_recorded_day_holds_from_its_place_on(tmp_path: Path) -> None:
    """Before it, prices are at the earlier scale; another instrument is listed in the middle, too."""
    rules = MarketRules(stated=True, size_max=50)
    one = InstrumentListed(NOON, 1, "sim", "AAA", 1, 0, price_step=5, rules=rules)
    finer = msgspec.structs.replace(
        one, recv_ns=NOON + 2 * SECOND_NS, price_scale=2, size_scale=3, price_step=25
    )
    late = InstrumentListed(NOON + 3 * SECOND_NS, 2, "sim", "BBB", 0, 0)
    start = opening(config_of(use("Averages")), NOON)[0]
    inputs: list[Event] = [start, one, trade(1, 1, 1005, 2), finer, trade(2.5, 1, 10025, 1500)]
    inputs += [late, trade(3.5, 2, 7, 1), stopped(NOON + 9 * SECOND_NS)]
    write_journal(tmp_path, [inputs[:3], inputs[3:]])
    found = [event for batch in JoinedDays([tmp_path / "2024-12-05"]).batches() for event in batch]
    first, second, *rest = found
    assert isinstance(first, InstrumentListed)
    assert isinstance(second, InstrumentListed)
    assert (first.price_scale, first.price_step, first.size_scale, first.size_step) == (2, 50, 3, 1000)
    assert first.rules.size_max == 50_000
    assert (second.key, second.recv_ns) == ("sim:BBB", NOON)
    prices = [(event.instrument, event.price, event.size) for event in rest if isinstance(event, Trade)]
    assert prices == [(1, 10050, 2000), (1, 10025, 1500), (2, 7, 1)]
    again = [event for event in rest if isinstance(event, InstrumentListed)]
    assert [(one.recv_ns, one.price_step, one.rules.size_max) for one in again] == [
        (finer.recv_ns, 25, 50)
    ], "only the changed grid"


def test_recorded_and_imported_days_meet(tmp_path: Path) -> None:
    """The recorded day's feed says nothing about the day that was imported."""
    inputs = opening(config_of(use("Averages")), NOON)
    inputs += [FeedUp(NOON, "sim", 2, heard_ms=2000), trade(1, 1, 70000, 1500), trade(2, 2, 500, 10)]
    write_journal(tmp_path / "live", [[*inputs, stopped(NOON + 9 * SECOND_NS)]])
    begin = day_start_ns("2024-12-06") // 1_000_000
    rows = [(begin + number * 60_000, "7.25", "1") for number in range(5)]
    folders = [tmp_path / "live/2024-12-05", *imported(tmp_path / "file", rows, "AAA", venue="sim")]
    found = [event for batch in JoinedDays(folders).batches() for event in batch]
    prices = [(event.instrument, event.price, event.size) for event in found if isinstance(event, Trade)]
    assert prices == [(1, 70000, 1500), (2, 500, 10)] + [(1, 72500, 1000)] * 5
    feeds = [event for event in found if isinstance(event, FeedUp)]
    assert [(event.recv_ns, event.heard_ms) for event in feeds] == [(NOON, 2000), (begin * 1_000_000, 0)]
    folders += imported(tmp_path / "other", rows, "CCC", venue="sim")
    assert list(play(folders).positions) == ["Hold CCC"], "prices of the imported day are not too old"


def test_a_later_day_of_a_journal_keeps_its_numbers(tmp_path: Path) -> None:
    """Its opening lists what was listed before; the instruments are those of the opening."""
    inputs = opening(config_of(use("Averages"), intervals=("1m",)), NOON)
    inputs += [trade(1, 1, 70000, 1500), trade(86_400, 2, 500, 10)]
    write_journal(tmp_path, [[*inputs, stopped(NOON + 86_500 * SECOND_NS)]])
    joined = JoinedDays([tmp_path / "2024-12-06"])
    assert [one.name for one in joined.instruments] == ["AAA", "BBB"]
    found = [event for batch in joined.batches() for event in batch]
    assert found[:2] == [
        msgspec.structs.replace(one, recv_ns=day_start_ns("2024-12-06")) for one in listings(NOON)
    ]
    assert not any(isinstance(event, SessionStarted) for event in found)


def test_a_listing_after_the_first_prices_of_an_imported_day_is_refused(tmp_path: Path) -> None:
    one = InstrumentListed(NOON, 1, "sim", "AAA", 1, 0)
    finer = msgspec.structs.replace(one, price_scale=2)
    write_journal(tmp_path, [[one, trade(1, 1, 7, 1)], [finer, trade(2, 1, 70, 1)]])
    with pytest.raises(UsageError, match="lists sim:AAA after its first prices"):
        list(JoinedDays([tmp_path / "2024-12-05"]).batches())


def test_data_of_an_instrument_that_is_not_listed_is_refused(tmp_path: Path) -> None:
    one = InstrumentListed(NOON, 1, "sim", "AAA", 1, 0)
    write_journal(tmp_path / "a", [[one, trade(1, 1, 7, 1), trade(2, 3, 7, 1)]])
    folders = [tmp_path / "a/2024-12-05", *imported(tmp_path / "b", steps(FIRST, HALVES, ("1",), 9, 60))]
    with pytest.raises(UsageError, match="has data of instrument 3, which it does not list"):
        play(folders)


def test_days_without_a_price_have_nothing_to_play(tmp_path: Path) -> None:
    """The result was exit 0 and zeros."""
    inputs = opening(config_of(use("Averages")), NOON)
    write_journal(tmp_path, [[*inputs, FeedUp(NOON, "sim", 2), stopped(NOON + SECOND_NS)]])
    with pytest.raises(UsageError, match="there is nothing to play"):
        play([tmp_path / "2024-12-05"])


def test_bars_of_a_recorded_and_an_imported_day_are_all_there(tmp_path: Path) -> None:
    """Those of the recorded day are on record; that does not hide the day that has none on record."""
    start = opening(config_of(use("Averages"), intervals=("1m",)), NOON)
    inputs = [*start, trade(1, 1, 70000, 1500), trade(61, 1, 70001, 1000), trade(122, 1, 70002, 1)]
    write_journal(tmp_path / "live", [[*inputs, stopped(NOON + 200 * SECOND_NS)]])
    rows = steps("2024-12-06", ("7.5", "8"), ("2",), 3, 60)
    folders = [*imported(tmp_path / "file", rows, "AAA", venue="sim"), tmp_path / "live/2024-12-05"]
    traded = [row for row in bars(folders, "1m") if row["count"]]
    assert [(row["close"], row["volume"]) for row in traded] == [
        ("7", "1.5"),
        ("7.0001", "1"),
        ("7.0002", "0.001"),
        ("7.5", "2"),
        ("8", "2"),
    ]
