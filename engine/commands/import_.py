"""`engine import FILE...`: recorded market data into journal days."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from adapters.files import FileReport, ImportProgress, ImportReport, InstrumentReport, import_files
from adapters.files.books import DEPTH, DEPTH_MAX
from adapters.files.kinds import KINDS_OF_DATA, RATE_UNITS
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
@click.option(
    "--data",
    type=click.Choice(KINDS_OF_DATA),
    help="What files hold that are read by their columns. Default: what the names of the columns show.",
)
@click.option(
    "--funding-unit",
    type=click.Choice(RATE_UNITS),
    help="Of funding rates: 0.0001 as a fraction is 0.01 percent; money is per unit of the instrument.",
)
@click.option(
    "--depth",
    type=click.IntRange(1, DEPTH_MAX),
    default=DEPTH,
    show_default=True,
    help="Levels of each side of a book that are kept.",
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
    data: str | None,
    funding_unit: str | None,
    depth: int,
    turn_sides: bool,
    interval: str | None,
    day: str | None,
    silence: str | None,
    as_json: bool,
) -> None:
    """Import market data from CSV, JSON or Parquet files and recordings into journal days.

    Files may be packed (zip, gz, xz, zst, bz2), of several instruments, in any order. Known layouts of venues
    are recognised. Other columns are found by their usual names, which show what a file holds:

    \b
    trades     timestamp price quantity, and optionally id side
    candles    timestamp open high low close volume
    quotes     timestamp bid bid_size ask ask_size
    books      timestamp bid_price_0 bid_size_0 ask_price_0 ask_size_0 and so on: a book in each row
    updates    timestamp side price size is_snapshot, and optionally seq: a level in each row, 0 removes it
    funding    timestamp rate: a settlement in each row; its unit is that of the layout, or --funding-unit
    contexts   timestamp mark_price index_price open_interest, any of them

    One journal takes prices (trades or candles), quotes, books, funding and contexts of an instrument,
    together or alone. Recordings of websocket messages (Hyperliquid, Binance) have several of them in one
    file. What is wrong with a book, a gap or a bid that is not below the ask, is counted and played as
    unknown.

    Numbers stay exact. A day is written completely or not at all; an error names the line, and the days
    before it are kept. A day that was imported before is extended.
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
            data=data,
            rates=funding_unit,
            depth=depth,
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
        "quotes": sum(one.quotes for one in report.instruments),
        "books": sum(one.books for one in report.instruments),
        "contexts": sum(one.contexts for one in report.instruments),
        "rates": sum(one.rates for one in report.instruments),
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
    counts = (
        (one.trades, "trades"),
        (one.candles, f"candles of {one.interval}"),
        (one.quotes, "quotes"),
        (one.books, "books"),
        (one.contexts, "contexts"),
        (one.rates, "funding rates"),
    )
    what = ", ".join(f"{count:,} {name}" for count, name in counts if count) or "nothing"
    derived = [name for name in ("instrument", "interval") if any(name in file.derived for file in files)]
    by_name = f" ({' and '.join(derived)} by name)" if derived else ""
    again = f"; {one.duplicates:,} given twice count once" if one.duplicates else ""
    return f"{one.venue}:{one.instrument}: {what} from {_names(files)}{by_name}{again}"


def _names(files: Sequence[FileReport]) -> str:
    names = {file.file for file in files}
    return Path(files[0].file).name if len(names) == 1 else f"{len(names):,} files"


def _mapping(text: str | None) -> dict[str, str] | None:
    if text is None:
        return None
    pairs = [pair.partition("=") for pair in text.split(",")]
    if not all(role.strip() and equals for role, equals, _ in pairs):
        raise UsageError(f"--columns {text!r}: write it as ROLE=COLUMN,..., such as side=taker or id=")
    return {role.strip(): column.strip() for role, _, column in pairs}
