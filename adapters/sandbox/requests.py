"""Answers requests, over HTTP and as posts: within the venue's limits, unless a fault says otherwise.

Owns what happens around an answer: how a body is read, what is refused for its weight, and what a fault does
before or after. Promises the venue's status codes and texts; the body read is bounded, and so are the answers
that are late. What a post refused by a fault is told is made up after the form that is known, an error which
repeats HTTP's status and text. Called by the server.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import trio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from adapters.sandbox.connection import Connection, Link
from adapters.sandbox.exchange.refusals import BadRequest
from adapters.sandbox.faults import Faults
from adapters.sandbox.hub import Hub, post_error
from adapters.sandbox.info import Info
from adapters.sandbox.limits import TOO_MANY, VenueLimits
from adapters.sandbox.wire import Post, error_frame

__all__ = ["Requests"]

_BODY_BYTES_MAX: Final = 1_000_000


class Requests:
    """Answers requests.

    `reach_now` plays the tape up to now and returns that time in ms; `restart` is told for how many ms
    everything shall be away.
    """

    def __init__(
        self,
        hub: Hub,
        info: Info,
        limits: VenueLimits,
        faults: Faults,
        *,
        reach_now: Callable[[], int],
        restart: Callable[[int], None],
    ) -> None:
        self._hub = hub
        self._info = info
        self._limits = limits
        self._faults = faults
        self._reach_now = reach_now
        self._restart = restart

    async def answer(self, request: Request, scope: str, link: Link) -> Response:
        """Answer an HTTP request; `scope` is info or exchange."""
        body = await _body(request)
        if isinstance(body, Response):
            return body
        fault = self._faults.of_request(scope)
        kind, ms = (fault.kind, fault.ms) if fault else ("", 0)
        if kind == "429":
            after = {"retry-after": str(math.ceil(ms / 1000))} if ms else {}
            return Response(TOO_MANY, 429, after, "text/plain")
        if not self._limits.request(body, action=scope == "exchange"):
            return _text(429, TOO_MANY)
        if kind == "5xx":
            status, text = self._faults.failure()
            return Response(text, status, media_type="text/html")
        if kind == "swallow":
            link.abort()
        elif kind == "restart":
            self._restart(ms)
        if link.scope.cancel_called:
            return Response(status_code=503)  # which nobody will read
        answer = self._inform(body) if scope == "info" else self._act(body)
        if kind == "lost-reply":
            link.abort()
        elif kind == "late-reply":
            await trio.sleep(ms / 1000)
        return answer

    def post(self, peer: Connection, link: Link, post: Post, nursery: trio.Nursery) -> None:
        """Answer a post; a late answer is sent from the nursery, which is the connection's."""
        fault = self._faults.of_request("info" if post.request.type == "info" else "exchange")
        kind, ms = (fault.kind, fault.ms) if fault else ("", 0)
        if kind == "late-reply" and not self._limits.post_begins():
            peer.send(error_frame(f"Too many inflight posts id={post.id}"))
        elif kind == "429":
            peer.send(_refused(post, 429, TOO_MANY))
        elif kind == "5xx":
            peer.send(_refused(post, *self._faults.failure()))
        elif kind == "swallow":
            link.abort()
        elif kind == "restart":
            self._restart(ms)
        else:
            answer = self._hub.answer_post(post, self._reach_now())
            if kind == "late-reply":
                nursery.start_soon(self._send_late, peer, answer, ms)
            elif kind == "lost-reply":
                link.abort()
            else:
                peer.send(answer)

    async def _send_late(self, peer: Connection, answer: str, ms: int) -> None:
        try:
            await trio.sleep(ms / 1000)
            peer.send(answer)
        finally:
            self._limits.post_ends()

    def _inform(self, body: bytes) -> Response:
        answer = self._info.answer(body, self._reach_now())
        if answer.text:
            return _text(answer.status, answer.body)
        self._limits.rows(answer.type, answer.body)
        return Response(answer.body, answer.status, media_type="application/json")

    def _act(self, body: bytes) -> Response:
        try:
            return Response(self._hub.act(body, self._reach_now()), media_type="application/json")
        except BadRequest as refused:
            return _text(refused.status, str(refused))


async def _body(request: Request) -> bytes | Response:
    """Return the body of a JSON request, or the answer to one that is none."""
    if request.method != "POST":
        return Response(status_code=405, headers={"allow": "POST"})
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return _text(415, "Expected request with `Content-Type: application/json`")
    body = bytearray()
    try:
        async with contextlib.aclosing(request.stream()) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > _BODY_BYTES_MAX:
                    return _text(413, "length limit exceeded")
    except ClientDisconnect:
        return Response(status_code=400)
    return bytes(body)


def _refused(post: Post, status: int, text: str) -> str:
    return post_error(post, f"{status} {HTTPStatus(status).phrase}: {text}")


def _text(status: int, text: str) -> Response:
    return Response(text, status, media_type="text/plain")
