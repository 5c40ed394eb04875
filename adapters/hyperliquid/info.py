"""Hyperliquid's `/info`: the listing of instruments, the venue's clock, the newest prints.

Owns reading over HTTP. Promises: every answer is bounded in time and size, no redirect is followed,
plain text is spoken to this machine only, and whatever goes wrong is VenueUnreachable (no answer) or
VenueProtocolError (an answer that cannot be used) with the address in it. Reads are repeated at most
twice. Called by the runtime at start-up and by the feed after a loss.
"""

from __future__ import annotations

import difflib
import ipaddress
import ssl
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import httpx
import trio

from adapters.hyperliquid.wire import (
    BODY_BYTES_MAX,
    AssetInfo,
    ExchangeStatus,
    Meta,
    WireTrade,
    clip,
    decode_body,
)
from engine.errors import UsageError, VenueProtocolError, VenueUnreachable
from engine.events import InstrumentListed

__all__ = [
    "MAINNET_URL",
    "PERP_DECIMALS_MAX",
    "PRICE_FIGURES",
    "TESTNET_URL",
    "HyperliquidInfo",
    "check_base_url",
    "is_loopback",
    "list_instruments",
    "websocket_url",
]

MAINNET_URL: Final = "https://api.hyperliquid.xyz"
TESTNET_URL: Final = "https://api.hyperliquid-testnet.xyz"

PERP_DECIMALS_MAX: Final = 6
"""A perp's price has at most this many decimals, less the decimals of its size. Source: the venue's "tick
and lot size" page, 2026-08."""

PRICE_FIGURES: Final = 5
"""A perp's price has at most this many significant figures, unless it is an integer. Same source."""

_TRIES_MAX: Final = 3
_RETRY_S: Final = 0.5
_RETRY_AFTER_S_MAX: Final = 10.0
_Body = TypeVar("_Body")


class _Again(Exception):
    """This try failed in a way that the next may not."""

    def __init__(self, error: VenueUnreachable, wait_s: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait_s = wait_s


class HyperliquidInfo:
    """Asks `/info` of one venue. Use as an async context manager, or call `aclose`.

    `timeout_s` bounds each try as a whole. `transport` stands in for the network in tests.
    """

    def __init__(
        self,
        base_url: str = MAINNET_URL,
        *,
        timeout_s: float = 5.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.base_url = check_base_url(base_url)
        self.loopback = is_loopback(self.base_url)
        self._url = f"{self.base_url}/info"
        self._timeout_s = timeout_s
        self._client = httpx.AsyncClient(
            # Answers are small: asked for plain, so that nothing can inflate.
            headers={"accept-encoding": "identity"},
            timeout=timeout_s,
            follow_redirects=False,
            trust_env=False,
            verify=ssl.create_default_context(),
            transport=transport,
        )

    async def __aenter__(self) -> HyperliquidInfo:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def meta(self) -> Meta:
        """Return the perps of the venue. Raises VenueUnreachable, VenueProtocolError."""
        return await self._ask({"type": "meta"}, Meta)

    async def exchange_status(self) -> ExchangeStatus:
        """Return the venue's clock; its pace only from this machine.

        Raises VenueUnreachable, VenueProtocolError.
        """
        status = await self._ask({"type": "exchangeStatus"}, ExchangeStatus)
        return status if self.loopback else ExchangeStatus(status.time)

    async def recent_trades(self, coin: str) -> list[WireTrade]:
        """Return the newest prints of a coin, newest first, at most 5,000.

        Raises VenueUnreachable, VenueProtocolError.
        """
        rows = await self._ask({"type": "recentTrades", "coin": coin}, list[WireTrade])
        if len(rows) > 5000:
            raise VenueProtocolError(f"{self._url}: recentTrades has {len(rows)} rows")
        return rows

    async def _ask(self, request: dict[str, Any], shape: type[_Body]) -> _Body:
        body = await self._post_again(request)
        try:
            return decode_body(body, shape)
        except VenueProtocolError as error:
            raise VenueProtocolError(f"{self._url}: {request['type']}: {error}") from error

    async def _post_again(self, request: dict[str, Any]) -> bytes:
        """Return the body of an answer, after at most three tries."""
        tries = 0
        while True:
            tries += 1
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
            async with self._client.stream("POST", self._url, json=request) as answer:
                body = await self._read(answer)
        except httpx.HTTPError as error:
            what = str(error) or type(error).__name__
            raise _Again(VenueUnreachable(f"{self._url}: cannot be reached: {what}")) from error
        if answer.status_code != 200:
            raise self._refusal(answer, body, request)
        return body

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
            return _Again(VenueUnreachable(f"{where}: too many requests (HTTP 429); wait a minute"), wait_s)
        if status >= 500:
            return _Again(VenueUnreachable(f"{where}: the venue has a fault (HTTP {status})"))
        return VenueProtocolError(f"{where}: refused with HTTP {status}: {clip(body)}")


def list_instruments(
    meta: Meta,
    recv_ns: int,
    coins: Sequence[str],
    *,
    known: Mapping[str, int] | None = None,
    first_number: int = 1,
    loopback: bool = False,
) -> list[InstrumentListed]:
    """Return the listing of `coins`, in their order.

    `known` gives numbers to coins that the journal already lists; others are numbered from `first_number`
    on, over numbers that are taken. The sandbox's `pxDecimals` counts only with `loopback`. Raises
    UsageError for a coin the venue does not have, VenueProtocolError for a grid that cannot be.
    """
    known = known or {}
    by_name = {asset.name: asset for asset in meta.universe}
    taken = set(known.values())
    number = first_number
    listed = []
    for coin in dict.fromkeys(coins):
        asset = by_name.get(coin)
        if asset is None:
            raise UsageError(f"hyperliquid has no perp {clip(coin, 40)}{_nearest(coin, by_name)}")
        if asset.is_delisted:
            raise UsageError(f"{coin} is delisted on hyperliquid; choose another coin")
        if coin not in known:
            while number in taken:
                number += 1
            taken.add(number)
        price_scale, price_figures = _price_grid(asset, loopback)
        listed.append(
            InstrumentListed(
                recv_ns=recv_ns,
                instrument=known.get(coin, number),
                venue="hyperliquid",
                name=coin,
                price_scale=price_scale,
                size_scale=asset.sz_decimals,
                price_figures=price_figures,
                kind="perp",
            )
        )
    return listed


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


def _price_grid(asset: AssetInfo, loopback: bool) -> tuple[int, int]:
    """Return price scale and significant figures."""
    if loopback and asset.px_decimals is not None:
        return asset.px_decimals, 0
    if asset.sz_decimals > PERP_DECIMALS_MAX:
        raise VenueProtocolError(
            f"{clip(asset.name)} has sizes of {asset.sz_decimals} decimals; "
            f"a perp has at most {PERP_DECIMALS_MAX}"
        )
    return PERP_DECIMALS_MAX - asset.sz_decimals, PRICE_FIGURES


def _nearest(coin: str, names: Mapping[str, object]) -> str:
    folded = {name.casefold(): name for name in names}
    found = difflib.get_close_matches(coin.casefold(), folded, n=1)
    return f"; did you mean {folded[found[0]]}? Names are case sensitive" if found else ""
