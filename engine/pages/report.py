"""The page of one result: a backtest, or days of a live or paper session. One file that loads nothing.

Owns the order of its sections and what stands above them. Promises: at most a few megabytes whatever the
length of the run (see the bounds in `charting`, `drawing` and `causes`), and that what a bound leaves out is
named. Called by `engine backtest --report` and `engine report`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from engine.analysis.report import Report
from engine.clock import DAY_NS
from engine.pages.causes import Causes
from engine.pages.charting import Charting
from engine.pages.drawing import curves_of, markets_of, trips_of
from engine.pages.formats import number, time_text
from engine.pages.frame import chart_scripts, document, part
from engine.pages.markup import Child, Markup, tag
from engine.pages.sections import (
    breakdowns,
    costs,
    data_quality,
    drawdowns,
    metrics,
    panel,
    provenance,
    returns,
    tiles,
)
from engine.values import format_interval

__all__ = ["Origin", "report_page"]

_PLACES: Final = (
    ("equity", "Equity"), ("returns", "Returns"), ("market", "Market"), ("trades", "Round trips"),
    ("breakdowns", "Breakdown"), ("costs", "Costs"), ("metrics", "Metrics"), ("quality", "Data"),
    ("provenance", "Fingerprints"),
)  # fmt: skip

_TRIP_COLUMNS: Final = (
    ("#", False), ("instrument", False), ("strategy", False), ("side", False), ("size", True),
    ("entry, UTC", False), ("entry price", True), ("exit price", True), ("held", True), ("net", True),
    ("net %", True), ("MAE", True), ("MFE", True), ("entry reason", False), ("exit reason", False),
)  # fmt: skip


_BENCHMARK: Final = "The benchmark buys all instruments in equal parts at the first bar and holds them."


class Origin(msgspec.Struct, frozen=True):
    """Where a result comes from.

    `title` names it, `mode` is "backtest", "paper" or "live". `folders` are the recorded days by date, for
    `engine why`; `written` is whether they exist: a backtest without --out has none, and `root` is then the
    folder that it could be written to. `facts` are more rows for people, `notes` what they should know first.
    """

    title: str
    mode: str
    folders: Mapping[str, str] = {}
    root: str = ""
    written: bool = True
    facts: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()


def report_page(report: Report, origin: Origin, charting: Charting, causes: Causes) -> str:
    """Return the page of a report, with the charts and causes that were collected beside it."""
    markets = markets_of(report, charting)
    trips = trips_of(report, causes, charting) | {
        "folders": {day: shlex.quote(folder) for day, folder in origin.folders.items()},
        "root": shlex.quote(origin.root or "DAY"),
    }
    config = causes.started.config if causes.started is not None else ""
    data: dict[str, Any] = {"curves": curves_of(report), "markets": markets, "trips": trips}
    places = [tag("a", title, href=f"#{name}") for name, title in _PLACES]
    return document(
        f"{origin.title}: report",
        tag("a", "Skip to the numbers", href="#main", class_="skip"),
        _top(report, origin),
        tag("nav", places, class_="places", aria_label="Sections"),
        tag(
            "main",
            tiles(report),
            _notes([*origin.notes, *report.table_notes]),
            _equity(report),
            returns(report),
            _market(markets),
            _trades(report, origin, trips),
            breakdowns(report),
            costs(report),
            metrics(report),
            data_quality(report),
            provenance(report, origin.facts, _indented(config)),
            id="main",
        ),
        data=data,
        scripts=[*chart_scripts(), part("trips.js")],
    )


def _top(report: Report, origin: Origin) -> Markup:
    days = (report.end_ns - report.begin_ns) / DAY_NS
    begin, end = (time_text(at_ns, seconds=False) for at_ns in (report.begin_ns, report.end_ns))
    period = f"{begin} to {end} UTC, {number(days)} days"
    money = f", amounts in {report.currency}" if report.currency else ""
    return tag(
        "header",
        tag("h1", tag("span", origin.mode, class_="badge"), origin.title),
        tag("p", f"{period}{money}"),
        tag("p", "digest ", tag("code", report.fingerprints.digest), class_="quiet small")
        if report.fingerprints.digest
        else None,
        class_="top",
    )


def _notes(notes: Sequence[str]) -> Markup | None:
    if not notes:
        return None
    return tag(
        "section",
        tag("h2", "Notes", class_="unseen"),
        tag("ul", [tag("li", one) for one in notes]),
        class_="panel notes",
    )


def _equity(report: Report) -> Markup:
    has_curve = bool(report.series.equity.at_ns)
    return panel(
        "equity",
        "Equity, drawdown, exposure",
        tag("p", id="equity-chart-reading", class_="quiet small reading"),
        tag("div", id="equity-chart", class_="chart", role="group", aria_label=_equity_text(report))
        if has_curve
        else tag("p", "The equity is not known."),
        tag("div", id="equity-chart-legend", class_="legend", role="group", aria_label="Curves of the chart"),
        tag(
            "p",
            "The benchmark buys all instruments in equal parts at the first bar and holds them.",
            class_="quiet small",
        ),
        drawdowns(report),
    )


def _equity_text(report: Report) -> str:
    start, end = (number(report.metrics.get(name)) for name in ("equity_start", "equity_end"))
    fall = number(report.metrics.get("max_drawdown_percent"))
    return (
        f"Chart of the equity: {start} at the start, {end} at the end, largest drawdown {fall} %. "
        "Keys: arrows move, plus and minus zoom, 0 shows all."
    )


def _market(markets: Sequence[Mapping[str, Any]]) -> Markup:
    if not markets:
        return panel(
            "market",
            "Market, fills, stops and plots",
            tag("p", "The period has no bars, so there are no candles to draw.", class_="quiet"),
        )
    options = [
        tag(
            "option",
            f"{one['name']}, {format_interval(one['interval_ns'])}, {len(one['t']):,} candles, "
            f"{len(one['fills']):,} fills",
            value=at,
        )
        for at, one in enumerate(markets)
    ]
    controls = tag(
        "div",
        tag("label", "Instrument ", tag("select", options, id="market-picker")),
        tag("button", "Fill before", type="button", id="market-before"),
        tag("button", "Next fill", type="button", id="market-next"),
        tag("button", "Show all", type="button", id="market-all"),
        class_="controls",
    )
    return panel(
        "market",
        "Market, fills, stops and plots",
        controls,
        tag("p", id="market-reading", class_="quiet small reading"),
        tag(
            "div",
            id="market-chart",
            class_="chart tall",
            role="group",
            aria_label="Chart of candles with fills. Keys: arrows move, plus and minus zoom, 0 shows all.",
        ),
        tag("div", id="market-legend", class_="legend", role="group", aria_label="Lines of the chart"),
        tag(
            "p",
            "Gray candles are incomplete. Drag, or use the arrow keys, to move; Ctrl and the wheel, or + and "
            "\u2212, to zoom.",
            class_="quiet small",
        ),
    )


def _trades(report: Report, origin: Origin, trips: Mapping[str, Any]) -> Markup:
    if not report.trips:
        more = f"Positions open at the end: {report.open_trips:,}." if report.open_trips else ""
        return panel(
            "trades", "Round trips", tag("p", f"No round trip ended in the period. {more}", class_="quiet")
        )
    head = tag(
        "tr",
        [
            tag("th", tag("button", title, type="button"), scope="col", class_="numeric" if numeric else None)
            for title, numeric in _TRIP_COLUMNS
        ],
    )
    notes: list[Child] = []
    if not origin.written:
        notes.append(
            "This run was not written. The same run with --out has the same seqs and digest, and "
            f"engine why opens them there: the commands below assume --out {origin.root}."
        )
    if trips["left"]:
        notes.append(f"{trips['left']:,} older round trips are not in this page; --json has more.")
    if report.open_trips:
        notes.append(f"Positions open at the end, which are no round trips: {report.open_trips:,}.")
    if report.cut_trips:
        notes.append(f"Positions from before the period, closed in it: {report.cut_trips:,}.")
    pager = tag(
        "div",
        tag("button", "Earlier rows", type="button", id="trips-back"),
        tag("button", "More rows", type="button", id="trips-next"),
        tag("span", id="trips-place", class_="quiet", role="status"),
        class_="controls",
    )
    return panel(
        "trades",
        "Round trips",
        tag(
            "p",
            "A number opens the causes of its entry and exit, from the input or timer that led to the "
            "order; engine why goes further back. Net is after fees, without funding.",
            class_="quiet",
        ),
        [tag("p", note, class_="quiet") for note in notes],
        pager,
        tag(
            "div",
            tag(
                "table",
                tag("caption", "Round trips", class_="unseen"),
                tag("thead", head),
                tag("tbody"),
                id="trips-table",
            ),
            class_="scroll",
            tabindex=0,
            role="region",
            aria_label="Round trips",
        ),
    )


def _indented(config: str) -> str:
    """Return a recorded configuration for reading."""
    try:
        return json.dumps(json.loads(config), indent=2)
    except ValueError:
        return config
