"""What a strategy reads between its hooks: position, orders, target, money, prices, windows of bars.

Owns the reading half of a strategy's interface. Everything read is a copy that the strategy's actor keeps
from events, so it replays. Prices between bars and windows of bars are kept from the first time they are
asked for: a strategy that does not read them pays nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from math import nan
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from engine.events import ContextRead, Quote, Trade
from engine.strategies.account_views import OrderView, Position, view_order
from engine.strategies.views import Bar, Context, Touch
from engine.values import power_of_ten

if TYPE_CHECKING:
    from engine.strategies.actor import StrategyActor

__all__ = ["Bars", "Readings"]

T = TypeVar("T")


class Bars(tuple[Bar, ...]):
    """The newest bars of a market and interval, oldest first."""

    __slots__ = ()

    def values(self, field: str = "close") -> list[float]:
        """Return one field of each bar, such as "close", "high" or "volume"."""
        return [getattr(bar, field) for bar in self]

    def numpy(self, field: str = "close") -> Any:
        """Return one field of each bar as a float64 array of numpy, which has to be installed."""
        import numpy as np  # only here: the engine works without it

        return np.array(self.values(field), dtype=np.float64)


class _Reading(Generic[T]):
    """A property that an attribute of the author's hides: `self.cash = 5` is theirs."""

    def __init__(self, read: Callable[[Any], T]) -> None:
        self._read = read
        self.__doc__ = read.__doc__

    def __get__(self, strategy: object, owner: object = None) -> T:
        return self._read(strategy)


class Readings:
    """What a strategy can read at any time. Raises KeyError for an unknown market."""

    # The actor that runs the strategy: the one attribute that is the engine's.
    __slots__ = ("_retape",)
    if TYPE_CHECKING:
        _retape: StrategyActor

    # Positions, orders, money.

    def position(self, market: str) -> Position:
        """Return the strategy's own position in `market`: size, entry price, unrealized profit.

        Only fills count, not orders on their way. It is true unless it is flat.
        """
        actor = self._retape
        listed = actor.listed(market)
        held = actor.own.held(listed.instrument)
        price = actor.price(listed.instrument)
        exact = Decimal(held.size).scaleb(-listed.size_scale)
        size = held.size / power_of_ten(listed.size_scale)
        known = price / power_of_ten(listed.price_scale) if price else None
        entry, profit = None, 0.0
        if held.size:
            # Divisions of whole numbers, which give the nearest float.
            cost, unit = held.cost * power_of_ten(listed.size_scale), power_of_ten(held.scale)
            entry = cost / (held.size * unit)
            if price:
                gain = held.size * price * unit - held.cost * power_of_ten(listed.money_scale)
                profit = gain / (unit * power_of_ten(listed.money_scale))
        return Position(actor.instruments.label(listed.instrument), size, exact, entry, known, profit)

    def holds(self, market: str) -> bool:
        """Return whether the strategy has a position in `market`."""
        actor = self._retape
        return bool(actor.own.held(actor.listed(market).instrument).size)

    def wanted(self, market: str) -> float | None:
        """Return the target for `market`, None if there is none.

        Fills that the target did not order change it: after a stop it is what was left.
        """
        actor = self._retape
        listed = actor.listed(market)
        wanted = actor.own.aim(listed.instrument).size
        return None if wanted is None else wanted / power_of_ten(listed.size_scale)

    def orders(self, market: str) -> list[OrderView]:
        """Return the strategy's stops, orders and requests in `market` that are not at their end.

        They come in this order, each kind oldest first.
        """
        actor = self._retape
        listed = actor.listed(market)
        named = actor.named(listed.instrument)
        return [view_order(order, *named) for order in actor.own.of(listed.instrument)]

    @_Reading
    def equity(self) -> float:
        """The account's equity in quote currency, over all strategies. Not a number until it is known."""
        marked = self._retape.marked
        return nan if marked is None else int(marked.equity) / power_of_ten(marked.scale)

    @_Reading
    def cash(self) -> float:
        """The equity without the unrealized profit of open positions."""
        marked = self._retape.marked
        if marked is None:
            return nan
        return (int(marked.equity) - int(marked.unrealized)) / power_of_ten(marked.scale)

    # Prices.

    def last(self, market: str) -> float | None:
        """Return the newest price of `market`: of a trade, else the close of a bar; None before the first.

        Trades are followed from the first call on.
        """
        actor = self._retape
        listed = actor.listed(market)
        actor.follow(Trade)
        price = actor.last_price(listed.instrument)
        return price / power_of_ten(listed.price_scale) if price else None

    def quote(self, market: str) -> Touch | None:
        """Return the best bid and ask of `market` with their sizes; None before the first.

        Quotes are followed from the first call on.
        """
        actor = self._retape
        listed = actor.listed(market)
        actor.follow(Quote)
        event = actor.event
        if isinstance(event, Quote) and event.instrument == listed.instrument:
            known: Quote | None = event
        else:
            known = actor.quotes.get(listed.instrument)
        return None if known is None else Touch(known, *actor.named(listed.instrument))

    def context(self, market: str) -> Context | None:
        """Return the newest context of `market`: funding rate, open interest, mark; None before the first.

        Contexts are followed from the first call on.
        """
        actor = self._retape
        listed = actor.listed(market)
        actor.follow_contexts()
        event = actor.event
        if isinstance(event, ContextRead) and event.instrument == listed.instrument:
            known: ContextRead | None = event
        else:
            known = actor.contexts.get(listed.instrument) if actor.follows_contexts else None
        return None if known is None else Context(known, *actor.named(listed.instrument))

    def bars(self, market: str, interval: str, n: int) -> Bars:
        """Return the newest `n` bars of `market`, the one in `on_bar` included; fewer if there are fewer.

        They are kept from the first call for this market and interval on, history included: call it on every
        bar. `interval` is as in `Bar.interval`.
        """
        actor = self._retape
        named = actor.named(actor.listed(market).instrument)
        return Bars(actor.windows.newest(actor.kept, named, interval, n, actor.bar))
