"""Order entry: checks new and modified orders as the venue does, in its order, and places them.

Checks that need only the action and the market (asset, grid, distance from the mark, grouping) come first and
give one answer for the whole batch. All other checks are made order by order. A `modify` cancels the old
order and then places the new one: if the new one is refused, the old one is gone. Called by the exchange.

The venue's behavior is not confirmed in these cases, so it is chosen here: a single trigger order is answered
`resting` with its oid, one of a position `waitingForTrigger`; a partly filled Gtc order is answered
`resting`; a client order id that an order of this account already has is refused; the children of a refused
parent are refused with the same text.
"""

from __future__ import annotations

from typing import Any, Final

from adapters.hyperliquid.rules import PERP
from adapters.sandbox.exchange import refusals
from adapters.sandbox.exchange.accounts import Account
from adapters.sandbox.exchange.actions import ModifyWire, OrderAction, OrderWire
from adapters.sandbox.exchange.margin import Margin
from adapters.sandbox.exchange.matching import MatchingEngine
from adapters.sandbox.exchange.money import DOLLAR, notional
from adapters.sandbox.exchange.orders import Order
from adapters.sandbox.exchange.refusals import ActionRefused, EntryRefused
from adapters.sandbox.exchange.reports import Reports
from adapters.sandbox.market_state import InstrumentState, MarketState
from adapters.sandbox.wire import wire_number
from engine.errors import NumberError
from engine.events import InstrumentListed
from engine.values import BUY, SELL, parse_scaled

__all__ = ["OrderEntry", "Status"]

Status = dict[str, Any] | str
"""An entry of `statuses`."""

_MIN_VALUE: Final = parse_scaled(PERP.value_min, 0) * DOLLAR
_OPEN_MAX: Final = 1000
_OPEN_MAX_EVER: Final = 5000
_OPEN_MORE_EACH: Final = 5_000_000 * DOLLAR
_IMMEDIATE: Final = ("Ioc", "FrontendMarket")


class OrderEntry:
    """Places and modifies orders. Asset ids are indexes into `MarketState.instruments`."""

    def __init__(
        self,
        market: MarketState,
        margin: Margin,
        matching: MatchingEngine,
        reports: Reports,
    ) -> None:
        self._market = market
        self._margin = margin
        self._matching = matching
        self._reports = reports
        self._last_oid = 100_000_000_000

    def next_oid(self) -> int:
        """Return a new order id."""
        self._last_oid += 1
        return self._last_oid

    def instrument(self, asset: int) -> InstrumentState | None:
        """Return the instrument of an asset id, or None."""
        return self._market.instruments[asset] if asset < len(self._market.instruments) else None

    def asset_of(self, name: str) -> int:
        """Return the asset id of an instrument."""
        return self._market.instruments.index(self._market.by_name[name])

    def place(self, account: Account, action: OrderAction, now_ms: int) -> list[Status]:
        """Place a batch; return a status for each order, or one for the batch. Raises ActionRefused."""
        _check_grouping(action)
        of_position = action.grouping == "positionTpsl"
        try:
            orders = [self._build_order(account, wire, now_ms, of_position) for wire in action.orders]
            if of_position or action.grouping == "normalTpsl":
                for order in orders:
                    if order.trigger and not order.reduce_only:
                        raise EntryRefused(refusals.TPSL_REDUCE_ONLY, order.asset)
        except EntryRefused as refused:
            return [{"error": str(refused)}]
        if action.grouping != "normalTpsl":
            return [self._place(account, order, now_ms) for order in orders]
        parent, *children = orders
        first = self._place(account, parent, now_ms)
        if isinstance(first, dict) and "error" in first:
            return [first] * len(orders)
        parent.children = children
        return [first, *(self._attach(account, parent, child, now_ms) for child in children)]

    def modify(self, account: Account, change: ModifyWire, always: bool, now_ms: int) -> Status:
        """Cancel an order and place a new one with a new oid and the same client order id.

        Without `always`, the new order must be Alo or Gtc, and a Gtc order becomes Alo.
        """
        wire = change.order
        old = account.find(change.oid)
        if old is not None and old.asset != wire.a:
            old = None
        live = old is not None and not old.ended
        if not live and not always:
            return {"error": refusals.CANNOT_MODIFY}
        try:
            order = self._build_order(account, wire, now_ms, of_position=False)
            if not always and (order.trigger or order.tif not in ("Alo", "Gtc")):
                raise EntryRefused(refusals.MODIFY_KIND, order.asset)
        except EntryRefused as refused:
            return {"error": str(refused)}
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

    def _build_order(self, account: Account, wire: OrderWire, now_ms: int, of_position: bool) -> Order:
        """Return a new order. Raises EntryRefused for an invalid asset, price or size."""
        instrument = self.instrument(wire.a)
        if instrument is None:
            raise EntryRefused(refusals.NO_ASSET, wire.a)
        listed, limit, trigger = instrument.listed, wire.t.limit, wire.t.trigger
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
            # The size is that of the position; clients send the same or 0.
            order.size = order.remaining = abs(account.position(listed).size)
        else:
            order.size = order.remaining = _size(wire.s, listed, wire.a)
        mark = self._margin.mark(listed.name)
        if not mark:  # no market data yet, so a position could not be valued
            raise EntryRefused(refusals.HALTED, wire.a)
        if not order.trigger and abs(price - mark) * 100 > PERP.far_percent * mark:
            raise EntryRefused(refusals.FAR, wire.a)
        return order

    def _place(
        self, account: Account, order: Order, now_ms: int, *, instead_of: Order | None = None
    ) -> Status:
        if order.cloid is not None:
            other = account.by_cloid.get(order.cloid)
            if other is not None and other is not instead_of:
                return {"error": str(EntryRefused(refusals.CLOID_USED, order.asset))}
            account.by_cloid[order.cloid] = order
        try:
            self._check(account, order)
        except EntryRefused as refused:
            order.status = refused.status
            account.archive(order)
            self._reports.update(order)
            return {"error": str(refused)}
        account.add_order(order)
        if order.trigger:
            self._matching.wait(order)
            return "waitingForTrigger" if order.of_position else {"resting": _ids(order)}
        order.remaining = self._matching.reducible(order)
        self._reports.update(order)
        done, worth = self._matching.take(order, now_ms)
        if not order.ended and order.tif in _IMMEDIATE:
            if not done:  # the only liquidity was the account's own orders
                self._matching.end(order, "iocCancelRejected", now_ms)
                return {"error": str(EntryRefused(refusals.IOC, order.asset))}
            self._matching.end(order, "canceled", now_ms)
        if not order.ended:
            self._matching.rest(order)
            return {"resting": _ids(order)}
        listed = order.listed
        average = wire_number(worth * 100 // done, listed.price_scale + 2)
        return {"filled": {"totalSz": wire_number(done, listed.size_scale), "avgPx": average, **_ids(order)}}

    def _attach(self, account: Account, parent: Order, child: Order, now_ms: int) -> Status:
        """Attach a child order, which becomes active when its parent is filled."""
        child.parent, child.waits = parent, "parent"
        if child.cloid is not None and account.by_cloid.get(child.cloid) not in (None, child):
            child.status = "rejected"
            return {"error": str(EntryRefused(refusals.CLOID_USED, child.asset))}
        account.add_order(child)
        if parent.status == "filled":
            self._matching.wait(child)
            return "waitingForTrigger"
        if parent.ended:
            self._matching.end(child, "canceled", now_ms)
        return "waitingForFill"

    def _check(self, account: Account, order: Order) -> None:
        """Raise EntryRefused for an order that the venue would refuse."""
        position = account.position(order.listed).size
        reduces = position * order.side < 0
        if order.reduce_only and not order.trigger and not reduces:
            raise EntryRefused(refusals.REDUCE_ONLY, order.asset)
        closing = reduces and order.size <= abs(position)
        value = notional(order.listed, order.price, order.size)
        if value < _MIN_VALUE and not closing and not order.reduce_only:
            raise EntryRefused(refusals.MIN_VALUE, order.asset)
        _check_open_orders(account, order)
        if order.trigger:
            if order.hit_by(self._margin.mark(order.listed.name)):
                raise EntryRefused(refusals.BAD_TRIGGER, order.asset)
        else:
            self._check_book(order)
        if not order.reduce_only and not closing and not self._margin.affords(account, order):
            raise EntryRefused(refusals.MARGIN, order.asset)

    def _check_book(self, order: Order) -> None:
        """Raise EntryRefused for an Alo order that would trade, or an immediate order that would not."""
        crosses = self._matching.crosses(order)
        instrument = self._market.by_name[order.listed.name]
        if order.tif == "Alo" and crosses:
            quote, scale = instrument.quote, order.listed.price_scale
            bid, ask = (quote.bid, quote.ask) if quote is not None else (0, 0)
            bbo = f"{wire_number(bid, scale)}@{wire_number(ask, scale)}"
            raise EntryRefused(refusals.ALO, order.asset, bbo=bbo)
        if order.tif in _IMMEDIATE and not crosses:
            market = order.tif == "FrontendMarket"
            raise EntryRefused(refusals.NO_LIQUIDITY if market else refusals.IOC, order.asset)


def _check_grouping(action: OrderAction) -> None:
    """Raise ActionRefused for a batch whose orders do not match its grouping."""
    triggers = [order.t.trigger is not None for order in action.orders]
    if action.grouping == "normalTpsl":
        if triggers[0]:
            raise ActionRefused(refusals.TPSL_MAIN)
        if not 1 <= sum(triggers) == len(triggers) - 1 <= 2:
            raise ActionRefused(refusals.TPSL_NUMBER)
    elif action.grouping == "positionTpsl" and not (all(triggers) and len(triggers) <= 2):
        raise ActionRefused(refusals.TPSL_NUMBER)


def _check_open_orders(account: Account, order: Order) -> None:
    """Raise EntryRefused for too many open orders. Above 1000, reduce-only and trigger orders are refused."""
    count = len(account.orders)
    most = min(_OPEN_MAX_EVER, _OPEN_MAX + account.volume // _OPEN_MORE_EACH)
    if count >= most or (count >= _OPEN_MAX and (order.reduce_only or order.trigger)):
        raise EntryRefused(refusals.TOO_MANY, order.asset)


def _price(text: str, listed: InstrumentListed, asset: int) -> int:
    try:
        price = parse_scaled(text, listed.price_scale)
    except NumberError:
        raise EntryRefused(refusals.TICK, asset) from None
    if not price or price % listed.price_step_at(price):
        raise EntryRefused(refusals.TICK, asset)
    return price


def _size(text: str, listed: InstrumentListed, asset: int) -> int:
    try:
        size = parse_scaled(text, listed.size_scale)
    except NumberError:
        size = 0
    if not size or size % listed.size_step:
        raise EntryRefused(refusals.SIZE, asset)
    return size


def _ids(order: Order) -> dict[str, Any]:
    return {"oid": order.oid} if order.cloid is None else {"oid": order.oid, "cloid": order.cloid}
