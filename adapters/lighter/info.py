"""Lighter over HTTP: markets, candles, settled rates, newest trades, best orders, and the venue's clock.

A refusal is an answer whose code is not 200: VenueProtocolError. Called at start-up, by the feed and by
backfills.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, TypeVar
from urllib.parse import urlencode

import httpx
import msgspec

from adapters.lighter.info_wire import (
    Answer,
    CandlesAnswer,
    FundingsAnswer,
    ListingAnswer,
    OrdersAnswer,
    StatusAnswer,
    TradesAnswer,
    WireFunding,
    WireMarket,
)
from adapters.lighter.limits import LIMITS, weight_of
from adapters.lighter.networks import MAINNET_URL, check_base_url
from adapters.lighter.wire import ROWS_MAX, WireCandle, WireTrade
from adapters.transport.decoding import decode_body
from adapters.transport.governor import Governor, Priority
from adapters.transport.rest import RestClient, readable_or_none, readable_rows, times_of
from adapters.transport.text import clip
from engine.errors import VenueProtocolError
from engine.venue import Unusable

__all__ = ["LighterInfo"]

_Body = TypeVar("_Body")
_Row = TypeVar("_Row")

TRADES_MAX = 100
"""The most newest trades of one answer."""

_ORDERS_MAX = 100


class _Timed(msgspec.Struct, frozen=True):
    """The time of a row of history: a candle's start in ms, or that of a rate."""

    t: Annotated[int, msgspec.Meta(ge=0, le=2**62)] | None = None
    timestamp: Annotated[int, msgspec.Meta(ge=0, le=2**62)] | None = None


class LighterInfo(RestClient):
    """Client of the REST interface. See `RestClient`; `governor`: by default one of its own."""

    def __init__(
        self,
        base_url: str = MAINNET_URL,
        *,
        governor: Governor | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(check_base_url(base_url), governor or Governor(LIMITS), transport=transport)

    async def clock_ms(self) -> int:
        """Return the venue's time, which it gives in whole seconds."""
        status = await self._read("", {}, StatusAnswer)
        return status.timestamp if status.timestamp > 100_000_000_000 else status.timestamp * 1000

    async def markets(self) -> list[WireMarket]:
        """Return all markets, perps first."""
        answer = await self._data("orderBookDetails", {"filter": "all"}, ListingAnswer)
        return [*(answer.order_book_details or []), *(answer.spot_order_book_details or [])]

    async def candles(
        self,
        market: int,
        resolution: str,
        start_ms: int,
        end_ms: int,
        count: int,
        priority: Priority = Priority.MARKET,
        odd: Callable[[Unusable], None] | None = None,
    ) -> list[WireCandle]:
        """Return the candles that open from `start_ms` to `end_ms`, in any order, the open one too.

        At most 500, of which `count` are expected. A row that is no candle is passed to `odd` if that is
        given, and else fails the answer.
        """
        span: dict[str, int | str] = {
            "market_id": market,
            "resolution": resolution,
            "start_timestamp": start_ms,
            "end_timestamp": end_ms,
            "count_back": count,
        }
        answer = await self._data("candles", span, CandlesAnswer, priority)
        return readable_rows(answer.c, WireCandle, ROWS_MAX, odd, _time_of)

    async def fundings(
        self,
        market: int,
        start_ms: int,
        end_ms: int,
        count: int,
        priority: Priority = Priority.HISTORY,
        odd: Callable[[Unusable], None] | None = None,
    ) -> list[WireFunding]:
        """Return the rates settled from `start_ms` to `end_ms`, in any order."""
        span: dict[str, int | str] = {
            "market_id": market,
            "resolution": "1h",
            "start_timestamp": start_ms,
            "end_timestamp": end_ms,
            "count_back": count,
        }
        answer = await self._data("fundings", span, FundingsAnswer, priority)
        return readable_rows(answer.fundings, WireFunding, ROWS_MAX, odd, _time_of)

    async def recent_trades(
        self, market: int, priority: Priority = Priority.MARKET
    ) -> list[WireTrade | None]:
        """Return the newest trades of a market, in any order; None in place of one that cannot be read."""
        answer = await self._data(
            "recentTrades", {"market_id": market, "limit": TRADES_MAX}, TradesAnswer, priority
        )
        return readable_or_none(answer.trades or [], lambda row: decode_body(row, WireTrade))

    async def best_orders(self, market: int, priority: Priority = Priority.MARKET) -> OrdersAnswer:
        """Return the best orders of a book."""
        asked = {"market_id": market, "limit": _ORDERS_MAX}
        return await self._data("orderBookOrders", asked, OrdersAnswer, priority)

    async def _data(
        self,
        path: str,
        query: Mapping[str, int | str],
        shape: type[_Body],
        priority: Priority = Priority.MARKET,
    ) -> _Body:
        answer = await self._read(path, query, shape, priority)
        if isinstance(answer, Answer) and answer.code != 200:
            raise VenueProtocolError(
                f"{self.base_url}: {path}: refused with code {answer.code}: {clip(answer.message or '')}"
            )
        return answer

    async def _read(
        self,
        path: str,
        query: Mapping[str, int | str],
        shape: type[_Body],
        priority: Priority = Priority.MARKET,
    ) -> _Body:
        url = f"{self.base_url}/api/v1/{path}?{urlencode(query)}" if path else f"{self.base_url}/"
        return await self._get(
            *(url, path or "status", weight_of(path), priority), lambda body: decode_body(body, shape)
        )


def _time_of(row: msgspec.Raw) -> int | None:
    """Return the time of a row that cannot be read, if it has one."""
    found = times_of(row, _Timed)
    if found is None:
        return None
    at = found.t if found.t is not None else found.timestamp
    if at is None:
        return None
    return at * (1_000_000 if at > 100_000_000_000 else 1_000_000_000)
