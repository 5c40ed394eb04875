"""How a report is shown: rows of a table, and fields for machines. Called by commands and `research`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from engine.analysis.formulas import FORMULAS
from engine.analysis.report import Report

__all__ = ["measure_rows", "report_fields"]

_ROWS: Final[tuple[tuple[str, Sequence[str]], ...]] = (
    ("result", ("return_percent", "benchmark_percent", "net_profit")),
    ("ratios", ("sharpe", "sortino", "cagr", "calmar")),
    ("drawdown", ("max_drawdown_percent", "max_drawdown_days")),
    ("trips", ("round_trips", "win_rate_percent", "profit_factor", "sqn")),
    ("per trip", ("expectancy", "best", "worst")),
    ("activity", ("exposure_percent", "turnover", "slippage")),
)
"""The metrics of each row. Equity, fees and the like have other rows."""


def report_fields(report: Report) -> dict[str, Any]:
    """Return a report for JSON: the metrics by their names, then everything else."""
    fields = msgspec.to_builtins(report)
    return {**fields.pop("metrics"), **fields}


def measure_rows(report: Report) -> list[tuple[str, str]]:
    """Return the main metrics, then what has no number and why, then what the data lacks."""
    rows = []
    for name, metrics in _ROWS:
        shown = [_shown(one, report.metrics[one]) for one in metrics if report.metrics[one] is not None]
        if shown:
            rows.append((name, ", ".join(shown)))
    why: dict[str, list[str]] = {}
    for _, metrics in _ROWS:
        for one in metrics:
            if one in report.reasons:
                why.setdefault(report.reasons[one], []).append(FORMULAS[one].title)
    rows += [("none", f"{', '.join(titles)}: {reason}") for reason, titles in why.items()]
    if report.gaps_count or report.incomplete_bars:
        rows.append(("data", f"{report.gaps_count:,} gaps, {report.incomplete_bars:,} incomplete bars"))
    return rows


def _shown(name: str, value: float | int | str | None) -> str:
    """Return a title and a number, rounded to be read; the exact one is in the JSON."""
    formula = FORMULAS[name]
    assert value is not None, "only numbers are shown"
    number = float(value)
    if formula.unit == "count":
        return f"{formula.title} {number:,.0f}"
    unit = {"percent": " %", "days": " days"}.get(formula.unit, "")
    digits = f"{number:,.2f}" if not number or abs(number) >= 0.1 else f"{number:.2g}"
    return f"{formula.title} {digits}{unit}"
