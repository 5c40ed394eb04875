"""The venue's limits on one IP address, as far as the sandbox keeps them: all clients are one, on loopback.

Weights of requests are the venue's own table, a minute is one of the sandbox's. What it answers beyond them
is not documented by anyone: here it is HTTP 429 with one line and no Retry-After; too many new connections
are refused with 429 too, and a client that sends too many messages is cut. Source: the venue's rate limits
page, 2026-08.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import msgspec
import trio

from adapters.hyperliquid.governor import action_weight, info_weight, rows_weight

__all__ = ["TOO_MANY", "VenueLimits"]

TOO_MANY: Final = "Too many requests"
WEIGHT_MAX: Final = 1200
CONNECTIONS_MAX: Final = 30
MESSAGES_MAX: Final = 2000
_WINDOW_S: Final = 60.0


class _Minute:
    """A sum over the last 60 seconds."""

    def __init__(self) -> None:
        self._amounts: deque[tuple[float, int]] = deque()
        self._sum = 0

    def add(self, amount: int) -> None:
        self._amounts.append((trio.current_time(), amount))
        self._sum += amount

    def sum(self) -> int:
        since = trio.current_time() - _WINDOW_S
        while self._amounts and self._amounts[0][0] <= since:
            self._sum -= self._amounts.popleft()[1]
        return self._sum


class VenueLimits:
    """What was used in the last minute, which `speed` makes shorter. With `lifted` nothing is refused."""

    def __init__(self, *, lifted: bool, speed: float = 1.0) -> None:
        self._lifted = lifted
        self._speed = max(1.0, speed)
        self._weight, self._connections, self._messages = _Minute(), _Minute(), _Minute()
        self.refused = 0

    @property
    def weight(self) -> int:
        """Return the weight of the last minute."""
        return self._weight.sum()

    def request(self, body: bytes, *, action: bool) -> bool:
        """Count a request; return whether it may be answered."""
        return self._take(self._weight, _weight_of(body, action=action), WEIGHT_MAX)

    def rows(self, kind: str, answer: str) -> None:
        """Count the rows of an answer."""
        if not self._lifted and answer.startswith("["):
            rows = len(msgspec.json.decode(answer, type=list[msgspec.Raw]))
            self._weight.add(rows_weight(kind, rows))

    def connection(self) -> bool:
        """Count a new websocket; return whether it may be had."""
        return self._take(self._connections, 1, CONNECTIONS_MAX)

    def message(self) -> bool:
        """Count a message of a client; return whether it may go on."""
        return self._take(self._messages, 1, MESSAGES_MAX)

    def _take(self, minute: _Minute, amount: int, most: int) -> bool:
        if self._lifted:
            return True
        if minute.sum() + amount > most * self._speed:
            self.refused += 1
            return False
        minute.add(amount)
        return True


def _weight_of(body: bytes, *, action: bool) -> int:
    """Return the weight of a request that may be anything at all."""
    try:
        request: Any = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        request = None
    request = request if isinstance(request, dict) else {}
    if not action:
        return info_weight(str(request.get("type")))
    asked = request.get("action")
    asked = asked if isinstance(asked, dict) else {}
    entries: Any = next((asked[name] for name in ("orders", "cancels", "modifies") if name in asked), [])
    return action_weight(len(entries) if isinstance(entries, list) else 1)
