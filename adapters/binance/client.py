"""One session's access to a market of Binance, or to a sandbox: listing, feed, history, gateway.

What is the same for every venue is in `adapters/transport/client.py`. Made by `venue.py`, used by commands
through `engine.venue`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

from adapters.binance.channels import venue_intervals
from adapters.binance.decode import NS_PER_MS
from adapters.binance.feed import BinanceFeed, RawTradesFeed
from adapters.binance.history import read_candles, read_closed, read_interest, read_rates, warmup
from adapters.binance.listing import list_instruments
from adapters.binance.markets import Market
from adapters.binance.rest import BinanceRest
from adapters.binance.settings import BinanceSettings
from adapters.transport.client import MarketClient
from adapters.transport.history import Odd, ReadWindows
from adapters.transport.network import NETWORK, Network
from adapters.transport.rest import VenueNow
from adapters.transport.setup import FeedSetup
from engine.errors import VenueProtocolError
from engine.events import CandleRead, Event, FundingRead, InstrumentListed, OpenInterestRead
from engine.venue import Account, Gateway, SessionContext, Signer

if TYPE_CHECKING:
    from adapters.binance.gateway.keys import Signer as KeySigner

__all__ = ["BinanceClient"]


class BinanceClient(MarketClient[BinanceRest]):
    """See `engine.venue.VenueClient`. Made by `connect`. The venue keeps all of its candles."""

    def __init__(
        self,
        market: Market,
        base_url: str,
        settings: BinanceSettings,
        signer: Signer | None,
        network: Network = NETWORK,
    ) -> None:
        super().__init__(base_url, market.limits, partial(BinanceRest, market), network)
        self.name = market.venue
        self.choose = (
            f"{market.title} lists hundreds of symbols; choose some with --instruments BTCUSDT,ETHUSDT"
        )
        self._market = market
        self._settings = settings
        self._signer = signer

    @classmethod
    async def connect(
        cls,
        market: Market,
        base_url: str,
        settings: BinanceSettings,
        signer: Signer | None,
        network: Network = NETWORK,
    ) -> BinanceClient:
        """See `engine.venue.Venue.connect`."""
        client = cls(market, base_url, settings, signer, network)
        if signer is not None:
            await client._check_access(signer)
        return client

    async def _list(self, info: BinanceRest, names: Sequence[str]) -> list[InstrumentListed]:
        names = self._chosen(names, ())
        try:
            listing = await info.exchange_info([one for one in names if "/" not in one])
        except VenueProtocolError:
            listing = await info.exchange_info()  # a name does not exist: find the nearest
        else:
            found = {one.symbol for one in listing.symbols}
            if any(name not in found for name in names):
                listing = await info.exchange_info()
        hours = await info.funding_hours() if self._market.kind == "perp" else {}
        chosen = list_instruments(self._market, listing.symbols, names, hours)
        if self._signer is not None:
            from adapters.binance.gateway.access import check_quotes

            check_quotes(chosen)
        return chosen

    async def _now(self, info: BinanceRest) -> VenueNow:
        return VenueNow((await info.server_time()).server_time * NS_PER_MS)

    def _feed(self, setup: FeedSetup, info: BinanceRest) -> BinanceFeed:
        make = RawTradesFeed if self._counts else BinanceFeed
        feed = make(setup, self._market, info)
        if feed.books:
            self.health["books"] = lambda: feed.books
        return feed

    def _intervals(self, intervals: Sequence[str]) -> Sequence[str]:
        return venue_intervals(self._market, intervals)

    def _windows(self, info: BinanceRest) -> ReadWindows:
        return partial(read_candles, info, counts=self._counts)

    async def _rates(
        self, info: BinanceRest, listed: InstrumentListed, from_ns: int, to_ns: int, recv_ns: int, odd: Odd
    ) -> list[FundingRead]:
        if listed.kind == "spot":
            return []
        return await read_rates(info, listed, from_ns, to_ns, recv_ns, odd)

    async def _interest(
        self, info: BinanceRest, listed: InstrumentListed, from_ns: int, to_ns: int, recv_ns: int, odd: Odd
    ) -> list[OpenInterestRead]:
        if listed.kind == "spot":
            return []
        return await read_interest(info, listed, from_ns, to_ns, recv_ns, odd)

    async def warm_up(
        self, instruments: Sequence[InstrumentListed], intervals: Sequence[str], count: int, now_ns: int
    ) -> list[Event]:
        """See `VenueClient.warm_up`. The venue itself has flat candles of windows without trades."""
        async with self._info() as info:
            odd = self.unusable.append
            return list(await warmup(info, instruments, intervals, count, now_ns, self._counts, odd))

    async def _closed(
        self,
        info: BinanceRest,
        instruments: Sequence[InstrumentListed],
        intervals: Sequence[str],
        since_ns: int,
        now_ns: int,
        odd: Odd,
    ) -> list[CandleRead | FundingRead]:
        return await read_closed(info, instruments, intervals, self._counts, since_ns, now_ns, odd)

    def gateway(self, context: SessionContext, account: Account) -> Gateway:
        """See `VenueClient.gateway`."""
        from adapters.binance.gateway.dialects import SPOT, USDM
        from adapters.binance.gateway.gateway import BinanceGateway

        assert self._signer is not None, "only an armed session has a gateway"
        gateway = BinanceGateway(
            name="gateway",
            dialect=SPOT if self._market.kind == "spot" else USDM,
            base_url=self._base_url,
            network=self._settings.network,
            signer=cast("KeySigner", self._signer),  # the one that the venue loaded
            instruments=context.instruments,
            clock=context.clock,
            jitter=context.jitter,
            send=context.inputs.send,
            governor=self._governor,
            account=account,
            dial=self._network.dial,
            transports=self._network.http,
        )
        self.health["orders"] = lambda: str(gateway.health)
        return gateway

    async def _check_access(self, signer: Signer) -> None:
        from adapters.binance.gateway.access import check_access
        from adapters.binance.gateway.dialects import SPOT, USDM

        dialect = SPOT if self._market.kind == "spot" else USDM
        key = cast("KeySigner", signer)
        await check_access(self._base_url, dialect, key, self._governor, self._network.http())

    @property
    def _counts(self) -> bool:
        """Whether single trades are read, which candles count."""
        return self._settings.trades == "raw"
