"""What a strategy author may ask for: targets, orders, stops, changes, cancels, plots, timers.

Owns the verbs and what they need to know: the numbers of markets, the last targets, the own orders that still
work. A verb puts sizes and prices on the venue's grid, checks what it was given, and emits one wish; risk and
execution decide what becomes of it. Called by an author's handlers; `base.Strategy` calls those.

While a strategy is shown history (`warming`) or is stopping a verb checks what it is given, and does nothing;
only `plot` still works in `on_stop`.
"""

from __future__ import annotations

from decimal import Decimal
from operator import index
from typing import Final

from engine.actors.base import Actor, Emit, SetTimer, State
from engine.config import nearest
from engine.errors import NumberError
from engine.events import (
    CancelRequested,
    Event,
    InstrumentListed,
    ModifyRequested,
    OrderRequested,
    SessionStopped,
    SignalRaised,
    TargetSet,
    TrailRequested,
    engine_time,
)
from engine.strategies.literals import Side, Tif, TriggerKind
from engine.strategies.views import Bar
from engine.values import BUY, NO_SIDE, SELL, to_grid

__all__ = ["Number", "OwnOrder", "Verbs", "nowhere", "silent"]

Number = str | int | Decimal
"""How prices and sizes are given: exact. A float is refused."""

_TIFS: Final = ("Gtc", "Ioc", "Alo")
_SIDES: Final = {"buy": BUY, "sell": SELL}


class OwnOrder(State):
    """An own order: what is open of it, and at which limit (0: at market). `trigger` is "", "sl" or "tp"."""

    instrument: int
    side: int
    remaining: int
    limit_price: int
    trigger: str


def nowhere(item: object) -> None:
    """Stand in for `emit` before the first event. Raises RuntimeError."""
    raise RuntimeError("a strategy can act only inside its handlers, and not in on_start yet")


def silent(item: object) -> None:
    """Stand in for `emit` while a strategy is shown history, or stops."""


def _text(value: str) -> str:
    """Return text as an event can carry it. Raises TypeError, or UnicodeEncodeError for half a character."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is a {type(value).__name__}; give text")
    value.encode()
    return value


class Verbs(Actor):
    """What a strategy can ask for. Prices are in quote currency, sizes in base units.

    Every verb raises NumberError for a float or what is no number and KeyError for an unknown market.
    """

    _event: Event | None
    _emit: Emit
    _parting: Emit
    _numbers: dict[str, int]
    _targets: dict[int, int]
    _working: dict[str, OwnOrder]

    @property
    def now_ns(self) -> int:
        """The engine's time, UTC nanoseconds: that of the event being handled."""
        return engine_time(self._event) if self._event is not None else 0

    @property
    def warming(self) -> bool:
        """Whether what is shown is history, on which nothing can be done."""
        return self._emit is silent and self._event.__class__ is not SessionStopped

    # Positions.

    def target(self, market: str, size: Number, *, short: bool = False, reason: str = "") -> None:
        """Want to hold `size` of `market` (negative text or `short=True` for short).

        Put on the venue's grid towards zero. Nothing happens if this is the target already.
        """
        listed = self._listed(market)
        steps = _signed(listed, size, short)
        why = _text(reason)
        if self._targets.get(listed.instrument, 0) != steps and self._emit is not silent:
            self._targets[listed.instrument] = steps
            self._emit(TargetSet(self.now_ns, self.name, listed.instrument, steps, why))

    def holds(self, market: str) -> bool:
        """Return whether the last target for `market` was anything but 0."""
        return bool(self._targets.get(self._listed(market).instrument))

    def size_for(self, bar: Bar, notional: Number) -> Decimal:
        """Return how much of the bar's market `notional` of quote currency buys at its close (base units)."""
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
        """Wish to buy `size` at market, or at `limit` or better.

        `tif` is "Gtc", "Ioc" or "Alo" (post only; needs a limit). `stop_loss` and `take_profit` attach
        reduce-only orders of the same size, which live once this one is wholly filled; the first of them to
        fill ends the other. Raises ValueError for what contradicts itself.
        """
        self._order(market, BUY, size, limit, tif, reduce_only, stop_loss, take_profit, reason)

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
        """Wish to sell `size` at market, or at `limit` or better. See `buy`."""
        self._order(market, SELL, size, limit, tif, reduce_only, stop_loss, take_profit, reason)

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
        """Wish for a reduce-only order ("buy" or "sell") that waits for the price to reach `trigger`.

        `kind` is "sl", a stop-loss, or "tp", a take-profit: a sell's stop-loss waits for the price to fall to
        its trigger, its take-profit for it to rise; a buy's the other way round. Then it is a market order,
        or one with `limit`. The trigger goes on the grid as a limit does, a sell's up and a buy's down: so a
        stop-loss triggers a little earlier, and a take-profit asks for no less.
        """
        listed = self._listed(market)
        if side not in _SIDES:
            raise ValueError(f"side is 'buy' or 'sell', not {side!r}")
        if kind not in ("sl", "tp"):
            raise ValueError(f"kind is 'sl' or 'tp', not {kind!r}")
        wish = OrderRequested(
            self.now_ns,
            self.name,
            listed.instrument,
            _SIDES[side],
            listed.size_on_grid(size),
            _price(listed, limit, _SIDES[side], "limit"),
            reduce_only=True,
            reason=_text(reason),
            trigger=kind,
            trigger_price=_needed_price(listed, trigger, _SIDES[side], "trigger"),
        )
        self._emit(wish)

    def modify(
        self,
        client_order_id: str,
        *,
        size: Number | None = None,
        limit: Number | None = None,
        reason: str = "",
    ) -> None:
        """Wish to have `size` of an own order open, at `limit`; what is left out stays as it is.

        Nothing happens if the order no longer works. Raises ValueError for an order without a limit price and
        for a trigger order: those are canceled and placed anew.
        """
        if size is None and limit is None:
            raise ValueError("give a size, a limit, or both")
        order = self._working.get(client_order_id)
        if order is None:
            return
        if order.trigger or not order.limit_price:
            kind = "trigger" if order.trigger else "market"
            raise ValueError(f"a {kind} order cannot be changed; cancel it and place another")
        listed = self.instruments[order.instrument]
        wish = ModifyRequested(
            self.now_ns,
            self.name,
            client_order_id,
            order.instrument,
            order.remaining if size is None else listed.size_on_grid(size),
            order.limit_price if limit is None else _needed_price(listed, limit, order.side, "limit"),
            _text(reason),
        )
        self._emit(wish)

    def cancel(self, client_order_id: str, reason: str = "") -> None:
        """Wish to cancel an own order; nothing happens if it no longer works."""
        why = _text(reason)
        if client_order_id in self._working:
            self._emit(CancelRequested(self.now_ns, self.name, client_order_id, why))

    def cancel_all(self, market: str, reason: str = "") -> None:
        """Wish to cancel every own order that works in `market`. A trailing stop is no order: `untrail`."""
        instrument = self._listed(market).instrument
        for client_order_id, order in self._working.items():
            if order.instrument == instrument:
                self.cancel(client_order_id, reason)

    # Trailing stops.

    def trail(
        self, market: str, size: Number, distance: Number, *, short: bool = False, reason: str = ""
    ) -> None:
        """Wish to close a position of `size` (as in `target`) once the price comes back by `distance`.

        The engine keeps one such stop per market, from the next print on; another takes its place. It goes
        when the position is closed or turned, so ask for it when there is one. Size and distance go on the
        grid downwards. Raises NumberError where nothing is left of them.
        """
        listed = self._listed(market)
        steps = _signed(listed, size, short)
        gap = to_grid(distance, scale=listed.price_scale)
        if not steps or not gap:
            what, value = ("distance", distance) if steps else ("size", size)
            raise NumberError(f"{what} {value} is 0 on the grid of {market}")
        side = SELL if steps > 0 else BUY
        self._emit(
            TrailRequested(self.now_ns, self.name, listed.instrument, side, abs(steps), gap, _text(reason))
        )

    def untrail(self, market: str, reason: str = "") -> None:
        """Wish to have the trailing stop of `market` taken away, if there is one."""
        instrument = self._listed(market).instrument
        self._emit(TrailRequested(self.now_ns, self.name, instrument, NO_SIDE, 0, 0, _text(reason)))

    # Plots and timers.

    def plot(self, name: str, value: float, market: str | None = None) -> None:
        """Put a named number on record: it is journalled and shown in the projection's table `signals`.

        `market` is that of the event being handled, unless another is named. Raises ValueError where the
        event has none (a timer, the stop), TypeError for no number, such as an average that is still None.
        """
        event = self._event
        if self._emit is nowhere:
            nowhere(name)
        if market is not None:
            instrument = self._listed(market).instrument
        elif (instrument := getattr(event, "instrument", 0)) not in self.instruments:
            raise ValueError(
                f"{type(event).__name__} is of no market; name one: plot({name!r}, value, market)"
            )
        emit = self._parting if event.__class__ is SessionStopped else self._emit
        emit(SignalRaised(self.now_ns, self.name, instrument, _text(name), float(value)))

    def after(self, milliseconds: int, key: str) -> None:
        """Have `on_timer(key)` called when this much engine time has passed; the same key starts it anew.

        Raises TypeError for a float, ValueError for less than 1 ms: time must pass.
        """
        if index(milliseconds) < 1:
            raise ValueError(f"a timer is due after 1 millisecond at the soonest, not {milliseconds}")
        self._emit(SetTimer(self.name, self.now_ns + index(milliseconds) * 1_000_000, _text(key)))

    def _order(
        self,
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
        listed = self._listed(market)
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
        self._emit(
            OrderRequested(
                self.now_ns,
                self.name,
                listed.instrument,
                side,
                listed.size_on_grid(size),
                price,
                tif,
                reduce_only,
                _text(reason),
                stop_loss=loss,
                take_profit=profit,
            )
        )

    def _listed(self, market: str) -> InstrumentListed:
        number = self._numbers.get(market)
        if number is None:
            if self._emit is nowhere:
                nowhere(market)
            raise KeyError(f"there is no market {market!r}; {nearest(str(market), list(self._numbers))}")
        return self.instruments[number]


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
        # In an event 0 is "none": a limit of 0 would be a market order.
        raise NumberError(f"{what} {value} is 0 on the grid of {listed.name}, which would mean none at all")
    return price
