"""`engine bars DAY...`: the bars of recorded days, as a table, JSON, CSV or Parquet."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from engine.clock import window_end
from engine.commands.output import json_option, print_json, progress
from engine.config import load_config
from engine.errors import EngineError, UsageError
from engine.instruments import find_instrument, keyed_labels
from engine.records import day_folders
from engine.stores.rows.bars import exact_row
from engine.stores.rows.units import no_formula
from engine.values import format_interval, parse_interval
from replay.bars import DayBar, bars_of
from replay.series import KINDS, series_of

__all__ = ["bar_row", "bars_command"]

PRICES = ("start", "open", "high", "low", "close", "volume", "count")
"""The columns of the table of bars."""

_LEFT = frozenset({"instrument", "venue", "interval", "start_ns", "end_ns"})
"""The columns of other series that their table leaves out."""

_SHOWN = 40
"""Upper bound on rows of the table; the last line shows how many more there are."""


@click.command("bars")
@click.argument("days", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--interval", default="1m", show_default=True, help="Such as 1m, 1h, 1d, 1w or 1M.")
@click.option(
    "--kind",
    type=click.Choice(("price", *KINDS)),
    default="price",
    show_default=True,
    help="price, or what the days have of open interest, funding or liquidations, by window; "
    "liquidation-levels: by window and price level, a heat map.",
)
@click.option("--instrument", metavar="NAME", help="Only of this instrument.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="TOML file whose `[flow] level` are the price levels of liquidation-levels.",
)
@click.option("--open", "unclosed", is_flag=True, help="Also the bar that is still open at the end.")
@click.option("--csv", "csv_path", type=click.Path(path_type=Path), help="Write the bars as CSV to a file.")
@click.option("--parquet", type=click.Path(path_type=Path), help="Write the bars as Parquet to a file.")
@json_option
def bars_command(
    days: tuple[Path, ...],
    interval: str,
    kind: str,
    instrument: str | None,
    config: Path | None,
    unclosed: bool,
    csv_path: Path | None,
    parquet: Path | None,
    as_json: bool,
) -> None:
    """Print the bars of the windows of DAYS: the recorded ones, or made from trades by the same aggregator.

    DAYS are folders of days, or journals with days in them, in any order; they may be of several journals.

    With --json one object a line; prices and volumes as exact decimal text, the highest revision of each bar.
    `complete` is false if a gap, a start or a stop falls into a bar; `incomplete_because` is the reason.
    """
    interval_ns = parse_interval(interval)
    folders = day_folders(days)
    with progress("bars") as show:
        if kind == "price":
            bars = bars_of(folders, interval_ns, unclosed=unclosed, progress=show)
            found = [(one.listed, bar_row(one)) for one in bars]
        else:
            level = load_config(config).flow.level if config is not None else {}
            found = series_of(folders, kind, interval_ns, level=level, progress=show)
    listed = [one for one, _ in found]
    if instrument is not None and found:
        try:
            chosen = find_instrument(instrument, listed).key
        except UsageError as error:
            raise UsageError(f"{days[0]}: {error}") from None
        found = [(one, row) for one, row in found if one.key == chosen]
    rows = [row for _, row in found]
    if not rows:
        none = f"no bar of {interval} has closed{'' if unclosed else '; --open prints the open ones'}"
        if kind != "price":
            none = f"the days have no data for --kind {kind}; the venue's channel must be in data.channels"
        click.echo(f"engine: {days[0]}: {none}", err=True)
    for path, write in ((csv_path, _write_csv), (parquet, _write_parquet)):
        if path is not None:
            try:
                write(path, rows)
            except OSError as error:
                raise UsageError(f"{path}: cannot be written: {error.strerror or error}") from None
            if not as_json:
                click.echo(f"{path}: {len(rows):,} {'bars' if kind == 'price' else 'rows'}")
    if as_json:
        for row in rows:
            print_json(row)
    elif csv_path is None and parquet is None:
        names = PRICES if kind == "price" else [name for name in rows[0] if name not in _LEFT] if rows else []
        _print(rows, keyed_labels(listed), names)


def bar_row(one: DayBar) -> dict[str, Any]:
    """Return a bar as plain values: numbers that must be exact are decimal text."""
    listed, bar = one.listed, one.bar
    return {
        "instrument": listed.name,
        "venue": listed.venue,
        "interval": format_interval(bar.interval_ns),
        "end_ns": window_end(bar.interval_ns, bar.start_ns),
        **exact_row(listed, bar),
    }


def _write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else ["instrument"], lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {key: no_formula(one) if isinstance(one, str) else one for key, one in row.items()}
            )


def _write_parquet(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write bars as Parquet. Numbers are text, to stay exact; so are ids, since some venues have text ids."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError:
        raise EngineError("--parquet needs pyarrow; install retape[parquet]") from None
    kinds = {"start_ns": pa.int64(), "end_ns": pa.int64(), "count": pa.int64()}
    kinds |= {"complete": pa.bool_(), "sampled": pa.bool_(), "revision": pa.int64()}
    names = list(rows[0]) if rows else []
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in names])
    plain = [
        {name: value if name in kinds or value is None else str(value) for name, value in row.items()}
        for row in rows
    ]
    pq.write_table(pa.Table.from_pylist(plain, schema), path)


def _print(rows: Sequence[dict[str, Any]], labels: Mapping[str, str], names: Sequence[str]) -> None:
    lines: list[tuple[str, ...]] = [("instrument", *names, "")]
    for row in rows[:_SHOWN]:
        note = "" if row.get("complete", True) else f"incomplete: {row['incomplete_because']}"
        start = row["start"][:19].replace("T", " ")
        label = labels[f"{row['venue']}:{row['instrument']}"]
        lines.append((label, *(start if name == "start" else _cell(row[name]) for name in names), note))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    if len(rows) > _SHOWN:
        click.echo(f"... {len(rows) - _SHOWN:,} more; --json and --csv FILE show all")


def _cell(value: object) -> str:
    return "" if value is None else str(value)
