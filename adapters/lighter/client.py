"""One session's access to Lighter, or to a sandbox: listing, feed, history, gateway.

Owns the venue's numbers of the markets. What is the same for every venue is in
`adapters/transport/client.py`. Made by `venue.py`, used by the commands through `engine.venue`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from adapters.lighter.channels import venue_intervals
from adapters.lighter.feed import LighterFeed
from adapters.lighter.history import read_candles, read_rates
from adapters.lighter.info import LighterInfo
from adapters.lighter.limits import LIMITS, SUBSCRIPTIONS_MAX
from adapters.lighter.listing import list_instruments
from adapters.lighter.rules import RULES
from adapters.lighter.settings import LighterSettings
from adapters.transport.client import MarketClient
from adapters.transport.health import FeedLimits
from adapters.transport.history import Odd, ReadWindows
from adapters.transport.network import NETWORK, Network
from adapters.transport.rest import VenueNow
from adapters.transport.setup import FeedSetup
from engine.clock import SECOND_NS
from engine.events import FundingRead, InstrumentListed
from engine.venue import Account, Gateway, SessionContext

if TYPE_CHECKING:
    from adapters.lighter.gateway.keys import Signer as KeySigner

__all__ = ["LighterClient"]

_NS_PER_MS = 1_000_000


class LighterClient(MarketClient[LighterInfo]):
    """See `engine.venue.VenueClient`. A spot market has no funding."""

    name = "lighter"
    rules = RULES
    choose = "lighter lists many instruments; choose some with --instruments BTC,ETH"
    stream_limits = FeedLimits(subscriptions_max=SUBSCRIPTIONS_MAX)

    def __init__(
        self,
        base_url: str,
        network: Network = NETWORK,
        settings: LighterSettings | None = None,
        signer: KeySigner | None = None,
    ) -> None:
        super().__init__(base_url, LIMITS, LighterInfo, network)
        self._settings = settings or LighterSettings()
        self._signer = signer
        self._markets: dict[str, int] = {}

    @classmethod
    async def connect(
        cls,
        base_url: str,
        settings: LighterSettings,
        signer: KeySigner | None,
        network: Network = NETWORK,
    ) -> LighterClient:
        """See `engine.venue.Venue.connect`."""
        client = cls(base_url, network, settings, signer)
        if signer is not None:
            from adapters.lighter.gateway.access import check_access

            await check_access(base_url, signer, client._governor, network.http())
        return client

    async def _list(self, info: LighterInfo, names: Sequence[str]) -> list[InstrumentListed]:
        markets = await info.markets()
        self._markets = {market.symbol: market.market_id for market in markets}
        chosen = list_instruments(markets, self._chosen(names, self._markets))
        if self._signer is not None:
            from adapters.lighter.gateway.access import check_markets

            check_markets(chosen)
        return chosen

    async def _now(self, info: LighterInfo) -> VenueNow:
        """See `MarketClient`. The venue shows whole seconds, a sandbox the exact time."""
        venue_ns = await info.clock_ms() * _NS_PER_MS
        return VenueNow(venue_ns, SECOND_NS if info.sandbox_speed is None else 0)

    def _feed(self, setup: FeedSetup, info: LighterInfo) -> LighterFeed:
        feed = LighterFeed(setup, info, self._markets, readonly=self._settings.readonly)
        if "order_book" in setup.data.channels:
            self.health["books"] = lambda: str(feed.books)
        return feed

    def _intervals(self, intervals: Sequence[str]) -> Sequence[str]:
        return venue_intervals(intervals)

    def _windows(self, info: LighterInfo) -> ReadWindows:
        return partial(read_candles, info, self._markets)

    async def _rates(
        self, info: LighterInfo, listed: InstrumentListed, from_ns: int, to_ns: int, recv_ns: int, odd: Odd
    ) -> list[FundingRead]:
        if listed.kind == "spot":
            return []
        return await read_rates(info, self._markets, listed, from_ns, to_ns, recv_ns, odd)

    def gateway(self, context: SessionContext, account: Account) -> Gateway:
        """See `VenueClient.gateway`."""
        from adapters.lighter.gateway.gateway import LighterGateway

        assert self._signer is not None, "only an armed session has a gateway"
        gateway = LighterGateway(
            name="gateway",
            base_url=self._base_url,
            network=self._settings.network,
            signer=self._signer,
            instruments=context.instruments,
            markets=self._markets,
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
