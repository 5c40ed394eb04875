"""The result of a period: every metric by name, and the tables behind them.

Owns how what was collected becomes the report, the same for a backtest and for recorded days. Called by
backtests, and by whatever reports recorded days.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import msgspec

from engine.analysis.bookings import PLOTS_MAX
from engine.analysis.collecting import Collector
from engine.analysis.distributions import Distribution, distribution
from engine.analysis.formulas import Measured
from engine.analysis.groups import GROUPS_MAX, TABLES, TITLES, Money
from engine.analysis.measuring import daily_returns_of, measure
from engine.analysis.periods import days_of, months_of
from engine.analysis.shapes import (
    MORE,
    OTHER,
    Costs,
    Curve,
    Day,
    DayPoint,
    Exposure,
    FallRow,
    FillRow,
    Fingerprints,
    Gap,
    GroupRow,
    IncompleteBar,
    Month,
    ReportSettings,
    RoundTrip,
    Series,
)
from engine.analysis.trips import difference, text_of, total
from engine.values import format_scaled, power_of_ten

__all__ = ["Report", "report_of"]


class Report(msgspec.Struct):
    """Metrics and tables of a period. Money is exact decimal text, times are UTC nanoseconds.

    `metrics` has every name of `engine.analysis.formulas`: a number, money as text, or None; `reasons` says
    of each None why. `open_trips` are positions at the end, `cut_trips` those whose entry was before the
    period. `incomplete_bars` are those that no correction made complete; `gaps` and `incomplete` hold the
    first thousand. `trips` and `fill_rows` hold the newest, and `table_notes` say what they leave out; the
    metrics and tables count all. The tables `by_...` are of the entry, `by_exit_reason` of the exit.
    `currency` is that of all money, "" if the records do not say it.
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
    fill_rows: list[FillRow] = []
    fills_count: int = 0
    table_notes: list[str] = []


def report_of(
    collected: Collector,
    *,
    digest: str = "",
    settings: ReportSettings | None = None,
    trials: int = 0,
    variance: float = 0.0,
) -> Report:
    """Return the report of a collector that has finished. `digest` is that of its last record.

    The rest: see `measure`.
    """
    settings = settings or ReportSettings()
    measured = measure(collected, settings=settings, trials=trials, variance=variance)
    daily, booked, doubts = daily_returns_of(collected), collected.bookings, collected.doubts
    days = days_of(collected.days, booked.ended)
    labels = {one.key: collected.instruments.label(number) for number, one in collected.instruments.items()}
    groups, whole = collected.groups(), _money(measured)
    tables = {name: groups.rows(name, whole, labels if name == "instrument" else {}) for name in TABLES}
    return Report(
        {name: _plain(one) for name, one in measured.items()},
        {name: one.reason for name, one in measured.items() if one.value is None},
        collected.days,
        list(booked.trips),
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
        months_of(days),
        distribution(daily or []),
        distribution(booked.net_values),
        booked.open_trips,
        booked.cut,
        doubts.gaps,
        doubts.gaps_count,
        doubts.bars_count,
        settings,
        collected.currency(),
        collected.first_ns,
        collected.last_ns,
        _series(collected),
        days,
        tables["instrument"],
        tables["strategy"],
        tables["entry_reason"],
        tables["exit_reason"],
        tables["hour"],
        tables["weekday"],
        collected.exposures.result(collected.last_ns - collected.first_ns),
        _costs(collected, measured, whole),
        doubts.bar_rows(),
        collected.sessions.fingerprints(digest),
        booked.fill_rows(),
        booked.fills_count,
        _notes(collected, groups.full),
    )


def _money(measured: dict[str, Measured]) -> Money:
    """Return the totals that each breakdown sums to; all 0 where the equity is not known."""
    net, fees, funding = (measured[name].value or Decimal(0) for name in ("net_profit", "fees", "funding"))
    assert isinstance(net, Decimal)
    assert isinstance(fees, Decimal)
    assert isinstance(funding, Decimal)
    return Money(difference(total(net, fees), funding), fees, funding)


def _series(collected: Collector) -> Series:
    gross, net = collected.exposures.curves()
    start = collected.start
    benchmark = Curve()
    if start is not None:
        benchmark = collected.benchmark.curve(start.equity / power_of_ten(start.scale))
    return Series(collected.equity.curve(), collected.falls.curve(), benchmark, gross, net)


def _costs(collected: Collector, measured: dict[str, Measured], whole: Money) -> Costs:
    """Return what the profit before costs was spent on."""
    if measured["net_profit"].value is None:
        return Costs(reason=measured["net_profit"].reason)
    booked = collected.bookings
    slippage = booked.slippage if booked.slipped else None
    gross = whole.profit if slippage is None else total(whole.profit, slippage)
    return Costs(
        text_of(gross),
        text_of(whole.fees),
        text_of(whole.funding),
        None if slippage is None else text_of(slippage),
        text_of(whole.net),
        _share(whole.fees, gross),
        _share(-whole.funding, gross),
        _share(slippage, gross),
        text_of(booked.maker_fees),
        text_of(booked.taker_fees),
        "" if gross > 0 else "there is no profit before costs",
    )


def _share(cost: Decimal | None, gross: Decimal) -> float | None:
    return float(Fraction(cost) / Fraction(gross) * 100) if cost is not None and gross > 0 else None


def _notes(collected: Collector, full: set[str]) -> list[str]:
    """Return what the tables leave out."""
    booked = collected.bookings
    notes = [
        f"the list holds the newest {len(rows):,} of {count:,} {what}; the metrics and tables count all"
        for what, rows, count in (
            ("round trips", booked.trips, booked.nets.count),
            ("fills", booked.fill_rows(), booked.fills_count),
        )
        if len(rows) < count
    ]
    notes += [
        f"the list holds the first {len(rows):,} of {count:,} {what}"
        for what, rows, count in (
            ("gaps", collected.doubts.gaps, collected.doubts.gaps_count),
            ("incomplete bars", collected.doubts.bar_rows(), collected.doubts.bars_count),
        )
        if len(rows) < count
    ]
    notes += [
        f"there are more than {GROUPS_MAX:,} {TITLES[name]}; the rest of them is the row {MORE}"
        for name in TABLES
        if name in full
    ]
    if booked.plots_full:
        notes.append(f"round trips have the first {PLOTS_MAX} plots of a strategy")
    notes += [
        f"the money of {collected.instruments.label(number)} is in {quote}: in the tables its "
        f"value in {collected.currency()} is in the row {OTHER}"
        for number, quote in booked.foreign()
        if quote not in dict(collected.unvalued)
    ]
    notes += [
        f"{amount} {asset} of profit and loss has no price under [account] prices: no number here includes it"
        for asset, amount in collected.unvalued
    ]
    return notes


def _plain(one: Measured) -> float | int | str | None:
    return text_of(one.value) if isinstance(one.value, Decimal) else one.value
