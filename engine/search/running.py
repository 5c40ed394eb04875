"""Runs one trial in this process. Called in a process that ends after it.

Promises: the engine and the strategies that run are those of the job. Their sources are compared by
fingerprint after they were imported, with all modules of their projects, and again at the end.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from engine.analysis.report import Report
from engine.analysis.returns import daily_returns
from engine.config import Config, parse_config
from engine.errors import EngineError, JournalError, SafetyRefusal, UsageError
from engine.floors import deterministic_packages
from engine.guard import read_project
from engine.journal import DISK, Disk
from engine.loading.fingerprint import fingerprint_of
from engine.loading.modules import add_folder, own_modules
from engine.loading.strategies import load_strategy, make_builder, project_hash
from engine.search.environment import environment
from engine.search.jobs import Answer, Job, Outcome
from engine.strategies.base import Strategy
from replay.backtesting import BacktestReport, DigestSink, run_backtest

__all__ = ["results_code", "run_trial"]

_FAILURE_CHARACTERS_MAX: Final = 500
_MEASURES: Final = ("engine.analysis", "engine.views", "replay", "engine.search.running")
"""What decides the numbers of a trial besides the deterministic packages."""


def results_code() -> str:
    """Return 16 hex digits of all sources of the engine that decide the outcome of a trial."""
    return fingerprint_of((*deterministic_packages(), *_MEASURES))


def run_trial(job: Job, disk: Disk = DISK) -> Answer:
    """Run a trial and return what came of it. `disk` is where the days are read."""
    try:
        _refuse_other_engine(job)
        with own_modules(Path(job.project)):
            for folder in job.folders:
                add_folder(Path(folder))
            classes = _loaded(job)
            _refuse_other_strategies(job, classes)
            outcome = _outcome(job, disk)
            _refuse_other_strategies(job, classes)
            return Answer(outcome)
    except (JournalError, SafetyRefusal) as error:
        return Answer(error=str(error), code=error.exit_code)
    except (OSError, MemoryError) as error:
        return Answer(error=f"trial {job.number} cannot be run here: {type(error).__name__}: {error}")


def _outcome(job: Job, disk: Disk) -> Outcome:
    config = parse_config(job.config)
    folders = [Path(day.folder) for day in job.days]
    try:
        report = run_backtest(folders, make_builder(), config, DigestSink(), within=job.within, disk=disk)
    except (JournalError, SafetyRefusal, OSError, MemoryError):
        raise
    except Exception as error:
        shown = str(error) if isinstance(error, EngineError) else f"{type(error).__name__}: {error}"
        return Outcome("failed", shown[:_FAILURE_CHARACTERS_MAX], environment=_environment(config))
    return _of(report, config)


def _of(report: BacktestReport, config: Config) -> Outcome:
    analysis: Report = report.analysis
    state = "done" if report.orders else "no orders"
    failure = ""
    if report.failures:
        state, failure = "failed", report.failures[0][:_FAILURE_CHARACTERS_MAX]
    equity = [float(one.equity) for one in analysis.days]
    moved = [float(one.moved) for one in analysis.days]
    return Outcome(
        state,
        failure,
        report.orders,
        report.refused,
        report.fills,
        report.digest,
        analysis.metrics,
        analysis.reasons,
        daily_returns(equity, moved),
        max((one.exited_ns - one.entered_ns for one in analysis.trips), default=0),
        _environment(config),
    )


def _environment(config: Config) -> dict[str, str]:
    libraries = {
        library
        for entry in config.strategies
        for library in read_project(entry.use.partition(":")[0]).libraries
    }
    return environment(sorted(libraries))


def _refuse_other_engine(job: Job) -> None:
    code = results_code()
    if code != job.code:
        raise SafetyRefusal(
            f"trial {job.number}: the engine here has the code {code}, that of the sweep is {job.code}; "
            "install the same version"
        )


def _loaded(job: Job) -> dict[str, type[Strategy]]:
    """Return the strategies of a job. Raises SafetyRefusal if one cannot be imported here."""
    try:
        return {one.use: load_strategy(one.use) for one in job.strategies}
    except UsageError as error:
        raise SafetyRefusal(f"trial {job.number}: a strategy cannot be loaded here: {error}") from error


def _refuse_other_strategies(job: Job, classes: dict[str, type[Strategy]]) -> None:
    """Raise SafetyRefusal if the sources of a strategy are not those of the job."""
    for known in job.strategies:
        source = project_hash(classes[known.use])
        if source != known.source:
            raise SafetyRefusal(
                f"trial {job.number}: the sources of {known.use} and its imports are {source} here, those of "
                f"the sweep {known.source}"
            )
