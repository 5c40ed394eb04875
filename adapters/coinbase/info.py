"""Coinbase's public REST API: what is listed and traded, candles, and the venue's clock.

No key is needed. Called at start-up, by the feed, and by backfills.
"""

from __future__ import annotations

from collections.abc import Callable
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
)
from adapters.coinbase.limits import LIMITS
from adapters.coinbase.networks import MAINNET_URL, check_base_url
from adapters.coinbase.wire import WireCandle, WireTicker, WireTrade
from adapters.transport.decoding import decode_body
from adapters.transport.governor import Governor, Priority
from adapters.transport.http import Answer, Request
from adapters.transport.rest import RestClient, readable, readable_or_none
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


class CoinbaseInfo(RestClient):
    """Client of the public REST API. See `RestClient`; `governor`: by default one of its own."""

    def __init__(
        self,
        base_url: str = MAINNET_URL,
        *,
        governor: Governor | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(
            check_base_url(base_url),
            governor or Governor(LIMITS),
            body_bytes_max=_PRODUCTS_BYTES_MAX,
            transport=transport,
            refusal=_refusal,
        )

    async def time_ms(self) -> int:
        """Return the venue's clock, in milliseconds."""
        return int((await self._read("time", {}, ServerTime, Priority.MARKET)).epoch_millis)

    async def products(self) -> list[Product]:
        """Return the products; one that cannot be read is left out."""
        answer = await self._read("market/products", {}, Products, Priority.MARKET)
        found = readable_or_none(answer.products, lambda row: decode_body(row, Product))
        return [one for one in found if one is not None]

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
        found = readable(answer.candles, lambda row: decode_body(row, WireCandle), odd, _start_of)
        return [msgspec.structs.replace(one, product_id=name) for one in found]

    async def newest(
        self, name: str, priority: Priority = Priority.MARKET, limit: int = _TRADES
    ) -> list[WireTrade | None]:
        """Return the newest trades of a product, newest first, None in place of one that cannot be read."""
        call = f"market/products/{quote(name)}/ticker"
        answer = await self._read(call, {"limit": limit}, MarketTrades, priority)
        return readable_or_none(answer.trades, lambda row: decode_body(row, WireTrade))

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
        url = f"{self.base_url}/api/v3/brokerage/{call}" + (f"?{urlencode(query)}" if query else "")
        return await self._get(
            url, call, 1, priority, lambda body: decode_body(body, shape, bytes_max=_PRODUCTS_BYTES_MAX)
        )


class _Error(msgspec.Struct, frozen=True):
    message: str = ""
    error: str = ""


def _refusal(request: Request, answer: Answer) -> str:
    """Return the venue's text for a request that it does not answer; "" for every other answer."""
    if answer.status not in (400, 404):
        return ""
    try:
        found = decode_body(answer.body, _Error)
    except VenueProtocolError:
        return ""
    words = found.message or found.error
    return f"the venue answers {clip(words, 200)}" if words else ""


def _start_of(row: msgspec.Raw) -> int | None:
    """Return the time of a row that cannot be read, if it has one."""
    try:
        start = decode_body(bytes(row), _Started).start
    except VenueProtocolError:
        return None
    return int(start) * SECOND_NS if start.isascii() and start.isdigit() and len(start) <= 10 else None
