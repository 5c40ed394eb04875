"""The shapes of Lighter's HTTP answers, with the promises of `wire.py`. Called by `info.py` and `listing.py`.

An answer has a code; only 200 is success, whatever the status of HTTP. Source: the venue's API documentation
and captures of 2026.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from adapters.lighter.wire import Id, Market, Name, Number

__all__ = [
    "CandlesAnswer",
    "FundingsAnswer",
    "ListingAnswer",
    "OrdersAnswer",
    "StatusAnswer",
    "TradesAnswer",
    "WireFunding",
    "WireMarket",
    "WireOrder",
]

_Decimals = Annotated[int, msgspec.Meta(ge=0, le=18)]
_Fraction = Annotated[int, msgspec.Meta(ge=0, le=10_000)]
_SECONDS_MAX: Final = 100_000_000_000
"""A time below this is in seconds, above in milliseconds: sources differ."""


class Answer(msgspec.Struct, frozen=True):
    """What every answer has."""

    code: int = 200
    message: str | None = None


class WireMarket(msgspec.Struct, frozen=True):
    """A market. Fractions of margin are in units of 1/10,000; fees are percent."""

    symbol: Name
    market_id: Market
    supported_size_decimals: _Decimals
    supported_price_decimals: _Decimals
    status: Name = "active"
    market_type: Literal["perp", "spot"] = "perp"
    taker_fee: Number = "0"
    maker_fee: Number = "0"
    min_base_amount: Number = "0"
    min_quote_amount: Number = "0"
    default_initial_margin_fraction: _Fraction = 0
    min_initial_margin_fraction: _Fraction = 0


class ListingAnswer(Answer, frozen=True):
    """All markets."""

    order_book_details: Annotated[list[WireMarket], msgspec.Meta(max_length=10_000)] | None = None
    spot_order_book_details: Annotated[list[WireMarket], msgspec.Meta(max_length=10_000)] | None = None


class StatusAnswer(msgspec.Struct, frozen=True):
    """The venue's clock, in seconds. `speed`, on the sandbox only, is venue seconds per real second."""

    timestamp: Annotated[int, msgspec.Meta(ge=0, le=9_000_000_000_000)]
    speed: Annotated[float, msgspec.Meta(gt=0, le=1e6)] | None = None


class CandlesAnswer(Answer, frozen=True):
    """Candles; the outer `c` is the list, the inner one the close."""

    c: list[msgspec.Raw] | None = None


class TradesAnswer(Answer, frozen=True):
    """The newest trades, in no certain order."""

    trades: list[msgspec.Raw] | None = None


class FundingsAnswer(Answer, frozen=True):
    """Settled rates."""

    fundings: list[msgspec.Raw] | None = None


class WireOrder(msgspec.Struct, frozen=True, gc=False):
    """A resting order."""

    price: Number
    remaining_base_amount: Number


class OrdersAnswer(Answer, frozen=True):
    """The best orders of a book, best first."""

    asks: Annotated[list[WireOrder], msgspec.Meta(max_length=1000)] | None = None
    bids: Annotated[list[WireOrder], msgspec.Meta(max_length=1000)] | None = None


class WireFunding(msgspec.Struct, frozen=True):
    """A settled rate, in percent and without a sign: in the direction "long" the longs pay."""

    timestamp: Id
    rate: msgspec.Raw
    direction: Literal["long", "short"]

    @property
    def at_ns(self) -> int:
        """The time of the settlement."""
        return self.timestamp * (1_000_000_000 if self.timestamp < _SECONDS_MAX else 1_000_000)
