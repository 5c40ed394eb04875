"""The account's own websocket: fills, order updates, events; and posts, where orders go that way.

Owns one connection at a time. Promises: `up` is called when every subscription is confirmed, `down` with
each loss and the wait after it; frames reach `take` in order; a post whose answer does not come, or whose
connection is lost, is `Lost`. One user per connection, since order updates do not say whose they are.
Called by the gateway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec
import trio

from adapters.hyperliquid.connection import Connection, Dial, Loss, dial_url
from adapters.hyperliquid.gateway.account_wire import (
    AccountFrame,
    AckFrame,
    ErrorFrame,
    EventsFrame,
    FillsFrame,
    PostFrame,
    UpdatesFrame,
    decode_account_message,
)
from adapters.hyperliquid.gateway.outcomes import Lost, Outcome, Refused, read_outcomes
from adapters.hyperliquid.gateway.sender import ANSWER_S, BUDGET_S
from adapters.hyperliquid.governor import BudgetSpent, Governor, Priority
from adapters.hyperliquid.health import FeedLimits
from adapters.hyperliquid.info import websocket_url
from adapters.hyperliquid.wire import clip
from engine.errors import VenueProtocolError

__all__ = ["AccountStream", "StreamHost"]

CHANNELS: Final = ("userFills", "orderUpdates", "userEvents")
_encode = msgspec.json.Encoder().encode


class StreamHost(Protocol):
    """The gateway, as its stream sees it."""

    def stream_up(self) -> None:
        """Every subscription is confirmed."""
        ...

    def stream_down(self, reason: str, backoff_ms: int) -> None:
        """The connection is lost; the next one is tried after the backoff."""
        ...

    async def take(self, frame: AccountFrame) -> None:
        """A frame of fills, updates or events. Raises VenueProtocolError."""
        ...


class AccountStream:
    """The stream of one account; a `Sender` too."""

    def __init__(
        self,
        base_url: str,
        account: str,
        host: StreamHost,
        governor: Governor,
        jitter: Callable[[], float],
        *,
        limits: FeedLimits | None = None,
        dial: Dial | None = None,
        answer_s: float = ANSWER_S,
    ) -> None:
        self._url = websocket_url(base_url)
        self._account = account
        self._host = host
        self._governor = governor
        self._jitter = jitter
        self._limits = limits or FeedLimits()
        self._dial = dial or dial_url(self._url)
        self._answer_s = answer_s
        self._connection: Connection | None = None
        self._unconfirmed: set[str] = set()
        self._posts: dict[int, tuple[trio.Event, list[PostFrame]]] = {}
        self._post_id = 0
        self.live = False

    async def run(self) -> None:
        """Keep the stream up until cancelled."""
        failures = 0
        while True:
            self._unconfirmed = set(CHANNELS)
            self._connection = Connection(
                self._url,
                self._dial,
                self._limits,
                self._subscribe,
                self._take,
                self._governor,
                Priority.ACCOUNT,
            )
            loss = await self._connection.run()
            failures = 0 if self.live else failures + 1
            self.live = False
            for answered, _ in self._posts.values():
                answered.set()
            limits = self._limits
            bound = min(limits.backoff_s_max, limits.backoff_s_min * 2.0 ** min(failures, 20))
            if loss.patient:
                bound = limits.backoff_s_max
            backoff_ms = round(1000 * bound * (1 + self._jitter()) / 2)
            self._host.stream_down(loss.reason, backoff_ms)
            await trio.sleep(backoff_ms / 1000)

    async def _subscribe(self) -> None:
        connection = self._connection
        assert connection is not None, "called by a connection"
        deadline = trio.current_time() + self._limits.confirm_s
        for channel in CHANNELS:
            subscription = {"type": channel, "user": self._account}
            await connection.send(_encode({"method": "subscribe", "subscription": subscription}).decode())
        await trio.sleep_until(deadline)
        if self._unconfirmed:
            missing = min(self._unconfirmed)
            connection.lose(Loss(f"{missing} was not confirmed within {self._limits.confirm_s:g} s"))

    async def _take(self, message: str | bytes) -> None:
        connection = self._connection
        assert connection is not None, "called by a connection"
        try:
            frame = decode_account_message(message)
            if isinstance(frame, FillsFrame | UpdatesFrame | EventsFrame):
                await self._host.take(frame)
            elif isinstance(frame, AckFrame):
                self._confirm(frame)
            elif isinstance(frame, PostFrame):
                waiting = self._posts.get(frame.data.id)
                if waiting is not None:
                    waiting[1].append(frame)
                    waiting[0].set()
            elif isinstance(frame, ErrorFrame) and not self.live:
                connection.lose(Loss(f"a subscription is refused: {clip(frame.data)}"))
        except VenueProtocolError as error:
            connection.lose(Loss(f"a message that cannot be used: {error}"))

    def _confirm(self, frame: AckFrame) -> None:
        if frame.data.method == "subscribe":
            self._unconfirmed.discard(frame.data.subscription.type)
        if not self._unconfirmed and not self.live:
            self.live = True
            self._host.stream_up()

    async def send(self, body: dict[str, Any], entries: int, priority: Priority) -> list[Outcome]:
        """Post an action; see `Sender`."""
        connection = self._connection
        if connection is None or not self.live:
            return [Lost("the account's stream is down", unsent=True)] * entries
        self._post_id += 1
        number = self._post_id
        answered = trio.Event()
        frames: list[PostFrame] = []
        self._posts[number] = (answered, frames)
        request = {"type": "action", "payload": body}
        text = _encode({"method": "post", "id": number, "request": request}).decode()
        try:
            async with self._governor.post(priority, BUDGET_S):
                with trio.move_on_after(self._answer_s):
                    await connection.send(text)
                    await answered.wait()
        except BudgetSpent as error:
            return [Lost(str(error), unsent=True)] * entries
        finally:
            del self._posts[number]
        if not frames:
            words = f"no answer to a post within {self._answer_s:g} s, or the stream was lost"
            return [Lost(words)] * entries
        response = frames[0].data.response
        if response.type == "action":
            return read_outcomes(response.payload, entries)
        words = clip(bytes(response.payload))
        if response.type == "error" and bytes(response.payload)[1:4] in (b"400", b"415", b"422"):
            return [Refused(words, whole=True)] * entries
        return [Lost(words)] * entries

    async def aclose(self) -> None:
        """Nothing of its own is left open."""
