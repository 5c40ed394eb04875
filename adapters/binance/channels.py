"""Subscriptions of Binance: streams of each symbol, over the roots that carry them.

Owns the names of streams, the requests, and how their answers are matched. Promises: requests for many
streams are sent as one message, since a connection may send only a few each second; the venue accepts names
of streams that do not exist without a word, so only names of its own listing are asked for. Called by
`feed.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from adapters.binance.markets import Market
from adapters.binance.salvage import decode_or_salvage
from adapters.binance.wire import MESSAGE_BYTES_MAX, Frame, Reply
from adapters.transport.protocol import (
    ANSWERED,
    UNREAD,
    ConfirmedAll,
    Control,
    Leaving,
    Refused,
    Salvaged,
    Subscription,
)
from engine.errors import UsageError
from engine.events import InstrumentListed

__all__ = ["Channel", "MarketProtocol", "Share", "check_channels", "share_out", "venue_intervals"]

_PING_ID: Final = 0
PING: Final = f'{{"method":"GET_PROPERTY","params":["combined"],"id":{_PING_ID}}}'

_PARAMS_MAX: Final = 100
"""Streams of one message."""


class Channel(NamedTuple):
    """One stream."""

    kind: str
    name: str
    interval: str = ""

    @property
    def stream(self) -> str:
        """The venue's name of it."""
        ending = {"kline": f"_{self.interval}", "depth": "@100ms", "markPrice": "@1s"}.get(self.kind, "")
        return f"{self.name.lower()}@{self.kind}{ending}"

    def subscription(self) -> Subscription:
        """Return the subscription to it; its messages are joined with others before they are sent."""
        return Subscription(
            self, _request("SUBSCRIBE", [self.stream]), str(self), _request("UNSUBSCRIBE", [self.stream])
        )

    def __str__(self) -> str:
        """Return a description for error messages."""
        return f"the subscription to {self.stream}"


class Share(NamedTuple):
    """What one connection carries. `root` is the beginning of its path."""

    root: str
    instruments: tuple[InstrumentListed, ...]
    channels: tuple[Channel, ...]


class _Unread(NamedTuple):
    """A message that is not market data and not an answer."""


class _Shutdown(NamedTuple):
    """The venue announces that it closes the connection."""


class MarketProtocol:
    """The stream of `channels`. See `adapters.transport.protocol.StreamProtocol`."""

    # A question whose answer comes in order with the events, which that to a ping frame need not.
    ping: Final = PING
    message_bytes_max: Final = MESSAGE_BYTES_MAX
    controls: Final = frozenset[type]({Reply, _Unread, _Shutdown})

    def __init__(self, channels: Sequence[Channel]) -> None:
        self._by_stream = {one.stream: one for one in channels}
        self._names = frozenset(one.name for one in channels)
        self._numbers = itertools.count(1)
        # What each request asked for that has no answer yet; at most as many as one connection sends.
        self._asked: dict[int, tuple[Channel, ...]] = {}

    def decode(self, message: str | bytes) -> Frame | Reply | Salvaged | _Unread | _Shutdown:
        """See `StreamProtocol`."""
        found = decode_or_salvage(message, self._names)
        if isinstance(found, Frame) and found.kind == "serverShutdown":
            return _Shutdown()
        return _Unread() if found is None else found

    def merge(self, messages: list[str]) -> list[str]:
        """Join requests: one message for as many streams of a method as it may name."""
        streams: dict[str, list[str]] = {}
        for message in messages:
            request = msgspec.json.decode(message)
            streams.setdefault(request["method"], []).extend(request["params"])
        return [
            self._numbered(method, names[begin : begin + _PARAMS_MAX])
            for method, names in streams.items()
            for begin in range(0, len(names), _PARAMS_MAX)
        ]

    def read_control(self, frame: Any) -> Control:
        """See `StreamProtocol`."""
        if isinstance(frame, _Shutdown):
            return Leaving("the venue announces that this server shuts down")
        if not isinstance(frame, Reply):
            return UNREAD
        if frame.id == _PING_ID:
            return ANSWERED
        asked = self._asked.pop(frame.id, ()) if isinstance(frame.id, int) else ()
        if frame.text:
            return Refused(frame.text, asked[0] if len(asked) == 1 else None)
        return ConfirmedAll(asked)

    def _numbered(self, method: str, names: list[str]) -> str:
        number = next(self._numbers)
        if method == "SUBSCRIBE":
            while len(self._asked) >= _PARAMS_MAX:
                del self._asked[next(iter(self._asked))]
            self._asked[number] = tuple(self._by_stream[name] for name in names)
        return _request(method, names, number)


def check_channels(market: Market, channels: Sequence[str]) -> None:
    """Raise UsageError for channels that the market does not have."""
    for channel in channels:
        if channel not in market.channels:
            raise UsageError(
                f"{market.title} has no channel {channel!r}; it has {', '.join(market.channels)}"
            )


def venue_intervals(market: Market, intervals: Sequence[str]) -> tuple[str, ...]:
    """Return those intervals that the venue has candles of, shortest first."""
    return tuple(name for name in market.intervals if name in intervals)


def share_out(
    market: Market,
    instruments: Sequence[InstrumentListed],
    trades: str,
    channels: Sequence[str],
    intervals: Sequence[str],
    per_connection: int,
) -> list[Share]:
    """Return what each connection carries; the channels of an instrument on one root are never split.

    A connection takes instruments until it has `per_connection` streams, and at least one.
    """
    shares: list[tuple[str, list[InstrumentListed], list[Channel]]] = []
    kinds = (trades, "bookTicker", *(one for one in market.channels if one in channels))
    for root in dict.fromkeys(market.roots.get(kind, market.roots[""]) for kind in kinds):
        shares.append((root, [], []))
        for listed in instruments:
            own = [
                one
                for kind in kinds
                if market.roots.get(kind, market.roots[""]) == root
                for one in _streams(market, kind, listed.name, intervals)
            ]
            if shares[-1][2] and len(shares[-1][2]) + len(own) > per_connection:
                shares.append((root, [], []))
            shares[-1][1].append(listed)
            shares[-1][2].extend(own)
    return [Share(root, tuple(carried), tuple(own)) for root, carried, own in shares if own]


def _streams(market: Market, kind: str, name: str, intervals: Sequence[str]) -> Iterator[Channel]:
    if kind == "kline":
        for interval in venue_intervals(market, intervals):
            yield Channel("kline", name, interval)
    elif kind != "openInterest":  # it is polled
        yield Channel(kind, name)


_encode: Callable[[Any], bytes] = msgspec.json.encode


def _request(method: str, params: Sequence[str], number: int = 0) -> str:
    return _encode({"method": method, "params": list(params), "id": number}).decode()
