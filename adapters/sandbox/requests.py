"""Answers requests sent over HTTP or as websocket posts, and applies the faults of posts.

Uses the venue's status codes and texts. The number of late answers is bounded. The venue's answer to a post
refused with an HTTP error is not known; the sandbox answers with an error that repeats the HTTP status and
text. Called by `protocol.py`.
"""

from __future__ import annotations

from http import HTTPStatus

import trio

from adapters.exchange.connection import TcpConnection, WebsocketPeer
from adapters.exchange.protocol import Answer, Scope, Server
from adapters.sandbox.exchange.refusals import BadRequest
from adapters.sandbox.hub import Hub, post_error
from adapters.sandbox.info import Info
from adapters.sandbox.limits import TOO_MANY, VenueLimits
from adapters.sandbox.wire import Post, error_frame

__all__ = ["Requests"]


class Requests:
    """Answers requests."""

    def __init__(self, hub: Hub, info: Info, limits: VenueLimits, server: Server) -> None:
        self._hub = hub
        self._info = info
        self._limits = limits
        self._server = server

    def answer(self, body: bytes, scope: Scope, now_ms: int) -> Answer:
        """Answer the body of an HTTP request."""
        if scope == "exchange":
            try:
                return Answer(body=self._hub.act(body, now_ms))
            except BadRequest as refused:
                return Answer(refused.status, str(refused), type="text/plain")
        answer = self._info.answer(body, now_ms)
        if answer.text:
            return Answer(answer.status, answer.body, type="text/plain")
        self._limits.rows(answer.type, answer.body)
        return Answer(answer.status, answer.body)

    def post(self, peer: WebsocketPeer, tcp: TcpConnection, post: Post, nursery: trio.Nursery) -> None:
        """Answer a post. `nursery` is the connection's and runs the task that sends a late answer."""
        fault = self._server.faults.for_request("info" if post.request.type == "info" else "exchange")
        kind, ms = (fault.kind, fault.ms) if fault else ("", 0)
        if kind == "late-reply" and not self._limits.post_begins():
            peer.send(error_frame(f"Too many inflight posts id={post.id}"))
        elif kind == "429":
            peer.send(_refused(post, 429, TOO_MANY))
        elif kind == "5xx":
            peer.send(_refused(post, *self._server.faults.failure()))
        elif kind == "swallow":
            tcp.abort()
        elif kind == "restart":
            self._server.restart_for(ms)
        else:
            answer = self._hub.answer_post(post, self._server.catch_up())
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


def _refused(post: Post, status: int, text: str) -> str:
    return post_error(post, f"{status} {HTTPStatus(status).phrase}: {text}")
