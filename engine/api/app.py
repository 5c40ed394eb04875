"""The paths of the HTTP interface, as a Starlette application.

`guard.py` has let the request pass. Every answer is JSON of one struct, names the journal and the seq it
stands at, and errors have codes (`problems.py`). The files of the page were read at the start; no request
touches a file. Called through `server.py`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final

import msgspec
import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from engine.api.answers import LinkAnswer, LoginRequest, SessionAnswer
from engine.api.connections import Caller
from engine.api.guard import cookie_name, problem_body
from engine.api.ports import Commands, Source, encoded
from engine.api.problems import Problem
from engine.api.sessions import Session, Sessions
from engine.api.stream import STREAMS_MAX
from engine.errors import CommandError
from engine.operator.requests import parse_request
from engine.views.answers import ANSWERS, Status
from engine.views.shapes import Resync

__all__ = ["Api", "Services"]

BODY_BYTES_MAX: Final = 16_384
BODY_S: Final = 10.0
"""How long a body may take to arrive."""
SEQ_DIGITS_MAX: Final = 18

Handler = Callable[[Request], Awaitable[Response]]


class Services(msgspec.Struct, frozen=True):
    """What the application has beside its source.

    `files` are those of the page by path: each has a `body` and a `media_type`. `link` returns a fresh link,
    "" if there is no page. `report` receives internal errors for people. `commands` takes commands, None
    where there is no session that could. `read_only` is about the page, not about the Unix socket.
    """

    sessions: Sessions
    link: Callable[[], str]
    report: Callable[[str], None]
    description: bytes
    commands: Commands | None = None
    read_only: bool = False
    files: Mapping[str, Any] = {}


class Api:
    """The application, `app`. `streams` counts those that are open."""

    def __init__(self, source: Source, services: Services) -> None:
        self._source = source
        self._services = services
        self._sessions = services.sessions
        self._open = {True: 0, False: 0}
        get, post = ["GET"], ["POST"]
        names = ["why/{seq}" if name == "why" else name for name in ANSWERS]
        routes = [Route(path, self._file, methods=get) for path in services.files]
        routes += [Route(f"/api/{name}", self._checked(self._answer), methods=get) for name in names]
        routes += [
            Route("/api/openapi.json", self._describe, methods=get),
            Route("/api/session", self._checked(self._session), methods=get),
            Route("/api/stream", self._checked(self._stream), methods=get),
            Route("/api/login", self._checked(self._login), methods=post),
            Route("/api/logout", self._checked(self._logout), methods=post),
            Route("/api/link", self._checked(self._fresh_link), methods=post),
            Route("/api/commands", self._checked(self._command), methods=post),
        ]
        self.app = Starlette(
            routes=routes, exception_handlers={HTTPException: self._not_found, Problem: self._refuse}
        )
        self.app.router.redirect_slashes = False

    @property
    def streams(self) -> int:
        """The number of open streams."""
        return sum(self._open.values())

    def _checked(self, handler: Handler) -> Handler:
        """Return a handler that answers every error with a problem."""

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except Problem as problem:
                return self._problem(problem)
            except CommandError as error:
                retry_s = 1 if error.code in ("starting", "not_recorded") else None
                return self._problem(Problem(error.code, str(error), retry_s=retry_s))
            except Exception as error:
                self._services.report(f"{handler.__name__}: {type(error).__name__}: {error}"[:300])
                return self._problem(Problem("internal", "an error of the server, which its lines name"))

        return answer

    def _problem(self, problem: Problem) -> Response:
        headers = {} if problem.retry_s is None else {"retry-after": str(problem.retry_s)}
        standing = self._source.standing
        body = problem_body(problem, standing.journal, standing.seq)
        return Response(body, problem.status, headers, "application/json")

    async def _refuse(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return self._problem(error)

    async def _not_found(self, request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException) and error.status_code == 405:
            answer = self._problem(Problem("method_not_allowed", f"{request.method} is not possible here"))
            answer.headers.update(error.headers or {})
            return answer
        return self._problem(Problem("not_found", "there is nothing under this address"))

    # Reading.

    async def _file(self, request: Request) -> Response:
        file = self._services.files[request.scope["path"]]
        return Response(file.body, 200, None, file.media_type)

    async def _describe(self, request: Request) -> Response:
        return Response(self._services.description, 200, None, "application/json")

    async def _answer(self, request: Request) -> Response:
        query = self._query(request)
        name = request.scope["path"].removeprefix("/api/").partition("/")[0]
        answer = await self._source.answer(name, query | request.path_params)
        if isinstance(answer, Status):
            answer.read_only = self._looks_only(request)
        return _json(answer)

    def _looks_only(self, request: Request) -> bool:
        """Return whether a caller can look only. The Unix socket is the owner's."""
        return self._services.read_only and not request.scope["state"]["caller"].unix

    def _query(self, request: Request) -> dict[str, str]:
        """Return the query without `journal`, which must be ours. Raises Problem."""
        query: dict[str, str] = {}
        for name, value in request.query_params.multi_items():
            if name in query:
                raise Problem("bad_query", f"{name[:40]!r} is given twice")
            query[name] = value
        if query.pop("journal", self._source.journal) != self._source.journal:
            raise Problem("other_journal", "another engine runs here than the one this was made for; reload")
        return query

    # The stream.

    async def _stream(self, request: Request) -> Response:
        query = self._query(request)
        if query:
            raise Problem("bad_query", f"a stream has no {next(iter(query))[:40]!r}")
        self._source.check_begun()
        text = request.headers.get("last-event-id")
        last_id = None
        if text is not None:
            if not (text.isascii() and text.isdecimal() and len(text) <= SEQ_DIGITS_MAX):
                raise Problem("bad_query", "Last-Event-ID is the seq of a message")
            last_id = int(text)
        return _StreamResponse(self, request, last_id)

    async def stream_parts(self, request: Request, last_id: int | None, send: Send) -> None:
        """Send the parts of a stream until its session ends or the server stops."""
        session: Session | None = request.scope["state"]["session"]
        source = self._source
        messages = source.messages
        parts = messages.read(
            last_id,
            lambda: encoded(source.hello(read_only=self._looks_only(request))),
            lambda reason: encoded(Resync(source.standing.seq, reason)),
            lambda: session is None or self._sessions.is_open(session),
        )
        messages.readers += 1
        try:
            async with contextlib.aclosing(parts):
                async for part in parts:
                    await send({"type": "http.response.body", "body": part, "more_body": True})
        finally:
            messages.readers -= 1

    @contextlib.contextmanager
    def opened(self, caller: Caller) -> Iterator[None]:
        """Count a stream while it is open. Raises Problem when there are too many."""
        if self._open[caller.unix] >= STREAMS_MAX:
            raise Problem("too_many_streams", f"{STREAMS_MAX} streams are open; close one", retry_s=5)
        self._open[caller.unix] += 1
        try:
            yield
        finally:
            self._open[caller.unix] -= 1

    # Commands.

    async def _command(self, request: Request) -> Response:
        caller: Caller = request.scope["state"]["caller"]
        if self._looks_only(request):
            raise Problem("read_only", "this page can look only: the engine was started with --read-only")
        body = await _body(request)
        commands = self._services.commands
        if commands is None:
            raise Problem("not_available", "nothing here takes commands: no session runs")
        who = self._who(request)
        asked = parse_request(body, who)
        # Who is at the page was proved by its cookie. A program at the socket may name itself.
        answer = await commands.submit(asked, "" if caller.unix else who)
        await self._source.shown()
        return _json(answer)

    def _who(self, request: Request) -> str:
        caller: Caller = request.scope["state"]["caller"]
        session: Session | None = request.scope["state"]["session"]
        return f"page:{session.name}" if session is not None else f"socket:{caller.uid}"

    # Logging in.

    async def _session(self, request: Request) -> Response:
        self._query(request)
        return _json(self._session_answer(request, self._who(request)))

    def _session_answer(self, request: Request, who: str) -> SessionAnswer:
        standing = self._source.standing
        return SessionAnswer(
            journal=standing.journal,
            seq=standing.seq,
            at_ms=standing.at_ms,
            who=who,
            read_only=self._looks_only(request),
            commands=self._services.commands is not None,
        )

    async def _login(self, request: Request) -> Response:
        body = await _body(request)
        try:
            asked = msgspec.json.decode(body, type=LoginRequest)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            raise Problem("bad_json", 'give {"token": ...} or {"password": ...}') from None
        caller: Caller = request.scope["state"]["caller"]
        secret = await self._sessions.login(
            caller.address or "socket", token=asked.token, password=asked.password
        )
        session = self._sessions.find(secret)
        who = f"page:{session.name}" if session is not None else ""
        # Only the browser knows whether a proxy speaks TLS with it. Its Origin says so.
        secure = request.headers.get("origin", "").startswith("https://")
        answer = _json(self._session_answer(request, who))
        name = cookie_name(self._source.journal, secure=secure)
        answer.set_cookie(name, secret, httponly=True, samesite="strict", secure=secure)
        return answer

    async def _logout(self, request: Request) -> Response:
        session: Session | None = request.scope["state"]["session"]
        if session is None:
            raise Problem("bad_request", "a caller of the socket has no session to end")
        await _body(request)  # an answer before its end would cut the connection of who still sends it
        self._sessions.logout(session)
        answer = _json(self._session_answer(request, ""))
        for secure in (False, True):
            name = cookie_name(self._source.journal, secure=secure)
            answer.delete_cookie(name, httponly=True, samesite="strict", secure=secure)
        return answer

    async def _fresh_link(self, request: Request) -> Response:
        caller: Caller = request.scope["state"]["caller"]
        if not caller.unix:
            raise Problem("socket_only", "a fresh link is given over the socket only: `engine ctl link`")
        await _body(request)  # as above
        link = self._services.link()
        if not link:
            raise Problem("no_page", "there is no page: start the engine with --dashboard")
        standing = self._source.standing
        return _json(LinkAnswer(journal=standing.journal, seq=standing.seq, at_ms=standing.at_ms, link=link))


class _StreamResponse(Response):
    """A stream. It is noticed when the client closes the connection, also while nothing is sent."""

    def __init__(self, api: Api, request: Request, last_id: int | None) -> None:
        super().__init__(None, 200, None, "text/event-stream")
        del self.headers["content-length"]
        self._api = api
        self._request = request
        self._last_id = last_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._api.opened(scope["state"]["caller"]):
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            if scope["method"] != "HEAD":
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._watch, receive, nursery.cancel_scope)
                    await self._api.stream_parts(self._request, self._last_id, send)
                    nursery.cancel_scope.cancel()
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    @staticmethod
    async def _watch(receive: Receive, scope: trio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()


async def _body(request: Request) -> bytes:
    """Return the body of a request. Raises Problem."""
    data = bytearray()
    with trio.move_on_after(BODY_S):
        while True:
            message = await request.receive()
            data += message.get("body", b"")
            if len(data) > BODY_BYTES_MAX:
                raise Problem("too_large", f"a request has at most {BODY_BYTES_MAX:,} bytes")
            if not message.get("more_body", False):
                return bytes(data)
    raise Problem("too_slow", f"the request did not arrive within {BODY_S:.0f} s")


def _json(answer: msgspec.Struct) -> Response:
    return Response(encoded(answer), 200, None, "application/json")
