"""Speaks to a running engine over `engine.sock` in its journal's folder: HTTP, JSON, as docs/api.md says.

Promises: where nothing answers, that is an error of one or two lines (`EngineUnreachable`, exit code 5); a
command whose answer is lost is sent once more with the same nonce, which the engine carries out once; an
answer of another shape, such as that of an older engine, is an error that says so. Used by `engine status`,
`engine ctl` and `engine doctor`.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeVar
from urllib.parse import urlencode

import click
import msgspec

from engine.api.sockets import SOCKET_NAME, connect_unix
from engine.errors import EngineError, EngineUnreachable, SafetyRefusal, UsageError
from engine.journal.lock import living_holder

__all__ = ["EngineClient", "journal_option", "new_nonce", "shaped"]

journal_option = click.option(
    "--journal",
    "root",
    type=click.Path(path_type=Path),
    default=Path("journal"),
    show_default=True,
    help="Folder of the engine's journal.",
)
"""The option of every command that speaks to an engine."""

ANSWER_S: Final = 15.0
"""How long an answer may take, besides what the command waits for: an engine in a slow handler is late."""
WAIT_S_MAX: Final = 50.0
"""How long one request waits; a longer wait is several requests."""
START_S: Final = 120.0
"""How long a command that a starting engine keeps is asked about again."""
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024

STARTING: Final = "starting"
"""The code of an engine that reads its newest day, and the first word of how far it is."""
_UNAVAILABLE: Final = 503


def new_nonce() -> str:
    """Return the nonce of a new command."""
    return f"ctl-{secrets.token_hex(12)}"


Shape = TypeVar("Shape")


class _Journal(msgspec.Struct):
    journal: str


class _Outcome(msgspec.Struct):
    """What is read of the answer to a command; it is printed as it came."""

    seq: int
    state: Literal["done", "refused", "working"]
    code: str = ""
    reason: str = ""
    left: list[list[str]] = []
    tries: int = 0
    repeated: bool = False


def shaped(answer: object, shape: type[Shape]) -> Shape:
    """Return an answer as a struct; members that it does not have are ignored.

    Raises EngineError for an answer of another shape: the engine is of another version.
    """
    try:
        return msgspec.convert(answer, shape)
    except msgspec.ValidationError as error:
        raise EngineError(
            f"the answer is not one of this version's ({error}); use the `engine` that the session was "
            "started with, or start it again"
        ) from None


class _Lost(Exception):
    """The engine took the request, and the connection ended or the time was over before its answer."""


class _Response(NamedTuple):
    status: int
    body: bytes

    def problem(self) -> tuple[str, str]:
        """Return code and message of an error."""
        try:
            found = msgspec.json.decode(self.body)
            return str(found["code"]), str(found["message"])
        except (msgspec.DecodeError, KeyError, TypeError):
            return "", f"the engine answered with status {self.status}"


class _Connection(HTTPConnection):
    """HTTP over the socket of a journal's folder."""

    def __init__(self, root: Path, timeout: float) -> None:
        super().__init__("engine", timeout=timeout)
        self._root = root
        self._timeout = timeout

    def connect(self) -> None:
        """Connect. Raises OSError."""
        self.sock = connect_unix(self._root)
        self.sock.settimeout(self._timeout)


class EngineClient:
    """Asks the engine whose journal is in `root`; each request has a connection of its own."""

    def __init__(self, root: Path) -> None:
        """Raise UsageError if there is no such folder."""
        if not root.is_dir():
            raise UsageError(
                f"{root}: there is no such folder; give the journal of the engine with --journal"
            )
        self._root = root
        self._socket = root / SOCKET_NAME

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """Return the answer of `GET /api/PATH`. Raises EngineError."""
        return self._once("GET", f"{path}?{urlencode(query)}" if query else path)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer of `POST /api/PATH`. Raises EngineError."""
        return self._once("POST", path, body)

    def journal(self) -> str:
        """Return the id of the engine's journal, also while it starts. Raises EngineError."""
        try:
            response = self._request("GET", "status", None, ANSWER_S)
        except _Lost as error:
            raise EngineUnreachable(f"{self._socket}: {error}") from None
        starts = response.problem()[0] == STARTING
        answer = msgspec.json.decode(response.body) if starts else self._read(response)
        return shaped(answer, _Journal).journal

    def command(self, request: Mapping[str, Any], wait_s: float = 0.0) -> dict[str, Any]:
        """Send a command, wait for its end at most `wait_s`, and return what became of it.

        `request` has its nonce. Raises EngineError: then the command was not recorded, or the message says
        that this is not known.
        """
        until = time.monotonic() + wait_s
        while True:
            left_s = max(until - time.monotonic(), 0.0)
            answer = self._command({**request, "wait_s": round(min(left_s, WAIT_S_MAX), 3)})
            if answer.get("state") != "working" or time.monotonic() >= until:
                return answer

    def _once(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        try:
            return self._read(self._request(method, path, body, ANSWER_S))
        except _Lost as error:
            raise EngineUnreachable(f"{self._socket}: {error}") from None

    def _command(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Send a command; once more if its answer is lost."""
        again = f"send it again with --nonce {body['nonce']}: the engine carries out a nonce once"
        lost = ""
        until = time.monotonic() + START_S
        tries = 0
        while tries < 2 or (lost.startswith(STARTING) and time.monotonic() < until):
            tries += 1
            try:
                response = self._request("POST", "commands", body, ANSWER_S + body["wait_s"])
            except EngineUnreachable as error:
                if not lost:
                    raise
                raise EngineUnreachable(
                    f"{error}\nit ended before it answered, and may have recorded the command; {again}"
                ) from None
            except _Lost as error:
                lost = str(error)
                continue
            if response.status >= 400 and response.problem()[0] != "not_recorded":
                raise _error(response)
            if response.status < 400:
                try:
                    answer = self._read(response)
                    shaped(answer, _Outcome)
                except EngineError as error:
                    lost = str(error)
                    break
                return answer
            lost = response.problem()[1]
        raise EngineUnreachable(
            f"{self._socket}: {lost}\nwhether the command was recorded is not known; {again}"
        )

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None, timeout: float) -> _Response:
        """Return the response of a request. Raises EngineUnreachable if it was not sent, else _Lost."""
        with closing(_Connection(self._root, timeout)) as connection:
            try:
                connection.connect()
            except OSError as error:
                raise EngineUnreachable(self._why_not(error)) from None
            try:
                content = None if body is None else msgspec.json.encode(body)
                with suppress(BrokenPipeError):  # refused before all was sent: the answer says why
                    connection.request(method, f"/api/{path}", content, {"Content-Type": "application/json"})
                response = connection.getresponse()
                return _Response(response.status, response.read(ANSWER_BYTES_MAX))
            except TimeoutError:
                raise _Lost(
                    f"no answer within {timeout:.0f} s; the engine's lines name a handler that hangs"
                ) from None
            except (OSError, HTTPException) as error:
                raise _Lost(f"the connection was lost before the answer ({type(error).__name__})") from None

    def _why_not(self, error: OSError) -> str:
        """Return why nothing can be connected to, and what to do."""
        start = f"`engine live --journal {self._root}`"
        if isinstance(error, FileNotFoundError | ConnectionRefusedError):
            holder = living_holder(self._root)
            if holder is not None:
                return (
                    f"{self._root}: process {holder} has this journal and takes no commands now; an engine "
                    "that starts reads its newest day first: ask again in a moment"
                )
        match error:
            case FileNotFoundError():
                return f"{self._root}: no engine runs on this journal; {start} starts one"
            case ConnectionRefusedError():
                return f"{self._socket}: the engine that made it was killed; {start} takes the file over"
            case PermissionError():
                return f"{self._socket}: only the user who runs the engine may speak to it"
        return f"{self._socket}: cannot be connected to: {error.strerror or error}"

    def _read(self, response: _Response) -> dict[str, Any]:
        """Return the JSON of a response. Raises EngineError for a problem."""
        if response.status >= 400:
            raise _error(response)
        try:
            answer = msgspec.json.decode(response.body)
        except msgspec.DecodeError:
            answer = None
        if not isinstance(answer, dict):
            raise EngineError(f"{self._socket}: the answer is no JSON object; is the engine of this version?")
        return answer


def _error(response: _Response) -> EngineError:
    """Return the error of a problem: its exit code says whose fault it is."""
    code, message = response.problem()
    if code == "other_journal" or response.status == 403:
        return SafetyRefusal(message)
    if response.status in (400, 404, 409, 413):
        return UsageError(message)
    if response.status in (429, _UNAVAILABLE):
        return EngineUnreachable(message)
    return EngineError(message)
