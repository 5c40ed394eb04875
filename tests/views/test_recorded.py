"""A recorded day at any moment is what a view had then."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.errors import JournalError, UsageError
from engine.events import FillBooked, OperatorCommand, OrderRefused, engine_time
from engine.events.codec import Record
from engine.journal import JournalWriter, Tail, list_days
from engine.records import read_records
from engine.sequencer import Sequencer
from engine.views import recorded
from engine.views.answers import ANSWERS
from engine.views.queries import REQUIRED, answer
from engine.views.recorded import Recorded
from engine.views.shapes import MarkRow
from engine.views.view import View
from replay.backtesting import JournalSink
from tests.profiles import pick
from tests.replay.kit import EVE, JOURNAL_ID, NOON, batches, config_of, opening, steady, use, write_journal
from tests.strategies.fakes import builder

CONFIG = config_of(use("Crossover", params={"fast": 2, "slow": 3, "interval": "1s", "notional": "50"}))
JOURNAL = JOURNAL_ID.hex()
GIVEN = {"instrument": "AAA", "interval": "1s"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal of two days."""
    folder = tmp_path_factory.mktemp("journal")
    inputs = opening(CONFIG, EVE) + steady(400, EVE)
    inputs.insert(-50, OperatorCommand(engine_time(inputs[-51]), "pause", "Crossover"))
    write_journal(folder, batches(inputs, range(0, len(inputs), 30)))
    return folder


@pytest.fixture
def days(root: Path, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """The days, with copies so near to each other that some are dropped."""
    monkeypatch.setattr(recorded, "FIRST_EVERY", 40)
    monkeypatch.setattr(recorded, "COPIES_MAX", 8)
    monkeypatch.setattr(recorded, "TIME_EVERY", 16)
    found = Recorded([day.path for day in list_days(root)])
    found.index()
    return found


def records_of(root: Path) -> list[Record]:
    return [record for day in list_days(root) for record in read_records(day.path)]


def everything(view: View) -> dict[str, Any]:
    """Return every answer of a view as plain values."""
    found = {}
    for name in ANSWERS:
        query = {key: GIVEN[key] for key in REQUIRED.get(name, ()) if key in GIVEN}
        if name not in ("why", "events") and (view.markets.by_number or not query):
            found[name] = msgspec.to_builtins(answer(view, name, query))
    return found


def test_every_moment_is_what_a_view_had_then(root: Path, days: Recorded) -> None:
    records = records_of(root)
    seqs = [record[0] for record in records]
    chosen = [*random.Random(7).sample(seqs, pick(40, deep=400)), seqs[0], seqs[-1], *seqs[300:310]]
    expected = {}
    view = View(JOURNAL, recorded=True, read_only=True)
    for record in records:
        view.apply([record])
        if record[0] in chosen:
            expected[record[0]] = everything(view)
    for seq in chosen:
        assert everything(days.at(seq)) == expected[seq], seq
    assert len(days._copies) <= 8


def test_a_moment_is_found_by_its_time(root: Path, days: Recorded) -> None:
    times = [(seq, engine_time(event) // 1_000_000) for seq, _, event in records_of(root)]
    for _, at_ms in times[:: max(1, len(times) // 60)]:
        for asked in (at_ms - 1, at_ms, at_ms + 1):
            found = days.seq_at(asked)
            known = [seq for seq, one in times if one <= asked]
            assert found == (known[-1] if known else times[0][0])
    assert days.seq_at(0) == times[0][0]
    assert days.seq_at(10**15) == times[-1][0]


def test_the_marks_are_the_records_of_their_kinds(root: Path, days: Recorded) -> None:
    found: Any = days.answer("marks", {})
    records = records_of(root)
    for kind, types in (("fill", FillBooked), ("refusal", OrderRefused), ("command", OperatorCommand)):
        assert [one.seq for one in found.marks if one.kind == kind] == [
            seq for seq, _, event in records if isinstance(event, types)
        ]
    assert any(one.kind == "fill" and "AAA at" in one.text for one in found.marks)
    assert (found.first_seq, found.last_seq) == (1, records[-1][0])
    assert found.complete
    days.marked(MarkRow(100, 0, "divergence", "another"))
    again: Any = days.answer("marks", {"at": "5"})
    assert [one.seq for one in again.marks] == sorted(one.seq for one in again.marks)
    assert "divergence" in {one.kind for one in again.marks}
    assert again.seq == 5


def test_answers_of_a_moment_know_nothing_of_later(days: Recorded) -> None:
    for seq in range(1, days.last_seq, 97):
        for name in ("fills", "events", "orders", "status"):
            found: Any = days.answer(name, {"at": str(seq)})
            assert found.seq == seq
            rows = getattr(found, name, [])
            assert all(row.seq <= seq for row in rows if hasattr(row, "seq"))


def test_why_and_older_rows_are_read_from_the_days(days: Recorded) -> None:
    fills: Any = days.answer("fills", {})
    why: Any = days.answer("why", {"seq": str(fills.fills[0].seq)})
    assert why.chain[-1].seq == fills.fills[0].seq
    bars: Any = days.answer("bars", {"instrument": "AAA", "interval": "1s", "at": "200", "limit": "3"})
    assert bars.seq == 200
    with pytest.raises(UsageError, match="there is no record 300"):
        days.answer("why", {"seq": "300", "at": "200"})


@pytest.mark.parametrize(
    "query", [{"at": "0"}, {"at": "x"}, {"at": "99999999"}, {"at": "-1"}, {"at": "1", "at_ms": "1"}]
)
def test_a_moment_that_is_none_is_an_error(days: Recorded, query: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        days.answer("status", query)


def test_a_frame_that_was_altered_is_found_when_the_days_are_read(root: Path, tmp_path: Path) -> None:
    day = tmp_path / list_days(root)[0].path.name
    shutil.copytree(list_days(root)[0].path, day)
    (segment,) = day.glob("*.seg")
    data = bytearray(segment.read_bytes())
    place = data.rindex(b"AAA") if b"AAA" in data else len(data) // 2
    data[place] ^= 1
    segment.write_bytes(data)
    with pytest.raises(JournalError):
        Recorded([day]).index()


def test_days_of_several_journals_are_refused(root: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    second.mkdir()
    tail = Tail(journal_id=bytes.fromhex("ab" * 16))
    sink = JournalSink(JournalWriter(second, tail, salts=lambda: b"s" * 16, sync=False))
    Sequencer(builder(), sink).run(opening(CONFIG, NOON))
    sink.close()
    with pytest.raises(UsageError, match="several journals"):
        Recorded([list_days(root)[0].path, list_days(second)[0].path])
    with pytest.raises(UsageError, match="no such day"):
        Recorded([tmp_path / "none"])
    with pytest.raises(UsageError, match="at least one day"):
        Recorded([])


def test_a_copy_changes_on_its_own(root: Path) -> None:
    records = records_of(root)
    half = len(records) // 2
    view = View(JOURNAL)
    view.apply(records[:half])
    before = everything(view)
    twin = view.copy()
    twin.apply(records[half:])
    assert everything(view) == before
    view.apply(records[half:])
    assert everything(view) == everything(twin)


def test_a_single_later_day_begins_with_its_opening(root: Path) -> None:
    second = Recorded([list_days(root)[1].path])
    second.index()
    through = Recorded([day.path for day in list_days(root)])
    through.index()
    assert second.first_seq > 1
    positions = msgspec.to_builtins(second.at(second.last_seq).positions().positions)
    known = msgspec.to_builtins(through.at(through.last_seq).positions().positions)
    assert [one["size"] for one in positions] == [one["size"] for one in known]
