"""Orders and executions of the local exchange, as Lighter shows them in answers and on private channels.

Owns the forms of an order and of an execution, with all members that the venue's own client demands. Prices
and sizes are integers at the instrument's scales, money is exact decimal. Times are in ms.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from adapters.exchange.numbers import padded
from engine.events import InstrumentListed
from engine.values import BUY

__all__ = ["KINDS", "MILLION", "OTHERS", "TRIGGERED", "Execution", "Order", "order_row", "trade_row"]

KINDS: Final = ("limit", "market", "stop-loss", "stop-loss-limit", "take-profit", "take-profit-limit")
"""By the number of the type in a transaction."""

TRIGGERED: Final = frozenset({2, 3, 4, 5})
MILLION: Final = 1_000_000
OTHERS: Final = 1
"""The account that all others are."""

_TIFS: Final = {"IOC": "immediate-or-cancel", "GTC": "good-till-time", "GTX": "post-only"}


@dataclass(slots=True, eq=False)
class Order:
    """One order. `kind` is the number of its type, `tif` "IOC", "GTC" or "GTX" (post-only).

    A stop `waits` until the mark reaches its `trigger_price`; the venue shows it as pending.
    """

    number: int
    client_index: int
    market: int
    listed: InstrumentListed
    side: int
    price: int
    size: int
    tif: str
    kind: int
    reduce_only: bool
    expires_ms: int
    created_ms: int
    updated_ms: int
    trigger_price: int = 0
    waits: bool = False
    status: str = "open"
    executed: int = 0
    worth: Decimal = Decimal(0)

    @property
    def open(self) -> bool:
        """Whether it can still trade."""
        return self.status in ("open", "pending")

    @property
    def left(self) -> int:
        """What is not executed."""
        return self.size - self.executed

    def hit_by(self, price: int) -> bool:
        """Return whether a price has reached the trigger: a stop goes with it, a take-profit against it."""
        rising = (self.side == BUY) == (self.kind in (2, 3))
        return price >= self.trigger_price if rising else price <= self.trigger_price


@dataclass(slots=True, frozen=True)
class Execution:
    """One execution of an account's order; `rate` is its fee in millionths."""

    number: int
    order: Order
    price: int
    size: int
    worth: Decimal
    fee: Decimal
    rate: int
    maker: bool
    time_us: int


def order_row(order: Order, account: int) -> dict[str, Any]:
    """Return an order of an account."""
    listed = order.listed

    def size(value: int) -> str:
        return padded(value, listed.size_scale, listed.size_scale)

    return {
        "order_index": order.number,
        "client_order_index": order.client_index,
        "order_id": str(order.number),
        "client_order_id": str(order.client_index),
        "market_index": order.market,
        "owner_account_index": account,
        "initial_base_amount": size(order.size),
        "price": padded(order.price, listed.price_scale, listed.price_scale),
        "nonce": order.number % (1 << 48),
        "remaining_base_amount": size(order.left),
        "is_ask": order.side != BUY,
        "base_size": order.size,
        "base_price": order.price,
        "filled_base_amount": size(order.executed),
        "filled_quote_amount": f"{order.worth:.6f}",
        "side": "buy" if order.side == BUY else "sell",
        "type": KINDS[order.kind],
        "time_in_force": _TIFS[order.tif],
        "reduce_only": order.reduce_only,
        "trigger_price": padded(order.trigger_price, listed.price_scale, listed.price_scale),
        "order_expiry": order.expires_ms,
        "status": order.status,
        "trigger_status": "mark-price" if order.waits else "na",
        "trigger_time": 0,
        "parent_order_index": 0,
        "parent_order_id": "0",
        "to_trigger_order_id_0": "0",
        "to_trigger_order_id_1": "0",
        "to_cancel_order_id_0": "0",
        "integrator_fee_collector_index": "0",
        "integrator_taker_fee": "0",
        "integrator_maker_fee": "0",
        "order_flags": 0,
        "order_version": 0,
        "market_symbol": listed.name,
        "market_kind": "spot" if listed.kind == "spot" else "perps",
        "block_height": 1,
        "timestamp": order.created_ms,
        "created_at": order.created_ms,
        "updated_at": order.updated_ms,
        "transaction_time": order.updated_ms * 1000,
    }


def trade_row(one: Execution, account: int) -> dict[str, Any]:
    """Return an execution of an account; the other side is somebody else."""
    order, listed = one.order, one.order.listed
    buys = order.side == BUY
    row: dict[str, Any] = {
        "trade_id": one.number,
        "trade_id_str": str(one.number),
        "tx_hash": f"{one.number:080x}",
        "type": "trade",
        "market_id": order.market,
        "size": padded(one.size, listed.size_scale, listed.size_scale),
        "price": padded(one.price, listed.price_scale, listed.price_scale),
        "usd_amount": f"{one.worth:f}",
        "is_maker_ask": one.maker != buys,
        "block_height": 1,
        "timestamp": one.time_us // 1000,
        "transaction_time": one.time_us,
        "bid_account_pnl": "0",
        "ask_account_pnl": "0",
    }
    for side, own in (("bid", buys), ("ask", not buys)):
        number, index = (order.number, order.client_index) if own else (0, 0)
        row[f"{side}_id"], row[f"{side}_id_str"] = number, str(number)
        row[f"{side}_client_id"], row[f"{side}_client_id_str"] = index, str(index)
        row[f"{side}_account_id"] = account if own else OTHERS
    for role, own in (("maker", one.maker), ("taker", not one.maker)):
        row[f"{role}_fee"] = one.rate if own else 0
        row[f"{role}_position_size_before"] = "0"
        row[f"{role}_entry_quote_before"] = "0"
        row[f"{role}_initial_margin_fraction_before"] = 500
        row[f"{role}_position_sign_changed"] = False
    return row
