"""Signed requests over HTTP: orders, sent once each, and reads, which are tried again.

Promises: the query is encoded and signed once, and sent as it was signed; an order request is written to the
network at most once and is never repeated; its `recvWindow` ends no later than the order expires; a request
without a clear answer is `Lost`. Orders have their own connections, so that a hanging read does not delay
them (N19). The weight and the orders that the venue counts (`X-MBX-...`) are taken over by the governor. No
error shows a query, since that holds a signature.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import httpx
import msgspec
import trio

from adapters.binance.gateway.keys import Signer
from adapters.binance.gateway.outcomes import VenueCode, code_of, outcome_of, words_of
from adapters.transport.deadlines import answer_within_s
from adapters.transport.governor import BudgetSpent, Governor, Priority
from adapters.transport.http import Answer, HttpClient, Request
from adapters.transport.outcomes import Lost, Outcome, send_once
from adapters.transport.text import clip
from engine.backoff import backoff_ms
from engine.errors import VenueError, VenueProtocolError, VenueUnreachable

__all__ = ["ANSWER_S", "BUDGET_S", "Rest", "VenueRefused"]

ANSWER_S: Final = 5.0
"""How long an answer may take; after that the outcome of an order is unknown (N18)."""

BUDGET_S: Final = 2.0
"""How long an order may wait for the venue's limits before it counts as unsent."""

READ_WINDOW_MS: Final = 60_000
ORDER_WINDOW_MS: Final = 60_000
"""The venue takes no longer `recvWindow`: an order that expires later is refused earlier, which is safe."""

_TRIES_MAX: Final = 3
_RETRY_MIN_MS: Final = 250
_RETRY_MAX_MS: Final = 4000
_RETRY_AFTER_S_MAX: Final = 10.0
_ORDER_COUNTS: Final = (
    ("x-mbx-order-count-10s", 10),
    ("x-mbx-order-count-1m", 60),
    ("x-mbx-order-count-1d", 86_400),
)
_Shape = TypeVar("_Shape")


class VenueRefused(VenueProtocolError):
    """The venue refused a read, with its code."""

    def __init__(self, path: str, error: VenueCode) -> None:
        super().__init__(f"{path}: {words_of(error)}")
        self.code = error.code


class Rest:
    """Requests of one account. `venue_ms` returns the venue's time by our clock. `transport` replaces the
    network in tests.
    """

    def __init__(
        self,
        base_url: str,
        signer: Signer,
        governor: Governor,
        venue_ms: Callable[[], int],
        *,
        answer_s: float = ANSWER_S,
        transport: httpx.AsyncBaseTransport | None = None,
        order_transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._signer = signer
        self._governor = governor
        governor.keep_for_account()
        self._venue_ms = venue_ms
        self._answer_s = answer_s
        self._reads = HttpClient(timeout_s=answer_s, transport=transport)
        self._orders = HttpClient(timeout_s=answer_s, transport=order_transport or transport)

    async def aclose(self) -> None:
        """Close the connections; a later request opens new ones."""
        await self._reads.aclose()
        await self._orders.aclose()

    # Orders.

    async def act(
        self,
        method: str,
        path: str,
        params: Mapping[str, str | int],
        priority: Priority,
        *,
        expires_ms: int = 0,
        is_order: bool = False,
    ) -> Outcome:
        """Send a request once; return its outcome. Raises no network errors.

        The venue refuses it after `expires_ms`, if given. `is_order`: it counts as an order.
        """
        try:
            await self._governor.weigh(1, priority, BUDGET_S)
            if is_order:
                await self._governor.order(priority, BUDGET_S)
        except BudgetSpent as error:
            return Lost(str(error), unsent=True)
        now_ms = self._venue_ms()
        window_ms = min(ORDER_WINDOW_MS, expires_ms - now_ms) if expires_ms else ORDER_WINDOW_MS
        if window_ms <= 0:
            return Lost("it was due to expire before it could be sent", unsent=True)
        request = self._request(method, path, {**params, "recvWindow": window_ms, "timestamp": now_ms})
        answer_s = answer_within_s(self._answer_s, expires_ms, now_ms)
        return await send_once(self._orders, request, answer_s, self._outcome)

    def _outcome(self, answer: Answer) -> Outcome:
        self._note(answer)
        return outcome_of(answer.status, answer.body)

    # Reads.

    async def read(
        self,
        path: str,
        params: Mapping[str, str | int],
        shape: type[_Shape],
        weight: int = 1,
        priority: Priority = Priority.ACCOUNT,
        *,
        method: str = "GET",
        signed: bool = True,
    ) -> _Shape:
        """Return a decoded answer, after at most three tries.

        Raises VenueRefused with the venue's code, VenueUnreachable, VenueProtocolError. `method`: of a
        request that may be repeated.
        """
        tries = 0
        while True:
            tries += 1
            await self._governor.weigh(weight, priority)
            wait_s: float | None = None
            try:
                with trio.fail_after(self._answer_s):
                    answer = await self._reads.send(self._read_request(method, path, params, signed=signed))
                self._note(answer)
                if answer.status == 200:
                    return _decoded(path, answer.body, shape)
                failure = self._failure(path, answer)
                if not isinstance(failure, VenueUnreachable):
                    raise failure
                wait_s = answer.retry_after_s
            except trio.TooSlowError:
                failure = VenueUnreachable(f"{path}: no answer within {self._answer_s:g} s")
            except httpx.HTTPError as error:
                failure = VenueUnreachable(f"{path}: cannot be reached: {_words(error)}")
            if wait_s is None:
                wait_s = backoff_ms(tries - 1, 1.0, min_ms=_RETRY_MIN_MS, max_ms=_RETRY_MAX_MS) / 1000
            if tries == _TRIES_MAX or wait_s > _RETRY_AFTER_S_MAX:
                failure.retry_after_s = self._governor.closed_s
                raise failure
            await trio.sleep(wait_s)

    def _read_request(
        self, method: str, path: str, params: Mapping[str, str | int], *, signed: bool
    ) -> Request:
        if not signed:
            return Request(method, self._base_url + path, headers=self._signer.headers())
        given = {**params, "recvWindow": READ_WINDOW_MS, "timestamp": self._venue_ms()}
        return self._request(method, path, given)

    def _request(self, method: str, path: str, params: Mapping[str, str | int]) -> Request:
        query = self._signer.query(params)
        return Request(method, f"{self._base_url}{path}?{query}", headers=self._signer.headers())

    def _note(self, answer: Answer) -> None:
        """Take over what the venue counts, and a refusal for too many requests."""
        if answer.refuses_pace:
            self._governor.refused(answer.status, answer.retry_after_s)
        if (used := _count(answer.headers.get("x-mbx-used-weight-1m", ""))) is not None:
            self._governor.note_weight(used)
        for header, per_s in _ORDER_COUNTS:
            if (used := _count(answer.headers.get(header, ""))) is not None:
                self._governor.note_orders(used, per_s)

    def _failure(self, path: str, answer: Answer) -> VenueError:
        if 300 <= answer.status < 400:
            return VenueProtocolError(f"{path}: redirected, which is refused; give the venue's own address")
        error = code_of(answer.body)
        if answer.status >= 500 or answer.refuses_pace or error is None:
            return VenueUnreachable(f"{path}: HTTP {answer.status}: {clip(answer.body)}")
        return VenueRefused(path, error)


def _decoded(path: str, body: bytes, shape: type[_Shape]) -> _Shape:
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise VenueProtocolError(f"{path}: an answer that cannot be read: {clip(str(error))}") from None


def _count(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _words(error: Exception) -> str:
    return clip(str(error) or type(error).__name__)
