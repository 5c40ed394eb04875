"""Who is logged in: one-time tokens, the password, sessions of browsers, and limits on wrong logins.

A token is exchanged once for a session. It expires unused after TOKEN_S. A session ends when it is idle for
IDLE_S, when it is AGE_S old, at a logout, and with the process: nothing is stored. Only digests of tokens and
session ids are held, so that no comparison depends on where two secrets begin to differ. All tables are
bounded. Called by the guard and the application; `now` is a monotonic time in seconds.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec
import trio

from engine.api.problems import Problem

__all__ = ["Password", "Session", "Sessions"]

TOKEN_S: Final = 3600.0
IDLE_S: Final = 12 * 3600.0
AGE_S: Final = 7 * 86_400.0
TOKENS_MAX: Final = 16
SESSIONS_MAX: Final = 64

FAILURES_MAX: Final = 5
"""Wrong logins of one address within WINDOW_S after which it has to wait."""
FAILURES_ALL_MAX: Final = 20
"""The same for all addresses together."""
WINDOW_S: Final = 300.0
ADDRESSES_MAX: Final = 1024

_SCRYPT: Final = {"n": 2**14, "r": 8, "p": 1, "dklen": 32}


class Password:
    """A password, as its scrypt digest."""

    def __init__(self, text: str) -> None:
        self._salt = secrets.token_bytes(16)
        self._digest = self._of(text)
        self._one = trio.CapacityLimiter(1)

    async def matches(self, text: str) -> bool:
        """Return whether `text` is the password. One is tried at a time, in a thread."""
        digest = await trio.to_thread.run_sync(self._of, text, limiter=self._one)
        return hmac.compare_digest(digest, self._digest)

    def _of(self, text: str) -> bytes:
        return hashlib.scrypt(text.encode("utf-8", "surrogatepass"), salt=self._salt, **_SCRYPT)


class Session(msgspec.Struct):
    """A browser that is logged in. `name` is how records call it; it is not secret."""

    name: str
    began: float
    seen: float


class Sessions:
    """The sessions of one server. `failed(address, reason)` is called for each wrong login."""

    def __init__(
        self,
        failed: Callable[[str, str], None],
        password: Password | None = None,
        now: Callable[[], float] = trio.current_time,
    ) -> None:
        self.password = password
        self._failed = failed
        self._now = now
        self._tokens: dict[bytes, float] = {}
        self._sessions: dict[bytes, Session] = {}
        self._failures: dict[str, deque[float]] = {}
        self._all_failures: deque[float] = deque(maxlen=FAILURES_ALL_MAX)

    def make_token(self) -> str:
        """Return a fresh one-time token. The oldest one is dropped when there are TOKENS_MAX."""
        self._drop_expired()
        while len(self._tokens) >= TOKENS_MAX:
            del self._tokens[next(iter(self._tokens))]
        token = secrets.token_urlsafe(32)
        self._tokens[_digest(token)] = self._now()
        return token

    async def login(self, address: str, *, token: str = "", password: str = "") -> str:
        """Return the secret id of a new session. Raises Problem.

        A valid token always passes: nobody can guess one, so wrong logins of others lock out no one who
        holds a link.
        """
        self._drop_expired()
        if token and self._tokens.pop(_digest(token), None) is not None:
            return self._begin()
        self._check_limit(address)
        if password and self.password is not None:
            # Counted before the slow comparison, so that many at once do not pass the limit.
            self._count(address)
            if await self.password.matches(password):
                self._uncount(address)
                return self._begin()
            self._failed(address, "password")
            raise Problem("login_failed", "the password is wrong")
        self._count(address)
        self._failed(address, "token" if token else "password")
        raise Problem(
            "login_failed",
            "the link is not valid: each is good for one login within an hour; `engine ctl link` prints a "
            "fresh one",
        )

    def find(self, secret: str) -> Session | None:
        """Return the session of a secret id, and note that it was seen."""
        key = _digest(secret)
        session = self._sessions.get(key)
        if session is None:
            return None
        if self._is_over(session):
            del self._sessions[key]
            return None
        session.seen = self._now()
        return session

    def is_open(self, session: Session) -> bool:
        """Return whether a session that was found earlier has not ended since."""
        return not self._is_over(session) and any(one is session for one in self._sessions.values())

    def logout(self, session: Session) -> None:
        """End a session."""
        self._sessions = {key: one for key, one in self._sessions.items() if one is not session}

    def _begin(self) -> str:
        """Begin a session. The one that was idle longest ends when there are SESSIONS_MAX."""
        while len(self._sessions) >= SESSIONS_MAX:
            del self._sessions[min(self._sessions, key=lambda key: self._sessions[key].seen)]
        secret = secrets.token_urlsafe(32)
        now = self._now()
        key = _digest(secret)
        self._sessions[key] = Session(_digest(secret + "name").hex()[:8], now, now)
        return secret

    def _is_over(self, session: Session) -> bool:
        now = self._now()
        return now - session.seen >= IDLE_S or now - session.began >= AGE_S

    def _drop_expired(self) -> None:
        now = self._now()
        self._tokens = {key: made for key, made in self._tokens.items() if now - made < TOKEN_S}
        self._sessions = {key: one for key, one in self._sessions.items() if not self._is_over(one)}

    # Wrong logins.

    def _check_limit(self, address: str) -> None:
        now = self._now()
        own = self._failures.get(address, deque())
        for times, most in ((own, FAILURES_MAX), (self._all_failures, FAILURES_ALL_MAX)):
            while times and now - times[0] >= WINDOW_S:
                times.popleft()
            if len(times) >= most:
                wait_s = int(times[0] + WINDOW_S - now) + 1
                raise Problem("login_limit", f"too many wrong logins; wait {wait_s} s", retry_s=wait_s)

    def _count(self, address: str) -> None:
        while len(self._failures) >= ADDRESSES_MAX and address not in self._failures:
            del self._failures[next(iter(self._failures))]
        self._failures.setdefault(address, deque(maxlen=FAILURES_MAX)).append(self._now())
        self._all_failures.append(self._now())

    def _uncount(self, address: str) -> None:
        for times in (self._failures.get(address), self._all_failures):
            if times:
                times.pop()


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
