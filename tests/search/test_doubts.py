"""`engine sweep` says of its best trial whether it may be luck."""

from __future__ import annotations

from pathlib import Path

from tests.commands.kit import as_json
from tests.search.kit import GRID, sweep, trials, write_project


def test_the_best_trial_has_a_verdict_with_its_reasons(tmp_path: Path) -> None:
    """Two days are too few to judge: it says so, in the table and in the JSON."""
    write_project(tmp_path)
    shown = sweep(tmp_path, "done", *GRID)
    assert shown.code == 0, shown.err
    luck = as_json(sweep(tmp_path, "done", *GRID, "--json"))["luck"]
    found = trials(tmp_path / "done")
    assert luck["trials"] == len({str(trial["params"]) for trial in found}) == len(found)
    assert luck["ranked"] == sum(len(trial["daily"]) > 1 for trial in found)
    assert luck["spread"] > 0
    days = len(found[0]["daily"])
    assert luck["reasons"]["pbo"] == f"{days} days of returns, under 30"
    assert luck["verdict"] in ("cannot be judged", "may be luck")
    table = " ".join(shown.out.split())
    assert all(f"{line}" in table for line in (luck["verdict"], *luck["lines"]))


def test_without_a_best_trial_there_is_no_verdict(tmp_path: Path) -> None:
    write_project(tmp_path)
    found = as_json(sweep(tmp_path, "none", "--param", "every=3,4", "--metric", "sharpe", "--json"))
    assert (found["best"], found["luck"]) == (None, None)
