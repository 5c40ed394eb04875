"""Subscriptions: trades and best bid and ask of every instrument, and the channels that are configured.

Owns the names of channels and how confirmations, pings and errors are read. Called by `feed.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from adapters.lighter.rules import INTERVALS
from adapters.lighter.salvage import Reader, Subscribed
from adapters.lighter.wire import (
    MESSAGE_BYTES_MAX,
    Channel,
    ConnectedFrame,
    ErrorFrame,
    Frame,
    OtherFrame,
    PingFrame,
    PongFrame,
    ShutdownFrame,
    UnsubscribedFrame,
)
from adapters.transport.protocol import (
    ANSWERED,
    UNREAD,
    Confirmed,
    Control,
    Leaving,
    Refused,
    Reply,
    Salvaged,
    Subscription,
)
from adapters.transport.shares import distribute
from engine.errors import VenueProtocolError
from engine.events import InstrumentListed

__all__ = ["CHANNELS", "MarketProtocol", "share_out", "subscription_to", "venue_intervals"]

CHANNELS: Final = ("order_book", "market_stats", "candle")
"""What can be subscribed to besides trades and the best bid and ask."""

_NAMED: Final = re.compile(r"\b([a-z_]{1,40})[/:]([0-9]{1,9})(?:[/:]([0-9]{1,3}[a-z]))?")
_PONG: Final = '{"type":"pong"}'


class MarketProtocol:
    """The stream of market data. See `adapters.transport.protocol.StreamProtocol`."""

    ping: Final = '{"type":"ping"}'
    message_bytes_max: Final = MESSAGE_BYTES_MAX
    controls: Final = frozenset[type](
        {
            Subscribed,
            ConnectedFrame,
            PingFrame,
            PongFrame,
            ShutdownFrame,
            UnsubscribedFrame,
            ErrorFrame,
            OtherFrame,
        }
    )

    def __init__(self, names: Mapping[int, str]) -> None:
        self._reader = Reader(names)

    def decode(self, message: str | bytes) -> Frame | Salvaged | Subscribed:
        """See `StreamProtocol`."""
        return self._reader.decode(message)

    def read_control(self, frame: Any) -> Control:
        """See `StreamProtocol`."""
        if isinstance(frame, Subscribed):
            return Confirmed(frame.key, frame.data)
        if isinstance(frame, PingFrame):
            return Reply(_PONG)
        if isinstance(frame, PongFrame):
            return ANSWERED
        if isinstance(frame, ShutdownFrame):
            return Leaving(f"the venue closes the connection in {frame.close_in_ms} ms")
        if isinstance(frame, ErrorFrame):
            key = _named(frame.text)
            # Its first confirmation may have been damaged.
            known = key is not None and "already subscribed" in frame.text.lower()
            return Confirmed(key) if known else Refused(frame.text, key)
        return UNREAD if isinstance(frame, OtherFrame) else None


def venue_intervals(intervals: Sequence[str]) -> tuple[str, ...]:
    """Return those intervals that the venue has candles of, shortest first."""
    return tuple(name for name in INTERVALS if name in intervals)


def subscription_to(channel: Channel, name: str) -> Subscription:
    """Return the subscription to a channel of an instrument."""
    request = f'{{"type":"%s","channel":"{channel.text("/")}"}}'
    label = f"the subscription to {channel.kind} of {name}"
    return Subscription(channel, request % "subscribe", label, request % "unsubscribe")


def share_out(
    instruments: Sequence[InstrumentListed],
    markets: Mapping[str, int],
    channels: Sequence[str],
    intervals: Sequence[str],
    per_connection: int,
) -> list[tuple[tuple[InstrumentListed, ...], tuple[Subscription, ...]]]:
    """Return the instruments and subscriptions of each connection. See `distribute`."""
    own = venue_intervals(intervals)
    wanted = ((one, _of_instrument(one, markets[one.name], channels, own)) for one in instruments)
    return distribute(wanted, per_connection)


def _of_instrument(
    listed: InstrumentListed, market: int, channels: Sequence[str], intervals: Sequence[str]
) -> Iterator[Subscription]:
    """Yield the subscriptions of an instrument. The first one names it, which recorded messages need."""
    kinds = ["ticker", "trade"]
    if "order_book" in channels:
        kinds.append("order_book")
    if "market_stats" in channels:
        kinds.append("spot_market_stats" if listed.kind == "spot" else "market_stats")
    for kind in kinds:
        yield subscription_to(Channel(kind, market), listed.name)
    if "candle" in channels:
        for interval in intervals:
            yield subscription_to(Channel("candle", market, interval), listed.name)


def _named(text: str) -> Channel | None:
    """Return the channel that an error names, None if it is not one."""
    found = {match.group(0) for match in _NAMED.finditer(text)}
    if len(found) != 1:
        return None
    try:
        return Channel.of(found.pop())
    except VenueProtocolError:
        return None
