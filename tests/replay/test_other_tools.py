"""docs/coming-from-other-tools.md: our version of the strategy decides as a loop of its own does."""

from __future__ import annotations

import gzip
import json
from fractions import Fraction
from pathlib import Path

import pytest

from engine.clock import day_start_ns
from tests.commands.kit import engine
from tests.docs_pages import ROOT, blocks
from tests.profiles import pick

PAGE = ROOT / "docs" / "coming-from-other-tools.md"
MINUTE_MS = 60_000
COUNT = 400
SHARED = ROOT.parent / "shared"
if not SHARED.exists():  # a working tree one level deeper
    SHARED = ROOT.parents[1] / "shared"
MONTH = SHARED / "data" / "candles" / "btc-perp-1m-202201.csv.gz"
CANDLES = pick(1_500, deep=45_031)
CLOSES = [1000 + (number * number * 7 % 61) - (number % 37) for number in range(COUNT)]


def straight_line(short: int = 10, long: int = 30) -> list[tuple[int, str]]:
    """Return (minute, side) of each order: decided at a close, in sums over slices."""
    found, held = [], False
    for at in range(long, COUNT + 1):
        fast, slow = sum(CLOSES[at - short : at]) / short, sum(CLOSES[at - long : at]) / long
        if (fast > slow) != held:
            held = not held
            found.append((at, "buy" if held else "sell"))
    return found


def test_our_version_decides_as_a_straight_loop_does(tmp_path: Path) -> None:
    strategy = next(block for block in blocks(PAGE) if block.file == "averages.py")
    (tmp_path / "averages.py").write_text(strategy.text)
    at_ms = day_start_ns("2024-01-01") // 1_000_000
    lines = [
        f"{at_ms + number * MINUTE_MS},{close}.00,{close + 1}.00,{close - 1}.00,{close}.00,50.01"
        for number, close in enumerate(CLOSES)
    ]
    (tmp_path / "made.csv").write_text("timestamp,open,high,low,close,volume\n" + "\n".join(lines) + "\n")
    named = ("--venue", "made", "--instrument", "AAA")
    assert engine("import", "made.csv", *named, cwd=tmp_path).code == 0
    done = engine("backtest", "journal", "--strategy", "averages:Averages", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    fills = json.loads(done.out)["fill_rows"]
    # Decided at the close of a candle, filled on the next one: a candle is received at its end.
    decided = [((fill["at_ns"] // 1_000_000 - at_ms) // MINUTE_MS - 1, fill["side"]) for fill in fills]
    expected = [one for one in straight_line() if one[0] < COUNT]
    assert len(expected) > 10
    assert decided == expected


@pytest.mark.skipif(not MONTH.exists(), reason="the shared data is not here")
def test_the_month_of_the_page_earns_what_other_tools_say(tmp_path: Path) -> None:
    # backtesting.py 0.6.6 on the whole month: 945 trades, 216 won, -54,342.677575 with a size of 1.
    strategy = next(block for block in blocks(PAGE) if block.file == "averages.py")
    (tmp_path / "averages.py").write_text(strategy.text)
    (tmp_path / "engine.toml").write_text("[paper]\nslippage_bps = 0\n")
    head, *rows = gzip.decompress(MONTH.read_bytes()).decode().splitlines()
    rows = rows[:CANDLES]
    (tmp_path / "minutes.csv").write_text("\n".join([head, *rows]) + "\n")
    named = ("--venue", "other", "--instrument", "BTC")
    assert engine("import", "minutes.csv", *named, cwd=tmp_path).code == 0
    run = ("backtest", "journal", "--strategy", "averages:Averages", "--config", "engine.toml", "--json")
    done = engine(*run, cwd=tmp_path)
    assert done.code == 0, done.err
    found = json.loads(done.out)
    trips = _trips([(Fraction(row.split(",")[1]), Fraction(row.split(",")[4])) for row in rows])
    assert [Fraction(trip["net"]) for trip in found["trips"]] == trips
    assert len(trips) > 20
    if len(rows) == 45_031:
        assert (found["round_trips"], sum(net > 0 for net in trips)) == (945, 216)
        assert sum(trips) == Fraction("-543.42677575")


def _trips(candles: list[tuple[Fraction, Fraction]]) -> list[Fraction]:
    """Return what each round trip of 0.01 earns from open to open, with a fee of 0.045 % on both sides."""
    closes = [close for _, close in candles]
    found, entry = [], None
    for at in range(30, len(candles)):
        price = candles[at][0]
        above = 3 * sum(closes[at - 10 : at]) > sum(closes[at - 30 : at])
        if above and entry is None:
            entry = price
        elif not above and entry is not None:
            found.append((price - entry - (price + entry) * Fraction("0.00045")) / 100)
            entry = None
    return found
