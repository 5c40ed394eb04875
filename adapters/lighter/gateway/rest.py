"""HTTP of one account: transactions, signed and sent once each in the order of their numbers, and reads.

Owns the number that the key's next transaction has. Promises: one transaction of the key is under way at a
time, the most urgent first; one is written to the network at most once and never repeated; it expires at the
venue when its command does. After a refusal the number stays, since the venue did not use it; after a lost
answer, or a refusal because of the number, the venue is asked for it, so a transaction that is still on its
way and a later one of the same number cannot both be executed. Transactions have connections of their own, so
that a hanging read does not delay them. No error shows a token.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from typing import Final, TypeVar
from urllib.parse import urlencode

import httpx
import trio

from adapters.lighter.gateway.account_wire import NonceAnswer
from adapters.lighter.gateway.keys import Signer
from adapters.lighter.gateway.outcomes import NONCES, outcome_of
from adapters.lighter.info_wire import Answer as Shape
from adapters.lighter.info_wire import StatusAnswer
from adapters.lighter.limits import weight_of
from adapters.lighter.signing import SignedTransaction, Transaction
from adapters.transport.deadlines import answer_within_s
from adapters.transport.decoding import decode_body
from adapters.transport.governor import BudgetSpent, Governor, Priority
from adapters.transport.http import Answer, HttpClient, HttpReader, Request
from adapters.transport.outcomes import Done, Lost, Outcome, Refused, send_once
from adapters.transport.text import clip
from engine.errors import VenueError, VenueProtocolError

__all__ = ["ANSWER_S", "BUDGET_S", "CANCEL_MS", "Rest"]

ANSWER_S: Final = 5.0
"""How long an answer may take; after that the outcome of a transaction is unknown."""

BUDGET_S: Final = 2.0
"""How long a transaction may wait for the venue's limits before it counts as unsent."""

CANCEL_MS: Final = 60_000
"""When a transaction without an expiry of its own expires: a late cancel does no harm."""

_BOUNDARY: Final = "retape-form-7d3a9c51e0"
_Shape = TypeVar("_Shape")


class Rest:
    """Requests of one account. `venue_ms` returns the venue's time by our clock; `chain` is signed with.

    `transport` and `order_transport` replace the network in tests.
    """

    def __init__(
        self,
        base_url: str,
        chain: int,
        signer: Signer,
        governor: Governor,
        venue_ms: Callable[[], int],
        *,
        answer_s: float = ANSWER_S,
        transport: httpx.AsyncBaseTransport | None = None,
        order_transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._chain = chain
        self.signer = signer
        self._governor = governor
        governor.keep_for_account()
        self._venue_ms = venue_ms
        self._answer_s = answer_s
        self._reads = HttpClient(timeout_s=answer_s, transport=transport)
        self._orders = HttpClient(timeout_s=answer_s, transport=order_transport or transport)
        self._reader = HttpReader(
            self._reads, governor, timeout_s=answer_s, refusal=_refusal, note=self._note
        )
        self._nonce: int | None = None
        self._turns = _Turns()

    async def aclose(self) -> None:
        """Close the connections; a later request opens new ones."""
        await self._reads.aclose()
        await self._orders.aclose()

    # Transactions.

    async def act(
        self, kind: str, members: Mapping[str, int], priority: Priority, expires_ms: int = 0
    ) -> Outcome:
        """Sign and send a transaction once; return its outcome. Raises no network errors.

        The venue does not execute it after `expires_ms`, if given.
        """
        async with self._turns.next(priority):
            try:
                await self._governor.weigh(weight_of("sendTx"), priority, BUDGET_S)
                if self._nonce is None:
                    self._nonce = await self._next_nonce()
            except BudgetSpent as error:
                return Lost(str(error), unsent=True)
            except VenueError as error:
                return Lost(f"the number of the transaction cannot be read: {error}", unsent=True)
            now_ms = self._venue_ms()
            if expires_ms and expires_ms <= now_ms:
                return Lost("it was due to expire before it could be sent", unsent=True)
            until_ms = expires_ms or now_ms + CANCEL_MS
            signed = self.signer.sign(Transaction(kind, members, self._nonce, until_ms), self._chain)
            answer_s = answer_within_s(self._answer_s, expires_ms, now_ms)
            number, self._nonce = self._nonce, None  # unknown, if this is cancelled now
            outcome = await send_once(self._orders, self._request(signed), answer_s, self._outcome)
            if isinstance(outcome, Done):
                self._nonce = number + 1
            elif isinstance(outcome, Refused):
                self._nonce = None if outcome.code in NONCES else number
            elif outcome.unsent:
                self._nonce = number
            return outcome

    def _request(self, signed: SignedTransaction) -> Request:
        """Return the form in which the venue's own client sends a transaction."""
        fields = {"tx_type": str(signed.tx_type), "tx_info": signed.tx_info}
        parts = [
            f'--{_BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        ]
        body = "".join(parts) + f"--{_BOUNDARY}--\r\n"
        headers = {"content-type": f"multipart/form-data; boundary={_BOUNDARY}"}
        return Request("POST", f"{self._base_url}/api/v1/sendTx", None, headers, body.encode())

    def _outcome(self, answer: Answer) -> Outcome:
        self._note(answer)
        return outcome_of(answer)

    async def _next_nonce(self) -> int:
        signer = self.signer
        asked = {"account_index": signer.account, "api_key_index": signer.index}
        return (await self.read("nextNonce", asked, NonceAnswer, signed=False)).nonce

    # Reads.

    async def now_ms(self) -> tuple[int, int]:
        """Return the venue's clock, as the earliest and the latest time that it may be. Raises VenueError."""
        body = await self._read(f"{self._base_url}/", "status", weight_of(""), {})
        at = decode_body(body, StatusAnswer).timestamp
        return (at, at) if at > 100_000_000_000 else (at * 1000, at * 1000 + 999)

    async def read(
        self, path: str, query: Mapping[str, str | int], shape: type[_Shape], *, signed: bool = True
    ) -> _Shape:
        """Return a decoded answer, after at most three tries. Raises VenueError."""
        headers = {"authorization": self.signer.token(self._venue_ms() // 1000)} if signed else {}
        url = f"{self._base_url}/api/v1/{path}" + (f"?{urlencode(query)}" if query else "")
        body = await self._read(url, path, weight_of(path), headers)
        found = decode_body(body, shape)
        if isinstance(found, Shape) and found.code != 200:
            raise VenueProtocolError(f"{url}: refused with code {found.code}: {clip(found.message or '')}")
        return found

    async def _read(self, url: str, what: str, weight: int, headers: Mapping[str, str]) -> bytes:
        return await self._reader.read(Request("GET", url, None, headers), what, weight, Priority.ACCOUNT)

    def _note(self, answer: Answer) -> None:
        if answer.refuses_pace:
            self._governor.refused(answer.status, answer.retry_after_s)


class _Turns:
    """One transaction at a time: of those that wait the most urgent, then the first that came."""

    def __init__(self) -> None:
        self._busy = False
        self._count = 0
        self._waiting: list[tuple[int, int, trio.Event]] = []

    def next(self, priority: Priority) -> _Turn:
        """Return the turn, to be entered."""
        return _Turn(self, priority)

    async def begin(self, priority: Priority) -> None:
        """Wait for a turn."""
        if not self._busy:
            self._busy = True
            return
        self._count += 1
        entry = int(priority), self._count, trio.Event()
        heapq.heappush(self._waiting, entry)
        try:
            await entry[2].wait()
        except trio.Cancelled:
            if entry in self._waiting:
                self._waiting.remove(entry)
                heapq.heapify(self._waiting)
            else:
                self.end()  # It was this one's turn.
            raise

    def end(self) -> None:
        """Let the next one go on."""
        if self._waiting:
            heapq.heappop(self._waiting)[2].set()
        else:
            self._busy = False


class _Turn:
    def __init__(self, turns: _Turns, priority: Priority) -> None:
        self._turns = turns
        self._priority = priority

    async def __aenter__(self) -> None:
        await self._turns.begin(self._priority)

    async def __aexit__(self, *_: object) -> None:
        self._turns.end()


def _refusal(_: Request, answer: Answer) -> str:
    """Return the text of the venue's own form of a refusal, "" for every other answer."""
    if not 400 <= answer.status < 500 or answer.refuses_pace:
        return ""
    try:
        found = decode_body(answer.body, Shape)
    except VenueError:
        return ""
    return f"refused with code {found.code}: {clip(found.message or '')}" if found.code != 200 else ""
