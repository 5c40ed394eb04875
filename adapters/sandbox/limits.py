"""The venue's limits per IP address. All clients of the sandbox share one address, so they share the limits.

Counts request weight, new connections and messages over the last 60 seconds of real time. If the tape is
played faster than real time, these limits are multiplied by its speed. The weights of requests are
deliberately not shared with the Hyperliquid adapter: the sandbox is there to check the adapter's own table.

The venue documents what happens beyond the limit of users, but not beyond the others. The sandbox does this:
too much weight: HTTP 429 with one line of text and no `Retry-After` (a fault can add it); too many
connections: the upgrade is refused with 429; too many messages: the connection is cut (1006); too many posts
or subscriptions: an error on channel `error`. Posts have no weight here; whether they have on the venue is
unknown. Source: the venue's rate limits page, 2026-08.

Called by `requests.py` and the server. The hub enforces the limits on subscriptions and users.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import msgspec

from adapters.exchange.limits import Window

__all__ = ["POSTS_MAX", "TOO_MANY", "USERS_MAX", "WEIGHT_MAX", "VenueLimits"]

TOO_MANY: Final = "Too many requests"
WEIGHT_MAX: Final = 1200
NEW_CONNECTIONS_MAX: Final = 30
MESSAGES_MAX: Final = 2000
POSTS_MAX: Final = 100
USERS_MAX: Final = 10

# Limits that protect the sandbox itself when the venue's limits are off.
_CONNECTIONS_OPEN_SAFE: Final = 256
_SUBSCRIPTIONS_SAFE: Final = 16_384

_LIGHT: Final = frozenset(
    {"l2Book", "allMids", "clearinghouseState", "orderStatus", "spotClearinghouseState", "exchangeStatus"}
)
_ROWS_PER_WEIGHT: Final = {
    "candleSnapshot": 60,
    "recentTrades": 20,
    "historicalOrders": 20,
    "userFills": 20,
    "userFillsByTime": 20,
    "fundingHistory": 20,
    "userFunding": 20,
    "userNonFundingLedgerUpdates": 20,
}
_BATCHES: Final = ("orders", "cancels", "modifies")
_ENTRIES_PER_WEIGHT: Final = 40


class VenueLimits:
    """Usage within the last minute. With `lifted`, only the limits that protect the sandbox apply.

    `refused` counts refusals by limit: weight, connections, messages, posts.
    """

    def __init__(
        self, *, lifted: bool, speed: float, connections_open_max: int, subscriptions_max: int
    ) -> None:
        self.refused: Counter[str] = Counter()
        self.connections_open_max = connections_open_max
        self.subscriptions_max = subscriptions_max
        self.users_max = USERS_MAX
        if lifted:
            self.connections_open_max = max(connections_open_max, _CONNECTIONS_OPEN_SAFE)
            self.subscriptions_max = max(subscriptions_max, _SUBSCRIPTIONS_SAFE)
            self.users_max = self.subscriptions_max
        self._lifted = lifted
        self._speed = max(1.0, speed)
        self._weight, self._connections, self._messages = Window(), Window(), Window()
        self._posts = 0

    @property
    def weight(self) -> int:
        """The weight used in the last minute."""
        return self._weight.sum()

    @property
    def messages(self) -> int:
        """The number of client messages in the last minute."""
        return self._messages.sum()

    @property
    def posts(self) -> int:
        """The number of posts whose answer is pending."""
        return self._posts

    def request(self, body: bytes, *, action: bool) -> bool:
        """Count a request and return whether it is within the limit."""
        return self._take("weight", self._weight, _weight_of(body, action=action), WEIGHT_MAX)

    def rows(self, kind: str, answer: str) -> None:
        """Add the weight of an answer's rows: 1 for every 20 rows (60 candles), rounded up."""
        per_weight = _ROWS_PER_WEIGHT.get(kind)
        if self._lifted or per_weight is None or not answer.startswith("["):
            return
        rows = len(msgspec.json.decode(answer, type=list[msgspec.Raw]))
        if rows:
            self._weight.add(-(-rows // per_weight))

    def connection(self, already_open: int) -> bool:
        """Count a new websocket and return whether it is within the limits."""
        if already_open >= self.connections_open_max:
            self.refused["connections"] += 1
            return False
        return self._take("connections", self._connections, 1, NEW_CONNECTIONS_MAX)

    def message(self) -> bool:
        """Count a client message and return whether it is within the limit."""
        return self._take("messages", self._messages, 1, MESSAGES_MAX)

    def post_begins(self) -> bool:
        """Count a post whose answer is pending and return whether it is within the limit."""
        if self._posts >= POSTS_MAX:
            self.refused["posts"] += 1
            return False
        self._posts += 1
        return True

    def post_ends(self) -> None:
        """Uncount a post that was answered or whose connection closed."""
        self._posts -= 1

    def _take(self, kind: str, minute: Window, amount: int, most: int) -> bool:
        if self._lifted:
            return True
        if minute.sum() + amount > most * self._speed:
            self.refused[kind] += 1
            return False
        minute.add(amount)
        return True


def _weight_of(body: bytes, *, action: bool) -> int:
    """Return the weight of a request, which may be invalid JSON."""
    try:
        request: Any = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        request = None
    request = request if isinstance(request, dict) else {}
    if action:
        payload = request.get("action")
        return 1 + _entries(payload if isinstance(payload, dict) else {}) // _ENTRIES_PER_WEIGHT
    kind = request.get("type")
    if kind == "userRole":
        return 60
    return 2 if isinstance(kind, str) and kind in _LIGHT else 20


def _entries(action: dict[str, Any]) -> int:
    """Return the number of entries in a batch; 1 for an action without one."""
    batches = [action[name] for name in _BATCHES if name in action]
    return len(batches[0]) if batches and isinstance(batches[0], list) else 1
