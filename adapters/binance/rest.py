"""Binance's REST: what is listed, traded, quoted and settled, and the venue's clock.

Owns reading over HTTP. Promises: every answer is bounded in time and size, and every failure is
VenueUnreachable (no answer) or VenueProtocolError (an answer that cannot be used) with the address in it
(`adapters/transport/http.py`). Every try waits for its weight in the budget of the `Governor`, which takes
over the weight that the venue itself counts (X-MBX-USED-WEIGHT-1M), honours `Retry-After` of 429 and 418.
Called at start-up, by the feed and by backfills.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

import httpx
import msgspec

from adapters.binance.listing import ExchangeInfo
from adapters.binance.markets import STATISTICS, Market, check_base_url
from adapters.binance.wire import (
    DepthSnapshot,
    FundingInfo,
    FundingRate,
    KlineRow,
    OpenInterest,
    PastInterest,
    PremiumIndex,
    RestAggTrade,
    RestTicker,
    RestTrade,
    ServerTime,
    decode_body,
)
from adapters.transport.governor import Governor, Priority
from adapters.transport.http import Answer, Request
from adapters.transport.protocol import BODY_BYTES_MAX
from adapters.transport.rest import RestClient, readable
from adapters.transport.text import clip
from engine.errors import VenueProtocolError
from engine.venue import Unusable

__all__ = ["INTEREST_MAX", "TRADES_MAX", "BinanceRest", "Odd"]

_Body = TypeVar("_Body")

Odd = Callable[[Unusable], None]
"""Takes the rows that cannot be used."""

TRADES_MAX: Final = 1000
"""Trades of one answer."""

INTEREST_MAX: Final = 500
"""Readings of open interest of one answer."""

_RATES_MAX: Final = 1000
_NS_PER_MS: Final = 1_000_000


class BinanceRest(RestClient):
    """Client of one market. See `RestClient`; `governor`: by default one of its own."""

    def __init__(
        self,
        market: Market,
        base_url: str,
        *,
        governor: Governor | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.market = market
        super().__init__(
            check_base_url(market, base_url),
            governor or Governor(market.limits),
            timeout_s=10.0,
            # The listing of all symbols is several times as long as any other answer.
            body_bytes_max=4 * BODY_BYTES_MAX,
            transport=transport,
            refusal=_refusal,
            note=self._note,
        )

    async def server_time(self) -> ServerTime:
        """Return the venue's clock."""
        return await self._answer("time", {}, ServerTime)

    async def exchange_info(self, symbols: list[str] | None = None) -> ExchangeInfo:
        """Return the listing; of spot only these symbols, if given. USD-M always lists all."""
        params: dict[str, Any] = {}
        if symbols and self.market.kind == "spot":
            params["symbols"] = msgspec.json.encode(symbols).decode()
        return await self._answer("exchangeInfo", params, ExchangeInfo)

    async def funding_hours(self) -> dict[str, int]:
        """Return the hours between two payments of the symbols that do not have the usual number."""
        rows = await self._answer("fundingInfo", {}, list[FundingInfo])
        return {row.symbol: row.funding_interval_hours for row in rows}

    async def depth(self, name: str) -> tuple[str, DepthSnapshot]:
        """Return a snapshot of a book: its text, and as a struct."""
        body = await self._read("depth", {"symbol": name, "limit": self.market.depth_levels}, Priority.MARKET)
        return body.decode("utf-8", "replace"), self._decoded("depth", body, DepthSnapshot)

    async def open_interest(self, name: str) -> tuple[str, OpenInterest]:
        """Return the open interest: its text, and as a struct."""
        body = await self._read("openInterest", {"symbol": name}, Priority.HISTORY)
        return body.decode("utf-8", "replace"), self._decoded("openInterest", body, OpenInterest)

    async def trades(
        self, name: str, from_id: int | None, *, raw: bool, priority: Priority = Priority.MARKET
    ) -> list[RestAggTrade] | list[RestTrade]:
        """Return trades from an id on, oldest first, at most TRADES_MAX; without an id, the newest."""
        params: dict[str, Any] = {"symbol": name, "limit": TRADES_MAX}
        if from_id is not None:
            params["fromId"] = from_id
        if not raw:
            return await self._answer("aggTrades", params, list[RestAggTrade], priority)
        path = "trades" if from_id is None else "historicalTrades"
        return await self._answer(path, params, list[RestTrade], priority)

    async def ticker(self, name: str) -> RestTicker:
        """Return the best bid and ask."""
        return await self._answer("ticker/bookTicker", {"symbol": name}, RestTicker)

    async def premium_index(self, name: str) -> PremiumIndex:
        """Return mark, index and the running rate."""
        return await self._answer("premiumIndex", {"symbol": name}, PremiumIndex)

    async def klines(
        self,
        name: str,
        interval: str,
        start_ms: int,
        end_ms: int,
        priority: Priority = Priority.MARKET,
        odd: Odd | None = None,
    ) -> list[KlineRow]:
        """Return the candles that open from `start_ms` to `end_ms`, oldest first, the open one too.

        A row that is no candle is passed to `odd` if that is given, and else fails the answer.
        """
        params = {"symbol": name, "interval": interval, "startTime": start_ms, "endTime": end_ms}
        params["limit"] = self.market.klines_max
        if odd is None:
            return await self._answer("klines", params, list[KlineRow], priority)
        rows = await self._answer("klines", params, list[msgspec.Raw], priority)
        return _rows(rows, KlineRow, odd)

    async def funding_rates(self, name: str, start_ms: int, end_ms: int, odd: Odd) -> list[FundingRate]:
        """Return settled rates from `start_ms` to `end_ms`, oldest first, at most 1000 at a time.

        A row that is no rate is passed to `odd`.
        """
        params = {"symbol": name, "startTime": start_ms, "endTime": end_ms, "limit": _RATES_MAX}
        rows = await self._answer("fundingRate", params, list[msgspec.Raw], Priority.HISTORY)
        return _rows(rows, FundingRate, odd)

    async def past_interest(self, name: str, start_ms: int, end_ms: int, odd: Odd) -> list[PastInterest]:
        """Return open interest of each five minutes from `start_ms` to `end_ms`, at most 500 rows.

        A row that is no reading is passed to `odd`.
        """
        params = {"symbol": name, "period": "5m", "limit": INTEREST_MAX}
        params |= {"startTime": start_ms, "endTime": end_ms}
        rows = await self._answer("openInterestHist", params, list[msgspec.Raw], Priority.HISTORY)
        return _rows(rows, PastInterest, odd)

    async def _answer(
        self, path: str, params: dict[str, Any], shape: type[_Body], priority: Priority = Priority.MARKET
    ) -> _Body:
        return self._decoded(path, await self._read(path, params, priority), shape)

    async def _read(self, path: str, params: dict[str, Any], priority: Priority) -> bytes:
        query = f"?{urlencode(params)}" if params else ""
        api = STATISTICS if path == "openInterestHist" else self.market.api
        request = Request("GET", f"{self.base_url}{api}/{path}{query}")
        return await self._reader.read(request, path, self.market.weights[path], priority)

    def _decoded(self, path: str, body: bytes, shape: type[_Body]) -> _Body:
        try:
            return decode_body(body, shape)
        except VenueProtocolError as error:
            raise VenueProtocolError(f"{self.base_url}{self.market.api}/{path}: {error}") from error

    def _note(self, answer: Answer) -> None:
        """Take over the weight of this minute as the venue counts it."""
        used = answer.headers.get("x-mbx-used-weight-1m", "")
        if used.isascii() and used.isdigit() and len(used) < 8:
            self.governor.note_weight(int(used))


def _rows(rows: list[msgspec.Raw], shape: Any, odd: Odd) -> list[Any]:
    return readable(rows, lambda row: decode_body(row, shape), odd, _time_of)


def _time_of(row: msgspec.Raw) -> int | None:
    """Return the time of a row that cannot be read, if it has one."""
    try:
        found = msgspec.json.decode(row)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    at_ms = found[0] if isinstance(found, list) and found else None
    if isinstance(found, dict):
        at_ms = found.get("fundingTime", found.get("timestamp"))
    return at_ms * _NS_PER_MS if type(at_ms) is int and abs(at_ms) < 2**42 else None


class _Error(msgspec.Struct):
    code: int
    msg: str = ""


def _refusal(request: Request, answer: Answer) -> str:
    """Return the error text of an answer that refuses the request itself, such as an unknown symbol."""
    if answer.status != 400:
        return ""
    try:
        found = msgspec.json.decode(answer.body, type=_Error)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return ""
    return f"refused with code {found.code}: {clip(found.msg)}"
