"""The public REST answers of a sandbox: clock, products, candles, trades, the best levels.

Promises: candles and trades are newest first; a window without trades has no candle; more than 350 candles
are refused. Called by `protocol.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs, unquote

import msgspec

from adapters.coinbase.channels import GRANULARITIES
from adapters.coinbase.sandbox.markets import ProductMarket
from adapters.exchange.protocol import Answer
from adapters.exchange.spot import time_text
from engine.clock import SECOND_NS
from engine.values import format_scaled, parse_interval

__all__ = ["answer"]

_INTERVALS: Final = {granularity: name for name, granularity in GRANULARITIES.items()}
_CANDLES_MAX: Final = 350
_TRADES_MAX: Final = 1000


def answer(products: Mapping[str, ProductMarket], call: str, query: str, now_ms: int) -> Answer:
    """Answer a public call, such as "market/products"; `products` by name."""
    given = {name: values[-1] for name, values in parse_qs(query).items()}
    if call == "time":
        return _answer({"iso": time_text(now_ms * 1_000_000), "epochMillis": str(now_ms)})
    if call == "market/products":
        return _answer({"products": [_listed(one) for one in products.values()]})
    if call == "market/product_book":
        name, what = given.get("product_id", ""), "book"
    else:
        name, _, what = call.removeprefix("market/products/").partition("/")
    product = products.get(unquote(name))
    if product is None:
        return _refusal(404, "product not found")
    try:
        if what == "candles":
            return _candles(product, given)
        if what == "ticker":
            return _trades(product, min(max(int(given.get("limit", "100")), 1), _TRADES_MAX))
    except (ValueError, KeyError):
        return _refusal(400, "invalid arguments")
    if what == "book":
        return _book(product, now_ms)
    return _answer(_listed(product)) if not what else _refusal(404, "not found")


def _listed(product: ProductMarket) -> dict[str, Any]:
    listed = product.market.listed
    base, _, quote = product.name.partition("-")
    price = format_scaled(listed.price_step, listed.price_scale)
    return {
        "product_id": product.name,
        "base_increment": format_scaled(listed.size_step, listed.size_scale),
        "quote_increment": price,
        "price_increment": price,
        "quote_min_size": "1",
        "base_currency_id": base,
        "quote_currency_id": quote,
        "product_type": "SPOT",
        "status": "online",
        "is_disabled": False,
        "trading_disabled": False,
        "alias": "",
        "alias_to": [],
    }


def _candles(product: ProductMarket, given: Mapping[str, str]) -> Answer:
    interval = _INTERVALS[given["granularity"]]
    start, end = int(given["start"]), int(given["end"])
    if (end - start) // (parse_interval(interval) // SECOND_NS) >= _CANDLES_MAX:
        return _refusal(400, f"number of candles requested should be less than {_CANDLES_MAX}")
    rows = [
        product.candle(one)
        for one in product.market.candles.snapshot(interval)
        if start <= one.start_ms // 1000 <= end
    ]
    return _answer({"candles": rows[::-1]})


def _trades(product: ProductMarket, limit: int) -> Answer:
    quote = product.market.quote
    rows = [product.trade(one) for one in list(product.trades)[-limit:]]
    bid, ask = ("", "") if quote is None else (product.price(quote.bid), product.price(quote.ask))
    return _answer({"trades": rows[::-1], "best_bid": bid, "best_ask": ask})


def _book(product: ProductMarket, now_ms: int) -> Answer:
    sides = product.market.levels(1)
    bids, asks = (
        [{"price": product.price(p), "size": product.size(s)} for p, s, _ in side] for side in sides
    )
    time = time_text(now_ms * 1_000_000)
    return _answer({"pricebook": {"product_id": product.name, "bids": bids, "asks": asks, "time": time}})


def _answer(found: object) -> Answer:
    return Answer(body=msgspec.json.encode(found).decode())


def _refusal(status: int, words: str) -> Answer:
    return Answer(status, msgspec.json.encode({"error": "INVALID_ARGUMENT", "message": words}).decode())
