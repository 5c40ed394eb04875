"""What the engine sends, checked as it leaves: nothing before its record is durable (I6), nothing twice (I5).

Also: a nonce is used once and rises, whatever the clocks do (O15), and nothing is sent before the time that
the venue named in a refusal (N15). Requests over HTTP are seen as they leave the process, those over the
websocket as they reach the venue.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
import trio

from adapters.exchange.protocol import Request
from tests.simulation.disks import SimulatedDisk
from tests.simulation.network import Answered
from tests.simulation.second import SecondVenue

__all__ = ["Wire"]

SECOND: Final = SecondVenue.venue
_NEW: Final = {("POST", "order"): ("newClientOrderId",), ("POST", "algoOrder"): ("clientAlgoId",)}
"""The requests of the second venue that place an order, and where its client id is."""


class Wire:
    """The orders that were sent to one venue. `broken` is called with an invariant and words."""

    NONCE_BACK_MS = 60_000
    """Nonces are drawn before a request waits for its turn."""

    def __init__(
        self, venue: str, disk: Callable[[], SimulatedDisk], broken: Callable[[str, str], None]
    ) -> None:
        self.venue = venue
        self.orders: Counter[str] = Counter()
        self.actions: Counter[str] = Counter()
        self._nonces: set[int] = set()
        self._highest = 0
        self._closed_until = 0.0
        self._disk = disk
        self._broken = broken

    def begun(self, path: str) -> None:
        """Check that a request may be made now."""
        if trio.current_time() < self._closed_until:
            self._broken("N15", f"a request to {path} before the time that a refusal named")

    def sent(self, asked: Request) -> None:
        """Check a request."""
        if self.venue == SECOND:
            given = dict(parse_qsl(asked.query))
            named = (asked.method, asked.path.rpartition("/")[2])
            ids = [given[name] for name in _NEW.get(named, ()) if name in given]
            self.actions[" ".join(named)] += asked.method != "GET"
        elif asked.path.endswith("/exchange"):
            request = msgspec.json.decode(asked.body)
            action = request["action"]
            self.actions[action["type"]] += 1
            self._check_nonce(request["nonce"])
            ids = [*_new_orders(action)]
        else:
            return
        for client_id in ids:
            self.orders[client_id] += 1
            if self.orders[client_id] > 1:
                self._broken("I5", f"order {client_id} was sent twice")
            if not self._disk().holds(client_id.encode()):
                self._broken("I6", f"order {client_id} was sent before its record was durable")

    def answered(self, answered: Answered) -> None:
        """Note for how long a refusal forbids requests."""
        after = answered.headers.get("retry-after", "")
        if answered.status == 429 and after:
            self._closed_until = max(self._closed_until, trio.current_time() + float(after))

    def restarted(self) -> None:
        """Forget what a process knew: a new one has not seen the refusal."""
        self._closed_until = 0.0

    def _check_nonce(self, nonce: int) -> None:
        if nonce in self._nonces:
            self._broken("O15", f"nonce {nonce} was used twice")
        elif nonce < self._highest - self.NONCE_BACK_MS:
            self._broken("O15", f"nonce {nonce} after {self._highest}")
        self._nonces.add(nonce)
        self._highest = max(self._highest, nonce)


def _new_orders(action: dict[str, Any]) -> Iterator[str]:
    if action["type"] == "order":
        for order in action["orders"]:
            if client_id := order.get("c"):
                yield client_id
