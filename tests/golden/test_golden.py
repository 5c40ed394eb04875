"""Days recorded by earlier versions replay identical: with today's code, alone and in a row (R01)."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.loading.strategies import make_builder
from engine.records import JournalHistory, open_day
from replay.verification import DayReplay, replay_day

HERE = Path(__file__).parent
DAYS = {
    "real-orders/2025-03-01": "ba026643bf6ebbade618ba2e25b2a135e5de4db009f64bcbde035501a2d5e626",
    "real-orders/2025-03-02": "6054152814e9e18e907b0646cbb2a7fa98c6d138a2d656d3d55671ca720b7875",
    "three-days/2025-05-30": "98dd01a76217a752c92511cc26f84648d2f546c8cffbd8a89e2e8b64947dc670",
    "three-days/2025-05-31": "feacc83e77a6b69d626557f18a096e0d29324cfccf945765e99a42cdf9a52521",
    "three-days/2025-06-01": "11d97a750d58de92960dfb2b30bd0414ff8639930746e3632166b7cee948d0f5",
}
"""The digest that each day's record ends with."""


@pytest.mark.parametrize("day", DAYS)
def test_a_recorded_day_replays_identical(day: str) -> None:
    folder = HERE / day
    report, _ = replay_day(open_day(folder), make_builder(), history=JournalHistory(folder.parent))
    assert report.identical, report.divergence
    assert report.digest == DAYS[day]


@pytest.mark.parametrize("journal", ["real-orders", "three-days"])
def test_recorded_days_replay_identical_one_after_the_other(journal: str) -> None:
    root = HERE / journal
    replay = DayReplay(make_builder(), JournalHistory(root))
    days = [day for day in DAYS if day.startswith(journal)]
    for day in days:
        for frame in open_day(HERE / day):
            replay.feed(frame)
    assert replay.report.digest == DAYS[days[-1]]
