"""`engine backfill`: writes a venue's history of candles and funding rates into the journal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import click
import msgspec
import trio

from engine.clock import DAY_NS, SystemClock, SystemIds, iso_text, parse_iso
from engine.commands.output import json_option, print_json, progress, table
from engine.config import Config
from engine.errors import UsageError
from engine.events import Event, InstrumentListed
from engine.loading.strategies import make_builder
from engine.loading.venues import HISTORY_DEFAULT, find_venue
from engine.records import day_folders
from engine.runtime.backfill import BackfillPlan, Known, known_history, run_backfill
from engine.stores.catchup import rebuild
from engine.stores.sqlite.store import SqliteStore
from engine.values import format_interval, parse_interval
from engine.venue import Venue, VenueClient

__all__ = ["backfill_command"]

_HOUR_NS = 3_600_000_000_000


class Series(msgspec.Struct):
    """The result for one instrument and interval ("funding": rates)."""

    instrument: str
    interval: str
    rows: int = 0
    already: int = 0
    first: str | None = None
    last: str | None = None
    complete: bool = True


class Backfilled(msgspec.Struct):
    """The result of a run."""

    rows: int
    journal: str
    series: list[Series]


@click.command("backfill")
@click.option(
    "--venue",
    "venue_name",
    default=HISTORY_DEFAULT,
    show_default=True,
    metavar="NAME",
    help="A venue that has history.",
)
@click.option("--coins", required=True, metavar="BTC,ETH")
@click.option("--intervals", default="1m,5m,1h", show_default=True, metavar="1m,1h")
@click.option("--since", required=True, metavar="2024-11-01", help="ISO 8601, UTC.")
@click.option("--until", metavar="2024-12-01", help="Default: now.")
@click.option("--funding/--no-funding", default=True, show_default=True, help="Funding rates too.")
@click.option("--base-url", metavar="URL", help="Address of the venue. Default: its own.")
@click.option(
    "--journal", "root", type=click.Path(path_type=Path), default=Path("journal"), show_default=True
)
@click.option("--db", type=click.Path(path_type=Path), help="SQLite file. Default: retape.db in the journal.")
@json_option
def backfill_command(
    venue_name: str,
    coins: str,
    intervals: str,
    since: str,
    until: str | None,
    funding: bool,
    base_url: str | None,
    root: Path,
    db: Path | None,
    as_json: bool,
) -> None:
    """Read candles and funding rates into the journal and the SQLite database.

    Only what the journal does not have yet is requested: a run can be repeated, and continues after a kill.
    A venue keeps a limited number of candles (Hyperliquid: the newest 5,000 of an interval); if it has no
    earlier ones, the result shows where they begin.
    """
    names = tuple(name.strip() for name in coins.split(",") if name.strip())
    spans = tuple(parse_interval(name.strip()) for name in intervals.split(",") if name.strip())
    if any(span > DAY_NS for span in spans):
        raise UsageError(f"--intervals {intervals}: 1d is the longest; longer bars are made of days")
    if not names:
        raise UsageError("--coins names no instrument; write it as --coins BTC,ETH")
    start_ns = parse_iso(since)
    end_ns = SystemClock().now_ns() if until is None else parse_iso(until)
    if start_ns >= end_ns:
        raise UsageError(f"--since {since} is not before {until or 'now'}")
    venue = find_venue(venue_name)
    if not venue.has_history:
        raise UsageError(f"the venue {venue.name!r} has no history to read")
    config = Config(strategies=(), coins=names)
    address = venue.address(config, base_url, real=False)
    if address is None:
        raise UsageError(f"the venue {venue.name!r} has no address of its own; give its --base-url")
    known = known_history(root) if root.is_dir() else {}
    series = [
        Series(name, format_interval(span), already=len(known.get((name, span), ())))
        for name in names
        for span in spans
    ]
    if funding:
        series += [Series(name, "funding", already=len(known.get((name, 0), ()))) for name in names]
    rows = trio.run(_backfill, root, venue, address, config, series, known, start_ns, end_ns)
    database = db or root / "retape.db"
    rebuild(SqliteStore(database), day_folders((root,)))
    result = Backfilled(rows, str(root), series)
    if as_json:
        print_json(msgspec.to_builtins(result))
        return
    table([(f"{one.instrument} {one.interval}", _line(one)) for one in series])
    table([("rows", f"{rows:,} new"), ("sqlite", str(database))])


async def _backfill(
    root: Path,
    venue: Venue,
    base_url: str,
    config: Config,
    series: list[Series],
    known: Known,
    start_ns: int,
    end_ns: int,
) -> int:
    client = await venue.connect(base_url, config)
    listing = await client.listing(config.coins)
    until_ns = min(end_ns, listing.time.venue_ns)
    plan = BackfillPlan(
        root, config, make_builder(continues=True), SystemClock(), SystemIds(), listing.instruments
    )

    async def read(listed: Sequence[InstrumentListed]) -> AsyncIterator[list[Event]]:
        by_name = {one.name: one for one in listed}
        with progress("backfill", len(series)) as show:
            for done, one in enumerate(series, start=1):
                instrument = by_name[one.instrument]
                if one.interval == "funding":
                    found = await _rates(client, instrument, known, start_ns, until_ns)
                else:
                    found = await _candles(client, instrument, one, known, start_ns, until_ns)
                _note(one, found, start_ns)
                if found:
                    yield found
                show(done)

    return await run_backfill(plan, read)


async def _candles(
    client: VenueClient, listed: InstrumentListed, one: Series, known: Known, start_ns: int, end_ns: int
) -> list[Event]:
    """Return the closed candles of a range that the journal does not have; only those are requested."""
    span_ns = parse_interval(one.interval)
    first_ns, last_ns = -(-start_ns // span_ns) * span_ns, end_ns // span_ns * span_ns
    have = known.get((listed.name, span_ns), set())
    inside = [start for start in have if first_ns <= start < last_ns]
    ranges = [(first_ns, last_ns)]
    if inside:
        ranges = [(first_ns, min(inside)), (max(inside) + span_ns, last_ns)]
    found: list[Event] = []
    for from_ns, to_ns in ranges:
        if from_ns < to_ns:
            candles = await client.candles(listed, span_ns, from_ns, to_ns)
            found += [candle for candle in candles if candle.start_ns not in have]
    return found


async def _rates(
    client: VenueClient, listed: InstrumentListed, known: Known, start_ns: int, end_ns: int
) -> list[Event]:
    """Return the settled rates of a range that the journal does not have."""
    have = known.get((listed.name, 0), set())
    from_ns = max([start_ns, *(at_ns + 1 for at_ns in have if at_ns >= start_ns)])
    return list(await client.funding_rates(listed, from_ns, end_ns))


def _note(one: Series, found: list[Event], start_ns: int) -> None:
    """Note the rows found; incomplete if the venue's history begins later than requested."""
    one.rows = len(found)
    if not found:
        return
    times = [getattr(event, "start_ns", 0) or getattr(event, "venue_ns", 0) for event in found]
    one.first, one.last = iso_text(min(times)), iso_text(max(times))
    step_ns = _HOUR_NS if one.interval == "funding" else parse_interval(one.interval)
    one.complete = bool(one.already) or min(times) < start_ns + 2 * step_ns


def _line(one: Series) -> str:
    if not one.rows:
        return f"nothing new ({one.already:,} already here)" if one.already else "the venue has none"
    text = f"{one.rows:,} new, {one.first[:19] if one.first else ''} to {one.last[:19] if one.last else ''}"
    return text if one.complete else f"{text}; the venue has no more before that"
