"""Subscriptions: trades and the best bid and ask of every product, and the channels of the configuration.

Owns the messages that subscribe, how their answers are matched, and the number that counts the messages of a
connection. An answer lists everything that is subscribed to, so it confirms all of it. A number that is
skipped shows that messages are missing, of any product and channel of the connection. Called by `feed.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from adapters.coinbase.salvage import decode_or_salvage
from adapters.coinbase.wire import (
    CONTROLS,
    MESSAGE_BYTES_MAX,
    ErrorFrame,
    OtherFrame,
    SubscriptionsFrame,
)
from adapters.transport.protocol import UNREAD, ConfirmedAll, Control, Damage, Refused, Salvaged, Subscription
from adapters.transport.shares import distribute
from engine.events import InstrumentListed

__all__ = [
    "CHANNELS",
    "GRANULARITIES",
    "HEARTBEATS",
    "Channel",
    "MarketProtocol",
    "share_out",
    "venue_intervals",
]

CHANNELS: Final = ("level2", "candles")
"""What may be read besides trades and the best bid and ask."""

GRANULARITIES: Final = {
    "1m": "ONE_MINUTE",
    "5m": "FIVE_MINUTE",
    "15m": "FIFTEEN_MINUTE",
    "30m": "THIRTY_MINUTE",
    "1h": "ONE_HOUR",
    "2h": "TWO_HOUR",
    "1d": "ONE_DAY",
}
"""The venue's candles over REST, by interval; it also has those of six hours."""


class Channel(NamedTuple):
    """One subscription; `name` is "" for the heartbeats of a connection."""

    kind: str
    name: str = ""

    def subscription(self) -> Subscription:
        """Return the subscription to it."""
        products = {"product_ids": [self.name]} if self.name else {}
        texts = [
            msgspec.json.encode({"type": kind, "channel": self.kind, **products}).decode()
            for kind in ("subscribe", "unsubscribe")
        ]
        return Subscription(self, texts[0], str(self), texts[1])

    def __str__(self) -> str:
        """Return a description for error messages."""
        of = f" of {self.name}" if self.name else ""
        return f"the subscription to {self.kind}{of}"


HEARTBEATS: Final = Channel("heartbeats")
"""Without it the venue closes a connection that sends nothing for a minute."""


class MarketProtocol:
    """One stream. See `StreamProtocol`."""

    ping: Final = ""
    message_bytes_max: Final = MESSAGE_BYTES_MAX
    controls: Final = CONTROLS

    def __init__(self) -> None:
        self._last = -1  # the number of the newest message; a connection begins with 0

    def decode(self, message: str | bytes) -> Any:
        """See `StreamProtocol`. Messages that are missing are a damage of every product and channel."""
        found = decode_or_salvage(message)
        frame = found.frame if isinstance(found, Salvaged) else found
        number = getattr(frame, "sequence_num", -1)
        if number < 0:
            return found
        last, self._last = self._last, number
        if number in (0, last, last + 1):
            return found
        missing = Damage("", "", f"messages of the connection between {last} and {number} are missing")
        damages = found.damages if isinstance(found, Salvaged) else []
        return Salvaged(frame, [missing, *damages])

    def read_control(self, frame: Any) -> Control:
        """See `StreamProtocol`."""
        if isinstance(frame, SubscriptionsFrame):
            return ConfirmedAll(tuple(_subscribed(frame)))
        if isinstance(frame, ErrorFrame):
            return Refused(frame.message or "no reason given")
        return UNREAD if isinstance(frame, OtherFrame) else None


def _subscribed(frame: SubscriptionsFrame) -> Iterator[Channel]:
    for event in frame.events:
        for kind, names in event.subscriptions.items():
            if kind == HEARTBEATS.kind:
                yield HEARTBEATS
            else:
                yield from (Channel(kind, name) for name in names)


def venue_intervals(intervals: Iterable[str]) -> tuple[str, ...]:
    """Return those intervals that the venue has candles of, shortest first."""
    wanted = set(intervals)
    return tuple(name for name in GRANULARITIES if name in wanted)


def share_out(
    instruments: Sequence[InstrumentListed], channels: Sequence[str], per_connection: int
) -> list[tuple[tuple[InstrumentListed, ...], tuple[Channel, ...]]]:
    """Return the instruments and subscriptions of each connection. See `distribute`."""
    kinds = ("market_trades", "ticker", *channels)
    wanted = ((one, [Channel(kind, one.name) for kind in kinds]) for one in instruments)
    return distribute(wanted, per_connection, (HEARTBEATS,))
