"""A span without funding rates is named, whatever the schedule and the jitter of the times."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.clock import SECOND_NS, day_start_ns
from replay.rates import spans_without
from tests.commands.kit import engine

HOUR = 3600 * SECOND_NS


@pytest.mark.parametrize(
    ("hours", "spans"),
    [
        ([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], []),
        ([2.000001, 2.9999, 4, 5.0003, 6, 7, 8, 9, 10, 11, 12], [(0, 2.000001)]),
        ([0, 8], []),
        ([0, 4, 8, 9, 10, 11], []),  # a schedule of four hours, then of one
        ([0, 1, 2, 3, 8, 9, 10, 11], [(3, 8)]),
        ([0, 1, 2, 3], [(3, 12)]),
        ([0, 12], []),
        ([6], []),
        ([], []),
    ],
)
def test_spans_without_rates(hours: list[float], spans: list[tuple[float, float]]) -> None:
    times = [round(hour * HOUR) for hour in hours]
    found = list(spans_without(times, 0, 12 * HOUR))
    assert found == [(round(begin * HOUR), round(end * HOUR)) for begin, end in spans]


def test_the_report_names_the_span(tmp_path: Path) -> None:
    begin_ms = day_start_ns("2024-03-01") // 1_000_000
    hours = [f"{begin_ms + hour * 3_600_000},100,101,99,100,50" for hour in range(24)]
    (tmp_path / "hours.csv").write_text("timestamp,open,high,low,close,volume\n" + "\n".join(hours) + "\n")
    rates = [f"{begin_ms + hour * 3_600_000 + hour % 7},0.0001" for hour in (*range(6), *range(12, 20))]
    (tmp_path / "rates.csv").write_text("timestamp,rate\n" + "\n".join(rates) + "\n")
    (tmp_path / "holds.py").write_text(
        "from engine.strategies import Bar, Strategy\n\n\nclass Holds(Strategy):\n"
        '    def on_bar(self, bar: Bar) -> None:\n        self.target(bar.market, "1")\n'
    )
    named = ("--venue", "made", "--instrument", "AAA")
    assert engine("import", "hours.csv", *named, cwd=tmp_path).code == 0
    assert engine("import", "rates.csv", *named, "--funding-unit", "fraction", cwd=tmp_path).code == 0
    done = engine("backtest", "journal", "--strategy", "holds:Holds", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    spans = "2024-03-01T05:00 to 2024-03-01T12:00, 2024-03-01T19:00 to 2024-03-01T23:59"
    assert f"the funding of AAA is left out from {spans}: no rates" in json.loads(done.out)["notes"]
