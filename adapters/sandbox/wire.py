"""The venue's JSON: types of client requests, and encoders of the messages to clients.

Defines the websocket requests and the shared `/info` requests, and encodes all market data. Promises: numbers
are exact and written as the venue writes them (a whole number ends in ".0"); a decoded subscription encodes
to the normalized form that the venue echoes. No I/O. Called by the hub and `info.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import Annotated, Final, Literal

import msgspec

from adapters.exchange.candles import Interval, OpenCandle
from adapters.exchange.grid import Level, orders_at
from engine.events import InstrumentListed, Quote, Trade
from engine.values import BUY, format_scaled

__all__ = [
    "ERROR_PARSE",
    "NOT_DESERIALIZED",
    "NOT_JSON",
    "ActiveAssetCtx",
    "Address",
    "AllMids",
    "Bbo",
    "BookRequest",
    "CandleRequest",
    "Candles",
    "Cloid",
    "InstrumentEncoder",
    "L2Book",
    "Mids",
    "Natural",
    "OrderUpdates",
    "Ping",
    "Post",
    "Subscribe",
    "Subscription",
    "Trades",
    "Unsubscribe",
    "UserAsset",
    "UserEvents",
    "UserFills",
    "UserFundings",
    "UserLedger",
    "UserOrders",
    "UserSpot",
    "UserState",
    "UserSubscription",
    "channel_of",
    "encode",
    "error_frame",
    "frame",
    "normalize_cloid",
    "parse_client_frame",
    "scope_of",
    "subscription_frame",
    "wire_number",
]

ERROR_PARSE: Final = "Error parsing JSON into valid websocket request: "

_MARKET_CHANNELS: Final = frozenset({"trades", "bbo", "l2Book", "candle", "activeAssetCtx", "allMids"})
_ANSWER_CHANNELS: Final = frozenset({"subscriptionResponse", "pong", "error", "post"})

PONG: Final = '{"channel":"pong"}'

NOT_JSON: Final = "Failed to parse the request body as JSON"
NOT_DESERIALIZED: Final = "Failed to deserialize the JSON body into the target type"

Natural = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""An id, a time or a count: an integer from 0 to the largest that can be signed."""

Address = Annotated[str, msgspec.Meta(pattern=r"\A0x[0-9a-fA-F]{40}\Z")]
Cloid = Annotated[str, msgspec.Meta(pattern=r"\A(0x)?[0-9a-fA-F]{32}\Z")]
"""A client order id of 16 bytes. The venue accepts it without 0x and adds the prefix."""


# --- messages from clients ------------------------------------------------------------------------------


class _Tagged(msgspec.Struct, frozen=True, tag_field="type", rename="camel"):
    """Base of types distinguished by the member `type`. Unknown members are ignored, as on the venue."""


class Trades(_Tagged, frozen=True, tag="trades"):
    """Subscription to the trades of an instrument."""

    coin: str


class Bbo(_Tagged, frozen=True, tag="bbo"):
    """Subscription to the best bid and ask of an instrument."""

    coin: str


class BookRequest(_Tagged, frozen=True, tag="l2Book"):
    """`/info` request for an order book."""

    coin: str
    n_sig_figs: int | None = None
    mantissa: int | None = None


class L2Book(_Tagged, frozen=True, tag="l2Book"):
    """Subscription to order books: 20 levels at a slow rate, or 5 levels at a fast rate."""

    coin: str
    n_sig_figs: int | None = None
    mantissa: int | None = None
    fast: bool = False


class Candles(_Tagged, frozen=True, tag="candle"):
    """Subscription to the open candle of an instrument."""

    coin: str
    interval: Interval


class AllMids(_Tagged, frozen=True, tag="allMids"):
    """Subscription to the mids of all instruments."""

    dex: str | None = None


class ActiveAssetCtx(_Tagged, frozen=True, tag="activeAssetCtx"):
    """Subscription to the asset context of an instrument."""

    coin: str


class UserFills(_Tagged, frozen=True, tag="userFills"):
    """Subscription to an account's fills: a snapshot, then new fills."""

    user: Address
    aggregate_by_time: bool = False


class OrderUpdates(_Tagged, frozen=True, tag="orderUpdates"):
    """Subscription to the changes of an account's orders; no snapshot."""

    user: Address


class UserEvents(_Tagged, frozen=True, tag="userEvents"):
    """Subscription to an account's events, on channel `user`; no snapshot."""

    user: Address


class UserFundings(_Tagged, frozen=True, tag="userFundings"):
    """Subscription to an account's funding payments: a snapshot, then new payments."""

    user: Address


class UserState(_Tagged, frozen=True, tag="clearinghouseState"):
    """Subscription to an account's full state, sent periodically."""

    user: Address
    dex: str | None = None


class UserOrders(_Tagged, frozen=True, tag="openOrders"):
    """Subscription to an account's open orders, sent periodically."""

    user: Address
    dex: str | None = None


class UserLedger(_Tagged, frozen=True, tag="userNonFundingLedgerUpdates"):
    """Subscription to an account's ledger (deposits, liquidations): a snapshot, then new entries."""

    user: Address


class UserSpot(_Tagged, frozen=True, tag="spotState"):
    """Subscription to an account's token balances, sent periodically."""

    user: Address


class UserAsset(_Tagged, frozen=True, tag="activeAssetData"):
    """Subscription to an account's leverage and tradable size of an instrument, sent periodically."""

    user: Address
    coin: str


UserSubscription = (
    UserFills
    | OrderUpdates
    | UserEvents
    | UserFundings
    | UserLedger
    | UserState
    | UserOrders
    | UserSpot
    | UserAsset
)
MarketSubscription = Trades | Bbo | L2Book | Candles | ActiveAssetCtx
Subscription = MarketSubscription | AllMids | UserSubscription


class _Method(msgspec.Struct, frozen=True, tag_field="method"):
    """Base of a client's websocket messages."""


class Ping(_Method, frozen=True, tag="ping"):
    """A ping, answered with a pong."""


class Subscribe(_Method, frozen=True, tag="subscribe"):
    """Starts a stream."""

    subscription: Subscription


class Unsubscribe(_Method, frozen=True, tag="unsubscribe"):
    """Ends a stream."""

    subscription: Subscription


class PostRequest(msgspec.Struct, frozen=True):
    """The content of a post. `payload` is the body of the same request over HTTP."""

    type: Literal["info", "action"]
    payload: msgspec.Raw


class Post(_Method, frozen=True, tag="post"):
    """A request over the websocket. The answer has the same id."""

    id: int
    request: PostRequest


class Mids(_Tagged, frozen=True, tag="allMids"):
    """`/info` request for all mids."""

    dex: str | None = None


class CandleRequest(msgspec.Struct, frozen=True, rename="camel"):
    """The nested part of a `candleSnapshot` request; times in ms."""

    coin: str
    interval: Interval
    start_time: int
    end_time: int | None = None


_ClientFrame = Ping | Subscribe | Unsubscribe | Post
_client_frame: msgspec.json.Decoder[_ClientFrame] = msgspec.json.Decoder(_ClientFrame)
encode: Final = msgspec.json.Encoder().encode


def parse_client_frame(text: str) -> Ping | Subscribe | Unsubscribe | Post | None:
    """Return the message in a websocket frame, or None if it is not valid."""
    try:
        return _client_frame.decode(text)
    except (msgspec.MsgspecError, UnicodeError):
        return None


# --- messages to clients --------------------------------------------------------------------------------


@lru_cache(maxsize=65_536)
def wire_number(value: int, scale: int) -> str:
    """Return a number as the venue writes it: decimal text that parses back to the same integer."""
    text = format_scaled(value, scale)
    return text if "." in text else text + ".0"


def frame(channel: str, data: str) -> str:
    """Return a websocket frame; `data` is JSON."""
    return f'{{"channel":"{channel}","data":{data}}}'


def channel_of(text: str) -> str:
    """Return the channel of a frame made by `frame`."""
    return text[12 : text.index('"', 12)]


def scope_of(channel: str) -> Literal["market", "user", ""]:
    """Return the scope of a channel's faults; "" for answers, which faults never hit."""
    if channel in _MARKET_CHANNELS:
        return "market"
    return "" if channel in _ANSWER_CHANNELS else "user"


def normalize_cloid(cloid: str) -> str:
    """Return a client order id as the venue writes it: with 0x, in lower case."""
    return "0x" + cloid.removeprefix("0x").lower()


def error_frame(text: str) -> str:
    """Return an error frame as the venue sends it: one string."""
    return frame("error", encode(text).decode())


def subscription_frame(method: Literal["subscribe", "unsubscribe"], subscription: Subscription) -> str:
    """Return the acknowledgement: the subscription with all defaults filled in."""
    return frame(
        "subscriptionResponse", f'{{"method":"{method}","subscription":{encode(subscription).decode()}}}'
    )


def _address(number: int) -> str:
    return "0x" + blake2b(b"user %d" % number, digest_size=20).hexdigest()


_ADDRESSES: Final = [_address(number) for number in range(256)]
"""Made-up addresses of the buyers and sellers of the tape's trades."""


class InstrumentEncoder:
    """Encodes the market data of one instrument. Built once per instrument, so its name is escaped once."""

    def __init__(self, listed: InstrumentListed) -> None:
        self._name = encode(listed.name).decode()
        self._price_scale = listed.price_scale
        self._size_scale = listed.size_scale

    def trade(self, trade: Trade) -> str:
        """Return one trade. Trades with the same instrument, time and side share a transaction hash."""
        time_ms = trade.venue_ns // 1_000_000
        side = "B" if trade.aggressor == BUY else "A"
        tid = int(trade.trade_id)
        transaction = blake2b(f"{self._name}{time_ms}{side}".encode(), digest_size=32).hexdigest()
        buyer, seller = _ADDRESSES[tid & 255], _ADDRESSES[(tid >> 8) + 1 & 255]
        return (
            f'{{"coin":{self._name},"side":"{side}","px":"{wire_number(trade.price, self._price_scale)}",'
            f'"sz":"{wire_number(trade.size, self._size_scale)}","time":{time_ms},"hash":"0x{transaction}",'
            f'"tid":{tid},"users":["{buyer}","{seller}"]}}'
        )

    def trades(self, trades: Iterable[Trade]) -> str:
        """Return trades as an array."""
        return f"[{','.join(map(self.trade, trades))}]"

    def bbo(self, quote: Quote) -> str:
        """Return the best bid and ask. An empty side is null."""
        bid = self._level((quote.bid, quote.bid_size, orders_at(quote.bid, quote.bid_size)))
        ask = self._level((quote.ask, quote.ask_size, orders_at(quote.ask, quote.ask_size)))
        return (
            f'{{"coin":{self._name},"time":{quote.venue_ns // 1_000_000},'
            f'"bbo":[{bid if quote.bid else "null"},{ask if quote.ask else "null"}]}}'
        )

    def book(
        self,
        time_ms: int,
        bids: list[Level],
        asks: list[Level],
        *,
        aggregated: bool = False,
        fast: bool = False,
    ) -> str:
        """Return an order book. Only aggregated books have the member `spread`, only fast ones `fast`."""
        extra = ""
        if aggregated and bids and asks:
            extra = f',"spread":"{wire_number(asks[0][0] - bids[0][0], self._price_scale)}"'
        if fast:
            extra += ',"fast":true'
        return (
            f'{{"coin":{self._name},"time":{time_ms},"levels":[[{",".join(map(self._level, bids))}],'
            f"[{','.join(map(self._level, asks))}]]{extra}}}"
        )

    def candle(self, interval: str, length_ms: int, candle: OpenCandle) -> str:
        """Return one candle."""
        scale = self._price_scale
        return (
            f'{{"t":{candle.start_ms},"T":{candle.start_ms + length_ms - 1},'
            f'"s":{self._name},"i":"{interval}",'
            f'"o":"{wire_number(candle.open, scale)}","c":"{wire_number(candle.close, scale)}",'
            f'"h":"{wire_number(candle.high, scale)}","l":"{wire_number(candle.low, scale)}",'
            f'"v":"{wire_number(candle.volume, self._size_scale)}","n":{candle.trades}}}'
        )

    def map_member(self, text: str) -> str:
        """Return `"<name>":"<text>"`, a member of a JSON object keyed by instrument name."""
        return f'{self._name}:"{text}"'

    def context(self, ctx: str) -> str:
        """Return the data of an `activeAssetCtx` frame."""
        return f'{{"coin":{self._name},"ctx":{ctx}}}'

    def _level(self, level: Level) -> str:
        price, size, orders = level
        return (
            f'{{"px":"{wire_number(price, self._price_scale)}",'
            f'"sz":"{wire_number(size, self._size_scale)}","n":{orders}}}'
        )
