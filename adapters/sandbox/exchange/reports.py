"""What accounts are told: order updates, fills, events, in the order they happened.

Owns the outbox. Everything one call of the desk causes is one frame per channel and account, as the venue
batches a block. The hub takes the frames with `drain` and sends them to whoever listens.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final

from adapters.sandbox.exchange.accounts import Account, Position
from adapters.sandbox.exchange.money import money_text
from adapters.sandbox.exchange.orders import Order, update_row
from adapters.sandbox.wire import encode, frame, wire_number
from engine.values import BUY

__all__ = ["Reports"]

_TID_MASK: Final = 2**50 - 1


class Reports:
    """Frames by (subscription type, address). `waiting` says whether there are any."""

    def __init__(self) -> None:
        self._updates: dict[str, list[dict[str, Any]]] = {}
        self._fills: dict[str, list[dict[str, Any]]] = {}
        self._events: list[tuple[str, dict[str, Any]]] = []
        self._fundings: dict[str, list[dict[str, Any]]] = {}
        self._executions = 0

    def update(self, order: Order) -> None:
        """Tell an order as it is now."""
        self._updates.setdefault(order.user, []).append(update_row(order))

    def fill(
        self,
        account: Account,
        order: Order,
        held: Position,
        execution: dict[str, Any],
    ) -> None:
        """Tell an execution; `held` is the position before it."""
        row = self._fill_row(order, held, execution)
        account.fills.append(row)
        self._fills.setdefault(account.address, []).append(row)

    def funding(self, account: Account, row: dict[str, Any]) -> None:
        """Tell a funding payment."""
        account.fundings.append(row)
        self._fundings.setdefault(account.address, []).append(row)
        self._events.append((account.address, {"funding": row}))

    def not_by_user(self, order: Order) -> None:
        """Tell that the venue itself canceled an order."""
        self._events.append((order.user, {"nonUserCancel": [{"coin": order.listed.name, "oid": order.oid}]}))

    def next_trade_id(self, oid: int, other: int) -> int:
        """Return the id of an execution between two orders: never the same twice, and never 0."""
        self._executions += 1
        digest = blake2b(f"{oid} {other} {self._executions}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") & _TID_MASK or 1

    def drain(self) -> list[tuple[str, str, str]]:
        """Return (subscription type, address, frame) of what happened since the last call, fills last."""
        frames: list[tuple[str, str, str]] = []
        for user, rows in self._updates.items():
            frames.append(("orderUpdates", user, frame("orderUpdates", encode(rows).decode())))
        for user, rows in self._fills.items():
            data = encode({"user": user, "fills": rows}).decode()
            frames.append(("userFills", user, frame("userFills", data)))
            frames.append(("userEvents", user, frame("user", encode({"fills": rows}).decode())))
        for user, event in self._events:
            frames.append(("userEvents", user, frame("user", encode(event).decode())))
        for user, rows in self._fundings.items():
            data = encode({"user": user, "fundings": rows}).decode()
            frames.append(("userFundings", user, frame("userFundings", data)))
        for box in (self._updates, self._fills, self._events, self._fundings):
            box.clear()
        return frames

    def _fill_row(self, order: Order, held: Position, execution: dict[str, Any]) -> dict[str, Any]:
        listed = order.listed
        row = {
            "coin": listed.name,
            "px": wire_number(execution["price"], listed.price_scale),
            "sz": wire_number(execution["size"], listed.size_scale),
            "side": "B" if order.side == BUY else "A",
            "time": execution["time"],
            "startPosition": wire_number(held.size, listed.size_scale),
            "dir": _direction(held.size, order.side, execution["size"]),
            "closedPnl": money_text(execution["realized"]),
            "hash": "0x" + blake2b(f"{order.oid} {execution['time']}".encode(), digest_size=32).hexdigest(),
            "oid": order.oid,
            "crossed": execution["crossed"],
            "fee": money_text(execution["fee"]),
            "tid": execution["tid"],
            "feeToken": "USDC",
            "twapId": None,
        }
        if order.cloid is not None:
            row["cloid"] = order.cloid
        return row


def _direction(start: int, side: int, size: int) -> str:
    """Return the venue's words for what an execution does to a position."""
    end = start + side * size
    if start * side >= 0:
        return "Open Long" if side == BUY else "Open Short"
    if end * start < 0:
        return "Short > Long" if side == BUY else "Long > Short"
    return "Close Short" if side == BUY else "Close Long"
