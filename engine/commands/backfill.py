"""`engine backfill`: writes a venue's history of candles, funding rates, open interest into the journal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import click
import msgspec
import trio

from engine.clock import DAY_NS, SystemClock, SystemIds, iso_text, parse_iso
from engine.commands.naming import names_in
from engine.commands.output import json_option, print_json, progress, table
from engine.config import Config
from engine.errors import UsageError
from engine.events import Event, InstrumentListed
from engine.instruments import find_instrument
from engine.loading.strategies import make_builder
from engine.loading.venues import HISTORY_DEFAULT, find_venue
from engine.records import day_folders
from engine.runtime.backfill import (
    BackfillPlan,
    SeriesPlan,
    SeriesRead,
    known_history,
    read_series,
    run_backfill,
)
from engine.runtime.holes import FUNDING, OPEN_INTEREST, HistorySeries
from engine.stores.catchup import rebuild
from engine.stores.sqlite.store import SqliteStore
from engine.values import format_interval, parse_interval
from engine.venue import Venue

__all__ = ["backfill_command"]

_OTHERS = {"funding": FUNDING, "open-interest": OPEN_INTEREST}
"""Series that are not of an interval."""

_SPANS_MAX = 20
"""Missing spans that are listed."""


class Series(msgspec.Struct):
    """The result for one instrument and interval ("funding": rates, "open-interest": readings of that).

    `windows` is how many of the span are over, `already` how many the journal had, `rows` how many are new,
    the earliest `first`, the latest `last`. `missing` are not known: neither by a candle nor by the venue's
    custom; `missing_spans` are the first of them, (from, to). `complete`: none is missing. `unusable` rows of
    the venue were left out, the first because of `reason`.
    """

    instrument: str
    interval: str
    rows: int = 0
    already: int = 0
    first: str | None = None
    last: str | None = None
    complete: bool = False
    windows: int = 0
    missing: int = 0
    missing_spans: list[tuple[str, str]] = []
    unusable: int = 0
    reason: str = ""


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
@click.option("--instruments", "--coins", "instruments", required=True, metavar="BTC,ETH")
@click.option("--intervals", default="1m,5m,1h", show_default=True, metavar="1m,1h")
@click.option("--since", required=True, metavar="2024-11-01", help="ISO 8601, UTC.")
@click.option("--until", metavar="2024-12-01", help="Default: now.")
@click.option("--funding/--no-funding", default=True, show_default=True, help="Funding rates too.")
@click.option(
    "--open-interest/--no-open-interest",
    "interest",
    default=False,
    show_default=True,
    help="Open interest too.",
)
@click.option("--base-url", metavar="URL", help="Address of the venue. Default: its own.")
@click.option(
    "--journal", "root", type=click.Path(path_type=Path), default=Path("journal"), show_default=True
)
@click.option("--db", type=click.Path(path_type=Path), help="SQLite file. Default: retape.db in the journal.")
@json_option
def backfill_command(
    venue_name: str,
    instruments: str,
    intervals: str,
    since: str,
    until: str | None,
    funding: bool,
    interest: bool,
    base_url: str | None,
    root: Path,
    db: Path | None,
    as_json: bool,
) -> None:
    """Read candles, funding rates and open interest into the journal and the SQLite database.

    Only windows that the journal does not have yet are requested: a run can be repeated with any spans, and
    continues after a kill. A candle that the venue did not have is requested again by the next run an hour
    later, or earlier if its window was young. A series is complete if every window of the span that is over
    has its candle, or is silent by the venue's custom. A venue keeps a limited number of candles
    (Hyperliquid: the newest 5,000 of an interval).
    """
    names = names_in(instruments)
    spans = tuple(parse_interval(name.strip()) for name in intervals.split(",") if name.strip())
    if any(span > DAY_NS for span in spans):
        raise UsageError(f"--intervals {intervals}: 1d is the longest; longer bars are made of days")
    start_ns = parse_iso(since)
    end_ns = SystemClock().now_ns() if until is None else parse_iso(until)
    if start_ns >= end_ns:
        raise UsageError(f"--since {since} is not before {until or 'now'}")
    venue = find_venue(venue_name)
    if not venue.has_history:
        raise UsageError(f"the venue {venue.name!r} has no history to read")
    names = venue.own_names(names)
    config = Config(strategies=(), instruments=names)
    address = venue.address(config, base_url, real=False)
    if address is None:
        raise UsageError(f"the venue {venue.name!r} has no address of its own; give its --base-url")
    series = [Series(name, format_interval(span)) for name in names for span in spans]
    if funding:
        series += [Series(name, "funding") for name in names]
    if interest:
        if not venue.rules.interest_s:
            raise UsageError(f"the venue {venue.name!r} has no history of open interest")
        series += [Series(name, "open-interest") for name in names]
    trio.run(_backfill, root, venue, address, config, series, start_ns, end_ns)
    database = db or root / "retape.db"
    rebuild(SqliteStore(database), day_folders((root,)))
    rows = sum(one.rows for one in series)
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
    start_ns: int,
    end_ns: int,
) -> None:
    client = await venue.connect(base_url, config)
    listing = await client.listing(config.instruments)
    config = msgspec.structs.replace(config, instruments=tuple(one.key for one in listing.instruments))
    plan = BackfillPlan(
        root, config, make_builder(continues=True), SystemClock(), SystemIds(), listing.instruments
    )

    async def read(listed: Sequence[InstrumentListed]) -> AsyncIterator[list[Event]]:
        known = known_history(root, venue.rules)
        with progress("backfill", len(series)) as show:
            for done, one in enumerate(series, start=1):
                instrument = find_instrument(one.instrument, listed)
                interval_ns = (
                    _OTHERS[one.interval] if one.interval in _OTHERS else parse_interval(one.interval)
                )
                wanted = SeriesPlan(interval_ns, start_ns, end_ns)
                result = SeriesRead()
                if interval_ns > 0 or instrument.rules.on_margin:
                    have = known.get((instrument.key, interval_ns), HistorySeries())
                    async for found in read_series(
                        client, venue.rules, instrument, wanted, have, listing.time.venue_ns, result
                    ):
                        yield found
                _note(one, result)
                show(done)

    await run_backfill(plan, read)


def _note(one: Series, result: SeriesRead) -> None:
    """Note the result of a series."""
    step = result.step_ns
    one.rows, one.already, one.windows = len(result.new), result.already, result.windows
    if result.new:
        one.first, one.last = iso_text(min(result.new)), iso_text(max(result.new))
    one.missing = sum(end - start for start, end in result.missing) // step if step else 0
    one.missing_spans = [(iso_text(start), iso_text(end)) for start, end in result.missing[:_SPANS_MAX]]
    one.complete = not result.missing
    one.unusable, one.reason = len(result.unusable), next(iter(result.unusable), "")


def _line(one: Series) -> str:
    if not one.windows:
        return "no window of the span is over yet"
    parts = [f"{one.rows:,} new"]
    if one.first and one.last:
        parts[0] += f", {one.first[:19]} to {one.last[:19]}"
    parts.append(f"{one.already:,} already here")
    if one.unusable:
        parts.append(f"{one.unusable:,} of the venue's rows cannot be used: {one.reason}")
    if one.complete:
        parts.append("complete")
    else:
        start, end = one.missing_spans[0]
        more = "" if len(one.missing_spans) == 1 else " and later"
        parts.append(
            f"incomplete: the venue has no usable row for {one.missing:,} of {one.windows:,} windows, "
            f"{start[:19]} to {end[:19]}{more}"
        )
    return "; ".join(parts)
