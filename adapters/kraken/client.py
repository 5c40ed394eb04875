"""One session's access to Kraken, or to a sandbox: listing, feed, history.

Owns the names that REST takes of the pairs. What is the same for every venue is in
`adapters/transport/client.py`. Made by `venue.py`, used by the commands through `engine.venue`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from adapters.kraken.channels import venue_intervals
from adapters.kraken.feed import KrakenFeed
from adapters.kraken.history import read_candles
from adapters.kraken.info import KrakenInfo
from adapters.kraken.limits import LIMITS
from adapters.kraken.listing import list_instruments, rest_names
from adapters.kraken.rules import RULES
from adapters.transport.client import MarketClient
from adapters.transport.history import ReadWindows
from adapters.transport.network import NETWORK, Network
from adapters.transport.rest import VenueNow
from adapters.transport.setup import FeedSetup
from engine.clock import SECOND_NS
from engine.events import InstrumentListed

__all__ = ["KrakenClient"]


class KrakenClient(MarketClient[KrakenInfo]):
    """See `engine.venue.VenueClient`. The venue has the newest 720 candles of each interval."""

    name = "kraken"
    rules = RULES
    choose = "kraken lists hundreds of pairs; choose some with --instruments BTC/USD,ETH/USD"

    def __init__(self, base_url: str, depth: int, network: Network = NETWORK) -> None:
        super().__init__(base_url, LIMITS, KrakenInfo, network)
        self._depth = depth
        self._rest_names: dict[str, str] = {}

    async def _list(self, info: KrakenInfo, names: Sequence[str]) -> list[InstrumentListed]:
        pairs = await info.asset_pairs()
        self._rest_names = rest_names(pairs)
        return list_instruments(pairs, self._chosen(names, self._rest_names), 0)

    async def _now(self, info: KrakenInfo) -> VenueNow:
        """See `MarketClient`. The venue shows whole seconds, a sandbox the exact time."""
        time = await info.time()
        if info.sandbox_speed is not None and time.nanoseconds is not None:
            return VenueNow(time.nanoseconds)
        return VenueNow(time.unixtime * SECOND_NS, SECOND_NS)

    def _feed(self, setup: FeedSetup, info: KrakenInfo) -> KrakenFeed:
        feed = KrakenFeed(setup, info, self._rest_names, self._depth)
        if "book" in setup.data.channels:
            self.health["books"] = lambda: str(feed.books)
        return feed

    def _intervals(self, intervals: Sequence[str]) -> Sequence[str]:
        return venue_intervals(intervals)

    def _windows(self, info: KrakenInfo) -> ReadWindows:
        return partial(read_candles, info, self._rest_names)
