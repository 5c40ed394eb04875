"""The sessions of a period and their fingerprints: code, configuration, strategies, environment.

Owns what is kept of `SessionStarted`, the same for a backtest and a recorded day. Promises at most
`SESSIONS_MAX` rows, the newest of them always. Called by the collector.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from engine.analysis.shapes import Fingerprints, SessionRow
from engine.events import SessionStarted

__all__ = ["SESSIONS_MAX", "Sessions", "configuration_digest"]

SESSIONS_MAX: Final = 100


class Sessions:
    """State: the sessions, oldest first, and how many there were.

    `currency` is the one that the newest configuration gives the account, "" if it gives none.
    """

    def __init__(self) -> None:
        self.rows: list[SessionRow] = []
        self.count = 0
        self.currency = ""

    def add(self, started: SessionStarted) -> None:
        """Note a session that begins or goes on."""
        self.count += 1
        self.currency = _configured(started.config)
        self.rows.append(
            SessionRow(
                started.session,
                started.mode,
                started.recv_ns,
                started.version,
                started.code,
                started.schema,
                configuration_digest(started.config),
                started.python,
                list(started.strategies),
            )
        )
        if len(self.rows) > SESSIONS_MAX:
            del self.rows[-2]

    def fingerprints(self, digest: str) -> Fingerprints:
        """Return what the numbers are of."""
        if not self.rows:
            return Fingerprints(digest)
        newest = self.rows[-1]
        return Fingerprints(
            digest,
            newest.code,
            newest.configuration,
            newest.strategies,
            {"python": newest.python, "version": newest.version, "schema": newest.schema},
            list(self.rows),
            self.count,
        )


def _configured(config: str) -> str:
    """Return the currency of the account that a recorded configuration names."""
    data = msgspec.json.decode(config) if config else {}
    account = data.get("account", {}) if isinstance(data, dict) else {}
    return str(account.get("currency", ""))


def configuration_digest(text: str) -> str:
    """Return 16 hex digits of a recorded configuration: equal ones have equal digests."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
