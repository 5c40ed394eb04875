"""`engine sweep`: every trial is a backtest, files do not depend on jobs, and what is best is stated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands.kit import as_json, engine
from tests.search.kit import GRID, files, sweep, trials, write_project


def test_every_trial_is_the_backtest_of_its_parameters(project: Path, done: Path) -> None:
    found = trials(done)
    assert [trial["number"] for trial in found] == list(range(1, len(found) + 1))
    assert [trial["params"] for trial in found[:4]] == [
        {"every": 2, "hold": 1},
        {"every": 2, "hold": 2},
        {"every": 2, "hold": 3},
        {"every": 3, "hold": 1},
    ]
    for trial in found[3:5]:
        params = [f"--param={name}={value}" for name, value in trial["params"].items()]
        one = as_json(
            engine("backtest", "journal", "--strategy", "mine:Turns", *params, "--json", cwd=project)
        )
        assert (trial["digest"], trial["orders"]) == (
            one["digest"],
            one["orders"],
        )
        assert trial["orders"]
        assert trial["metrics"] == {name: one[name] for name in trial["metrics"]}
        assert trial["reasons"] == one["reasons"]
    assert len({trial["digest"] for trial in found}) == len(found)


@pytest.mark.parametrize("jobs", [1, 4])
def test_the_files_do_not_depend_on_the_number_of_jobs(project: Path, done: Path, jobs: int) -> None:
    assert sweep(project, f"jobs{jobs}", *GRID, "--jobs", jobs).code == 0
    assert files(project / f"jobs{jobs}") == files(done)
    assert set(files(done)) == {"sweep.html", "sweep.json", "trials.jsonl"}


def test_a_complete_sweep_is_shown_again_and_not_written(project: Path, done: Path) -> None:
    before = files(done), (done / "trials.jsonl").stat().st_mtime_ns
    shown = as_json(sweep(project, "done", *GRID, "--json"))
    assert (files(done), (done / "trials.jsonl").stat().st_mtime_ns) == before
    best = max(trials(done), key=lambda trial: trial["metrics"]["return_percent"])
    assert shown["best"] == best
    assert shown["ranking"][0] == best["number"]


def test_any_trial_can_be_proved_again(project: Path, done: Path) -> None:
    for number in (1, 8):
        proof = as_json(engine("sweep", "--prove", number, "--out", "done", "--json", cwd=project))
        assert proof["identical"]
        assert proof["digest"] == trials(done)[number - 1]["digest"]
        assert not proof["environment"]


def test_a_trial_without_an_order_is_marked_and_never_best(project: Path) -> None:
    shown = as_json(sweep(project, "idle", "--param", "every=3:5", "--json", strategy="mine:Idle"))
    found = trials(project / "idle")
    assert [trial["state"] for trial in found] == ["no orders", "done", "done"]
    assert found[1]["metrics"]["return_percent"] < 0, "else the rule is not seen"
    assert found[0]["metrics"]["return_percent"] == 0
    assert shown["best"]["number"] == 2
    assert shown["ranking"] == [2, 3, 1]


def test_a_trial_whose_strategy_raises_is_a_row_and_not_the_end(project: Path) -> None:
    for strategy, text in (("Fails", "RuntimeError: four"), ("Refuses", "4 is not possible")):
        shown = as_json(
            sweep(project, strategy, "--param", "every=3:5", "--json", strategy=f"mine:{strategy}")
        )
        found = trials(project / strategy)
        assert [trial["state"] for trial in found] == ["done", "failed", "done"]
        assert text in found[1]["failure"]
        assert shown["failed"] == 1
        assert shown["ranking"][-1] == 2


def test_where_nothing_can_be_ranked_it_says_so_and_why(project: Path) -> None:
    done = sweep(project, "unranked", "--param", "every=3,4", "--metric", "sharpe")
    assert done.code == 0
    assert "nothing can be ranked by sharpe: 2 of 2: sharpe is null (2 days of returns, under 30)" in done.out
    assert (
        as_json(sweep(project, "unranked", "--param", "every=3,4", "--metric", "sharpe", "--json"))["best"]
        is None
    )


def test_a_metric_without_a_direction_needs_one(project: Path) -> None:
    refused = sweep(project, "turnover", *GRID, "--metric", "turnover")
    assert refused.code == 2
    assert "--better more or --better less" in refused.err
    refused = sweep(project, "turnover", *GRID, "--metric", "fees", "--better", "more")
    assert (refused.code, "of fees, less is better" in refused.err) == (2, True)
    refused = sweep(project, "turnover", *GRID, "--metric", "sharp")
    assert (refused.code, "sharpe" in refused.err) == (2, True)
    assert not (project / "turnover").exists()
    less = as_json(
        sweep(
            project, "turnover", "--param", "every=3,9", "--metric", "turnover", "--better", "less", "--json"
        )
    )
    assert less["best"]["number"] == 2


def test_a_sweep_with_something_else_is_refused_in_one_line(project: Path, tmp_path: Path) -> None:
    write_project(tmp_path)
    values = ("--param", "every=3,4")
    assert sweep(tmp_path, "one", *values).code == 0
    before = files(tmp_path / "one")
    helper = (tmp_path / "helper.py").read_text()
    (tmp_path / "other.toml").write_text('[account]\ncash = "5000"\n')
    (tmp_path / "year.toml").write_text("[report]\nannualise = 252\n")
    for args, text in (
        (("--param", "every=3,5"), "other values of parameters"),
        ((*values, "--metric", "sqn"), "another metric"),
        ((*values, "--end", "2024-03-02"), "another range"),
        ((*values, "--config", "other.toml"), "account.cash is 100000 in the sweep, 5000 now"),
        ((*values, "--config", "year.toml"), "report.annualise is 365 in the sweep, 252 now"),
        ((*values, "--search", "random", "--trials", 2), "another search"),
    ):
        refused = sweep(tmp_path, "one", *args)
        assert (refused.code, text in refused.err) == (6, True), refused.err
        assert refused.err.count("\n") == 1
    (tmp_path / "helper.py").write_text(f"{helper}\n\nMORE = 1\n")
    refused = sweep(tmp_path, "one", *values)
    assert (refused.code, "other sources of mine:Turns" in refused.err) == (6, True)
    refused = engine("sweep", "--prove", 1, "--out", "one", cwd=tmp_path)
    assert (refused.code, "other sources of mine:Turns" in refused.err) == (6, True)
    (tmp_path / "helper.py").write_text(helper)
    refused = engine(
        "sweep", "journal/2024-03-01", "--strategy", "mine:Turns", *values, "--out", "one", cwd=tmp_path
    )
    assert (refused.code, "other days: journal/2024-03-02 of the sweep is not given" in refused.err) == (
        6,
        True,
    )
    assert files(tmp_path / "one") == before


def test_a_folder_with_other_files_is_not_used(project: Path) -> None:
    (project / "notes").mkdir()
    (project / "notes" / "a.txt").write_text("mine")
    refused = sweep(project, "notes", *GRID)
    assert (refused.code, "holds other files" in refused.err) == (6, True)


def test_random_trials_are_those_of_the_seed(project: Path) -> None:
    args = ("--param", "every=2:40", "--param", "hold=1,2", "--search", "random", "--trials", 4)
    for out, seed in (("r1", 1), ("r2", 1), ("r3", 2)):
        assert sweep(project, out, *args, "--seed", seed).code == 0
    assert files(project / "r1") == files(project / "r2")
    one, other = ([trial["params"] for trial in trials(project / out)] for out in ("r1", "r3"))
    assert one != other
    assert len({json.dumps(params) for params in one}) == 4


def test_the_environment_is_recorded_and_another_one_is_no_divergence(project: Path) -> None:
    assert sweep(project, "env", "--param", "every=3,4").code == 0
    found = trials(project / "env")
    assert found[0]["environment"].keys() >= {"python", "machine", "libm", "features", "functions"}
    assert "numpy" not in found[0]["environment"], "it is not loaded"
    found[0]["environment"]["libm"] = "other 1"
    found[1]["digest"] = "00" * 32
    _write(project / "env", found)
    same = engine("sweep", "--prove", 1, "--out", "env", cwd=project)
    assert (same.code, "identical" in same.out, "libm other 1, now" in same.out) == (0, True, True)
    diverged = engine("sweep", "--prove", 2, "--out", "env", cwd=project)
    assert (diverged.code, "differs: digest: recorded 0000" in diverged.err) == (3, True), diverged.err
    found[1]["environment"]["libm"] = "other 1"
    _write(project / "env", found)
    other = engine("sweep", "--prove", 2, "--out", "env", cwd=project)
    assert (other.code, "another environment (libm other 1, now" in other.err) == (6, True)


def _write(folder: Path, found: list[dict[str, object]]) -> None:
    text = "".join(json.dumps(trial, separators=(",", ":")) + "\n" for trial in found)
    (folder / "trials.jsonl").write_text(text)
