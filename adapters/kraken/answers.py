"""The shapes of Kraken's REST answers, and their decoder.

Owns shapes only, with the promises of `wire.py`. An answer is HTTP 200 even if it refuses: then `error` says
why. Called by `info.py`, `listing.py` and `decode.py`. Source: docs.kraken.com, "Spot REST API", 2026-11;
captures of 2025.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import msgspec

from adapters.kraken.wire import Id, Name, Text
from adapters.transport.decoding import decode_body
from adapters.transport.text import clip
from engine.errors import VenueProtocolError

__all__ = [
    "AssetPair",
    "RestBook",
    "RestCandle",
    "RestLevel",
    "RestTrade",
    "ServerTime",
    "decode_answer",
]

_Decimals = Annotated[int, msgspec.Meta(ge=0, le=18)]


class _Envelope(msgspec.Struct, frozen=True):
    error: Annotated[list[str], msgspec.Meta(max_length=100)] = []
    result: msgspec.Raw = msgspec.Raw(b"null")


class AssetPair(msgspec.Struct, frozen=True):
    """One pair of `AssetPairs`; its key, `altname` and `wsname` are three names of it.

    `fees` and `fees_maker` are pairs of the volume of 30 days from which a fee holds, and the fee in percent.
    """

    altname: Name
    base: Name
    quote: Name
    pair_decimals: _Decimals
    lot_decimals: _Decimals
    wsname: Name = ""
    tick_size: Text = ""
    costmin: Text = "0"
    status: Name = "online"
    fees: Annotated[list[tuple[float, float]], msgspec.Meta(max_length=100)] = []
    fees_maker: Annotated[list[tuple[float, float]], msgspec.Meta(max_length=100)] = []


class ServerTime(msgspec.Struct, frozen=True):
    """The venue's clock in whole seconds; on a sandbox also the exact time."""

    unixtime: Annotated[int, msgspec.Meta(ge=0, le=9_000_000_000)]
    nanoseconds: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None = None


class RestTrade(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One trade. `time` is in seconds, with fewer digits than the venue has; `side` is the taker's."""

    price: Text
    volume: Text
    time: msgspec.Raw
    side: Literal["b", "s"]
    kind: Text
    misc: Text
    trade_id: Id


class RestCandle(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A candle that opens at `time`, in seconds; the last one of an answer is still open."""

    time: Annotated[int, msgspec.Meta(ge=0, le=9_000_000_000)]
    open: Text
    high: Text
    low: Text
    close: Text
    vwap: Text
    volume: Text
    count: Id


class RestLevel(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Price and size of a level, and when it last changed, in seconds."""

    price: Text
    volume: Text
    time: Annotated[int, msgspec.Meta(ge=0, le=9_000_000_000)]


_Levels = Annotated[list[RestLevel], msgspec.Meta(max_length=2000)]


class RestBook(msgspec.Struct, frozen=True):
    """Both sides, best first."""

    asks: _Levels
    bids: _Levels


_Shape = TypeVar("_Shape")


def decode_answer(body: bytes, shape: type[_Shape]) -> _Shape:
    """Return the result of an answer as a `shape`. Raises VenueProtocolError, and nothing else."""
    envelope = decode_body(body, _Envelope)
    if envelope.error:
        raise VenueProtocolError(f"the venue answers {clip(', '.join(envelope.error), 200)}")
    return decode_body(envelope.result, shape)


def errors_of(body: bytes) -> list[str]:
    """Return the errors of an answer, none for one that cannot be read."""
    try:
        return decode_body(body, _Envelope).error
    except VenueProtocolError:
        return []
