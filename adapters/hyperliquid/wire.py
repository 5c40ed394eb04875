"""The shapes of Hyperliquid's market data, and the decoder of its stream.

Owns the shapes of websocket frames that market data needs, and of what `/info` answers in the same shapes
(`answers.py` has the rest). Promises: those of `envelope.py`; text, lists and whole messages have a bound.
Called by `decode.py`, `info.py` and `feed.py`. Source: the venue's API documentation, captures since 2025.

Prices and sizes stay decimal text here, times stay milliseconds: `decode.py` makes them exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final, Literal

import msgspec

from adapters.hyperliquid.envelope import (
    ControlFrame,
    Id,
    Int64,
    Millis,
    Name,
    Number,
    OtherFrame,
    frame_decoder,
)

__all__ = [
    "AssetInfo",
    "Bbo",
    "BboFrame",
    "BookFrame",
    "BookLevel",
    "CandleFrame",
    "ContextFrame",
    "ContextValues",
    "ExchangeStatus",
    "Frame",
    "Level",
    "Meta",
    "MidsFrame",
    "SpotContextFrame",
    "TradesFrame",
    "WireBook",
    "WireCandle",
    "WireContext",
    "WireMids",
    "WireTrade",
    "decode_message",
]


class WireTrade(msgspec.Struct, frozen=True, gc=False):
    """One trade of the `trades` channel or of `recentTrades`. `side` is the taker's; `time` in ms."""

    coin: Name
    side: Literal["A", "B"]
    px: Number
    sz: Number
    time: Int64
    tid: Id


class Level(msgspec.Struct, frozen=True, gc=False):
    """Price and size of the best bid or ask."""

    px: Number
    sz: Number


class Bbo(msgspec.Struct, frozen=True):
    """Best bid and ask, None on an empty side; `time` in ms."""

    coin: Name
    time: Int64
    bbo: tuple[Level | None, Level | None]


class BookLevel(msgspec.Struct, frozen=True, gc=False):
    """Price, size and number of orders of one level of a book."""

    px: Number
    sz: Number
    n: Id


_Side = Annotated[list[BookLevel], msgspec.Meta(max_length=100)]


class WireBook(msgspec.Struct, frozen=True):
    """A whole book: bids and asks, best first; `fast` ones have 5 levels instead of 20. `time` in ms."""

    coin: Name
    time: Int64
    levels: tuple[_Side, _Side]
    fast: bool | None = None


_CANDLE: Final = {
    "start": "t",
    "end": "T",
    "coin": "s",
    "interval": "i",
    "open": "o",
    "high": "h",
    "low": "l",
    "close": "c",
    "volume": "v",
    "trades": "n",
}


class WireCandle(msgspec.Struct, frozen=True, gc=False, rename=_CANDLE):
    """A candle, perhaps still open, of `candle` or `candleSnapshot`. `end` is its own last ms."""

    start: Int64
    end: Int64
    coin: Name
    interval: Name
    open: Number
    high: Number
    low: Number
    close: Number
    volume: Number
    trades: Id


class ContextValues(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A context's values; a spot pair has no funding, and nothing has a mid without a book."""

    mark_px: Number | None = None
    oracle_px: Number | None = None
    mid_px: Number | None = None
    funding: Number | None = None
    premium: Number | None = None
    open_interest: Number | None = None


class WireContext(msgspec.Struct, frozen=True):
    """The context of one instrument."""

    coin: Name
    ctx: ContextValues


class WireMids(msgspec.Struct, frozen=True):
    """The mids of all instruments of a dex, by name."""

    mids: Annotated[dict[Name, Number], msgspec.Meta(max_length=20_000)]
    dex: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class TradesFrame(msgspec.Struct, frozen=True, tag_field="channel", tag="trades"):
    """Trades, usually of one block and one instrument."""

    data: Annotated[list[WireTrade], msgspec.Meta(max_length=5000)]


class BboFrame(msgspec.Struct, frozen=True, tag_field="channel", tag="bbo"):
    """A change of the best bid or ask."""

    data: Bbo


class BookFrame(msgspec.Struct, frozen=True, tag_field="channel", tag="l2Book"):
    """A book, fast or not."""

    data: WireBook


class CandleFrame(msgspec.Struct, frozen=True, tag_field="channel", tag="candle"):
    """The open candle restated: one object, although the documentation says an array."""

    data: WireCandle | Annotated[list[WireCandle], msgspec.Meta(max_length=5000)]


class ContextFrame(msgspec.Struct, frozen=True, tag_field="channel", tag="activeAssetCtx"):
    """A perp's context, about once a second, changed or not."""

    data: WireContext


class SpotContextFrame(msgspec.Struct, frozen=True, tag_field="channel", tag="activeSpotAssetCtx"):
    """A spot pair's context: subscribed to as `activeAssetCtx`, sent on a channel of its own."""

    data: WireContext


class MidsFrame(msgspec.Struct, frozen=True, tag_field="channel", tag="allMids"):
    """The mids of a dex."""

    data: WireMids


_Market = TradesFrame | BboFrame | BookFrame | CandleFrame | ContextFrame | SpotContextFrame | MidsFrame
Frame = _Market | ControlFrame | OtherFrame

decode_message: Callable[[str | bytes], Frame] = frame_decoder(_Market | ControlFrame)
"""Returns one websocket message as a struct. Raises VenueProtocolError, and nothing else."""


class AssetInfo(msgspec.Struct, frozen=True, rename="camel"):
    """One perp of `meta`. `px_decimals` exists on the sandbox only."""

    name: Name
    sz_decimals: Annotated[int, msgspec.Meta(ge=0, le=18)]
    is_delisted: bool | None = None
    px_decimals: Annotated[int, msgspec.Meta(ge=0, le=18)] | None = None
    max_leverage: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None
    margin_table_id: int | None = None


class MarginTier(msgspec.Struct, frozen=True, rename="camel"):
    """The highest leverage of a position whose value is at least `lower_bound`."""

    lower_bound: Number
    max_leverage: Annotated[int, msgspec.Meta(ge=1, le=1000)]


class MarginTable(msgspec.Struct, frozen=True, rename="camel"):
    """The tiers of the perps with this table, lowest first."""

    margin_tiers: Annotated[list[MarginTier], msgspec.Meta(max_length=100)]


class Meta(msgspec.Struct, frozen=True, rename="camel"):
    """The perps of the venue, and the margin tables by their ids."""

    universe: Annotated[list[AssetInfo], msgspec.Meta(max_length=10_000)]
    margin_tables: Annotated[list[tuple[int, MarginTable]], msgspec.Meta(max_length=10_000)] = []


class ExchangeStatus(msgspec.Struct, frozen=True):
    """The venue's clock, in ms. `speed`, on the sandbox only, is venue seconds per real second."""

    time: Millis
    speed: Annotated[float, msgspec.Meta(gt=0, le=1e6)] | None = None
