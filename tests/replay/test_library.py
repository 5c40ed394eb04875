"""`replay` as a library: typed results, and runs in one process that do not affect each other (R01)."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import replay
from engine.config import Config, StrategyConfig
from engine.errors import NotDeterministic, UsageError
from engine.loading.modules import own_modules, project_folder
from engine.loading.strategies import load_strategy
from engine.records import read_records
from replay import runs, verification
from tests.commands.kit import SAMPLE, as_json, engine
from tests.docs_pages import ROOT, blocks
from tests.replay.projects import COMMON, CONFIG, MINE, edit, make_project, record_days

CROSSOVER = Config(
    strategies=(StrategyConfig(use="engine.strategies.crossover:Crossover", params={"fast": 5}),)
)
OTHER = MINE.replace("* common.FACTOR", "* 3 * common.FACTOR")


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three recorded days, for backtests."""
    folder = tmp_path_factory.mktemp("market")
    return record_days(folder / "journal", make_project(folder / "project"))


def test_the_public_names_are_sorted_and_exist() -> None:
    assert replay.__all__ == sorted(replay.__all__)
    assert dir(replay) == replay.__all__
    assert {name: getattr(replay, name).__name__ for name in replay.__all__} == {
        name: name for name in replay.__all__
    }
    assert replay.verify is runs.verify
    assert replay.ReplayReport is verification.ReplayReport
    with pytest.raises(AttributeError, match="no attribute 'verifies'"):
        replay.verifies  # noqa: B018


def test_the_examples_of_the_page_run() -> None:
    page = ROOT / "docs" / "replay-as-a-library.md"
    verify, backtest, several = [block.text for block in blocks(page) if block.language == "python"]
    done = subprocess.run(
        [sys.executable, "-c", verify + backtest], cwd=ROOT, capture_output=True, text=True, check=True
    )
    first, second = done.stdout.splitlines()
    assert first.startswith(f"identical {sum(1 for _ in read_records(SAMPLE))} ")
    assert second.endswith(replay.backtest([SAMPLE], CROSSOVER).digest)
    compile(several, "page", "exec")


def test_results_are_typed(market: list[Path], tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    found = replay.backtest(market, CONFIG, project=project, out=tmp_path / "out")
    assert isinstance(found, replay.BacktestReport)
    assert (found.trades, found.failures) == (400, [])
    seen: list[int] = []
    report = replay.verify(tmp_path / "out" / "2024-12-05", project=project, progress=seen.append)
    assert isinstance(report, replay.ReplayReport)
    assert (report.verdict, report.chain, report.divergence) == ("identical", [], None)
    assert seen == sorted(seen)
    edit(project / "mine.py", "* common.FACTOR", "* 2 * common.FACTOR")
    report = replay.verify(tmp_path / "out" / "2024-12-05", project=project)
    assert isinstance(report.divergence, replay.Divergence)
    assert report.chain[-1][0] == report.divergence.seq


def test_two_runs_in_one_process_are_like_two_processes(market: list[Path], tmp_path: Path) -> None:
    """Two projects with a `mine.py` and a counter in a module, in any order."""
    one = make_project(tmp_path / "one", common=COMMON)
    two = make_project(tmp_path / "two", mine=OTHER, common=COMMON)
    before, path = dict(sys.modules), list(sys.path)
    digests = {}
    for project in (one, two, one, two):
        found = replay.backtest(market[:1], CONFIG, project=project)
        assert digests.setdefault(project, found.digest) == found.digest
    assert digests[one] != digests[two]
    for project in (one, two):
        replay.backtest(market[:1], CONFIG, project=project, out=project / "out")
    for project in (one, two, two, one):
        report = replay.verify(project / "out" / "2024-12-05", project=project)
        assert (report.verdict, report.changes) == ("identical", [])
        assert report.digest == digests[project]
    assert sys.path == path
    assert {name for name in sys.modules if name in ("mine", "common")} == {
        name for name in before if name in ("mine", "common")
    }


def test_commands_in_one_process_do_not_affect_each_other(market: list[Path], tmp_path: Path) -> None:
    digests = []
    for name, mine in (("one", MINE), ("two", OTHER)):
        project = make_project(tmp_path / name, mine=mine, common=COMMON)
        command = ("backtest", market[0], "--strategy", "mine:Mine", "--json")
        found = [as_json(engine(*command, cwd=project))["digest"] for _ in range(2)]
        assert found[0] == found[1]
        digests.append(found[0])
    assert digests[0] != digests[1]


def test_a_module_that_was_imported_before_is_restored(tmp_path: Path, market: list[Path]) -> None:
    """As in a notebook that has imported the strategy itself."""
    project = make_project(tmp_path / "project")
    with own_modules(project):
        mine = load_strategy("mine:Mine")
        known = sys.modules["mine"]
        replay.backtest(market[:1], CONFIG, project=project)
        assert sys.modules["mine"] is known
        assert load_strategy("mine:Mine") is mine
    assert "mine" not in sys.modules


def test_a_module_imported_before_does_not_stand_in_for_one_that_the_project_lacks(
    tmp_path: Path, market: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_project(tmp_path / "other")
    (tmp_path / "empty").mkdir()
    with own_modules(other):
        load_strategy("mine:Mine")
        monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(other)])
        with pytest.raises(UsageError, match="there is no module 'mine' in"):
            replay.backtest(market[:1], CONFIG, project=tmp_path / "empty")
        assert "mine" in sys.modules


def test_arguments_that_name_nothing_are_refused(tmp_path: Path, market: list[Path]) -> None:
    with pytest.raises(
        UsageError, match="absent: there is no such folder; give the folder of the strategies"
    ):
        replay.backtest(market[:1], CONFIG, project=tmp_path / "absent")
    with pytest.raises(UsageError, match="the list is empty; give at least one day"):
        replay.backtest([], CONFIG)
    with pytest.raises(UsageError, match="is a text, not a list; write it as"):
        replay.backtest(str(market[0]), CONFIG)


def test_files_are_guarded_only_during_the_run(tmp_path: Path) -> None:
    reader = "\n\ndef read(function):\n    return function(__file__)\n"
    project = make_project(tmp_path / "project", mine=MINE + reader)
    with own_modules(project):
        load_strategy("mine:Mine")
        read = sys.modules["mine"].read
        with pytest.raises(NotDeterministic):
            read(open)
    read(open).close()


def test_an_edit_within_a_second_takes_effect(market: list[Path], tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    first = replay.backtest(market[:1], CONFIG, project=project)
    edit(project / "common.py", "FACTOR = 1000", "FACTOR = 2000")
    assert replay.backtest(market[:1], CONFIG, project=project).digest != first.digest
    assert not list(project.rglob("*.pyc"))


def test_the_default_project_is_the_working_directory(
    market: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(tmp_path / "project")
    expected = replay.backtest(market[:1], CONFIG, project=project).digest
    monkeypatch.chdir(project)
    assert replay.backtest(market[:1], CONFIG).digest == expected
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="there is no module 'mine' in"):
        replay.backtest(market[:1], CONFIG)


def test_runs_in_several_threads_run_one_after_another(tmp_path: Path) -> None:
    folders: list[Path] = []

    def run(folder: Path) -> None:
        with own_modules(folder):
            folders.append(project_folder())
            assert project_folder() == folder

    threads = [threading.Thread(target=run, args=(tmp_path / str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(folders) == sorted(tmp_path / str(number) for number in range(8))


def test_the_digest_of_a_backtest_does_not_depend_on_the_names_of_folders(
    market: list[Path], tmp_path: Path
) -> None:
    project = make_project(tmp_path / "project")
    moved = []
    for number, day in enumerate(market):
        shutil.copytree(day, tmp_path / f"other-{number}")
        moved.append(tmp_path / f"other-{number}")
    assert (
        replay.backtest(moved, CONFIG, project=project).digest
        == replay.backtest(market, CONFIG, project=project).digest
    )
    shutil.copytree(SAMPLE, tmp_path / "sample")
    assert (
        replay.backtest([tmp_path / "sample"], CROSSOVER).digest
        == replay.backtest([SAMPLE], CROSSOVER).digest
    )


def test_other_days_and_other_parameters_give_other_digests(market: list[Path], tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    digests = {
        replay.backtest(days, config, project=project).digest
        for days in (market[:1], market[:2], market[1:2])
        for config in (CONFIG, Config(strategies=CONFIG.strategies, bars=CONFIG.bars, seed=2))
    }
    assert len(digests) == 6


def test_a_journal_of_several_days_is_refused(market: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds 3 days; give one, such as"):
        replay.verify(market[0].parent)
    with pytest.raises(UsageError, match="there is no such day"):
        replay.verify(tmp_path / "2024-12-05")
    with pytest.raises(UsageError, match="begins after seq 1; nothing was verified"):
        replay.verify(market[1], until_seq=1, project=make_project(tmp_path / "project"))
