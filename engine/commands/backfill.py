"""`engine backfill`: the venue's history of candles and funding rates into the journal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import click
import msgspec
import trio

from adapters.hyperliquid.decode import Decoder
from adapters.hyperliquid.history import read_candles
from adapters.hyperliquid.info import MAINNET_URL, HyperliquidInfo, is_loopback
from adapters.hyperliquid.listing import list_instruments
from adapters.transport.governor import Governor, Priority
from engine.clock import DAY_NS, SystemClock, SystemIds, iso_text, parse_iso
from engine.commands.output import json_option, print_json, progress, table
from engine.config import Config
from engine.errors import UsageError
from engine.events import Event, InstrumentListed
from engine.loading.strategies import make_builder
from engine.records import day_folders
from engine.runtime.backfill import BackfillPlan, Known, known_history, run_backfill
from engine.stores import rebuild
from engine.values import format_interval, parse_interval

__all__ = ["backfill_command"]

_HOUR_NS = 3_600_000_000_000
_NS_PER_MS = 1_000_000


class Series(msgspec.Struct):
    """What was asked of one coin and interval, and what there was; "funding" for rates."""

    coin: str
    interval: str
    rows: int = 0
    already: int = 0
    first: str | None = None
    last: str | None = None
    complete: bool = True


class Backfilled(msgspec.Struct):
    """How a run went."""

    rows: int
    journal: str
    series: list[Series]


@click.command("backfill")
@click.option("--venue", type=click.Choice(["hyperliquid"]), default="hyperliquid", show_default=True)
@click.option("--coins", required=True, metavar="BTC,ETH")
@click.option("--intervals", default="1m,5m,1h", show_default=True, metavar="1m,1h")
@click.option("--since", required=True, metavar="2024-11-01", help="ISO 8601, UTC.")
@click.option("--until", metavar="2024-12-01", help="Default: now.")
@click.option("--funding/--no-funding", default=True, show_default=True, help="Funding rates too.")
@click.option("--base-url", default=MAINNET_URL, show_default=True)
@click.option(
    "--journal", "root", type=click.Path(path_type=Path), default=Path("journal"), show_default=True
)
@click.option("--db", type=click.Path(path_type=Path), help="SQLite file. Default: retape.db in the journal.")
@json_option
def backfill_command(
    venue: str,
    coins: str,
    intervals: str,
    since: str,
    until: str | None,
    funding: bool,
    base_url: str,
    root: Path,
    db: Path | None,
    as_json: bool,
) -> None:
    """Read candles and funding rates into the journal and the projection.

    Only what the journal does not have yet is asked for, so a run may be repeated, and goes on after a
    kill. The venue has the newest 5,000 candles of an interval; where it has no more, the result says from
    when on.
    """
    names = tuple(name.strip() for name in coins.split(",") if name.strip())
    spans = tuple(parse_interval(name.strip()) for name in intervals.split(",") if name.strip())
    if any(span > DAY_NS for span in spans):
        raise UsageError(f"--intervals {intervals}: 1d is the longest; longer bars are made of days")
    if not names:
        raise UsageError("--coins names no coin; write it as --coins BTC,ETH")
    start_ns = parse_iso(since)
    end_ns = SystemClock().now_ns() if until is None else parse_iso(until)
    if start_ns >= end_ns:
        raise UsageError(f"--since {since} is not before {until or 'now'}")
    known = known_history(root) if root.is_dir() else {}
    series = [
        Series(name, format_interval(span), already=len(known.get((name, span), ())))
        for name in names
        for span in spans
    ]
    if funding:
        series += [Series(name, "funding", already=len(known.get((name, 0), ()))) for name in names]
    rows = trio.run(_backfill, root, base_url, names, series, known, start_ns, end_ns)
    database = db or root / "retape.db"
    rebuild(database, day_folders((root,)))
    result = Backfilled(rows, str(root), series)
    if as_json:
        print_json(msgspec.to_builtins(result))
        return
    table([(f"{one.coin} {one.interval}", _line(one)) for one in series])
    table([("rows", f"{rows:,} new"), ("sqlite", str(database))])


async def _backfill(
    root: Path,
    base_url: str,
    names: tuple[str, ...],
    series: list[Series],
    known: Known,
    start_ns: int,
    end_ns: int,
) -> int:
    governor = Governor()
    async with HyperliquidInfo(base_url, governor=governor) as info:
        metas = await info.all_perp_metas()
        spot = await info.spot_meta()
        chosen = list_instruments(
            metas[0], 0, names, loopback=is_loopback(base_url), spot=spot, dexs=metas[1:]
        )
        now_ns = (await info.exchange_status()).time * _NS_PER_MS
        plan = BackfillPlan(
            root, Config(strategies=(), coins=names), make_builder(), SystemClock(), SystemIds(), chosen
        )

        async def read(listed: Sequence[InstrumentListed]) -> AsyncIterator[list[Event]]:
            by_name = {one.name: one for one in listed}
            with progress("backfill", len(series)) as tell:
                for done, one in enumerate(series, start=1):
                    instrument = by_name[one.coin]
                    until_ns = min(end_ns, now_ns)
                    if one.interval == "funding":
                        found = await _rates(info, instrument, known, start_ns, until_ns)
                    else:
                        found = await _candles(info, instrument, one, known, start_ns, until_ns)
                    _note(one, found, start_ns)
                    if found:
                        yield found
                    tell(done)

        return await run_backfill(plan, read)


async def _candles(
    info: HyperliquidInfo, listed: InstrumentListed, one: Series, known: Known, start_ns: int, end_ns: int
) -> list[Event]:
    """Return the closed candles of a range that are not known; only what is outside them is asked for."""
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
            candles = await read_candles(
                info,
                listed,
                span_ns,
                from_ns,
                to_ns,
                purpose="history",
                recv_ns=SystemClock().now_ns(),
                priority=Priority.HISTORY,
            )
            found += [candle for candle in candles if candle.start_ns not in have]
    return found


async def _rates(
    info: HyperliquidInfo, listed: InstrumentListed, known: Known, start_ns: int, end_ns: int
) -> list[Event]:
    """Return the settled rates of a range that are not known."""
    have = known.get((listed.name, 0), set())
    decoder = Decoder([listed])
    from_ns = max([start_ns, *(at_ns + 1 for at_ns in have if at_ns >= start_ns)])
    found: list[Event] = []
    while from_ns < end_ns:
        rows = await info.funding_history(listed.name, from_ns // _NS_PER_MS, end_ns // _NS_PER_MS)
        page = [
            rate
            for row in rows
            if (rate := decoder.funding(row, SystemClock().now_ns())) is not None and rate.venue_ns >= from_ns
        ]
        if not page:
            break
        found += page
        from_ns = page[-1].venue_ns + 1
    return found


def _note(one: Series, found: list[Event], start_ns: int) -> None:
    """Put down what there was; incomplete where the venue begins later than asked."""
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
