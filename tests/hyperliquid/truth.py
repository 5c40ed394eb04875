"""What a fake venue answers over HTTP: its trades, candles made of all of them, books, contexts, mids.

Nothing here goes the stream's way, so that a test can hold one against the other. `fails` makes every
question fail, `reach` bounds the trades it remembers, `lag_s` is how long an answer takes.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import trio

from adapters.hyperliquid.wire import WireBook, WireCandle, WireContext, WireTrade
from adapters.transport.decoding import decode_body
from adapters.transport.governor import Priority
from engine.errors import VenueUnreachable
from engine.values import INTERVALS

from .venue import START_MS, Row, Venue


class Truth:
    """Replaces `HyperliquidInfo`."""

    def __init__(self, venue: Venue, *, reach: int = 30, lag_s: float = 0.1) -> None:
        self.venue = venue
        self.reach = reach
        self.lag_s = lag_s
        self.fails = False
        self.books: dict[str, dict[str, Any]] = {}
        self.ctxs: dict[str, dict[str, Any]] = {}
        self.mids: dict[str, str] = {}
        self.hidden: set[int] = set()  # starts of candles, in ms, that the venue does not give
        self.page = 5000
        self.asked: Counter[str] = Counter()
        self.candle_requests: list[tuple[str, str, int, int]] = []

    async def recent_trades(self, coin: str, priority: Priority = Priority.MARKET) -> list[WireTrade]:
        await self._answer("recentTrades")
        rows = self.venue.trades.get(coin, [])[-self.reach :][::-1]
        return decode_body(json.dumps(rows).encode(), list[WireTrade])

    async def book(self, coin: str, priority: Priority = Priority.MARKET) -> WireBook:
        await self._answer("l2Book")
        row = self.books.get(coin) or book_row(coin, now_ms(), [], [])
        return decode_body(json.dumps({**row, "time": now_ms()}).encode(), WireBook)

    async def contexts(self, dex: str = "") -> list[WireContext]:
        await self._answer("metaAndAssetCtxs")
        rows = [{"coin": coin, "ctx": ctx} for coin, ctx in self.ctxs.items()]
        return decode_body(json.dumps(rows).encode(), list[WireContext])

    async def all_mids(self, dex: str = "") -> dict[str, str]:
        await self._answer("allMids")
        return self.mids

    async def candles(
        self,
        coin: str,
        interval: str,
        start_ms: int,
        end_ms: int,
        priority: Priority = Priority.MARKET,
        odd: object = None,
    ) -> list[WireCandle]:
        await self._answer("candleSnapshot")
        self.candle_requests.append((coin, interval, start_ms, end_ms))
        rows = [
            candle
            for candle in candle_rows(self.venue.trades.get(coin, []), coin, interval)
            if start_ms <= candle["t"] <= end_ms and candle["t"] not in self.hidden
        ]
        return decode_body(json.dumps(rows[: self.page]).encode(), list[WireCandle])

    async def _answer(self, kind: str) -> None:
        self.asked[kind] += 1
        await trio.sleep(self.lag_s)
        if self.fails:
            raise VenueUnreachable("the venue does not answer")


def now_ms() -> int:
    return START_MS + round(trio.current_time() * 1000)


def candle_rows(trades: list[Row], coin: str, interval: str) -> list[dict[str, Any]]:
    """Return the candles of some trades; windows without trades have none."""
    span = INTERVALS[interval] * 1000
    windows: dict[int, list[Row]] = {}
    for one in sorted(trades, key=lambda row: row["time"]):
        windows.setdefault(one["time"] // span * span, []).append(one)
    rows = []
    for start, own in sorted(windows.items()):
        prices = [float(one["px"]) for one in own]
        rows.append(
            {
                "t": start,
                "T": start + span - 1,
                "s": coin,
                "i": interval,
                "o": own[0]["px"],
                "c": own[-1]["px"],
                "h": str(max(prices)),
                "l": str(min(prices)),
                "v": str(sum(float(one["sz"]) for one in own)),
                "n": len(own),
            }
        )
    return rows


def book_row(
    coin: str, ms: int, bids: list[tuple[str, str]], asks: list[tuple[str, str]], **more: object
) -> dict[str, Any]:
    sides = [[{"px": px, "sz": sz, "n": 1} for px, sz in side] for side in (bids, asks)]
    return {"coin": coin, "time": ms, "levels": sides, **more}


def text(channel: str, data: object) -> str:
    return json.dumps({"channel": channel, "data": data})
