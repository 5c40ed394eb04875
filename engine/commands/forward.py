"""What `engine sweep --walk-forward` prints. Called by `engine.commands.sweep`."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from engine.commands.output import print_json, table
from engine.commands.pages import write_page
from engine.events.render import printable
from engine.journal import list_days
from engine.search.forward import Forward, Piece
from engine.search.forward_page import forward_page

__all__ = ["show_forward"]


def show_forward(found: Forward, names: str, out: Path, page: Path | None, as_json: bool) -> None:
    """Write the page, and print the pieces, the joined run and the verdict."""
    for path in (out / "forward.html", page):
        if path is not None:
            write_page(path, forward_page(found, names))
    if as_json:
        print_json({**msgspec.to_builtins(found), "out": str(out)})
        return
    rows = [(f"piece {piece.number}", _piece(piece)) for piece in found.pieces]
    shown = ("return_percent", "max_drawdown_percent", "sharpe", "round_trips")
    metrics = [f"{name} {found.metrics[name]}" for name in shown if found.metrics.get(name) is not None]
    rows.append(("joined", ", ".join(metrics)))
    known = "none: the trainings had no gain" if found.efficiency is None else f"{found.efficiency:.2f}"
    rows.append(("efficiency", known))
    rows += [("luck", found.verdict), *(("", line) for line in found.lines)]
    rows.append(("digest", found.digest))
    table(rows)
    click.echo(f"written to {out}: replay it with `engine replay {list_days(out / 'run')[0].path}`")


def _piece(piece: Piece) -> str:
    when = f"{piece.begin} to {piece.end}"
    if piece.why:
        return f"{when}: not traded: {piece.why}"
    params = printable(", ".join(f"{name}={value}" for name, value in piece.params.items()))
    change = "none" if piece.return_percent is None else f"{piece.return_percent:.2f} %"
    return f"{when}: {params} (trial {piece.trial} of its training): {change}"
