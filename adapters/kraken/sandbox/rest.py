"""The public REST answers of a sandbox: clock, pairs, candles, trades, books.

Promises: an answer is HTTP 200, with an error inside for what cannot be answered, as at the venue; an
interval without trades is a flat candle, and the last one is the running one; trades are pages of at most
1,000, oldest first. Called by `protocol.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

from adapters.exchange.candles import OpenCandle
from adapters.exchange.protocol import Answer
from adapters.exchange.spot import Numbered
from adapters.kraken.channels import VENUE_INTERVALS, minutes_of
from adapters.kraken.rules import RULES
from adapters.kraken.sandbox.pairs import Pair, old_name
from engine.clock import SECOND_NS
from engine.values import BUY, format_scaled, parse_interval

__all__ = ["answer"]

_INTERVALS: Final = {minutes_of(parse_interval(name)): name for name in VENUE_INTERVALS}
_PAGE: Final = 1000
_LEVELS_MAX: Final = 500


def answer(pairs: Mapping[str, Pair], call: str, query: str, now_ms: int) -> Answer:
    """Answer a public call; `pairs` by symbol."""
    given = {name: values[-1] for name, values in parse_qs(query).items()}
    if call == "Time":
        return _result({"unixtime": now_ms // 1000, "nanoseconds": now_ms * 1_000_000})
    if call == "AssetPairs":
        return _result({old_name(one.name).replace("/", ""): _listed(one) for one in pairs.values()})
    if call not in ("OHLC", "Trades", "Depth"):
        return _error("EGeneral:Unknown method")
    pair = _pair_of(pairs, given.get("pair", ""))
    if pair is None:
        return _error("EQuery:Unknown asset pair")
    try:
        since, count = int(given.get("since", "-1")), int(given.get("count", _PAGE))
        if call == "OHLC":
            return _candles(pair, int(given.get("interval", "1")), since, now_ms)
    except ValueError:
        return _error("EGeneral:Invalid arguments")
    key = old_name(pair.name).replace("/", "")
    if call == "Trades":
        return _trades(pair, key, since, min(max(count, 1), _PAGE))
    sides = pair.market.levels(min(max(count, 1), _LEVELS_MAX))
    bids, asks = ([[pair.price(p), pair.size(s), now_ms // 1000] for p, s, _ in side] for side in sides)
    return _result({key: {"asks": asks, "bids": bids}})


def _pair_of(pairs: Mapping[str, Pair], name: str) -> Pair | None:
    for pair in pairs.values():
        old = old_name(pair.name)
        if name in (pair.name, old, old.replace("/", "")):
            return pair
    return None


def _listed(pair: Pair) -> dict[str, Any]:
    listed = pair.market.listed
    old = old_name(pair.name)
    base, _, quote = old.partition("/")
    return {
        "altname": old.replace("/", ""),
        "wsname": old,
        "base": base,
        "quote": quote,
        "pair_decimals": pair.price_scale,
        "lot_decimals": pair.size_scale,
        "cost_decimals": 5,
        "ordermin": format_scaled(listed.size_step, pair.size_scale),
        "costmin": "0.5",
        "tick_size": format_scaled(listed.price_step, pair.price_scale),
        "status": "online",
        "fees": [[0, 0.4]],
        "fees_maker": [[0, 0.25]],
    }


def _candles(pair: Pair, minutes: int, since: int, now_ms: int) -> Answer:
    name = _INTERVALS.get(minutes)
    if name is None:
        return _error("EGeneral:Invalid arguments:interval")
    span_ms = minutes * 60_000
    found = pair.market.candles.history(name, now_ms)
    running_ms = now_ms // span_ms * span_ms
    if found and found[-1].start_ms < running_ms:
        close = found[-1].close
        found.append(OpenCandle(running_ms, close, close, close, close, 0, 0, 0))
    found = found[-RULES.candles_kept - 1 :]
    rows = [
        [
            one.start_ms // 1000,
            *(pair.price(price) for price in (one.open, one.high, one.low, one.close)),
            pair.price(one.notional // one.volume) if one.volume else "0.0",
            pair.size(one.volume),
            one.trades,
        ]
        for one in found
        if one.start_ms // 1000 > since
    ]
    last = found[-2].start_ms // 1000 if len(found) > 1 else 0
    return _result({old_name(pair.name).replace("/", ""): rows, "last": last})


def _trades(pair: Pair, key: str, since_ns: int, count: int) -> Answer:
    found = list(pair.trades)
    if since_ns >= 0:
        found = [one for one in found if one.trade.venue_ns > since_ns][:count]
    else:
        found = found[-count:]
    last = found[-1].trade.venue_ns if found else max(since_ns, 0)
    return _result({key: [_trade_row(pair, one) for one in found], "last": str(last)})


def _trade_row(pair: Pair, one: Numbered) -> list[Any]:
    trade = one.trade
    seconds, rest = divmod(trade.venue_ns, SECOND_NS)
    side = "b" if trade.aggressor == BUY else "s"
    time = msgspec.Raw(f"{seconds}.{rest // 100:07d}".encode())
    return [pair.price(trade.price), pair.size(trade.size), time, side, "m", "", one.number]


def _result(result: object) -> Answer:
    return Answer(body=msgspec.json.encode({"error": [], "result": result}).decode())


def _error(text: str) -> Answer:
    return Answer(body=msgspec.json.encode({"error": [text]}).decode())
