"""The frames and answers of Lighter's protocol as text. Pure; called by `protocol.py`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from adapters.exchange.candles import OpenCandle
from adapters.exchange.grid import Level
from adapters.exchange.instruments import InstrumentMarket
from adapters.exchange.numbers import decimal, padded
from adapters.lighter.wire import Channel
from engine.events import FundingRead, InstrumentListed, Trade
from engine.values import BUY, Amount, format_scaled

__all__ = [
    "Row",
    "book",
    "candle",
    "candles_answer",
    "error",
    "fundings",
    "kind_of",
    "listing",
    "orders",
    "recent",
    "refusal",
    "stats",
    "status",
    "ticker",
    "trades",
    "unsubscribed",
]

_KIND: Final = re.compile(r'"type":"(?:subscribed|update)/([a-z_]+)"')


class Row:
    """A trade with the number that the venue gives it."""

    __slots__ = ("listed", "market", "number", "trade", "type")

    def __init__(self, market: int, listed: InstrumentListed, trade: Trade, number: int) -> None:
        self.market = market
        self.listed = listed
        self.trade = trade
        self.number = number
        self.type = "trade"

    def plain(self) -> dict[str, Any]:
        """Return it as the venue writes it: the size comes before the price."""
        trade, listed = self.trade, self.listed
        return {
            "trade_id": self.number,
            "trade_id_str": str(self.number),
            "type": self.type,
            "market_id": self.market,
            "size": padded(trade.size, listed.size_scale, listed.size_scale),
            "price": padded(trade.price, listed.price_scale, listed.price_scale),
            "is_maker_ask": trade.aggressor == BUY,
            "timestamp": trade.venue_ns // 1_000_000,
            "transaction_time": trade.venue_ns // 1_000,
        }


def kind_of(text: str) -> str:
    """Return the kind of a frame of data, "" for any other."""
    found = _KIND.search(text)
    return found[1] if found else ""


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def error(code: int, message: str) -> str:
    """Return the frame about a message that cannot be served."""
    return _text({"error": {"code": code, "message": message}})


def refusal(code: int, message: str) -> str:
    """Return the body of a request that cannot be served."""
    return _text({"code": code, "message": message})


def unsubscribed(channel: Channel) -> str:
    """Return the confirmation that a subscription has ended."""
    return _text({"type": "unsubscribed", "channel": channel.text(":")})


def trades(verb: str, channel: Channel, rows: Sequence[Row], now_ms: int) -> str:
    """Return a frame of trades; the forced ones are in a list of their own."""
    plain = [row.plain() for row in rows if row.type == "trade"]
    forced = [row.plain() for row in rows if row.type != "trade"]
    return _text(
        {
            "channel": channel.text(":"),
            "liquidation_trades": forced,
            "trades": plain,
            "timestamp": now_ms,
            "type": f"{verb}/trade",
        }
    )


def book(
    verb: str,
    channel: Channel,
    listed: InstrumentListed,
    sides: tuple[Sequence[tuple[int, int]], Sequence[tuple[int, int]]],
    nonces: tuple[int, int],
    now_ms: int,
) -> str:
    """Return a whole book, or what changed of one: bids and asks, and the numbers before and after it."""
    bids, asks = (
        [
            {
                "price": padded(price, listed.price_scale, listed.price_scale),
                "size": padded(size, listed.size_scale, listed.size_scale),
            }
            for price, size in side
        ]
        for side in sides
    )
    content = {
        "code": 0,
        "asks": asks,
        "bids": bids,
        "offset": nonces[1],
        "nonce": nonces[1],
        "begin_nonce": nonces[0],
        "last_updated_at": now_ms * 1000,
    }
    return _text(
        {
            "channel": channel.text(":"),
            "offset": nonces[1],
            "order_book": content,
            "timestamp": now_ms,
            "type": f"{verb}/order_book",
        }
    )


def ticker(verb: str, channel: Channel, market: InstrumentMarket, now_ms: int) -> str:
    """Return the best bid and ask; an empty side is null."""
    listed, quote = market.listed, market.quote
    sides: dict[str, Any] = {"a": None, "b": None}
    at_us = now_ms * 1000
    if quote is not None:
        at_us = quote.venue_ns // 1000
        for side, price, size in (("a", quote.ask, quote.ask_size), ("b", quote.bid, quote.bid_size)):
            if price:
                sides[side] = {
                    "price": padded(price, listed.price_scale, listed.price_scale),
                    "size": padded(size, listed.size_scale, listed.size_scale),
                }
    return _text(
        {
            "channel": channel.text(":"),
            "last_updated_at": at_us,
            "ticker": {"s": market.name, **sides, "last_updated_at": at_us},
            "timestamp": now_ms,
            "type": f"{verb}/ticker",
        }
    )


def stats(verb: str, channel: Channel, market: InstrumentMarket, now_ms: int) -> str:
    """Return the statistics of a market: those of the tape, else its mark."""
    context, listed = market.context, market.listed
    values: dict[str, Any] = {"symbol": market.name, "market_id": channel.market}
    if context is not None:
        for name, value, scale in (
            ("index_price", context.oracle, context.scale),
            ("mark_price", context.mark, context.scale),
            ("mid_price", context.mid, context.scale),
            ("open_interest", context.open_interest, context.scale),
            ("current_funding_rate", context.funding, context.scale - 2),  # percent
        ):
            if value is not None:
                values[name] = _decimal(value, scale)
    else:
        mark = decimal(market.mark, listed.price_scale)
        values |= {"index_price": mark, "mark_price": mark}
    return _text(
        {
            "channel": channel.text(":"),
            channel.kind: values,
            "timestamp": now_ms,
            "type": f"{verb}/{channel.kind}",
        }
    )


def candle(verb: str, channel: Channel, market: InstrumentMarket, now_ms: int) -> str:
    """Return the open candle."""
    current = market.candles.current(channel.resolution)
    rows = [] if current is None else [_candle(current, market.listed)]
    return _text(
        {"candles": rows, "channel": channel.text(":"), "timestamp": now_ms, "type": f"{verb}/candle"}
    )


def candles_answer(listed: InstrumentListed, resolution: str, found: Sequence[OpenCandle]) -> str:
    """Return candles of the past."""
    return _text({"code": 200, "r": resolution, "c": [_candle(one, listed) for one in found]})


def _candle(one: OpenCandle, listed: InstrumentListed) -> dict[str, Any]:
    prices = {
        name: msgspec.Raw(decimal(value, listed.price_scale).encode())
        for name, value in (("o", one.open), ("h", one.high), ("l", one.low), ("c", one.close))
    }
    volume = msgspec.Raw(decimal(one.volume, listed.size_scale).encode())
    return {"t": one.start_ms, **prices, "v": volume, "i": 0}


def recent(rows: Sequence[Row]) -> str:
    """Return the newest trades, newest first."""
    return _text({"code": 200, "trades": [row.plain() for row in reversed(rows)]})


def orders(listed: InstrumentListed, bids: Sequence[Level], asks: Sequence[Level]) -> str:
    """Return the best orders: one for each level."""
    sides = {
        name: [
            {
                "price": padded(price, listed.price_scale, listed.price_scale),
                "remaining_base_amount": padded(size, listed.size_scale, listed.size_scale),
            }
            for price, size, _ in side
        ]
        for name, side in (("asks", asks), ("bids", bids))
    }
    return _text({"code": 200, **sides})


def fundings(rates: Sequence[FundingRead]) -> str:
    """Return settled rates: percent without a sign, and who pays."""
    rows = [
        {
            "timestamp": rate.venue_ns // 1_000_000_000,
            "value": "0",
            "rate": _decimal(abs(int(rate.rate)), rate.scale - 2),
            "direction": "long" if int(rate.rate) >= 0 else "short",
        }
        for rate in rates
    ]
    return _text({"code": 200, "resolution": "1h", "fundings": rows})


def status(now_ms: int) -> str:
    """Return the venue's clock, in ms so that an engine can follow a fast one."""
    return _text({"status": 200, "network_id": 1, "timestamp": now_ms})


def listing(numbers: Mapping[int, InstrumentMarket]) -> str:
    """Return all markets."""
    rows: dict[str, list[dict[str, Any]]] = {"perp": [], "spot": []}
    for number, market in numbers.items():
        listed = market.listed
        kind = "spot" if listed.kind == "spot" else "perp"
        rows[kind].append(
            {
                "symbol": market.name,
                "market_id": number,
                "market_type": kind,
                "status": "active",
                "taker_fee": "0.0000",
                "maker_fee": "0.0000",
                "min_base_amount": padded(1, listed.size_scale, listed.size_scale),
                "min_quote_amount": "10.000000",
                "supported_size_decimals": listed.size_scale,
                "supported_price_decimals": listed.price_scale,
                "default_initial_margin_fraction": 500,
                "min_initial_margin_fraction": 200,
            }
        )
    return _text({"code": 200, "order_book_details": rows["perp"], "spot_order_book_details": rows["spot"]})


def _decimal(value: Amount, scale: int) -> str:
    number = int(value)
    return format_scaled(number, scale)
