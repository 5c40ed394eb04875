"""A report as tables: everything that its JSON has, as rows of plain values under plain names.

Owns the names of tables and columns. A struct becomes tables by its types, so a field that a report gains is
in the tables too: a list of rows is a table, a number is a row of the table `summary`, a curve has a time and
a value a row. Called by `--csv` and by `engine.research`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from engine.analysis.distributions import Bin, Distribution
from engine.analysis.formulas import FORMULAS
from engine.analysis.matching import OrderRow, Pair
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
    Series,
    SessionRow,
)

__all__ = [
    "EXACT",
    "ROWS",
    "Table",
    "pairs_table",
    "report_tables",
    "rows_table",
    "summary_table",
    "text_table",
]

ROWS: Final[dict[str, type[msgspec.Struct]]] = {
    "days": DayPoint,
    "daily": Day,
    "months": Month,
    "trips": RoundTrip,
    "fills": FillRow,
    "drawdowns": FallRow,
    "by_instrument": GroupRow,
    "by_strategy": GroupRow,
    "by_entry_reason": GroupRow,
    "by_exit_reason": GroupRow,
    "by_hour": GroupRow,
    "by_weekday": GroupRow,
    "daily_distribution": Bin,
    "trip_distribution": Bin,
    "gaps": Gap,
    "incomplete": IncompleteBar,
    "sessions": SessionRow,
}
"""The tables of a report that are lists of structs."""

EXACT: Final = frozenset(
    [
        *("price", "size", "filled", "fee", "fees", "profit", "net", "net_profit", "open_profit", "funding"),
        *("mae", "mfe", "depth", "equity", "moved", "best", "worst"),
    ]
)
"""Columns of exact decimal text; other text is words."""

_FIELDS: Final = {"fills": "fill_rows"}
"""Where a table has another name than its field."""

_SIDES: Final = ("live", "backtest")
_CURVES: Final = Series.__struct_fields__
_ELSEWHERE: Final = ("metrics", "reasons", "table_notes")


class Table(msgspec.Struct, frozen=True):
    """A name, the names of columns, and rows of numbers, texts and None. Times are UTC nanoseconds."""

    name: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]


def report_tables(report: Report, extra: Mapping[str, Any] | None = None) -> list[Table]:
    """Return all tables of a report. `extra` are numbers and texts that the table `summary` has too.

    Each report has all of them; a table without rows is there with its columns.
    """
    tables = [
        Table(
            "metrics",
            ("name", "value", "unit", "reason"),
            [
                (name, value, FORMULAS[name].unit, report.reasons.get(name))
                for name, value in report.metrics.items()
            ],
        ),
        summary_table({**(extra or {}), **_summary(report)}),
    ]
    for name, cls in ROWS.items():
        tables.append(rows_table(name, cls, _rows_of(report, name)))
    for name in _CURVES:
        curve: Curve = getattr(report.series, name)
        tables.append(Table(name, ("at_ns", "value"), list(zip(curve.at_ns, curve.values, strict=True))))
    tables.append(text_table("table_notes", report.table_notes))
    return tables


def rows_table(name: str, cls: type[msgspec.Struct], rows: Iterable[msgspec.Struct]) -> Table:
    """Return structs of one class as a table. A field that is a struct or a collection is JSON text."""
    return Table(
        name, cls.__struct_fields__, [tuple(map(_cell, msgspec.structs.astuple(row))) for row in rows]
    )


def pairs_table(name: str, pairs: Iterable[Pair]) -> Table:
    """Return matched orders as a table: what differs, then both orders with `live_` and `backtest_`."""
    fields = OrderRow.__struct_fields__
    own = [one for one in Pair.__struct_fields__ if one not in _SIDES]
    columns = (*own, *(f"{side}_{field}" for side in _SIDES for field in fields))
    rows = []
    for pair in pairs:
        cells = [", ".join(pair.differs) if one == "differs" else getattr(pair, one) for one in own]
        for side in _SIDES:
            order: OrderRow | None = getattr(pair, side)
            cells += [None if order is None else getattr(order, field) for field in fields]
        rows.append(tuple(cells))
    return Table(name, columns, rows)


def summary_table(values: Mapping[str, Any], name: str = "summary") -> Table:
    """Return names and values as a table."""
    return Table(name, ("name", "value"), [(key, _cell(value)) for key, value in values.items()])


def text_table(name: str, lines: Iterable[str]) -> Table:
    """Return lines of text as a table."""
    return Table(name, ("text",), [(line,) for line in lines])


def _rows_of(report: Report, name: str) -> Sequence[msgspec.Struct]:
    if name == "sessions":
        return report.fingerprints.sessions
    found = getattr(report, _FIELDS.get(name, name))
    rows: Sequence[msgspec.Struct] = found.bins if isinstance(found, Distribution) else found
    return rows


def _summary(report: Report) -> dict[str, Any]:
    """Return every value of a report that no other table has, a value of a struct as `costs.fees`."""
    taken = {*_ELSEWHERE, *(_FIELDS.get(name, name) for name in ROWS)}
    found: dict[str, Any] = {}
    for name in report.__struct_fields__:
        value = getattr(report, name)
        if isinstance(value, Series):
            found |= {f"{name}.{one}.thinned": getattr(value, one).thinned for one in _CURVES}
        elif isinstance(value, msgspec.Struct):
            inner = {one: getattr(value, one) for one in value.__struct_fields__}
            found |= {f"{name}.{one}": each for one, each in inner.items() if one not in ("bins", "sessions")}
        elif name not in taken:
            found[name] = value
    return found


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return msgspec.json.encode(value).decode()
