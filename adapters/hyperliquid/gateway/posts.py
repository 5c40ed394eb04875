"""The account's stream, and posts: actions sent over it instead of over HTTP.

Owns the subscriptions of an account and the posts in flight. Promises: a post is written at most once, and
its outcome is `Lost` if no answer comes or the connection is lost. One user per connection, since order
updates do not say whose they are. The connection itself is a `Stream` of `adapters/transport`. Called by the
gateway.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec
import trio

from adapters.hyperliquid.envelope import (
    CONTROLS,
    FRAME_BYTES_MAX,
    PING,
    ErrorFrame,
    read_control,
    subscribe_text,
)
from adapters.hyperliquid.gateway.account_wire import AccountFrame, PostFrame, decode_account_message
from adapters.hyperliquid.gateway.outcomes import Lost, Outcome, read_outcomes
from adapters.hyperliquid.gateway.sender import ANSWER_S, BUDGET_S, refusal_of
from adapters.hyperliquid.limits import action_weight
from adapters.transport.connection import Connection
from adapters.transport.governor import BudgetSpent, Governor, Priority
from adapters.transport.protocol import Control, Subscription
from adapters.transport.stream import Stream
from adapters.transport.text import clip

__all__ = ["CHANNELS", "AccountProtocol", "PostSender", "Posts", "account_subscriptions"]

CHANNELS: Final = ("userFills", "orderUpdates", "userEvents", "userNonFundingLedgerUpdates")

_encode = msgspec.json.Encoder().encode
_STATUS: Final = re.compile(r"\s*([0-9]{3})\b")
_POST_NUMBER: Final = re.compile(r"\bid=([0-9]{1,18})\s*$")


def account_subscriptions(user: str) -> list[Subscription]:
    """Return what the stream of an account subscribes to; confirmed by type, since the venue adds members."""
    return [Subscription(channel, subscribe_text(channel, user=user), channel) for channel in CHANNELS]


class _Post:
    """A post in flight: `answer` stays None when it is lost, for the reason in `lost`."""

    def __init__(self) -> None:
        self.settled = trio.Event()
        self.answer: PostFrame | None = None
        self.lost = ""

    def settle(self, answer: PostFrame | None, lost: str = "") -> None:
        """Set the answer, or the reason of the loss; only the first call counts."""
        if not self.settled.is_set():
            self.answer, self.lost = answer, lost
            self.settled.set()


class Posts:
    """The posts in flight, by number."""

    def __init__(self) -> None:
        self._posts: dict[int, _Post] = {}  # bounded by the governor's limit of posts in flight
        self._last = 0

    def number(self) -> int:
        """Return the number of the next post."""
        self._last += 1
        return self._last

    def open(self, number: int) -> _Post:
        """Begin to wait for the answer to a post."""
        post = self._posts[number] = _Post()
        return post

    def close(self, number: int) -> None:
        """Stop waiting for the answer."""
        del self._posts[number]

    def answer(self, frame: PostFrame) -> None:
        """Take an answer."""
        if post := self._posts.get(frame.data.id):
            post.settle(frame)

    def refuse(self, text: str) -> bool:
        """Apply an error frame of the venue; return whether it names a post.

        It is not documented whether such a post was carried out, so it is lost, not refused.
        """
        named = _POST_NUMBER.search(text)
        post = self._posts.get(int(named[1])) if named is not None else None
        if post is not None:
            post.settle(None, clip(text))
        return post is not None

    def lose(self) -> None:
        """Mark all posts as lost: the connection is lost."""
        for post in self._posts.values():
            post.settle(None, "the connection was lost before the answer came")


class AccountProtocol:
    """The stream of one account. See `adapters.transport.protocol.StreamProtocol`."""

    ping: Final = PING
    message_bytes_max: Final = FRAME_BYTES_MAX
    controls: Final = CONTROLS | {PostFrame}

    def __init__(self, posts: Posts) -> None:
        self._posts = posts
        self.decode: Callable[[str | bytes], AccountFrame] = decode_account_message

    def read_control(self, frame: AccountFrame) -> Control:
        """See `StreamProtocol`. An answer to a post goes to the post."""
        if isinstance(frame, PostFrame):
            self._posts.answer(frame)
            return None
        if isinstance(frame, ErrorFrame) and self._posts.refuse(frame.data):
            return None
        return read_control(frame, lambda echo: echo.type)


class PostSender:
    """A `Sender` over the account's stream."""

    def __init__(
        self, stream: Stream, posts: Posts, governor: Governor, *, answer_s: float = ANSWER_S
    ) -> None:
        self._stream = stream
        self._posts = posts
        self._governor = governor
        self._answer_s = answer_s

    async def send(
        self, body: dict[str, Any], entries: int, priority: Priority, within_s: float = ANSWER_S
    ) -> list[Outcome]:
        """Post an action; see `Sender`. Its weight is counted, as over HTTP."""
        connection = self._stream.connection
        if connection is None or not self._stream.live:
            return [Lost("the account's stream is down", unsent=True)] * entries
        answer_s = min(self._answer_s, within_s)
        number = self._posts.number()
        request = {"type": "action", "payload": body}
        text = _encode({"method": "post", "id": number, "request": request}).decode()
        try:
            await self._governor.weigh(action_weight(entries), priority, BUDGET_S)
            async with self._governor.post(priority, BUDGET_S):
                post = await self._post(number, text, connection, priority, answer_s)
        except BudgetSpent as error:
            return [Lost(str(error), unsent=True)] * entries
        if post.answer is None:
            return [Lost(post.lost or f"no answer to a post within {answer_s:g} s")] * entries
        response = post.answer.data.response
        if response.type == "action":
            return read_outcomes(response.payload, entries)
        words = clip(bytes(response.payload))
        status = _STATUS.match(words.strip('"'))
        if response.type == "error" and status is not None:
            return refusal_of(int(status[1]), words, entries)
        return [Lost(words)] * entries

    async def _post(
        self, number: int, text: str, connection: Connection, priority: Priority, answer_s: float
    ) -> _Post:
        """Write a post and wait for its answer. Raises BudgetSpent, and then nothing was written.

        The write has its own deadline, after which the connection is closed: a partial frame would corrupt
        it.
        """
        post = self._posts.open(number)
        try:
            if not await connection.send(text, priority, BUDGET_S):
                post.settle(None, "it could not be written whole")
            with trio.move_on_after(answer_s):
                await post.settled.wait()
        finally:
            self._posts.close(number)
        return post

    async def aclose(self) -> None:
        """Do nothing: the stream closes its own connection."""
