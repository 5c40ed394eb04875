"""Connects to the venues and builds the plan of a live session: clock, instruments, feeds, gateway.

Raises UsageError for an instrument that the venue does not list, and SafetyRefusal if real orders are not
safe; both before anything is written. Called by `engine live` and by the tests of whole sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec

from adapters.transport.raw import RawRecorder, raw_folder
from engine.clock import SystemIds
from engine.commands.awaited import AwaitedGateway, AwaitedVenue, known_instruments
from engine.commands.mirror import make_mirror
from engine.commands.sources import (
    Missing,
    Source,
    check_currencies,
    connect,
    reached,
    session_clock,
    warm_up,
)
from engine.commands.stores import make_projectors, witness_of
from engine.config import EXIT_EXPIRES_MS, Config
from engine.config.naming import resolve_names
from engine.events import Event, InstrumentListed
from engine.journal import DISK, Disk
from engine.loading.strategies import make_builder
from engine.ports import Edge
from engine.runtime.ingress import Ingress
from engine.runtime.plan import LivePlan
from engine.runtime.router import Marked, Router
from engine.stores.store import Store
from engine.strategies.needs import resolve_markets
from engine.venue import Account, Gateway, Inputs, LastTrades, SessionContext, Signer, Tap, Venue

__all__ = ["LiveOptions", "make_plan"]


class LiveOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a live session.

    `base_url` is the venue's address, None for the embedded sandbox, which runs at `speed` from `seed`;
    `others` are the other venues of the session, with their addresses. With a `signer` orders are real; with
    `signers`, by the names of venues, they are at these venues, and others are watched only. `stores` receive
    the rows, by name; `raw` records the feed's messages. The session stops `seconds` after the first input.
    `resume` lifts a halt; `fresh` and `moves` are those of the plan.
    """

    config: Config
    root: Path
    venue: Venue
    base_url: str | None = None
    others: tuple[tuple[Venue, str | None], ...] = ()
    signer: Signer | None = None
    signers: Mapping[str, Signer] = {}
    stores: dict[str, Store] = {}
    raw: bool = False
    resume: bool = False
    seconds: float | None = None
    speed: float = 1.0
    seed: int = 1
    fresh: tuple[str, ...] = ()
    moves: tuple[tuple[str, str], ...] = ()
    disk: Disk = DISK


async def make_plan(
    options: LiveOptions, base_url: str, others: Sequence[tuple[Venue, str]] = ()
) -> LivePlan:
    """Connect to the venue at `base_url`, to `others` at theirs, and build the plan. Raises EngineError."""
    ids = SystemIds()
    config, root = options.config, options.root
    signers = options.signers or ({options.venue.name: options.signer} if options.signer is not None else {})
    venues = await connect(
        [(options.venue, base_url), *others],
        config,
        signers,
        lambda venue, names: known_instruments(root, venue, names, options.disk),
    )
    sources = [one for one in venues if isinstance(one, Source)]
    listed = [one for venue in venues for one in venue.instruments]
    config = msgspec.structs.replace(
        resolve_names(config, listed), instruments=tuple(one.key for one in listed)
    )
    armed = [one for one in venues if one.venue.name in options.signers]
    if armed:
        check_currencies(armed, config)
        config = msgspec.structs.replace(config, accounts=tuple(one.lists for one in armed))
    builder = make_builder(continues=True)
    config = resolve_markets(config, builder.needs(config), listed)
    clock, speed, venue_events = session_clock(sources, real=[*signers])
    settings = _at_speed(_with_exits(config) if signers else config, speed)
    health: dict[str, Callable[[], str]] = {}

    def jitter() -> float:
        return int.from_bytes(ids.random_bytes(4), "big") / 2**32

    awaited = {
        one.lists: AwaitedVenue(one.lists, one.why, clock.now_ns, jitter)
        for one in venues
        if isinstance(one, Missing)
    }

    def make_feeds(instruments: Sequence[InstrumentListed], ingress: Ingress, last: LastTrades) -> list[Edge]:
        edges, recorders = [], []
        run_id = ids.random_bytes(8).hex() if options.raw else ""
        for source in venues:
            tap = None
            if options.raw:
                own = source.lists if len(venues) > 1 else ""
                recorder = RawRecorder(raw_folder(root, own), clock, run_id, root=raw_folder(root))
                tap = recorder.record
                recorders.append(Edge(f"raw {own}".strip(), recorder.run, gives_up=False))
            if isinstance(source, Missing):
                begun = partial(reach, source, instruments, ingress, last, tap)
                edges.append(awaited[source.lists].edge(ingress, begun))
                continue
            edges += source.feeds(settings, clock, jitter, instruments, ingress, last, tap)
            health.update(source.health())
        return [*edges, *recorders]

    async def reach(
        missing: Missing,
        instruments: Sequence[InstrumentListed],
        ingress: Ingress,
        last: LastTrades,
        tap: Tap | None,
    ) -> list[Edge]:
        signer = signers.get(missing.venue.name)
        source, events = await reached(missing, sources[0], options.config, signer, clock.now_ns())
        await ingress.send(events)
        sources.append(source)
        edges = source.feeds(settings, clock, jitter, instruments, ingress, last, tap)
        health.update(source.health())
        return edges

    async def read_past(instruments: Sequence[InstrumentListed], windows: Mapping[str, int]) -> list[Event]:
        return await warm_up(sources, instruments, windows, clock.now_ns(), health)

    def make_gateway(instruments: Sequence[InstrumentListed], ingress: Ingress, account: Account) -> Gateway:
        if not armed:
            return gateway_of(sources[0], instruments, ingress, account)
        assert account.at is not None
        at = {one.instrument: one.venue for one in instruments}
        return Router(
            {
                one.lists: gateway_at(one, instruments, Marked(one.lists, ingress), account.at)
                for one in armed
            },
            lambda number: at.get(number, ""),
        )

    def gateway_at(
        source: Source | Missing,
        instruments: Sequence[InstrumentListed],
        inputs: Inputs,
        account_at: Callable[[str], Account],
    ) -> Gateway:
        if isinstance(source, Source):
            return gateway_of(source, instruments, inputs, account_at(source.lists))

        def make() -> Gateway:
            (found,) = [one for one in sources if one.lists == source.lists]
            return gateway_of(found, instruments, inputs, account_at(found.lists))

        return AwaitedGateway(awaited[source.lists], inputs, clock.now_ns, make)

    def gateway_of(
        source: Source, instruments: Sequence[InstrumentListed], inputs: Inputs, account: Account
    ) -> Gateway:
        context = SessionContext(settings, clock, jitter, source.own(instruments), inputs)
        gateway = source.client.gateway(context, account)
        health.update(source.health())
        return gateway

    warms = settings.data.warmup_bars and any(source.venue.has_history for source in sources)
    return LivePlan(
        root=root,
        config=settings,
        builder=builder,
        clock=clock,
        ids=ids,
        instruments=listed,
        venue_events=venue_events,
        make_feeds=make_feeds,
        warm_up=read_past if warms else None,
        make_gateway=make_gateway if signers else None,
        projectors={**make_projectors(root, options.stores), **make_mirror(root, options.config)},
        health=health,
        speed=speed,
        for_seconds=options.seconds,
        resume=options.resume,
        witness=witness_of(root, options.stores),
        fresh=options.fresh,
        moves=options.moves,
        disk=options.disk,
    )


def _with_exits(config: Config) -> Config:
    """Return the configuration with the expiry of exits that it does not set: a session records it."""
    if config.venue.exit_expires_ms is not msgspec.UNSET:
        return config
    venue = msgspec.structs.replace(config.venue, exit_expires_ms=EXIT_EXPIRES_MS)
    return msgspec.structs.replace(config, venue=venue)


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
            venue,
            expires_ms=scaled(venue.expires_ms),
            exit_expires_ms=scaled(venue.exit_expires_ms) if venue.exit_expires_ms else venue.exit_expires_ms,
            answer_ms=scaled(venue.answer_ms),
        ),
    )
