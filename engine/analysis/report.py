"""The result of a period: every metric by name, and the tables behind them.

Owns how what was collected becomes numbers. Called by backtests, and by whatever reports recorded days.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import msgspec

from engine.analysis import returns as of_days
from engine.analysis import trades as of_trips
from engine.analysis.collecting import Collector, text_of
from engine.analysis.formulas import FORMULAS, Measured, none
from engine.analysis.shapes import (
    Costs,
    Day,
    DayPoint,
    Exposure,
    FallRow,
    FillRow,
    Fingerprints,
    Gap,
    GroupRow,
    IncompleteBar,
    ReportSettings,
    RoundTrip,
    Series,
)
from engine.analysis.tables import Distribution, Month, distribution, months
from engine.analysis.trips import added
from engine.values import format_scaled

__all__ = ["Report", "measure", "report_of"]


class Report(msgspec.Struct):
    """Metrics and tables of a period. Money is exact decimal text, times are UTC nanoseconds.

    `metrics` has every name of `engine.analysis.formulas`: a number, money as text, or None; `reasons` says
    of each None why. `open_trips` are positions at the end, `cut_trips` those whose entry was before the
    period. `incomplete_bars` are those that no correction made complete; `gaps` and `incomplete` hold the
    first thousand. `trips` and `fills` hold the newest, and `notes` say what they leave out; the metrics and
    tables count all. The tables `by_...` are of the entry, `by_exit_reason` of the exit. `currency` is that
    of all money, "" if the records do not say it.
    """

    metrics: dict[str, float | int | str | None] = {}
    reasons: dict[str, str] = {}
    days: list[DayPoint] = []
    trips: list[RoundTrip] = []
    drawdowns: list[FallRow] = []
    months: list[Month] = []
    daily_distribution: Distribution = Distribution()
    trip_distribution: Distribution = Distribution()
    open_trips: int = 0
    cut_trips: int = 0
    gaps: list[Gap] = []
    gaps_count: int = 0
    incomplete_bars: int = 0
    settings: ReportSettings = ReportSettings()
    currency: str = ""
    begin_ns: int = 0
    end_ns: int = 0
    series: Series = Series()
    daily: list[Day] = []
    by_instrument: list[GroupRow] = []
    by_strategy: list[GroupRow] = []
    by_entry_reason: list[GroupRow] = []
    by_exit_reason: list[GroupRow] = []
    by_hour: list[GroupRow] = []
    by_weekday: list[GroupRow] = []
    exposure: Exposure = Exposure()
    costs: Costs = Costs()
    incomplete: list[IncompleteBar] = []
    fingerprints: Fingerprints = Fingerprints()
    fills: list[FillRow] = []
    fills_count: int = 0
    notes: list[str] = []


def report_of(collected: Collector, *, trials: int = 0, variance: float = 0.0) -> Report:
    """Return the report of a collector that has finished. The rest: see `measure`."""
    measured = measure(collected, trials=trials, variance=variance)
    daily = _daily(collected)
    ends_ns = [point.at_ns for point in collected.days[1:]]
    return Report(
        {name: _plain(one) for name, one in measured.items()},
        {name: one.reason for name, one in measured.items() if one.value is None},
        collected.days,
        collected.trips,
        [
            FallRow(
                one.start_ns,
                one.valley_ns,
                one.end_ns,
                format_scaled(one.depth, one.scale),
                one.percent,
                one.days,
            )
            for one in collected.drawdowns.worst
        ],
        months(ends_ns, daily) if daily is not None else [],
        distribution(daily or []),
        distribution([float(one.net) for one in collected.trips]),
        collected.open_trips,
        collected.cut,
        collected.gaps,
        collected.gaps_count,
        len(collected.incomplete),
    )


def measure(collected: Collector, *, trials: int = 0, variance: float = 0.0) -> dict[str, Measured]:
    """Return every metric, in the order of `FORMULAS`.

    `trials` are the configurations that were tried until this one was chosen, 0 if that is not known, and
    `variance` that of their Sharpe ratios of one day: the deflated Sharpe ratio needs both.
    """
    found = _of_account(collected) | _of_days(collected) | _of_trips(collected)
    span_ns = collected.last_ns - collected.first_ns
    found["exposure_percent"] = (
        Measured(collected.held_ns / span_ns * 100) if span_ns > 0 else none("the period has no length")
    )
    found["underwater_percent"] = none(found["max_drawdown_days"].reason or "the period has no length")
    if span_ns > 0 and found["max_drawdown_days"].value is not None:
        found["underwater_percent"] = Measured(collected.drawdowns.below_ns / span_ns * 100)
    found["slippage"] = (
        Measured(collected.slippage)
        if collected.slipped
        else none("no market order or stop was filled at a known price")
    )
    found["dsr"] = of_days.deflated_sharpe(_daily(collected), trials=trials, variance=variance)
    found["turnover"] = Measured(collected.turnover)
    found["benchmark_percent"] = _benchmark(collected)
    return {name: found[name] for name in FORMULAS}


def _of_account(collected: Collector) -> dict[str, Measured]:
    names = ("return_percent", "net_profit", "equity_start", "equity_end", "fees", "funding", "max_drawdown")
    if collected.start is None or collected.end is None:
        return dict.fromkeys(names, none("the equity is not known"))
    end = collected.end
    scale = end.scale
    start = collected.start.at(scale)
    profit = end.equity - start.equity - (end.moved - start.moved)
    return_percent = none("the equity at the start is 0 or below")
    if start.equity > 0:
        return_percent = Measured(float(Fraction(profit * 100, start.equity)))
    return {
        "return_percent": return_percent,
        **{
            name: Measured(added(Decimal(0), amount, scale))
            for name, amount in (
                ("net_profit", profit),
                ("equity_start", start.equity),
                ("equity_end", end.equity),
                ("fees", end.fees - start.fees),
                ("funding", end.funding - start.funding),
                ("max_drawdown", collected.drawdowns.most),
            )
        },
    }


def _daily(collected: Collector) -> list[float] | None:
    days = collected.days
    return of_days.daily_returns([float(one.equity) for one in days], [float(one.moved) for one in days])


def _of_days(collected: Collector) -> dict[str, Measured]:
    daily = _daily(collected)
    yearly, fallen = of_days.cagr(daily), collected.drawdowns.max_drawdown_percent
    return {
        "sharpe": of_days.sharpe(daily),
        "sortino": of_days.sortino(daily),
        "volatility_percent": of_days.volatility(daily),
        "cagr": yearly,
        "calmar": of_days.calmar(yearly, fallen),
        "psr": of_days.probabilistic_sharpe(daily),
        "max_drawdown_percent": fallen,
        "max_drawdown_days": collected.drawdowns.max_drawdown_days,
    }


def _of_trips(collected: Collector) -> dict[str, Measured]:
    nets = [Decimal(one.net) for one in collected.trips]
    return {
        "round_trips": Measured(len(nets)),
        "win_rate_percent": of_trips.win_rate(nets),
        "profit_factor": of_trips.profit_factor(nets),
        "payoff": of_trips.payoff(nets),
        "expectancy": of_trips.expectancy(nets),
        "sqn": of_trips.sqn(nets),
        "edge_ratio": of_trips.edge_ratio(
            [one.mfe_percent for one in collected.trips], [one.mae_percent for one in collected.trips]
        ),
        "best": of_trips.best(nets),
        "worst": of_trips.worst(nets),
    }


def _benchmark(collected: Collector) -> Measured:
    """What the instruments bought in equal parts, each at the close of its first bar, have gained."""
    gains = [Fraction(last) / Fraction(first) - 1 for first, last in collected.held_prices() if first > 0]
    if not gains:
        return none("no bar, so no first price")
    return Measured(float(sum(gains, Fraction(0)) / len(gains) * 100))


def _plain(one: Measured) -> float | int | str | None:
    return text_of(one.value) if isinstance(one.value, Decimal) else one.value
