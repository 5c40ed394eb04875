"""Placing and changing orders: what the venue checks, in its order, and what it answers.

What can be seen from the action alone (asset, grid, distance from the mark, grouping) is checked before
anything is done, and is one answer for the whole batch; the rest is checked order by order. A `modify`
cancels, then places: when the new order is refused the old one is gone. Called by the desk.

Nobody could confirm, so it is chosen here: a lone trigger order is answered `resting` with its oid, one of a
position `waitingForTrigger`; a partly filled Gtc is answered `resting`; a client id that an order of this
account has is refused; the children of a refused parent are refused with its words.
"""

from __future__ import annotations

from typing import Any, Final

from adapters.hyperliquid.rules import RULES
from adapters.sandbox.exchange import refusals
from adapters.sandbox.exchange.accounts import Account
from adapters.sandbox.exchange.actions import ModifyWire, OrderAction, OrderWire
from adapters.sandbox.exchange.margin import Margin
from adapters.sandbox.exchange.matching import Matching
from adapters.sandbox.exchange.money import DOLLAR, notional
from adapters.sandbox.exchange.orders import Order
from adapters.sandbox.exchange.refusals import Refused, Wrong
from adapters.sandbox.exchange.reports import Reports
from adapters.sandbox.played import Coin, PlayedMarket
from adapters.sandbox.wire import wire_number
from engine.errors import NumberError
from engine.events import InstrumentListed
from engine.values import BUY, SELL, parse_scaled

__all__ = ["Placing", "Status"]

Status = dict[str, Any] | str
"""An entry of `statuses`."""

_MIN_VALUE: Final = parse_scaled(RULES.value_min, 0) * DOLLAR
_FAR_PERCENT: Final = 95
_OPEN_MAX: Final = 1000
_OPEN_MAX_EVER: Final = 5000
_OPEN_MORE_EACH: Final = 5_000_000 * DOLLAR
_IMMEDIATE: Final = ("Ioc", "FrontendMarket")


class Placing:
    """Makes orders of what clients send. `asset` ids are positions in the market's list of coins."""

    def __init__(
        self,
        market: PlayedMarket,
        margin: Margin,
        matching: Matching,
        reports: Reports,
    ) -> None:
        self._market = market
        self._margin = margin
        self._matching = matching
        self._reports = reports
        self._last_oid = 100_000_000_000

    def next_oid(self) -> int:
        """Return the id of the next order."""
        self._last_oid += 1
        return self._last_oid

    def coin(self, asset: int) -> Coin | None:
        """Return the coin of an asset id."""
        return self._market.coins[asset] if asset < len(self._market.coins) else None

    def asset_of(self, coin: str) -> int:
        """Return the asset id of a coin."""
        return self._market.coins.index(self._market.by_name[coin])

    def place(self, account: Account, action: OrderAction, now_ms: int) -> list[Status]:
        """Place a batch; return one status an order, or one for all. Raises Refused."""
        _check_grouping(action)
        of_position = action.grouping == "positionTpsl"
        try:
            orders = [self._make(account, wire, now_ms, of_position) for wire in action.orders]
            if of_position or action.grouping == "normalTpsl":
                for order in orders:
                    if order.trigger and not order.reduce_only:
                        raise Wrong(refusals.TPSL_REDUCE_ONLY, order.asset)
        except Wrong as wrong:
            return [{"error": str(wrong)}]
        if action.grouping != "normalTpsl":
            return [self._place(account, order, now_ms) for order in orders]
        parent, *children = orders
        first = self._place(account, parent, now_ms)
        if isinstance(first, dict) and "error" in first:
            return [first] * len(orders)
        parent.children = children
        return [first, *(self._attach(account, parent, child, now_ms) for child in children)]

    def modify(self, account: Account, change: ModifyWire, always: bool, now_ms: int) -> Status:
        """Cancel and place: the new order has a new oid and the same client id.

        Without "always place" it must be post-only or a Gtc, which becomes post-only.
        """
        wire = change.order
        old = account.find(change.oid)
        if old is not None and old.asset != wire.a:
            old = None
        live = old is not None and not old.ended
        if not live and not always:
            return {"error": refusals.CANNOT_MODIFY}
        try:
            order = self._make(account, wire, now_ms, of_position=False)
            if not always and (order.trigger or order.tif not in ("Alo", "Gtc")):
                raise Wrong(refusals.MODIFY_KIND, order.asset)
        except Wrong as wrong:
            return {"error": str(wrong)}
        if not always:
            order.tif = "Alo"
        children: list[Order] = []
        if old is not None:
            order.cloid = order.cloid or old.cloid
            if live:
                children, old.children = [one for one in old.children if not one.ended], []
                self._matching.end(old, "canceled", now_ms)
        status = self._place(account, order, now_ms, instead_of=old)
        if isinstance(status, dict) and "error" in status:
            for child in children:
                self._matching.end(child, "canceled", now_ms)
            return {"error": refusals.MODIFY_FAILED + str(status["error"])}
        order.children = children
        for child in children:
            self._attach(account, order, child, now_ms)
        return status

    def _make(self, account: Account, wire: OrderWire, now_ms: int, of_position: bool) -> Order:
        """Return an order on the venue's grid. Raises Wrong for what the action alone shows."""
        coin = self.coin(wire.a)
        if coin is None:
            raise Wrong(refusals.NO_ASSET, wire.a)
        listed, limit, trigger = coin.listed, wire.t.limit, wire.t.trigger
        price = _price(wire.p, listed, wire.a)
        order = Order(
            oid=self.next_oid(),
            user=account.address,
            asset=wire.a,
            listed=listed,
            side=BUY if wire.b else SELL,
            price=price,
            size=0,
            remaining=0,
            tif="Gtc" if limit is None else limit.tif,
            reduce_only=wire.r,
            cloid=wire.c,
            created_ms=now_ms,
            status_ms=now_ms,
        )
        if trigger is not None:
            order.trigger, order.market = trigger.tpsl, trigger.isMarket
            order.trigger_price = _price(trigger.triggerPx, listed, wire.a)
            order.of_position = of_position
        if order.of_position:
            # It has the size of the position; clients send what it is, or 0.
            order.size = order.remaining = abs(account.position(listed).size)
        else:
            order.size = order.remaining = _size(wire.s, listed, wire.a)
        mark = self._margin.mark(listed.name)
        if not mark:  # nothing of it was played yet, so nobody could say what a position is worth
            raise Wrong(refusals.HALTED, wire.a)
        if not order.trigger and abs(price - mark) * 100 > _FAR_PERCENT * mark:
            raise Wrong(refusals.FAR, wire.a)
        return order

    def _place(
        self, account: Account, order: Order, now_ms: int, *, instead_of: Order | None = None
    ) -> Status:
        if order.cloid is not None:
            other = account.by_cloid.get(order.cloid)
            if other is not None and other is not instead_of:
                return {"error": str(Wrong(refusals.CLOID_USED, order.asset))}
            account.by_cloid[order.cloid] = order
        try:
            self._check(account, order)
        except Wrong as wrong:
            order.status = wrong.status
            account.remember(order)
            self._reports.update(order)
            return {"error": str(wrong)}
        account.take_up(order)
        if order.trigger:
            self._matching.wait(order)
            return "waitingForTrigger" if order.of_position else {"resting": _ids(order)}
        order.remaining = self._matching.reducible(order)
        self._reports.update(order)
        done, worth = self._matching.take(order, now_ms)
        if not order.ended and order.tif in _IMMEDIATE:
            if not done:  # all there was were the account's own orders
                self._matching.end(order, "iocCancelRejected", now_ms)
                return {"error": str(Wrong(refusals.IOC, order.asset))}
            self._matching.end(order, "canceled", now_ms)
        if not order.ended:
            self._matching.rest(order)
            return {"resting": _ids(order)}
        listed = order.listed
        average = wire_number(worth * 100 // done, listed.price_scale + 2)
        return {"filled": {"totalSz": wire_number(done, listed.size_scale), "avgPx": average, **_ids(order)}}

    def _attach(self, account: Account, parent: Order, child: Order, now_ms: int) -> Status:
        """Let a child wait for its parent; it is armed when the parent is filled."""
        child.parent, child.waits = parent, "parent"
        if child.cloid is not None and account.by_cloid.get(child.cloid) not in (None, child):
            child.status = "rejected"
            return {"error": str(Wrong(refusals.CLOID_USED, child.asset))}
        account.take_up(child)
        if parent.status == "filled":
            self._matching.wait(child)
            return "waitingForTrigger"
        if parent.ended:
            self._matching.end(child, "canceled", now_ms)
        return "waitingForFill"

    def _check(self, account: Account, order: Order) -> None:
        """Raise Wrong for an order the venue would not take."""
        position = account.position(order.listed).size
        reduces = position * order.side < 0
        if order.reduce_only and not order.trigger and not reduces:
            raise Wrong(refusals.REDUCE_ONLY, order.asset)
        closing = reduces and order.size <= abs(position)
        value = notional(order.listed, order.price, order.size)
        if value < _MIN_VALUE and not closing and not order.reduce_only:
            raise Wrong(refusals.MIN_VALUE, order.asset)
        _check_open_orders(account, order)
        if order.trigger:
            if order.hit_by(self._margin.mark(order.listed.name)):
                raise Wrong(refusals.BAD_TRIGGER, order.asset)
        else:
            self._check_book(order)
        if not order.reduce_only and not closing and not self._margin.affords(account, order):
            raise Wrong(refusals.MARGIN, order.asset)

    def _check_book(self, order: Order) -> None:
        """Raise Wrong for an order that must, or must not, trade at once."""
        crosses = self._matching.crosses(order)
        coin = self._market.by_name[order.listed.name]
        if order.tif == "Alo" and crosses:
            touch, scale = coin.touch, order.listed.price_scale
            bid, ask = (touch.bid, touch.ask) if touch is not None else (0, 0)
            bbo = f"{wire_number(bid, scale)}@{wire_number(ask, scale)}"
            raise Wrong(refusals.ALO, order.asset, bbo=bbo)
        if order.tif in _IMMEDIATE and not crosses:
            market = order.tif == "FrontendMarket"
            raise Wrong(refusals.NO_LIQUIDITY if market else refusals.IOC, order.asset)


def _check_grouping(action: OrderAction) -> None:
    """Raise Refused for a batch whose orders do not fit its grouping."""
    triggers = [order.t.trigger is not None for order in action.orders]
    if action.grouping == "normalTpsl":
        if triggers[0]:
            raise Refused(refusals.TPSL_MAIN)
        if not 1 <= sum(triggers) == len(triggers) - 1 <= 2:
            raise Refused(refusals.TPSL_NUMBER)
    elif action.grouping == "positionTpsl" and not (all(triggers) and len(triggers) <= 2):
        raise Refused(refusals.TPSL_NUMBER)


def _check_open_orders(account: Account, order: Order) -> None:
    """Raise Wrong for one order too many; the last ones are for orders that are no protection."""
    count = len(account.orders)
    most = min(_OPEN_MAX_EVER, _OPEN_MAX + account.volume // _OPEN_MORE_EACH)
    if count >= most or (count >= _OPEN_MAX and (order.reduce_only or order.trigger)):
        raise Wrong(refusals.TOO_MANY, order.asset)


def _price(text: str, listed: InstrumentListed, asset: int) -> int:
    try:
        price = parse_scaled(text, listed.price_scale)
    except NumberError:
        raise Wrong(refusals.TICK, asset) from None
    if not price or price % listed.price_step_at(price):
        raise Wrong(refusals.TICK, asset)
    return price


def _size(text: str, listed: InstrumentListed, asset: int) -> int:
    try:
        size = parse_scaled(text, listed.size_scale)
    except NumberError:
        size = 0
    if not size or size % listed.size_step:
        raise Wrong(refusals.SIZE, asset)
    return size


def _ids(order: Order) -> dict[str, Any]:
    return {"oid": order.oid} if order.cloid is None else {"oid": order.oid, "cloid": order.cloid}
