"""ApeX Omni over HTTP: contracts, candles, settled rates, newest trades, books, and the venue's clock.

A refusal is an answer with a code instead of data: VenueProtocolError. Called at start-up, by the feed and by
backfills.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar
from urllib.parse import urlencode

import httpx
import msgspec

from adapters.apex.info_wire import (
    ConfigAnswer,
    DepthAnswer,
    FundingsAnswer,
    KlinesAnswer,
    TimeAnswer,
    TradesAnswer,
    WireContract,
    WireDepth,
    WireFunding,
)
from adapters.apex.limits import LIMITS
from adapters.apex.networks import MAINNET_URL, check_base_url
from adapters.apex.wire import ROWS_MAX, WireKline, WireTrade, ns_of
from adapters.transport.decoding import decode_body
from adapters.transport.governor import Governor, Priority
from adapters.transport.rest import RestClient, readable_or_none, readable_rows, times_of
from adapters.transport.text import clip
from engine.errors import VenueProtocolError
from engine.venue import Unusable

__all__ = ["FUNDINGS_PAGE", "TRADES_MAX", "ApexInfo"]

_Row = TypeVar("_Row")

TRADES_MAX = 500
FUNDINGS_PAGE = 100


class _Timed(msgspec.Struct, frozen=True, rename="camel"):
    """The time of a row of history: a candle's start as text, or that of a rate."""

    t: Annotated[str, msgspec.Meta(pattern="^[0-9]{1,18}$")] | None = None
    funding_time: int | None = None


class ApexInfo(RestClient):
    """Client of the REST interface. See `RestClient`; `governor`: by default one of its own."""

    def __init__(
        self,
        base_url: str = MAINNET_URL,
        *,
        governor: Governor | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(check_base_url(base_url), governor or Governor(LIMITS), transport=transport)

    async def clock_ns(self) -> tuple[int, bool]:
        """Return the venue's time, and whether it gives no more than whole seconds."""
        answer = await self._data("time", {}, TimeAnswer)
        return ns_of(answer.time), answer.time < 100_000_000_000

    async def contracts(self) -> list[WireContract]:
        """Return the perps that can be read; those of another shape are left out."""
        answer = await self._data("symbols", {}, ConfigAnswer)
        ignored: list[Unusable] = []
        return readable_rows(
            answer.contract_config.perpetual_contract, WireContract, ROWS_MAX, ignored.append, _time_of
        )

    async def klines(
        self,
        symbol: str,
        interval: str,
        start_s: int,
        end_s: int,
        count: int,
        priority: Priority = Priority.MARKET,
        odd: Callable[[Unusable], None] | None = None,
    ) -> list[WireKline]:
        """Return the candles that open from `start_s` to `end_s`, in any order, the open one too.

        A row that is no candle is passed to `odd` if that is given, and else fails the answer.
        """
        query: dict[str, int | str] = {
            "symbol": symbol,
            "interval": interval,
            "start": start_s,
            "end": end_s,
            "limit": count,
        }
        answer = await self._data("klines", query, KlinesAnswer, priority)
        return readable_rows(answer.get(symbol, []), WireKline, ROWS_MAX, odd, _time_of)

    async def fundings(
        self,
        name: str,
        start_ms: int,
        end_ms: int,
        page: int,
        priority: Priority = Priority.HISTORY,
        odd: Callable[[Unusable], None] | None = None,
    ) -> list[WireFunding]:
        """Return a page of the rates settled from `start_ms` on, before `end_ms`, in any order."""
        query: dict[str, int | str] = {
            "symbol": name,
            "limit": FUNDINGS_PAGE,
            "page": page,
            "beginTimeInclusive": start_ms,
            "endTimeExclusive": end_ms,
        }
        answer = await self._data("history-funding", query, FundingsAnswer, priority)
        return readable_rows(answer.history_funds, WireFunding, ROWS_MAX, odd, _time_of)

    async def recent_trades(
        self, symbol: str, priority: Priority = Priority.MARKET
    ) -> list[WireTrade | None]:
        """Return the newest trades, oldest first; None in place of one that cannot be read."""
        query: dict[str, int | str] = {"symbol": symbol, "limit": TRADES_MAX}
        answer = await self._data("trades", query, TradesAnswer, priority)
        rows = readable_or_none(answer[:ROWS_MAX], lambda row: decode_body(row, WireTrade))
        times = [row.T for row in rows if row is not None]
        # Newest first, unless the times say otherwise.
        return rows if times and times[0] < times[-1] else rows[::-1]

    async def depth(self, symbol: str, priority: Priority = Priority.MARKET) -> WireDepth:
        """Return the best levels of a book."""
        depth: WireDepth = await self._data("depth", {"symbol": symbol, "limit": 25}, DepthAnswer, priority)
        return depth

    async def _data(
        self,
        path: str,
        query: Mapping[str, int | str],
        shape: Any,
        priority: Priority = Priority.MARKET,
    ) -> Any:
        """Return the data of an answer."""
        asked = f"?{urlencode(query)}" if query else ""
        url = f"{self.base_url}/api/v3/{path}{asked}"
        answer = await self._get(url, path, 1, priority, lambda body: decode_body(body, shape))
        if answer.data is None:
            words = f"code {answer.code}: {clip(answer.msg)}" if answer.code is not None else "no data"
            raise VenueProtocolError(f"{url}: refused with {words}")
        return answer.data


def _time_of(row: msgspec.Raw) -> int | None:
    """Return the time of a row that cannot be read, if it has one."""
    found = times_of(row, _Timed)
    if found is None:
        return None
    at = found.funding_time if found.t is None else int(found.t)
    return None if at is None or not 0 <= at < 2**62 else ns_of(at)
