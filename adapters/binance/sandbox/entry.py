"""Order entry of the local exchange: checks orders as Binance does, and places, changes and cancels them.

Owns the checks of a new order, in this order: symbol, kind, grid, smallest value, client id, post-only,
reduce-only, margin or balance. Promises: a refused order changes nothing. Source: the venue's order and
filter references, 2026-07. Called by `trading.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from adapters.binance.sandbox.accounts import Account
from adapters.binance.sandbox.matching import Matching
from adapters.binance.sandbox.orders import Algo, Order, algo_row, order_row
from adapters.exchange.matching import Shown
from adapters.exchange.positions import worth_of
from adapters.exchange.refusals import refuse
from engine.errors import NumberError
from engine.events import InstrumentListed
from engine.values import BUY, SELL, parse_scaled

__all__ = ["Entry"]

Params = dict[str, str]
_TIFS: Final = ("GTC", "IOC", "FOK", "GTX")
_SPOT_STOPS: Final = ("STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT")
_ALGOS: Final = ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET")
_FAR: Final = 10
"""A market order may trade this many times beyond the mark: it has no bound of its own."""


class Entry:
    """See the module."""

    def __init__(self, markets: Mapping[str, Shown], matching: Matching, *, spot: bool) -> None:
        self._markets = markets
        self._matching = matching
        self._spot = spot

    # Orders.

    def submit(self, account: Account, params: Params, now_ms: int) -> Any:
        """Place an order."""
        order = self._build(account, params, now_ms)
        self._check(account, order)
        self._matching.enter(account, order, now_ms)
        return self._placed(account, order)

    def test(self, account: Account, params: Params, now_ms: int) -> Any:
        """Check an order and place nothing."""
        self._check(account, self._build(account, params, now_ms))
        return {}

    def _placed(self, account: Account, order: Order) -> Any:
        row = order_row(order, spot=self._spot)
        if self._spot:
            row["fills"] = [
                {
                    "price": order_row(order, spot=True)["price"],
                    "qty": f"{Decimal(one.size).scaleb(-order.listed.size_scale):f}",
                    "commission": f"{one.fee:f}",
                    "commissionAsset": one.fee_asset,
                    "tradeId": one.number,
                }
                for one in account.trades
                if one.order is order
            ]
        return row

    def query(self, account: Account, params: Params, now_ms: int) -> Any:
        """Return an order."""
        return order_row(self._find(account, params, -2013, "Order does not exist."), spot=self._spot)

    def cancel(self, account: Account, params: Params, now_ms: int) -> Any:
        """Cancel an order."""
        order = self._find(account, params, -2011, "Unknown order sent.")
        if not order.open:
            raise refuse(-2011, "Unknown order sent.")
        cancel_id = params.get("newClientOrderId", f"cancel{order.number}") if self._spot else ""
        self._matching.end(account, order, "CANCELED", now_ms, cancel_id)
        row = order_row(order, spot=self._spot)
        return row | {"origClientOrderId": order.client_id, "clientOrderId": cancel_id} if self._spot else row

    def cancel_all(self, account: Account, params: Params, now_ms: int) -> Any:
        """Cancel every open order of a market."""
        symbol = params.get("symbol", "")
        found = [one for one in account.orders.values() if one.listed.name == symbol]
        for order in found:
            self._matching.end(
                account, order, "CANCELED", now_ms, f"cancel{order.number}" if self._spot else ""
            )
        if self._spot:
            return [order_row(one, spot=True) for one in found]
        return {"code": 200, "msg": "The operation of cancel all open order is done."}

    def modify(self, account: Account, params: Params, now_ms: int) -> Any:
        """Change price and whole size of a futures order in place."""
        order = self._find(account, params, -2013, "Order does not exist.")
        if not order.open or order.kind != "LIMIT":
            raise refuse(-2013, "Order does not exist.")
        listed = order.listed
        price, size = (
            self._price(listed, params.get("price", "")),
            self._size(listed, params.get("quantity", "")),
        )
        if size <= order.executed:
            self._matching.end(account, order, "CANCELED", now_ms)
            return order_row(order, spot=False)
        before = order.price, order.size
        order.price, order.size = price, size
        if order.tif == "GTX" and self._matching.crosses(order):
            order.price, order.size = before
            raise refuse(-5022, "Due to the order could not be executed as maker, it will be rejected.")
        if not order.reduce_only and not self._matching.affords(account):
            order.price, order.size = before
            raise refuse(-2019, "Margin is insufficient.")
        self._matching.amend(account, order, now_ms)
        return order_row(order, spot=False)

    def reduce(self, account: Account, params: Params, now_ms: int) -> Any:
        """Reduce a spot order in place."""
        order = self._find(account, params, -2013, "Order does not exist.")
        size = self._size(order.listed, params.get("newQty", ""))
        if not order.open or not order.executed < size < order.size:
            raise refuse(-2038, "This amendment is not valid for the order.")
        order.size, order.updated_ms = size, now_ms
        return {"amendedOrder": order_row(order, spot=True)}

    def replace(self, account: Account, params: Params, now_ms: int) -> Any:
        """Cancel a spot order and place another one."""
        given = {
            "symbol": params.get("symbol", ""),
            "origClientOrderId": params.get("cancelOrigClientOrderId", ""),
        }
        old = self._find(account, given, -2011, "Unknown order sent.")
        if not old.open or (params.get("cancelRestrictions") == "ONLY_NEW" and old.executed):
            raise refuse(-2022, "Order cancel-replace failed.")
        canceled = self.cancel(account, given, now_ms)
        order = self._build(account, params, now_ms)
        self._check(account, order)
        self._matching.enter(account, order, now_ms)
        return {
            "cancelResult": "SUCCESS",
            "newOrderResult": "SUCCESS",
            "cancelResponse": canceled,
            "newOrderResponse": self._placed(account, order),
        }

    # Conditional orders.

    def submit_algo(self, account: Account, params: Params, now_ms: int) -> Any:
        """Place a conditional order."""
        listed = self._listed(params)
        kind, side = params.get("type", ""), self._side(params)
        if kind not in _ALGOS or params.get("algoType") != "CONDITIONAL":
            raise refuse(-1116, "Invalid orderType.")
        market = kind.endswith("_MARKET")
        price = self._unbounded(listed, side) if market else self._price(listed, params.get("price", ""))
        number = self._matching.next_algo()
        algo = Algo(
            number,
            params.get("clientAlgoId", f"algo{number}"),
            listed,
            side,
            kind,
            self._price(listed, params.get("triggerPrice", "")),
            price,
            self._size(listed, params.get("quantity", "")),
            "IOC" if market else params.get("timeInForce", "GTC"),
            params.get("reduceOnly", "") == "true",
            params.get("workingType", "CONTRACT_PRICE"),
            now_ms,
            now_ms,
        )
        if any(one.client_id == algo.client_id and one.status == "NEW" for one in account.algos.values()):
            raise refuse(-4116, "ClientOrderId is duplicated.")
        if self._matching.reached(algo):
            raise refuse(-2021, "Order would immediately trigger.")
        self._matching.wait(account, algo, now_ms)
        return algo_row(algo)

    def query_algo(self, account: Account, params: Params, now_ms: int) -> Any:
        """Return a conditional order."""
        algo = account.find_algo(int(params.get("algoId", "0")), params.get("clientAlgoId", ""))
        if algo is None:
            raise refuse(-2013, "Order does not exist.")
        return algo_row(algo)

    def cancel_algo(self, account: Account, params: Params, now_ms: int) -> Any:
        """Cancel a conditional order that has not fired."""
        algo = account.find_algo(int(params.get("algoId", "0")), params.get("clientAlgoId", ""))
        if algo is None or algo.status != "NEW":
            raise refuse(-2011, "Unknown order sent.")
        self._matching.cancel_algo(account, algo, now_ms)
        row = {"algoId": algo.number, "clientAlgoId": algo.client_id}
        return row | {"code": "200", "msg": "success"}

    # Checks.

    def _build(self, account: Account, params: Params, now_ms: int) -> Order:
        listed, side, kind = self._listed(params), self._side(params), params.get("type", "")
        tif = params.get("timeInForce", "GTC")
        stop = 0
        if kind == "MARKET":
            price, tif = self._unbounded(listed, side), "IOC"
        elif kind == "LIMIT" or (self._spot and kind in ("LIMIT_MAKER", *_SPOT_STOPS)):
            price = self._price(listed, params.get("price", ""))
            tif = "GTX" if kind == "LIMIT_MAKER" else tif
            stop = self._price(listed, params.get("stopPrice", "")) if kind in _SPOT_STOPS else 0
        else:
            raise refuse(-4120 if kind in _ALGOS else -1116, "Order type not supported for this endpoint.")
        if tif not in _TIFS:
            raise refuse(-1115, "Invalid timeInForce.")
        number = self._matching.next_order()
        return Order(
            number,
            params.get("newClientOrderId", f"auto{number}"),
            listed,
            side,
            price,
            self._size(listed, params.get("quantity", "")),
            tif,
            kind,
            params.get("reduceOnly", "").lower() == "true",
            now_ms,
            now_ms,
            stop_price=stop,
            waits=bool(stop),
        )

    def _check(self, account: Account, order: Order) -> None:
        """Raise Refusal for an order that the venue would refuse."""
        if any(one.client_id == order.client_id for one in account.orders.values()):
            if self._spot:
                raise refuse(-2010, "Duplicate order sent.")
            raise refuse(-4116, "ClientOrderId is duplicated.")
        mark = self._matching.mark(order.listed.name)
        if not mark:
            raise refuse(-4140, "Invalid symbol status for opening position.")
        price = mark if order.kind == "MARKET" else order.price
        value = worth_of(order.listed, price, order.size)
        if value < Decimal(order.listed.rules.value_min) and not order.reduce_only:
            if self._spot:
                raise refuse(-1013, "Filter failure: NOTIONAL")
            raise refuse(-4164, "Order's notional must be no smaller than 5 (unless you choose reduce only).")
        if order.tif == "GTX" and self._matching.crosses(order):
            if self._spot:
                raise refuse(-2010, "Order would immediately match and take.")
            raise refuse(-5022, "Due to the order could not be executed as maker, it will be rejected.")
        if order.waits and self._matching.reached(order):
            raise refuse(-2010, "Stop price would trigger immediately.")
        held = account.position(order.listed).size
        if order.reduce_only and held * order.side >= 0:
            raise refuse(-2022, "ReduceOnly Order is rejected.")
        closes = held * order.side < 0 and order.size <= abs(held)
        if not order.reduce_only and not closes and not self._affords(account, order, price):
            if self._spot:
                raise refuse(-2010, "Account has insufficient balance for requested action.")
            raise refuse(-2019, "Margin is insufficient.")

    def _affords(self, account: Account, order: Order, price: int) -> bool:
        bound, order.price = order.price, price
        try:
            return self._matching.affords(account, order)
        finally:
            order.price = bound

    def _listed(self, params: Params) -> InstrumentListed:
        shown = self._markets.get(params.get("symbol", ""))
        if shown is None:
            raise refuse(-1121, "Invalid symbol.")
        return shown.listed

    def _side(self, params: Params) -> int:
        if params.get("positionSide", "BOTH") != "BOTH":
            raise refuse(-4061, "Order's position side does not match user's setting.")
        if params.get("side") not in ("BUY", "SELL"):
            raise refuse(-1117, "Invalid side.")
        return BUY if params["side"] == "BUY" else SELL

    def _unbounded(self, listed: InstrumentListed, side: int) -> int:
        mark = self._matching.mark(listed.name)
        return max(1, mark * _FAR if side == BUY else mark // _FAR)

    def _price(self, listed: InstrumentListed, text: str) -> int:
        try:
            price = parse_scaled(text, listed.price_scale)
        except NumberError:
            price = 0
        if not price or price % listed.price_step:
            if self._spot:
                raise refuse(-1013, "Filter failure: PRICE_FILTER")
            raise refuse(-4014, "Price not increased by tick size.")
        return price

    def _size(self, listed: InstrumentListed, text: str) -> int:
        try:
            size = parse_scaled(text, listed.size_scale)
        except NumberError:
            size = 0
        if not size or size % listed.size_step or (listed.rules.size_max and size > listed.rules.size_max):
            if self._spot:
                raise refuse(-1013, "Filter failure: LOT_SIZE")
            raise refuse(-1111 if text else -1102, "Precision is over the maximum defined for this asset.")
        return size

    def _find(self, account: Account, params: Params, code: int, words: str) -> Order:
        symbol = params.get("symbol", "")
        if symbol not in self._markets:
            raise refuse(-1121, "Invalid symbol.")
        number = params.get("orderId", "0")
        order = account.find(
            symbol, int(number) if number.isdigit() else 0, params.get("origClientOrderId", "")
        )
        if order is None:
            raise refuse(code, words)
        return order
