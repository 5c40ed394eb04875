"""Lighter as a venue: its rules, its networks, the checks of its configuration. Market data only.

Promises: no network access before `connect`. Found by the engine under the name "lighter". Orders would need
the venue's own native signer, so it takes none (docs/lighter.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from adapters.lighter.channels import CHANNELS
from adapters.lighter.networks import URLS, check_base_url
from adapters.lighter.rules import RULES
from engine.config import Config
from engine.errors import ConfigError, SafetyRefusal
from engine.events import InstrumentListed
from engine.venue import RawDecoder, Rules, Settings, Signer, Venue

if TYPE_CHECKING:
    from adapters.lighter.client import LighterClient
    from adapters.transport.network import Network

__all__ = ["LighterSettings", "LighterVenue"]


class LighterSettings(Settings, frozen=True, forbid_unknown_fields=True):
    """The section `[venues.lighter]`.

    `network` is "mainnet" or "testnet"; `readonly` uses the address for regions that may only read.
    """

    network: str = "mainnet"
    readonly: bool = False


class LighterVenue(Venue):
    """See `engine.venue.Venue`."""

    name = "lighter"
    rules: ClassVar[Rules] = RULES
    settings = LighterSettings
    channels = CHANNELS
    has_history = True
    has_raw = True
    sandbox = "adapters.lighter.sandbox.protocol:LighterProtocol"

    def __init__(self, network: Network | None = None) -> None:
        self._network = network

    def check(self, config: Config) -> None:
        """See `Venue.check`: channels and network."""
        for channel in config.data.channels:
            if channel not in CHANNELS:
                raise ConfigError(f"data.channels: lighter has no {channel!r}; it has {', '.join(CHANNELS)}")
        network = self._settings(config).network
        if network not in URLS:
            raise ConfigError(f"venues.lighter.network: {network!r} is not one of {', '.join(URLS)}")

    def address(self, config: Config, base_url: str | None, *, real: bool) -> str | None:
        """See `Venue.address`."""
        if real:
            raise SafetyRefusal("lighter: real orders are not supported, only market data")
        return URLS[self._settings(config).network] if base_url is None else check_base_url(base_url)

    async def connect(self, base_url: str, config: Config, signer: Signer | None = None) -> LighterClient:
        """See `Venue.connect`."""
        # Only here: the libraries of the network take 0.3 s to import, and most commands do not connect.
        from adapters.lighter.client import LighterClient
        from adapters.transport.network import NETWORK

        network = self._network or NETWORK
        return LighterClient(base_url, network, readonly=self._settings(config).readonly)

    def raw_decoder(self, instruments: Sequence[InstrumentListed]) -> RawDecoder:
        """See `Venue.raw_decoder`."""
        from adapters.lighter.raw import LighterRawDecoder

        return LighterRawDecoder(instruments)

    def _settings(self, config: Config) -> LighterSettings:
        return cast("LighterSettings", self.section(config))
