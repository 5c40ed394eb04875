"""The account's own websocket: fills, order updates, events; and posts, where orders go that way.

Owns one connection at a time. Promises: `stream_up` is called when every subscription is confirmed, with
what came before that behind it; `stream_down` with each loss and the wait after it; frames reach `take` in
order; a post is written at most once, and one whose answer does not come, or whose connection is lost, is
`Lost`. One user per connection, since order updates do not say whose they are. Called by the gateway.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec
import trio

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
from adapters.hyperliquid.gateway.outcomes import Lost, Outcome, read_outcomes
from adapters.hyperliquid.gateway.sender import ANSWER_S, BUDGET_S, refusal_of
from adapters.hyperliquid.info import websocket_url
from adapters.hyperliquid.limits import action_weight
from adapters.transport.connection import Connection, Dial, Loss, dial_url
from adapters.transport.governor import BudgetSpent, Governor, Priority
from adapters.transport.health import FeedLimits
from adapters.transport.text import clip
from engine.errors import UsageError, VenueProtocolError

__all__ = ["AccountStream", "StreamHost"]

CHANNELS: Final = ("userFills", "orderUpdates", "userEvents")
HELD_MAX: Final = 100
"""Frames kept until every subscription is confirmed; more is a venue that does not confirm."""

_encode = msgspec.json.Encoder().encode
_STATUS: Final = re.compile(r"\s*([0-9]{3})\b")
_POST_NUMBER: Final = re.compile(r"\bid=([0-9]{1,18})\s*$")


class StreamHost(Protocol):
    """The gateway, as its stream sees it."""

    async def stream_up(self) -> None:
        """Every subscription is confirmed."""
        ...

    async def stream_down(self, reason: str, backoff_ms: int) -> None:
        """The connection is lost; the next one is tried after the backoff."""
        ...

    async def take(self, frame: AccountFrame) -> None:
        """A frame of fills, updates or events. Raises VenueProtocolError."""
        ...


class _Post:
    """A post in flight: `answer` stays None when it is lost, for the reason in `lost`."""

    def __init__(self) -> None:
        self.settled = trio.Event()
        self.answer: PostFrame | None = None
        self.lost = ""

    def settle(self, answer: PostFrame | None, lost: str = "") -> None:
        """Take the first of an answer and a loss."""
        if not self.settled.is_set():
            self.answer, self.lost = answer, lost
            self.settled.set()


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
        self._held: list[AccountFrame] = []
        self.live = False
        self._posts: dict[int, _Post] = {}  # at most what the governor lets be in flight
        self._post_id = 0

    async def run(self) -> None:
        """Keep the stream up until cancelled. `live`: every subscription is confirmed now."""
        failures = 0
        while True:
            try:
                loss = await self._connect()
                # One that came up was no failure; how often that may be is the governor's to say.
                failures = 0 if self.live else failures + 1
            finally:
                self.live = False
                for post in self._posts.values():
                    post.settle(None, "the connection was lost before the answer came")
            backoff_ms = self._backoff_ms(failures, loss)
            await self._host.stream_down(loss.reason, backoff_ms)
            await trio.sleep(backoff_ms / 1000)

    async def _connect(self) -> Loss:
        self._unconfirmed = set(CHANNELS)
        self._held = []
        self._connection = Connection(
            self._url, self._dial, self._limits, self._subscribe, self._take, self._governor, Priority.ACCOUNT
        )
        try:
            with self._governor.subscriptions(len(CHANNELS)):
                return await self._connection.run()
        except UsageError as error:
            return Loss(str(error), patient=True)

    async def _subscribe(self) -> None:
        """Ask for everything, and give up on a venue that does not confirm it in time."""
        connection = self._connection
        assert connection is not None, "called by a connection"
        try:
            for channel in CHANNELS:
                subscription = {"type": channel, "user": self._account}
                request = _encode({"method": "subscribe", "subscription": subscription}).decode()
                await connection.send(request, within_s=self._limits.confirm_s)
        except BudgetSpent as error:
            connection.lose(Loss(str(error)))
        await trio.sleep(self._limits.confirm_s)
        if self._unconfirmed:
            missing = min(self._unconfirmed)
            connection.lose(Loss(f"{missing} was not confirmed within {self._limits.confirm_s:g} s"))

    async def _take(self, message: str | bytes) -> None:
        connection = self._connection
        assert connection is not None, "called by a connection"
        try:
            frame = decode_account_message(message)
            if isinstance(frame, FillsFrame | UpdatesFrame | EventsFrame):
                if self.live:
                    await self._host.take(frame)
                elif len(self._held) < HELD_MAX:
                    self._held.append(frame)
                else:
                    connection.lose(Loss(f"too much data before {min(self._unconfirmed)} was confirmed"))
            elif isinstance(frame, AckFrame):
                await self._confirm(frame)
            elif isinstance(frame, PostFrame):
                if post := self._posts.get(frame.data.id):
                    post.settle(frame)
            elif isinstance(frame, ErrorFrame):
                self._complaint(frame.data, connection)
        except VenueProtocolError as error:
            connection.lose(Loss(f"a message that cannot be used: {error}"))

    async def _confirm(self, frame: AckFrame) -> None:
        if frame.data.method == "subscribe":
            self._unconfirmed.discard(frame.data.subscription.type)
        if not self._unconfirmed and not self.live:
            self.live = True
            await self._host.stream_up()
            held, self._held = self._held, []
            for one in held:
                await self._host.take(one)

    def _complaint(self, text: str, connection: Connection) -> None:
        """The venue refuses a post, which it names, or a subscription, which can only be before we are live.

        Whether a post it does not take was read first is not documented: it is lost, not refused.
        """
        named = _POST_NUMBER.search(text)
        post = self._posts.get(int(named[1])) if named is not None else None
        if post is not None:
            post.settle(None, clip(text))
        elif not self.live:
            connection.lose(Loss(f"a subscription is refused: {clip(text)}"))

    def _backoff_ms(self, failures: int, loss: Loss) -> int:
        """Return the wait: half of a bound that doubles with each failure, and chance for the other half."""
        limits = self._limits
        bound: float = min(limits.backoff_s_max, limits.backoff_s_min * 2.0 ** min(failures, 20))
        if loss.patient:
            bound = limits.backoff_s_max
        return round(1000 * bound * (1 + min(1.0, max(0.0, self._jitter()))) / 2)

    # Posts.

    async def send(self, body: dict[str, Any], entries: int, priority: Priority) -> list[Outcome]:
        """Post an action; see `Sender`. Its weight counts, since nobody knows that it does not."""
        connection = self._connection
        if connection is None or not self.live:
            return [Lost("the account's stream is down", unsent=True)] * entries
        self._post_id += 1
        request = {"type": "action", "payload": body}
        text = _encode({"method": "post", "id": self._post_id, "request": request}).decode()
        try:
            await self._governor.weigh(action_weight(entries), priority, BUDGET_S)
            async with self._governor.post(priority, BUDGET_S):
                post = await self._post(self._post_id, text, connection, priority)
        except BudgetSpent as error:
            return [Lost(str(error), unsent=True)] * entries
        if post.answer is None:
            return [Lost(post.lost or f"no answer to a post within {self._answer_s:g} s")] * entries
        response = post.answer.data.response
        if response.type == "action":
            return read_outcomes(response.payload, entries)
        words = clip(bytes(response.payload))
        status = _STATUS.match(words.strip('"'))
        if response.type == "error" and status is not None:
            return refusal_of(int(status[1]), words, entries)
        return [Lost(words)] * entries

    async def _post(self, number: int, text: str, connection: Connection, priority: Priority) -> _Post:
        """Write a post and wait for what becomes of it. Raises BudgetSpent, and then nothing was written.

        The write has its own deadline, after which the connection is given up: half a frame would spoil it.
        """
        post = self._posts[number] = _Post()
        try:
            if not await connection.send(text, priority, BUDGET_S):
                post.settle(None, "it could not be written whole")
            with trio.move_on_after(self._answer_s):
                await post.settled.wait()
        finally:
            del self._posts[number]
        return post

    async def aclose(self) -> None:
        """Nothing of its own is left open."""
