"""Asks the venue what there is and puts a live session together: clock, instruments, feeds, gateway.

Raises UsageError for what the venue does not have, SafetyRefusal for what real orders forbid; all before
anything is written. Called by `engine live` and by the tests of whole sessions.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import msgspec

from adapters.hyperliquid.answers import SpotMeta
from adapters.hyperliquid.channels import check_channels
from adapters.hyperliquid.feed import HyperliquidFeed
from adapters.hyperliquid.history import warmup
from adapters.hyperliquid.info import HyperliquidInfo, is_loopback
from adapters.hyperliquid.keeper import HistoryKeeper
from adapters.hyperliquid.listing import asset_ids, dex_of, list_instruments
from adapters.hyperliquid.wire import ExchangeStatus, Meta
from adapters.transport.governor import Governor, Limits, Priority
from adapters.transport.raw import RawRecorder, raw_folder
from adapters.transport.trades import LastTrade
from engine.clock import SECOND_NS, AdoptedClock, SystemClock, SystemIds
from engine.commands.stores import make_csv_projector, make_projector
from engine.config import Config, VenueConfig, check_instruments
from engine.errors import SafetyRefusal, UsageError
from engine.events import ClockAdopted, ClockChecked, Event, InstrumentListed
from engine.journal import Witness, read_identity
from engine.loading.strategies import make_builder
from engine.ports import Clock
from engine.runtime.ingress import Ingress
from engine.runtime.plan import Account, Gateway, LastPrints, LivePlan, MakeProjector
from engine.runtime.supervisor import Edge
from engine.stores import StoreError, witness

if TYPE_CHECKING:
    from adapters.hyperliquid.gateway.keys import Signer

__all__ = ["make_plan"]

SKEW_NS_MAX: Final = SECOND_NS
"""A clock further than this off the venue's is warned of; real orders are refused."""


class _Master(msgspec.Struct, frozen=True):
    user: str


class Role(msgspec.Struct, frozen=True):
    """What an address is at the venue; an agent has a master."""

    role: str
    data: _Master | None = None


class Listing(msgspec.Struct, frozen=True):
    """What the venue lists, and what time it is there. `asked_ns` by our clock, `answered_ns` monotonic."""

    meta: Meta
    spot: SpotMeta | None
    dexs: list[Meta]
    status: ExchangeStatus
    asked_ns: int
    answered_ns: int


async def make_plan(
    config: Config,
    root: Path,
    database: Path | None,
    base_url: str,
    signer: Signer | None = None,
    *,
    raw: bool = False,
    csv: Path | None = None,
) -> LivePlan:
    """Put a session together; with a signer its orders are real.

    With `raw` messages are kept as they came, with `csv` closed bars are appended to files in that folder.
    Raises EngineError.
    """
    ids = SystemIds()
    governor = Governor(await _limits(base_url))
    check_channels(config.data.channels)
    loopback = is_loopback(base_url)
    if signer is not None:
        await _check_signer(base_url, governor, config.venue, signer)
    listing = await _ask(base_url, governor, config.coins)
    coins = config.coins
    if not coins:
        if not loopback:
            raise UsageError("the venue lists hundreds of coins; choose some with --coins BTC,ETH")
        coins = tuple(asset.name for asset in listing.meta.universe)
    chosen = list_instruments(listing.meta, 0, coins, loopback=loopback, spot=listing.spot, dexs=listing.dexs)
    check_instruments(config, [one.name for one in chosen])
    spot = [one.name for one in chosen if one.kind == "spot"]
    if spot and signer is not None:
        raise SafetyRefusal(f"real orders are for perps; {spot[0]} is a spot pair, leave it out of --coins")
    clock, speed, told = _clock(listing, base_url, loopback=loopback, real=signer is not None)
    settings = _at_speed(msgspec.structs.replace(config, coins=tuple(one.name for one in chosen)), speed)

    health: dict[str, Callable[[], str]] = {"limits": lambda: str(governor.budget())}

    def jitter() -> float:
        return int.from_bytes(ids.random_bytes(4), "big") / 2**32

    def make_feeds(instruments: Sequence[InstrumentListed], ingress: Ingress, last: LastPrints) -> list[Edge]:
        info = HyperliquidInfo(base_url, governor=governor)
        recorder = RawRecorder(raw_folder(root), clock, ids.random_bytes(8).hex()) if raw else None
        feed = HyperliquidFeed(
            name="hyperliquid",
            base_url=base_url,
            instruments=instruments,
            clock=clock,
            jitter=jitter,
            send=ingress.send,
            offer=ingress.offer,
            since_ns=clock.now_ns(),
            last_seen={
                number: LastTrade(venue_ns, tuple(int(one) for one in found))
                for number, (venue_ns, found) in last.items()
            },
            info=info,
            data=settings.data,
            intervals=settings.bars.intervals,
            governor=governor,
            tap=recorder.record if recorder is not None else None,
        )

        health["feed"] = lambda: str(feed.health)

        async def read_market() -> None:
            # Restarted by the supervisor, the same feed goes on from what it has told.
            async with info:
                await feed.run()

        edges = [Edge("hyperliquid", read_market)]
        if recorder is not None:
            edges.append(Edge("raw", recorder.run, gives_up=False))
        if settings.data.backfill_minutes:
            keeper = HistoryKeeper(
                HyperliquidInfo(base_url, governor=governor),
                instruments,
                settings.bars.intervals,
                clock,
                ingress.send,
                settings.data.backfill_minutes,
            )
            edges.append(Edge("history", keeper.run, gives_up=False))
        return edges

    async def warm_up(instruments: Sequence[InstrumentListed]) -> list[Event]:
        intervals, count = settings.bars.intervals, settings.data.warmup_bars
        async with HyperliquidInfo(base_url, governor=governor) as info:
            return list(await warmup(info, instruments, intervals, count, clock.now_ns()))

    def make_gateway(instruments: Sequence[InstrumentListed], ingress: Ingress, account: Account) -> Gateway:
        from adapters.hyperliquid.gateway.gateway import HyperliquidGateway

        assert signer is not None, "only an armed session has a gateway"
        gateway = HyperliquidGateway(
            name="gateway",
            base_url=base_url,
            venue=settings.venue,
            signer=signer,
            instruments=instruments,
            asset_ids=asset_ids(listing.meta, listing.spot, listing.dexs),
            clock=clock,
            jitter=jitter,
            send=ingress.send,
            governor=governor,
            account=account,
        )
        health["orders"] = lambda: str(gateway.health)
        return gateway

    projectors: dict[str, MakeProjector] = {}
    if database is not None:
        projectors["projector"] = functools.partial(make_projector, root, database)
    if csv is not None:
        projectors["csv"] = functools.partial(make_csv_projector, root, csv)
    return LivePlan(
        root=root,
        config=settings,
        builder=make_builder(),
        clock=clock,
        ids=ids,
        instruments=chosen,
        venue_events=told,
        make_feeds=make_feeds,
        warm_up=warm_up if settings.data.warmup_bars else None,
        make_gateway=make_gateway if signer is not None else None,
        projectors=projectors,
        health=health,
        speed=speed,
        witness=_witness(root, database),
    )


async def _ask(base_url: str, governor: Governor, coins: Sequence[str]) -> Listing:
    """Ask the venue for what the coins need, and for its time last."""
    async with HyperliquidInfo(base_url, governor=governor) as info:
        meta = await info.meta()
        plain = {asset.name for asset in meta.universe}
        dexs: list[Meta] = []
        spot = None
        others = [coin for coin in coins if coin not in plain]
        if any(dex_of(coin) for coin in others):
            dexs = (await info.all_perp_metas())[1:]
        if any(not dex_of(coin) for coin in others):
            spot = await info.spot_meta()
        system = SystemClock()
        asked_ns = system.now_ns()
        status = await info.exchange_status()
        return Listing(meta, spot, dexs, status, asked_ns, system.monotonic_ns())


async def _check_signer(base_url: str, governor: Governor, venue: VenueConfig, signer: Signer) -> None:
    """Raise SafetyRefusal unless the key is the account's own, or that of an agent it approved."""
    account = venue.account.lower()
    if signer.address == account:
        return
    request = {"type": "userRole", "user": signer.address}
    async with HyperliquidInfo(base_url, governor=governor) as info:
        role = await info.ask(request, Role, Priority.ACCOUNT)
    if role.role != "agent" or role.data is None or role.data.user.lower() != account:
        raise SafetyRefusal(
            f"the key is that of {signer.address}, which is neither {account} nor an agent that it approved"
        )


async def _limits(base_url: str) -> Limits:
    """Return the venue's limits; those of a sandbox at a speed are of its own, faster minutes."""
    if not is_loopback(base_url):
        return Limits()
    async with HyperliquidInfo(base_url) as info:
        speed = max(1.0, (await info.exchange_status()).speed or 1.0)
    plain = Limits()
    return msgspec.structs.replace(
        plain,
        weight_per_minute=int(plain.weight_per_minute * speed),
        messages_per_minute=int(plain.messages_per_minute * speed),
        connections_per_minute=int(plain.connections_per_minute * speed),
    )


def _clock(
    listing: Listing, base_url: str, *, loopback: bool, real: bool
) -> tuple[Clock, float, list[Event]]:
    """Return the session's clock, its speed, and what is told of it. Raises SafetyRefusal."""
    venue_ns = listing.status.time * 1_000_000
    if loopback and listing.status.speed is not None:
        speed = listing.status.speed
        adopted = AdoptedClock(venue_ns, listing.answered_ns, speed)
        return adopted, speed, [ClockAdopted(venue_ns, base_url, venue_ns, speed)]
    offset_ns = venue_ns - listing.asked_ns
    if abs(offset_ns) > SKEW_NS_MAX:
        off = f"this machine's clock is {abs(offset_ns) / 1e9:.1f} s off the venue's"
        if real:
            raise SafetyRefusal(f"{off}; set it right before real orders are sent")
        click.echo(f"engine: warning: {off}; real orders are forbidden until it is set right", err=True)
    return SystemClock(), 1.0, [ClockChecked(listing.asked_ns, base_url, offset_ns)]


def _at_speed(config: Config, speed: float) -> Config:
    """Return the configuration with the waits that are real time as they are in a faster clock."""

    def scaled(milliseconds: int) -> int:
        return min(int(milliseconds * speed), 3_600_000)

    venue = config.venue
    return msgspec.structs.replace(
        config,
        bars=msgspec.structs.replace(config.bars, grace_ms=scaled(config.bars.grace_ms)),
        venue=msgspec.structs.replace(
            venue, expires_ms=scaled(venue.expires_ms), answer_ms=scaled(venue.answer_ms)
        ),
    )


def _witness(root: Path, database: Path | None) -> Witness | None:
    """Return how far the projection remembers this journal, so that a shortened journal is noticed."""
    if database is None:
        return None
    with contextlib.suppress(StoreError):
        row = witness(database)
        if row is not None and row.journal_id == read_identity(root):
            return Witness(row.seq, row.digest, str(database))
    return None
