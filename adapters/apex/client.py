"""One session's access to ApeX Omni, or to a sandbox: listing, feed, history.

What is the same for every venue is in `adapters/transport/client.py`. Made by `venue.py`, used by commands
through `engine.venue`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from adapters.apex.channels import venue_intervals
from adapters.apex.feed import ApexFeed
from adapters.apex.history import read_candles, read_rates
from adapters.apex.info import ApexInfo
from adapters.apex.limits import LIMITS
from adapters.apex.listing import list_instruments
from adapters.apex.rules import RULES
from adapters.transport.client import MarketClient
from adapters.transport.health import FeedLimits
from adapters.transport.history import Odd, ReadWindows
from adapters.transport.network import NETWORK, Network
from adapters.transport.rest import VenueNow
from adapters.transport.setup import FeedSetup
from engine.clock import SECOND_NS
from engine.events import FundingRead, InstrumentListed

__all__ = ["ApexClient"]


class ApexClient(MarketClient[ApexInfo]):
    """See `engine.venue.VenueClient`."""

    name = "apex"
    rules = RULES
    choose = "apex lists many instruments; choose some, such as --instruments BTC-USDT"
    # The venue's own bound of subscriptions is not known; it wants a ping every 15 s.
    stream_limits = FeedLimits(subscriptions_max=100, ping_s=12.0)

    def __init__(self, base_url: str, network: Network = NETWORK) -> None:
        super().__init__(base_url, LIMITS, ApexInfo, network)

    async def _list(self, info: ApexInfo, names: Sequence[str]) -> list[InstrumentListed]:
        contracts = await info.contracts()
        traded = (one.symbol for one in contracts if one.enable_trade)
        return list_instruments(contracts, self._chosen(names, traded))

    async def _now(self, info: ApexInfo) -> VenueNow:
        venue_ns, coarse = await info.clock_ns()
        return VenueNow(venue_ns, SECOND_NS if coarse else 0)

    def _feed(self, setup: FeedSetup, info: ApexInfo) -> ApexFeed:
        feed = ApexFeed(setup, info)
        self.health["books"] = lambda: str(feed.books)
        return feed

    def _intervals(self, intervals: Sequence[str]) -> Sequence[str]:
        return venue_intervals(intervals)

    def _windows(self, info: ApexInfo) -> ReadWindows:
        return partial(read_candles, info)

    async def _rates(
        self, info: ApexInfo, listed: InstrumentListed, from_ns: int, to_ns: int, recv_ns: int, odd: Odd
    ) -> list[FundingRead]:
        return await read_rates(info, listed, from_ns, to_ns, recv_ns, odd)
