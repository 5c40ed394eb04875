"""Subscriptions: trades and the best bid and ask of every pair, and the channels of the configuration.

Owns the messages that subscribe and how their answers are matched: each request is about one symbol and has a
number of its own, since a refusal repeats nothing else for certain. Called by `feed.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from adapters.kraken.salvage import decode_or_salvage
from adapters.kraken.wire import CONTROLS, MESSAGE_BYTES_MAX, PING, AnswerFrame, OtherFrame
from adapters.transport.protocol import ANSWERED, UNREAD, Confirmed, Control, Refused, Subscription
from adapters.transport.shares import distribute
from engine.events import InstrumentListed
from engine.values import parse_interval

__all__ = [
    "CHANNELS",
    "VENUE_INTERVALS",
    "Channel",
    "MarketProtocol",
    "minutes_of",
    "share_out",
    "venue_intervals",
]

CHANNELS: Final = ("book", "ohlc")
"""What may be read besides trades and the best bid and ask."""

VENUE_INTERVALS: Final = ("1m", "5m", "15m", "30m", "1h", "4h", "1d")
"""The venue's candle intervals that divide a day; it also has those of 7 and 15 days."""

_MINUTE_NS: Final = 60_000_000_000


class Channel(NamedTuple):
    """One subscription, as the answer to its request repeats it. `interval`: that of candles, in minutes."""

    kind: str
    name: str
    interval: int = 0

    def subscription(self, number: int, depth: int) -> Subscription:
        """Return the subscription to it; `number` is that of its request, `depth` that of a book."""
        members: dict[str, Any] = {"channel": self.kind, "symbol": [self.name]}
        if self.kind == "ticker":
            members["event_trigger"] = "bbo"
        if self.kind == "ohlc":
            members["interval"] = self.interval
        if self.kind == "book":
            members["depth"] = depth
        end = _request("unsubscribe", members, number)
        # The newest trades come first: an overlap with the last known one proves that none is missing.
        text = _request("subscribe", {**members, "snapshot": True}, number)
        return Subscription(self, text, str(self), end)

    def __str__(self) -> str:
        """Return a description for error messages."""
        return f"the subscription to {self.kind} of {self.name}"


class MarketProtocol:
    """The stream of `channels`, whose requests are numbered from 1. See `StreamProtocol`."""

    ping: Final = PING
    message_bytes_max: Final = MESSAGE_BYTES_MAX
    controls: Final = CONTROLS

    def __init__(self, channels: Sequence[Channel]) -> None:
        self.decode: Callable[[str | bytes], Any] = decode_or_salvage
        self._by_number = dict(enumerate(channels, start=1))

    def read_control(self, frame: Any) -> Control:
        """See `StreamProtocol`."""
        if isinstance(frame, OtherFrame):
            return UNREAD
        if not isinstance(frame, AnswerFrame):
            return None
        if frame.method == "pong":
            return ANSWERED
        key = self._by_number.get(frame.req_id)
        if frame.method != "subscribe":
            return None
        if frame.success and frame.result is not None:
            result = frame.result
            return Confirmed(Channel(result.channel, result.symbol, result.interval))
        # Its first confirmation may have been damaged.
        if key is not None and frame.error.startswith("Already subscribed"):
            return Confirmed(key)
        return Refused(frame.error or "no reason given", key)


def venue_intervals(intervals: Iterable[str]) -> tuple[str, ...]:
    """Return those intervals that the venue has candles of, shortest first."""
    wanted = set(intervals)
    return tuple(name for name in VENUE_INTERVALS if name in wanted)


def minutes_of(interval_ns: int) -> int:
    """Return an interval in minutes, as the venue names it."""
    return interval_ns // _MINUTE_NS


def share_out(
    instruments: Sequence[InstrumentListed],
    channels: Sequence[str],
    intervals: Sequence[str],
    per_connection: int,
) -> list[tuple[tuple[InstrumentListed, ...], tuple[Channel, ...]]]:
    """Return the instruments and subscriptions of each connection. See `distribute`."""
    own = venue_intervals(intervals)
    wanted = ((one, _of_instrument(one.name, channels, own)) for one in instruments)
    return distribute(wanted, per_connection)


def _of_instrument(name: str, channels: Sequence[str], intervals: Sequence[str]) -> Iterator[Channel]:
    yield Channel("trade", name)
    yield Channel("ticker", name)
    if "book" in channels:
        yield Channel("book", name)
    if "ohlc" in channels:
        for interval in intervals:
            yield Channel("ohlc", name, interval=minutes_of(parse_interval(interval)))


def _request(method: str, members: dict[str, Any], number: int) -> str:
    request = {"method": method, "params": members, "req_id": number}
    return msgspec.json.encode(request).decode()
