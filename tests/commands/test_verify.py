"""`engine journal verify ROOT` checks the chain between days: seq and digest go on from day to day."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from engine.events import Trade
from engine.events.codec import encode_inputs
from engine.journal import DAY_NS, Draft, JournalWriter, Tail, ensure_identity, seal_day
from tests.commands.kit import engine

START_NS = 1_642_204_800_000_000_000
DAYS = ("2022-01-15", "2022-01-16", "2022-01-17")
IDENTITY = b"f" * 16


def recorded(root: Path, price: int = 1) -> Path:
    """Write a journal of three days of two trades each."""
    root.mkdir()
    tail = Tail(journal_id=ensure_identity(root, IDENTITY))
    with JournalWriter(root, tail, salts=lambda: b"s" * 16, sync=False) as writer:
        for index in range(len(DAYS)):
            at_ns = START_NS + index * DAY_NS
            trades = [Trade(at_ns + one, at_ns, 1, price, 1, 1, one) for one in (1, 2)]
            writer.append(Draft(1 + 2 * index, 2, encode_inputs(trades)), at_ns)
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return recorded(tmp_path / "journal")


def test_every_day_of_a_journal_is_shown(root: Path) -> None:
    seal_day(root / DAYS[0])
    done = engine("journal", "verify", root, "--json")
    found = [json.loads(line) for line in done.out.splitlines()]
    assert [(one["day"], one["first_seq"], one["end_seq"]) for one in found] == [
        (day, 1 + 2 * index, 2 + 2 * index) for index, day in enumerate(DAYS)
    ]
    each = [json.loads(engine("journal", "verify", root / day, "--json").out) for day in DAYS]
    assert found == each
    assert "begins with" not in engine("journal", "verify", root).out


def test_a_day_that_is_missing_between_two_others_is_a_break(root: Path) -> None:
    shutil.rmtree(root / DAYS[1])
    done = engine("journal", "verify", root)
    assert done.code == 4
    assert DAYS[0] in done.out
    assert DAYS[2] in done.err
    assert "expected seq 3 next, but the segment begins with 5" in done.err
    assert done.err.count("\n") == 1


def test_a_day_of_another_writing_is_a_break_though_its_own_chain_is_whole(
    root: Path, tmp_path: Path
) -> None:
    other = recorded(tmp_path / "other", price=2)
    shutil.rmtree(root / DAYS[1])
    shutil.copytree(other / DAYS[1], root / DAYS[1])
    assert engine("journal", "verify", root / DAYS[1]).code == 0
    done = engine("journal", "verify", root)
    assert done.code == 4
    assert f"{DAYS[1]}/" in done.err
    assert "does not continue the one before it" in done.err


def test_days_that_were_moved_away_from_the_beginning_are_said_and_no_break(root: Path) -> None:
    shutil.rmtree(root / DAYS[0])
    done = engine("journal", "verify", root)
    assert done.code == 0
    assert done.out.splitlines()[-1] == (
        f"{root}: begins with seq 3 of {DAYS[1]}; the days before it are not here and were not checked"
    )


def test_a_day_of_another_journal_beside_it_is_checked_alone(root: Path) -> None:
    shutil.rmtree(root / DAYS[0])
    (root / "journal.id").rename(root.parent / "journal.id")
    for day in DAYS[1:]:
        seal_day(root / day, newest=True)
    shutil.rmtree(root / DAYS[1])
    done = engine("journal", "verify", root)
    assert (done.code, done.out.count("digest")) == (0, 1)
