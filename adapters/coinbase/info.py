"""Coinbase's public REST API: what is listed and traded, candles, and the venue's clock.

Owns reading over HTTP. Promises: every answer is bounded in time and size, and every failure is
VenueUnreachable (no answer) or VenueProtocolError (an answer that cannot be used) with the address in it. No
key is needed. Called at start-up, by the feed, and by backfills.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

import httpx
import msgspec

from adapters.coinbase.answers import (
    Candles,
    MarketTrades,
    Product,
    ProductBook,
    Products,
    ServerTime,
    decode_answer,
)
from adapters.coinbase.limits import LIMITS
from adapters.coinbase.networks import MAINNET_URL, check_base_url
from adapters.coinbase.wire import WireCandle, WireTicker, WireTrade
from adapters.transport.governor import Governor, Priority
from adapters.transport.http import Answer, HttpClient, HttpReader, Request
from adapters.transport.text import clip
from engine.clock import SECOND_NS
from engine.errors import VenueProtocolError
from engine.venue import Unusable

__all__ = ["PAGE", "CoinbaseInfo"]

_Shape = TypeVar("_Shape")

PAGE: Final = 300
"""Candles of one request."""

_TRADES: Final = 1000
_PRODUCTS_BYTES_MAX: Final = 32 << 20


class _Started(msgspec.Struct, frozen=True):
    start: str = ""


class CoinbaseInfo:
    """Client of the public REST API at one address. Use as an async context manager.

    `timeout_s` bounds each try as a whole. `governor` counts this address's limits; default: one of its own.
    `transport` replaces the network in tests.
    """

    def __init__(
        self,
        base_url: str = MAINNET_URL,
        *,
        timeout_s: float = 5.0,
        governor: Governor | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = f"{check_base_url(base_url)}/api/v3/brokerage"
        self.governor = governor or Governor(LIMITS)
        self._client = HttpClient(
            timeout_s=timeout_s, body_bytes_max=_PRODUCTS_BYTES_MAX, transport=transport
        )
        self._reader = HttpReader(self._client, self.governor, timeout_s=timeout_s, refusal=_refusal)

    async def __aenter__(self) -> CoinbaseInfo:
        """Return the client."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._client.aclose()

    @property
    def sandbox_speed(self) -> float | None:
        """The speed of a sandbox's clock that answered; None for a venue."""
        return self._client.sandbox_speed

    async def time_ms(self) -> int:
        """Return the venue's clock, in milliseconds."""
        return int((await self._read("time", {}, ServerTime, Priority.MARKET)).epoch_millis)

    async def products(self) -> list[Product]:
        """Return the products; one that cannot be read is left out."""
        answer = await self._read("market/products", {}, Products, Priority.MARKET)
        found = []
        for row in answer.products:
            try:
                found.append(decode_answer(bytes(row), Product))
            except VenueProtocolError:
                continue
        return found

    async def candles(
        self,
        name: str,
        granularity: str,
        start_s: int,
        end_s: int,
        priority: Priority = Priority.MARKET,
        odd: Callable[[Unusable], None] | None = None,
    ) -> list[WireCandle]:
        """Return the candles that open from `start_s` to `end_s`, both included, at most `PAGE`.

        Newest first, perhaps with some from outside. A row that is no candle is passed to `odd` if that is
        given, and else fails the answer.
        """
        query = {"start": start_s, "end": end_s, "granularity": granularity, "limit": PAGE}
        answer = await self._read(f"market/products/{quote(name)}/candles", query, Candles, priority)
        found = []
        for row in answer.candles:
            try:
                candle = decode_answer(bytes(row), WireCandle)
                found.append(msgspec.structs.replace(candle, product_id=name))
            except VenueProtocolError as error:
                if odd is None:
                    raise
                odd(Unusable(_start_of(row), str(error)))
        return found

    async def newest(
        self, name: str, priority: Priority = Priority.MARKET, limit: int = _TRADES
    ) -> list[WireTrade | None]:
        """Return the newest trades of a product, newest first, None in place of one that cannot be read."""
        call = f"market/products/{quote(name)}/ticker"
        answer = await self._read(call, {"limit": limit}, MarketTrades, priority)
        trades: list[WireTrade | None] = []
        for row in answer.trades:
            try:
                trades.append(decode_answer(bytes(row), WireTrade))
            except VenueProtocolError:
                trades.append(None)
        return trades

    async def best(self, name: str, priority: Priority = Priority.MARKET) -> tuple[WireTicker, str]:
        """Return the best bid and ask of a product, and their time."""
        query = {"product_id": name, "limit": 1}
        book = (await self._read("market/product_book", query, ProductBook, priority)).pricebook
        bid, ask = ((side[0].price, side[0].size) if side else ("", "") for side in (book.bids, book.asks))
        return WireTicker(name, *bid, *ask), book.time

    async def _read(
        self, call: str, query: dict[str, Any], shape: type[_Shape], priority: Priority
    ) -> _Shape:
        """Return the answer to a call as a `shape`. Raises VenueError."""
        url = f"{self._url}/{call}" + (f"?{urlencode(query)}" if query else "")
        body = await self._reader.read(Request("GET", url), call, 1, priority)
        try:
            return decode_answer(body, shape)
        except VenueProtocolError as error:
            raise VenueProtocolError(f"{url}: {error}") from error


class _Error(msgspec.Struct, frozen=True):
    message: str = ""
    error: str = ""


def _refusal(request: Request, answer: Answer) -> str:
    """Return the venue's text for a request that it does not answer; "" for every other answer."""
    if answer.status not in (400, 404):
        return ""
    try:
        found = decode_answer(answer.body, _Error)
    except VenueProtocolError:
        return ""
    words = found.message or found.error
    return f"the venue answers {clip(words, 200)}" if words else ""


def _start_of(row: msgspec.Raw) -> int | None:
    """Return the time of a row that cannot be read, if it has one."""
    try:
        start = decode_answer(bytes(row), _Started).start
    except VenueProtocolError:
        return None
    return int(start) * SECOND_NS if start.isascii() and start.isdigit() and len(start) <= 10 else None
