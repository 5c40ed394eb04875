"""Days of a session over midnight after an edit: the verdict names the change, states evolve (R01, R08)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

import replay
from engine.config import StrategyConfig
from engine.errors import JournalDamaged, ReplayDivergence, StateVersionError
from engine.events import DayOpened
from engine.events.codec import decode_derived, encode_derived
from engine.journal import read_frames
from engine.loading.fingerprint import code_fingerprint
from engine.loading.modules import own_modules
from engine.loading.strategies import make_builder
from engine.opening import read_opening
from engine.records import JournalHistory, derived_of, open_day
from engine.states import encode_state
from replay import runs
from replay.comparison import first_difference
from replay.verification import DayReplay, session_check
from tests.replay.projects import COMMON, CONFIG, edit, make_project, record_days

ROOT = Path(__file__).resolve().parents[2]
DAYS = [0, 1, 2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project")


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("recorded")
    return record_days(folder / "journal", make_project(folder / "project"))


def replay_in_a_row(days: list[Path], project: Path) -> replay.ReplayReport:
    """Replay the days in a row, so that each midnight is derived and compared with the record."""
    with own_modules(project):
        builder = make_builder()
        check = session_check(code_fingerprint(), builder.strategy_hashes, None)
        days_replay = DayReplay(builder, JournalHistory(days[0].parent), expect=check)
        for day in days:
            for frame in open_day(day):
                days_replay.feed(frame)
    return days_replay.report


def test_days_without_a_change_are_identical_and_list_no_change(days: list[Path], project: Path) -> None:
    for day in days:
        report = replay.verify(day, project=project)
        assert (report.verdict, report.changes) == ("identical", [])
    assert replay_in_a_row(days, project).changes == []


@pytest.mark.parametrize("number", DAYS)
def test_an_edited_strategy_is_reported_on_every_day(days: list[Path], project: Path, number: int) -> None:
    edit(project / "mine.py", "bars * common.FACTOR", "bars * 2 * common.FACTOR")
    report = replay.verify(days[number], project=project)
    assert report.verdict == "code changed"
    assert [change.partition(":")[0] for change in report.changes] == ["strategy Mine (mine"]


@pytest.mark.parametrize("number", DAYS)
def test_an_edited_module_of_the_project_is_reported_on_every_day(
    days: list[Path], project: Path, number: int
) -> None:
    edit(project / "common.py", "FACTOR = 1000", "FACTOR = 2000")
    report = replay.verify(days[number], project=project)
    assert report.verdict == "code changed"
    assert len(report.changes) == 1


@pytest.mark.parametrize("number", DAYS)
@pytest.mark.parametrize(
    "other",
    [
        msgspec.structs.replace(CONFIG, strategies=(StrategyConfig(use="mine:Mine", params={"step": 2}),)),
        msgspec.structs.replace(CONFIG, bars=msgspec.structs.replace(CONFIG.bars, intervals=("1m", "15m"))),
    ],
    ids=["parameter", "bars"],
)
def test_another_configuration_is_reported_on_every_day(
    days: list[Path], project: Path, number: int, other: object
) -> None:
    report = replay.verify(days[number], project=project, config=other)  # type: ignore[arg-type]
    assert report.verdict == "configuration changed"
    assert report.changes == ["configuration: not the recorded one"]


@pytest.mark.parametrize("number", DAYS)
def test_an_edited_engine_is_reported_on_every_day(
    days: list[Path], project: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "code_fingerprint", lambda: "0" * 16)
    report = replay.verify(days[number], project=project)
    assert report.identical
    assert report.changes == [f"code: recorded {code_fingerprint()}, now {'0' * 16}"]


@pytest.mark.parametrize("number", DAYS)
def test_a_difference_without_a_change_is_not_deterministic(
    tmp_path: Path, project: Path, number: int
) -> None:
    """A counter in a module is not part of the state, so later days do not replay alone."""
    make_project(project, common=COMMON)
    days = record_days(tmp_path / "counting", project)
    report = replay.verify(days[number], project=project)
    assert report.verdict == ("identical" if number == 0 else "not deterministic")
    assert report.changes == []


def test_a_class_that_gained_a_field_with_a_default_reads_its_old_state(
    days: list[Path], project: Path
) -> None:
    edit(project / "mine.py", "    last: float = 0.0\n", "    last: float = 0.0\n    new: int = 7\n")
    for day in days:
        report = replay.verify(day, project=project)
        assert report.identical, report.divergence
        assert [change.partition(" (")[0] for change in report.changes] == ["strategy Mine"]


def test_a_derived_midnight_with_a_new_field_equals_the_recorded_one(days: list[Path], project: Path) -> None:
    edit(project / "mine.py", "    last: float = 0.0\n", "    last: float = 0.0\n    new: int = 7\n")
    edit(
        project / "mine.py",
        "        self.count.last = bar.close\n",
        "        self.count.new += 1\n        self.count.last = bar.close\n",
    )
    report = replay_in_a_row(days, project)
    assert report.events == sum(frame.count for day in days for frame in read_frames(day))


def test_a_derived_midnight_with_another_value_in_an_old_field_differs(
    days: list[Path], project: Path
) -> None:
    edit(project / "mine.py", "self.count.last = bar.close", "self.count.last = bar.open")
    with pytest.raises(ReplayDivergence) as caught:
        replay_in_a_row(days, project)
    expected: Any = caught.value.expected
    assert isinstance(expected[2], DayOpened)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("last: float = 0.0", "seen: float = 0.0", "mine:Count had the field 'last', it has not any more"),
        ("bars: int = 0", "bars: str = ''", "mine:Count.bars was int, it is str"),
        (
            "bars: int = 0",
            "new: int\n    bars: int = 0",
            "mine:Count did not have the field 'new', which has no default",
        ),
        ("class Count:", "class Tally:", "there is no class mine:Count"),
    ],
)
def test_a_strategy_that_cannot_hold_its_state_starts_without_it_and_is_reported(
    days: list[Path], project: Path, old: str, new: str, why: str
) -> None:
    edit(project / "mine.py", old, new)
    made = "Tally()" if "Tally" in new else "Count(0)"
    edit(project / "mine.py", "self.count = Count()", f"self.count = {made}")
    report = replay.verify(days[1], project=project)
    assert report.verdict == "code changed"
    assert f"strategy Mine: begins without its state of an older version: {why}" in report.changes


def test_a_type_that_still_fits_the_value_is_readable(days: list[Path], project: Path) -> None:
    edit(project / "mine.py", "    bars: int = 0\n", "    bars: 'int | None' = 0\n")
    assert all(replay.verify(day, project=project).identical for day in days)


def test_a_field_that_moved_is_read_by_its_name(days: list[Path], project: Path) -> None:
    edit(
        project / "mine.py",
        "    bars: int = 0\n    last: float = 0.0\n",
        "    new: int = 0\n    last: float = 0.0\n    bars: int = 0\n",
    )
    assert all(replay.verify(day, project=project).identical for day in days)
    replay_in_a_row(days, project)


# Days that an earlier version opened: no fields in `DayOpened`, no shapes.


def earlier(opened: DayOpened) -> DayOpened:
    """Return the record as an earlier version wrote it: everything in the snapshot."""
    opening = read_opening(opened)
    stored = {
        "now_ns": opening.now_ns,
        "timers": opening.timers,
        "timer_number": opening.timer_number,
        "failed": opening.failed,
        "instruments": list(opened.instruments),
        "session": opened.started,
        "actors": opening.actors,
    }
    return DayOpened(opened.at_ns, opened.day, encode_state(stored, "sequencer"))


def test_the_opening_of_an_earlier_version_is_completed_and_compares_equal(
    days: list[Path],
) -> None:
    frame = next(iter(open_day(days[1])))
    ((seq, cause, opened), *rest) = decode_derived(frame.derived)
    assert isinstance(opened, DayOpened)
    (old,) = msgspec.msgpack.decode(encode_derived([(seq, cause, earlier(opened))]))
    old[2] = old[2][:4]
    blob = msgspec.msgpack.encode([old, *msgspec.msgpack.decode(encode_derived(rest))])
    frame = msgspec.structs.replace(frame, derived=blob)
    read = derived_of(frame)
    assert isinstance(read[0][2], DayOpened)
    assert (read[0][2].started, read[0][2].instruments) == (opened.started, opened.instruments)
    now = [(seq, cause, opened), *rest]
    for changed in (False, True):
        assert first_difference(blob, encode_derived(now), read, now, changed=changed) is None
    other = msgspec.structs.replace(opened, instruments=opened.instruments[:1])
    assert (
        first_difference(
            blob, encode_derived([(seq, cause, other)]), read, [(seq, cause, other)], changed=True
        )
        == 0
    )


# The engine's own states, in a copy of the engine.


@pytest.fixture(scope="module")
def engine_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    for package in ("engine", "adapters", "replay"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def replay_with(copy: Path, day: Path, project: Path) -> subprocess.CompletedProcess[str]:
    """Run `engine replay` of an edited copy."""
    return subprocess.run(
        [sys.executable, "-m", "engine", "replay", str(day)],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (
            "engine/actors/books/book.py",
            "    base_taken: Size = 0\n",
            "    base_taken: Size = 0\n    gained: int = 7\n",
        ),
        (
            "engine/indicators/base.py",
            "    values: list[float] = []\n",
            "    values: list[float] = []\n    gained: int = 7\n",
        ),
    ],
    ids=["actor", "indicator"],
)
def test_a_state_of_the_engine_that_gained_a_field_reads_every_old_day(
    days: list[Path], project: Path, engine_copy: Path, file: str, old: str, new: str
) -> None:
    text = (engine_copy / file).read_text()
    edit(engine_copy / file, old, new)
    for day in days[1:]:
        done = replay_with(engine_copy, day, project)
        assert done.returncode == 0, done.stderr
        assert f"{day}: identical" in done.stdout
        assert "changed since: code: recorded" in done.stdout
    (engine_copy / file).write_text(text)


def test_an_unreadable_state_of_the_engine_is_of_an_older_version_not_damaged(
    days: list[Path], project: Path, engine_copy: Path
) -> None:
    file = engine_copy / "engine/actors/books/book.py"
    text = file.read_text()
    edit(file, "    fees: int = 0\n    funding: int = 0\n", "    funding: int = 0\n")
    done = replay_with(engine_copy, days[1], project)
    file.write_text(text)
    assert done.returncode == 4, done
    assert "state of an older version: engine.actors.books.book:Book" in done.stderr
    assert "version 0.1.0 recorded it" in done.stderr
    assert "damaged" not in done.stderr


def test_an_older_state_is_not_reported_as_damage() -> None:
    assert not issubclass(StateVersionError, JournalDamaged)
    assert StateVersionError.exit_code == 4
