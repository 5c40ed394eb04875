"""Hyperliquid as a venue: its rules, its networks, the checks of its configuration, and its signer.

Promises: no network access before `connect`; the key is read by `load_signer` only, which the command line
calls for an armed session. Found by the engine under the name "hyperliquid"; the sandbox
exchange speaks the same protocol (`adapters/sandbox/venue.py`).
"""

from __future__ import annotations

import os
import re
from collections.abc import MutableMapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from adapters.hyperliquid.channels import check_channels
from adapters.hyperliquid.decode import Decoder
from adapters.hyperliquid.networks import MAINNET_URL, TESTNET_URL, check_base_url
from adapters.hyperliquid.rules import RULES
from adapters.hyperliquid.salvage import decode_or_salvage
from adapters.hyperliquid.wire import CandleFrame
from adapters.transport.addresses import is_loopback
from adapters.transport.protocol import Salvaged
from engine.config import CHANNELS, Config
from engine.errors import ConfigError, SafetyRefusal
from engine.events import Event, InstrumentListed
from engine.venue import RawDecoder, Rules, Signer, Venue

if TYPE_CHECKING:
    from adapters.hyperliquid.client import HyperliquidClient
    from adapters.transport.network import Network

__all__ = ["HyperliquidVenue"]

_URLS: Final = {"mainnet": MAINNET_URL, "testnet": TESTNET_URL}
_NETWORKS: Final = (*_URLS, "sandbox")
_TRANSPORTS: Final = ("rest", "post")
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")


class HyperliquidVenue(Venue):
    """See `engine.venue.Venue`. Its keys are in the section `[venue]`."""

    name = "hyperliquid"
    sandbox = "adapters.sandbox.protocol:HyperliquidProtocol"
    rules: ClassVar[Rules] = RULES
    channels = CHANNELS
    has_orders = True
    has_history = True
    has_raw = True

    def __init__(self, network: Network | None = None) -> None:
        self._network = network

    def check(self, config: Config) -> None:
        """See `Venue.check`: channels, network, transport, addresses."""
        self.section(config)
        check_channels(config.data.channels)
        venue = config.venue
        for key, value, allowed in (
            ("network", venue.network, _NETWORKS),
            ("transport", venue.transport, _TRANSPORTS),
        ):
            if value not in allowed:
                raise ConfigError(f"venue.{key}: {value!r} is not one of {', '.join(allowed)}")
        for key, address in (("account", venue.account), ("vault", venue.vault)):
            if address and not _ADDRESS.fullmatch(address):
                raise ConfigError(f"venue.{key}: {address[:50]!r} is not an address (0x and 40 hex digits)")

    def address(self, config: Config, base_url: str | None, *, real: bool) -> str | None:
        """See `Venue.address`. Real orders go only to the address of the configured network."""
        if not real:
            return base_url or MAINNET_URL
        venue = config.venue
        known = _URLS.get(venue.network)
        if base_url is None:
            if known is None:
                raise SafetyRefusal(
                    "real orders on a sandbox need its --base-url; start one with "
                    f"`engine sandbox --account {venue.account or 'ADDRESS'}:10000`"
                )
            return known
        url = check_base_url(base_url)
        right = url == known if known is not None else is_loopback(url)
        if not right:
            raise SafetyRefusal(
                f"venue.network is {venue.network!r}, but {url} is not {known or 'on this machine'}; "
                "set both to the network you mean"
            )
        return url

    def load_signer(self, config: Config, environ: MutableMapping[str, str] = os.environ) -> Signer:
        """See `Venue.load_signer`."""
        if not config.venue.account:
            raise SafetyRefusal('no account is configured; set account = "0x..." under [venue]')
        try:
            from adapters.hyperliquid.gateway.keys import load_key
        except ModuleNotFoundError as error:
            raise SafetyRefusal(
                f"real orders need {error.name}, which is not installed; install retape[hyperliquid]"
            ) from None
        return load_key(config.venue, environ)

    async def connect(self, base_url: str, config: Config, signer: Signer | None = None) -> HyperliquidClient:
        """See `Venue.connect`."""
        # Only here: the libraries of the network take 0.3 s to import, and most commands do not connect.
        from adapters.hyperliquid.client import HyperliquidClient
        from adapters.transport.network import NETWORK

        return await HyperliquidClient.connect(base_url, config, signer, self._network or NETWORK)

    def raw_decoder(self, instruments: Sequence[InstrumentListed]) -> RawDecoder:
        """See `Venue.raw_decoder`."""
        return _RawDecoder(instruments)


class _RawDecoder:
    """The feed's decoder, with pushed candles before they are closed, which the feed holds back."""

    books_every_ns = 0

    def __init__(self, instruments: Sequence[InstrumentListed]) -> None:
        self._decoder = Decoder(instruments)

    def decode(self, message: str | bytes, recv_ns: int) -> Sequence[Event]:
        """See `engine.venue.RawDecoder`."""
        events = self._decoder.decode_frame(message, recv_ns)
        if events or not isinstance(message, str) or '"candle"' not in message:
            return events
        frame = decode_or_salvage(message)
        if isinstance(frame, Salvaged):
            frame = frame.frame
        if not isinstance(frame, CandleFrame):
            return []
        rows = frame.data if isinstance(frame.data, list) else [frame.data]
        candles = [self._decoder.candle(row, recv_ns, "stream") for row in rows]
        return [candle for candle in candles if candle is not None]
