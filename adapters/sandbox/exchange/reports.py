"""Reports to accounts: order updates, fills, funding, ledger entries and other events.

Queues reports in the order in which they happened. All reports between two calls of `drain` become one frame
per account and channel, order updates before fills, as the venue batches a block; each other event on channel
`user` is a frame of its own. The hub sends the frames to their subscribers.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

from adapters.sandbox.exchange.accounts import Account
from adapters.sandbox.exchange.money import money_text
from adapters.sandbox.exchange.orders import Order, update_row
from adapters.sandbox.wire import encode, frame, wire_number
from engine.values import BUY

__all__ = ["ZERO_HASH", "Execution", "Reports", "hash_of"]

ZERO_HASH: Final = "0x" + "0" * 64

_TID_MASK: Final = 2**50 - 1
_BY_VENUE: Final = ("selfTradeCanceled", "marginCanceled", "liquidatedCanceled", "scheduledCancel")
"""Order statuses also reported as `nonUserCancel`. On the venue, `reduceOnlyCanceled` is not."""


@dataclass(frozen=True, slots=True)
class Execution:
    """A fill. `start` is the signed position before it. Money has 12 decimals."""

    price: int
    size: int
    time_ms: int
    tid: int
    taker: bool
    start: int
    realized: int
    fee: int
    liquidation: dict[str, Any] | None = None


class Reports:
    """The queue of reports."""

    def __init__(self) -> None:
        self._updates: dict[str, list[dict[str, Any]]] = {}
        self._fills: dict[str, list[dict[str, Any]]] = {}
        self._events: list[tuple[str, dict[str, Any]]] = []
        self._fundings: dict[str, list[dict[str, Any]]] = {}
        self._ledgers: dict[str, list[dict[str, Any]]] = {}
        self._executions = 0

    def update(self, order: Order) -> None:
        """Report the current state of an order."""
        self._updates.setdefault(order.user, []).append(update_row(order))
        if order.status in _BY_VENUE:
            row = {"coin": order.listed.name, "oid": order.oid}
            self._events.append((order.user, {"nonUserCancel": [row]}))

    def fill(self, account: Account, order: Order, execution: Execution) -> None:
        """Report a fill."""
        row = _fill_row(order, execution)
        account.fills.append(row)
        self._fills.setdefault(account.address, []).append(row)

    def funding(self, account: Account, row: dict[str, Any]) -> None:
        """Report a funding payment."""
        account.fundings.append(row)
        self._fundings.setdefault(account.address, []).append(row)
        self._events.append((account.address, {"funding": row}))

    def ledger(self, account: Account, row: dict[str, Any]) -> None:
        """Report a ledger entry."""
        account.ledger.append(row)
        self._ledgers.setdefault(account.address, []).append(row)

    def event(self, account: Account, event: dict[str, Any]) -> None:
        """Report an event on channel `user`."""
        self._events.append((account.address, event))

    def next_trade_id(self, oid: int, other: int) -> int:
        """Return a new trade id for two orders, `other` being 0 for the tape. Ids are unique and never 0."""
        self._executions += 1
        digest = blake2b(f"{oid} {other} {self._executions}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") & _TID_MASK or 1

    def drain(self) -> list[tuple[str, str, str]]:
        """Return the reports since the last call as (subscription type, address, frame)."""
        frames: list[tuple[str, str, str]] = []

        def add(kind: str, channel: str, user: str, data: Any) -> None:
            frames.append((kind, user, frame(channel, encode(data).decode())))

        for user, rows in self._updates.items():
            add("orderUpdates", "orderUpdates", user, rows)
        for user, rows in self._fills.items():
            add("userFills", "userFills", user, {"user": user, "fills": rows})
            add("userEvents", "user", user, {"fills": rows})
        for user, event in self._events:
            add("userEvents", "user", user, event)
        for user, rows in self._fundings.items():
            add("userFundings", "userFundings", user, {"user": user, "fundings": rows})
        for user, rows in self._ledgers.items():
            kind = "userNonFundingLedgerUpdates"
            add(kind, kind, user, {"user": user, "nonFundingLedgerUpdates": rows})
        for box in (self._updates, self._fills, self._events, self._fundings, self._ledgers):
            box.clear()
        return frames


def hash_of(*parts: object) -> str:
    """Return a transaction hash derived from `parts`."""
    return "0x" + blake2b(" ".join(map(str, parts)).encode(), digest_size=32).hexdigest()


def _fill_row(order: Order, execution: Execution) -> dict[str, Any]:
    listed = order.listed
    row: dict[str, Any] = {
        "coin": listed.name,
        "px": wire_number(execution.price, listed.price_scale),
        "sz": wire_number(execution.size, listed.size_scale),
        "side": "B" if order.side == BUY else "A",
        "time": execution.time_ms,
        "startPosition": wire_number(execution.start, listed.size_scale),
        "dir": _direction(execution.start, order.side, execution.size),
        "closedPnl": money_text(execution.realized),
        "hash": hash_of("fill", order.oid, execution.time_ms),
        "oid": order.oid,
        "crossed": execution.taker,
        "fee": money_text(execution.fee),
        "tid": execution.tid,
        "feeToken": "USDC",
        "twapId": None,
    }
    if order.cloid is not None:
        row["cloid"] = order.cloid
    if execution.liquidation is not None:
        row["liquidation"] = execution.liquidation
    return row


def _direction(start: int, side: int, size: int) -> str:
    """Return the venue's term for the effect of a fill on a position."""
    end = start + side * size
    if start * side >= 0:
        return "Open Long" if side == BUY else "Open Short"
    if end * start < 0:
        return "Short > Long" if side == BUY else "Long > Short"
    return "Close Short" if side == BUY else "Close Long"
