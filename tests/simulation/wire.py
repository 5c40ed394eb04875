"""What the engine sends, checked as it leaves: nothing before its record is durable (I6), nothing twice (I5).

Orders over HTTP are seen as they leave the process, those over the websocket as they reach the venue.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from tests.simulation.disks import SimulatedDisk

__all__ = ["Wire"]


class Wire:
    """The orders that were sent. `broken` is called with an invariant and words."""

    def __init__(self, disk: Callable[[], SimulatedDisk], broken: Callable[[str, str], None]) -> None:
        self.orders: Counter[str] = Counter()
        self.actions: Counter[str] = Counter()
        self._disk = disk
        self._broken = broken

    def sent(self, path: str, body: bytes) -> None:
        """Check a request."""
        if not path.endswith("/exchange"):
            return
        action = msgspec.json.decode(body)["action"]
        self.actions[action["type"]] += 1
        for client_id in _new_orders(action):
            self.orders[client_id] += 1
            if self.orders[client_id] > 1:
                self._broken("I5", f"order {client_id} was sent twice")
            if not self._disk().holds(client_id.encode()):
                self._broken("I6", f"order {client_id} was sent before its record was durable")


def _new_orders(action: dict[str, Any]) -> Iterator[str]:
    if action["type"] == "order":
        for order in action["orders"]:
            if client_id := order.get("c"):
                yield client_id
