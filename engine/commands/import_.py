"""`engine import FILE...`: recorded trades or candles into journal days."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from adapters.files import FileReport, ImportProgress, ImportReport, InstrumentReport, import_files
from adapters.files.known import LAYOUT_NAMES
from engine.clock import SystemIds
from engine.commands.output import json_option, print_json, progress
from engine.errors import UsageError
from engine.events import KINDS

__all__ = ["import_command"]


@click.command("import")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--venue", required=True, help="Where the data comes from, such as binance.")
@click.option(
    "--instrument",
    help="The instrument of all files. Default: what their names say, as BTCUSDT-1m-2024-01.zip does.",
)
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
@click.option("--price-decimals", type=click.IntRange(0, 18), help="Default: as many as the files need.")
@click.option("--size-decimals", type=click.IntRange(0, 18), help="Default: as many as the files need.")
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
@click.option(
    "--interval", help="Of candles, such as 1m. Default: by name, or the smallest step between rows."
)
@click.option("--day", metavar="DATE", help="For times that count from midnight of this day.")
@click.option(
    "--silence",
    type=click.Choice(["flat", "none"]),
    help="Bars of windows without trades: flat, or none. Default: what the venue does.",
)
@json_option
def import_command(
    files: tuple[Path, ...],
    venue: str,
    instrument: str | None,
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

    Files may be packed (zip, gz, xz, zst, bz2), of several instruments, in any order. Known layouts of venues
    are recognised. Other columns are found by their usual names: timestamp, price, quantity, and optionally
    id and side; or open, high, low, close, volume. Numbers stay exact. A day is written completely or not at
    all; an error names the line, and the days before it are kept. A day that was imported before is extended.
    """
    began = time.perf_counter()
    with progress(f"importing {files[0].name if len(files) == 1 else f'{len(files)} files'}") as show:

        def notify(at: ImportProgress) -> None:
            show(at.rows)

        report = import_files(
            files,
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
        print_json(_json(report, seconds))
        return
    for line in _lines(report, root, seconds):
        click.echo(line)


def _json(report: ImportReport, seconds: float) -> dict[str, object]:
    """Return the report for machines. What is of one instrument or file is null where there are several."""
    one = report.instruments[0] if len(report.instruments) == 1 else None
    layouts = {file.layout for file in report.files}
    return {
        "days": report.days,
        "trades": report.trades,
        "candles": report.candles,
        "duplicates": report.duplicates,
        "layout": layouts.pop() if len(layouts) == 1 else None,
        "notes": report.notes,
        "digests": report.digests,
        "measured": one and one.measured,
        "price_decimals": one and one.price_decimals,
        "size_decimals": one and one.size_decimals,
        "seconds": round(seconds, 6),
        "instruments": report.instruments,
        "files": report.files,
        "extended": {
            day: {"before": before, "after": report.digests[day]} for day, before in report.extended.items()
        },
        "unchanged": report.unchanged,
    }


def _lines(report: ImportReport, root: Path, seconds: float) -> Iterator[str]:
    """Yield the report for people."""
    for note in report.notes:
        yield f"{_names([file for file in report.files if note in file.notes])}: {note}"
    for one in report.instruments:
        yield _instrument_line(one, [file for file in report.files if file.instrument == one.instrument])
    for day, before in report.extended.items():
        yield f"{root / day}: was there and was extended; its digest was {before}, is {report.digests[day]}"
    where = ", ".join(str(root / day) for day in report.days)
    if len(report.days) > 3:
        where = f"{len(report.days):,} days, {root / report.days[0]} to {root / report.days[-1]},"
    there = f"; {len(report.unchanged):,} of them unchanged: all of it was there" if report.unchanged else ""
    yield f"imported into {where} in {seconds:.1f} s{there}"


def _instrument_line(one: InstrumentReport, files: Sequence[FileReport]) -> str:
    what = f"{one.trades:,} trades" if one.trades else f"{one.candles:,} candles of {one.interval}"
    derived = [name for name in ("instrument", "interval") if any(name in file.derived for file in files)]
    by_name = f" ({' and '.join(derived)} by name)" if derived else ""
    again = f"; {one.duplicates:,} given twice count once" if one.duplicates else ""
    return f"{one.venue}:{one.instrument}: {what} from {_names(files)}{by_name}{again}"


def _names(files: Sequence[FileReport]) -> str:
    return Path(files[0].file).name if len(files) == 1 else f"{len(files):,} files"


def _mapping(text: str | None) -> dict[str, str] | None:
    if text is None:
        return None
    pairs = [pair.partition("=") for pair in text.split(",")]
    if not all(role.strip() and equals for role, equals, _ in pairs):
        raise UsageError(f"--columns {text!r}: write it as ROLE=COLUMN,..., such as side=taker or id=")
    return {role.strip(): column.strip() for role, _, column in pairs}
