"""The base class of strategies: the hooks that an author overrides.

    from engine.indicators import Ema
    from engine.strategies import Bar, PerMarket, Strategy

    class Mine(Strategy):
        period: int = 20
        def on_start(self) -> None:
            self.ema = PerMarket(Ema, self.period)
        def on_bar(self, bar: Bar) -> None:
            ema = self.ema[bar.market].update(bar.close)
            if ema is not None:
                self.target(bar.market, "0.1" if bar.close > ema else 0)

Only overridden hooks are routed: a strategy without `on_trade` costs nothing per trade. An annotated class
attribute with a default is a parameter (`params.py`). Attributes of `self` are the state. They must be
numbers, text, lists, dicts, indicators or other msgspec structs, so that a day can be replayed from its
snapshot at midnight. Time is `self.now_ns` and randomness is `self.random`; other sources are refused when
the strategy is loaded (`engine.guard`). The methods that an author calls are in `verbs.py` and `readings.py`;
how events reach the hooks is in `actor.py`.

The names of attributes are the author's, except those of the hooks and verbs: the engine keeps what it needs
in one slot (`_retape`) and in the actor that the slot holds. A reading, such as `position`, yields to an
attribute of its name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from engine.strategies.account_views import Fill, Funding, OrderView
from engine.strategies.chance import Random, seeded
from engine.strategies.flow_views import Flow
from engine.strategies.readings import Readings
from engine.strategies.verbs import Verbs
from engine.strategies.views import Bar, Book, Context, Liquidation, Tick, Touch

__all__ = ["RESERVED", "YIELDING", "PerMarket", "Strategy"]

T = TypeVar("T")


class PerMarket(dict[str, T], Generic[T]):
    """One indicator per market, created on first use: `PerMarket(Ema, 20)["BTC"]`."""

    def __init__(self, make: Callable[..., T], *args: Any) -> None:
        super().__init__()
        self._make = make
        self._args = args

    def __missing__(self, market: str) -> T:
        made = self[market] = self._make(*self._args)
        return made


class Strategy(Verbs):
    """Base of every strategy. Override the hooks you need, and call the verbs from inside them."""

    def __init__(self) -> None:
        """Do nothing: the actor sets the parameters and calls `on_start`."""

    def on_start(self) -> None:
        """Create the state. Parameters are set, but no event has come yet, and verbs cannot be called.

        Called once for each new instance. A stored state then replaces what it created.
        """

    def on_stop(self) -> None:
        """Called when the session stops cleanly. `plot` still works; every other verb does nothing."""

    def on_bar(self, bar: Bar) -> None:
        """Called with each closed bar of every interval of the session (see `bar.interval`).

        Called once for each window, without corrections. If the session reads history, its bars come first
        (`bar.warmup`); verbs do nothing on them.
        """

    def on_trade(self, trade: Tick) -> None:
        """Called with each public trade."""

    def on_quote(self, quote: Touch) -> None:
        """Called when the best bid or ask changes."""

    def on_book(self, book: Book) -> None:
        """Called with each full order book."""

    def on_flow(self, flow: Flow) -> None:
        """Called with order flow: a footprint, imbalance, profile, large trade, book sample, liquidations."""

    def on_liquidation(self, liquidation: Liquidation) -> None:
        """Called when the venue shows that somebody's position was closed by force."""

    def on_context(self, context: Context) -> None:
        """Called with a market's context: mark and oracle price, funding rate, open interest."""

    def on_order(self, order: OrderView) -> None:
        """Called when an own order changes its state, and when one is refused (state "Refused").

        Stops of a bracket are separate ones, with handles of their own.
        """

    def on_fill(self, fill: Fill) -> None:
        """Called with each fill in the strategy's position; `fill.external`: not ordered here."""

    def on_funding(self, payment: Funding) -> None:
        """Called with each funding payment of the account."""

    def on_set(self, name: str, value: Any) -> None:
        """Called when an operator has set a parameter: `self.NAME` is the new value already.

        Recompute here what depends on it. Raise ValueError to refuse the value; the parameter then keeps the
        one before. A strategy that does not override this hook refuses every change.
        """

    def on_timer(self, key: str) -> None:
        """Called when a timer set with `after` is due."""

    @property
    def random(self) -> Random:
        """A random generator that replays, seeded by the configuration's `seed` and the strategy's name.

        Created on first use, so only strategies that use it have it in their state.
        """
        actor = self._retape
        if actor.random is None:
            actor.random = seeded(actor.seed, actor.name)
        return actor.random


YIELDING: Final = frozenset(name for name in vars(Readings) if not name.startswith("_")) | {"log"}
"""Names that an attribute of a strategy may have: it has its own then, and not what the engine offers."""

RESERVED: Final = frozenset(name for name in dir(Strategy) if not name.startswith("__")) - YIELDING
"""The names of the hooks, the verbs and the slot, which no attribute of a strategy may have."""
