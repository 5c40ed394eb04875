"""The verbs, which are the methods a strategy calls: targets, orders, stops, changes, cancels, plots, timers.

Owns the verbs. A verb checks its arguments, rounds sizes and prices to the venue's grid, and emits one
request. The order manager approves or refuses the request. Verbs are called from the hooks of
`base.Strategy`; what a strategy reads is in `readings.py`.

On history (`warming`) and while the session stops, verbs check their arguments and do nothing else; only
`plot` and `log` still work in `on_stop`.
"""

from __future__ import annotations

from operator import index
from typing import Final

from engine.actors.amounts import Number, gap_of, needed_price, price, signed, steps
from engine.actors.base import SetTimer
from engine.errors import NumberError
from engine.events import (
    CancelRequested,
    InstrumentListed,
    LogWritten,
    ModifyRequested,
    SessionStopped,
    SignalRaised,
    StopRequested,
    TargetSet,
    TrailRequested,
)
from engine.strategies.account_views import OwnOrder
from engine.strategies.literals import Side, Tif, TriggerKind
from engine.strategies.placing import EXPIRES, LOG_MAX, Exit, drops, place, refuse, sized, text
from engine.strategies.readings import Readings
from engine.values import BUY, NO_SIDE, SELL

__all__ = ["Verbs"]

_SIDES: Final = {"buy": BUY, "sell": SELL}
_KINDS: Final = ("sl", "tp")


class Verbs(Readings):
    """The verbs of a strategy. Prices are in quote currency, sizes in base units.

    Sizes and prices are numbers or text. Every verb raises NumberError for an invalid number, and KeyError
    for an unknown market.
    """

    __slots__ = ()

    @property
    def now_ns(self) -> int:
        """The engine's time in UTC nanoseconds: the time of the current event."""
        return self._retape.now_ns

    @property
    def warming(self) -> bool:
        """Whether the current event is history, on which verbs do nothing."""
        actor = self._retape
        return drops(actor.emit) and actor.event.__class__ is not SessionStopped

    # Positions.

    def target(
        self,
        market: str,
        size: Number | None = None,
        *,
        notional: Number | None = None,
        percent: Number | None = None,
        short: bool = False,
        reason: str = "",
    ) -> None:
        """Set the position to hold in `market` to `size` (negative, or `short=True`, for short).

        Instead of a size, give its value in quote currency (`notional`), or the share of the equity that it
        has (`percent`), at the newest price. The size is rounded to the venue's grid towards zero. None
        withdraws the target: the position stays. The engine works the target until it is reached, replaced or
        withdrawn. A call cancels the strategy's own orders that would open in `market`, and does nothing if
        there are none and the target is set already.
        """
        actor = self._retape
        listed = actor.listed(market)
        why = text(reason)
        wanted: int | None = None
        if size is not None or notional is not None or percent is not None:
            wanted = sized(actor, listed, size, notional, percent, short=short)
            if wanted is None:
                return
        if actor.acts(market) and actor.own.aim_at(listed.instrument, wanted, why):
            event = TargetSet(
                actor.now_ns, actor.name, listed.instrument, wanted or 0, why, withdrawn=wanted is None
            )
            actor.call(event)

    # Orders.

    def buy(
        self,
        market: str,
        size: Number | None = None,
        *,
        notional: Number | None = None,
        percent: Number | None = None,
        limit: Number | None = None,
        trigger: Number | None = None,
        kind: TriggerKind = "sl",
        tif: Tif = "Gtc",
        reduce_only: bool = False,
        stop_loss: Number | None = None,
        take_profit: Exit | None = None,
        group: str = "",
        ttl_ms: int | None = None,
        reason: str = "",
    ) -> str:
        """Request to buy `size` at market, or at `limit` or better. Return the handle of the order.

        Instead of a size, give its value (`notional`, in quote currency) or the share of the equity that it
        costs (`percent`). `trigger` makes the order wait: with kind "sl" until the price rises to it, with
        "tp" until it falls to it. `tif` is "Gtc", "Ioc" or "Alo" (post only; needs a limit). `stop_loss` and
        `take_profit` protect what this order fills; several take-profits are a list of (price, size). Of the
        orders in a `group`, a fill of one cancels the others. The order is canceled after `ttl_ms`.

        The handle is "" if nothing was requested: on history, and while the price or the equity that the size
        depends on is not known. Raises ValueError for arguments that contradict each other.
        """
        return place(
            self._retape, market, BUY, size, notional, percent, limit, trigger, kind, tif, reduce_only,
            stop_loss, take_profit, group, ttl_ms, reason,
        )  # fmt: skip

    def sell(
        self,
        market: str,
        size: Number | None = None,
        *,
        notional: Number | None = None,
        percent: Number | None = None,
        limit: Number | None = None,
        trigger: Number | None = None,
        kind: TriggerKind = "sl",
        tif: Tif = "Gtc",
        reduce_only: bool = False,
        stop_loss: Number | None = None,
        take_profit: Exit | None = None,
        group: str = "",
        ttl_ms: int | None = None,
        reason: str = "",
    ) -> str:
        """Request to sell `size` at market, or at `limit` or better. See `buy`."""
        return place(
            self._retape, market, SELL, size, notional, percent, limit, trigger, kind, tif, reduce_only,
            stop_loss, take_profit, group, ttl_ms, reason,
        )  # fmt: skip

    def stop(
        self,
        market: str,
        side: Side,
        size: Number,
        trigger: Number,
        *,
        kind: TriggerKind = "sl",
        limit: Number | None = None,
        group: str = "",
        reason: str = "",
    ) -> str:
        """Request a stop that closes the position with a "buy" or "sell" once the price reaches `trigger`.

        It closes at most `size`, and never more than the position. `kind` is "sl", a stop-loss, or "tp", a
        take-profit. The stop-loss of a sell waits for the price to fall to its trigger, the take-profit for
        it to rise; for a buy it is the other way round. It closes at market, or at `limit`. The trigger is
        rounded like a limit: up for a sell, down for a buy. So a stop-loss triggers a little earlier, and a
        take-profit at no worse a price. Return its handle.
        """
        actor = self._retape
        listed = actor.listed(market)
        if side not in _SIDES:
            raise ValueError(f"side is 'buy' or 'sell', not {side!r}")
        if kind not in _KINDS:
            raise ValueError(f"kind is 'sl' or 'tp', not {kind!r}")
        protects = steps(listed, size)
        order = OwnOrder(
            listed.instrument,
            _SIDES[side],
            protects,
            protects,
            price(listed, limit, _SIDES[side], "limit"),
            kind,
            needed_price(listed, trigger, _SIDES[side], "trigger"),
            purpose="take" if kind == "tp" else "stop",
            reason=text(reason),
        )
        text(group)
        if not actor.acts(market):
            return ""
        order.handle = actor.own.handle(actor.name)
        actor.own.ask(order, closes_only=True)
        actor.call(
            StopRequested(
                actor.now_ns,
                actor.name,
                listed.instrument,
                order.handle,
                order.side,
                order.size,
                kind,
                order.trigger_price,
                order.limit,
                group,
                order.reason,
            )
        )
        return order.handle

    def modify(
        self,
        handle: str,
        *,
        size: Number | None = None,
        limit: Number | None = None,
        trigger: Number | None = None,
        reason: str = "",
    ) -> None:
        """Request to change what lives under a handle: its open size, its limit, the trigger of a stop.

        An omitted argument leaves its value unchanged. There is no moment without a stop while it is changed.
        Does nothing if nothing lives under the handle.
        """
        actor = self._retape
        why = text(reason)
        if size is None and limit is None and trigger is None:
            raise ValueError("give a size, a limit or a trigger")
        order = actor.own.find(handle)
        if order is None:
            return
        listed = actor.instruments[order.instrument]
        request = ModifyRequested(
            actor.now_ns,
            actor.name,
            "",
            order.instrument,
            0 if size is None else _needed(listed, size),
            price(listed, limit, order.side, "limit"),
            why,
            handle,
            price(listed, trigger, order.side, "trigger"),
        )
        actor.call(request)

    def cancel(self, handle: str, reason: str = "") -> None:
        """Request to cancel what lives under a handle: orders, stops. Does nothing if nothing does."""
        actor = self._retape
        why = text(reason)
        if actor.own.find(handle) is not None:
            actor.call(CancelRequested(actor.now_ns, actor.name, "", why, handle))

    def cancel_all(self, market: str, reason: str = "") -> None:
        """Request to cancel every own order and stop in `market`.

        Not the order of a target, and not a trailing stop: use `untrail`.
        """
        actor = self._retape
        for handle in actor.own.handles(actor.listed(market).instrument):
            Verbs.cancel(self, handle, reason)

    # Trailing stops.

    def trail(
        self, market: str, size: Number, distance: Number, *, short: bool = False, reason: str = ""
    ) -> None:
        """Request a trailing stop at `distance` for a position of `size` (as in `target`).

        It closes the position when the price falls back by `distance` from its best price. The engine keeps
        one trailing stop per market, starting with the next trade; a new one replaces it. It waits for a
        position, closes at most `size`, and is removed when the position is closed or reversed. Size and
        distance are rounded down to the grid. Raises NumberError if either is then 0.
        """
        actor = self._retape
        listed = actor.listed(market)
        protects = signed(listed, size, short)
        gap = gap_of(listed, distance)
        if not protects or not gap:
            what, value = ("distance", distance) if protects else ("size", size)
            raise NumberError(f"{what} {value} is 0 on the grid of {market}")
        side = SELL if protects > 0 else BUY
        event = TrailRequested(
            actor.now_ns, actor.name, listed.instrument, side, abs(protects), gap, text(reason)
        )
        actor.call(event)

    def untrail(self, market: str, reason: str = "") -> None:
        """Request to remove the trailing stop of `market`, if there is one."""
        actor = self._retape
        instrument = actor.listed(market).instrument
        actor.call(TrailRequested(actor.now_ns, actor.name, instrument, NO_SIDE, 0, 0, text(reason)))

    # Records and timers.

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
        emit(SignalRaised(actor.now_ns, actor.name, instrument, text(name), float(value)))

    def log(self, words: str, market: str | None = None) -> None:
        """Record a line of text in the journal, at most 1000 characters.

        `market` defaults to that of the current event, if it has one.
        """
        actor = self._retape
        event = actor.event
        if actor.emit is refuse:
            refuse(words)
        if market is not None:
            instrument = actor.listed(market).instrument
        else:
            instrument = getattr(event, "instrument", 0)
        emit = actor.emit_at_stop if event.__class__ is SessionStopped else actor.emit
        emit(LogWritten(actor.now_ns, actor.name, text(words)[:LOG_MAX], instrument))

    def after(self, milliseconds: int, key: str) -> None:
        """Call `on_timer(key)` after this much engine time. The same key restarts the timer.

        Raises TypeError for a float, and ValueError for less than 1 ms.
        """
        actor = self._retape
        if index(milliseconds) < 1:
            raise ValueError(f"a timer is due after 1 millisecond at the soonest, not {milliseconds}")
        if text(key).startswith(EXPIRES):
            raise ValueError(f"the engine has its own timers that begin with {EXPIRES!r}; choose another key")
        actor.emit(SetTimer(actor.name, actor.now_ns + index(milliseconds) * 1_000_000, key))


def _needed(listed: InstrumentListed, size: Number) -> int:
    """Return a size on the grid that is not 0, which in an event would mean "as it is"."""
    found = steps(listed, size)
    if not found:
        raise NumberError(f"size {size} is 0 on the grid of {listed.name}; to end the order, cancel it")
    return found
