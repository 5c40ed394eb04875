"""Hyperliquid's `/info`: what is listed, what is printed, booked, settled, and what time it is there.

Owns reading over HTTP. Promises: every answer is bounded in time and size, no redirect is followed,
plain text is spoken to this machine only, and whatever goes wrong is VenueUnreachable (no answer) or
VenueProtocolError (an answer that cannot be used) with the address in it. Reads are repeated at most
twice. Every try waits for its weight in the `Governor`'s budget, every answer is charged for its rows, and
a refusal of the venue is told to it. Called at start-up, by the feed, by backfills and by the gateway.
"""

from __future__ import annotations

import ipaddress
import ssl
import zlib
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import httpx
import trio

from adapters.hyperliquid.answers import (
    PerpDex,
    PredictedFunding,
    SpotMeta,
    WireFunding,
)
from adapters.hyperliquid.limits import info_weight, rows_weight
from adapters.hyperliquid.listing import list_instruments
from adapters.hyperliquid.wire import (
    BODY_BYTES_MAX,
    ContextValues,
    ExchangeStatus,
    Meta,
    WireBook,
    WireCandle,
    WireContext,
    WireTrade,
    clip,
    decode_body,
)
from adapters.transport.governor import Governor, Priority
from engine.errors import UsageError, VenueProtocolError, VenueUnreachable

__all__ = [
    "MAINNET_URL",
    "TESTNET_URL",
    "HyperliquidInfo",
    "check_base_url",
    "is_loopback",
    "list_instruments",
    "websocket_url",
]

MAINNET_URL: Final = "https://api.hyperliquid.xyz"
TESTNET_URL: Final = "https://api.hyperliquid-testnet.xyz"

_TRIES_MAX: Final = 3
_RETRY_S: Final = 0.5
_RETRY_AFTER_S_MAX: Final = 10.0
_Body = TypeVar("_Body")
_Row = TypeVar("_Row")
_MAYBE_BOOK: Any = WireBook | None
_ROWS_MAX: Final = 5000
_BANS: Final = frozenset({403, 418})


class _Again(Exception):
    """This try failed in a way that the next may not."""

    def __init__(self, error: VenueUnreachable, wait_s: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait_s = wait_s


class HyperliquidInfo:
    """Asks `/info` of one venue. Use as an async context manager, or call `aclose`.

    `timeout_s` bounds each try as a whole. `governor` is the one account of this address's limits; without
    one, it has its own. `transport` stands in for the network in tests.

    Every question raises VenueUnreachable (BudgetSpent: it was not even asked) or VenueProtocolError.
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
        self.loopback = is_loopback(self.base_url)
        self._url = f"{self.base_url}/info"
        self._timeout_s = timeout_s
        self.governor = governor or Governor()
        self._transport = transport
        self._trust = ssl.create_default_context()
        self._client: httpx.AsyncClient | None = None  # made by the first question, and after a close

    async def __aenter__(self) -> HyperliquidInfo:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; a later question opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def meta(self, dex: str = "") -> Meta:
        """Return the perps of the venue's own dex, or of a builder's."""
        return await self._of_dex("meta", dex, Meta)

    async def all_perp_metas(self) -> list[Meta]:
        """Return the perps of every dex, in the order of `perp_dexs`."""
        return await self.ask({"type": "allPerpMetas"}, list[Meta])

    async def perp_dexs(self) -> list[str]:
        """Return the names of the dexes by index; "" for the venue's own, which is the first."""
        dexs = await self.ask({"type": "perpDexs"}, list[PerpDex | None])
        return ["" if dex is None else dex.name for dex in dexs]

    async def spot_meta(self) -> SpotMeta:
        """Return the spot pairs and their tokens."""
        return await self.ask({"type": "spotMeta"}, SpotMeta)

    async def contexts(self, dex: str = "") -> list[WireContext]:
        """Return the contexts of a dex's perps; they come without names, and are joined by position."""
        meta, contexts = await self._of_dex("metaAndAssetCtxs", dex, tuple[Meta, list[ContextValues]])
        if len(contexts) != len(meta.universe):
            raise VenueProtocolError(
                f"{self._url}: metaAndAssetCtxs: {len(contexts)} contexts for {len(meta.universe)} perps"
            )
        return [WireContext(asset.name, ctx) for asset, ctx in zip(meta.universe, contexts, strict=True)]

    async def exchange_status(self) -> ExchangeStatus:
        """Return the venue's clock; its pace only from this machine."""
        status = await self.ask({"type": "exchangeStatus"}, ExchangeStatus)
        return status if self.loopback else ExchangeStatus(status.time)

    async def all_mids(self, dex: str = "") -> dict[str, str]:
        """Return the mids of a dex by coin, those of spot pairs with the venue's own."""
        return await self._of_dex("allMids", dex, dict[str, str])

    async def book(self, coin: str, priority: Priority = Priority.MARKET) -> WireBook:
        """Return the book of a coin, at most 20 levels a side."""
        book: WireBook | None = await self.ask({"type": "l2Book", "coin": coin}, _MAYBE_BOOK, priority)
        if book is None:
            raise VenueProtocolError(f"{self._url}: l2Book: the venue does not know the name {clip(coin)}")
        return book

    async def recent_trades(self, coin: str, priority: Priority = Priority.MARKET) -> list[WireTrade]:
        """Return the newest prints of a coin, newest first, at most 5,000."""
        return await self._rows({"type": "recentTrades", "coin": coin}, WireTrade, priority)

    async def candles(
        self,
        coin: str,
        interval: str,
        start_ms: int,
        end_ms: int,
        priority: Priority = Priority.MARKET,
    ) -> list[WireCandle]:
        """Return the candles that open from `start_ms` to `end_ms`, oldest first, the open one too.

        The venue has only the newest 5,000 of an interval; an answer that ends before `end_ms` may have more
        behind it (see `history.read_candles`, which reads on).
        """
        span = {"coin": coin, "interval": interval, "startTime": start_ms, "endTime": end_ms}
        return await self._rows({"type": "candleSnapshot", "req": span}, WireCandle, priority)

    async def funding_history(
        self, coin: str, start_ms: int, end_ms: int, priority: Priority = Priority.HISTORY
    ) -> list[WireFunding]:
        """Return settled rates from `start_ms` to `end_ms`, oldest first, at most 500 at a time."""
        request = {"type": "fundingHistory", "coin": coin, "startTime": start_ms, "endTime": end_ms}
        return await self._rows(request, WireFunding, priority)

    async def predicted_fundings(self) -> dict[str, dict[str, PredictedFunding]]:
        """Return the next rate by coin and by venue, this one ("HlPerp") among others."""
        rows = await self.ask(
            {"type": "predictedFundings"}, list[tuple[str, list[tuple[str, PredictedFunding | None]]]]
        )
        return {coin: {venue: one for venue, one in venues if one is not None} for coin, venues in rows}

    async def ask(
        self, request: dict[str, Any], shape: type[_Body], priority: Priority = Priority.MARKET
    ) -> _Body:
        """Return the answer to a request as a `shape`, after at most three tries."""
        kind = request["type"]
        body = await self._post_again(request, priority)
        try:
            answer = decode_body(body, shape)
        except VenueProtocolError as error:
            raise VenueProtocolError(f"{self._url}: {kind}: {error}") from error
        if isinstance(answer, list):
            self.governor.charge(rows_weight(kind, len(answer)))
        return answer

    async def _of_dex(self, kind: str, dex: str, shape: type[_Body]) -> _Body:
        return await self.ask({"type": kind, **({"dex": dex} if dex else {})}, shape)

    async def _rows(self, request: dict[str, Any], shape: type[_Row], priority: Priority) -> list[_Row]:
        rows = await self.ask(request, list[shape], priority)  # type: ignore[valid-type]
        if len(rows) > _ROWS_MAX:
            raise VenueProtocolError(f"{self._url}: {request['type']} has {len(rows)} rows")
        return rows

    async def _post_again(self, request: dict[str, Any], priority: Priority) -> bytes:
        """Return the body of an answer, after at most three tries."""
        tries = 0
        while True:
            tries += 1
            await self.governor.weigh(info_weight(request["type"]), priority)
            try:
                with trio.fail_after(self._timeout_s):
                    return await self._post(request)
            except trio.TooSlowError:
                again = _Again(VenueUnreachable(f"{self._url}: no answer within {self._timeout_s:g} s"))
            except _Again as error:
                again = error
            wait_s = _RETRY_S * 2**tries if again.wait_s is None else again.wait_s
            if tries == _TRIES_MAX or wait_s > _RETRY_AFTER_S_MAX:
                raise again.error
            await trio.sleep(wait_s)

    async def _post(self, request: dict[str, Any]) -> bytes:
        try:
            async with self._open().stream("POST", self._url, json=request) as answer:
                body = await self._read(answer)
        except httpx.HTTPError as error:
            what = str(error) or type(error).__name__
            raise _Again(VenueUnreachable(f"{self._url}: cannot be reached: {what}")) from error
        if answer.status_code != 200:
            raise self._refusal(answer, body, request)
        return body

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(
                # Answers are small: asked for plain, so that nothing can inflate.
                headers={"accept-encoding": "identity"},
                timeout=self._timeout_s,
                follow_redirects=False,
                trust_env=False,
                verify=self._trust,
                transport=self._transport,
            )
        return self._client

    async def _read(self, answer: httpx.Response) -> bytes:
        """Return the body, never more of it than the bound, compressed or not."""
        coding = answer.headers.get("content-encoding", "identity").strip().lower()
        if coding not in ("identity", "gzip"):
            raise VenueProtocolError(f"{self._url}: answered in {clip(coding, 20)}, which was not asked for")
        inflate = zlib.decompressobj(wbits=31) if coding == "gzip" else None
        body = bytearray()
        async for chunk in answer.aiter_raw():
            room = BODY_BYTES_MAX + 1 - len(body)
            try:
                body += chunk[:room] if inflate is None else inflate.decompress(chunk, room)
            except zlib.error as error:
                raise VenueProtocolError(f"{self._url}: answered with broken gzip") from error
            if len(body) > BODY_BYTES_MAX:
                raise VenueProtocolError(f"{self._url}: the answer is longer than {BODY_BYTES_MAX} bytes")
        return bytes(body)

    def _refusal(self, answer: httpx.Response, body: bytes, request: dict[str, Any]) -> Exception:
        status = answer.status_code
        where = f"{self._url}: {request['type']}"
        if answer.is_redirect:
            target = clip(answer.headers.get("location", ""))
            return VenueProtocolError(
                f"{where}: redirected to {target}, which is refused; give the venue's own address"
            )
        if status == 500 and body.strip() == b"null":
            return VenueProtocolError(f"{where}: the venue does not know a name in {clip(str(request))}")
        if status == 429:
            after = answer.headers.get("retry-after", "")
            wait_s = float(after) if after.isascii() and after.isdigit() and len(after) < 6 else None
            self.governor.refused(status, wait_s)
            return _Again(VenueUnreachable(f"{where}: too many requests (HTTP 429); wait a minute"), wait_s)
        if status in _BANS:
            self.governor.refused(status)
        if status >= 500:
            return _Again(VenueUnreachable(f"{where}: the venue has a fault (HTTP {status})"))
        return VenueProtocolError(f"{where}: refused with HTTP {status}: {clip(body)}")


def check_base_url(base_url: str) -> str:
    """Return the venue's base address without a slash at the end. Raises UsageError.

    Only https, since plain text on a network can be read and changed; http to this machine itself.
    """
    try:
        parts = urlsplit(base_url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    wrong = parts.username is not None or parts.query or parts.fragment
    if not host or parts.scheme not in ("http", "https") or wrong:
        raise UsageError(f"{clip(base_url)} is not a venue's address; write it as {MAINNET_URL}")
    if parts.scheme == "http" and not is_loopback(base_url):
        raise UsageError(f"{clip(base_url)} is plain http to another machine, which is refused; use https")
    return base_url.rstrip("/")


def websocket_url(base_url: str) -> str:
    """Return the websocket's address: the base with ws for http and /ws behind it."""
    return "ws" + check_base_url(base_url).removeprefix("http") + "/ws"


def is_loopback(base_url: str) -> bool:
    """Say whether an address names this machine itself."""
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
