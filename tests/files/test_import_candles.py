"""Import of candles: on their grid, closed, each day complete or absent."""

from __future__ import annotations

import json

import pytest

from engine.clock import DAY_NS, day_start_ns
from engine.errors import ImportRefused, UsageError
from engine.events import Candle, InstrumentListed

from .kit import Imports

START = day_start_ns("2022-01-15")
MINUTE = 60_000_000_000
HEADER = "t,open,high,low,close,volume\n"


def row(minute: int, prices: str = "10,12,9,11", volume: str = "1.5") -> str:
    return f"{(START + minute * MINUTE) // 1_000_000},{prices},{volume}\n"


def test_a_candle_is_received_at_its_end(imports: Imports) -> None:
    report = imports.load(HEADER + row(0) + row(1) + row(3, "10.5,10.5,10.5,10.5", "0"))
    assert (report.kind, report.candles, report.trades, report.interval) == ("candles", 3, 0, "1m")
    assert (report.price_decimals, report.size_decimals) == (1, 1)
    assert report.measured == ("price_decimals", "size_decimals", "interval")
    listed, first, second, third = imports.events("2022-01-15")
    end = START + MINUTE
    assert listed == InstrumentListed(end, 1, "venue", "COIN", 1, 1, kind="perp")
    assert first == Candle(end, end, 1, MINUTE, START, 100, 120, 90, 110, 15)
    assert isinstance(second, Candle)
    assert isinstance(third, Candle)
    assert (second.start_ns, third.start_ns) == (START + MINUTE, START + 3 * MINUTE)
    assert (third.open, third.volume, third.venue_ns) == (105, 0, START + 4 * MINUTE)


def test_a_candle_that_ends_at_midnight_belongs_to_the_day_that_ends(imports: Imports) -> None:
    """It was received in that day's last nanosecond, so the file of a month opens no day of the next."""
    report = imports.load(HEADER + row(1438) + row(1439))
    assert (imports.days(), report.days) == (["2022-01-15"], ("2022-01-15",))
    candles = [event for event in imports.events("2022-01-15") if isinstance(event, Candle)]
    assert [candle.venue_ns - START for candle in candles] == [DAY_NS - MINUTE, DAY_NS]
    assert [candle.recv_ns - START for candle in candles] == [DAY_NS - MINUTE, DAY_NS - 1]
    assert report.last_ns == START + DAY_NS - 1


def test_interval_may_be_given(imports: Imports) -> None:
    report = imports.load(HEADER + row(0), interval="5m", price_decimals=0, size_decimals=1)
    assert (report.interval, report.measured) == ("5m", ())
    candle = imports.events("2022-01-15")[1]
    assert isinstance(candle, Candle)
    assert (candle.interval_ns, candle.venue_ns) == (5 * MINUTE, START + 5 * MINUTE)


def test_count_of_trades_and_a_volume_beyond_64_bits_are_kept(imports: Imports) -> None:
    names = ("t", "T", "s", "i", "o", "c", "h", "l", "v", "n")
    cells = (
        START // 10**6,
        START // 10**6 + 59_999,
        "BTC",
        "1m",
        "10",
        "11",
        "12",
        "9",
        "123456789012345.5",
        7,
    )
    text = json.dumps(dict(zip(names, cells, strict=True)))
    imports.load(text, name="c.jsonl", interval="1m", price_decimals=2, size_decimals=8)
    candle = imports.events("2022-01-15")[1]
    assert isinstance(candle, Candle)
    assert (candle.open, candle.close, candle.trades) == (1000, 1100, 7)
    assert candle.volume == "12345678901234550000000"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (row(1, "10,9,8,9"), "high 9 and low 8 do not enclose open 10 and close 9"),
        (row(1, "10,12,11,12"), "do not enclose"),
        (row(1, "10,12,9,13"), "do not enclose"),
        (row(1, "0,12,9,11"), "open '0' is zero"),
        (row(1, "10,12,-9,11"), "low '-9' is negative"),
        (row(1, volume="-1"), "volume '-1' is negative"),
        (row(1, volume="x"), "volume 'x' is not a plain decimal number"),
        (row(1, volume=""), "volume is empty"),
        (row(0), "a second candle that starts at 2022-01-15T00:00:00"),
        (row(-1), "goes back"),
        (row(1)[:-3] + "\n", "5 columns|volume"),
        (f"{START // 10**6 + 90_000},1,1,1,1,1\n", "a candle of 1m cannot start at 2022-01-15T00:01:30"),
    ],
)
def test_an_invalid_candle_is_reported(imports: Imports, line: str, reason: str) -> None:
    text = HEADER + row(-1440, volume="1") + row(0) + line
    if reason.startswith("5 columns"):
        text = HEADER + row(-1440) + row(0) + line.rsplit(",", 1)[0] + "\n"
    with pytest.raises(ImportRefused) as caught:
        imports.load(text, interval="1m", price_decimals=1, size_decimals=1)
    assert caught.value.line == 4
    assert any(part in caught.value.reason for part in reason.split("|")), caught.value.reason
    assert imports.days() == ["2022-01-14"]


def test_an_unclear_interval_must_be_given(imports: Imports) -> None:
    with pytest.raises(UsageError, match="one row does not show the interval"):
        imports.load(HEADER + row(0))
    with pytest.raises(UsageError, match="smallest step between rows is 420 s, which is not a bar"):
        imports.load(HEADER + row(0) + row(7))
    with pytest.raises(ImportRefused, match=r"line 4: a candle of 5m cannot start at .*give --interval"):
        imports.load(HEADER + row(0) + row(5) + row(12))
    assert not imports.journal.exists()
