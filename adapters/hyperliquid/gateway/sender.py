"""Sends signed actions over HTTP, once each, and returns their outcomes.

Promises: an action is written to the network at most once; an action without a clear answer is `Lost`,
and `unsent` only where nothing can have left this machine. No redirect is followed. Orders have their own
connections, so that a hanging read does not delay them (N19).
"""

from __future__ import annotations

from typing import Any, Final, Protocol

import httpx
import trio

from adapters.hyperliquid.gateway.outcomes import Lost, Outcome, Refused, read_outcomes
from adapters.hyperliquid.limits import action_weight
from adapters.hyperliquid.networks import check_base_url
from adapters.transport.governor import BudgetSpent, Governor, Priority
from adapters.transport.http import AnswerTooLong, HttpClient, Request
from adapters.transport.text import clip
from engine.errors import VenueProtocolError

__all__ = ["ANSWER_S", "BUDGET_S", "RestSender", "Sender", "read_answer", "refusal_of"]

ANSWER_S: Final = 5.0
"""How long an answer may take; after that the outcome is unknown (N18)."""

BUDGET_S: Final = 2.0
"""How long an action may wait for the venue's limits before it counts as unsent."""

_BODY_BYTES_MAX: Final = 1 << 20
_REFUSALS: Final = frozenset({400, 404, 405, 413, 415, 422})
"""HTTP statuses with which the venue refuses a request before it carries out any of it."""


class Sender(Protocol):
    """Sends actions to the venue."""

    async def send(
        self, body: dict[str, Any], entries: int, priority: Priority, within_s: float = ANSWER_S
    ) -> list[Outcome]:
        """Send a request once; return an outcome for each of its entries. Raises no network errors.

        Its answer is waited for `within_s`, and no longer than the sender itself waits.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


class RestSender:
    """POSTs to `/exchange`. `transport` replaces the network in tests."""

    def __init__(
        self,
        base_url: str,
        governor: Governor,
        *,
        answer_s: float = ANSWER_S,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = f"{check_base_url(base_url)}/exchange"
        self._governor = governor
        self._answer_s = answer_s
        self._client = HttpClient(timeout_s=answer_s, body_bytes_max=_BODY_BYTES_MAX, transport=transport)

    async def send(
        self, body: dict[str, Any], entries: int, priority: Priority, within_s: float = ANSWER_S
    ) -> list[Outcome]:
        """See `Sender`."""
        try:
            await self._governor.weigh(action_weight(entries), priority, BUDGET_S)
        except BudgetSpent as error:
            return [Lost(str(error), unsent=True)] * entries
        answer_s = min(self._answer_s, within_s)
        lost = Lost(f"no answer within {answer_s:g} s")
        with trio.move_on_after(answer_s):
            try:
                answer = await self._client.send(Request("POST", self._url, body))
                if answer.refuses_pace:
                    self._governor.refused(answer.status, answer.retry_after_s)
                return read_answer(answer.status, answer.body, entries)
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
                lost = Lost(f"no connection: {clip(str(error) or type(error).__name__)}", unsent=True)
            except httpx.HTTPError as error:
                lost = Lost(f"{type(error).__name__}: {clip(str(error))}")
            except AnswerTooLong:
                lost = Lost("an answer that is too long")
            except VenueProtocolError as error:
                lost = Lost(str(error))
        return [lost] * entries

    async def aclose(self) -> None:
        """Close the connections; a later action opens new ones."""
        await self._client.aclose()


def read_answer(status: int, data: bytes, entries: int) -> list[Outcome]:
    """Return what an HTTP answer means. An action refused with 429 may have been executed: it is lost."""
    if status == 200:
        return read_outcomes(data, entries)
    return refusal_of(status, clip(data), entries)


def refusal_of(status: int, words: str, entries: int) -> list[Outcome]:
    """Return what an HTTP status other than 200 means for every entry of an action."""
    text = f"HTTP {status}: {words}"
    if status in _REFUSALS:
        return [Refused(text, whole=True)] * entries
    return [Lost(text)] * entries
