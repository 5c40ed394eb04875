"""The metrics by name: title, unit, formula and direction, as data that a page prints beside the number.

Owns the definitions that people read; `returns`, `drawdowns` and `trades` compute them. `Measured` is a
result: a number, or none with the reason, never a number that stands for "none". Called by everything that
shows or ranks results.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

__all__ = ["DAYS_MIN", "FORMULAS", "YEAR_DAYS", "Formula", "Measured", "none"]

YEAR_DAYS: Final = 365
"""Days of a year: crypto markets do not close."""

DAYS_MIN: Final = 30
"""Daily returns below which nothing is stated for a year."""


class Measured(msgspec.Struct, frozen=True):
    """A result. `value` is None if there is none; `reason` then says why."""

    value: float | int | Decimal | None
    reason: str = ""


def none(reason: str) -> Measured:
    """Return that there is no number, and why."""
    return Measured(None, reason)


class Formula(msgspec.Struct, frozen=True):
    """What a metric is. `unit` is "money", "percent", "days", "count" or "" for a plain ratio.

    `better` is 1 if more is better, -1 if less is, 0 if neither is.
    """

    title: str
    unit: str
    formula: str
    better: int


FORMULAS: Final = {
    "return_percent": Formula("return", "percent", "net_profit / equity_start * 100", 1),
    "net_profit": Formula("net profit", "money", "equity_end - equity_start - deposits + withdrawals", 1),
    "equity_start": Formula("equity at the start", "money", "equity before the first event of the period", 0),
    "equity_end": Formula("equity at the end", "money", "equity at the end, open positions included", 1),
    "benchmark_percent": Formula(
        "benchmark", "percent", "mean over instruments of last price / close of the first bar - 1, * 100", 0
    ),
    "sharpe": Formula("Sharpe", "", "mean(r - rf) / std(r, ddof 1) * sqrt(year)", 1),
    "sortino": Formula(
        "Sortino", "", "mean(r - rf) / sqrt(sum(min(r - rf, 0)^2) / n) * sqrt(year), n all days", 1
    ),
    "volatility_percent": Formula("volatility", "percent", "std(r, ddof 1) * sqrt(year) * 100", -1),
    "cagr": Formula("CAGR", "percent", "(product(1 + r)^(year / days) - 1) * 100", 1),
    "calmar": Formula("Calmar", "", "cagr / max_drawdown_percent", 1),
    "max_drawdown": Formula("largest drawdown", "money", "max(peak - equity) over all marks", -1),
    "max_drawdown_percent": Formula(
        "largest drawdown", "percent", "max((peak - equity) / peak) * 100 over all marks", -1
    ),
    "max_drawdown_days": Formula(
        "longest drawdown", "days", "longest time from a peak to its recovery, or to the end", -1
    ),
    "underwater_percent": Formula("time under water", "percent", "time in drawdowns / time * 100", -1),
    "exposure_percent": Formula("exposure", "percent", "time with a position / time * 100", 0),
    "round_trips": Formula("round trips", "count", "books that went from flat to flat in the period", 0),
    "win_rate_percent": Formula("win rate", "percent", "round trips with net > 0 / round trips * 100", 1),
    "profit_factor": Formula("profit factor", "", "sum(net > 0) / -sum(net < 0)", 1),
    "payoff": Formula("payoff", "", "mean(net > 0) / -mean(net < 0)", 1),
    "expectancy": Formula("expectancy", "money", "mean(net)", 1),
    "sqn": Formula("SQN", "", "sqrt(n) * mean(net) / std(net, ddof 1); n is not capped at 100", 1),
    "best": Formula("best round trip", "money", "max(net)", 1),
    "worst": Formula("worst round trip", "money", "min(net)", 1),
    "edge_ratio": Formula("edge ratio", "", "mean(mfe_percent) / -mean(mae_percent)", 1),
    "fees": Formula("fees", "money", "fees paid less rebates", -1),
    "funding": Formula("funding", "money", "funding received less paid", 1),
    "slippage": Formula(
        "slippage", "money", "sum of (fill price - price when sent, of a stop its trigger) * signed size", -1
    ),
    "turnover": Formula("turnover", "money", "sum of price * size of all fills", 0),
    "psr": Formula(
        "probabilistic Sharpe", "", "N(s * sqrt(n - 1) / sqrt(1 - g3 * s + (g4 - 1) / 4 * s^2)), s per day", 1
    ),
    "dsr": Formula(
        "deflated Sharpe", "", "psr against the ratio that the best of all trials without skill has", 1
    ),
}
"""By name, in the order of a report. `net` is the profit of a round trip after fees, `r` a daily return.

`year` are the days of a year and `rf` is the risk-free return of a day, both of the configuration.
"""
