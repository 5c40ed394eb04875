"""The page of a walk-forward: one file that loads nothing, with the verdict, the pieces and the metrics.

Promises: the same result gives the same bytes. The pieces' returns are beside what their trials gained in
training. Called by `engine sweep --walk-forward`, which writes it into the folder.
"""

from __future__ import annotations

from engine.analysis.formulas import FORMULAS
from engine.pages.formats import number, sign_of, with_unit
from engine.pages.frame import document
from engine.pages.markup import Markup, tag
from engine.pages.sections import panel, tile
from engine.pages.tables import Cell, Column, Row, pairs, table
from engine.search.forward import Forward, Piece

__all__ = ["forward_page"]

_COLUMNS = (
    Column("piece", True),
    Column("trained"),
    Column("traded"),
    Column("chosen parameters"),
    Column("a day in training, %", True, "mean daily return of the chosen trial in its training"),
    Column("return, %", True, "change of the equity of the joined run in the piece"),
)


def forward_page(found: Forward, names: str) -> str:
    """Return the page of a walk-forward of strategies, `names` as people read them."""
    return document(
        f"{names}: walk-forward",
        tag("a", "Skip to the numbers", href="#main", class_="skip"),
        tag(
            "header",
            tag("h1", tag("span", "walk-forward", class_="badge"), names),
            tag("p", f"{len(found.pieces):,} pieces, {found.pieces[0].begin} to {found.pieces[-1].end}"),
            class_="top",
        ),
        tag("main", _tiles(found), _verdict(found), _pieces(found), _metrics(found), _run(found), id="main"),
    )


def _tiles(found: Forward) -> Markup:
    tiles = [
        tile("Luck", found.verdict, f"{len(found.lines):,} lines below"),
        tile(
            "Efficiency",
            "none" if found.efficiency is None else number(found.efficiency),
            "a day out of sample / a day in training",
        ),
        *(
            tile(
                FORMULAS[name].title.capitalize(),
                _shown(found, name),
                found.reasons.get(name, "out of sample"),
            )
            for name in ("return_percent", "max_drawdown_percent", "round_trips")
            if name in found.metrics
        ),
    ]
    return tag("dl", tiles, class_="tiles", aria_label="Main numbers")


def _shown(found: Forward, name: str) -> str:
    value = found.metrics[name]
    return "none" if value is None else with_unit(value, FORMULAS[name].unit)


def _verdict(found: Forward) -> Markup:
    return panel(
        "luck", "Is it luck?", tag("ul", [tag("li", line) for line in (found.verdict, *found.lines)])
    )


def _pieces(found: Forward) -> Markup:
    return panel("pieces", "Pieces", table("pieces", _COLUMNS, [_row(piece) for piece in found.pieces]))


def _row(piece: Piece) -> Row:
    inside = None if piece.in_sample is None else piece.in_sample * 100
    params = ", ".join(f"{name}={value}" for name, value in piece.params.items())
    return [
        Cell(str(piece.number), piece.number),
        Cell(f"{piece.train_begin} to {piece.train_end}", piece.train_begin),
        Cell(f"{piece.begin} to {piece.end}", piece.begin),
        Cell(f"not traded: {piece.why}" if piece.why else f"{params} (trial {piece.trial})"),
        _percent(inside),
        _percent(piece.return_percent),
    ]


def _percent(value: float | None) -> Cell:
    return Cell("none") if value is None else Cell(number(value), value, sign_of(value))


def _metrics(found: Forward) -> Markup:
    rows: list[Row] = [
        [Cell(FORMULAS[name].title), Cell(_shown(found, name)), Cell(found.reasons.get(name, ""))]
        for name in found.metrics
    ]
    columns = (Column("metric"), Column("out of sample", True), Column("why there is none"))
    return panel("metrics", "The joined run", table("metrics", columns, rows, sortable=False))


def _run(found: Forward) -> Markup:
    known = [("digest", found.digest), ("warm-up", f"{found.warmup_s:,.0f} s")]
    embargoes = sorted({piece.embargo_s for piece in found.pieces})
    known.append(("embargo", ", ".join(f"{one:,.0f} s" for one in embargoes)))
    return panel("run", "Where it comes from", pairs(known))
