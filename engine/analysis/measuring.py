"""Every metric of a period by name, each a number or none with the reason.

Owns which collected amounts each formula gets. Called by `report` and by searches.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from engine.analysis import returns as of_days
from engine.analysis import trades as of_trips
from engine.analysis.collecting import Collector
from engine.analysis.formulas import FORMULAS, Measured, none
from engine.analysis.shapes import ReportSettings
from engine.analysis.trips import added

__all__ = ["daily_returns_of", "measure"]


def measure(
    collected: Collector,
    *,
    settings: ReportSettings | None = None,
    trials: int = 0,
    variance: float = 0.0,
) -> dict[str, Measured]:
    """Return every metric, in the order of `FORMULAS`.

    `trials` are the configurations that were tried until this one was chosen, 0 if that is not known, and
    `variance` that of their Sharpe ratios of one day: the deflated Sharpe ratio needs both.
    """
    settings = settings or ReportSettings()
    daily = daily_returns_of(collected)
    found = _of_account(collected) | _of_days(collected, daily, settings) | _of_trips(collected)
    booked, span_ns = collected.bookings, collected.last_ns - collected.first_ns
    found["exposure_percent"] = (
        Measured(collected.exposures.held_ns / span_ns * 100)
        if span_ns > 0
        else none("the period has no length")
    )
    found["underwater_percent"] = none(found["max_drawdown_days"].reason or "the period has no length")
    if span_ns > 0 and found["max_drawdown_days"].value is not None:
        found["underwater_percent"] = Measured(collected.drawdowns.below_ns / span_ns * 100)
    found["slippage"] = (
        Measured(booked.slippage)
        if booked.slipped
        else none("no market order or stop was filled at a known price")
    )
    found["dsr"] = of_days.deflated_sharpe(
        daily, trials=trials, variance=variance, rate=settings.daily_rate, days_min=settings.days_min
    )
    found["turnover"] = Measured(booked.turnover)
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


def daily_returns_of(collected: Collector) -> list[float] | None:
    """Return the daily returns of a period, None if the equity was 0 or below before its last day."""
    days = collected.days
    return of_days.daily_returns([float(one.equity) for one in days], [float(one.moved) for one in days])


def _of_days(
    collected: Collector, daily: list[float] | None, settings: ReportSettings
) -> dict[str, Measured]:
    year, rate, days_min = settings.annualise, settings.daily_rate, settings.days_min
    yearly = of_days.cagr(daily, year=year, days_min=days_min)
    fallen = collected.drawdowns.max_drawdown_percent
    return {
        "sharpe": of_days.sharpe(daily, year=year, rate=rate, days_min=days_min),
        "sortino": of_days.sortino(daily, year=year, rate=rate, days_min=days_min),
        "volatility_percent": of_days.volatility(daily, year=year, days_min=days_min),
        "cagr": yearly,
        "calmar": of_days.calmar(yearly, fallen),
        "psr": of_days.probabilistic_sharpe(daily, rate=rate, days_min=days_min),
        "max_drawdown_percent": fallen,
        "max_drawdown_days": collected.drawdowns.max_drawdown_days,
    }


def _of_trips(collected: Collector) -> dict[str, Measured]:
    booked = collected.bookings
    nets = booked.nets
    return {
        "round_trips": Measured(nets.count),
        "win_rate_percent": of_trips.win_rate(nets),
        "profit_factor": of_trips.profit_factor(nets),
        "payoff": of_trips.payoff(nets),
        "expectancy": of_trips.expectancy(nets),
        "sqn": of_trips.sqn(nets),
        "edge_ratio": of_trips.edge_ratio(booked.mfe, booked.mae),
        "best": of_trips.best(nets),
        "worst": of_trips.worst(nets),
    }


def _benchmark(collected: Collector) -> Measured:
    """What the instruments bought in equal parts, each at the close of its first bar, have gained."""
    gains = [
        Fraction(last) / Fraction(first) - 1 for first, last in collected.benchmark.held_prices() if first > 0
    ]
    if not gains:
        return none("no bar, so no first price")
    return Measured(float(sum(gains, Fraction(0)) / len(gains) * 100))
