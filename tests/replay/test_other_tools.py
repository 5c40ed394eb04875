"""docs/coming-from-other-tools.md: our version of the strategy decides as a loop of its own does."""

from __future__ import annotations

import json
from pathlib import Path

from engine.clock import day_start_ns
from tests.commands.kit import engine
from tests.docs_pages import ROOT, blocks

PAGE = ROOT / "docs" / "coming-from-other-tools.md"
MINUTE_MS = 60_000
COUNT = 400
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
