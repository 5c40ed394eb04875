"""Orders and executions of the local exchange, as Binance shows them in answers and in user data.

Owns the forms of an order, of a conditional order and of an execution, spot and USD-M. Prices and sizes are
integers at the instrument's scales, money is exact decimal. Times are in ms.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from engine.events import InstrumentListed
from engine.values import BUY, format_scaled

__all__ = ["Algo", "Execution", "Order", "algo_event", "algo_row", "order_event", "order_row", "trade_row"]


@dataclass(slots=True, eq=False)
class Order:
    """One order. `tif` is "GTC", "IOC", "FOK" or "GTX", `kind` the type, `algo` the stop that fired it.

    A spot stop waits in state `waits` until its `stop_price` is reached.
    """

    number: int
    client_id: str
    listed: InstrumentListed
    side: int
    price: int
    size: int
    tif: str
    kind: str
    reduce_only: bool
    created_ms: int
    updated_ms: int
    status: str = "NEW"
    executed: int = 0
    worth: Decimal = Decimal(0)
    stop_price: int = 0
    waits: bool = False
    algo: Algo | None = None
    expiry: str = "0"

    @property
    def open(self) -> bool:
        """Whether it can still trade."""
        return self.status in ("NEW", "PARTIALLY_FILLED")

    @property
    def left(self) -> int:
        """What is not executed."""
        return self.size - self.executed


@dataclass(slots=True, eq=False)
class Algo:
    """A conditional order of futures: fires an order of its own once the price is reached."""

    number: int
    client_id: str
    listed: InstrumentListed
    side: int
    kind: str
    trigger_price: int
    price: int
    size: int
    tif: str
    reduce_only: bool
    working: str
    created_ms: int
    updated_ms: int
    status: str = "NEW"
    fired: int = 0
    reason: str = ""

    def hit_by(self, price: int) -> bool:
        """Return whether a price has reached the trigger: a stop goes with it, a take-profit against it."""
        rising = (self.side == BUY) == self.kind.startswith("STOP")
        return price >= self.trigger_price if rising else price <= self.trigger_price


@dataclass(slots=True, frozen=True)
class Execution:
    """One execution of an account's order."""

    number: int
    order: Order
    price: int
    size: int
    fee: Decimal
    fee_asset: str
    maker: bool
    realized: Decimal
    time_ms: int


def side_text(side: int) -> str:
    """Return a side as the venue writes it."""
    return "BUY" if side == BUY else "SELL"


def price_of(one: Order | Algo, price: int) -> str:
    """Return a price as the venue writes it."""
    return format_scaled(price, one.listed.price_scale)


def size_of(one: Order | Algo, size: int) -> str:
    """Return a size as the venue writes it."""
    return format_scaled(size, one.listed.size_scale)


def order_row(order: Order, *, spot: bool) -> dict[str, Any]:
    """Return an order as in answers."""
    row = {
        "symbol": order.listed.name,
        "orderId": order.number,
        "clientOrderId": order.client_id,
        "price": price_of(order, order.price),
        "origQty": size_of(order, order.size),
        "executedQty": size_of(order, order.executed),
        "status": order.status,
        "timeInForce": order.tif,
        "type": order.kind,
        "side": side_text(order.side),
        "stopPrice": price_of(order, order.stop_price),
        "time": order.created_ms,
        "updateTime": order.updated_ms,
    }
    if spot:
        quote = f"{order.worth:f}"
        return row | {
            "orderListId": -1,
            "cummulativeQuoteQty": quote,
            "transactTime": order.updated_ms,
            "isWorking": not order.waits,
            "selfTradePreventionMode": "EXPIRE_MAKER",
        }
    return row | {
        "reduceOnly": order.reduce_only,
        "closePosition": False,
        "positionSide": "BOTH",
        "origType": order.kind,
        "workingType": "CONTRACT_PRICE",
    }


def algo_row(algo: Algo) -> dict[str, Any]:
    """Return a conditional order as in answers."""
    return {
        "algoId": algo.number,
        "clientAlgoId": algo.client_id,
        "algoType": "CONDITIONAL",
        "orderType": algo.kind,
        "symbol": algo.listed.name,
        "side": side_text(algo.side),
        "positionSide": "BOTH",
        "timeInForce": algo.tif,
        "quantity": size_of(algo, algo.size),
        "algoStatus": algo.status,
        "triggerPrice": price_of(algo, algo.trigger_price),
        "price": price_of(algo, algo.price),
        "workingType": algo.working,
        "closePosition": False,
        "priceProtect": False,
        "reduceOnly": algo.reduce_only,
        "actualOrderId": str(algo.fired) if algo.fired else "",
        "createTime": algo.created_ms,
        "updateTime": algo.updated_ms,
    }


def trade_row(one: Execution, *, spot: bool) -> dict[str, Any]:
    """Return an execution as in answers: it names the order's number, not its client id."""
    order = one.order
    row = {
        "symbol": order.listed.name,
        "id": one.number,
        "orderId": order.number,
        "price": price_of(order, one.price),
        "qty": size_of(order, one.size),
        "commission": f"{one.fee:f}",
        "commissionAsset": one.fee_asset,
        "time": one.time_ms,
    }
    buys = order.side == BUY
    if spot:
        return row | {"isBuyer": buys, "isMaker": one.maker, "isBestMatch": True, "orderListId": -1}
    return row | {
        "buyer": buys,
        "maker": one.maker,
        "side": side_text(order.side),
        "positionSide": "BOTH",
        "realizedPnl": f"{one.realized:f}",
    }


def order_event(
    order: Order, what: str, now_ms: int, *, spot: bool, one: Execution | None = None, cancel_id: str = ""
) -> dict[str, Any]:
    """Return an event of the user data about an order. `cancel_id` is the client id of a spot cancel."""
    members = {
        "s": order.listed.name,
        "c": cancel_id or order.client_id,
        "S": side_text(order.side),
        "o": order.kind,
        "f": order.tif,
        "q": size_of(order, order.size),
        "p": price_of(order, order.price),
        "x": what,
        "X": order.status,
        "i": order.number,
        "l": size_of(order, one.size) if one else "0",
        "z": size_of(order, order.executed),
        "L": price_of(order, one.price) if one else "0",
        "T": order.updated_ms,
        "t": one.number if one else (-1 if spot else 0),
        "m": one.maker if one else False,
    }
    if one is not None:
        members |= {"n": f"{one.fee:f}", "N": one.fee_asset}
    if spot:
        members |= {
            "e": "executionReport",
            "E": now_ms,
            "P": price_of(order, order.stop_price),
            "r": "NONE",
            "w": order.open,
            "O": order.created_ms,
            "Z": f"{order.worth:f}",
            "C": order.client_id if cancel_id else "",
        }
        return members if one is not None else members | {"n": "0", "N": None}
    members |= {"R": order.reduce_only, "ps": "BOTH", "er": order.expiry, "ot": order.kind}
    if one is not None:
        members["rp"] = f"{one.realized:f}"
    return {"e": "ORDER_TRADE_UPDATE", "E": now_ms, "T": order.updated_ms, "o": members}


def algo_event(algo: Algo, now_ms: int) -> dict[str, Any]:
    """Return an event of the user data about a conditional order."""
    members = {
        "caid": algo.client_id,
        "aid": algo.number,
        "at": "CONDITIONAL",
        "o": algo.kind,
        "s": algo.listed.name,
        "S": side_text(algo.side),
        "ps": "BOTH",
        "f": algo.tif,
        "q": size_of(algo, algo.size),
        "X": algo.status,
        "ai": str(algo.fired) if algo.fired else "",
        "tp": price_of(algo, algo.trigger_price),
        "p": price_of(algo, algo.price),
        "R": algo.reduce_only,
        "rm": algo.reason,
    }
    return {"e": "ALGO_UPDATE", "E": now_ms, "T": algo.updated_ms, "o": members}
