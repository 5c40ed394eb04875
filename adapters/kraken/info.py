"""Kraken's public REST API: what is listed and traded, candles, books, and the venue's clock.

The venue refuses with HTTP 200 and an error in the answer, so each is looked at; a refusal
for too many requests is counted by the `Governor` and tried again. Called at start-up, by the feed, and by
backfills.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import urlencode

import httpx
import msgspec
import trio

from adapters.kraken.answers import (
    AssetPair,
    RestBook,
    RestCandle,
    RestTrade,
    ServerTime,
    decode_answer,
    errors_of,
)
from adapters.kraken.limits import LIMITS
from adapters.kraken.networks import MAINNET_URL, check_base_url
from adapters.transport.decoding import decode_body
from adapters.transport.governor import Governor, Priority
from adapters.transport.http import Request
from adapters.transport.rest import RestClient, readable, readable_or_none
from adapters.transport.text import clip
from engine.clock import SECOND_NS
from engine.errors import VenueProtocolError, VenueUnreachable
from engine.venue import Unusable

__all__ = ["CandleRows", "KrakenInfo"]

_Shape = TypeVar("_Shape")

_TRIES_MAX: Final = 3
_PAUSE_S: Final = 2.0
_TOO_MANY: Final = ("Rate limit exceeded", "Too many requests", "Temporary lockout")
_FAULTS: Final = ("EService:Unavailable", "EService:Busy", "EService:Timeout", "EGeneral:Internal error")
_ROWS_MAX: Final = 5000


class CandleRows(NamedTuple):
    """Rows of candles, oldest first, and the start of the last one that is closed, in seconds."""

    rows: list[RestCandle]
    last: int


class KrakenInfo(RestClient):
    """Client of the public REST API. See `RestClient`; `governor`: by default one of its own."""

    def __init__(
        self,
        base_url: str = MAINNET_URL,
        *,
        governor: Governor | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(check_base_url(base_url), governor or Governor(LIMITS), transport=transport)

    async def time(self) -> ServerTime:
        """Return the venue's clock."""
        return await self._read("Time", {}, ServerTime, Priority.MARKET)

    async def asset_pairs(self) -> dict[str, AssetPair]:
        """Return the pairs by their key; one that cannot be read is left out."""
        rows = await self._read("AssetPairs", {}, dict[str, msgspec.Raw], Priority.MARKET)
        if len(rows) > _ROWS_MAX:
            raise VenueProtocolError(f"{self.base_url}: AssetPairs has {len(rows)} pairs")
        found: dict[str, AssetPair] = {}
        for key, row in rows.items():
            try:
                found[key] = decode_body(row, AssetPair)
            except VenueProtocolError:
                continue
        return found

    async def candles(
        self,
        pair: str,
        minutes: int,
        since_s: int,
        priority: Priority = Priority.MARKET,
        odd: Callable[[Unusable], None] | None = None,
    ) -> CandleRows:
        """Return the candles that open from `since_s` on, at most the newest 720 and the open one.

        A row that is no candle is passed to `odd` if that is given, and else fails the answer.
        """
        # The venue does not say whether its `since` is inclusive.
        rows, last = await self._pair_rows(
            "OHLC", {"pair": pair, "interval": minutes, "since": since_s - 1}, priority
        )
        found = readable(rows, lambda row: decode_body(row, RestCandle), odd, _time_of)
        try:
            return CandleRows([row for row in found if row.time >= since_s], decode_body(last, int))
        except VenueProtocolError:
            return CandleRows(found, 0)

    async def trades(
        self, pair: str, since_ns: int | None = None, priority: Priority = Priority.MARKET
    ) -> list[RestTrade | None]:
        """Return the newest trades, or the first after `since_ns`: oldest first, at most 1,000.

        None stands in place of one that cannot be read, so that the others are not taken for complete.
        """
        query = {"pair": pair, "count": 1000} | ({} if since_ns is None else {"since": since_ns})
        rows, _ = await self._pair_rows("Trades", query, priority)
        return readable_or_none(rows, lambda row: decode_body(row, RestTrade))

    async def depth(self, pair: str, count: int, priority: Priority = Priority.MARKET) -> RestBook:
        """Return the best `count` levels of both sides."""
        books = await self._read("Depth", {"pair": pair, "count": count}, dict[str, RestBook], priority)
        if len(books) != 1:
            raise VenueProtocolError(f"{self.base_url}: Depth has {len(books)} books")
        return next(iter(books.values()))

    async def _pair_rows(
        self, call: str, query: dict[str, Any], priority: Priority
    ) -> tuple[list[msgspec.Raw], msgspec.Raw]:
        """Return the rows of the one pair in an answer, and its `last`."""
        result = await self._read(call, query, dict[str, msgspec.Raw], priority)
        last = result.pop("last", msgspec.Raw(b"0"))
        if len(result) != 1:
            raise VenueProtocolError(f"{self.base_url}: {call} has rows of {len(result)} pairs")
        rows = decode_body(next(iter(result.values())), list[msgspec.Raw])
        if len(rows) > _ROWS_MAX:
            raise VenueProtocolError(f"{self.base_url}: {call} has {len(rows)} rows")
        return rows, last

    async def _read(
        self, call: str, query: dict[str, Any], shape: type[_Shape], priority: Priority
    ) -> _Shape:
        """Return the result of a call as a `shape`. Raises VenueError."""
        url = f"{self.base_url}/0/public/{call}" + (f"?{urlencode(query)}" if query else "")
        tries = 0
        while True:
            tries += 1
            body = await self._reader.read(Request("GET", url), call, 1, priority)
            errors = errors_of(body)
            if not errors:
                break
            words = clip(", ".join(errors), 200)
            if any(one in error for error in errors for one in _TOO_MANY):
                self.governor.refused(429)
            elif not any(error.startswith(_FAULTS) for error in errors):
                raise VenueProtocolError(f"{url}: the venue answers {words}")
            if tries == _TRIES_MAX:
                raise VenueUnreachable(f"{url}: the venue answers {words}")
            await trio.sleep(_PAUSE_S * tries)
        try:
            return decode_answer(body, shape)
        except VenueProtocolError as error:
            raise VenueProtocolError(f"{url}: {error}") from error


def _time_of(row: msgspec.Raw) -> int | None:
    """Return the time of a row that cannot be read, if it has one."""
    try:
        found = msgspec.json.decode(bytes(row), type=list[Any])
        return int(found[0]) * SECOND_NS if isinstance(found[0], int) else None
    except (msgspec.MsgspecError, UnicodeError, RecursionError, IndexError):
        return None
