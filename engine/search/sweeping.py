"""Runs the trials of a sweep on an executor, or goes on with one that was interrupted.

Promises: which trials there are, and what each led to, does not depend on how many jobs run at once or in
which order they end. Called by `engine sweep` and by walk-forward.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from engine.config import Config, parse_config
from engine.errors import EngineError, SafetyRefusal, UsageError
from engine.loading.fingerprint import version
from engine.loading.params import with_param
from engine.loading.strategies import load_strategy, project_hash
from engine.search.axes import Axis, size_of
from engine.search.executors import Running
from engine.search.jobs import (
    Answer,
    DayRef,
    Job,
    Outcome,
    StrategyRef,
    Trial,
    Value,
    config_text,
    error_of,
)
from engine.search.proposals import make_search, sampler_name
from engine.search.ranking import value_of
from engine.search.registry import Definition, Registry
from engine.search.running import results_code
from engine.search.workers import run_job
from engine.strategies.base import Strategy
from replay.ranges import WHOLE, Range

__all__ = ["Sweep", "define", "run_jobs", "run_sweep"]

TRIALS_MAX = 1_000_000


class Sweep:
    """A sweep that can be run: its definition, and how a point of its values becomes a configuration.

    `project` and `folders` are where strategies are searched.
    """

    def __init__(
        self,
        definition: Definition,
        axes: Sequence[Axis],
        classes: Mapping[str, type[Strategy]],
        project: Path,
        folders: tuple[Path, ...] = (),
    ) -> None:
        self.definition = definition
        self.axes = axes
        self.project = project
        self.folders = folders
        self._classes = classes
        self._common = parse_config(definition.config)

    @property
    def size(self) -> int:
        """The number of trials."""
        size = size_of(self.axes)
        if self.definition.search == "grid":
            return size
        trials = self.definition.trials
        return min(trials, size) if self.definition.search == "random" else trials

    def params(self, places: tuple[int, ...]) -> dict[str, Value]:
        """Return the parameters of a point."""
        values = self.definition.params
        return {one.name: values[one.name][at] for one, at in zip(self.axes, places, strict=True)}

    def job(self, number: int, places: tuple[int, ...]) -> Job:
        """Return the job of a point."""
        config = self._common
        for one, at in zip(self.axes, places, strict=True):
            config, _ = with_param(config, self._classes, one.name, one.values[at])
        return self.definition.job(number, config_text(config), self.project, self.folders)


def define(
    days: tuple[DayRef, ...],
    config: Config,
    axes: Sequence[Axis],
    *,
    metric: str,
    better: int,
    project: Path,
    folders: tuple[Path, ...] = (),
    search: str = "grid",
    trials: int = 0,
    seed: int = 0,
    within: Range = WHOLE,
) -> Sweep:
    """Return a sweep over the values. Raises UsageError for a value that its parameter does not accept.

    Called inside `engine.loading.modules.own_modules`.
    """
    classes = {entry.use: load_strategy(entry.use) for entry in config.strategies}
    if not classes:
        raise UsageError("there is no strategy; give --strategy module:Class, or a --config that has one")
    names = [one.name for one in axes]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"--param {twice}: is given twice; write all values in one, as {twice}=5,10:30:5")
    values = {
        one.name: tuple(with_param(config, classes, one.name, text)[1] for text in one.values) for one in axes
    }
    definition = Definition(
        days,
        config_text(config),
        tuple(
            StrategyRef(entry.title, entry.use, project_hash(classes[entry.use]))
            for entry in config.strategies
        ),
        values,
        search,
        trials if search != "grid" else 0,
        seed if search != "grid" else 0,
        sampler_name(search),
        metric,
        better,
        version(),
        results_code(),
        within,
    )
    sweep = Sweep(definition, axes, classes, project, folders)
    if sweep.size > TRIALS_MAX:
        raise UsageError(f"the values have {sweep.size:,} combinations, at most {TRIALS_MAX:,}; try --search")
    return sweep


def run_sweep(
    sweep: Sweep, registry: Registry, running: Running, progress: Callable[[int], None] | None = None
) -> list[Trial]:
    """Run the trials that the registry does not have yet, and return all by number.

    `progress` is called with the number of finished trials. Raises EngineError if a job cannot be run, and
    SafetyRefusal if a worker has other code or the proposals are not those of the registry.
    """
    definition = sweep.definition
    search = make_search(
        definition.search,
        sweep.axes,
        trials=definition.trials,
        seed=definition.seed,
        better=definition.better,
    )
    first: dict[tuple[int, ...], int] = {}
    number = 0
    while batch := search.ask():
        numbers = range(number + 1, number + len(batch) + 1)
        number = numbers[-1]
        repeats: dict[int, int] = {}
        for at, places in zip(numbers, batch, strict=True):
            if first.setdefault(places, at) != at:
                repeats[at] = first[places]
        _refuse_other_proposals(sweep, registry, numbers, batch)
        missing = [
            (at, places)
            for at, places in zip(numbers, batch, strict=True)
            if at not in registry.done and at not in repeats
        ]
        places_of = dict(missing)
        for at, outcome in run_jobs(running, (sweep.job(at, places) for at, places in missing)):
            registry.add(Trial(at, sweep.params(places_of[at]), outcome))
            if progress is not None:
                progress(len(registry.done))
        for at, same in repeats.items():
            if at not in registry.done:
                known = registry.done[same]
                registry.add(Trial(at, known.params, known.outcome, same))
        search.tell([value_of(registry.done[at].outcome, definition.metric) for at in numbers])
    return registry.finish()


def run_jobs(running: Running, jobs: Iterable[Job]) -> Iterator[tuple[int, Outcome]]:
    """Run jobs and yield (number, outcome) as they end. Raises EngineError if one cannot be run."""
    waiting: dict[Future[Any], int] = {}
    jobs = iter(jobs)
    while True:
        for job in islice(jobs, running.width - len(waiting)):
            text = msgspec.json.encode(job).decode()
            waiting[running.executor.submit(run_job, text)] = job.number
        if not waiting:
            return
        done, _ = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            number = waiting.pop(future)
            try:
                answer = msgspec.json.decode(future.result(), type=Answer)
            except Exception as error:
                raise EngineError(
                    f"trial {number}: the executor failed: {type(error).__name__}: {error}"
                ) from error
            if answer.outcome is None:
                raise error_of(answer)
            yield number, answer.outcome


def _refuse_other_proposals(
    sweep: Sweep, registry: Registry, numbers: range, batch: Sequence[tuple[int, ...]]
) -> None:
    """Raise SafetyRefusal if a finished trial has other parameters than the search proposes."""
    for at, places in zip(numbers, batch, strict=True):
        known = registry.done.get(at)
        if known is not None and known.params != sweep.params(places):
            raise SafetyRefusal(
                f"--out {registry.folder}: trial {at} has other parameters than the search proposes now; "
                "give another folder"
            )
