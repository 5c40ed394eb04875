"""The verbs, which are the methods a strategy calls: targets, orders, stops, changes, cancels, plots, timers.

Owns the verbs and the data they need: the numbers of markets, the last targets, the own working orders. A
verb checks its arguments, rounds sizes and prices to the venue's grid, and emits one request. Risk approves
or refuses the request. Verbs are called from the hooks of `base.Strategy`.

On history (`warming`) and while the session stops, verbs check their arguments and do nothing else; only
`plot` still works in `on_stop`.
"""

from __future__ import annotations

from decimal import Decimal
from operator import index
from typing import TYPE_CHECKING, Final

from engine.actors.base import SetTimer, State
from engine.errors import NumberError
from engine.events import (
    CancelRequested,
    InstrumentListed,
    ModifyRequested,
    OrderRequested,
    OrderTerms,
    SessionStopped,
    SignalRaised,
    StopRequested,
    TargetSet,
    TrailRequested,
)
from engine.strategies.literals import Side, Tif, TriggerKind
from engine.strategies.views import Bar
from engine.values import BUY, NO_SIDE, SELL, to_grid

if TYPE_CHECKING:
    from engine.strategies.actor import StrategyActor

__all__ = ["Number", "OwnOrder", "Verbs", "discard", "refuse"]

Number = str | int | Decimal
"""Prices and sizes of orders: exact numbers. A float is refused."""

_TIFS: Final = ("Gtc", "Ioc", "Alo")
_SIDES: Final = {"buy": BUY, "sell": SELL}


class OwnOrder(State):
    """An own order: its open size and its limit (0: at market). `trigger` is "", "sl" or "tp"."""

    instrument: int
    side: int
    remaining: int
    limit_price: int
    trigger: str


def refuse(item: object) -> None:
    """Replace `emit` before the first event. Raises RuntimeError."""
    raise RuntimeError("a strategy can act only inside its handlers, and not in on_start yet")


def discard(item: object) -> None:
    """Replace `emit` on history and while the session stops. Does nothing."""


def _text(value: str) -> str:
    """Return text that an event can store. Raises TypeError, or UnicodeEncodeError for a lone surrogate."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is a {type(value).__name__}; give text")
    value.encode()
    return value


class Verbs:
    """The verbs of a strategy. Prices are in quote currency, sizes in base units.

    Every verb raises NumberError for a float or an invalid number, and KeyError for an unknown market.
    """

    # The actor that runs the strategy: the one attribute that is the engine's.
    __slots__ = ("_retape",)
    if TYPE_CHECKING:
        _retape: StrategyActor

    @property
    def now_ns(self) -> int:
        """The engine's time in UTC nanoseconds: the time of the current event."""
        return self._retape.now_ns

    @property
    def warming(self) -> bool:
        """Whether the current event is history, on which verbs do nothing."""
        actor = self._retape
        return actor.emit is discard and actor.event.__class__ is not SessionStopped

    # Positions.

    def target(self, market: str, size: Number, *, short: bool = False, reason: str = "") -> None:
        """Set the position to hold in `market` to `size` (negative, or `short=True`, for short).

        The size is rounded to the venue's grid towards zero. Does nothing if the target is already set.
        """
        actor = self._retape
        listed = actor.listed(market)
        steps = _signed(listed, size, short)
        why = _text(reason)
        if actor.targets.get(listed.instrument, 0) != steps and actor.emit is not discard:
            actor.targets[listed.instrument] = steps
            actor.emit(TargetSet(actor.now_ns, actor.name, listed.instrument, steps, why))

    def holds(self, market: str) -> bool:
        """Return whether the last target for `market` is not 0."""
        actor = self._retape
        return bool(actor.targets.get(actor.listed(market).instrument))

    def size_for(self, bar: Bar, notional: Number) -> Decimal:
        """Return the size, in base units, that `notional` of quote currency buys at the close of `bar`."""
        if isinstance(notional, bool) or not isinstance(notional, str | int | Decimal):
            raise NumberError(
                f"{notional!r} is a {type(notional).__name__}; give money as text, int or Decimal"
            )
        try:
            money = Decimal(notional)
        except ArithmeticError:
            raise NumberError(f"{notional!r} is not a plain decimal number") from None
        price = Decimal(bar.event.close).scaleb(-bar.listed.price_scale)
        return money / price

    # Orders.

    def buy(
        self,
        market: str,
        size: Number,
        *,
        limit: Number | None = None,
        tif: Tif = "Gtc",
        reduce_only: bool = False,
        stop_loss: Number | None = None,
        take_profit: Number | None = None,
        reason: str = "",
    ) -> None:
        """Request to buy `size` at market, or at `limit` or better.

        `tif` is "Gtc", "Ioc" or "Alo" (post only; needs a limit). `stop_loss` and `take_profit` attach
        reduce-only orders of the same size, which become active once this order is completely filled. When
        one of them fills, the other is canceled. Raises ValueError for arguments that contradict each other.
        """
        _order(self._retape, market, BUY, size, limit, tif, reduce_only, stop_loss, take_profit, reason)

    def sell(
        self,
        market: str,
        size: Number,
        *,
        limit: Number | None = None,
        tif: Tif = "Gtc",
        reduce_only: bool = False,
        stop_loss: Number | None = None,
        take_profit: Number | None = None,
        reason: str = "",
    ) -> None:
        """Request to sell `size` at market, or at `limit` or better. See `buy`."""
        _order(self._retape, market, SELL, size, limit, tif, reduce_only, stop_loss, take_profit, reason)

    def stop(
        self,
        market: str,
        side: Side,
        size: Number,
        trigger: Number,
        *,
        kind: TriggerKind = "sl",
        limit: Number | None = None,
        reason: str = "",
    ) -> None:
        """Request a reduce-only order ("buy" or "sell") that waits until the price reaches `trigger`.

        `kind` is "sl", a stop-loss, or "tp", a take-profit. The stop-loss of a sell waits for the price to
        fall to its trigger, the take-profit for it to rise; for a buy it is the other way round. Once
        triggered it is a market order, or a limit order with `limit`. The trigger is rounded like a limit: up
        for a sell, down for a buy. So a stop-loss triggers a little earlier, and a take-profit at no worse a
        price.
        """
        actor = self._retape
        listed = actor.listed(market)
        if side not in _SIDES:
            raise ValueError(f"side is 'buy' or 'sell', not {side!r}")
        if kind not in ("sl", "tp"):
            raise ValueError(f"kind is 'sl' or 'tp', not {kind!r}")
        request = StopRequested(
            actor.now_ns,
            actor.name,
            listed.instrument,
            "",
            _SIDES[side],
            listed.size_on_grid(size),
            kind,
            _needed_price(listed, trigger, _SIDES[side], "trigger"),
            _price(listed, limit, _SIDES[side], "limit"),
            "",
            _text(reason),
        )
        actor.emit(request)

    def modify(
        self,
        client_order_id: str,
        *,
        size: Number | None = None,
        limit: Number | None = None,
        reason: str = "",
    ) -> None:
        """Request to change the open size of an own order to `size`, and its price to `limit`.

        An omitted argument leaves its value unchanged. Does nothing if the order no longer works. Raises
        ValueError for a market order and for a trigger order: cancel it and place another.
        """
        actor = self._retape
        if size is None and limit is None:
            raise ValueError("give a size, a limit, or both")
        order = actor.working.get(client_order_id)
        if order is None:
            return
        if order.trigger or not order.limit_price:
            kind = "trigger" if order.trigger else "market"
            raise ValueError(f"a {kind} order cannot be changed; cancel it and place another")
        listed = actor.instruments[order.instrument]
        request = ModifyRequested(
            actor.now_ns,
            actor.name,
            client_order_id,
            order.instrument,
            order.remaining if size is None else listed.size_on_grid(size),
            order.limit_price if limit is None else _needed_price(listed, limit, order.side, "limit"),
            _text(reason),
        )
        actor.emit(request)

    def cancel(self, client_order_id: str, reason: str = "") -> None:
        """Request to cancel an own order. Does nothing if it no longer works."""
        actor = self._retape
        why = _text(reason)
        if client_order_id in actor.working:
            actor.emit(CancelRequested(actor.now_ns, actor.name, client_order_id, why))

    def cancel_all(self, market: str, reason: str = "") -> None:
        """Request to cancel every own working order in `market`. For a trailing stop use `untrail`."""
        actor = self._retape
        instrument = actor.listed(market).instrument
        for client_order_id, order in actor.working.items():
            if order.instrument == instrument:
                Verbs.cancel(self, client_order_id, reason)

    # Trailing stops.

    def trail(
        self, market: str, size: Number, distance: Number, *, short: bool = False, reason: str = ""
    ) -> None:
        """Request a trailing stop at `distance` for a position of `size` (as in `target`).

        It closes the position when the price falls back by `distance` from its best price. The engine keeps
        one trailing stop per market, starting with the next trade; a new one replaces it. It is removed when
        the position is closed or reversed, so request it when there is a position. Size and distance are
        rounded down to the grid. Raises NumberError if either is then 0.
        """
        actor = self._retape
        listed = actor.listed(market)
        steps = _signed(listed, size, short)
        gap = to_grid(distance, scale=listed.price_scale)
        if not steps or not gap:
            what, value = ("distance", distance) if steps else ("size", size)
            raise NumberError(f"{what} {value} is 0 on the grid of {market}")
        side = SELL if steps > 0 else BUY
        actor.emit(
            TrailRequested(actor.now_ns, actor.name, listed.instrument, side, abs(steps), gap, _text(reason))
        )

    def untrail(self, market: str, reason: str = "") -> None:
        """Request to remove the trailing stop of `market`, if there is one."""
        actor = self._retape
        instrument = actor.listed(market).instrument
        actor.emit(TrailRequested(actor.now_ns, actor.name, instrument, NO_SIDE, 0, 0, _text(reason)))

    # Plots and timers.

    def plot(self, name: str, value: float, market: str | None = None) -> None:
        """Record a named number in the journal and in the table `signals` of the stores.

        `market` defaults to that of the current event. Raises ValueError if the event has none (a timer, the
        stop), and TypeError if the value is not a number, such as an average that is still None.
        """
        actor = self._retape
        event = actor.event
        if actor.emit is refuse:
            refuse(name)
        if market is not None:
            instrument = actor.listed(market).instrument
        elif (instrument := getattr(event, "instrument", 0)) not in actor.instruments:
            raise ValueError(
                f"{type(event).__name__} is of no market; name one: plot({name!r}, value, market)"
            )
        emit = actor.emit_at_stop if event.__class__ is SessionStopped else actor.emit
        emit(SignalRaised(actor.now_ns, actor.name, instrument, _text(name), float(value)))

    def after(self, milliseconds: int, key: str) -> None:
        """Call `on_timer(key)` after this much engine time. The same key restarts the timer.

        Raises TypeError for a float, and ValueError for less than 1 ms.
        """
        actor = self._retape
        if index(milliseconds) < 1:
            raise ValueError(f"a timer is due after 1 millisecond at the soonest, not {milliseconds}")
        actor.emit(SetTimer(actor.name, actor.now_ns + index(milliseconds) * 1_000_000, _text(key)))


def _order(
    actor: StrategyActor,
    market: str,
    side: int,
    size: Number,
    limit: Number | None,
    tif: Tif,
    reduce_only: bool,
    stop_loss: Number | None,
    take_profit: Number | None,
    reason: str,
) -> None:
    listed = actor.listed(market)
    if tif not in _TIFS:
        raise ValueError(f"tif is 'Gtc', 'Ioc' or 'Alo', not {tif!r}")
    if tif == "Alo" and limit is None:
        raise ValueError("a post-only order (tif 'Alo') needs a limit")
    if reduce_only and (stop_loss is not None or take_profit is not None):
        raise ValueError("an order that only reduces leaves nothing for a stop_loss or take_profit")
    price = _price(listed, limit, side, "limit")
    loss = _price(listed, stop_loss, -side, "stop_loss")
    profit = _price(listed, take_profit, -side, "take_profit")
    if loss and profit and (profit - loss) * side <= 0:
        raise ValueError(f"stop_loss {stop_loss} and take_profit {take_profit} are the wrong way round")
    actor.emit(
        OrderRequested(
            actor.now_ns,
            actor.name,
            listed.instrument,
            OrderTerms(side, listed.size_on_grid(size), price, tif, reduce_only=reduce_only),
            _text(reason),
            tuple(
                (kind, price, listed.size_on_grid(size))
                for kind, price in (("sl", loss), ("tp", profit))
                if price
            ),
        )
    )


def _signed(listed: InstrumentListed, size: Number, short: bool) -> int:
    """Return a position's size on the grid, negative for short. Raises NumberError."""
    if isinstance(size, str) and size.startswith("-"):
        short, size = not short, size[1:]
    elif isinstance(size, Decimal) and size.is_signed():
        short, size = not short, size.copy_negate()
    elif isinstance(size, int) and not isinstance(size, bool) and size < 0:
        short, size = not short, -size
    steps = listed.size_on_grid(size)
    return -steps if short else steps


def _price(listed: InstrumentListed, value: Number | None, side: int, what: str) -> int:
    """Return a price on the grid, down for a buy and up for a sell; 0 for None. Raises NumberError."""
    return 0 if value is None else _needed_price(listed, value, side, what)


def _needed_price(listed: InstrumentListed, value: Number, side: int, what: str) -> int:
    price = listed.price_on_grid(value, side)
    if not price:
        # In an event 0 means "no price": a limit of 0 would be a market order.
        raise NumberError(f"{what} {value} is 0 on the grid of {listed.name}, which would mean none at all")
    return price
