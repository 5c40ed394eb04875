"""The page of two runs beside each other, such as a live day and the backtest of it.

Shows the curves over each other, the first difference with the causes of both sides, what the runs were made
with, and every order that differs. Called by `engine report --compare`.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from engine.analysis.distributions import distribution
from engine.analysis.formulas import FORMULAS
from engine.analysis.matching import OrderRow, Pair
from engine.analysis.report import Report
from engine.pages.charts import histogram
from engine.pages.drawing import grid_of, on_grid
from engine.pages.formats import number, price_text, time_text, with_unit
from engine.pages.frame import chart_scripts, document
from engine.pages.markup import Child, Markup, joined, tag
from engine.pages.sections import panel, tile
from engine.pages.tables import Cell, Column, Row, pairs, table

__all__ = ["First", "Run", "Summary", "comparison_page"]

_ROWS_MAX: Final = 500
_METRICS: Final = (
    "return_percent", "net_profit", "equity_end", "max_drawdown_percent", "sharpe", "round_trips",
    "win_rate_percent", "profit_factor", "exposure_percent", "turnover", "fees", "funding", "slippage",
)  # fmt: skip


_WORSE: Final = "How much worse the price of the first run is, %"
_OF_ORDER: Final = ("size", "filled", "price", "seq")


class Run(msgspec.Struct, frozen=True):
    """One of the two runs: how it is called, what it gave, and its folder for `engine why`."""

    name: str
    report: Report


class First(msgspec.Struct, frozen=True):
    """The first difference: what differs, what each side has, its seq, day and chain."""

    what: str
    at_ns: int
    said: tuple[str, str]
    seqs: tuple[int, int]
    days: tuple[str, str]
    chains: tuple[Sequence[str], Sequence[str]]


class Summary(msgspec.Struct, frozen=True):
    """What was compared. `span` is the time that both cover; `inputs` prices from its begin are equal."""

    span: tuple[int, int]
    instruments: Sequence[str]
    inputs: int
    matched: int
    equal: int
    only: tuple[int, int]
    price_percent: float | None
    latency_ms: float | None
    conditions: Sequence[tuple[str, str, str]]
    first: First | None
    rule: str
    left: int = 0


def comparison_page(live: Run, backtest: Run, summary: Summary, orders: Sequence[Pair]) -> str:
    """Return the page."""
    names = (live.name, backtest.name)
    title = f"{live.name} and {backtest.name}"
    differing = [pair for pair in orders if pair.differs]
    begin, end = (time_text(at_ns) for at_ns in summary.span)
    places = (
        ("first", "First difference"),
        ("equity", "Equity"),
        ("conditions", "Conditions"),
        ("orders", "Orders"),
    )
    return document(
        f"{title}: comparison",
        tag("a", "Skip to the numbers", href="#main", class_="skip"),
        tag(
            "header",
            tag("h1", tag("span", "comparison", class_="badge"), title),
            tag("p", f"{begin} to {end} UTC, the time that both cover; {', '.join(summary.instruments)}"),
            class_="top",
        ),
        tag(
            "nav",
            [tag("a", text, href=f"#{name}") for name, text in places],
            class_="places",
            aria_label="Sections",
        ),
        tag(
            "main",
            _tiles(summary, names),
            _first(summary, names),
            _curves(live, backtest),
            _conditions(summary, names),
            _orders(summary, names, differing, orders),
            id="main",
        ),
        data={"both": _both(live, backtest)},
        scripts=chart_scripts(),
    )


def _tiles(summary: Summary, names: tuple[str, str]) -> Markup:
    first = summary.first
    what, when = ("none", "") if first is None else (first.what, time_text(first.at_ns))
    worse, later = with_unit(summary.price_percent, "percent"), f"{number(summary.latency_ms)} ms"
    return tag(
        "dl",
        tile("First difference", what, when),
        tile("Equal inputs", number(summary.inputs), "prices, from the begin on"),
        tile("Matched orders", number(summary.matched), f"{summary.equal:,} of them equal"),
        tile("Only in one", number(sum(summary.only)), f"{summary.only[0]:,} and {summary.only[1]:,}"),
        tile("Worse price", worse, f"mean, {names[0]} against {names[1]}"),
        tile("Later fill", later, f"mean, {names[0]} after {names[1]}"),
        class_="tiles",
        aria_label="Main numbers",
    )  # fmt: skip


def _first(summary: Summary, names: tuple[str, str]) -> Markup:
    first = summary.first
    if first is None:
        text = "Inputs, decisions and fills of both runs are equal."
        return panel("first", "First difference", tag("p", text))
    sides = []
    for at, name in enumerate(names):
        command = f"engine why {shlex.quote(first.days[at])} {first.seqs[at]}"
        sides.append(
            tag(
                "div",
                tag("h3", name),
                tag("p", first.said[at]),
                tag("ol", [tag("li", line) for line in first.chains[at]], class_="chain"),
                tag(
                    "p",
                    tag("code", command),
                    tag("button", "copy", type="button", data_copy=command, aria_label=f"copy {command}"),
                    class_="command",
                )
                if first.seqs[at]
                else None,
            )
        )
    return panel(
        "first",
        "First difference",
        tag("p", joined(tag("strong", first.what), f" at {time_text(first.at_ns)}. {_MEANING[first.what]}")),
        tag("div", sides, class_="columns"),
    )


_MEANING: Final = {
    "input": "The runs did not see the same market: what follows may differ for that reason alone.",
    "decision": "The market was the same until then; the runs decided otherwise.",
    "fill size": "The order was the same; another amount of it was filled.",
    "fill price": "The order was the same; it was filled at another price.",
    "latency": "The order and its price were the same; the fill took another time.",
}


def _curves(live: Run, backtest: Run) -> Markup:
    columns = [
        Column("metric"), Column(live.name, numeric=True), Column(backtest.name, numeric=True),
        Column("difference", numeric=True),
    ]  # fmt: skip
    rows: list[Row] = []
    for name in _METRICS:
        formula = FORMULAS[name]
        values = [run.report.metrics.get(name) for run in (live, backtest)]
        cells = [Cell("none" if one is None else with_unit(one, formula.unit)) for one in values]
        apart = None
        if values[0] is not None and values[1] is not None:
            apart = float(values[0]) - float(values[1])
        rows.append(
            [tag("span", formula.title, title=formula.formula), *cells, Cell(number(apart, sign=True))]
        )
    known = any(run.report.series.equity.at_ns for run in (live, backtest))
    return panel(
        "equity",
        "Equity of both",
        tag("p", id="both-chart-reading", class_="quiet small reading"),
        tag(
            "div",
            id="both-chart",
            class_="chart",
            role="group",
            aria_label=f"Chart of the equity of {live.name} and {backtest.name}, and their difference.",
        )
        if known
        else tag("p", "The equity of neither is known."),
        tag("div", id="both-chart-legend", class_="legend", role="group", aria_label="Curves of the chart"),
        table("Metrics of each run over its own period", columns, rows, sortable=False),
    )


def _both(live: Run, backtest: Run) -> dict[str, Any]:
    begin = min(run.report.begin_ns for run in (live, backtest))
    end = max(run.report.end_ns for run in (live, backtest))
    grid = grid_of(begin, end)
    curves = [run.report.series.equity for run in (live, backtest)]
    values = [{"equity": on_grid(one, grid)} if one.at_ns else {} for one in curves]
    return {
        "first": grid[0], "step": grid[1], "count": grid[2], "names": [live.name, backtest.name],
        "one": values[0], "other": values[1],
    }  # fmt: skip


def _conditions(summary: Summary, names: tuple[str, str]) -> Markup:
    columns = [Column("what"), Column(names[0]), Column(names[1])]
    rows: list[Row] = [[name, one, other] for name, one, other in summary.conditions]
    text = "Code, strategies and configuration are the same."
    return panel(
        "conditions",
        "What the runs were made with, where it differs",
        table("Conditions", columns, rows, class_="wrap", sortable=False) if rows else tag("p", text),
    )


def _orders(
    summary: Summary, names: tuple[str, str], differing: Sequence[Pair], orders: Sequence[Pair]
) -> Markup:
    columns = [
        Column("time, UTC"), Column("instrument"), Column("side"), Column("differs"),
        *(Column(f"{name}: {what}", numeric=True) for name in names for what in _OF_ORDER),
        Column("worse %", numeric=True, hint="how much worse the price of the first run is"),
        Column("later, ms", numeric=True, hint="how much longer its first fill took"),
    ]  # fmt: skip
    rows: list[Row] = []
    for pair in differing[:_ROWS_MAX]:
        one = pair.live or pair.backtest
        assert one is not None
        rows.append(
            [
                Cell(time_text(pair.at_ns), pair.at_ns),
                one.instrument,
                one.side,
                _differs(pair, names),
                *_of_order(pair.live),
                *_of_order(pair.backtest),
                Cell(number(pair.price_percent, sign=True), pair.price_percent),
                Cell(number(pair.latency_ms, sign=True), pair.latency_ms),
            ]
        )
    worse = [pair.price_percent for pair in orders if pair.price_percent is not None]
    notes: list[Child] = [tag("p", summary.rule, class_="quiet")]
    if len(differing) > len(rows):
        notes.append(
            tag(
                "p",
                f"The first {len(rows):,} of {len(differing):,} that differ; --json has all.",
                class_="quiet",
            )
        )
    if summary.left:
        notes.append(tag("p", f"{summary.left:,} later orders were not compared.", class_="quiet"))
    return panel(
        "orders",
        "Orders that differ",
        notes,
        table("Orders that differ", columns, rows, empty="all matched orders are equal"),
        histogram(_WORSE, _bins(worse), toned=False) if any(worse) else None,
        pairs([("orders compared", number(len(orders))), ("that differ", number(len(differing)))]),
    )


def _differs(pair: Pair, names: tuple[str, str]) -> str:
    if pair.live and pair.backtest:
        return ", ".join(pair.differs)
    return f"only in {names[0] if pair.live else names[1]}"


def _bins(values: Sequence[float]) -> list[tuple[float, float, int]]:
    return [(one.low, one.high, one.count) for one in distribution(values).bins]


def _of_order(row: OrderRow | None) -> list[Cell | Child]:
    if row is None:
        return ["", "", "", ""]
    return [
        Cell(row.size, float(row.size)),
        Cell(row.filled, float(row.filled)),
        Cell(price_text(row.price), row.price),
        str(row.seq),
    ]
