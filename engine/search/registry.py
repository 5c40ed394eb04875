"""The folder of a sweep: what is searched, and one line for each trial.

    DIR/
      sweep.json           the definition: days with digests, configuration, strategies, values, metric
      trials.part.jsonl    the trials that are done, as they came in; only while the sweep is unfinished
      trials.jsonl         all trials by number, written at the end in one step
      sweep.html           the same for people (`page.py`); the caller writes it

Promises: the bytes of `sweep.json` and `trials.jsonl` depend on days, code, configuration, values and the
numeric environment, not on the number of jobs, their order or whether the sweep was interrupted. A sweep that
was killed goes on from its finished trials; a line that was cut short is dropped. A folder is never used for
another sweep than its own, and a complete one is not written again. One process at a time.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import msgspec

from engine.errors import EngineError, JournalLocked, SafetyRefusal, UsageError
from engine.journal import DISK, is_leftover, make_root, write_whole
from engine.search.jobs import DayRef, Job, StrategyRef, Trial, line_of, trial_of
from replay.ranges import WHOLE, Range

__all__ = ["Definition", "Registry", "read_sweep", "write_file"]

_DEFINITION: Final = "sweep.json"
_PART: Final = "trials.part.jsonl"
_TRIALS: Final = "trials.jsonl"


class Definition(msgspec.Struct, frozen=True):
    """What decides all trials of a sweep.

    `config` is the text of the configuration that all trials have in common, `params` the values of
    each parameter, and `sampler` what decides the proposals besides (`proposals.sampler_name`).
    `better` is 1 if more of the metric is better, -1 if less. The rest: see `jobs.Job`.
    """

    days: tuple[DayRef, ...]
    config: str
    strategies: tuple[StrategyRef, ...]
    params: dict[str, tuple[Any, ...]]
    search: str
    trials: int
    seed: int
    sampler: str
    metric: str
    better: int
    version: str
    code: str
    within: Range = WHOLE
    format: int = 1

    def difference(self, other: Definition) -> str:
        """Return what differs in `other`, in words; "" if they define the same trials."""
        if tuple((day.day, day.digest) for day in self.days) != tuple(
            (day.day, day.digest) for day in other.days
        ):
            return _other_days(self.days, other.days)
        for mine, its in zip(self.strategies, other.strategies, strict=False):
            if mine.use == its.use and mine.source != its.source:
                return f"other sources of {its.use}: {mine.source} in the sweep, {its.source} now"
        for name, what in _NAMES.items():
            mine, its = getattr(self, name), getattr(other, name)
            if mine != its:
                return f"{what}: {_cut(mine)} in the sweep, {_cut(its)} now"
        if self.within != other.within:
            return f"another range: {self.within.text()} in the sweep, {other.within.text()} now"
        if self.config != other.config:
            return f"another configuration: {_other_key(self.config, other.config)}"
        return ""

    def job(self, number: int, config: str, project: Path, folders: tuple[Path, ...] = ()) -> Job:
        """Return the job of a trial with this configuration."""
        return Job(
            number,
            tuple(msgspec.structs.replace(day, folder=str(Path(day.folder).resolve())) for day in self.days),
            config,
            self.code,
            self.strategies,
            str(project.resolve()),
            tuple(str(one.resolve()) for one in folders),
            self.within,
        )


_NAMES: Final = {
    "format": "another format",
    "code": "another code of the engine",
    "strategies": "other strategies",
    "params": "other values of parameters",
    "search": "another search",
    "trials": "another number of trials",
    "seed": "another seed",
    "sampler": "another sampler",
    "metric": "another metric",
    "better": "another direction of the metric",
}


class Registry:
    """The folder of a sweep while it runs. `done` are the finished trials by number.

    Raises SafetyRefusal if the folder is of another sweep or has other files, JournalLocked if another
    process uses it.
    """

    def __init__(self, folder: Path, definition: Definition) -> None:
        self.folder = folder
        self.done: dict[int, Trial] = {}
        made = not folder.exists()
        make_root(folder)
        try:
            self._lock = DISK.lock_folder(folder)
        except BlockingIOError:
            raise JournalLocked(f"--out {folder}: another process runs this sweep") from None
        except OSError as error:
            raise UsageError(f"--out {folder}: cannot be used: {error.strerror or error}") from None
        self._part = -1
        try:
            self.complete = self._open(definition, made=made)
        except BaseException:
            self.close()
            raise

    def add(self, trial: Trial) -> None:
        """Add a finished trial."""
        self.done[trial.number] = trial
        os.write(self._part, line_of(trial))

    def finish(self) -> list[Trial]:
        """Write `trials.jsonl` if it is not there, and return all trials by number."""
        trials = [self.done[number] for number in sorted(self.done)]
        if not self.complete:
            write_file(self.folder / _TRIALS, b"".join(line_of(one) for one in trials))
            (self.folder / _PART).unlink()
            self.complete = True
        return trials

    def close(self) -> None:
        """Close the files and let another process use the folder."""
        if self._part >= 0:
            os.close(self._part)
            self._part = -1
        DISK.close(self._lock)

    def _open(self, definition: Definition, *, made: bool) -> bool:
        """Read what is there, or begin. Return whether the sweep is complete."""
        known = _definition(self.folder)
        if known is None:
            if not made and not all(map(is_leftover, DISK.listdir(self.folder))):
                raise SafetyRefusal(f"--out {self.folder}: holds other files; give a new folder")
            write_file(
                self.folder / _DEFINITION, msgspec.json.format(msgspec.json.encode(definition)) + b"\n"
            )
        else:
            difference = known.difference(definition)
            if difference:
                raise SafetyRefusal(
                    f"--out {self.folder}: is of another sweep, with {difference}; give another"
                )
            if (self.folder / _TRIALS).exists():
                self.done = {one.number: one for one in _lines(self.folder / _TRIALS)}
                (self.folder / _PART).unlink(missing_ok=True)
                return True
            self.done = {one.number: one for one in _lines(self.folder / _PART)}
        # What is there is written again, without a line that was cut short.
        lines = b"".join(line_of(one) for one in self.done.values())
        write_file(self.folder / _PART, lines)
        self._part = DISK.open_append(self.folder / _PART)
        return False


def read_sweep(folder: Path) -> tuple[Definition, list[Trial]]:
    """Return the definition of a sweep and its finished trials by number. Raises UsageError."""
    definition = _definition(folder)
    if definition is None:
        raise UsageError(f"{folder}: is not the folder of a sweep; it has no {_DEFINITION}")
    name = _TRIALS if (folder / _TRIALS).exists() else _PART
    return definition, sorted(_lines(folder / name), key=lambda one: one.number)


def _definition(folder: Path) -> Definition | None:
    path = folder / _DEFINITION
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Definition)
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None


def _lines(path: Path) -> list[Trial]:
    """Return the trials of a file, without a last line that was cut short. Raises UsageError."""
    try:
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        return [trial_of(line) for line in lines]
    except (OSError, msgspec.MsgspecError, LookupError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None


def write_file(path: Path, data: bytes) -> None:
    """Write a file in one step, durably. Raises EngineError."""
    try:
        write_whole(path, data)
    except OSError as error:
        raise EngineError(f"{path}: cannot be written: {error.strerror or error}") from error


def _other_days(mine: tuple[DayRef, ...], its: tuple[DayRef, ...]) -> str:
    known = {day.digest: day for day in mine}
    for day in its:
        if day.digest not in known:
            same = next((one for one in mine if one.day == day.day), None)
            if same is None:
                return f"other days: {day.folder} is not among those of the sweep"
            return f"other data of {day.day}: digest {same.digest[:16]} in the sweep, {day.digest[:16]} now"
    given = {day.digest for day in its}
    missing = next((day for day in mine if day.digest not in given), None)
    return f"other days: {missing.folder} of the sweep is not given" if missing else "days twice"


def _other_key(mine: str, its: str) -> str:
    """Return the first key that two configurations have different values of."""
    left, right = (_flat(msgspec.json.decode(text)) for text in (mine, its))
    for key in sorted(left.keys() | right.keys()):
        if left.get(key) != right.get(key):
            return f"{key} is {_cut(left.get(key))} in the sweep, {_cut(right.get(key))} now"
    return "its text"


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, dict) and value:
        found: dict[str, Any] = {}
        for key, each in value.items():
            found |= _flat(each, f"{path}.{key}" if path else str(key))
        return found
    return {path: value}


def _cut(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= 80 else f"{text[:77]}..."
