"""The frames and answers of ApeX Omni's protocol as text. Pure; called by `protocol.py`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from adapters.apex.channels import symbol_of
from adapters.apex.wire import Topic
from adapters.exchange.candles import OpenCandle, candle_end
from adapters.exchange.instruments import InstrumentMarket
from adapters.exchange.numbers import decimal
from engine.events import FundingRead, InstrumentListed, Trade
from engine.values import BUY, format_scaled

__all__ = [
    "ack",
    "book",
    "candle",
    "data",
    "frame",
    "fundings",
    "kind_of",
    "klines",
    "refusal",
    "symbols",
    "ticker",
    "trade",
]

_KIND: Final = re.compile(r'"topic":"([A-Za-z0-9]+)\.')


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def kind_of(text: str) -> str:
    """Return the kind of a frame of data, "" for any other."""
    found = _KIND.search(text)
    return found[1] if found else ""


def frame(topic: Topic, verb: str, content: Any, now_ms: int) -> str:
    """Return a frame of data; its time is in microseconds."""
    return _text({"topic": topic.text, "type": verb, "data": content, "cs": 1, "ts": now_ms * 1000})


def ack(*, success: bool, words: str, op: str, args: Sequence[str]) -> str:
    """Return the answer to a message, which it repeats."""
    return _text(
        {
            "success": success,
            "ret_msg": words,
            "conn_id": "sandbox",
            "request": {"op": op, "args": list(args)},
        }
    )


def data(content: Any) -> str:
    """Return the body of an answer."""
    return _text({"data": content, "timeCost": "1"})


def refusal(code: int, words: str) -> str:
    """Return the body of an answer that is none."""
    return _text({"code": code, "msg": words})


def trade(one: Trade, listed: InstrumentListed) -> dict[str, Any]:
    """Return a trade."""
    return {
        "T": one.venue_ns // 1_000_000,
        "s": symbol_of(listed.name),
        "S": "Buy" if one.aggressor == BUY else "Sell",
        "v": decimal(one.size, listed.size_scale),
        "p": decimal(one.price, listed.price_scale),
        "L": "PlusTick",
        "i": str(one.trade_id),
    }


def book(
    market: InstrumentMarket,
    bids: Sequence[tuple[int, int]],
    asks: Sequence[tuple[int, int]],
    number: int,
) -> dict[str, Any]:
    """Return a whole book, or what changed of one."""
    listed = market.listed
    sides = [
        [[decimal(price, listed.price_scale), decimal(size, listed.size_scale)] for price, size in side]
        for side in (bids, asks)
    ]
    return {"s": symbol_of(market.name), "b": sides[0], "a": sides[1], "u": number}


def ticker(market: InstrumentMarket, *, whole: bool) -> dict[str, Any]:
    """Return the statistics of a market: those of the tape, else its mark. A change leaves some out."""
    context, listed = market.context, market.listed
    values: dict[str, Any] = {"symbol": symbol_of(market.name)}
    if context is not None:
        for name, value in (
            ("oraclePrice", context.mark),
            ("indexPrice", context.oracle),
            ("openInterest", context.open_interest),
            ("predictedFundingRate", context.funding),
        ):
            if value is not None:
                values[name] = format_scaled(value, context.scale)
    else:
        values["oraclePrice"] = decimal(market.mark, listed.price_scale)
        if whole:
            values["indexPrice"] = values["oraclePrice"]
    return values


def candle(one: OpenCandle, interval: str, market: InstrumentMarket, now_ms: int) -> dict[str, Any]:
    """Return a pushed candle."""
    listed = market.listed
    length = "1d" if interval == "D" else f"{interval}m" if int(interval) < 60 else f"{int(interval) // 60}h"
    return {
        "start": one.start_ms,
        "end": candle_end(length, one.start_ms) - 1,
        "interval": interval,
        "open": decimal(one.open, listed.price_scale),
        "high": decimal(one.high, listed.price_scale),
        "low": decimal(one.low, listed.price_scale),
        "close": decimal(one.close, listed.price_scale),
        "volume": decimal(one.volume, listed.size_scale),
        "confirm": False,
        "timestamp": now_ms,
    }


def klines(market: InstrumentMarket, interval: str, found: Sequence[OpenCandle]) -> str:
    """Return candles of the past, by symbol."""
    listed, symbol = market.listed, symbol_of(market.name)
    rows = [
        {
            "s": symbol,
            "i": interval,
            "t": str(one.start_ms),
            "o": decimal(one.open, listed.price_scale),
            "h": decimal(one.high, listed.price_scale),
            "l": decimal(one.low, listed.price_scale),
            "c": decimal(one.close, listed.price_scale),
            "v": decimal(one.volume, listed.size_scale),
            "tr": "0",
        }
        for one in found
    ]
    return data({symbol: rows})


def fundings(name: str, rates: Sequence[FundingRead], total: int) -> str:
    """Return settled rates, newest first."""
    rows = [
        {
            "symbol": name,
            "rate": format_scaled(one.rate, one.scale),
            "price": "0",
            "fundingTime": one.venue_ns // 1_000_000,
        }
        for one in rates
    ]
    return data({"historyFunds": rows, "totalSize": total})


def symbols(markets: Sequence[InstrumentMarket]) -> str:
    """Return all configuration."""
    rows = [
        {
            "crossSymbolName": symbol_of(market.name),
            "symbol": market.name,
            "tickSize": decimal(market.listed.price_step, market.listed.price_scale),
            "stepSize": decimal(market.listed.size_step, market.listed.size_scale),
            "minOrderSize": decimal(market.listed.size_step, market.listed.size_scale),
            "maxOrderSize": "1000000",
            "settleAssetId": "USDT",
            "baseTokenId": market.name.partition("-")[0],
            "enableTrade": True,
            "displayMaxLeverage": "100",
        }
        for market in markets
    ]
    return data({"contractConfig": {"perpetualContract": rows}})
