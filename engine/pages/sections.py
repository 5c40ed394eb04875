"""The sections of a report's page that need no script: tables and small charts of one result.

Each function returns one section from a `Report`, as exact as the report is: numbers are rounded for people,
and what has no number says why. Called by `report`, and by `comparison` for what it shows of two runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from engine.analysis.formulas import FORMULAS
from engine.analysis.report import Report
from engine.analysis.shapes import GroupRow
from engine.clock import DAY_NS
from engine.pages.charts import bars, heat_map, histogram
from engine.pages.formats import DASH, length_text, number, sign_of, time_text, with_unit
from engine.pages.markup import Child, Markup, joined, tag
from engine.pages.tables import Cell, Column, Row, money, pairs, table

__all__ = [
    "TILES",
    "breakdowns",
    "costs",
    "data_quality",
    "drawdowns",
    "metrics",
    "months",
    "panel",
    "provenance",
    "returns",
    "tile",
    "tiles",
]

TILES: Final = (
    ("return_percent", "benchmark_percent"),
    ("net_profit", "equity_end"),
    ("max_drawdown_percent", "max_drawdown_days"),
    ("sharpe", "sortino"),
    ("cagr", "calmar"),
    ("round_trips", "win_rate_percent"),
    ("profit_factor", "expectancy"),
    ("exposure_percent", "fees"),
)
"""The numbers at the top: a large one, and one below it."""

_SIGNED: Final = frozenset(
    {"return_percent", "net_profit", "benchmark_percent", "cagr", "expectancy", "best", "worst", "funding"}
)
_NAMES: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def panel(name: str, title: str, *children: Child) -> Markup:
    """Return a section with a heading that links lead to."""
    return tag(
        "section",
        tag("h2", title, id=f"{name}-title"),
        *children,
        id=name,
        class_="panel",
        aria_labelledby=f"{name}-title",
    )


def _metric(report: Report, name: str) -> str:
    return with_unit(report.metrics.get(name), FORMULAS[name].unit, sign=name in _SIGNED)


def tile(title: str, value: str, below: Child, *, tone: str = "", hint: str = "") -> Markup:
    """Return a large number with its name above, and a line below it."""
    return tag(
        "div",
        tag("dt", title),
        tag("dd", value, data_tone=tone or None, title=hint or None),
        tag("dd", below),
    )


def tiles(report: Report) -> Markup:
    """Return the main numbers. Where there is none, the line below says why."""
    found = []
    for name, other in TILES:
        formula = FORMULAS[name]
        value = report.metrics.get(name)
        below: Child = joined(FORMULAS[other].title, " ", tag("span", _metric(report, other)))
        if value is None:
            below = report.reasons.get(name, "no data")
        tone = sign_of(value) if name in _SIGNED else ""
        title = formula.title[:1].upper() + formula.title[1:]
        shown = "none" if value is None else _metric(report, name)
        found.append(tile(title, shown, below, tone=tone, hint=formula.formula))
    return tag("dl", found, class_="tiles", aria_label="Main numbers")


def metrics(report: Report) -> Markup:
    """Return every metric with its formula, and why where there is no number."""
    rows: list[Row] = []
    for name, formula in FORMULAS.items():
        value = report.metrics.get(name)
        title: Child = joined(tag("span", formula.title), " ", tag("code", name, class_="quiet"))
        tone = sign_of(value) if name in _SIGNED else ""
        cell = Cell(_metric(report, name), tone=tone)
        explained: Child = tag("code", formula.formula)
        if value is None:
            cell = Cell("none")
            explained = joined(tag("strong", report.reasons.get(name, "no data")), "; ", explained)
        rows.append([title, cell, explained])
    columns = [Column("metric"), Column("value", numeric=True), Column("formula, or why there is none")]
    settings = report.settings
    note = (
        f"A year has {settings.annualise} days; risk-free rate {settings.risk_free_percent:g} %; nothing is "
        f"stated for a year of fewer than {settings.days_min} daily returns. r are daily returns, from one "
        "midnight UTC to the next."
    )
    return panel(
        "metrics",
        "All metrics",
        table("Metrics", columns, rows, sortable=False, class_="metrics"),
        tag("p", note, class_="quiet small"),
    )


def months(report: Report) -> Markup:
    """Return the returns by month and year."""
    found: dict[str, list[float | None]] = {}
    for month in report.months:
        year, number_ = month.month.split("-")
        found.setdefault(year, [None] * 12)[int(number_) - 1] = month.return_percent
    if not found:
        return tag("p", "Returns by month: the equity is not known, or was 0 or below.", class_="quiet")
    rows: list[tuple[str, list[float | None]]] = []
    for year, values in sorted(found.items()):
        parts = [month.return_percent for month in report.months if month.month.startswith(year)]
        whole = None if None in parts else (math.prod(1 + (one or 0.0) / 100 for one in parts) - 1) * 100
        rows.append((year, [*values, whole]))
    return heat_map(
        "Returns by month, %",
        [*_NAMES, "Year"],
        rows,
        corner="UTC",
        shown=lambda value: number(value, sign=True),
    )


def returns(report: Report) -> Markup:
    """Return months, and how daily returns and results of round trips are spread."""
    daily, trips = report.daily_distribution, report.trip_distribution
    spread = []
    for title, one, factor, unit in (
        ("Daily returns, %", daily, 100.0, "daily returns"),
        ("Net of round trips", trips, 1.0, "round trips"),
    ):
        marks = [
            (name, value * factor)
            for name, value in (
                ("mean", one.mean), ("5 %", one.quantile_5), ("95 %", one.quantile_95),
            )
            if value is not None
        ]  # fmt: skip
        bins = [(at.low * factor, at.high * factor, at.count) for at in one.bins]
        spread.append(histogram(f"{title} ({one.count:,} {unit})", bins, marks=marks))
    return panel("returns", "Returns", months(report), tag("div", spread, class_="columns"))


def drawdowns(report: Report) -> Markup:
    """Return the worst drawdowns."""
    columns = [
        Column("#"), Column("peak"), Column("lowest"), Column("recovered"), Column("depth", numeric=True),
        Column("money", numeric=True), Column("length", numeric=True),
    ]  # fmt: skip
    rows: list[Row] = [
        [
            str(at),
            Cell(time_text(one.start_ns, seconds=False), one.start_ns),
            Cell(time_text(one.valley_ns, seconds=False), one.valley_ns),
            Cell(
                "not recovered" if one.end_ns is None else time_text(one.end_ns, seconds=False),
                one.end_ns or 0,
            ),
            Cell(with_unit(one.percent, "percent"), one.percent, "down"),
            Cell(number(one.depth), float(one.depth)),
            Cell(length_text(round(one.days * DAY_NS)), one.days),
        ]
        for at, one in enumerate(report.drawdowns, 1)
    ]
    return table("Worst drawdowns, measured on every mark of the equity", columns, rows)


def _recovered(at_ns: int | None) -> str:
    return "not recovered" if at_ns is None else time_text(at_ns, seconds=False)


_GROUPS: Final = (
    Column(""), Column("trips", numeric=True), Column("won", numeric=True), Column("win rate", numeric=True),
    Column("profit factor", numeric=True), Column("profit", numeric=True, hint="before fees and funding"),
    Column("fees", numeric=True), Column("funding", numeric=True), Column("net", numeric=True),
    Column("best", numeric=True), Column("worst", numeric=True),
)  # fmt: skip


def _group(caption: str, rows: Sequence[GroupRow], name: str) -> Markup:
    columns = [Column(name), *_GROUPS[1:]]
    cells: list[Row] = [
        [
            row.name or "(none)",
            Cell(number(row.round_trips), row.round_trips),
            Cell(number(row.won), row.won),
            Cell(with_unit(row.win_rate_percent, "percent"), row.win_rate_percent),
            Cell(number(row.profit_factor), row.profit_factor),
            money(row.profit),
            Cell(number(row.fees), float(row.fees)),
            Cell(number(row.funding), float(row.funding)),
            money(row.net_profit),
            money(row.best),
            money(row.worst),
        ]
        for row in rows
    ]
    return table(caption, columns, cells, empty="no round trips")


def breakdowns(report: Report) -> Markup:
    """Return what was earned by instrument, strategy, reason, hour and weekday."""
    hours = {row.name: float(row.net_profit) for row in report.by_hour if row.name.isdigit()}
    days = [(row.name[:3], float(row.net_profit)) for row in report.by_weekday if row.name.endswith("day")]
    by_time = tag(
        "div",
        bars(
            "Net by hour of the entry, UTC",
            [(f"{hour:02}", hours.get(f"{hour:02}", 0.0)) for hour in range(24)] if hours else [],
            every=3,
        ),
        bars("Net by weekday of the entry, UTC", days),
        class_="columns",
    )
    return panel(
        "breakdowns",
        "Where it came from",
        tag(
            "div",
            _group("By instrument", report.by_instrument, "instrument"),
            _group("By strategy", report.by_strategy, "strategy"),
            _group("By reason of the entry", report.by_entry_reason, "reason"),
            _group("By reason of the exit", report.by_exit_reason, "reason"),
            by_time,
            tag(
                "details",
                tag("summary", "Hours and weekdays as tables"),
                tag(
                    "div",
                    _group("By hour", report.by_hour, "hour"),
                    _group("By weekday", report.by_weekday, "weekday"),
                    class_="stack",
                ),
            ),
            class_="stack",
        ),
    )


def costs(report: Report) -> Markup:
    """Return what the profit before costs was spent on, and how much was at risk."""
    spent, risk = report.costs, report.exposure

    def percent(*values: float | None) -> str:
        return ", ".join(with_unit(one, "percent") for one in values)

    columns = [Column(""), Column("amount", numeric=True), Column("share of gross profit", numeric=True)]
    rows: list[Row] = [
        ["gross profit", Cell(number(spent.gross_profit)), ""],
        ["fees", Cell(number(spent.fees)), Cell(percent(spent.fees_percent))],
        [
            "funding, received less paid",
            Cell(number(spent.funding)),
            Cell(percent(spent.funding_percent)),
        ],
        ["slippage", Cell(number(spent.slippage)), Cell(percent(spent.slippage_percent))],
        ["net profit", Cell(number(spent.net_profit)), ""],
    ]
    shares = [
        ("time with a position", percent(risk.time_percent)),
        ("long, short", percent(risk.long_percent, risk.short_percent)),
        ("gross, mean and largest", f"{percent(risk.gross_mean_percent, risk.gross_max_percent)} of equity"),
        ("net, mean", f"{percent(risk.net_mean_percent)} of equity"),
        ("net, lowest and highest", f"{percent(risk.net_min_percent, risk.net_max_percent)} of equity"),
        ("turnover", _metric(report, "turnover")),
        ("maker, taker fees", f"{number(spent.maker_fees)}, {number(spent.taker_fees)}"),
    ]
    reasons = [one for one in (spent.reason, risk.reason) if one]
    return panel(
        "costs",
        "Costs and exposure",
        tag(
            "div",
            tag("div", table("Costs", columns, rows, sortable=False)),
            tag("div", tag("h3", "Exposure"), pairs(shares)),
            class_="columns",
        ),
        [tag("p", f"No share: {one}.", class_="quiet small") for one in reasons],
    )


def data_quality(report: Report) -> Markup:
    """Return gaps and incomplete bars of the period."""
    gaps: list[Row] = [
        [
            one.instrument or DASH,
            Cell(time_text(one.from_ns), one.from_ns),
            Cell(time_text(one.to_ns), one.to_ns),
            Cell(length_text(one.to_ns - one.from_ns), one.to_ns - one.from_ns),
            str(one.seq or DASH),
        ]
        for one in report.gaps[:_ROWS_MAX]
    ]
    incomplete: list[Row] = [
        [one.instrument, one.interval, Cell(time_text(one.start_ns), one.start_ns), one.because, str(one.seq)]
        for one in report.incomplete[:_ROWS_MAX]
    ]
    gap_columns = [
        Column("instrument"),
        Column("from"),
        Column("to"),
        Column("length", numeric=True),
        Column("seq", numeric=True),
    ]
    bar_columns = [
        Column("instrument"),
        Column("interval"),
        Column("start"),
        Column("because"),
        Column("seq", numeric=True),
    ]
    return panel(
        "quality",
        "Gaps and incomplete bars",
        tag("p", f"{report.gaps_count:,} gaps, {report.incomplete_bars:,} bars that stayed incomplete."),
        tag(
            "div",
            tag("div", table(_first("Gaps", gaps, report.gaps_count), gap_columns, gaps)) if gaps else None,
            tag(
                "div",
                table(_first("Incomplete bars", incomplete, report.incomplete_bars), bar_columns, incomplete),
            )
            if incomplete
            else None,
            class_="columns",
        ),
    )


_ROWS_MAX: Final = 200


def _first(caption: str, rows: Sequence[object], count: int) -> str:
    return f"{caption}, the first {len(rows):,} of {count:,}" if len(rows) < count else caption


def provenance(report: Report, facts: Sequence[tuple[str, str]], configuration: str) -> Markup:
    """Return what the numbers are of: digest, fingerprints, sessions, configuration."""
    prints = report.fingerprints
    rows: list[tuple[str, Child]] = [(name, value) for name, value in facts]
    named = [("digest", prints.digest), ("code", prints.code), ("configuration", prints.configuration)]
    rows += [(name, _copied(value)) for name, value in named if value]
    rows += [
        (f"strategy {name}", joined(tag("code", where), " ", _copied(source)))
        for name, where, source in prints.strategies
    ]
    rows += [(name, value) for name, value in prints.environment.items()]
    columns = [
        Column("session"),
        Column("mode"),
        Column("began"),
        Column("version"),
        Column("code"),
        Column("configuration"),
        Column("Python"),
    ]
    sessions: list[Row] = [
        [
            tag("code", one.session),
            one.mode,
            Cell(time_text(one.started_ns), one.started_ns),
            one.version,
            tag("code", one.code[:16]),
            tag("code", one.configuration[:16]),
            one.python,
        ]
        for one in prints.sessions
    ]
    return panel(
        "provenance",
        "What these numbers are of",
        tag(
            "p",
            "Equal fingerprints give equal numbers. The digest depends on every record before it.",
            class_="quiet",
        ),
        pairs(rows),
        table(_first("Sessions", sessions, prints.sessions_count), columns, sessions)
        if len(sessions) > 1
        else None,
        tag("details", tag("summary", "Configuration"), tag("pre", Markup(joined(*_lines(configuration)))))
        if configuration
        else None,
    )


def _lines(text: str) -> list[Child]:
    """Return lines one below the other; each is escaped on its own."""
    return [part for line in text.split("\n") for part in (line, Markup("\n"))]


def _copied(value: str) -> Markup:
    return joined(
        tag("code", value),
        tag("button", "copy", type="button", data_copy=value, aria_label=f"copy {value[:16]}"),
    )
