"""Two sandboxes on one clock, an account on each, and a session with real orders on both.

The venues are Hyperliquid (USDC) and Binance's USD-M futures (USDT). What is compared is what each exchange
itself holds: its accounts, positions, fills.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import trio

from adapters.binance.gateway.keys import Signer as BinanceSigner
from adapters.binance.sandbox.protocol import BinanceUsdmProtocol
from adapters.exchange.options import SandboxOptions
from adapters.exchange.run import shared_start
from adapters.exchange.server import LocalExchange
from adapters.hyperliquid.gateway.keys import Signer as HyperliquidSigner
from adapters.sandbox.protocol import HyperliquidProtocol
from engine.commands.planning import LiveOptions, make_plan
from engine.commands.stores import session_stores
from engine.config import (
    AccountConfig,
    BarsConfig,
    Config,
    DataConfig,
    RiskConfig,
    StrategyConfig,
    VenueConfig,
)
from engine.events import FillBooked, InstrumentListed, OrderFilled, PositionChanged
from engine.loading.venues import find_venue
from engine.runtime.live import Live
from engine.runtime.notices import Notice
from engine.runtime.plan import LiveResult
from engine.values import format_scaled
from tests.binance.gateway.kit import API_KEY, SECRET
from tests.live.kit import ACCOUNT, KEY, Venue, assert_replays, of
from tests.pacing import pacing

__all__ = ["BINANCE", "HYPERLIQUID", "Two", "config", "positions_at", "two_venues"]

HYPERLIQUID, BINANCE = "hyperliquid", "binance-usdm"
PROTOCOLS: Mapping[str, Any] = {HYPERLIQUID: HyperliquidProtocol, BINANCE: BinanceUsdmProtocol}
ACCOUNTS: Mapping[str, tuple[str, str]] = {
    HYPERLIQUID: (ACCOUNT, "100000"),
    BINANCE: (f"{API_KEY}:{SECRET}", "50000"),
}


class Two:
    """The sandboxes by venue, at `urls`."""

    def __init__(self, exchanges: Mapping[str, LocalExchange], urls: Mapping[str, str]) -> None:
        self.exchanges = exchanges
        self.urls = urls

    @property
    def account(self) -> Any:
        """Binance's account."""
        return self.exchanges[BINANCE].protocol.trading.accounts[0]  # type: ignore[attr-defined]

    async def positions(self, venue: str) -> dict[str, Decimal]:
        """Return what a venue's account holds, by name, without flat markets."""
        if venue == HYPERLIQUID:
            return await Venue(self.exchanges[venue], self.urls[venue]).positions()  # type: ignore[arg-type]
        held = {}
        for one in self.account.positions.values():
            if one.size:
                held[one.listed.name] = Decimal(format_scaled(one.size, one.listed.size_scale))
        return held

    async def fills(self, venue: str) -> list[tuple[int, int]]:
        """Return (trade id, order number) of every fill of a venue's account."""
        if venue == HYPERLIQUID:
            rows = await Venue(self.exchanges[venue], self.urls[venue]).fills()  # type: ignore[arg-type]
            return sorted((one["tid"], one["oid"]) for one in rows)
        return sorted((one.number, one.order.number) for one in self.account.trades)

    async def live(
        self,
        root: Path,
        settings: Config,
        script: Callable[[Live], Awaitable[None]],
        *,
        armed: Sequence[str] = (HYPERLIQUID, BINANCE),
        venues: Sequence[str] = (HYPERLIQUID, BINANCE),
        notify: Callable[[Notice], None] = lambda _: None,
        **more: Any,
    ) -> LiveResult:
        """Run a session with real orders at `armed`; it stops when the script ends."""
        signers = {HYPERLIQUID: HyperliquidSigner(KEY), BINANCE: BinanceSigner(f"{API_KEY} {SECRET}", "main")}
        options = LiveOptions(
            config=settings,
            root=root,
            venue=find_venue(venues[0]),
            signers={name: signers[name] for name in armed},
            stores=session_stores(settings, root),
            **more,
        )
        others = [(find_venue(name), self.urls[name]) for name in venues[1:]]
        live = Live(await make_plan(options, self.urls[venues[0]], others), notify)
        async with trio.open_nursery() as nursery:

            async def drive() -> None:
                await script(live)
                live.stop("script")

            nursery.start_soon(drive)
            result = await live.run()
            nursery.cancel_scope.cancel()
        return result

    async def agrees(self, root: Path) -> None:
        """Assert that fills and positions are those of each venue, once, and that every day replays."""
        listed = {one.instrument: one for one in of(InstrumentListed, root)}
        booked: dict[tuple[int, int], int] = {}
        for one in of(FillBooked, root):
            key = one.instrument, one.trade_id
            booked[key] = booked.get(key, 0) + one.size
        for venue in self.exchanges:
            # After a restart fills are reported again; each is booked once.
            reported = {
                (one.trade_id, one.venue_order_id): one
                for one in of(OrderFilled, root)
                if listed[one.instrument].venue == venue
            }
            wrong = reported.keys() ^ set(await self.fills(venue))
            assert not wrong, f"{venue}: a fill was lost or made up: {wrong}"
            for one in reported.values():
                assert booked[one.instrument, one.trade_id] == one.size, f"{venue}: booked otherwise: {one}"
            assert positions_at(root, venue) == await self.positions(venue), venue
        assert_replays(root)


def positions_at(root: Path, venue: str) -> dict[str, Decimal]:
    """Return the journal's positions at a venue by instrument, without flat ones."""
    listed = {one.instrument: one for one in of(InstrumentListed, root)}
    last = {(one.strategy, one.instrument): one.size for one in of(PositionChanged, root)}
    sums: dict[str, Decimal] = {}
    for (_, number), size in last.items():
        one = listed[number]
        if one.venue == venue:
            sums[one.name] = sums.get(one.name, Decimal(0)) + Decimal(format_scaled(size, one.size_scale))
    return {name: size for name, size in sums.items() if size}


def config(use: str, *, on_stop: str = "cancel", risk: Any = None, **venue: Any) -> Config:
    """Return a configuration for real orders on both, valued in USDC."""
    return Config(
        mode="live",
        strategies=(StrategyConfig(use=use),),
        bars=BarsConfig(intervals=("5s",)),
        risk=RiskConfig(**{"max_orders_per_minute": 0, "on_stop": on_stop, **(risk or {})}),
        account=AccountConfig(currency="USDC", prices={"USDT": "1"}),
        data=DataConfig(warmup_bars=0, check_minutes=0),
        venue=VenueConfig(network="sandbox", account=ACCOUNT, **venue),
        venues={BINANCE: {"network": "sandbox", "account": "main"}},
    )


@asynccontextmanager
async def two_venues(
    faults: Mapping[str, str] | None = None, cash: Mapping[str, str] | None = None, **options: Any
) -> AsyncIterator[Two]:
    """Run both sandboxes on one clock, with these faults and amounts by venue. Takes `paced_clock`."""
    chosen = {"port": 0, "instruments": ("BTC",), "rate_limit": False, "maker": True, "history_s": 60.0}
    settings = SandboxOptions(**{**chosen, **options})  # type: ignore[arg-type]
    exchanges = {}
    for seed, (name, protocol) in enumerate(PROTOCOLS.items()):
        who, amount = ACCOUNTS[name]
        accounts = ((who, (cash or {}).get(name, amount)),)
        own = msgspec.structs.replace(
            settings, seed=seed + 1, accounts=accounts, faults=(faults or {}).get(name, "")
        )
        exchanges[name] = LocalExchange(own, protocol)
    async with pacing(), trio.open_nursery() as nursery:
        start = shared_start(exchanges, settings)
        urls = {
            name: (await nursery.start(partial(one.serve, start=start))).base_url
            for name, one in exchanges.items()
        }
        yield Two(exchanges, urls)
        nursery.cancel_scope.cancel()
