"""Walk-forward: parameters are chosen on the past, and what they lead to is measured on what comes after.

    DIR/
      train-001/     the sweep that chose the parameters of the first piece (see `registry`), and so on
      run/           one journal: the pieces out of sample, joined
      forward.json   what was chosen, when, and what came of it

Each piece has a copy of the strategies in the joined session, with the parameters that its training chose and
a window of time (`SessionStarted.windows`): it warms up on the days before, trades in its piece, and at the
end the simulated venue closes what it holds at the last price, with costs. So the run is one session with one
account, configuration and windows are in its first record, and it replays as any other. Setting parameters of
one running strategy was the other way: its indicators would have to be rebuilt at each seam.

Promises: a training reads nothing received from its end on, so nothing after it can change what is chosen;
results do not depend on the number of jobs. What was interrupted goes on. Called by `engine sweep`.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, product
from pathlib import Path
from typing import Any, Final

import msgspec

from engine.analysis.returns import daily_returns, probabilistic_sharpe
from engine.clock import DAY_NS, day_start_ns, iso_text
from engine.config import Config, parse_config
from engine.errors import SafetyRefusal, UsageError
from engine.events import EquityMarked, Event
from engine.events.codec import Derived
from engine.guard import read_project
from engine.journal import list_days
from engine.loading.modules import add_folder, own_modules
from engine.loading.strategies import load_strategy, make_builder, project_hash
from engine.search.axes import Axis, ends_of
from engine.search.bootstrap import resampled
from engine.search.executors import Running
from engine.search.folds import Fold, Plan, folds_of, warmup_of
from engine.search.jobs import DayRef, Trial, Value
from engine.search.luck import DSR_MIN, P_MAX
from engine.search.outside import outside_of
from engine.search.ranking import best_of, value_of, why_unranked
from engine.search.registry import Registry, write_file
from engine.search.sweeping import Sweep, define, run_sweep
from engine.values import power_of_ten
from replay.backtesting import BacktestReport, run_backtest
from replay.days import look
from replay.joining import MARKET
from replay.ranges import Range
from replay.runs import new_journal
from replay.seams import Windows

__all__ = ["EFFICIENCY_MIN", "Forward", "Piece", "period_of", "walk_forward"]

EFFICIENCY_MIN: Final = 0.5

CORNERS_MAX: Final = 4_096
"""Combinations of parameters that are asked for their warm-up, at most."""


class Piece(msgspec.Struct, frozen=True):
    """One piece. Times are ISO 8601; `begin` is after the embargo. Without a choice `why` says why.

    `in_sample` is the mean daily return of the chosen trial in training, `value` its metric, and
    `return_percent` the change of the equity of the joined run in the piece.
    """

    number: int
    train_begin: str
    train_end: str
    begin: str
    end: str
    embargo_s: float
    trial: int = 0
    params: dict[str, Value] = {}
    value: float | None = None
    in_sample: float | None = None
    return_percent: float | None = None
    why: str = ""


class Forward(msgspec.Struct, frozen=True):
    """The result. `efficiency`: the mean daily return out of sample / that of the chosen trials in training.

    `metrics` and `reasons` are those of the joined run. `verdict` and `lines`: see `luck.Luck`.
    """

    pieces: list[Piece]
    digest: str
    metrics: dict[str, Any]
    reasons: dict[str, str]
    warmup_s: float
    in_sample: float | None
    out_of_sample: float | None
    efficiency: float | None
    psr: float | None
    p_value: float | None
    verdict: str
    lines: list[str]


class _Chosen(msgspec.Struct, frozen=True):
    """The best trial of a training, its configuration, and when it may trade."""

    fold: Fold
    trial: Trial | None
    config: str
    begin_ns: int
    why: str


def period_of(days: Sequence[DayRef], within: Range) -> tuple[int, int]:
    """Return the first and the last time of the days, or of the range where it has them."""
    first, last = min(day.day for day in days), max(day.day for day in days)
    end_ns = within.end_ns or day_start_ns(last) + DAY_NS
    return within.begin_ns or day_start_ns(first), end_ns


def walk_forward(
    days: tuple[DayRef, ...],
    config: Config,
    axes: Sequence[Axis],
    plan: Plan,
    running: Running,
    out: Path,
    *,
    metric: str,
    better: int,
    project: Path,
    folders: tuple[Path, ...] = (),
    within: Range,
    progress: Callable[[int], None] | None = None,
    **search: Any,
) -> Forward:
    """Run the trainings and the joined run, and return the result; it is written to `forward.json`.

    `search` are the arguments `search`, `trials` and `seed` of `sweeping.define`. Raises UsageError if no
    training chooses anything.
    """
    begin_ns, end_ns = period_of(days, within)
    folds = folds_of(plan, begin_ns, end_ns)
    fetched = {day.folder for day in days if look(Path(day.folder), MARKET).fetched}
    whole = define(
        days, config, axes, metric=metric, better=better, project=project, folders=folders, **search
    )
    warmup_ns = plan.warmup_ns
    if warmup_ns is None:
        with _modules(project, folders):
            warmup_ns = _warmup(whole, axes, config)
    done = 0
    chosen: list[_Chosen] = []
    for fold in folds:
        span = Range(fold.train_ns, fold.until_ns, warmup_ns)
        known = tuple(day for day in days if day.folder in fetched or span.has_day(day_start_ns(day.day)))
        if not known:
            raise UsageError(
                f"--walk-forward: no day is in the training {span.text()}; give days without gaps"
            )
        sweep = define(
            known,
            config,
            axes,
            metric=metric,
            better=better,
            project=project,
            folders=folders,
            within=span,
            **search,
        )
        trials = _trained(sweep, running, out / f"train-{fold.number:03d}", done, progress)
        done += len(trials)
        chosen.append(_choose(sweep, trials, fold, plan, warmup_ns))
    if all(one.trial is None for one in chosen):
        raise UsageError(f"--walk-forward: no training chose anything; the first: {chosen[0].why}")
    with _modules(project, folders):
        outside = _Outside(whole)
        report, marks = _join(days, config, chosen, warmup_ns, end_ns, out / "run")
        shared = outside.changed()
    found = _result(chosen, report, marks, metric, warmup_ns, shared)
    write_file(out / "forward.json", msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    return found


def _warmup(sweep: Sweep, axes: Sequence[Axis], config: Config) -> int:
    """Return the longest warm-up among the least and the largest values of the parameters, and all texts.

    What a strategy refuses is no trial, so it needs no warm-up.
    """
    classes = {entry.use: load_strategy(entry.use) for entry in config.strategies}
    longest = 0
    for places in islice(product(*map(ends_of, axes)), CORNERS_MAX):
        try:
            longest = max(longest, warmup_of(parse_config(sweep.job(1, places).config), classes))
        except (Exception, SystemExit):
            continue  # the trial of these parameters fails, and says why
    return longest


def _trained(
    sweep: Sweep, running: Running, folder: Path, done: int, progress: Callable[[int], None] | None
) -> list[Trial]:
    registry = Registry(folder, sweep.definition)
    try:
        if registry.complete:
            return registry.finish()
        shown = None if progress is None else lambda count: progress(done + count)
        return run_sweep(sweep, registry, running, shown)
    finally:
        registry.close()


def _choose(sweep: Sweep, trials: list[Trial], fold: Fold, plan: Plan, warmup_ns: int) -> _Chosen:
    """Return the best trial of a training. The embargo is known from the training alone."""
    metric = sweep.definition.metric
    best = best_of(trials, metric, sweep.definition.better)
    if best is None:
        return _Chosen(fold, None, "", fold.until_ns, why_unranked(trials, metric))
    embargo_ns = plan.embargo_ns
    if embargo_ns is None:
        embargo_ns = warmup_ns + best.outcome.longest_ns
    begin_ns = fold.until_ns + embargo_ns
    if begin_ns >= fold.end_ns:
        why = f"the embargo of {embargo_ns / 10**9:,.0f} s leaves nothing of the test; give a longer test"
        return _Chosen(fold, None, "", begin_ns, why)
    values = sweep.definition.params
    places = tuple(list(values[one.name]).index(best.params[one.name]) for one in sweep.axes)
    return _Chosen(fold, best, sweep.job(best.number, places).config, begin_ns, "")


@contextmanager
def _modules(project: Path, folders: Sequence[Path]) -> Iterator[None]:
    """Import the strategies anew: what they left in their modules elsewhere does not count here."""
    with own_modules(project):
        for folder in folders:
            add_folder(folder)
        yield


class _Outside:
    """What the modules of the strategies of a sweep hold before the joined run, and after it.

    Raises SafetyRefusal if their sources are not those of the trainings.
    """

    def __init__(self, sweep: Sweep) -> None:
        names: set[str] = set()
        for one in sweep.definition.strategies:
            if project_hash(load_strategy(one.use)) != one.source:
                raise SafetyRefusal(f"{one.use}: its sources changed since the trainings began; start again")
            names |= read_project(one.use.partition(":")[0]).sources.keys()
        self._names = sorted(names)
        self._before = outside_of(self._names)

    def changed(self) -> list[str]:
        """Return the names of modules that hold something else now."""
        after = outside_of(self._names)
        return sorted(name for name in after if after[name] != self._before.get(name))


class _Marks:
    """Notes the equity at times, the newest mark before each."""

    def __init__(self) -> None:
        self.times: list[int] = []
        self.values: list[float] = []

    def append(self, first_seq: int, inputs: list[Event], derived: list[Derived], /) -> None:
        """Read a frame."""
        for _, _, event in derived:
            if isinstance(event, EquityMarked):
                self.times.append(event.at_ns)
                self.values.append(int(event.equity) / power_of_ten(event.scale))

    def before(self, at_ns: int) -> float | None:
        """Return the newest equity at or before a time."""
        found = None
        for time_ns, value in zip(self.times, self.values, strict=True):
            if time_ns > at_ns:
                break
            found = value
        return found


def _join(
    days: Sequence[DayRef], config: Config, chosen: Sequence[_Chosen], warmup_ns: int, end_ns: int, out: Path
) -> tuple[BacktestReport, _Marks]:
    """Run the pieces as one session, written as a journal; a run that was cut off is written again."""
    entries, windows = [], []
    for one in chosen:
        if one.trial is None:
            continue
        for entry in parse_config(one.config).strategies:
            name = f"{entry.title}-{one.fold.number:03d}"
            entries.append(msgspec.structs.replace(entry, name=name))
            windows.append((name, one.begin_ns - warmup_ns, one.begin_ns, one.fold.end_ns))
    joined = msgspec.structs.replace(config, strategies=tuple(entries))
    within = Range(chosen[0].fold.until_ns, end_ns, warmup_ns)
    marks = _Marks()
    part = out.with_name(f"{out.name}.part")
    for folder in (part, out):
        if folder.is_dir() and (folder == part or list_days(folder)):
            shutil.rmtree(folder)
    pieces: Windows = tuple(windows)
    with new_journal(part) as sink:
        report = run_backtest(
            [Path(day.folder) for day in days],
            make_builder(),
            joined,
            sink,
            watch=[marks],
            within=within,
            windows=pieces,
        )
    part.rename(out)
    return report, marks


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _result(
    chosen: Sequence[_Chosen],
    report: BacktestReport,
    marks: _Marks,
    metric: str,
    warmup_ns: int,
    shared: Sequence[str],
) -> Forward:
    pieces: list[Piece] = []
    trained: list[float] = []
    for one in chosen:
        fold, trial = one.fold, one.trial
        before, after = marks.before(fold.until_ns), marks.before(fold.end_ns)
        change = None if trial is None or not before or after is None else (after / before - 1) * 100
        in_sample = _mean(trial.outcome.daily or []) if trial is not None else None
        if in_sample is not None:
            trained.append(in_sample)
        pieces.append(
            Piece(
                fold.number,
                _iso(fold.train_ns),
                _iso(fold.until_ns),
                _iso(one.begin_ns),
                _iso(fold.end_ns),
                (one.begin_ns - fold.until_ns) / 10**9,
                0 if trial is None else trial.number,
                {} if trial is None else trial.params,
                None if trial is None else value_of(trial.outcome, metric),
                in_sample,
                change,
                one.why,
            )
        )
    points = report.analysis.days
    daily = daily_returns([float(one.equity) for one in points], [float(one.moved) for one in points]) or []
    inside, outside = _mean(trained), _mean(daily)
    efficiency = outside / inside if inside is not None and inside > 0 and outside is not None else None
    psr = probabilistic_sharpe(daily)
    p_value = resampled(daily).p_value if psr.value is not None else None
    verdict, lines = _verdict(efficiency, psr.value, p_value, psr.reason)
    if shared:
        verdict = "cannot be judged"
        why = (
            "changed and is shared by the pieces, so one can see what later trainings chose; keep it in self"
        )
        lines = [f"{', '.join(shared)}: {why}", *lines]
    return Forward(
        pieces,
        report.digest,
        report.analysis.metrics,
        report.analysis.reasons,
        warmup_ns / 10**9,
        inside,
        outside,
        efficiency,
        None if psr.value is None else float(psr.value),
        p_value,
        verdict,
        lines,
    )


def _iso(at_ns: int) -> str:
    return iso_text(at_ns)[:19]


def _verdict(efficiency: float | None, psr: Any, p_value: float | None, reason: str) -> tuple[str, list[str]]:
    lines = []
    if efficiency is not None and efficiency < EFFICIENCY_MIN:
        lines.append(
            f"efficiency {efficiency:.2f}, under {EFFICIENCY_MIN}: a day out of sample gains that share of a "
            "day in training"
        )
    if psr is not None and psr < DSR_MIN:
        lines.append(f"probabilistic Sharpe {psr:.2f} out of sample, under {DSR_MIN}")
    if p_value is not None and p_value > P_MAX:
        lines.append(f"bootstrap {p_value:.2f} out of sample, over {P_MAX}")
    if lines:
        return "may be luck", lines
    if psr is None:
        return "cannot be judged", [f"no probabilistic Sharpe out of sample: {reason}"]
    return "no sign of luck", ["no measure is beyond its limit, which does not prove skill"]
