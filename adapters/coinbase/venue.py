"""Coinbase as a venue: its rules and the checks of its configuration. Market data and history only.

Promises: no network access before `connect`. Found by the engine under the name "coinbase".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from adapters.coinbase.channels import CHANNELS
from adapters.coinbase.networks import MAINNET_URL
from adapters.coinbase.raw import CoinbaseRawDecoder
from adapters.coinbase.rules import RULES
from engine.config import Config
from engine.errors import ConfigError, SafetyRefusal
from engine.events import InstrumentListed
from engine.venue import RawDecoder, Rules, Signer, Venue

if TYPE_CHECKING:
    from adapters.coinbase.client import CoinbaseClient
    from adapters.transport.network import Network

__all__ = ["CoinbaseVenue"]


class CoinbaseVenue(Venue):
    """See `engine.venue.Venue`."""

    name = "coinbase"
    rules: ClassVar[Rules] = RULES
    channels = CHANNELS
    sandbox = "adapters.coinbase.sandbox.protocol:CoinbaseProtocol"
    has_history = True
    has_raw = True

    def __init__(self, network: Network | None = None) -> None:
        self._network = network

    def check(self, config: Config) -> None:
        """See `Venue.check`: channels."""
        self.section(config)
        for channel in config.data.channels:
            if channel not in CHANNELS:
                raise ConfigError(f"data.channels: coinbase has no {channel!r}; it has {', '.join(CHANNELS)}")

    def address(self, config: Config, base_url: str | None, *, real: bool) -> str | None:
        """See `Venue.address`."""
        if real:
            raise SafetyRefusal("coinbase: real orders are not supported, only market data")
        return base_url or MAINNET_URL

    async def connect(self, base_url: str, config: Config, signer: Signer | None = None) -> CoinbaseClient:
        """See `Venue.connect`."""
        # Only here: the libraries of the network take 0.3 s to import, and most commands do not connect.
        from adapters.coinbase.client import CoinbaseClient
        from adapters.transport.network import NETWORK

        return CoinbaseClient(base_url, self._network or NETWORK)

    def raw_decoder(self, instruments: Sequence[InstrumentListed]) -> RawDecoder:
        """See `Venue.raw_decoder`."""
        return CoinbaseRawDecoder(instruments)
