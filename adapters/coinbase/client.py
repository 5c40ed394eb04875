"""One session's access to Coinbase, or to a sandbox: listing, feed, history.

What is the same for every venue is in `adapters/transport/client.py`. Made by `venue.py`, used by commands
through `engine.venue`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from adapters.coinbase.channels import venue_intervals
from adapters.coinbase.feed import CoinbaseFeed
from adapters.coinbase.history import read_candles
from adapters.coinbase.info import CoinbaseInfo
from adapters.coinbase.limits import LIMITS
from adapters.coinbase.listing import list_instruments, names_of
from adapters.coinbase.rules import RULES
from adapters.transport.client import MarketClient
from adapters.transport.history import ReadWindows
from adapters.transport.network import NETWORK, Network
from adapters.transport.rest import VenueNow
from adapters.transport.setup import FeedSetup
from engine.events import InstrumentListed

__all__ = ["CoinbaseClient"]

_NS_PER_MS = 1_000_000


class CoinbaseClient(MarketClient[CoinbaseInfo]):
    """See `engine.venue.VenueClient`. The venue has all candles since a product was listed."""

    name = "coinbase"
    rules = RULES
    choose = "coinbase lists hundreds of products; choose some with --instruments BTC-USD,ETH-USD"

    def __init__(self, base_url: str, network: Network = NETWORK) -> None:
        super().__init__(base_url, LIMITS, CoinbaseInfo, network)

    async def _list(self, info: CoinbaseInfo, names: Sequence[str]) -> list[InstrumentListed]:
        products = await info.products()
        return list_instruments(products, self._chosen(names, names_of(products)), 0)

    async def _now(self, info: CoinbaseInfo) -> VenueNow:
        return VenueNow(await info.time_ms() * _NS_PER_MS)

    def _feed(self, setup: FeedSetup, info: CoinbaseInfo) -> CoinbaseFeed:
        feed = CoinbaseFeed(setup, info)
        if "level2" in setup.data.channels:
            self.health["books"] = lambda: str(feed.books)
        return feed

    def _intervals(self, intervals: Sequence[str]) -> Sequence[str]:
        return venue_intervals(intervals)

    def _windows(self, info: CoinbaseInfo) -> ReadWindows:
        return partial(read_candles, info)
