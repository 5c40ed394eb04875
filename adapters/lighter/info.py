"""Lighter over HTTP: markets, candles, settled rates, newest trades, best orders, and the venue's clock.

Owns reading over HTTP. Promises: every answer is bounded in time and size, and every failure is
VenueUnreachable (no answer) or VenueProtocolError (an answer that cannot be used, or one whose code is not
200) with the address in it (`adapters/transport/http.py`). Every try waits for its weight in the budget of
the `Governor`. Called at start-up, by the feed and by backfills.
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
from adapters.lighter.wire import ROWS_MAX, WireCandle, WireTrade, decode_body
from adapters.transport.governor import Governor, Priority
from adapters.transport.http import HttpClient, HttpReader, Request
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


class LighterInfo:
    """Client of the REST interface at one address. Use as an async context manager, or call `aclose`.

    `timeout_s` bounds each try as a whole. `governor` counts usage of this address's limits; default: one of
    its own. `transport` replaces the network in tests.

    Every request raises VenueUnreachable (BudgetSpent if it was not sent) or VenueProtocolError.
    """

    def __init__(
        self,
        base_url: str = MAINNET_URL,
        *,
        timeout_s: float = 5.0,
        governor: Governor | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.base_url = check_base_url(base_url)
        self._client = HttpClient(timeout_s=timeout_s, transport=transport)
        self._reader = HttpReader(
            self._client,
            governor or Governor(LIMITS),
            timeout_s=timeout_s,
            refusal=lambda _request, _answer: "",
        )

    async def __aenter__(self) -> LighterInfo:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; a later request opens new ones."""
        await self._client.aclose()

    @property
    def speed(self) -> float | None:
        """The speed of a sandbox's clock, None elsewhere."""
        return self._client.sandbox_speed

    async def clock_ms(self) -> int:
        """Return the venue's time, which it gives in whole seconds."""
        status = await self._read("", {}, StatusAnswer)
        return status.timestamp if status.timestamp > 100_000_000_000 else status.timestamp * 1000

    async def markets(self) -> list[WireMarket]:
        """Return all markets, perps first."""
        answer = await self._get("orderBookDetails", {"filter": "all"}, ListingAnswer)
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
        answer = await self._get("candles", span, CandlesAnswer, priority)
        return _readable(answer.c, WireCandle, odd)

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
        answer = await self._get("fundings", span, FundingsAnswer, priority)
        return _readable(answer.fundings, WireFunding, odd)

    async def recent_trades(
        self, market: int, priority: Priority = Priority.MARKET
    ) -> list[WireTrade | None]:
        """Return the newest trades of a market, in any order; None in place of one that cannot be read."""
        answer = await self._get(
            "recentTrades", {"market_id": market, "limit": TRADES_MAX}, TradesAnswer, priority
        )
        rows: list[WireTrade | None] = []
        for row in answer.trades or []:
            try:
                rows.append(decode_body(bytes(row), WireTrade))
            except VenueProtocolError:
                rows.append(None)
        return rows

    async def best_orders(self, market: int, priority: Priority = Priority.MARKET) -> OrdersAnswer:
        """Return the best orders of a book."""
        asked = {"market_id": market, "limit": _ORDERS_MAX}
        return await self._get("orderBookOrders", asked, OrdersAnswer, priority)

    async def _get(
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
        body = await self._reader.read(Request("GET", url), path or "status", weight_of(path), priority)
        try:
            return decode_body(body, shape)
        except VenueProtocolError as error:
            raise VenueProtocolError(f"{url}: {error}") from error


def _readable(
    rows: list[msgspec.Raw] | None, shape: type[_Row], odd: Callable[[Unusable], None] | None
) -> list[_Row]:
    """Return the rows that have the shape; pass the others to `odd`. Raises VenueProtocolError."""
    if rows is not None and len(rows) > ROWS_MAX:
        raise VenueProtocolError(f"an answer has {len(rows)} rows")
    readable: list[_Row] = []
    for row in rows or []:
        try:
            readable.append(decode_body(bytes(row), shape))
        except VenueProtocolError as error:
            if odd is None:
                raise
            odd(Unusable(_time_of(row), str(error)))
    return readable


def _time_of(row: msgspec.Raw) -> int | None:
    """Return the time of a row that cannot be read, if it has one."""
    try:
        found = msgspec.json.decode(row, type=_Timed)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    at = found.t if found.t is not None else found.timestamp
    if at is None:
        return None
    return at * (1_000_000 if at > 100_000_000_000 else 1_000_000_000)
