"""Takes signed actions and does what they ask, or says in the venue's words why not.

Owns the accounts and the rules of placing, changing and canceling. Promises: everything one action causes
is done before it is answered, and told in one batch (`reports.py`); a refused action changes nothing but
its nonce. Times are the sandbox's own, in ms. Nothing awaits. Called by the server with bodies, by the hub
with posts and with the tape.

Not confirmed by anyone, so chosen here: a lone trigger order is answered `resting` with its oid, as the
venue's own SDK expects in its examples; a partly filled Gtc is answered `resting`; texts of nonce errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from adapters.sandbox.exchange import refusals
from adapters.sandbox.exchange.accounts import Account
from adapters.sandbox.exchange.actions import (
    Action,
    ApproveAgent,
    BatchModify,
    Cancel,
    CancelByCloid,
    Modify,
    ModifyWire,
    OrderAction,
    OrderWire,
    ScheduleCancel,
    UpdateIsolatedMargin,
    UpdateLeverage,
    parse_request,
)
from adapters.sandbox.exchange.funding import Funding
from adapters.sandbox.exchange.matching import Matching
from adapters.sandbox.exchange.money import SCALE, money_text, notional
from adapters.sandbox.exchange.orders import Order
from adapters.sandbox.exchange.refusals import Refused, Wrong
from adapters.sandbox.exchange.reports import Reports
from adapters.sandbox.exchange.signers import Signers
from adapters.sandbox.played import Coin, PlayedMarket, max_leverage
from adapters.sandbox.wire import wire_number
from engine.errors import NumberError, UsageError
from engine.events import Quote, Trade
from engine.values import BUY, SELL, grid_step, parse_scaled, power_of_ten

__all__ = ["Desk"]

BATCH_MAX: Final = 200
OPEN_MAX: Final = 1000
_UNIT: Final = power_of_ten(SCALE)
_MIN_VALUE: Final = 10 * _UNIT
_VOLUME_NEEDED: Final = 1_000_000 * _UNIT
_SCHEDULE_AHEAD_MS: Final = 5_000
_SCHEDULES_A_DAY: Final = 10
_DAY_MS: Final = 86_400_000
_AGENT_MS: Final = 180 * _DAY_MS
_REQUESTS: Final = 10_000
_REQUESTS_CANCEL: Final = 100_000
_PAUSE_MS: Final = 10_000
_Status = dict[str, Any] | str


class Desk:
    """The exchange. `accounts` are (address, USDC) pairs, `volumes` (address, USD traded so far)."""

    def __init__(
        self,
        market: PlayedMarket,
        accounts: Sequence[tuple[str, str]] = (),
        volumes: Sequence[tuple[str, str]] = (),
        *,
        mainnet: bool = False,
        limited: bool = True,
    ) -> None:
        self.accounts = {address.lower(): Account(address.lower()) for address, _ in accounts}
        for address, amount in accounts:
            self.accounts[address.lower()].cash += _dollars(amount, "--account", address)
        for address, amount in volumes:
            if address.lower() not in self.accounts:
                raise UsageError(f"--volume {address}: there is no such --account")
            self.accounts[address.lower()].volume += _dollars(amount, "--volume", address)
        self.market = market
        self.reports = Reports()
        self.matching = Matching(market, self.accounts, self.reports)
        self.leverages = {coin.name: max_leverage(coin.name) for coin in market.coins}
        self.funding = Funding(market, self.matching, self.accounts, self.reports)
        self._signers = Signers(self.accounts, mainnet=mainnet)
        self._limited = limited
        self._last_oid = 100_000_000_000

    # What clients ask for.

    def act(self, body: bytes | msgspec.Raw, now_ms: int) -> dict[str, Any]:
        """Do what a request asks and return the answer. Raises BadRequest when it is no action at all."""
        request = parse_request(body)
        try:
            account = self._signers.account_of(request, now_ms)
            self._charge(account, request.action, now_ms)
            return {"status": "ok", "response": self._do(account, request.action, now_ms)}
        except Refused as refused:
            return {"status": "err", "response": str(refused)}

    def _do(self, account: Account, action: Action, now_ms: int) -> dict[str, Any]:
        match action:
            case OrderAction():
                return _statuses("order", self._place_all(account, action, now_ms))
            case Cancel():
                _check_batch(action.cancels)
                found = [(one.a, _own(account.orders.get(one.o), one.a)) for one in action.cancels]
                return _statuses("cancel", [self._cancel(asset, order, now_ms) for asset, order in found])
            case CancelByCloid():
                _check_batch(action.cancels)
                found = [
                    (one.asset, _own(account.by_cloid.get(one.cloid.lower()), one.asset))
                    for one in action.cancels
                ]
                return _statuses("cancel", [self._cancel(asset, order, now_ms) for asset, order in found])
            case Modify():
                status = self._modify(account, ModifyWire(action.oid, action.order), action.a, now_ms)
                if isinstance(status, dict) and "error" in status:
                    raise Refused(str(status["error"]))
                return {"type": "default"}
            case BatchModify():
                _check_batch(action.modifies)
                return _statuses(
                    "order", [self._modify(account, one, action.a, now_ms) for one in action.modifies]
                )
            case ScheduleCancel():
                self._schedule(account, action.time, now_ms)
            case UpdateLeverage():
                self._set_leverage(account, action)
            case UpdateIsolatedMargin():
                coin = self._coin(action.asset)
                if coin is None or not account.position(coin.listed).size:
                    raise Refused("No open position to adjust margin of.")
            case ApproveAgent():
                address = action.agentAddress.lower()
                account.agents[address] = (action.agentName or "", now_ms + _AGENT_MS)
        return {"type": "default"}

    def _charge(self, account: Account, action: Action, now_ms: int) -> None:
        """Count an action against the account's budget of requests."""
        entries = next(
            (
                len(getattr(action, name))
                for name in ("orders", "cancels", "modifies")
                if hasattr(action, name)
            ),
            1,
        )
        cap = _REQUESTS + account.volume // _UNIT
        limit = min(cap + _REQUESTS_CANCEL, 2 * cap) if isinstance(action, Cancel | CancelByCloid) else cap
        if self._limited and account.requests + entries > limit:
            if now_ms < account.paused_until_ms:
                raise Refused(
                    f"Too many cumulative requests sent ({account.requests} > {cap}) for cumulative volume "
                    f"traded ${money_text(account.volume, 2)}. Place taker orders to free up 1 request per "
                    "USDC traded."
                )
            account.paused_until_ms = now_ms + _PAUSE_MS
        account.requests += entries

    # Placing.

    def _place_all(self, account: Account, action: OrderAction, now_ms: int) -> list[_Status]:
        _check_batch(action.orders)
        if action.grouping not in ("na", "normalTpsl", "positionTpsl") and not isinstance(
            action.grouping, dict
        ):
            raise Refused("Invalid grouping")
        try:
            orders = [self._make(account, wire, now_ms) for wire in action.orders]
        except Wrong as wrong:
            # What is found before anything is done is told once for the whole batch.
            return [{"error": str(wrong)}]
        children: list[Order] = []
        if action.grouping == "normalTpsl" and len(orders) > 1:
            children = orders[1:]
            orders[0].children = children
            for child in children:
                child.parent = orders[0]
        for order in orders:
            order.of_position = action.grouping == "positionTpsl"
        statuses = [self._place(account, order, now_ms, child=order in children) for order in orders]
        for index, order in enumerate(orders):
            if order in children and statuses[index] == "waitingForFill" and order.waits == "trigger":
                statuses[index] = "waitingForTrigger"
        return statuses

    def _make(self, account: Account, wire: OrderWire, now_ms: int) -> Order:
        """Return an order on the venue's grid. Raises Wrong."""
        coin = self._coin(wire.a)
        if coin is None:
            raise Refused(f"Order has invalid asset. asset={wire.a}")
        listed = coin.listed
        if wire.t.limit is None and wire.t.trigger is None:
            raise Refused("Order has no type.")
        price = _on_grid(wire.p, coin, wire.a)
        size = _size(wire.s, coin, wire.a)
        trigger = wire.t.trigger
        self._last_oid += 1 + len(account.orders) % 7
        order = Order(
            self._last_oid,
            account.address,
            wire.a,
            listed,
            BUY if wire.b else SELL,
            price,
            size,
            size,
            wire.t.limit.tif if wire.t.limit is not None else "Gtc",
            wire.r,
            wire.c.lower() if wire.c is not None else None,
            now_ms,
        )
        order.status_ms = now_ms
        if trigger is not None:
            order.trigger = trigger.tpsl
            order.trigger_price = _on_grid(trigger.triggerPx, coin, wire.a)
            order.market = trigger.isMarket
        mark = self.matching.mark(coin)
        if mark and not trigger and abs(price - mark) * 100 > 95 * mark:
            raise Wrong(refusals.FAR, wire.a)
        return order

    def _place(self, account: Account, order: Order, now_ms: int, *, child: bool = False) -> _Status:
        try:
            self._check(account, order, child=child)
        except Wrong as wrong:
            order.status, order.status_ms = wrong.status, now_ms
            account.remember(order)
            self._index(account, order)
            self.reports.update(order)
            return {"error": str(wrong)}
        account.orders[order.oid] = order
        self._index(account, order)
        if child:
            order.waits = "parent"
            parent = order.parent
            assert parent is not None, "a child has a parent"
            if parent.status == "filled":
                self.matching.wait(order)
            elif parent.ended:
                self.matching.end(order, "canceled", now_ms)
            return "waitingForFill"
        self.reports.update(order)
        if order.trigger:
            self.matching.wait(order)
            return "waitingForTrigger" if order.of_position else {"resting": _names(order)}
        done, worth = self.matching.take(order, now_ms)
        if not order.ended and order.tif in ("Ioc", "FrontendMarket"):
            if not done:
                self.matching.end(order, "iocCancelRejected", now_ms)
                return {"error": str(Wrong(refusals.IOC, order.asset))}
            self.matching.end(order, "canceled", now_ms)
        if order.ended and done:
            listed = order.listed
            average = worth * 100 // done
            return {
                "filled": {
                    "totalSz": wire_number(done, listed.size_scale),
                    "avgPx": wire_number(average, listed.price_scale + 2),
                    **_names(order),
                }
            }
        if order.ended:
            return {"error": f"{order.status} asset={order.asset}"}
        self.matching.rest(order)
        return {"resting": _names(order)}

    def _check(self, account: Account, order: Order, *, child: bool) -> None:
        """Raise Wrong for an order the venue would not take."""
        position = account.position(order.listed).size
        reduces = position * order.side < 0
        if order.reduce_only and not child and not order.trigger and not reduces:
            raise Wrong(refusals.REDUCE_ONLY, order.asset)
        closing = reduces and order.size <= abs(position)
        value = notional(order.listed, order.price, order.size)
        if value < _MIN_VALUE and not closing and not order.reduce_only:
            raise Wrong(refusals.MIN_VALUE, order.asset)
        coin = self.market.by_name[order.listed.name]
        if order.trigger:
            mark = self.matching.mark(coin)
            rising = (order.side == BUY) == (order.trigger == "sl")
            if (
                mark
                and not child
                and (mark >= order.trigger_price if rising else mark <= order.trigger_price)
            ):
                raise Wrong(refusals.BAD_TRIGGER, order.asset)
        if len(account.orders) >= OPEN_MAX:
            raise Wrong(refusals.TOO_MANY, order.asset)
        if order.tif == "Alo" and not order.trigger and self.matching.crosses(order):
            touch = coin.touch
            scale = order.listed.price_scale
            bid = wire_number(touch.bid, scale) if touch is not None else "0.0"
            ask = wire_number(touch.ask, scale) if touch is not None else "0.0"
            raise Wrong(refusals.ALO, order.asset, bbo=f"{bid}@{ask}")
        if not order.reduce_only and not closing and not self._affords(account, order):
            raise Wrong(refusals.MARGIN, order.asset)

    def _affords(self, account: Account, order: Order) -> bool:
        """Return whether equity covers positions, resting orders and this one, at the account's leverages."""
        marks = self.matching.marks()
        needed = account.used(marks, self.leverages)
        for one in (*account.orders.values(), order):
            if not one.reduce_only and not one.trigger:
                leverage = account.leverage_of(one.listed.name, self.leverages)
                needed += notional(one.listed, one.price, one.remaining) // leverage
        return needed <= account.equity(marks)

    # Canceling and changing.

    def _cancel(self, asset: int, order: Order | None, now_ms: int) -> _Status:
        if order is None or order.ended:
            return {"error": f"{refusals.CANCEL} asset={asset}"}
        self.matching.end(order, "canceled", now_ms)
        return "success"

    def _modify(self, account: Account, change: ModifyWire, always: bool, now_ms: int) -> _Status:
        """Cancel and place: the new order has a new oid and the same client id.

        Without "always place" it must be post-only or a Gtc that does not cross, which becomes post-only.
        """
        wire = change.order
        oid = change.oid
        found = account.by_cloid.get(oid.lower()) if isinstance(oid, str) else account.orders.get(oid)
        old = _own(found, wire.a)
        live = old is not None and not old.ended
        if not live and not always:
            return {"error": f"{refusals.CANNOT_MODIFY} asset={wire.a}"}
        try:
            order = self._make(account, wire, now_ms)
        except Wrong as wrong:
            return {"error": str(wrong)}
        if not always:
            if order.trigger or order.tif not in ("Alo", "Gtc"):
                return {"error": f"Invalid order type for modify. asset={wire.a}"}
            order.tif = "Alo"
        if old is not None and live:
            order.cloid = order.cloid or old.cloid
            self.matching.end(old, "canceled", now_ms)
        return self._place(account, order, now_ms)

    def _schedule(self, account: Account, time_ms: int | None, now_ms: int) -> None:
        if account.volume < _VOLUME_NEEDED:
            raise Refused(
                "Cannot set scheduled cancel time until enough volume traded. Required: $1000000. "
                f"Traded: ${money_text(account.volume, 2).removesuffix('.0')}."
            )
        if time_ms is not None and time_ms < now_ms + _SCHEDULE_AHEAD_MS:
            raise Refused("Scheduled cancel time must be at least 5 seconds in the future.")
        if time_ms is not None and account.cancels_fired.get(now_ms // _DAY_MS, 0) >= _SCHEDULES_A_DAY:
            raise Refused("Scheduled cancel limit reached for today.")
        account.cancel_at_ms = time_ms or 0

    def _set_leverage(self, account: Account, action: UpdateLeverage) -> None:
        coin = self._coin(action.asset)
        if coin is None:
            raise Refused(f"Invalid asset. asset={action.asset}")
        if not 1 <= action.leverage <= self.leverages[coin.name]:
            raise Refused("Invalid leverage value")
        account.leverage[coin.name] = (action.leverage, action.isCross)

    # The tape.

    def add_trade(self, trade: Trade, coin: Coin) -> None:
        """Take a print from the tape."""
        self.matching.add_trade(trade, coin)

    def add_quote(self, quote: Quote, coin: Coin) -> None:
        """Take a touch from the tape."""
        self.matching.add_quote(quote, coin)

    def tick(self, now_ms: int) -> None:
        """Do what is due by the clock: scheduled cancels, funding on the hour."""
        for account in self.accounts.values():
            if account.cancel_at_ms and now_ms >= account.cancel_at_ms:
                account.cancel_at_ms = 0
                day = now_ms // _DAY_MS
                account.cancels_fired = {day: account.cancels_fired.get(day, 0) + 1}
                for order in list(account.orders.values()):
                    self.matching.end(order, "scheduledCancel", now_ms)
        self.funding.tick(now_ms)

    def _coin(self, asset: int) -> Coin | None:
        return self.market.coins[asset] if 0 <= asset < len(self.market.coins) else None

    @staticmethod
    def _index(account: Account, order: Order) -> None:
        if order.cloid is not None:
            account.by_cloid[order.cloid] = order


def _own(order: Order | None, asset: int) -> Order | None:
    return order if order is not None and order.asset == asset else None


def _statuses(kind: str, statuses: list[_Status]) -> dict[str, Any]:
    return {"type": kind, "data": {"statuses": statuses}}


def _names(order: Order) -> dict[str, Any]:
    return {"oid": order.oid} if order.cloid is None else {"oid": order.oid, "cloid": order.cloid}


def _check_batch(entries: Sequence[object]) -> None:
    """Raise Refused for a batch that is too long. That an empty one is refused is not confirmed."""
    if len(entries) > BATCH_MAX:
        raise Refused(f"Signed action over weight limit of {BATCH_MAX}.")
    if not entries:
        raise Refused("Batch is empty.")


def _on_grid(text: str, coin: Coin, asset: int) -> int:
    listed = coin.listed
    try:
        price = parse_scaled(text, listed.price_scale)
    except NumberError:
        raise Wrong(refusals.TICK, asset) from None
    step = grid_step(price, scale=listed.price_scale, step=listed.price_step, figures=listed.price_figures)
    if not price or price % step:
        raise Wrong(refusals.TICK, asset)
    return price


def _size(text: str, coin: Coin, asset: int) -> int:
    try:
        size = parse_scaled(text, coin.listed.size_scale)
    except NumberError:
        size = 0
    if not size:
        raise Wrong(refusals.SIZE, asset)
    return size


def _dollars(text: str, option: str, address: str) -> int:
    try:
        return parse_scaled(text, 6) * power_of_ten(SCALE - 6)
    except NumberError as error:
        raise UsageError(f"{option} {address}:{text}: {error}") from None
