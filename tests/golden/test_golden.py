"""Golden days: today's replay identical, earlier ones stay readable and name what changed (R01).

The days in `recorded.json` are those of `record.py`. Version 0.1.0 recorded `EARLIER`, when no actor kept the
books: a replay differs from the first event of the books on, and a day that opens with the state of actors
that are gone says which version can replay it. `MANAGED` has the order manager.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import replay
from engine.config import parse_config
from engine.errors import StateVersionError
from engine.events import DayOpened, OrderFilled, SessionStarted
from engine.loading.strategies import make_builder
from engine.records import JournalHistory, open_day, read_records
from replay.verification import DayReplay, replay_day
from tests.commands.kit import engine

HERE = Path(__file__).parent

RECORDED: dict[str, str] = json.loads((HERE / "recorded.json").read_text(encoding="utf-8"))
"""The digest that each day's record ends with."""

EARLIER = {
    "real-orders/2025-03-01": "ba026643bf6ebbade618ba2e25b2a135e5de4db009f64bcbde035501a2d5e626",
    "real-orders/2025-03-02": "6054152814e9e18e907b0646cbb2a7fa98c6d138a2d656d3d55671ca720b7875",
    "three-days/2025-05-30": "98dd01a76217a752c92511cc26f84648d2f546c8cffbd8a89e2e8b64947dc670",
    "three-days/2025-05-31": "feacc83e77a6b69d626557f18a096e0d29324cfccf945765e99a42cdf9a52521",
    "three-days/2025-06-01": "11d97a750d58de92960dfb2b30bd0414ff8639930746e3632166b7cee948d0f5",
}
"""The same of the days of 0.1.0."""

MANAGED = {
    "managed-orders/2025-03-08": "c9deedabd57eb8c9fa42f8852fd1cea7d6534f6ceb4342c4dc1fd9b42b326ffd",
    "managed-orders/2025-03-09": "64a5e18dd7843c977a9b7af960365e76159324d05cb3146ebdc3889616854a41",
}
"""Days of the order manager, from before a gap settled the bars that had closed since the loss."""

CHANGED = {
    "real-orders/2025-03-01": ("900685b6d6675577", 46, "Quote", "EquityMarked"),
    "three-days/2025-05-30": ("900685b6d6675577", 2, "", "EquityMarked"),
    "managed-orders/2025-03-08": ("bb7f94aa3d6e92fa", 2452, "Quote", "BarCorrected"),
}
"""The first difference of a replay: the recorded code, seq, type in the record, type derived today. The books
begin an account with its equity; the bar ended before the last trade that was known when the feed went down.
"""

IDENTICAL = {**RECORDED, "managed-orders/2025-03-09": MANAGED["managed-orders/2025-03-09"]}
"""The days that today's engine derives again."""

GONE = {
    "real-orders/2025-03-02": "engine.actors.execution:Order",
    "three-days/2025-05-31": "engine.actors.matching:VenueOrder",
    "three-days/2025-06-01": "engine.actors.matching:VenueOrder",
}
"""Days that a midnight opened: the first class of their states that is gone."""


@pytest.mark.parametrize("day", IDENTICAL)
def test_a_recorded_day_replays_identical(day: str) -> None:
    folder = HERE / day
    report, _ = replay_day(open_day(folder), make_builder(), history=JournalHistory(folder.parent))
    assert report.identical, report.divergence
    assert report.digest == IDENTICAL[day]


@pytest.mark.parametrize("day", [*RECORDED, *MANAGED, *EARLIER])
def test_a_recorded_configuration_is_written_as_it_was(day: str) -> None:
    """Its instruments stay under the key `coins`: sessions are compared by this text."""
    events = [event for _, _, event in read_records(HERE / day)]
    texts = [one.config for one in events if isinstance(one, SessionStarted)]
    texts += [one.started.config for one in events if isinstance(one, DayOpened) and one.started]
    assert texts
    for text in texts:
        recorded, again = json.loads(text), json.loads(parse_config(text).canonical())
        kept = recorded.get("coins", []), [one.get("coins", []) for one in recorded["strategies"]]
        assert (again["coins"], [one["coins"] for one in again["strategies"]]) == kept
        assert day in EARLIER or again == recorded


@pytest.mark.parametrize("journal", ["orders-with-faults", "managed-backtest"])
def test_recorded_days_replay_identical_one_after_the_other(journal: str) -> None:
    root = HERE / journal
    running = DayReplay(make_builder(), JournalHistory(root))
    days = [day for day in RECORDED if day.startswith(journal)]
    for day in days:
        for frame in open_day(HERE / day):
            running.feed(frame)
    assert running.report.digest == RECORDED[days[-1]]


@pytest.mark.parametrize("day", CHANGED)
def test_an_earlier_day_names_its_first_difference_and_that_the_code_changed(day: str) -> None:
    report = replay.verify(HERE / day)
    assert report.verdict == "code changed"
    code, *difference = CHANGED[day]
    assert report.changes[0].startswith(f"code: recorded {code}, now ")
    assert report.divergence is not None
    recorded, derived = (
        type(record[2]).__name__ if record else ""
        for record in (report.divergence.expected, report.divergence.actual)
    )
    assert [report.divergence.seq, recorded, derived] == difference


@pytest.mark.parametrize("day", GONE)
def test_an_earlier_day_whose_actors_are_gone_says_which_version_replays_it(
    day: str,
) -> None:
    with pytest.raises(StateVersionError) as caught:
        replay.verify(HERE / day)
    assert str(caught.value) == (
        f"state of an older version: there is no class {GONE[day]}; version 0.1.0 recorded it: replay or "
        "continue the journal with that version, or begin a new journal"
    )


@pytest.mark.parametrize("day", EARLIER)
def test_every_byte_of_an_earlier_day_is_verified_and_every_event_read(day: str) -> None:
    *_, last = open_day(HERE / day)
    assert last.digest.hex() == EARLIER[day]
    records = list(read_records(HERE / day))
    assert records[-1][0] == last.last_seq
    lines = engine("inspect", HERE / day, "--json").out.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [seq for seq, _, _ in records]


@pytest.mark.parametrize("day", EARLIER)
def test_why_explains_the_orders_of_an_earlier_day(day: str) -> None:
    """The last fill leads back to its order and to what the strategy asked."""
    fill = [seq for seq, _, event in read_records(HERE / day) if isinstance(event, OrderFilled)][-1]
    done = engine("why", HERE / day, fill)
    assert done.code == 0, done.err
    assert "OrderFilled" in done.out
    assert "OrderRequested" in done.out


@pytest.mark.parametrize("journal", ["real-orders", "three-days"])
def test_an_earlier_journal_is_projected_into_a_database(journal: str, tmp_path: Path) -> None:
    days = [HERE / day for day in EARLIER if day.startswith(journal)]
    done = engine("project", *days, "--db", tmp_path / "rows.db")
    assert done.code == 0, done.err
    fills = sum(isinstance(event, OrderFilled) for day in days for _, _, event in read_records(day))
    with closing(sqlite3.connect(tmp_path / "rows.db")) as rows:
        assert rows.execute("SELECT count(*) FROM fills").fetchone() == (fills,)
    assert fills
