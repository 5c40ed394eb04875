"""Runs a trial of a sweep again and compares all that came of it. Called by `engine sweep --prove`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from engine.config import parse_config
from engine.errors import SafetyRefusal, UsageError
from engine.loading.params import with_param
from engine.loading.strategies import load_strategy, project_hash
from engine.search.environment import differences
from engine.search.executors import Running
from engine.search.jobs import DayRef, Outcome, config_text
from engine.search.registry import read_sweep
from engine.search.running import results_code
from engine.search.sweeping import run_jobs

__all__ = ["Proof", "prove"]


class Proof(msgspec.Struct, frozen=True):
    """What a second run shows. `difference` is the first one, "" if all is equal; `environment` says what
    differs between the environments of both runs."""

    number: int
    digest: str
    difference: str
    environment: list[str]

    @property
    def identical(self) -> bool:
        return not self.difference


def prove(
    folder: Path,
    number: int,
    running: Running,
    *,
    days: tuple[DayRef, ...] = (),
    project: Path,
    folders: tuple[Path, ...] = (),
) -> Proof:
    """Run a trial again. `days` are where the days of the sweep are now, () for where they were.

    Raises UsageError if there is no such trial, SafetyRefusal for other code, strategies or days. Called
    inside `engine.loading.modules.own_modules`.
    """
    definition, trials = read_sweep(folder)
    trial = next((one for one in trials if one.number == number), None)
    if trial is None:
        raise UsageError(f"{folder}: has no trial {number}; it has {len(trials)}")
    if days:
        definition = msgspec.structs.replace(definition, days=days)
    known, _ = read_sweep(folder)
    now = msgspec.structs.replace(
        definition,
        code=results_code(),
        strategies=tuple(
            msgspec.structs.replace(one, source=project_hash(load_strategy(one.use)))
            for one in definition.strategies
        ),
    )
    difference = known.difference(now)
    if difference:
        raise SafetyRefusal(f"trial {number} cannot be proved here: {difference}")
    config = parse_config(definition.config)
    classes = {entry.use: load_strategy(entry.use) for entry in config.strategies}
    for name, value in trial.params.items():
        config, _ = with_param(config, classes, name, _text(value))
    job = now.job(number, config_text(config), project, folders)
    ((_, outcome),) = run_jobs(running, [job])
    return Proof(
        number,
        outcome.digest,
        _difference(trial.outcome, outcome),
        differences(trial.outcome.environment, outcome.environment),
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _difference(recorded: Outcome, now: Outcome) -> str:
    """Return the first difference of two outcomes, their environments aside."""
    for name in Outcome.__struct_fields__:
        mine, its = getattr(recorded, name), getattr(now, name)
        if mine == its or name == "environment":
            continue
        if isinstance(mine, dict) and isinstance(its, dict):
            key = next(one for one in (*mine, *its) if mine.get(one) != its.get(one))
            name, mine, its = f"{name} {key}", mine.get(key), its.get(key)
        elif isinstance(mine, list) and isinstance(its, list) and len(mine) == len(its):
            at = next(at for at, pair in enumerate(zip(mine, its, strict=True)) if pair[0] != pair[1])
            name, mine, its = f"{name} {at + 1}", mine[at], its[at]
        return f"{name}: recorded {_text(mine)}, now {_text(its)}"
    return ""
