"""Answers requests sent over HTTP or as websocket posts, and applies rate limits and request faults.

Reads the body, refuses requests beyond the weight limit, and applies faults before or after the answer. Uses
the venue's status codes and texts. The size of a body and the number of late answers are bounded. The venue's
answer to a post refused with an HTTP error is not known; the sandbox answers with an error that repeats the
HTTP status and text. Called by the server.
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

from adapters.sandbox.connection import TcpConnection, WebsocketPeer
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

    `catch_up` plays the tape up to now and returns that time in ms. `restart` is called with the milliseconds
    for which the server is down.
    """

    def __init__(
        self,
        hub: Hub,
        info: Info,
        limits: VenueLimits,
        faults: Faults,
        *,
        catch_up: Callable[[], int],
        restart: Callable[[int], None],
    ) -> None:
        self._hub = hub
        self._info = info
        self._limits = limits
        self._faults = faults
        self._catch_up = catch_up
        self._restart = restart

    async def answer(self, request: Request, scope: str, tcp: TcpConnection) -> Response:
        """Answer an HTTP request; `scope` is info or exchange."""
        body = await _body(request)
        if isinstance(body, Response):
            return body
        fault = self._faults.for_request(scope)
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
            tcp.abort()
        elif kind == "restart":
            self._restart(ms)
        if tcp.scope.cancel_called:
            return Response(status_code=503)  # never delivered: the connection is closed
        answer = self._answer_info(body) if scope == "info" else self._act(body)
        if kind == "lost-reply":
            tcp.abort()
        elif kind == "late-reply":
            await trio.sleep(ms / 1000)
        return answer

    def post(self, peer: WebsocketPeer, tcp: TcpConnection, post: Post, nursery: trio.Nursery) -> None:
        """Answer a post. `nursery` is the connection's and runs the task that sends a late answer."""
        fault = self._faults.for_request("info" if post.request.type == "info" else "exchange")
        kind, ms = (fault.kind, fault.ms) if fault else ("", 0)
        if kind == "late-reply" and not self._limits.post_begins():
            peer.send(error_frame(f"Too many inflight posts id={post.id}"))
        elif kind == "429":
            peer.send(_refused(post, 429, TOO_MANY))
        elif kind == "5xx":
            peer.send(_refused(post, *self._faults.failure()))
        elif kind == "swallow":
            tcp.abort()
        elif kind == "restart":
            self._restart(ms)
        else:
            answer = self._hub.answer_post(post, self._catch_up())
            if kind == "late-reply":
                nursery.start_soon(self._send_late, peer, answer, ms)
            elif kind == "lost-reply":
                tcp.abort()
            else:
                peer.send(answer)

    async def _send_late(self, peer: WebsocketPeer, answer: str, ms: int) -> None:
        try:
            await trio.sleep(ms / 1000)
            peer.send(answer)
        finally:
            self._limits.post_ends()

    def _answer_info(self, body: bytes) -> Response:
        answer = self._info.answer(body, self._catch_up())
        if answer.text:
            return _text(answer.status, answer.body)
        self._limits.rows(answer.type, answer.body)
        return Response(answer.body, answer.status, media_type="application/json")

    def _act(self, body: bytes) -> Response:
        try:
            return Response(self._hub.act(body, self._catch_up()), media_type="application/json")
        except BadRequest as refused:
            return _text(refused.status, str(refused))


async def _body(request: Request) -> bytes | Response:
    """Return the body of a JSON request, or an error response if the request is not valid."""
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
