"""What every request passes before the application: Host, cookie, same-origin rules; and headers of answers.

A request over the Unix socket passes: the mode of the file is its guard. Over TCP, in this order: the Host
must be one of ours; /api is only for pages of this origin; a POST must be JSON, come from this origin and
have the header `X-Retape`; and all of /api but the login needs the cookie of a session. There is no CORS.
An ASGI application around the application.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from engine.api.connections import App, Caller
from engine.api.hosts import Hosts, host_of
from engine.api.ports import encoded
from engine.api.problems import Problem, ProblemAnswer
from engine.api.sessions import Session, Sessions

__all__ = ["CUSTOM_HEADER", "Guard", "cookie_name", "problem_body"]

CUSTOM_HEADER: Final = "x-retape"
"""A page of another site cannot send it without a permission that this server never gives."""
TARGET_BYTES_MAX: Final = 4096
LOGIN: Final = "/api/login"
POLICY: Final = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""The Content-Security-Policy of what is no page."""

_SAFE: Final = ("GET", "HEAD")


def cookie_name(journal: str, *, secure: bool) -> str:
    """Return the name of this instance's cookie: several engines share a host name, and so its cookies."""
    return f"{'__Host-' if secure else ''}retape_{journal[:8]}"


def problem_body(problem: Problem, journal: str = "", seq: int = 0) -> bytes:
    """Return the JSON of a problem."""
    return encoded(ProblemAnswer(problem.code, problem.message, journal, seq))


class Guard:
    """Wraps the application. `policy` is the Content-Security-Policy of its pages, "" if there are none."""

    def __init__(self, app: App, journal: str, hosts: Hosts, sessions: Sessions, policy: str) -> None:
        self._app = app
        self._hosts = hosts
        self._sessions = sessions
        self._cookies = {cookie_name(journal, secure=secure) for secure in (True, False)}
        self._policies = {True: POLICY.encode(), False: (policy or POLICY).encode()}
        self._headers = [
            (b"cache-control", b"no-store"),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"cross-origin-resource-policy", b"same-origin"),
            (b"referrer-policy", b"no-referrer"),
            (b"x-content-type-options", b"nosniff"),
            (b"x-frame-options", b"DENY"),
        ]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                policy = self._policies[scope["path"].startswith("/api")]
                named = (b"content-security-policy", policy)
                message["headers"] = [*message["headers"], *self._headers, named]
            await send(message)

        try:
            scope["state"]["session"] = self._check(scope)
        except Problem as problem:
            await _answer(problem, scope, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)

    def _check(self, scope: Any) -> Session | None:
        """Return the session of the caller; None over the Unix socket and for what needs none."""
        if len(scope["raw_path"]) + len(scope["query_string"]) > TARGET_BYTES_MAX:
            raise Problem("bad_request", f"the address is longer than {TARGET_BYTES_MAX} bytes")
        caller: Caller = scope["state"]["caller"]
        if caller.unix:
            return None
        headers = _Headers(scope["headers"])
        host = headers.one("host")
        if host is None or not self._hosts.allows(host, caller.local):
            raise Problem(
                "bad_host",
                "this engine does not answer under this name; a name that a proxy uses is given with "
                "--dashboard-name",
            )
        if not scope["path"].startswith("/api"):
            return None
        _check_origin(headers, host, scope["method"])
        if scope["path"] == LOGIN and scope["method"] == "POST":
            return None
        session = self._find_session(headers)
        if session is None:
            raise Problem(
                "not_logged_in",
                "log in with the link that the engine printed, or with a fresh one of `engine ctl link`",
            )
        return session

    def _find_session(self, headers: _Headers) -> Session | None:
        # Any program of this host may set cookies here; `http.cookies` reads none beside one that is odd.
        for text in headers.all("cookie"):
            for part in text.split(";"):
                name, _, value = part.strip().partition("=")
                session = self._sessions.find(value) if name in self._cookies else None
                if session:
                    return session
        return None


class _Headers:
    """The headers of a request."""

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        self._raw = raw

    def all(self, name: str) -> list[str]:
        key = name.encode()
        return [value.decode("latin-1") for found, value in self._raw if found.lower() == key]

    def one(self, name: str) -> str | None:
        """Return the value of a header, None if it is missing or there are several."""
        found = self.all(name)
        return found[0] if len(found) == 1 else None


def _check_origin(headers: _Headers, host: str, method: str) -> None:
    """Raise Problem for a request that another page has made."""
    sites = headers.all("sec-fetch-site")
    origins = headers.all("origin")
    for origin in origins:
        if not _is_same(origin, host):
            raise Problem("cross_site", "this request comes from a page of another origin")
    allowed = {"same-origin", "none"} if method in _SAFE else {"same-origin"}
    if any(site not in allowed for site in sites):
        raise Problem("cross_site", "this request comes from a page of another site")
    if method in _SAFE:
        return
    if not sites and not origins:
        raise Problem("cross_site", "a POST has the header Sec-Fetch-Site: same-origin, or Origin")
    if not headers.all(CUSTOM_HEADER):
        raise Problem("cross_site", "a POST has the header X-Retape: 1")
    kind = (headers.one("content-type") or "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem("not_json", "a POST has the header Content-Type: application/json")


def _is_same(origin: str, host: str) -> bool:
    """Return whether an Origin is the page's own: the same name and the same port as the Host header.

    Its scheme is that of the browser's side of a proxy.
    """
    try:
        parts = urlsplit(origin)
        default = {"http": 80, "https": 443}[parts.scheme]
        theirs = parts.port or default
        ours = urlsplit(f"//{host}").port or default
    except (ValueError, KeyError):
        return False
    name = host_of(parts.netloc)
    return name is not None and name == host_of(host) and theirs == ours and not parts.path.strip("/")


async def _answer(problem: Problem, scope: Any, send: Any) -> None:
    body = problem_body(problem)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if problem.retry_s is not None:
        headers.append((b"retry-after", str(problem.retry_s).encode()))
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
