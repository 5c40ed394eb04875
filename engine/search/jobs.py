"""What a trial is and what comes of it: the structs that the registry and the workers exchange.

A `Job` has everything that decides a result: digests of the days, the configuration with the parameters of
the trial, fingerprints of the code. It carries no data; a worker reads the days itself and compares their
digests. Jobs and answers travel as JSON text, so that any executor can carry them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from engine.config import Config
from engine.errors import EngineError, JournalError, SafetyRefusal
from engine.journal import day_name
from engine.records import day_folders, open_day
from replay.ranges import WHOLE, Range

__all__ = [
    "Answer",
    "DayRef",
    "Job",
    "Outcome",
    "StrategyRef",
    "Trial",
    "Value",
    "config_text",
    "day_refs",
    "error_of",
    "line_of",
    "trial_of",
]

Value = int | float | str | bool | None
"""The value of a parameter."""


class DayRef(msgspec.Struct, frozen=True):
    """A recorded day: its date, where it is, and the digest of its chain in hex."""

    day: str
    folder: str
    digest: str


class StrategyRef(msgspec.Struct, frozen=True):
    """A strategy of the session: its name, module:Class, and the hash of its sources."""

    name: str
    use: str
    source: str


class Job(msgspec.Struct, frozen=True):
    """A trial to run.

    `config` is the configuration (`config_text`), the parameters of the trial included. `code` is the
    fingerprint of the engine. Strategies are searched in `project`, then in `folders`. Only inputs of
    the range `within` are played.
    """

    number: int
    days: tuple[DayRef, ...]
    config: str
    code: str
    strategies: tuple[StrategyRef, ...]
    project: str
    folders: tuple[str, ...] = ()
    within: Range = WHOLE


class Outcome(msgspec.Struct, frozen=True):
    """What a trial led to.

    `state` is "done"; "no orders" if no order was sent; "failed" if a strategy raised or refused its
    parameters, as `failure` says. `metrics` and `reasons` are those of `engine.analysis.report.Report`.
    `daily` are the daily returns, None if the equity was 0 or below. `longest_ns` is the longest time that a
    round trip took. `environment` is what the numbers depend on besides code and data.
    """

    state: str
    failure: str = ""
    orders: int = 0
    refused: int = 0
    fills: int = 0
    digest: str = ""
    metrics: dict[str, float | int | str | None] = {}
    reasons: dict[str, str] = {}
    daily: list[float] | None = None
    longest_ns: int = 0
    environment: dict[str, str] = {}


class Trial(msgspec.Struct, frozen=True):
    """One line of the registry: the number of the trial, from 1, its parameters, and its outcome.

    `repeats` is the number of an earlier trial with the same parameters, whose outcome it has; 0 if none.
    """

    number: int
    params: dict[str, Value]
    outcome: Outcome
    repeats: int = 0

    def value(self, metric: str) -> float | int | str | None:
        """Return the value of a metric, None if there is none."""
        return self.outcome.metrics.get(metric)


def line_of(trial: Trial) -> bytes:
    """Return the line of a trial: its number, parameters and outcome as one JSON object."""
    found = {"number": trial.number, "params": trial.params, **msgspec.to_builtins(trial.outcome)}
    if trial.repeats:
        found["repeats"] = trial.repeats
    return msgspec.json.encode(found) + b"\n"


def trial_of(line: bytes) -> Trial:
    """Return the trial of a line. Raises msgspec.MsgspecError, KeyError."""
    found = msgspec.json.decode(line, type=dict[str, Any])
    number, params, repeats = found.pop("number"), found.pop("params"), found.pop("repeats", 0)
    return Trial(number, params, msgspec.convert(found, Outcome), repeats)


class Answer(msgspec.Struct, frozen=True):
    """What a worker returns: an outcome, or why the job cannot be run here, with the exit code of that."""

    outcome: Outcome | None = None
    error: str = ""
    code: int = 1


def error_of(answer: Answer) -> EngineError:
    """Return the error of an answer without an outcome."""
    kinds: Mapping[int, type[EngineError]] = {4: JournalError, 6: SafetyRefusal}
    return kinds.get(answer.code, EngineError)(answer.error)


def config_text(config: Config) -> str:
    """Return a configuration as text for a job: what is recorded of it, and what its report assumes."""
    kept = msgspec.structs.replace(config, stores=msgspec.UNSET)
    return msgspec.json.encode(kept, order="deterministic").decode()


def day_refs(days: Sequence[Path]) -> tuple[DayRef, ...]:
    """Return the days in these folders by date, with their digests. Reads them to the end.

    Raises UsageError if there is no day, JournalError for one that cannot be read.
    """
    found = []
    for folder in day_folders(tuple(days)):
        reader = open_day(folder)
        for _ in reader:
            pass
        found.append((reader.day or 0, str(folder), reader.digest.hex()))
    return tuple(
        DayRef(day_name(day) if day else "", folder, digest)
        for day, folder, digest in sorted(found, key=lambda one: (one[0], one[2]))
    )
