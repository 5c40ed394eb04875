"""Binance as two venues, `binance` (spot) and `binance-usdm`: rules, networks, checks of the configuration,
keys.

Promises: no network access before `connect`; a key is read by `load_signer` only, which the command line
calls for an armed session. Found by the engine under these names.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar, cast

from adapters.binance.channels import check_channels
from adapters.binance.markets import SPOT, USDM, Market, check_base_url
from adapters.binance.rules import SPOT_RULES, USDM_RULES
from adapters.binance.settings import BinanceSettings, check_settings
from adapters.transport.addresses import address_for_orders
from engine.config import Config
from engine.events import InstrumentListed
from engine.venue import RawDecoder, Rules, Signer, Venue

if TYPE_CHECKING:
    from adapters.binance.client import BinanceClient
    from adapters.transport.network import Network

__all__ = ["BinanceUsdmVenue", "BinanceVenue"]


class BinanceVenue(Venue):
    """Spot. See `engine.venue.Venue`."""

    name = "binance"
    market: ClassVar[Market] = SPOT
    rules: ClassVar[Rules] = SPOT_RULES
    settings = BinanceSettings
    channels = SPOT.channels
    has_orders = True
    has_history = True
    has_raw = True
    sandbox = "adapters.binance.sandbox.protocol:BinanceProtocol"

    def __init__(self, network: Network | None = None) -> None:
        self._network = network

    def check(self, config: Config) -> None:
        """See `Venue.check`: channels, network, account."""
        check_settings(self._section(config), f"venues.{self.name}")
        check_channels(self.market, config.data.channels)

    def address(self, config: Config, base_url: str | None, *, real: bool) -> str | None:
        """See `Venue.address`. Real orders go only to the address of the configured network."""
        networks = self.market.networks
        if not real:
            return base_url or networks["mainnet"][0]
        network = self._section(config).network
        known = networks[network][0] if network in networks else None
        check = partial(check_base_url, self.market)
        return address_for_orders(self.name, network, known, base_url, check)

    def load_signer(self, config: Config, environ: MutableMapping[str, str] = os.environ) -> Signer:
        """See `Venue.load_signer`."""
        from adapters.binance.gateway.keys import load_key

        return load_key(self._section(config), environ, f"venues.{self.name}")

    async def connect(self, base_url: str, config: Config, signer: Signer | None = None) -> BinanceClient:
        """See `Venue.connect`."""
        # Only here: the libraries of the network take 0.3 s to import, and most commands do not connect.
        from adapters.binance.client import BinanceClient
        from adapters.transport.network import NETWORK

        settings = self._section(config)
        return await BinanceClient.connect(self.market, base_url, settings, signer, self._network or NETWORK)

    def raw_decoder(self, instruments: Sequence[InstrumentListed]) -> RawDecoder:
        """See `Venue.raw_decoder`."""
        from adapters.binance.raw import BinanceRawDecoder

        return BinanceRawDecoder(self.market, instruments)

    def _section(self, config: Config) -> BinanceSettings:
        return cast("BinanceSettings", self.section(config))


class BinanceUsdmVenue(BinanceVenue):
    """USD-M perpetuals. See `engine.venue.Venue`."""

    name = "binance-usdm"
    market: ClassVar[Market] = USDM
    rules: ClassVar[Rules] = USDM_RULES
    channels = USDM.channels
    sandbox = "adapters.binance.sandbox.protocol:BinanceUsdmProtocol"
