"""Lighter as a venue: its rules, its networks, the checks of its configuration, keys.

Promises: no network access before `connect`; a key is read by `load_signer` only, which the command line
calls for an armed session. Found by the engine under the name "lighter". Orders of perpetuals, on a sandbox
and on the testnet: docs/lighter.md says what has to be proved before mainnet.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping, Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from adapters.lighter.channels import CHANNELS
from adapters.lighter.networks import URLS, check_base_url
from adapters.lighter.rules import RULES
from adapters.lighter.settings import LighterSettings, check_settings
from adapters.transport.addresses import address_for_orders
from engine.config import Config
from engine.errors import ConfigError, SafetyRefusal
from engine.events import InstrumentListed
from engine.venue import RawDecoder, Rules, Signer, Venue

if TYPE_CHECKING:
    from adapters.lighter.client import LighterClient
    from adapters.lighter.gateway.keys import Signer as KeySigner
    from adapters.transport.network import Network

__all__ = ["LighterVenue"]


class LighterVenue(Venue):
    """See `engine.venue.Venue`."""

    name = "lighter"
    rules: ClassVar[Rules] = RULES
    settings = LighterSettings
    channels = CHANNELS
    has_orders = True
    has_history = True
    has_raw = True
    sandbox = "adapters.lighter.sandbox.protocol:LighterProtocol"

    def __init__(self, network: Network | None = None) -> None:
        self._network = network

    def check(self, config: Config) -> None:
        """See `Venue.check`: channels, network, account."""
        for channel in config.data.channels:
            if channel not in CHANNELS:
                raise ConfigError(f"data.channels: lighter has no {channel!r}; it has {', '.join(CHANNELS)}")
        check_settings(self._settings(config), "venues.lighter")

    def address(self, config: Config, base_url: str | None, *, real: bool) -> str | None:
        """See `Venue.address`. Real orders go to the configured network, which is not mainnet yet."""
        network = self._settings(config).network
        if not real:
            # A sandbox has an address of its own, which is given.
            known = URLS.get(network, URLS["mainnet"])
            return known if base_url is None else check_base_url(base_url)
        if network == "mainnet":
            raise SafetyRefusal(
                "lighter: real orders on mainnet are refused until its testnet has proved them; "
                'set venues.lighter.network to "testnet", or to "sandbox" with its --base-url'
            )
        return address_for_orders("lighter", network, URLS.get(network), base_url, check_base_url)

    def load_signer(self, config: Config, environ: MutableMapping[str, str] = os.environ) -> Signer:
        """See `Venue.load_signer`."""
        from adapters.lighter.gateway.keys import load_key

        return load_key(self._settings(config), environ)

    async def connect(self, base_url: str, config: Config, signer: Signer | None = None) -> LighterClient:
        """See `Venue.connect`."""
        # Only here: the libraries of the network take 0.3 s to import, and most commands do not connect.
        from adapters.lighter.client import LighterClient
        from adapters.transport.network import NETWORK

        settings, network = self._settings(config), self._network or NETWORK
        return await LighterClient.connect(base_url, settings, cast("KeySigner | None", signer), network)

    def raw_decoder(self, instruments: Sequence[InstrumentListed]) -> RawDecoder:
        """See `Venue.raw_decoder`."""
        from adapters.lighter.raw import LighterRawDecoder

        return LighterRawDecoder(instruments)

    def _settings(self, config: Config) -> LighterSettings:
        return cast("LighterSettings", self.section(config))
