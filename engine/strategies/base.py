"""The base class of strategies: what an author overrides, and what an author may ask for.

    from engine.indicators import Ema
    from engine.strategies import PerMarket, Strategy

    class Mine(Strategy):
        def __init__(self, period=20):
            self.ema = PerMarket(Ema, period)
        def on_bar(self, bar):
            ema = self.ema[bar.market].update(bar.close)
            if ema is not None:
                self.target(bar.market, "0.1" if bar.close > ema else 0)

Only what is overridden is routed: a strategy without `on_trade` costs nothing per print. Attributes set
in the class are its state; they must be numbers, text, lists, dicts, indicators or other msgspec structs,
so that a day can be replayed from its midnight snapshot. Time is `self.now_ns`; a clock or chance would
make a replay differ, and be found by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from operator import index
from typing import Any, Generic, TypeVar

from engine.actors.base import Actor, Emit, SetTimer, Turn, handles
from engine.errors import NumberError
from engine.events import (
    BarClosed,
    CancelRequested,
    Event,
    InstrumentListed,
    OrderChanged,
    OrderFilled,
    OrderRequested,
    Quote,
    SignalRaised,
    SubmitOrder,
    TargetSet,
    TimerFired,
    Trade,
    engine_time,
)
from engine.strategies.views import Bar, Fill, Market, Tick, Touch, market_of, view_bar
from engine.values import BUY, SELL

__all__ = ["Number", "PerMarket", "Strategy"]

Number = str | int | Decimal
"""How prices and sizes are given: exact. A float is refused."""

T = TypeVar("T")


class PerMarket(dict[str, T], Generic[T]):
    """One indicator per market, made when first asked for: `PerMarket(Ema, 20)["BTC"]`."""

    def __init__(self, make: Callable[..., T], *args: Any) -> None:
        super().__init__()
        self._make = make
        self._args = args

    def __missing__(self, market: str) -> T:
        fresh = self[market] = self._make(*self._args)
        return fresh


def _text(value: str) -> str:
    """Return text as an event can carry it. Raises TypeError, or UnicodeEncodeError for half a character."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is a {type(value).__name__}; give text")
    value.encode()
    return value


def _nothing(event: object) -> None:
    """Stand in for `emit` outside a handler."""
    raise RuntimeError("a strategy can act only inside its handlers")


class Strategy(Actor):
    """Base of every strategy. Override what you need; call the verbs below from inside a handler."""

    WIRING = Actor.WIRING | {"coins", "_event", "_emit", "_numbers", "_markets"}

    def __init__(self) -> None:
        """Take no parameters. An author's own takes what `params` gives, and need not call this one."""

    def on_start(self) -> None:
        """Run once, before the first event of a fresh strategy."""

    def on_bar(self, bar: Bar) -> None:
        """Take a bar of any interval the session builds (see `bar.interval`); corrections are left out."""

    def on_trade(self, trade: Tick) -> None:
        """Take a public print."""

    def on_quote(self, quote: Touch) -> None:
        """Take a change of the best bid or ask."""

    def on_fill(self, fill: Fill) -> None:
        """Take an execution of an own order."""

    def on_timer(self, key: str) -> None:
        """Take a timer asked for with `after`."""

    def attach(self, name: str, coins: tuple[str, ...]) -> None:
        """Receive the name and the markets (empty: all). Called once, by the session."""
        self.name = name
        self.coins = frozenset(coins)
        self._event: Event | None = None
        self._emit: Emit = _nothing
        self._numbers: dict[str, int] = {}
        self._markets: dict[int, Market] = {}
        self._targets: dict[int, int] = {}
        self._working: dict[str, int] = {}

    @property
    def now_ns(self) -> int:
        """The engine's time, UTC nanoseconds: that of the event being handled."""
        return engine_time(self._event) if self._event is not None else 0

    # What a strategy can ask for.

    def target(self, market: str, size: Number, *, short: bool = False, reason: str = "") -> None:
        """Want to hold `size` of `market` (base units; negative text or `short=True` for short).

        Put on the venue's grid towards zero. Nothing happens if this is the target already. Raises
        NumberError for a float or what is no number, KeyError for an unknown market.
        """
        listed = self._listed(market)
        if isinstance(size, str) and size.startswith("-"):
            short, size = not short, size[1:]
        elif isinstance(size, Decimal) and size.is_signed():
            short, size = not short, size.copy_negate()
        elif isinstance(size, int) and not isinstance(size, bool) and size < 0:
            short, size = not short, -size
        steps = listed.size_on_grid(size)
        steps = -steps if short else steps
        if self._targets.get(listed.instrument, 0) != steps:
            self._targets[listed.instrument] = steps
            self._emit(TargetSet(self.now_ns, self.name, listed.instrument, steps, _text(reason)))

    def holds(self, market: str) -> bool:
        """Return whether the last target for `market` was anything but 0."""
        return bool(self._targets.get(self._listed(market).instrument))

    def size_for(self, bar: Bar, notional: Number) -> Decimal:
        """Return how much of the bar's market `notional` of quote currency buys at its close (base units)."""
        try:
            money = Decimal(notional)
        except ArithmeticError:
            raise NumberError(f"{notional!r} is not a plain decimal number") from None
        price = Decimal(bar.event.close).scaleb(-bar.listed.price_scale)
        return money / price

    def buy(
        self, market: str, size: Number, *, limit: Number | None = None, tif: str = "Gtc", reason: str = ""
    ) -> None:
        """Wish to buy `size` (base units) at market, or at `limit` or better."""
        self._order(market, BUY, size, limit, tif, reason)

    def sell(
        self, market: str, size: Number, *, limit: Number | None = None, tif: str = "Gtc", reason: str = ""
    ) -> None:
        """Wish to sell `size` (base units) at market, or at `limit` or better."""
        self._order(market, SELL, size, limit, tif, reason)

    def cancel_all(self, market: str, reason: str = "") -> None:
        """Wish to cancel every own order that is working in `market`."""
        instrument = self._listed(market).instrument
        for client_order_id, where in self._working.items():
            if where == instrument:
                self._emit(CancelRequested(self.now_ns, self.name, client_order_id, _text(reason)))

    def record(self, market: str, name: str, value: float) -> None:
        """Put a named number on record: it is journalled and shown in the projection.

        Raises TypeError for what is no number, such as an average that is still None.
        """
        instrument = self._listed(market).instrument
        self._emit(SignalRaised(self.now_ns, self.name, instrument, _text(name), float(value)))

    def after(self, milliseconds: int, key: str) -> None:
        """Have `on_timer(key)` called when this much engine time has passed; the same key starts it anew.

        Raises TypeError for a float, ValueError for less than 1 ms: time must pass.
        """
        if index(milliseconds) < 1:
            raise ValueError(f"a timer is due after 1 millisecond at the soonest, not {milliseconds}")
        self._emit(SetTimer(self.name, self.now_ns + index(milliseconds) * 1_000_000, _text(key)))

    # How events reach the handlers above.

    def bind(self, instruments: Mapping[int, InstrumentListed], turn: Turn) -> None:
        """See `Actor.bind`."""
        super().bind(instruments, turn)
        self._look_up()

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a stored state; a `PerMarket` keeps what it makes."""
        for key, value in state.items():
            held = vars(self).get(key)
            if isinstance(held, PerMarket):
                held.clear()
                held.update(value)
            else:
                setattr(self, key, value)

    def listens(self, event_type: type[Event]) -> bool:
        """Return whether the handler behind an event type is overridden."""
        hook = _HOOKS.get(event_type)
        return hook is None or getattr(type(self), hook) is not getattr(Strategy, hook)

    def resume_targets(self, targets: dict[int, int]) -> None:
        """Take over what is on record as wanted; called after the state was rebuilt from the journal."""
        self._targets = targets

    def wants(self, listed: InstrumentListed) -> bool:
        """Return whether the strategy trades this market."""
        return not self.coins or listed.name in self.coins

    @handles(InstrumentListed)
    def _learn(self, listed: InstrumentListed, emit: Emit) -> None:
        self._look_up()

    @handles(BarClosed)
    def _bar(self, event: BarClosed, emit: Emit) -> None:
        listed = self.instruments[event.instrument]
        if event.revision == 0 and self.wants(listed):
            self._emit = emit
            self._event = event
            self.on_bar(view_bar(event, listed))

    @handles(Trade)
    def _trade(self, event: Trade, emit: Emit) -> None:
        market = self._markets.get(event.instrument)
        if market is not None:
            self._emit = emit
            self._event = event
            self.on_trade(Tick(event, market, event.price / market.price_unit))

    @handles(Quote)
    def _quote(self, event: Quote, emit: Emit) -> None:
        listed = self.instruments[event.instrument]
        if self.coins and listed.name not in self.coins:
            return
        self._emit = emit
        self._event = event
        self.on_quote(Touch(event, listed))

    @handles(SubmitOrder)
    def _submitted(self, event: SubmitOrder, emit: Emit) -> None:
        if event.strategy == self.name:
            self._working[event.client_order_id] = event.instrument

    @handles(OrderFilled)
    def _filled(self, event: OrderFilled, emit: Emit) -> None:
        if event.client_order_id in self._working:
            self._emit = emit
            self._event = event
            self.on_fill(Fill(event, self.instruments[event.instrument]))

    @handles(OrderChanged)
    def _changed(self, event: OrderChanged, emit: Emit) -> None:
        if event.strategy == self.name and event.state in ("Filled", "Canceled", "Rejected"):
            self._working.pop(event.client_order_id, None)

    @handles(TimerFired)
    def _timer(self, event: TimerFired, emit: Emit) -> None:
        self._emit = emit
        self._event = event
        self.on_timer(event.key)

    def _order(
        self, market: str, side: int, size: Number, limit: Number | None, tif: str, reason: str
    ) -> None:
        listed = self._listed(market)
        if tif not in ("Gtc", "Ioc"):
            raise ValueError(f"tif is 'Gtc' or 'Ioc', not {tif!r}")
        price = 0 if limit is None else listed.price_on_grid(limit, side)
        if limit is not None and not price:
            raise NumberError(f"limit {limit} is 0 on the grid of {market}; that would be a market order")
        steps = listed.size_on_grid(size)
        why = _text(reason)
        self._emit(
            OrderRequested(self.now_ns, self.name, listed.instrument, side, steps, price, tif, False, why)
        )

    def _listed(self, market: str) -> InstrumentListed:
        return self.instruments[self._numbers[market]]

    def _look_up(self) -> None:
        """Prepare what is looked up per event: numbers by name, and the markets this strategy wants."""
        self._numbers = {listed.name: listed.instrument for listed in self.instruments.values()}
        self._markets = {
            number: market_of(listed) for number, listed in self.instruments.items() if self.wants(listed)
        }


_HOOKS = {BarClosed: "on_bar", Trade: "on_trade", Quote: "on_quote", TimerFired: "on_timer"}
