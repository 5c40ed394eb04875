"""Classes of a strategy that cannot hold a state, at midnight and after an edit (R07, R08)."""

from __future__ import annotations

from pathlib import Path

import pytest

import replay
from engine.events import ActorFailed
from engine.records import read_records
from tests.replay.projects import MINE, edit, make_project, record_days

COUNT = "@dataclass\nclass Count:\n    bars: int = 0\n    last: float = 0.0\n"
CHECKED = """class Count(msgspec.Struct):
    bars: int = 0
    last: float = 0.0

    def __post_init__(self) -> None:
        if self.bars:
            raise LookupError("no more")
"""
FLAGS = (
    "Mine holds a BUY|SELL, which a snapshot would not find again: define it at the top of the strategy's "
    "module, or import it there by its name"
)


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("recorded")
    return record_days(folder / "journal", make_project(folder / "project"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project")


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        (
            "    last: float = 0.0\n",
            "    last: float = 0.0\n    late: int = field(init=False)\n",
            "Mine.count.late has no value yet; give the field a default (mine.py:27, mine.py:28, mine.py:30)",
        ),
        (
            COUNT,
            CHECKED,
            (
                "Mine.count does not come back from a snapshot: LookupError: no more "
                "(mine.py:29, mine.py:30, mine.py:32)"
            ),
        ),
        (
            COUNT,
            COUNT + "\n\nclass Sides(Flag):\n    BUY = 1\n    SELL = 2\n",
            FLAGS,
        ),
    ],
    ids=["field without a value", "own check", "several flags"],
)
def test_r07_a_strategy_that_cannot_be_stored_fails_alone_at_midnight(
    tmp_path: Path, old: str, new: str, error: str
) -> None:
    project = make_project(tmp_path / "project", "from enum import Flag\nimport msgspec\n" + MINE)
    edit(project / "mine.py", "import dataclass", "import dataclass, field")
    edit(project / "mine.py", "self.count = Count()", "self.count: object = 0")
    edit(project / "mine.py", "        self.count.bars += self.step\n", "        self.count = Count()\n")
    edit(project / "mine.py", "self.count.last = bar.close", "self.count.bars += self.step")
    edit(project / "mine.py", old, new)
    if "Sides" in new:
        edit(
            project / "mine.py",
            '        self.plot("average"',
            '        self.sides = Sides.BUY | Sides.SELL\n        self.plot("average"',
        )
    days = record_days(tmp_path / "journal", project)
    failed = [event for day in days for _, _, event in read_records(day) if isinstance(event, ActorFailed)]
    assert [event.error for event in failed] == [f"UsageError: {error}"]
    assert [replay.verify(day, project=project).verdict for day in days] == ["identical"] * 3


@pytest.mark.parametrize(
    ("new", "why"),
    [
        ("class Count(Enum):\n    UP = 1\n", "mine:Count was another kind of class"),
        (CHECKED, "mine:Count cannot be made of it: LookupError: no more"),
    ],
    ids=["enum", "own check"],
)
def test_a_class_that_refuses_the_state_is_named(days: list[Path], project: Path, new: str, why: str) -> None:
    make_project(project, "from enum import Enum\nimport msgspec\n" + MINE)
    edit(project / "mine.py", COUNT, new)
    if "Enum" in new:
        edit(project / "mine.py", "self.count = Count()", "self.count = Count.UP")
    report = replay.verify(days[1], project=project)
    assert report.verdict == "code changed"
    assert f"strategy Mine: begins without its state of an older version: {why}" in report.changes


def test_an_enum_that_became_a_dataclass_does_not_read_the_member_as_a_field(tmp_path: Path) -> None:
    mine = MINE.replace(COUNT, COUNT + "\n\nclass Mode(Enum):\n    UP = 1\n")
    project = make_project(tmp_path / "project", "from enum import Enum\n" + mine)
    edit(project / "mine.py", "self.count = Count()", "self.count = Count()\n        self.mode = Mode.UP")
    days = record_days(tmp_path / "journal", project)
    edit(project / "mine.py", "class Mode(Enum):\n    UP = 1\n", "@dataclass\nclass Mode:\n    up: int = 1\n")
    edit(project / "mine.py", "Mode.UP", "Mode()")
    report = replay.verify(days[1], project=project)
    assert (
        "strategy Mine: begins without its state of an older version: mine:Mode was another kind of class"
        in (report.changes)
    )


def test_an_attribute_that_an_edit_adds_is_there_after_midnight(days: list[Path], project: Path) -> None:
    edit(project / "mine.py", "self.count = Count()", "self.count = Count()\n        self.added = 7")
    edit(
        project / "mine.py",
        "self.count.last = bar.close",
        "self.count.last = bar.close\n        self.added += 1",
    )
    for day in days:
        report = replay.verify(day, project=project)
        assert report.identical, report.divergence
        assert len(report.changes) == 1


def test_an_attribute_that_the_strategy_deletes_stays_deleted_after_midnight(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    edit(project / "mine.py", "self.count = Count()", "self.count = Count()\n        self.once = 7")
    edit(
        project / "mine.py",
        "self.count.last = bar.close",
        "self.count.last = bar.close\n        self.plot('once', float(vars(self).pop('once', 0)))",
    )
    days = record_days(tmp_path / "journal", project)
    assert [replay.verify(day, project=project).verdict for day in days] == ["identical"] * 3


def test_an_attribute_that_became_a_property_does_not_end_the_replay(days: list[Path], project: Path) -> None:
    edit(project / "mine.py", "        self.average = PerMarket(Sma, 2)\n", "")
    edit(project / "mine.py", "self.average[bar.market].update(bar.close) or 0.0", "self.average")
    edit(
        project / "mine.py",
        "    def on_bar(",
        "    @property\n    def average(self) -> float:\n        return 0.0\n\n    def on_bar(",
    )
    assert replay.verify(days[1], project=project).verdict == "code changed"
