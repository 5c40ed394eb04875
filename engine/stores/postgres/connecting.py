"""Connections to PostgreSQL with bounded waits, and its errors as those of stores.

Promises that no call waits longer than `patience_s` for an answer, also when the server is stopped or the
network swallows everything, and that no error shows a secret of the address. Called by the modules here.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator
from typing import Any, Final, TypeVar

from engine.errors import UsageError
from engine.stores.errors import Reason, StoreError, StoreUnavailable, first_line
from engine.stores.settings import Address

try:
    import psycopg
except ModuleNotFoundError:
    psycopg = None

__all__ = ["Connection", "connect", "require_driver", "translated"]

CONNECT_S: Final = 5
PATIENCE_S: Final = 20.0
"""How long a statement of a batch may go without an answer."""

_SESSION: Final = {
    "timezone": "UTC",
    "lock_timeout": "5s",
    "statement_timeout": "15s",
    "idle_in_transaction_session_timeout": "60s",
    # The server frees the locks of an engine whose host is gone.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
_REASONS: Final[dict[str, Reason]] = {
    "53100": "full",
    "53200": "full",
    "55P03": "locked",
    "57014": "locked",
    "40P01": "locked",
    "40001": "locked",
    "42P01": "deleted",
    "42703": "deleted",
    "3F000": "deleted",
    "XX001": "corrupt",
    "XX002": "corrupt",
}
_ADVICE: Final[dict[Reason, str]] = {
    "locked": "another program holds a lock on it; the next attempt follows",
    "full": "its disk or memory is full; the next attempt follows",
    "corrupt": "rebuild it with `engine project DAY --to URL`",
    "deleted": "tables of ours are gone; rebuild it with `engine project DAY --to URL`",
    "unreachable": "the next attempt follows",
}

_REFUSALS: Final = (
    (
        re.compile(r"authentication failed|no password supplied|pg_hba\.conf|role .* does not exist"),
        *("refuses the login", "correct the user or the password of the address, or ~/.pgpass"),
    ),
    (
        re.compile(r"database .* does not exist"),
        *("is not there", "create it, or correct the name in the address"),
    ),
    (
        re.compile(r"permission denied|must be owner"),
        *("refuses a statement", "its user must own the tables: grant create on schema NAME to USER"),
    ),
    (
        re.compile(r"read-only transaction"),
        *("takes no rows", "it is a standby, or set to read only: give the address of the primary"),
    ),
)
"""What the server says when waiting does not help: a pattern, what that is, and what to do."""

_T = TypeVar("_T")


_Base: Any = object if psycopg is None else psycopg.Connection


def require_driver() -> None:
    """Raise UsageError if psycopg is not installed."""
    if psycopg is None:
        raise UsageError("a store of kind 'postgres' needs psycopg: pip install 'retape[postgres]'")


class Connection(_Base):
    """A connection in autocommit mode. `patience_s` may be raised for statements over many rows."""

    patience_s: float = PATIENCE_S

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        """Wait for the server as psycopg does, but not for ever."""
        return super().wait(self._bounded(gen), *args, **kwargs)

    def _bounded(self, gen: Any) -> Generator[Any, Any, Any]:
        until = time.monotonic() + self.patience_s
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                now = time.monotonic()
                if ready:
                    until = now + self.patience_s
                elif now > until:
                    raise psycopg.OperationalError(f"no answer for {self.patience_s:.0f} s")
                wanted = gen.send(ready)
        except StopIteration as stop:
            return stop.value

    def patiently(self, seconds: float, work: Callable[[], _T]) -> _T:
        """Do work whose statements may take this long each."""
        self.execute(f"set statement_timeout = '{seconds:.0f}s'")
        self.patience_s = seconds + 5
        try:
            return work()
        finally:
            self.patience_s = PATIENCE_S
            if not self.closed and not self.broken:
                self.execute(f"set statement_timeout = '{_SESSION['statement_timeout']}'")


def connect(address: Address, application: str) -> Connection:
    """Return a new connection. Raises StoreUnavailable."""
    try:
        conn: Connection = Connection.connect(
            address.url,
            autocommit=True,
            prepare_threshold=None,
            connect_timeout=CONNECT_S,
            application_name=application,
            tcp_user_timeout=15_000,
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
        )
    except (psycopg.Error, OSError) as error:
        raise translated(address, error) from None
    try:
        calls = ", ".join(f"set_config('{name}', '{value}', false)" for name, value in _SESSION.items())
        conn.execute(f"select {calls}")
    except psycopg.Error as error:
        conn.close()
        raise translated(address, error) from None
    return conn


def translated(address: Address, error: Exception) -> Exception:
    """Return the store's error for one of the database or the network; one of a value comes back as it is."""
    if isinstance(error, StoreError):
        return error
    state = getattr(error, "sqlstate", None) or ""
    if state not in _REASONS and not isinstance(
        error,
        psycopg.OperationalError
        | psycopg.errors.ReadOnlySqlTransaction
        | psycopg.InterfaceError
        | psycopg.InternalError
        | psycopg.errors.InsufficientPrivilege
        | OSError,
    ):
        return error
    reason = _REASONS.get(state, "unreachable")
    words = address.hide(first_line(error))
    what, advice = f"is {reason}", _ADVICE[reason]
    for pattern, said, mended in _REFUSALS:
        if pattern.search(words):
            what, advice = said, f"{mended}; the next attempt follows"
    return StoreUnavailable(f"{address.shown}: the database {what} ({words}); {advice}", reason=reason)
