"""The sandbox's answers to public requests of Binance's REST.

Owns the paths of market data. Promises: any query gets an answer, an error of the venue's form among them;
nothing is changed. Called by `protocol.py`, which has the paths of accounts and orders too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from adapters.binance.markets import Market
from adapters.binance.sandbox.state import SymbolState
from adapters.exchange.protocol import Answer
from engine.values import format_scaled

__all__ = ["Answers", "error", "ok", "parameters"]

_LIMIT: Final = 500
_WHOLE_LIMITS: Final = {"depth": (5, 10, 20, 50, 100, 500, 1000)}


def ok(body: Any) -> Answer:
    """Return a body as an answer."""
    return Answer(body=msgspec.json.encode(body).decode())


def error(code: int, text: str, status: int = 400) -> Answer:
    """Return an error of the venue's form."""
    return Answer(status, msgspec.json.encode({"code": code, "msg": text}).decode())


def parameters(query: str) -> dict[str, str]:
    """Return the parameters of a query."""
    return dict(parse_qsl(query, keep_blank_values=True))


class Answers:
    """The public requests of one market."""

    def __init__(self, market: Market, symbols: Mapping[str, SymbolState]) -> None:
        self._market = market
        self._symbols = symbols
        self._paths: dict[str, Callable[[dict[str, str], int], Answer]] = {
            "time": self._time,
            "exchangeInfo": self._exchange_info,
        }
        for path, answer in (
            ("depth", self._depth),
            ("aggTrades", self._aggregates),
            ("trades", self._trades),
            ("historicalTrades", self._trades),
            ("ticker/bookTicker", self._ticker),
            ("ticker/price", self._price),
            ("klines", self._klines),
        ):
            self._paths[path] = self._of_symbol(answer)
        if market.kind == "perp":
            self._paths["fundingInfo"] = self._usual_hours
            for path, answer in (
                ("premiumIndex", self._premium),
                ("fundingRate", self._rates),
                ("openInterest", self._interest),
                ("openInterestHist", self._past_interest),
            ):
                self._paths[path] = self._of_symbol(answer)

    def answer(self, path: str, query: str, now_ms: int) -> Answer | None:
        """Return the answer to a path behind the market's root; None for one that is not public."""
        found = self._paths.get(path)
        if found is None:
            return None
        try:
            return found(parameters(query), now_ms)
        except ValueError:
            return error(-1100, "Illegal characters found in a parameter.")

    def _of_symbol(
        self, answer: Callable[[SymbolState, dict[str, str], int], Answer]
    ) -> Callable[[dict[str, str], int], Answer]:
        def of(query: dict[str, str], now_ms: int) -> Answer:
            state = self._symbols.get(query.get("symbol", ""))
            return error(-1121, "Invalid symbol.") if state is None else answer(state, query, now_ms)

        return of

    def _time(self, query: dict[str, str], now_ms: int) -> Answer:
        return ok({"serverTime": now_ms})

    def _usual_hours(self, query: dict[str, str], now_ms: int) -> Answer:
        """Return that no symbol differs from the usual hours between payments."""
        return ok([])

    def _exchange_info(self, query: dict[str, str], now_ms: int) -> Answer:
        names = list(self._symbols)
        if "symbols" in query:
            names = msgspec.json.decode(query["symbols"], type=list[str])
            if any(name not in self._symbols for name in names):
                return error(-1121, "Invalid symbol.")
        return ok(
            {"timezone": "UTC", "serverTime": now_ms, "symbols": [self._listing(name) for name in names]}
        )

    def _listing(self, name: str) -> dict[str, Any]:
        listed = self._symbols[name].market.listed
        tick = format_scaled(listed.price_step, listed.price_scale)
        step = format_scaled(listed.size_step, listed.size_scale)
        largest = format_scaled(listed.size_step * 10**9, listed.size_scale)
        filters = [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "100000000", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": step, "maxQty": largest, "stepSize": step},
            {"filterType": "MARKET_LOT_SIZE", "minQty": step, "maxQty": largest, "stepSize": step},
            {"filterType": "NOTIONAL", "minNotional": listed.rules.value_min},
        ]
        row: dict[str, Any] = {
            "symbol": name,
            "status": "TRADING",
            "baseAsset": listed.rules.base,
            "quoteAsset": listed.rules.quote,
            "filters": filters,
        }
        if self._market.kind == "perp":
            filters[-1] = {"filterType": "MIN_NOTIONAL", "notional": listed.rules.value_min}
            row |= {
                "contractType": "PERPETUAL",
                "pricePrecision": listed.price_scale,
                "quantityPrecision": listed.size_scale,
            }
        else:
            row["baseAssetPrecision"] = listed.size_scale
        return row

    def _depth(self, state: SymbolState, query: dict[str, str], now_ms: int) -> Answer:
        limit = int(query.get("limit", "100"))
        bids, asks = state.bids[:limit], state.asks[:limit]
        book: dict[str, Any] = {
            "lastUpdateId": state.book_update,
            "bids": state.levels([level[:2] for level in bids]),
            "asks": state.levels([level[:2] for level in asks]),
        }
        if self._market.kind == "perp":
            book |= {"E": now_ms, "T": now_ms}
        return ok(book)

    def _aggregates(self, state: SymbolState, query: dict[str, str], now_ms: int) -> Answer:
        rows = [
            {
                "a": one.number,
                "p": one.price,
                "q": one.size,
                "f": one.number,
                "l": one.number,
                "T": one.time_ms,
                "m": one.buyer_is_maker,
            }
            for one in _chosen(state, query)
        ]
        return ok(rows)

    def _trades(self, state: SymbolState, query: dict[str, str], now_ms: int) -> Answer:
        rows = [
            {
                "id": one.number,
                "price": one.price,
                "qty": one.size,
                "time": one.time_ms,
                "isBuyerMaker": one.buyer_is_maker,
            }
            for one in _chosen(state, query)
        ]
        return ok(rows)

    def _ticker(self, state: SymbolState, query: dict[str, str], now_ms: int) -> Answer:
        quote = state.market.quote
        bid, bid_size, ask, ask_size = (
            (0, 0, 0, 0) if quote is None else (quote.bid, quote.bid_size, quote.ask, quote.ask_size)
        )
        row: dict[str, Any] = {
            "symbol": state.name,
            "bidPrice": state.price(bid),
            "bidQty": state.size(bid_size),
            "askPrice": state.price(ask),
            "askQty": state.size(ask_size),
        }
        return ok(row | ({"time": now_ms} if self._market.kind == "perp" else {}))

    def _price(self, state: SymbolState, query: dict[str, str], now_ms: int) -> Answer:
        recent = state.market.recent
        price = recent[-1].price if recent else state.market.mark
        return ok({"symbol": state.name, "price": state.price(price)})

    def _klines(self, state: SymbolState, query: dict[str, str], now_ms: int) -> Answer:
        interval = query.get("interval", "")
        if interval not in self._market.intervals:
            return error(-1120, "Invalid interval.")
        limit = min(int(query.get("limit", _LIMIT)), self._market.klines_max)
        start_ms, end_ms = int(query.get("startTime", 0)), int(query.get("endTime", now_ms))
        return ok(state.rows(interval, start_ms, end_ms, limit, now_ms))

    def _premium(self, state: SymbolState, query: dict[str, str], now_ms: int) -> Answer:
        mark = state.price(state.market.mark)
        return ok(
            {
                "symbol": state.name,
                "markPrice": mark,
                "indexPrice": mark,
                "lastFundingRate": "0.00010000",
                "nextFundingTime": (now_ms // 28_800_000 + 1) * 28_800_000,
                "time": now_ms,
            }
        )

    def _rates(self, state: SymbolState, query: dict[str, str], now_ms: int) -> Answer:
        """Return a settled rate for every eight hours since the tape began."""
        times = _times(state, query, now_ms, 28_800_000)
        rows = [{"symbol": state.name, "fundingTime": at_ms, "fundingRate": "0.00010000"} for at_ms in times]
        return ok(rows[:1000])

    def _past_interest(self, state: SymbolState, query: dict[str, str], now_ms: int) -> Answer:
        """Return a reading for every five minutes since the tape began; each has another value."""
        rows = [
            {
                "symbol": state.name,
                "sumOpenInterest": f"{1000 + at_ms // 300_000 % 100}.00000000",
                "sumOpenInterestValue": "0.00000000",
                "timestamp": at_ms,
            }
            for at_ms in _times(state, query, now_ms, 300_000)
        ]
        return ok(rows[-int(query.get("limit", 30)) :])

    def _interest(self, state: SymbolState, query: dict[str, str], now_ms: int) -> Answer:
        context = state.market.context
        text = "1000.000"
        if context is not None and context.open_interest is not None:
            text = format_scaled(int(context.open_interest), context.scale)
        return ok({"symbol": state.name, "openInterest": text, "time": now_ms})


def _times(state: SymbolState, query: dict[str, str], now_ms: int, step_ms: int) -> range:
    """Return the multiples of `step_ms` in the span of a query, since the tape began."""
    first_ms = state.prints[0].time_ms if state.prints else now_ms
    start_ms = max(int(query.get("startTime", 0)), first_ms)
    end_ms = min(int(query.get("endTime", now_ms)), now_ms)
    return range(-(-start_ms // step_ms) * step_ms, end_ms + 1, step_ms)


def _chosen(state: SymbolState, query: dict[str, str]) -> list[Any]:
    """Return trades from an id on, else the newest."""
    limit = min(int(query.get("limit", _LIMIT)), 1000)
    prints = state.prints
    if "fromId" not in query:
        return list(prints)[-limit:]
    from_id = int(query["fromId"])
    begin = max(0, from_id - prints[0].number) if prints else 0
    return [prints[place] for place in range(begin, min(begin + limit, len(prints)))]
