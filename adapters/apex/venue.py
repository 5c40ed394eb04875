"""ApeX Omni as a venue: its rules, its networks, the checks of its configuration. Market data only.

Promises: no network access before `connect`. Found by the engine under the name "apex". Orders would need
the venue's own native signer, so it takes none (docs/apex.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from adapters.apex.channels import CHANNELS
from adapters.apex.networks import URLS, check_base_url
from adapters.apex.rules import RULES
from engine.config import Config
from engine.errors import ConfigError, SafetyRefusal
from engine.events import InstrumentListed
from engine.venue import RawDecoder, Rules, Settings, Signer, Venue

if TYPE_CHECKING:
    from adapters.apex.client import ApexClient
    from adapters.transport.network import Network

__all__ = ["ApexSettings", "ApexVenue"]


class ApexSettings(Settings, frozen=True, forbid_unknown_fields=True):
    """The section `[venues.apex]`.

    `network` is "mainnet" or "testnet".
    """

    network: str = "mainnet"


class ApexVenue(Venue):
    """See `engine.venue.Venue`."""

    name = "apex"
    rules: ClassVar[Rules] = RULES
    settings = ApexSettings
    channels = CHANNELS
    has_history = True
    has_raw = True
    sandbox = "adapters.apex.sandbox.protocol:ApexProtocol"

    def __init__(self, network: Network | None = None) -> None:
        self._network = network

    def check(self, config: Config) -> None:
        """See `Venue.check`: channels and network."""
        for channel in config.data.channels:
            if channel not in CHANNELS:
                raise ConfigError(f"data.channels: apex has no {channel!r}; it has {', '.join(CHANNELS)}")
        network = self._settings(config).network
        if network not in URLS:
            raise ConfigError(f"venues.apex.network: {network!r} is not one of {', '.join(URLS)}")

    def address(self, config: Config, base_url: str | None, *, real: bool) -> str | None:
        """See `Venue.address`."""
        if real:
            raise SafetyRefusal("apex: real orders are not supported, only market data")
        return URLS[self._settings(config).network] if base_url is None else check_base_url(base_url)

    async def connect(self, base_url: str, config: Config, signer: Signer | None = None) -> ApexClient:
        """See `Venue.connect`."""
        # Only here: the libraries of the network take 0.3 s to import, and most commands do not connect.
        from adapters.apex.client import ApexClient
        from adapters.transport.network import NETWORK

        network = self._network or NETWORK
        return ApexClient(base_url, network)

    def raw_decoder(self, instruments: Sequence[InstrumentListed]) -> RawDecoder:
        """See `Venue.raw_decoder`."""
        from adapters.apex.raw import ApexRawDecoder

        return ApexRawDecoder(instruments)

    def _settings(self, config: Config) -> ApexSettings:
        return cast("ApexSettings", self.section(config))
