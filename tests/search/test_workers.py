"""A worker runs only what the job is of, on the data that it names, and keeps nothing of a trial."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.config import Config, StrategyConfig
from engine.errors import JournalDamaged
from engine.journal import list_days, seal_day
from engine.loading.modules import own_modules
from engine.records import open_day
from engine.search import workers
from engine.search.axes import parse_axis
from engine.search.held import HeldDays
from engine.search.jobs import Answer, Job, day_refs
from engine.search.running import run_trial
from engine.search.sweeping import Sweep, define
from engine.search.workers import close_servers, run_job
from replay.joining import JoinedDays
from tests.search.kit import write_project


@pytest.fixture
def mine(tmp_path: Path) -> Iterator[Path]:
    write_project(tmp_path)
    yield tmp_path
    close_servers()


def made(folder: Path, strategy: str = "Turns") -> Sweep:
    with own_modules(folder):
        return define(
            day_refs([folder / "journal"]),
            Config(strategies=(StrategyConfig(use=f"mine:{strategy}"),)),
            [parse_axis("every=3,4")],
            metric="return_percent",
            better=1,
            project=folder,
        )


def answer(job: Job) -> Answer:
    return msgspec.json.decode(run_job(msgspec.json.encode(job).decode()), type=Answer)


def test_a_job_carries_digests_and_no_data(mine: Path) -> None:
    job = made(mine).job(1, (0,))
    text = msgspec.json.encode(job).decode()
    assert all(day.digest in text for day in job.days)
    assert job.strategies[0].source in text
    assert len(text) < 4_000


def test_nothing_of_a_trial_stays_in_the_worker(mine: Path) -> None:
    """The helper counts its calls in a global: in one process a second trial would see another count."""
    job = made(mine).job(1, (0,))
    before = set(sys.modules)
    first = answer(job)
    assert first.outcome is not None
    assert first.outcome.digest
    assert answer(job) == first
    assert {"mine", "helper"}.isdisjoint(set(sys.modules) - before)


def test_other_sources_than_those_of_the_job_are_refused(mine: Path) -> None:
    job = made(mine).job(1, (0,))
    assert answer(job).outcome is not None
    helper = mine / "helper.py"
    helper.write_text(helper.read_text().replace("0.5", "0.7"))
    refused = answer(job)
    assert (refused.outcome, refused.code) == (None, 6)
    assert "mine:Turns" in refused.error
    other = msgspec.structs.replace(job, code="0" * 16)
    refused = answer(other)
    assert (refused.outcome, refused.code) == (None, 6)
    assert "install the same version" in refused.error


def test_a_helper_that_is_edited_while_a_trial_runs_is_found(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = made(mine).job(1, (0,))
    import engine.search.running as running

    def edits(*args: Any, **kwargs: Any) -> Any:
        (mine / "helper.py").write_text("# other\n")
        return original(*args, **kwargs)

    original = running.run_backtest
    monkeypatch.setattr(running, "run_backtest", edits)
    assert run_trial(job).code == 6


def test_other_data_than_that_of_the_job_is_refused(mine: Path) -> None:
    sweep = made(mine)
    day, other = (one.path for one in list_days(mine / "journal"))
    shutil.rmtree(day)
    shutil.copytree(other, day)
    refused = answer(sweep.job(1, (0,)))
    assert (refused.outcome, refused.code) == (None, 4)
    shutil.rmtree(day)
    refused = answer(sweep.job(1, (0,)))
    assert refused.outcome is None
    assert str(day) in refused.error


def test_held_days_are_those_of_the_disk_sealed_or_not(mine: Path) -> None:
    journal = mine / "journal"
    refs = day_refs([journal])
    folders = [day.path for day in list_days(journal)]
    plain = list(JoinedDays(folders).batches())
    seal_day(folders[0])
    assert day_refs([journal]) == refs, "sealing does not change a digest"
    for bytes_max in (1 << 30, 0):
        held = HeldDays(bytes_max)
        held.read(refs)
        assert bool(held.held_bytes) == bool(bytes_max)
        assert list(JoinedDays(folders, disk=held).batches()) == plain
        assert not held.changed()
    held = HeldDays()
    held.read(refs)
    shutil.rmtree(journal)
    assert list(JoinedDays(folders, disk=held).batches()) == plain
    assert [frame.digest for frame in open_day(folders[1], held)][-1].hex() == refs[1].digest


def test_a_day_that_is_not_held_and_changes_is_found(mine: Path) -> None:
    refs = day_refs([mine / "journal"])
    held = HeldDays(0)
    held.read(refs)
    (segment,) = Path(refs[0].folder).glob("*.seg*")
    segment.write_bytes(segment.read_bytes() + b"x")
    assert held.changed() == refs[0].folder
    with pytest.raises(JournalDamaged):
        HeldDays().read([msgspec.structs.replace(refs[1], digest=refs[0].digest)])


def test_a_trial_that_is_killed_each_time_is_an_error_and_not_a_result(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = made(mine).job(7, (0,))
    assert answer(job).outcome is not None
    asked = workers._Server.ask
    calls = []

    def killed(self: Any, request: bytes) -> bytes:
        calls.append(request)
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()
        return asked(self, request)

    monkeypatch.setattr(workers._Server, "ask", killed)
    found = answer(job)
    assert found.outcome is None
    assert len(calls) >= 2


def test_the_servers_of_two_sweeps_do_not_disturb_each_other(mine: Path, tmp_path_factory: Any) -> None:
    other = tmp_path_factory.mktemp("other")
    write_project(other)
    one, two = made(mine).job(1, (0,)), made(other).job(1, (0,))
    assert answer(one).outcome == answer(two).outcome == answer(one).outcome
    assert len(workers._servers) == 1
    close_servers()
    assert not workers._servers
