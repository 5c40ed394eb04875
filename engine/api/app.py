"""The paths of the HTTP interface, as a Starlette application.

`guard.py` has let the request pass. Every answer is JSON of one struct, names the journal and the seq it
stands at, and errors have codes (`problems.py`). No path touches a file. Called through `server.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.api.connections import Caller
from engine.api.guard import cookie_name, problem_body
from engine.api.ports import Source
from engine.api.problems import Problem
from engine.api.sessions import Session, Sessions

__all__ = ["PATHS", "Api"]

PATHS: Final = (
    "status",
    "instruments",
    "bars",
    "book",
    "positions",
    "orders",
    "fills",
    "trades",
    "equity",
    "strategies",
    "signals",
    "flow",
    "health",
    "gaps",
    "events",
)
"""The paths below /api that answer a GET from the views, and `why/SEQ`."""

BODY_BYTES_MAX: Final = 16_384
WAIT_S: Final = 10.0
"""How long a body may take to arrive."""


class LoginRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /api/login`: the token of a link, or the password."""

    token: str = ""
    password: str = ""


class LoginAnswer(msgspec.Struct):
    """The answer of a login. `who` is how records call this session. The cookie is in the header."""

    journal: str
    seq: int
    who: str


class LinkAnswer(msgspec.Struct):
    """A fresh link for one login; "" if there is no page."""

    journal: str
    seq: int
    link: str


class Api:
    """The application. `link` returns a fresh link, `report` receives internal errors for people."""

    def __init__(
        self, source: Source, sessions: Sessions, link: Callable[[], str], report: Callable[[str], None]
    ) -> None:
        self._source = source
        self._sessions = sessions
        self._link = link
        self._report = report
        get, post = ["GET"], ["POST"]
        routes = [Route(f"/api/{name}", self._of(self._answer), methods=get) for name in PATHS]
        routes += [
            Route("/api/why/{seq}", self._of(self._answer), methods=get),
            Route("/api/login", self._of(self._login), methods=post),
            Route("/api/logout", self._of(self._logout), methods=post),
            Route("/api/link", self._of(self._fresh_link), methods=post),
        ]
        self.app = Starlette(routes=routes, exception_handlers={HTTPException: self._not_found})
        self.app.router.redirect_slashes = False

    def _of(
        self, handler: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except Problem as problem:
                return self._problem(problem)
            except Exception as error:
                self._report(f"{request.url.path[:80]}: {type(error).__name__}: {error}"[:300])
                return self._problem(Problem("internal", "an error of the server; its log has the reason"))

        return answer

    def _problem(self, problem: Problem) -> Response:
        headers = {} if problem.retry_s is None else {"retry-after": str(problem.retry_s)}
        body = problem_body(problem, self._source.journal, self._source.seq)
        return Response(body, problem.status, headers, "application/json")

    async def _not_found(self, request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException) and error.status_code == 405:
            answer = self._problem(Problem("method_not_allowed", f"{request.method} is not possible here"))
            answer.headers.update(error.headers or {})
            return answer
        return self._problem(Problem("not_found", "there is nothing under this address"))

    # Reading.

    async def _answer(self, request: Request) -> Response:
        query = _query(request)
        self._check_journal(query.pop("journal", None))
        name = request.url.path.removeprefix("/api/").partition("/")[0]
        query |= request.path_params
        return _json(await self._source.answer(name, query))

    def _check_journal(self, journal: str | None) -> None:
        if journal is not None and journal != self._source.journal:
            raise Problem(
                "other_journal", "another engine runs here than the one this page was made for; reload"
            )

    # Logging in.

    async def _login(self, request: Request) -> Response:
        asked = await _body(request, LoginRequest)
        caller: Caller = request.scope["state"]["caller"]
        secret = await self._sessions.login(
            caller.address or "socket", token=asked.token, password=asked.password
        )
        session = self._sessions.find(secret)
        assert session is not None
        secure = request.headers.get("origin", "").startswith("https://")
        answer = _json(LoginAnswer(self._source.journal, self._source.seq, f"page:{session.name}"))
        answer.set_cookie(
            cookie_name(self._source.journal, secure=secure),
            secret,
            httponly=True,
            samesite="strict",
            secure=secure,
        )
        return answer

    async def _logout(self, request: Request) -> Response:
        session: Session | None = request.scope["state"]["session"]
        if session is None:
            raise Problem("bad_request", "only a page has a session to end")
        self._sessions.logout(session)
        answer = _json(LoginAnswer(self._source.journal, self._source.seq, ""))
        for secure in (False, True):
            answer.delete_cookie(
                cookie_name(self._source.journal, secure=secure), secure=secure, httponly=True
            )
        return answer

    async def _fresh_link(self, request: Request) -> Response:
        caller: Caller = request.scope["state"]["caller"]
        if not caller.unix:
            raise Problem("socket_only", "a fresh link is given over the socket only: `engine ctl link`")
        return _json(LinkAnswer(self._source.journal, self._source.seq, self._link()))


def _query(request: Request) -> dict[str, str]:
    query: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in query:
            raise Problem("bad_query", f"{name[:40]!r} is given twice")
        query[name] = value
    return query


async def _body(request: Request, kind: type[Any]) -> Any:
    """Return the JSON of a request. Raises Problem."""
    data = bytearray()
    with trio.move_on_after(WAIT_S):
        async for part in request.stream():
            data += part
            if len(data) > BODY_BYTES_MAX:
                raise Problem("too_large", f"a request has at most {BODY_BYTES_MAX} bytes")
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Problem("bad_json", f"the request cannot be read: {error}"[:300]) from None
    raise Problem("too_slow", f"the request did not arrive within {WAIT_S:.0f} s")


def _json(answer: Any) -> Response:
    return Response(msgspec.json.encode(answer), 200, None, "application/json")
