"""Kraken as a venue: its rules, its settings, the checks of its configuration. Market data and history only.

Promises: no network access before `connect`. Found by the engine under the name "kraken".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, cast

from msgspec import Meta

from adapters.kraken.channels import CHANNELS
from adapters.kraken.networks import MAINNET_URL
from adapters.kraken.raw import KrakenRawDecoder
from adapters.kraken.rules import DEPTHS, RULES
from engine.config import Config
from engine.errors import ConfigError, SafetyRefusal
from engine.events import InstrumentListed
from engine.venue import RawDecoder, Rules, Settings, Signer, Venue

if TYPE_CHECKING:
    from adapters.kraken.client import KrakenClient
    from adapters.transport.network import Network

__all__ = ["KrakenSettings", "KrakenVenue"]


class KrakenSettings(Settings, frozen=True, forbid_unknown_fields=True):
    """`[venues.kraken]`."""

    book_depth: Annotated[
        int,
        Meta(description="Levels of a side of the books that are subscribed to: 10, 25, 100, 500 or 1000."),
    ] = 100


class KrakenVenue(Venue):
    """See `engine.venue.Venue`."""

    name = "kraken"
    rules: ClassVar[Rules] = RULES
    settings = KrakenSettings
    channels = CHANNELS
    sandbox = "adapters.kraken.sandbox.protocol:KrakenProtocol"
    has_history = True
    has_raw = True

    def __init__(self, network: Network | None = None) -> None:
        self._network = network

    def check(self, config: Config) -> None:
        """See `Venue.check`: channels and the depth of books."""
        depth = cast("KrakenSettings", self.section(config)).book_depth
        if depth not in DEPTHS:
            known = ", ".join(map(str, DEPTHS))
            raise ConfigError(f"venues.kraken.book_depth: {depth} is not one of {known}")
        for channel in config.data.channels:
            if channel not in CHANNELS:
                raise ConfigError(f"data.channels: kraken has no {channel!r}; it has {', '.join(CHANNELS)}")

    def address(self, config: Config, base_url: str | None, *, real: bool) -> str | None:
        """See `Venue.address`."""
        if real:
            raise SafetyRefusal("kraken: real orders are not supported, only market data")
        return base_url or MAINNET_URL

    async def connect(self, base_url: str, config: Config, signer: Signer | None = None) -> KrakenClient:
        """See `Venue.connect`."""
        # Only here: the libraries of the network take 0.3 s to import, and most commands do not connect.
        from adapters.kraken.client import KrakenClient
        from adapters.transport.network import NETWORK

        depth = cast("KrakenSettings", self.section(config)).book_depth
        return KrakenClient(base_url, depth, self._network or NETWORK)

    def raw_decoder(self, instruments: Sequence[InstrumentListed]) -> RawDecoder:
        """See `Venue.raw_decoder`."""
        return KrakenRawDecoder(instruments)
