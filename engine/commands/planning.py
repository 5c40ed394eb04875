"""Connects to a venue and builds the plan of a live session: clock, instruments, feeds, gateway, projectors.

Raises UsageError for an instrument that the venue does not list, and SafetyRefusal if real orders are not
safe; both before anything is written. Called by `engine live` and by the tests of whole sessions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import click
import msgspec

from adapters.transport.raw import RawRecorder, raw_folder
from engine.clock import SECOND_NS, AdoptedClock, SystemClock, SystemIds, day_start_ns, iso_text
from engine.commands.stores import make_projectors, witness_of
from engine.config import Config
from engine.config.naming import resolve_names
from engine.errors import SafetyRefusal, VenueProtocolError
from engine.events import ClockAdopted, ClockChecked, Event, InstrumentListed
from engine.instruments import check_listing
from engine.journal import DISK, Disk
from engine.loading.strategies import make_builder
from engine.ports import Clock, Edge
from engine.runtime.ingress import Ingress
from engine.runtime.plan import LivePlan
from engine.stores.store import Store
from engine.strategies.needs import resolve_markets
from engine.venue import Account, Gateway, LastTrades, SessionContext, Signer, Venue, VenueTime

__all__ = ["LiveOptions", "make_plan"]

SKEW_NS_MAX: Final = SECOND_NS
"""If the clock differs more than this from the venue's: a warning, and real orders are refused."""

_FIRST_NS: Final = day_start_ns("2015-01-01")
_LAST_NS: Final = day_start_ns("2200-01-01")


class LiveOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a live session.

    `base_url` is the venue's address, None for the embedded sandbox, which runs at `speed` from `seed`. With
    a `signer` orders are real. `stores` receive the rows, by name; `raw` records the feed's messages. The
    session stops `seconds` after the first input. `resume` lifts a halt; `fresh` and `moves` are those of the
    plan.
    """

    config: Config
    root: Path
    venue: Venue
    base_url: str | None = None
    signer: Signer | None = None
    stores: dict[str, Store] = {}
    raw: bool = False
    resume: bool = False
    seconds: float | None = None
    speed: float = 1.0
    seed: int = 1
    fresh: tuple[str, ...] = ()
    moves: tuple[tuple[str, str], ...] = ()
    disk: Disk = DISK


async def make_plan(options: LiveOptions, base_url: str) -> LivePlan:
    """Connect to the venue at `base_url` and build the plan. Raises EngineError."""
    ids = SystemIds()
    config, root = options.config, options.root
    real = options.signer is not None
    client = await options.venue.connect(base_url, config, options.signer)
    listing = await client.listing(options.venue.own_names(config.instruments))
    listed = listing.instruments
    check_listing(listed, base_url)
    config = msgspec.structs.replace(
        resolve_names(config, listed), instruments=tuple(one.key for one in listed)
    )
    builder = make_builder(continues=True)
    config = resolve_markets(config, builder.needs(config), listed)
    clock, speed, venue_events = _clock(listing.time, base_url, real=real)
    settings = _at_speed(config, speed)
    health = client.health

    def jitter() -> float:
        return int.from_bytes(ids.random_bytes(4), "big") / 2**32

    def make_feeds(instruments: Sequence[InstrumentListed], ingress: Ingress, last: LastTrades) -> list[Edge]:
        recorder = RawRecorder(raw_folder(root), clock, ids.random_bytes(8).hex()) if options.raw else None
        tap = recorder.record if recorder is not None else None
        edges = list(client.feeds(SessionContext(settings, clock, jitter, instruments, ingress, last, tap)))
        if recorder is not None:
            edges.append(Edge("raw", recorder.run, gives_up=False))
        return edges

    async def warm_up(instruments: Sequence[InstrumentListed], windows: Mapping[str, int]) -> list[Event]:
        client.unusable.clear()
        events: list[Event] = []
        for count in sorted({*windows.values()}):
            intervals = [name for name, one in windows.items() if one == count]
            events += await client.warm_up(instruments, intervals, count, clock.now_ns())
        if unusable := [one.reason for one in client.unusable]:
            line = f"{len(unusable):,} answers or rows of the venue cannot be used: {unusable[0]}"
            health["warm-up"] = lambda: line
        return events

    def make_gateway(instruments: Sequence[InstrumentListed], ingress: Ingress, account: Account) -> Gateway:
        return client.gateway(SessionContext(settings, clock, jitter, instruments, ingress), account)

    warms = options.venue.has_history and settings.data.warmup_bars
    return LivePlan(
        root=root,
        config=settings,
        builder=builder,
        clock=clock,
        ids=ids,
        instruments=listing.instruments,
        venue_events=venue_events,
        make_feeds=make_feeds,
        warm_up=warm_up if warms else None,
        make_gateway=make_gateway if real else None,
        projectors=make_projectors(root, options.stores),
        health=health,
        speed=speed,
        for_seconds=options.seconds,
        resume=options.resume,
        witness=witness_of(root, options.stores),
        fresh=options.fresh,
        moves=options.moves,
        disk=options.disk,
    )


def _clock(time: VenueTime, base_url: str, *, real: bool) -> tuple[Clock, float, list[Event]]:
    """Return the session's clock, its speed, and the event that records it.

    Raises SafetyRefusal, and VenueProtocolError for a time after which no day can be named.
    """
    if not _FIRST_NS <= time.venue_ns < _LAST_NS:
        shown = iso_text(time.venue_ns)
        raise VenueProtocolError(f"{base_url}: its clock shows {shown}, which is not in 2015 to 2199")
    if time.speed is not None:
        adopted = AdoptedClock(time.venue_ns, time.answered_ns, time.speed)
        return adopted, time.speed, [ClockAdopted(time.venue_ns, base_url, time.venue_ns, time.speed)]
    offset_ns = time.venue_ns - time.sent_ns
    if abs(offset_ns) > SKEW_NS_MAX:
        off = f"this machine's clock is {abs(offset_ns) / 1e9:.1f} s off the venue's"
        if real:
            raise SafetyRefusal(f"{off}; correct it before real orders are sent")
        click.echo(f"engine: warning: {off}; real orders are refused until it is corrected", err=True)
    return SystemClock(), 1.0, [ClockChecked(time.sent_ns, base_url, offset_ns)]


def _at_speed(config: Config, speed: float) -> Config:
    """Return the configuration with its waits converted from real time to the time of a faster clock."""

    def scaled(milliseconds: int) -> int:
        return min(int(milliseconds * speed), 3_600_000)

    venue = config.venue
    return msgspec.structs.replace(
        config,
        bars=msgspec.structs.replace(
            config.bars, grace_ms=scaled(config.bars.grace_ms), proof_ms=scaled(config.bars.proof_ms)
        ),
        venue=msgspec.structs.replace(
            venue, expires_ms=scaled(venue.expires_ms), answer_ms=scaled(venue.answer_ms)
        ),
    )
