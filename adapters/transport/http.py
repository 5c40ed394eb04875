"""HTTP to a venue: requests bounded in time and size, and reads with retries.

`HttpClient` sends one request once: no redirect is followed, no proxy of the environment is used, and an
answer is never longer than its bound, compressed or not. `HttpReader` reads with it: each try waits for its
weight in the budget of the `Governor`, a temporary failure is retried at most twice, and every
failure is VenueUnreachable (no answer) or VenueProtocolError (an answer that cannot be used), with the
address in it. An action that must not be sent twice uses the client alone.

What is specific to a venue comes with the call: the address, the request, its weight, and a function that
recognises the venue's own form of a permanent refusal.
"""

from __future__ import annotations

import functools
import ssl
import zlib
from collections.abc import Callable, Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final, NamedTuple

import httpx
import trio

from adapters.transport.addresses import is_loopback
from adapters.transport.governor import Governor, Priority
from adapters.transport.protocol import BODY_BYTES_MAX
from adapters.transport.text import clip
from engine.backoff import backoff_ms
from engine.errors import VenueError, VenueProtocolError, VenueUnreachable

__all__ = ["IDLE_S", "SPEED_HEADER", "Answer", "AnswerTooLong", "HttpClient", "HttpReader", "Request"]

_TRIES_MAX: Final = 3
_RETRY_MIN_MS: Final = 500
_RETRY_MAX_MS: Final = 10_000
_RETRY_AFTER_S_MAX: Final = 10.0
_TOO_MANY: Final = 429
_BANS: Final = frozenset({403, 418})

IDLE_S: Final = 3.0
"""A connection that was idle for so long is not used again. Servers close theirs after 5 s at the earliest
(the default of several), and an order that is on its way at that moment is lost."""
_CONNECTIONS_MAX: Final = 100

SPEED_HEADER: Final = "x-sandbox-speed"
_SPEED_MAX: Final = 1e6


class AnswerTooLong(VenueProtocolError):
    """The body of an answer is longer than its bound."""


class Request(NamedTuple):
    """A request. `json` or `content` is the body, None for no body; `url` is sent as it stands."""

    method: str
    url: str
    json: Any = None
    headers: Mapping[str, str] | None = None
    content: bytes | None = None


class Answer(NamedTuple):
    """The response to a request: status, headers, body."""

    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def retry_after_s(self) -> float | None:
        """The venue's `Retry-After` in seconds; None without one, or for a date."""
        after = self.headers.get("retry-after", "")
        return float(after) if after.isascii() and after.isdigit() and len(after) < 6 else None

    @property
    def refuses_pace(self) -> bool:
        """Whether the venue refuses for too many requests: 429, or the bans 403 and 418."""
        return self.status == _TOO_MANY or self.status in _BANS


def _speed(text: str) -> float | None:
    """Return a speed, None for text that is none."""
    try:
        speed = float(text)
    except ValueError:
        return None
    return speed if 0 < speed <= _SPEED_MAX else None


@functools.cache
def _system_trust() -> ssl.SSLContext:
    """Return the system's certificates, which take 20 ms to read: once in a process."""
    return ssl.create_default_context()


class HttpClient:
    """Connections to one venue, none of them used again after `idle_s` without a request.

    `transport` replaces the network in tests.
    """

    def __init__(
        self,
        *,
        timeout_s: float,
        body_bytes_max: int = BODY_BYTES_MAX,
        transport: httpx.AsyncBaseTransport | None = None,
        idle_s: float = IDLE_S,
    ) -> None:
        self._timeout_s = timeout_s
        self._body_bytes_max = body_bytes_max
        self._limits = httpx.Limits(max_connections=_CONNECTIONS_MAX, keepalive_expiry=idle_s)
        self._transport = transport
        self._trust = _system_trust()
        self._client: httpx.AsyncClient | None = None  # made by the first request, and after a close
        # The venue's seconds per real second, said by a sandbox on this machine; None for a venue.
        self.sandbox_speed: float | None = None

    async def aclose(self) -> None:
        """Close the connections; a later request opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def send(self, request: Request) -> Answer:
        """Send a request once. Raises httpx.HTTPError, VenueProtocolError, AnswerTooLong."""
        method, url, body, headers, content = request
        sent = self._open().stream(method, url, json=body, headers=headers, content=content)
        async with sent as answer:
            if (speed := answer.headers.get(SPEED_HEADER)) and is_loopback(url):
                self.sandbox_speed = _speed(speed)
            return Answer(answer.status_code, answer.headers, await self._read(answer, url))

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = client = httpx.AsyncClient(
                # Answers are small, so compression is not requested: nothing can inflate.
                headers={"accept-encoding": "identity"},
                timeout=self._timeout_s,
                limits=self._limits,
                follow_redirects=False,
                trust_env=False,
                verify=self._trust,
                transport=self._transport,
            )
            # No cookie is kept: a venue could add to every later request.
            client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        return self._client

    async def _read(self, answer: httpx.Response, url: str) -> bytes:
        """Return the body, never more of it than the bound."""
        coding = answer.headers.get("content-encoding", "identity").strip().lower()
        if coding not in ("identity", "gzip"):
            raise VenueProtocolError(f"{url}: answered in {clip(coding, 20)}, which was not requested")
        inflate = zlib.decompressobj(wbits=31) if coding == "gzip" else None
        body = bytearray()
        async for chunk in answer.aiter_raw():
            left = self._body_bytes_max + 1 - len(body)
            try:
                body += chunk[:left] if inflate is None else inflate.decompress(chunk, left)
            except zlib.error as error:
                raise VenueProtocolError(f"{url}: answered with broken gzip") from error
            if len(body) > self._body_bytes_max:
                raise AnswerTooLong(f"{url}: the answer is longer than {self._body_bytes_max} bytes")
        return bytes(body)


class _Again(Exception):
    """This try failed temporarily: the request may be retried."""

    def __init__(self, error: VenueUnreachable, wait_s: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait_s = wait_s


class HttpReader:
    """Reads from one venue. `timeout_s` bounds each try as a whole.

    `refusal` returns the error text for an answer that is the venue's own form of a permanent refusal, "" for
    every other answer. `note` gets every answer, such as to take over the usage that its headers show.
    """

    def __init__(
        self,
        client: HttpClient,
        governor: Governor,
        *,
        timeout_s: float,
        refusal: Callable[[Request, Answer], str],
        note: Callable[[Answer], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._governor = governor
        self._timeout_s = timeout_s
        self._refusal = refusal
        self._note = note

    async def read(self, request: Request, what: str, weight: int, priority: Priority) -> bytes:
        """Return the body of an answer, after at most three tries. Raises VenueError.

        `what` names the request in errors. Raises BudgetSpent where nothing was sent.
        """
        tries = 0
        while True:
            tries += 1
            await self._governor.weigh(weight, priority)
            try:
                with trio.fail_after(self._timeout_s):
                    return await self._try(request, what)
            except trio.TooSlowError:
                again = _Again(VenueUnreachable(f"{request.url}: no answer within {self._timeout_s:g} s"))
            except _Again as error:
                again = error
            wait_s = again.wait_s
            if wait_s is None:
                wait_s = backoff_ms(tries - 1, 1.0, min_ms=_RETRY_MIN_MS, max_ms=_RETRY_MAX_MS) / 1000
            if tries == _TRIES_MAX or wait_s > _RETRY_AFTER_S_MAX:
                again.error.retry_after_s = self._governor.closed_s
                raise again.error
            await trio.sleep(wait_s)

    async def _try(self, request: Request, what: str) -> bytes:
        try:
            answer = await self._client.send(request)
        except httpx.HTTPError as error:
            words = str(error) or type(error).__name__
            raise _Again(VenueUnreachable(f"{request.url}: cannot be reached: {words}")) from error
        self._note(answer)
        if answer.status != 200:
            raise self._error(request, answer, what)
        return answer.body

    def _error(self, request: Request, answer: Answer, what: str) -> VenueError | _Again:
        status = answer.status
        where = f"{request.url}: {what}"
        if 300 <= status < 400:
            target = clip(answer.headers.get("location", ""))
            return VenueProtocolError(
                f"{where}: redirected to {target}, which is refused; give the venue's own address"
            )
        if words := self._refusal(request, answer):
            return VenueProtocolError(f"{where}: {words}")
        if status == _TOO_MANY:
            wait_s = answer.retry_after_s
            self._governor.refused(status, wait_s)
            return _Again(VenueUnreachable(f"{where}: too many requests (HTTP 429); wait a minute"), wait_s)
        if status in _BANS:
            self._governor.refused(status, answer.retry_after_s)
        if status >= 500:
            return _Again(VenueUnreachable(f"{where}: the venue has a fault (HTTP {status})"))
        return VenueProtocolError(f"{where}: refused with HTTP {status}: {clip(answer.body)}")
