"""Subscriptions: trades and quotes of every instrument, and the channels that the configuration names.

Owns the names of channels and how acknowledgements are matched. Promises: one book per instrument, since fast
and default books come on one channel and only a member distinguishes them. Called by `feed.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from adapters.hyperliquid.envelope import (
    CONTROLS,
    FRAME_BYTES_MAX,
    PING,
    Echo,
    read_control,
    subscribe_text,
)
from adapters.hyperliquid.listing import dex_of
from adapters.hyperliquid.salvage import decode_or_salvage
from adapters.hyperliquid.wire import Frame
from adapters.transport.protocol import Control, Salvaged, Subscription
from adapters.transport.shares import distribute
from engine.config import CHANNELS
from engine.errors import ConfigError, UsageError
from engine.events import InstrumentListed

__all__ = ["VENUE_INTERVALS", "Channel", "MarketProtocol", "check_channels", "share_out", "venue_intervals"]

VENUE_INTERVALS: Final = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "8h", "12h", "1d")
"""The venue's candle intervals that divide a day; the shortest is a minute."""


class Channel(NamedTuple):
    """One subscription, as the venue names it. Equal to what its acknowledgement echoes of these members."""

    kind: str
    coin: str = ""
    interval: str = ""
    fast: bool = False
    dex: str = ""

    def subscription(self) -> Subscription:
        """Return the subscription to it; members that are not set are left out of the message."""
        text = subscribe_text(self.kind, self.coin, interval=self.interval, fast=self.fast, dex=self.dex)
        return Subscription(self, text, str(self), text.replace("subscribe", "unsubscribe", 1))

    def __str__(self) -> str:
        """Return a description for error messages."""
        of = f" of {self.coin}" if self.coin else ""
        return f"the subscription to {self.kind}{of}"

    @classmethod
    def echoed(cls, echo: Echo) -> Channel:
        """Return the channel that an acknowledgement confirms, from the members that we send."""
        return cls(echo.type, echo.coin or "", echo.interval or "", bool(echo.fast), echo.dex or "")


class MarketProtocol:
    """The stream of market data. See `adapters.transport.protocol.StreamProtocol`."""

    ping: Final = PING
    message_bytes_max: Final = FRAME_BYTES_MAX
    controls: Final = CONTROLS

    def __init__(self) -> None:
        self.decode: Callable[[str | bytes], Frame | Salvaged] = decode_or_salvage

    def read_control(self, frame: Frame) -> Control:
        """See `StreamProtocol`."""
        return read_control(frame, Channel.echoed)


def check_channels(channels: Sequence[str]) -> None:
    """Raise UsageError for channels that do not exist, or exclude each other."""
    for channel in channels:
        if channel not in CHANNELS:
            raise ConfigError(f"data.channels: {channel!r} is not one of {', '.join(CHANNELS)}")
    if "l2Book" in channels and "l2BookFast" in channels:
        raise UsageError("l2Book and l2BookFast come on one channel, mixed; choose one of them")


def venue_intervals(intervals: Sequence[str]) -> tuple[str, ...]:
    """Return those intervals that the venue has candles of, shortest first."""
    return tuple(name for name in VENUE_INTERVALS if name in intervals)


def share_out(
    instruments: Sequence[InstrumentListed],
    channels: Sequence[str],
    intervals: Sequence[str],
    per_connection: int,
) -> list[tuple[tuple[InstrumentListed, ...], tuple[Channel, ...]]]:
    """Return the instruments and subscriptions of each connection. See `distribute`."""
    dexs: set[str] = set()

    def own(name: str) -> Iterator[Channel]:
        yield from _of_instrument(name, channels, venue_intervals(intervals))
        if "allMids" in channels and dex_of(name) not in dexs:
            dexs.add(dex_of(name))
            yield Channel("allMids", dex=dex_of(name))

    return distribute(((one, own(one.name)) for one in instruments), per_connection)


def _of_instrument(name: str, channels: Sequence[str], intervals: Sequence[str]) -> Iterator[Channel]:
    yield Channel("trades", name)
    yield Channel("bbo", name)
    if "l2Book" in channels or "l2BookFast" in channels:
        yield Channel("l2Book", name, fast="l2BookFast" in channels)
    if "candle" in channels:
        for interval in intervals:
            yield Channel("candle", name, interval)
    if "activeAssetCtx" in channels:
        yield Channel("activeAssetCtx", name)
