"""Tables of a page: a caption, columns whose numbers are aligned, rows that a click on a heading sorts.

Called by every page with rows of cells. A cell is text or markup; `sort` gives it another value to be sorted
by than what it shows.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from engine.pages.formats import sign_of, with_unit
from engine.pages.markup import Child, Markup, joined, tag

__all__ = ["Cell", "Column", "Row", "money", "pairs", "table"]


class Column(msgspec.Struct, frozen=True):
    """A column. `numeric` ones are aligned to the right; `hint` says what the column holds."""

    title: str
    numeric: bool = False
    hint: str = ""


class Cell(msgspec.Struct, frozen=True):
    """A cell. `sort` is what it is sorted by, `tone` "up", "down" or ""."""

    shown: str
    sort: float | int | str | None = None
    tone: str = ""


Row = list[Cell | Child]
"""Cells of a row. The first is its heading."""


def money(value: float | int | str | None, unit: str = "money") -> Cell:
    """Return a cell with a gain or a loss."""
    return Cell(with_unit(value, unit, sign=True), None if value is None else float(value), sign_of(value))


def table(
    caption: str,
    columns: Sequence[Column],
    rows: Sequence[Row],
    *,
    empty: str = "none",
    sortable: bool = True,
    class_: str = "",
) -> Markup:
    """Return a table. The first cell of a row is its heading. `empty` stands where there are no rows."""
    if not rows:
        return tag("p", joined(tag("span", caption, class_="caption"), ": ", empty), class_="quiet")
    can_sort = sortable and len(rows) > 1
    head = tag("tr", [_heading(column, can_sort) for column in columns])
    body = [tag("tr", [_cell(cell, columns[at], at == 0) for at, cell in enumerate(row)]) for row in rows]
    return tag(
        "div",
        tag(
            "table",
            tag("caption", caption),
            tag("thead", head),
            tag("tbody", body),
            class_=f"sortable {class_}".strip() if can_sort else class_ or None,
        ),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label=caption,
    )


def _heading(column: Column, can_sort: bool) -> Markup:
    inside: Child = tag("button", column.title, type="button") if can_sort else column.title
    return tag(
        "th", inside, scope="col", class_="numeric" if column.numeric else None, title=column.hint or None
    )


def _cell(cell: Cell | Child, column: Column, first: bool) -> Markup:
    numeric = "numeric" if column.numeric else None
    name, scope = ("th", "row") if first else ("td", None)
    if isinstance(cell, Cell):
        return tag(
            name,
            cell.shown,
            scope=scope,
            class_=numeric,
            data_tone=cell.tone or None,
            data_sort=cell.sort if cell.sort is None or isinstance(cell.sort, str) else repr(cell.sort),
        )
    return tag(name, cell, scope=scope, class_=numeric)


def pairs(rows: Sequence[tuple[str, Child]]) -> Markup:
    """Return names and values in two columns."""
    return tag("dl", [joined(tag("dt", name), tag("dd", value)) for name, value in rows], class_="pairs")
