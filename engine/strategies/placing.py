"""From the arguments of `buy`, `sell` and `target` to one request: sizes, brackets, groups, times to live.

Owns what these verbs have in common. Called by `verbs.py` only.
"""

from __future__ import annotations

from fractions import Fraction
from operator import index
from typing import TYPE_CHECKING, Final

from engine.actors.amounts import Exit, Number, amount, children_of, price, signed, steps, steps_for
from engine.actors.base import CALLS, Emit, Later, SetTimer
from engine.errors import NumberError
from engine.events import InstrumentListed, LogWritten, OrderRequested, OrderTerms, SignalRaised
from engine.strategies.account_views import OwnOrder
from engine.strategies.literals import Tif, TriggerKind
from engine.values import power_of_ten

if TYPE_CHECKING:
    from engine.strategies.actor import StrategyActor

__all__ = [
    "EXPIRES",
    "LOG_MAX",
    "Exit",
    "OnlyTimers",
    "discard",
    "drops",
    "emitted_by",
    "place",
    "refuse",
    "sized",
    "text",
]

EXPIRES: Final = "expires "
"""What the keys of the timers of `ttl_ms` begin with; the handle follows."""

LOG_MAX: Final = 1000
"""The most characters of a line that `log` records."""

_TIFS: Final = ("Gtc", "Ioc", "Alo")
_KINDS: Final = ("sl", "tp")


def refuse(item: object) -> None:
    """Replace `emit` before the first event. Raises RuntimeError."""
    raise RuntimeError("a strategy can act only inside its handlers, and not in on_start yet")


def discard(item: object) -> None:
    """Replace `emit` on history and while the session stops. Does nothing."""


class OnlyTimers:
    """Replaces `emit` on a timer that fell due while nothing was listened to: new timers only."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit

    def __call__(self, item: object) -> None:
        """Emit a timer, drop everything else."""
        if isinstance(item, SetTimer):
            self._emit(item)


def drops(emit: object) -> bool:
    """Return whether what is emitted is dropped, because the current event is history."""
    return emit is discard or isinstance(emit, OnlyTimers)


def text(value: str) -> str:
    """Return text that an event can store. Raises TypeError, or UnicodeEncodeError for a lone surrogate."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is a {type(value).__name__}; give text")
    value.encode()
    return value


def sized(
    actor: StrategyActor,
    listed: InstrumentListed,
    size: Number | None,
    notional: Number | None,
    percent: Number | None,
    at: int = 0,
    *,
    short: bool | None = None,
) -> int | None:
    """Return the size on the grid that one of the three gives; signed if `short` is not None.

    `at` is the price that `notional` and `percent` are worked out with, 0 for the newest one. None: the price
    or the equity is not known yet, which is recorded as a line of the strategy's log.
    """
    if sum(one is not None for one in (size, notional, percent)) != 1:
        raise ValueError("give one of size, notional and percent")
    if size is not None:
        return steps(listed, size) if short is None else signed(listed, size, short)
    money: Fraction
    if notional is not None:
        money = amount(notional, "notional")
    else:
        assert percent is not None
        share = amount(percent, "percent")
        if actor.marked is None:
            _log_unknown(actor, listed, "the equity is not known yet")
            return None
        money = share * Fraction(int(actor.marked.equity), power_of_ten(actor.marked.scale)) / 100
    if money < 0 and short is None:
        raise NumberError("the value of an order is negative, which is not allowed here")
    at = at or actor.last_price(listed.instrument)
    if not at:
        _log_unknown(actor, listed, "no price is known yet")
        return None
    found = steps_for(listed, money, at)
    return -found if short else found


def _log_unknown(actor: StrategyActor, listed: InstrumentListed, why: str) -> None:
    actor.acts(listed.name)
    words = f"nothing was requested: the size depends on what is not known: {why}"
    actor.emit(LogWritten(actor.now_ns, actor.name, words, listed.instrument))


def place(
    actor: StrategyActor,
    market: str,
    side: int,
    size: Number | None,
    notional: Number | None,
    percent: Number | None,
    limit: Number | None,
    trigger: Number | None,
    kind: TriggerKind,
    tif: Tif,
    reduce_only: bool,
    stop_loss: Number | None,
    take_profit: Exit | None,
    group: str,
    ttl_ms: int | None,
    reason: str,
) -> str:
    """Request an order; return its handle, "" if nothing was requested. Raises as `Verbs.buy` says."""
    listed = actor.listed(market)
    if tif not in _TIFS:
        raise ValueError(f"tif is 'Gtc', 'Ioc' or 'Alo', not {tif!r}")
    if kind not in _KINDS:
        raise ValueError(f"kind is 'sl' or 'tp', not {kind!r}")
    if tif == "Alo" and limit is None:
        raise ValueError("a post-only order (tif 'Alo') needs a limit")
    if reduce_only and (stop_loss is not None or take_profit is not None):
        raise ValueError("an order that only reduces leaves nothing for a stop_loss or take_profit")
    if ttl_ms is not None and index(ttl_ms) < 1:
        raise ValueError(f"an order lives at least 1 millisecond, not {ttl_ms}")
    worst = price(listed, limit, side, "limit")
    waits = price(listed, trigger, side, "trigger")
    found = sized(actor, listed, size, notional, percent, worst or waits)
    if found is None:
        return ""
    children = children_of(listed, side, found, stop_loss, take_profit)
    trigger_kind = kind if waits else ""
    order = OwnOrder(listed.instrument, side, found, found, worst, trigger_kind, waits, reason=text(reason))
    text(group)
    if not actor.acts(market):
        return ""
    handle = order.handle = actor.own.handle(actor.name)
    actor.own.ask(order, closes_only=reduce_only)
    terms = OrderTerms(
        side,
        found,
        worst,
        tif,
        reduce_only=reduce_only,
        trigger=trigger_kind,
        trigger_price=waits,
        group=group,
        handle=handle,
    )
    actor.call(OrderRequested(actor.now_ns, actor.name, listed.instrument, terms, reason, children))
    if ttl_ms is not None:
        actor.emit(SetTimer(actor.name, actor.now_ns + index(ttl_ms) * 1_000_000, EXPIRES + handle))
    return handle


def emitted_by(item: object, strategy: str) -> bool:
    """Return whether this strategy emitted an item itself: a call, a timer, a number or a line of text.

    What the order manager requests for the strategy is not its own: a protective exit goes on.
    """
    if isinstance(item, Later):
        return item.place == CALLS and getattr(item.event, "strategy", None) == strategy
    if isinstance(item, SetTimer):
        return item.actor == strategy
    return isinstance(item, SignalRaised | LogWritten) and item.strategy == strategy
