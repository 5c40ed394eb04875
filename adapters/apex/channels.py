"""Subscriptions: trades and the book of every instrument, and the channels that are configured.

Owns the names of channels and how confirmations, pings and errors are read. The book is always subscribed to,
since the best bid and ask are on no channel of their own. Called by `feed.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from adapters.apex.rules import INTERVALS
from adapters.apex.salvage import Reader
from adapters.apex.wire import (
    MESSAGE_BYTES_MAX,
    AckFrame,
    Frame,
    OtherFrame,
    PingFrame,
    PongFrame,
    Topic,
)
from adapters.transport.protocol import (
    ANSWERED,
    UNREAD,
    Confirmed,
    Control,
    Refused,
    Reply,
    Salvaged,
    Subscription,
)
from adapters.transport.shares import distribute
from engine.errors import VenueProtocolError
from engine.events import InstrumentListed

__all__ = [
    "BOOK",
    "CHANNELS",
    "STATS",
    "TRADES",
    "MarketProtocol",
    "share_out",
    "symbol_of",
    "venue_intervals",
]

TRADES: Final = "recentlyTrade"
BOOK: Final = "orderBook200"
STATS: Final = "instrumentInfo"

CHANNELS: Final = (BOOK, STATS, "candle")
"""What can be read besides trades and the best bid and ask."""


class MarketProtocol:
    """The stream of market data. See `adapters.transport.protocol.StreamProtocol`."""

    message_bytes_max: Final = MESSAGE_BYTES_MAX
    controls: Final = frozenset[type]({AckFrame, PingFrame, PongFrame, OtherFrame})

    def __init__(self, names: Mapping[str, str], now_ns: Callable[[], int]) -> None:
        self._reader = Reader(names)
        self._now_ns = now_ns

    @property
    def ping(self) -> str:
        """See `StreamProtocol`: the venue's ping holds the time."""
        return f'{{"op":"ping","args":["{self._now_ns() // 1_000_000}"]}}'

    def decode(self, message: str | bytes) -> Frame | Salvaged:
        """See `StreamProtocol`."""
        return self._reader.decode(message)

    def read_control(self, frame: Any) -> Control:
        """See `StreamProtocol`."""
        if isinstance(frame, PingFrame):
            return Reply(msgspec.json.encode({"op": "pong", "args": frame.args}).decode())
        if isinstance(frame, PongFrame):
            return ANSWERED
        if not isinstance(frame, AckFrame):
            return UNREAD
        key = _named(frame.request.args or [])
        # Its first confirmation may have been damaged.
        known = "already subscribed" in frame.ret_msg.lower()
        if frame.success or known:
            return Confirmed(key) if key is not None and frame.request.op == "subscribe" else None
        return Refused(frame.ret_msg, key)


def symbol_of(name: str) -> str:
    """Return the symbol of an instrument on the wire: its name without the dash."""
    return name.replace("-", "")


def venue_intervals(intervals: Sequence[str]) -> tuple[str, ...]:
    """Return those intervals that the venue has candles of, shortest first."""
    return tuple(name for name in INTERVALS if name in intervals)


def share_out(
    instruments: Sequence[InstrumentListed],
    channels: Sequence[str],
    intervals: Sequence[str],
    per_connection: int,
) -> list[tuple[tuple[InstrumentListed, ...], tuple[Subscription, ...]]]:
    """Return the instruments and subscriptions of each connection. See `distribute`."""
    own = venue_intervals(intervals)
    return distribute(((one, _of_instrument(one, channels, own)) for one in instruments), per_connection)


def _of_instrument(
    listed: InstrumentListed, channels: Sequence[str], intervals: Sequence[str]
) -> Iterator[Subscription]:
    symbol = symbol_of(listed.name)
    topics = [Topic(TRADES, symbol), Topic(BOOK, symbol)]
    if STATS in channels:
        topics.append(Topic(STATS, symbol))
    if "candle" in channels:
        topics += [Topic("candle", symbol, INTERVALS[name]) for name in intervals]
    for topic in topics:
        request = f'{{"op":"%s","args":["{topic.text}"]}}'
        label = f"the subscription to {topic.kind} of {listed.name}"
        yield Subscription(topic, request % "subscribe", label, request % "unsubscribe")


def _named(args: Sequence[str]) -> Topic | None:
    """Return the topic that an answer repeats, None if it is not one."""
    if len(args) != 1:
        return None
    try:
        return Topic.of(args[0])
    except VenueProtocolError:
        return None
