"""`engine import FILE`: recorded trades or candles into journal days."""

from __future__ import annotations

import time
from pathlib import Path

import click

from adapters.files.importer import ImportProgress, import_file
from adapters.files.known import LAYOUT_NAMES
from engine.clock import SystemIds
from engine.commands.output import json_option, print_json, progress
from engine.errors import UsageError
from engine.events import KINDS

__all__ = ["import_command"]


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--venue", required=True, help="Where the data comes from, such as binance.")
@click.option("--instrument", required=True, help="The instrument's name, such as BTCUSDT.")
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    default="perp",
    show_default=True,
    help="A perp is held on margin, long or short; spot and stocks are bought with cash, never sold short.",
)
@click.option(
    "--journal", "root", type=click.Path(path_type=Path), default=Path("journal"), show_default=True
)
@click.option("--price-decimals", type=click.IntRange(0, 18), help="Default: as many as the file needs.")
@click.option("--size-decimals", type=click.IntRange(0, 18), help="Default: as many as the file needs.")
@click.option(
    "--columns",
    metavar="ROLE=COLUMN,...",
    help="Name columns, as time=ts,price=last; or give positions from 0. id= or side= says there is none.",
)
@click.option(
    "--layout",
    type=click.Choice(LAYOUT_NAMES),
    metavar="NAME",
    help="Force a layout (docs/importing.md). Default: what the names or the first rows show.",
)
@click.option("--turn-sides", is_flag=True, help="Swap buyers and sellers: the column is of the makers.")
@click.option("--interval", help="Of candles, such as 1m. Default: the smallest step between rows.")
@click.option("--day", metavar="DATE", help="For times that count from midnight of this day.")
@click.option(
    "--silence",
    type=click.Choice(["flat", "none"]),
    help="Bars of windows without trades: flat, or none. Default: what the venue does.",
)
@json_option
def import_command(
    file: Path,
    venue: str,
    instrument: str,
    kind: str,
    root: Path,
    price_decimals: int | None,
    size_decimals: int | None,
    columns: str | None,
    layout: str | None,
    turn_sides: bool,
    interval: str | None,
    day: str | None,
    silence: str | None,
    as_json: bool,
) -> None:
    """Import trades or candles from CSV, JSON or Parquet files into journal days.

    Files may be packed (zip, gz, xz, zst, bz2). Known layouts of venues are recognised. Other columns are
    found by their usual names: timestamp, price, quantity, and optionally id and side; or open, high, low,
    close, volume. Numbers stay exact. A day is written completely or not at all; an error names the line, and
    the days before it are kept.
    """
    began = time.perf_counter()
    with progress(f"importing {file.name}") as show:

        def notify(at: ImportProgress) -> None:
            show(at.rows)

        report = import_file(
            file,
            venue=venue,
            instrument=instrument,
            instrument_kind=kind,
            price_decimals=price_decimals,
            size_decimals=size_decimals,
            journal=root,
            columns=_mapping(columns),
            layout=layout,
            turned=turn_sides,
            interval=interval,
            day=day,
            silence=silence,
            ids=SystemIds(),
            progress=notify,
        )
    seconds = time.perf_counter() - began
    if as_json:
        print_json(
            {
                "days": list(report.days),
                "trades": report.trades,
                "candles": report.candles,
                "duplicates": report.duplicates,
                "layout": report.layout,
                "notes": list(report.notes),
                "digests": report.digests,
                "measured": report.measured,
                "price_decimals": report.price_decimals,
                "size_decimals": report.size_decimals,
                "seconds": round(seconds, 6),
            }
        )
        return
    for note in report.notes:
        click.echo(f"{file.name}: {note}")
    what = f"{report.trades:,} trades" if report.trades else f"{report.candles:,} candles"
    click.echo(
        f"{file.name}: {what} into {', '.join(str(root / day) for day in report.days)} in {seconds:.1f} s"
    )


def _mapping(text: str | None) -> dict[str, str] | None:
    if text is None:
        return None
    pairs = [pair.partition("=") for pair in text.split(",")]
    if not all(role.strip() and equals for role, equals, _ in pairs):
        raise UsageError(f"--columns {text!r}: write it as ROLE=COLUMN,..., such as side=taker or id=")
    return {role.strip(): column.strip() for role, _, column in pairs}
