"""The older feed of Coinbase Exchange, for the decoding of recordings.

Owns the shapes of that feed: messages with a `type` and no `channel`. Promises: what `wire.py` and
`decode.py` promise. `side` of a match is the maker's too, by the venue's documentation. Called by `raw.py`.
Source: docs.cdp.coinbase.com, "Exchange WebSocket Channels", 2026-11; recordings of 2021.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

from adapters.coinbase.wire import BookEvent, Change, Name, Text, WireTicker, WireTrade
from adapters.transport.decoding import BROKEN, reason_of
from adapters.transport.text import clip
from engine.errors import VenueProtocolError

__all__ = ["Batch", "decode_older"]

_LEVELS_MAX: Final = 300_000
_SIDES: Final = {"buy": "BUY", "sell": "SELL"}

_Rows = Annotated[list[tuple[Text, Text]], msgspec.Meta(max_length=_LEVELS_MAX)]
_Side = Literal["buy", "sell"]
_Id = Annotated[int, msgspec.Meta(ge=0, lt=10**18)]


class _Match(msgspec.Struct, frozen=True, tag_field="type", tag="match"):
    trade_id: _Id
    side: _Side
    size: Text
    price: Text
    product_id: Name
    time: Text


class _LastMatch(_Match, frozen=True, tag_field="type", tag="last_match"):
    """The newest trade before the subscription."""


class _Snapshot(msgspec.Struct, frozen=True, tag_field="type", tag="snapshot"):
    product_id: Name
    bids: _Rows
    asks: _Rows
    time: Text = ""


class _Update(msgspec.Struct, frozen=True, tag_field="type", tag="l2update"):
    product_id: Name
    changes: Annotated[list[tuple[_Side, Text, Text]], msgspec.Meta(max_length=_LEVELS_MAX)]
    time: Text


class _Ticker(msgspec.Struct, frozen=True, tag_field="type", tag="ticker"):
    """A message of 2021 has no sizes."""

    product_id: Name
    best_bid: Text
    best_ask: Text
    time: Text
    best_bid_size: Text = ""
    best_ask_size: Text = ""


class _Subscriptions(msgspec.Struct, frozen=True, tag_field="type", tag="subscriptions"):
    """What is subscribed to."""


class _Heartbeat(msgspec.Struct, frozen=True, tag_field="type", tag="heartbeat"):
    """Once a second for each product."""


class _Error(msgspec.Struct, frozen=True, tag_field="type", tag="error"):
    message: Annotated[str, msgspec.Meta(max_length=1000)] = ""


class Batch(msgspec.Struct, frozen=True):
    """What a message holds, in the shapes of the newer feed. `time` is "" for one that has none."""

    time: str = ""
    trades: list[WireTrade] = []
    books: list[BookEvent] = []
    tickers: list[WireTicker] = []


_decode = msgspec.json.Decoder(
    _Match | _LastMatch | _Snapshot | _Update | _Ticker | _Subscriptions | _Heartbeat | _Error
).decode


def decode_older(text: str) -> Batch:
    """Return what a message holds. Raises VenueProtocolError, also for the venue's own error."""
    try:
        found: Any = _decode(text)
    except BROKEN as error:
        raise VenueProtocolError(f"{reason_of(error)} in {clip(text)}") from error
    if isinstance(found, _Match):
        side = _SIDES[found.side]
        trade = WireTrade(str(found.trade_id), found.product_id, found.price, found.size, side, found.time)
        return Batch(found.time, trades=[trade])
    if isinstance(found, _Snapshot):
        changes = [Change("bid", *level) for level in found.bids]
        changes += [Change("offer", *level) for level in found.asks]
        return Batch(found.time, books=[BookEvent("snapshot", found.product_id, changes)])
    if isinstance(found, _Update):
        changes = [Change("bid" if side == "buy" else "offer", *level) for side, *level in found.changes]
        return Batch(found.time, books=[BookEvent("update", found.product_id, changes)])
    if isinstance(found, _Ticker) and found.best_bid_size and found.best_ask_size:
        sides = (found.best_bid, found.best_bid_size, found.best_ask, found.best_ask_size)
        return Batch(found.time, tickers=[WireTicker(found.product_id, *sides)])
    if isinstance(found, _Error):
        raise VenueProtocolError(f"the venue's error {clip(found.message)}")
    return Batch()
