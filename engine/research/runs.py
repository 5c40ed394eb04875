"""Runs and recorded days as results: metrics, rows, curves. Called by programs and notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

import replay
from engine.analysis.distributions import Bin
from engine.analysis.formulas import FORMULAS
from engine.analysis.matching import Orders
from engine.analysis.measures import measure_rows, report_fields
from engine.analysis.report import Report
from engine.analysis.shapes import (
    Curve,
    Day,
    DayPoint,
    FallRow,
    FillRow,
    Gap,
    GroupRow,
    IncompleteBar,
    Month,
    RoundTrip,
    SessionRow,
)
from engine.config import Config, StrategyConfig
from engine.events import Event, SessionStarted
from engine.events.codec import Derived
from engine.records import day_folders
from engine.research.frames import Point, Rows
from replay.backtesting import BacktestReport
from replay.differences import Comparison, Side
from replay.differences import compare as compare_sides
from replay.reports import report_of_days

__all__ = ["Metric", "Run", "backtest", "compare", "report"]

Number = float | int | Decimal | None


class Metric(msgspec.Struct, frozen=True):
    """A metric. `reason` says why there is no value."""

    name: str
    value: float | None
    unit: str
    reason: str
    formula: str


class Run:
    """What a backtest or recorded days gave.

    `metrics` are the numbers by name, None where there is none; `reasons` say why. Rows are typed; see
    `engine.analysis.shapes`. `backtest` has what only a run has: counts, refusals, notes.
    """

    def __init__(self, report: Report, backtest: BacktestReport | None = None) -> None:
        self.report = report
        self.backtest = backtest
        self.metrics: dict[str, Number] = {
            name: Decimal(value) if isinstance(value, str) else value
            for name, value in report.metrics.items()
        }
        self.reasons = report.reasons
        self.digest = report.fingerprints.digest
        self.currency = report.currency
        self.failures: list[str] = [] if backtest is None else backtest.failures
        self.notes: list[str] = [*(() if backtest is None else backtest.notes), *report.table_notes]
        self.days = Rows(DayPoint, report.days)
        self.daily = Rows(Day, report.daily)
        self.months = Rows(Month, report.months)
        self.trips = Rows(RoundTrip, report.trips)
        self.fills = Rows(FillRow, report.fill_rows)
        self.drawdowns = Rows(FallRow, report.drawdowns)
        self.by_instrument = Rows(GroupRow, report.by_instrument)
        self.by_strategy = Rows(GroupRow, report.by_strategy)
        self.by_entry_reason = Rows(GroupRow, report.by_entry_reason)
        self.by_exit_reason = Rows(GroupRow, report.by_exit_reason)
        self.by_hour = Rows(GroupRow, report.by_hour)
        self.by_weekday = Rows(GroupRow, report.by_weekday)
        self.daily_distribution = Rows(Bin, report.daily_distribution.bins)
        self.trip_distribution = Rows(Bin, report.trip_distribution.bins)
        self.gaps = Rows(Gap, report.gaps)
        self.incomplete = Rows(IncompleteBar, report.incomplete)
        self.sessions = Rows(SessionRow, report.fingerprints.sessions)
        self.equity = _points(report.series.equity)
        self.drawdown = _points(report.series.drawdown)
        self.benchmark = _points(report.series.benchmark)
        self.gross = _points(report.series.gross)
        self.net = _points(report.series.net)

    @property
    def table(self) -> Rows[Metric]:
        """The metrics as rows."""
        return Rows(
            Metric,
            [
                Metric(
                    name,
                    _float(value),
                    FORMULAS[name].unit,
                    self.reasons.get(name, ""),
                    FORMULAS[name].formula,
                )
                for name, value in self.metrics.items()
            ],
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the report as `engine report --json` gives it."""
        return report_fields(self.report)

    def __repr__(self) -> str:
        rows = [("equity", f"{self.metrics.get('equity_end')} {self.currency}"), *measure_rows(self.report)]
        rows += [("failed", failure) for failure in self.failures]
        rows += [("digest", self.digest)]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def backtest(
    days: str | Path | Iterable[str | Path],
    strategy: str | None = None,
    params: Mapping[str, Any] | None = None,
    *,
    config: Config | None = None,
    project: str | Path | None = None,
    out: str | Path | None = None,
    begin: str | None = None,
    end: str | None = None,
    warmup: str | None = None,
) -> Run:
    """Run a strategy, module:Class, on days or journals; the rest of the configuration is `config`.

    Without `strategy` those of `config` run. Other arguments and errors: see `replay.backtest`. A strategy
    that failed is in `failures`; the result ends there.
    """
    settings = config or Config()
    if strategy is not None:
        entry = StrategyConfig(use=strategy, params=dict(params or {}))
        settings = msgspec.structs.replace(settings, strategies=(entry,))
    found = replay.backtest(
        _several(days), settings, project=project, out=out, begin=begin, end=end, warmup=warmup
    )
    return Run(found.analysis, found)


def report(days: str | Path | Iterable[str | Path], *, config: Config | None = None) -> Run:
    """Report what recorded days earned, as `engine report` does: days of one journal, or a journal."""
    return Run(report_of_days(_several(days), config=config))


class _Watch:
    """Collects what a comparison needs of a run."""

    def __init__(self) -> None:
        self.orders = Orders()
        self.started: SessionStarted | None = None

    def append(self, first_seq: int, inputs: list[Event], derived: list[Derived], /) -> None:
        """Read a frame."""
        self.orders.append(first_seq, inputs, derived)
        for event in inputs:
            if isinstance(event, SessionStarted):
                self.started = event


def compare(
    live: str | Path | Iterable[str | Path], backtest: str | Path | Iterable[str | Path]
) -> tuple[Comparison, Run, Run]:
    """Compare two recorded runs as `engine report --compare` does; return the difference and both runs."""
    runs: list[Run] = []
    sides: list[Side] = []
    for days in (live, backtest):
        watch, given = _Watch(), _several(days)
        found = report_of_days(given, watch=[watch])
        folders = sorted(day_folders(tuple(map(Path, given))), key=lambda one: one.name)
        runs.append(Run(found))
        sides.append(Side(folders, watch.orders, watch.started, found.begin_ns, found.end_ns))
    return compare_sides(sides[0], sides[1]), runs[0], runs[1]


def _several(days: str | Path | Iterable[str | Path]) -> list[str | Path]:
    return [days] if isinstance(days, str | Path) else list(days)


def _float(value: Number) -> float | None:
    return None if value is None else float(value)


def _points(curve: Curve) -> Rows[Point]:
    return Rows(Point, [Point(at, value) for at, value in zip(curve.at_ns, curve.values, strict=True)])
