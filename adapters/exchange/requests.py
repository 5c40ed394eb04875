"""Answers HTTP requests: reads them, applies the faults of requests, and asks the protocol.

The size of a body is bounded. Called by the server.
"""

from __future__ import annotations

import contextlib
import math
from typing import Final

import trio
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from adapters.exchange.connection import TcpConnection
from adapters.exchange.protocol import Answer, Request, Server, VenueProtocol

__all__ = ["HttpRequests"]

_BODY_BYTES_MAX: Final = 1_000_000


class HttpRequests:
    """Answers the requests of one exchange."""

    def __init__(self, protocol: VenueProtocol, server: Server) -> None:
        self._protocol = protocol
        self._server = server

    async def answer(self, http: HttpRequest, tcp: TcpConnection) -> Response:
        """Answer one request."""
        protocol = self._protocol
        query = bytes(http.scope.get("query_string", b"")).decode("latin-1")
        head = Request(http.method, http.scope["path"], query, dict(http.headers), b"")
        refused = protocol.scope(head)
        if isinstance(refused, Answer):
            return _response(refused)
        body = await _body(http)
        if isinstance(body, Response):
            return body
        request = Request(head.method, head.path, head.query, head.headers, body)
        scope = protocol.scope(request)
        if isinstance(scope, Answer):
            return _response(scope)
        fault = self._server.faults.for_request(scope)
        kind, ms = (fault.kind, fault.ms) if fault else ("", 0)
        if kind == "429":
            return _response(protocol.too_many(math.ceil(ms / 1000)))
        beyond = protocol.admit(request)
        if beyond is not None:
            return _response(beyond)
        if kind == "5xx":
            status, text = self._server.faults.failure()
            return Response(text, status, media_type="text/html")
        if kind == "swallow":
            tcp.abort()
        elif kind == "restart":
            self._server.restart_for(ms)
        if tcp.scope.cancel_called:
            return Response(status_code=503)  # never delivered: the connection is closed
        answer = _response(protocol.answer(request, self._server.catch_up()))
        if kind == "lost-reply":
            tcp.abort()
        elif kind == "late-reply":
            await trio.sleep(ms / 1000)
        return answer


async def _body(request: HttpRequest) -> bytes | Response:
    """Return the body of a request, or the answer to one that has none."""
    body = bytearray()
    try:
        async with contextlib.aclosing(request.stream()) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > _BODY_BYTES_MAX:
                    return Response("length limit exceeded", 413, media_type="text/plain")
    except ClientDisconnect:
        return Response(status_code=400)
    return bytes(body)


def _response(answer: Answer) -> Response:
    return Response(
        answer.body, answer.status, dict(answer.headers), media_type=answer.type if answer.body else None
    )
