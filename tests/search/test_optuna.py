"""Optuna proposes by ask and tell: the same trials whatever the jobs, also after an interruption."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from engine.search.axes import parse_axis
from engine.search.proposals import BATCH, make_search
from tests.search.kit import files, sweep, trials

pytestmark = pytest.mark.skipif(
    find_spec("optuna") is None,
    reason='optuna is not installed: make test-search, or pip install "retape[search]"',
)

ARGS = ("--param", "every=2:9", "--param", "hold=1,2", "--search", "tpe", "--seed", "3", "--trials", "20")


def test_the_trials_do_not_depend_on_jobs_or_interruptions(project: Path) -> None:
    assert sweep(project, "tpe1", *ARGS, "--jobs", 1).code == 0
    assert sweep(project, "tpe4", *ARGS, "--jobs", 4).code == 0
    assert files(project / "tpe1") == files(project / "tpe4")
    found = trials(project / "tpe1")
    assert len(found) == 20
    repeated = [trial for trial in found if "repeats" in trial]
    assert repeated, "16 combinations were tried 20 times"
    for trial in repeated:
        first = found[trial["repeats"] - 1]
        assert first["number"] < trial["number"]
        assert {**trial, "number": 0, "repeats": 0} == {**first, "number": 0, "repeats": 0}
    lines = (project / "tpe1" / "trials.jsonl").read_bytes().splitlines(keepends=True)
    (project / "tpe2").mkdir()
    (project / "tpe2" / "sweep.json").write_bytes((project / "tpe1" / "sweep.json").read_bytes())
    (project / "tpe2" / "trials.part.jsonl").write_bytes(b"".join([*lines[2:10], lines[0]]))
    assert sweep(project, "tpe2", *ARGS).code == 0
    assert files(project / "tpe2") == files(project / "tpe1")


@pytest.mark.parametrize("better", [1, -1])
def test_what_optuna_is_told_decides_what_it_proposes(better: int) -> None:
    """The best value is at 30 of 50 in both directions; trials that cannot be ranked are told as such."""
    search = make_search("tpe", [parse_axis("a=1:50")], trials=60, seed=1, better=better)
    found: list[int] = []
    while batch := search.ask():
        assert len(batch) <= BATCH
        places = [place for (place,) in batch]
        search.tell([None if at % 7 == 0 else -better * float(abs(at - 29)) for at in places])
        found += places
    assert len(found) == 60
    near = [abs(at - 29) for at in found]
    assert sum(near[40:]) / 20 < sum(near[:10]) / 10 / 2
