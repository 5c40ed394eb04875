"""Commands of the engine as requests of the venue: parameters in sending order, numbers as plain text.

Owns which request a command becomes. A market order is a limit order with its bound that is filled at once or
canceled; post-only is GTX on futures and LIMIT_MAKER on spot; a stop or take-profit is a conditional order of
its own on futures, at another address, and an order type on spot; an order at the market that a trigger
fires keeps its bound. Futures change an order in place; spot reduces one in place, and replaces it otherwise.
Called by the gateway. Source: the venue's order references, 2026-07.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from adapters.binance.gateway.dialects import Dialect
from engine.events import (
    CancelOrder,
    InstrumentListed,
    ModifyOrder,
    ScheduleCancel,
    SetLeverage,
    SubmitOrder,
)
from engine.events.terms import OrderTerms
from engine.values import BUY, format_scaled

__all__ = ["Call", "Wire"]

_STOP: Final = {"sl": "STOP", "tp": "TAKE_PROFIT"}
_SPOT_STOP: Final = {"sl": "STOP_LOSS_LIMIT", "tp": "TAKE_PROFIT_LIMIT"}
_WORKING: Final = {"mark": "MARK_PRICE", "last": "CONTRACT_PRICE"}


class Call(msgspec.Struct, frozen=True):
    """One request. `is_order`: the venue counts it as an order."""

    method: str
    path: str
    params: dict[str, str | int]
    is_order: bool = False


class Wire:
    """Turns commands into requests, for the instruments of the session, whose names are the venue's."""

    def __init__(self, dialect: Dialect, instruments: Iterable[InstrumentListed]) -> None:
        self.dialect = dialect
        self._listed = {one.instrument: one for one in instruments}

    def trades(self, instrument: int) -> bool:
        """Return whether an instrument is one of this session's; an order may be left from another one."""
        return instrument in self._listed

    def symbol(self, instrument: int) -> str:
        """Return the venue's name of an instrument."""
        return self._listed[instrument].name

    def symbols(self) -> list[str]:
        """Return the venue's names of all instruments."""
        return [one.name for one in self._listed.values()]

    def is_conditional(self, terms: OrderTerms) -> bool:
        """Return whether an order goes to the address of conditional orders."""
        return bool(terms.trigger) and not self.dialect.spot

    def submit(self, command: SubmitOrder) -> Call:
        """Return the request that places an order."""
        terms = command.terms
        params = self._market(command.instrument, terms.side)
        if self.is_conditional(terms):
            return self._conditional(command, params)
        post_only = terms.tif == "Alo" and not terms.trigger
        tif = "GTC" if terms.tif == "Gtc" else "IOC"
        if terms.trigger:
            params["type"] = _SPOT_STOP[terms.trigger]
            tif = "IOC" if terms.market else "GTC"
        elif post_only and self.dialect.spot:
            params["type"] = "LIMIT_MAKER"
        else:
            params["type"] = "LIMIT"
        if params["type"] != "LIMIT_MAKER":
            params["timeInForce"] = self.dialect.post_only if post_only else tif
        params["quantity"] = self._size(command.instrument, terms.size)
        params["price"] = self._price(command.instrument, terms.worst)
        if terms.trigger:
            params["stopPrice"] = self._price(command.instrument, terms.trigger_price)
        if terms.reduce_only and not self.dialect.spot:
            params["reduceOnly"] = "true"
        params |= {"newClientOrderId": command.client_order_id, "newOrderRespType": "RESULT"}
        return Call("POST", self.dialect.path("order"), params, is_order=True)

    def _conditional(self, command: SubmitOrder, params: dict[str, str | int]) -> Call:
        terms, number = command.terms, command.instrument
        params = {"algoType": "CONDITIONAL", **params, "type": _STOP[terms.trigger]}
        params |= {
            "timeInForce": "IOC" if terms.market else "GTC",
            "quantity": self._size(number, terms.size),
            "price": self._price(number, terms.worst),
            "triggerPrice": self._price(number, terms.trigger_price),
            "workingType": _WORKING[self._listed[number].rules.trigger_price],
        }
        if terms.reduce_only:
            params["reduceOnly"] = "true"
        params["clientAlgoId"] = command.client_order_id
        return Call("POST", self.dialect.path("algoOrder"), params, is_order=True)

    def cancel(self, command: CancelOrder, *, conditional: bool, fired: int = 0) -> Call:
        """Return the request that cancels an order; `fired` is the number of one that a stop has fired."""
        if conditional and not fired:
            return Call("DELETE", self.dialect.path("algoOrder"), {"clientAlgoId": command.client_order_id})
        params: dict[str, str | int] = {"symbol": self.symbol(command.instrument)}
        params |= {"orderId": fired} if fired else {"origClientOrderId": command.client_order_id}
        return Call("DELETE", self.dialect.path("order"), params)

    def modify(self, command: ModifyOrder, filled: int) -> Call:
        """Return the request that changes a futures order in place. The venue counts what is filled too."""
        params = {
            **self._market(command.instrument, command.side),
            "origClientOrderId": command.client_order_id,
            "quantity": self._size(command.instrument, command.size + filled),
            "price": self._price(command.instrument, command.limit_price),
        }
        return Call("PUT", self.dialect.path("order"), params, is_order=True)

    def reduce(self, command: ModifyOrder, filled: int) -> Call:
        """Return the request that reduces a spot order, which keeps its place and its number."""
        params: dict[str, str | int] = {
            "symbol": self.symbol(command.instrument),
            "origClientOrderId": command.client_order_id,
            "newClientOrderId": command.client_order_id,
            "newQty": self._size(command.instrument, command.size + filled),
        }
        return Call("PUT", self.dialect.path("order/amend/keepPriority"), params, is_order=True)

    def replace(self, command: ModifyOrder) -> Call:
        """Return the request that cancels a spot order and places another one under the same client id.

        Only an order of which nothing is filled is replaced: a fill on the way would be ordered twice.
        """
        params = self._market(command.instrument, command.side)
        post_only = command.tif == "Alo"
        params["type"] = "LIMIT_MAKER" if post_only else "LIMIT"
        params |= {"cancelReplaceMode": "STOP_ON_FAILURE", "cancelRestrictions": "ONLY_NEW"}
        if not post_only:
            params["timeInForce"] = "GTC"
        params |= {
            "quantity": self._size(command.instrument, command.size),
            "price": self._price(command.instrument, command.limit_price),
            "cancelOrigClientOrderId": command.client_order_id,
            "newClientOrderId": command.client_order_id,
            "newOrderRespType": "RESULT",
        }
        return Call("POST", self.dialect.path("order/cancelReplace"), params, is_order=True)

    def leverage(self, command: SetLeverage) -> list[Call]:
        """Return the requests that set leverage and kind of margin."""
        symbol = self.symbol(command.instrument)
        kind = "CROSSED" if command.cross else "ISOLATED"
        return [
            Call("POST", self.dialect.path("marginType"), {"symbol": symbol, "marginType": kind}),
            Call("POST", self.dialect.path("leverage"), {"symbol": symbol, "leverage": command.leverage}),
        ]

    def schedule(self, command: ScheduleCancel, venue_ms: int) -> list[Call]:
        """Return the requests of the dead man's switch, one for each market."""
        left_ms = max(1, command.cancel_at_ns // 1_000_000 - venue_ms) if command.cancel_at_ns else 0
        return [
            Call("POST", self.dialect.path("countdownCancelAll"), {"symbol": one, "countdownTime": left_ms})
            for one in self.symbols()
        ]

    def _market(self, instrument: int, side: int) -> dict[str, str | int]:
        return {"symbol": self.symbol(instrument), "side": "BUY" if side == BUY else "SELL"}

    def _price(self, instrument: int, price: int) -> str:
        return format_scaled(price, self._listed[instrument].price_scale)

    def _size(self, instrument: int, size: int) -> str:
        return format_scaled(size, self._listed[instrument].size_scale)
