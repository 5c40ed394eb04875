"""Hyperliquid's `/info`: what is listed, traded, quoted and settled, and the venue's clock.

Owns reading over HTTP. Promises: every answer is bounded in time and size, and every failure is
VenueUnreachable (no answer) or VenueProtocolError (an answer that cannot be used) with the address in it
(`adapters/transport/http.py`). Every try waits for its weight in the budget of the `Governor`, and every
answer is charged for its rows. Called at start-up, by the feed, by backfills and by the gateway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

import httpx
import msgspec

from adapters.hyperliquid.answers import (
    PerpDex,
    PredictedFunding,
    SpotMeta,
    WireFunding,
)
from adapters.hyperliquid.envelope import Int64
from adapters.hyperliquid.limits import LIMITS, info_weight, rows_weight
from adapters.hyperliquid.networks import MAINNET_URL, check_base_url
from adapters.hyperliquid.wire import (
    ContextValues,
    ExchangeStatus,
    Meta,
    WireBook,
    WireCandle,
    WireContext,
    WireTrade,
)
from adapters.transport.addresses import is_loopback
from adapters.transport.decoding import decode_body
from adapters.transport.governor import Governor, Priority
from adapters.transport.http import Answer, Request
from adapters.transport.rest import RestClient
from adapters.transport.text import clip
from engine.errors import VenueProtocolError
from engine.venue import Unusable

__all__ = [
    "HyperliquidInfo",
    "MarketInfo",
]


_Body = TypeVar("_Body")
_Row = TypeVar("_Row")
_MAYBE_BOOK: Any = WireBook | None
_ROWS_MAX: Final = 5000


class _Timed(msgspec.Struct, frozen=True):
    """The time of a row of history, in ms: a candle's start, or that of a rate."""

    start: Int64 | None = msgspec.field(name="t", default=None)
    time: Int64 | None = None


class MarketInfo(Protocol):
    """What a feed needs of `HyperliquidInfo`. Every method raises VenueError."""

    async def recent_trades(self, name: str, priority: Priority = ...) -> list[WireTrade | None]:
        """Return the newest trades, newest first; None in place of one that cannot be read."""
        ...

    async def book(self, name: str, priority: Priority = ...) -> WireBook:
        """Return the book."""
        ...

    async def contexts(self, dex: str = ...) -> list[WireContext]:
        """Return the contexts of a dex's perps."""
        ...

    async def all_mids(self, dex: str = ...) -> dict[str, str]:
        """Return the mids of a dex."""
        ...

    async def candles(
        self,
        name: str,
        interval: str,
        start_ms: int,
        end_ms: int,
        priority: Priority = ...,
        odd: Callable[[Unusable], None] | None = ...,
    ) -> list[WireCandle]:
        """Return candles that open from `start_ms` to `end_ms`, oldest first; `odd` takes unreadable rows."""
        ...


class HyperliquidInfo(RestClient):
    """Client of `/info`. See `RestClient`; `governor`: by default one of its own."""

    def __init__(
        self,
        base_url: str = MAINNET_URL,
        *,
        timeout_s: float = 5.0,
        governor: Governor | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        base_url = check_base_url(base_url)
        super().__init__(
            base_url,
            governor or Governor(LIMITS),
            timeout_s=timeout_s,
            transport=transport,
            refusal=_refusal,
        )
        self.loopback = is_loopback(base_url)
        self._url = f"{base_url}/info"

    async def meta(self, dex: str = "") -> Meta:
        """Return the perps of the venue's own dex, or of a builder's."""
        return await self._of_dex("meta", dex, Meta)

    async def all_perp_metas(self) -> list[Meta]:
        """Return the perps of every dex, in the order of `perp_dexs`."""
        return await self.request({"type": "allPerpMetas"}, list[Meta])

    async def perp_dexs(self) -> list[str]:
        """Return the names of the dexes by index; "" for the venue's own, which is the first."""
        dexs = await self.request({"type": "perpDexs"}, list[PerpDex | None])
        return ["" if dex is None else dex.name for dex in dexs]

    async def spot_meta(self) -> SpotMeta:
        """Return the spot pairs and their tokens."""
        return await self.request({"type": "spotMeta"}, SpotMeta)

    async def contexts(self, dex: str = "") -> list[WireContext]:
        """Return the contexts of a dex's perps; they come without names, and are joined by position."""
        meta, contexts = await self._of_dex("metaAndAssetCtxs", dex, tuple[Meta, list[ContextValues]])
        if len(contexts) != len(meta.universe):
            raise VenueProtocolError(
                f"{self._url}: metaAndAssetCtxs: {len(contexts)} contexts for {len(meta.universe)} perps"
            )
        return [WireContext(asset.name, ctx) for asset, ctx in zip(meta.universe, contexts, strict=True)]

    async def exchange_status(self, priority: Priority = Priority.MARKET) -> ExchangeStatus:
        """Return the venue's clock; `speed` is read from a loopback address only."""
        status = await self.request({"type": "exchangeStatus"}, ExchangeStatus, priority)
        return status if self.loopback else ExchangeStatus(status.time)

    async def all_mids(self, dex: str = "") -> dict[str, str]:
        """Return the mids of a dex by instrument, those of spot pairs with the venue's own."""
        return await self._of_dex("allMids", dex, dict[str, str])

    async def book(self, name: str, priority: Priority = Priority.MARKET) -> WireBook:
        """Return the book of an instrument, at most 20 levels a side."""
        book: WireBook | None = await self.request({"type": "l2Book", "coin": name}, _MAYBE_BOOK, priority)
        if book is None:
            raise VenueProtocolError(f"{self._url}: l2Book: the venue does not know the name {clip(name)}")
        return book

    async def recent_trades(self, name: str, priority: Priority = Priority.MARKET) -> list[WireTrade | None]:
        """Return the newest trades of an instrument, newest first, at most 5,000.

        None stands in place of one that cannot be read, so that the others are not taken for complete.
        """
        rows = await self._rows({"type": "recentTrades", "coin": name}, msgspec.Raw, priority)
        return [_trade_of(row) for row in rows]

    async def candles(
        self,
        name: str,
        interval: str,
        start_ms: int,
        end_ms: int,
        priority: Priority = Priority.MARKET,
        odd: Callable[[Unusable], None] | None = None,
    ) -> list[WireCandle]:
        """Return the candles that open from `start_ms` to `end_ms`, oldest first, the open one too.

        A row that is no candle is passed to `odd` if that is given, and else fails the answer.

        The venue has only the newest 5,000 of an interval; an answer that ends before `end_ms` may have more
        behind it (see `history.read_candles`, which reads on).
        """
        span = {"coin": name, "interval": interval, "startTime": start_ms, "endTime": end_ms}
        return await self._rows({"type": "candleSnapshot", "req": span}, WireCandle, priority, odd)

    async def funding_history(
        self,
        name: str,
        start_ms: int,
        end_ms: int,
        priority: Priority = Priority.HISTORY,
        odd: Callable[[Unusable], None] | None = None,
    ) -> list[WireFunding]:
        """Return settled rates from `start_ms` to `end_ms`, oldest first, at most 500 at a time.

        A row that is no rate is passed to `odd` if that is given, and else fails the answer.
        """
        request = {"type": "fundingHistory", "coin": name, "startTime": start_ms, "endTime": end_ms}
        return await self._rows(request, WireFunding, priority, odd)

    async def predicted_fundings(self) -> dict[str, dict[str, PredictedFunding]]:
        """Return the next rate by instrument and by venue, this one ("HlPerp") among others."""
        rows = await self.request(
            {"type": "predictedFundings"}, list[tuple[str, list[tuple[str, PredictedFunding | None]]]]
        )
        return {name: {venue: one for venue, one in venues if one is not None} for name, venues in rows}

    async def request(
        self, request: dict[str, Any], shape: type[_Body], priority: Priority = Priority.MARKET
    ) -> _Body:
        """Return the answer to a request as a `shape`, after at most three tries."""
        kind = request["type"]
        post = Request("POST", self._url, request)
        body = await self._reader.read(post, kind, info_weight(kind), priority)
        try:
            answer = decode_body(body, shape)
        except VenueProtocolError as error:
            raise VenueProtocolError(f"{self._url}: {kind}: {error}") from error
        if isinstance(answer, list):
            self.governor.charge(rows_weight(kind, len(answer)), priority)
        return answer

    async def _of_dex(self, kind: str, dex: str, shape: type[_Body]) -> _Body:
        return await self.request({"type": kind, **({"dex": dex} if dex else {})}, shape)

    async def _rows(
        self,
        request: dict[str, Any],
        shape: type[_Row],
        priority: Priority,
        odd: Callable[[Unusable], None] | None = None,
    ) -> list[_Row]:
        if odd is None:
            rows = await self.request(request, list[shape], priority)  # type: ignore[valid-type]
        else:
            rows = _readable(await self.request(request, list[msgspec.Raw], priority), shape, odd)
        if len(rows) > _ROWS_MAX:
            raise VenueProtocolError(f"{self._url}: {request['type']} has {len(rows)} rows")
        return rows


def _readable(rows: list[msgspec.Raw], shape: type[_Row], odd: Callable[[Unusable], None]) -> list[_Row]:
    """Return the rows that have the shape; pass the others to `odd`."""
    readable: list[_Row] = []
    for row in rows:
        try:
            readable.append(decode_body(bytes(row), shape))
        except VenueProtocolError as error:
            odd(Unusable(_time_of(row), str(error)))
    return readable


def _trade_of(row: msgspec.Raw) -> WireTrade | None:
    try:
        return decode_body(bytes(row), WireTrade)
    except VenueProtocolError:
        return None


def _time_of(row: msgspec.Raw) -> int | None:
    """Return the time of a row that cannot be read, if it has one."""
    try:
        found = msgspec.json.decode(row, type=_Timed)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    at_ms = found.start if found.start is not None else found.time
    return None if at_ms is None else at_ms * 1_000_000


def _refusal(request: Request, answer: Answer) -> str:
    """Return the error text for HTTP 500 with body `null`, the venue's answer to an unknown name; else ""."""
    if answer.status == 500 and answer.body.strip() == b"null":
        return f"the venue does not know a name in {clip(str(request.json))}"
    return ""
