"""The shapes of answers of `/info`: listings, contexts and funding that no websocket frame has.

Owns shapes only, with the promises of `wire.py`: what does not fit is VenueProtocolError, unknown members
are ignored, everything has a bound. Called by `info.py` and `listing.py`. Source: the venue's API
documentation, captures of 2025 and 2026.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from adapters.hyperliquid.envelope import Millis

__all__ = [
    "PerpDex",
    "PredictedFunding",
    "SpotMeta",
    "SpotPair",
    "SpotToken",
    "WireFunding",
]

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_Number = Annotated[str, msgspec.Meta(max_length=96)]
_Index = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]


class SpotToken(msgspec.Struct, frozen=True, rename="camel"):
    """A token of `spotMeta`."""

    name: _Name
    sz_decimals: Annotated[int, msgspec.Meta(ge=0, le=18)]
    index: _Index


class SpotPair(msgspec.Struct, frozen=True):
    """A spot pair: `tokens` are the indexes of base and quote, `name` is what other calls take."""

    name: _Name
    index: _Index
    tokens: tuple[_Index, _Index]


class SpotMeta(msgspec.Struct, frozen=True):
    """The spot pairs of the venue and their tokens."""

    universe: Annotated[list[SpotPair], msgspec.Meta(max_length=20_000)]
    tokens: Annotated[list[SpotToken], msgspec.Meta(max_length=20_000)]


class PerpDex(msgspec.Struct, frozen=True):
    """A builder's dex of `perpDexs`, where the venue's own is the first, and null."""

    name: _Name


class WireFunding(msgspec.Struct, frozen=True, rename="camel"):
    """A settled rate of `fundingHistory`; `time` is some ms after the hour it was settled for."""

    coin: _Name
    funding_rate: _Number
    premium: _Number
    time: Millis


class PredictedFunding(msgspec.Struct, frozen=True, rename="camel"):
    """A venue's next rate. `next_funding_time` is that of the last settlement, so add the interval to it."""

    funding_rate: _Number
    next_funding_time: Millis
    funding_interval_hours: Annotated[int, msgspec.Meta(ge=1, le=24)] | None = None
