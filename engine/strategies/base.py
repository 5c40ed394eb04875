"""The base class of strategies: the hooks that an author overrides, and how events reach them.

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
the strategy is loaded (`engine.guard`). The methods that an author calls are in `verbs.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar

from engine.actors.base import Emit, Once, State, Turn, handles, remember
from engine.clock import window_end
from engine.config import parse_config
from engine.errors import NotDeterministic
from engine.events import (
    ENDED,
    ActivityBarClosed,
    BarClosed,
    BookRead,
    BookSampled,
    CandleRead,
    ContextRead,
    Event,
    FootprintClosed,
    FundingPaid,
    ImbalanceStacked,
    InstrumentListed,
    LargePrintSeen,
    OrderChanged,
    OrderFilled,
    OrderModified,
    ProfileClosed,
    Quote,
    SessionStarted,
    SessionStopped,
    SubmitOrder,
    TimerFired,
    Trade,
)
from engine.strategies.chance import Random, seeded
from engine.strategies.flow_views import Flow, FlowEvent, view_flow
from engine.strategies.verbs import OwnOrder, Verbs, discard, refuse
from engine.strategies.views import (
    Bar,
    Book,
    Context,
    Fill,
    Funding,
    Market,
    OrderView,
    Tick,
    Touch,
    history_bar,
    market_of,
    view_bar,
    view_order,
)
from engine.values import parse_interval

__all__ = ["PerMarket", "Seen", "Strategy", "place_of"]

T = TypeVar("T")

Windowed = BarClosed | FootprintClosed | ImbalanceStacked | ProfileClosed | BookSampled
"""Events at the end of a time window."""


class PerMarket(dict[str, T], Generic[T]):
    """One indicator per market, created on first use: `PerMarket(Ema, 20)["BTC"]`."""

    def __init__(self, make: Callable[..., T], *args: Any) -> None:
        super().__init__()
        self._make = make
        self._args = args

    def __missing__(self, market: str) -> T:
        made = self[market] = self._make(*self._args)
        return made


class Seen(State):
    """The newest bar passed to `on_bar` for a market and interval. `live`: a bar of this session was."""

    start_ns: int
    live: bool


class Strategy(Verbs):
    """Base of every strategy. Override the hooks you need, and call the verbs from inside them."""

    WIRING = Verbs.WIRING | {
        "coins",
        "_event",
        "_emit",
        "_emit_at_stop",
        "_numbers",
        "_markets",
        "_every_market",
        "_seed",
        "_edited",
    }

    def __init__(self) -> None:
        """Do nothing: `make` sets the parameters and calls `on_start`."""

    @classmethod
    def make(
        cls, name: str, params: Mapping[str, Any], coins: tuple[str, ...] = (), seed: int = 0
    ) -> Strategy:
        """Return a new strategy: name, markets (`coins`, empty: all) and parameters set, `on_start` called.

        `params` are already converted. Exceptions of the author's code are not caught.
        """
        strategy = cls()
        strategy.attach(name, coins, seed)
        for key, value in params.items():
            setattr(strategy, key, value)
        strategy.on_start()
        return strategy

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
        """Called with order flow: a footprint, stacked imbalance, profile, large trade or book sample."""

    def on_context(self, context: Context) -> None:
        """Called with a market's context: mark and oracle price, funding rate, open interest."""

    def on_order(self, order: OrderView) -> None:
        """Called when an own order changes its state. Attached orders are separate orders."""

    def on_fill(self, fill: Fill) -> None:
        """Called with each fill of an own order."""

    def on_funding(self, payment: Funding) -> None:
        """Called with each funding payment. Only real accounts have them."""

    def on_timer(self, key: str) -> None:
        """Called when a timer set with `after` is due."""

    @property
    def random(self) -> Random:
        """A random generator that replays, seeded by the configuration's `seed` and the strategy's name.

        Created on first use, so only strategies that use it have it in their state.
        """
        drawn: Random | None = vars(self).get("_random")
        if drawn is None:
            drawn = self._random = seeded(self._seed, self.name)
        return drawn

    def attach(self, name: str, coins: tuple[str, ...], seed: int = 0) -> None:
        """Set the name, the markets (empty: all) and the session's seed. Called once, by `make`."""
        self.name = name
        self.coins = coins
        self._seed = seed
        self._edited = False
        self._event = None
        self._emit = self._emit_at_stop = refuse
        self._numbers = {}
        self._markets: dict[int, Market] = {}
        self._every_market: dict[int, Market | None] = {}  # None: not traded
        self._targets = {}
        self._working = {}
        self._ended: dict[str, OwnOrder] = {}
        self._fills = Once()
        self._funded_ns: dict[int, int] = {}
        self._seen: dict[tuple[int, int], Seen] = {}
        self._warm_spans_ns: list[int] = []
        self._began_ns = 0

    def note_edit(self) -> None:
        """Note that the source has changed since the state to restore was stored.

        What `on_start` made and the state does not have is then kept: it is an attribute that the edit added.
        """
        self._edited = True

    # How events reach the hooks above.

    def bind(self, instruments: Mapping[int, InstrumentListed], turn: Turn) -> None:
        """See `Actor.bind`."""
        super().bind(instruments, turn)
        self._look_up()

    def state(self) -> dict[str, Any]:
        """See `Actor.state`. A `PerMarket` is returned as a plain dict."""
        return {
            key: dict(value) if isinstance(value, PerMarket) else value
            for key, value in super().state().items()
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Replace the whole state by a stored one. A `PerMarket` keeps its indicator class and arguments.

        An attribute that the state does not have is deleted, except after `note_edit`.
        """
        own = vars(self)
        if not self._edited:
            for key in [key for key in self.state() if key not in state and not key.startswith("_")]:
                del own[key]
        for key, value in state.items():
            held = own.get(key)
            if isinstance(held, PerMarket) and isinstance(value, dict):
                held.clear()
                held.update(value)
            else:
                own[key] = value

    def listens(self, event_type: type[Event]) -> bool:
        """Return whether the hook for an event type is overridden."""
        hook = _HOOKS.get(event_type)
        return hook is None or getattr(type(self), hook) is not getattr(Strategy, hook)

    def resume_targets(self, targets: dict[int, int]) -> None:
        """Set the recorded targets. Called after the state was rebuilt from the journal."""
        self._targets = targets

    def wants(self, listed: InstrumentListed) -> bool:
        """Return whether the strategy trades this market."""
        return not self.coins or listed.name in self.coins

    @handles(SessionStarted)
    def _begin(self, started: SessionStarted, emit: Emit) -> None:
        """Decide which history is passed on: none in a session that only backfills.

        If the clock was set back, bars in its future are forgotten; otherwise they would hide new bars.
        """
        intervals = () if started.mode == "backfill" else parse_config(started.config).bars.intervals
        self._began_ns = started.recv_ns
        self._warm_spans_ns = [parse_interval(name) for name in intervals]
        self._seen = {
            key: Seen(seen.start_ns, False)
            for key, seen in self._seen.items()
            if seen.start_ns <= started.recv_ns
        }

    @handles(InstrumentListed)
    def _learn(self, listed: InstrumentListed, emit: Emit) -> None:
        self._look_up()

    @handles(BarClosed)
    def _bar(self, event: BarClosed, emit: Emit) -> None:
        """Pass a bar on. A bar that ended before the session began is history: verbs do nothing on it.

        If such a bar is also incomplete, it is dropped: the engine was down, and the venue's candle of that
        window may still come.
        """
        stale = self._is_stale(event)
        if event.instrument not in self._markets or (stale and event.incomplete):
            return
        if self._is_next(event, live=not stale):
            self._emit = discard if stale else emit
            self._event = event
            self.on_bar(view_bar(event, self.instruments[event.instrument], warmup=stale))

    @handles(ActivityBarClosed)
    def _activity_bar(self, event: ActivityBarClosed, emit: Emit) -> None:
        if self._enter(event, event.instrument, emit):
            self.on_bar(view_bar(event, self.instruments[event.instrument]))

    @handles(FootprintClosed, ImbalanceStacked, ProfileClosed, LargePrintSeen, BookSampled)
    def _flow(self, event: FlowEvent, emit: Emit) -> None:
        """Pass order flow on, except windows that ended before the session began: they are incomplete."""
        if not isinstance(event, LargePrintSeen) and self._is_stale(event):
            return
        if self._enter(event, event.instrument, emit):
            self.on_flow(view_flow(event, self.instruments[event.instrument]))

    @handles(CandleRead)
    def _history(self, event: CandleRead, emit: Emit) -> None:
        """Pass a candle of the venue's history on, until there is a bar of this session."""
        if (
            event.purpose == "history"
            and event.interval_ns in self._warm_spans_ns
            and event.instrument in self._markets
            and self._is_next(event, live=False)
        ):
            self._emit = discard
            self._event = event
            self.on_bar(view_bar(history_bar(event), self.instruments[event.instrument], warmup=True))

    def _is_stale(self, event: Windowed) -> bool:
        return window_end(event.interval_ns, event.start_ns) < self._began_ns

    def _is_next(self, event: BarClosed | CandleRead, *, live: bool) -> bool:
        """Return whether a window is later than all earlier ones, and remember it."""
        key = (event.instrument, event.interval_ns)
        seen = self._seen.get(key)
        if seen is None:
            self._seen[key] = Seen(event.start_ns, live)
            return True
        if not live and seen.live:
            return False
        seen.live = live
        if event.start_ns <= seen.start_ns:
            return False
        seen.start_ns = event.start_ns
        return True

    @handles(Trade)
    def _trade(self, event: Trade, emit: Emit) -> None:
        market = self._every_market[event.instrument]  # takes half the time of .get()
        if market is not None:
            self._emit = emit
            self._event = event
            self.on_trade(Tick(event, market, event.price / market.price_unit))

    @handles(Quote)
    def _quote(self, event: Quote, emit: Emit) -> None:
        if self._enter(event, event.instrument, emit):
            self.on_quote(Touch(event, self.instruments[event.instrument]))

    @handles(BookRead)
    def _book(self, event: BookRead, emit: Emit) -> None:
        if self._enter(event, event.instrument, emit):
            self.on_book(Book(event, self.instruments[event.instrument]))

    @handles(ContextRead)
    def _context(self, event: ContextRead, emit: Emit) -> None:
        if self._enter(event, event.instrument, emit):
            self.on_context(Context(event, self.instruments[event.instrument]))

    @handles(FundingPaid)
    def _funding(self, event: FundingPaid, emit: Emit) -> None:
        """Pass each payment on once. Payments come in the order of their times."""
        if event.venue_ns > self._funded_ns.get(event.instrument, 0):
            self._funded_ns[event.instrument] = event.venue_ns
            if self._enter(event, event.instrument, emit):
                self.on_funding(Funding(event, self.instruments[event.instrument]))

    @handles(SubmitOrder)
    def _submitted(self, event: SubmitOrder, emit: Emit) -> None:
        if event.strategy == self.name:
            self._working[event.client_order_id] = OwnOrder(
                event.instrument, event.side, event.size, event.limit_price, event.trigger
            )

    @handles(OrderFilled)
    def _filled(self, event: OrderFilled, emit: Emit) -> None:
        """Pass each fill on once. A fill may come after its order was canceled or rejected."""
        if (
            event.client_order_id in self._working or event.client_order_id in self._ended
        ) and self._fills.first(event):
            self._emit = emit
            self._event = event
            self.on_fill(Fill(event, self.instruments[event.instrument]))

    @handles(OrderModified)
    def _modified(self, event: OrderModified, emit: Emit) -> None:
        order = self._working.get(event.client_order_id)
        if order is not None:
            order.limit_price = event.limit_price

    @handles(OrderChanged)
    def _changed(self, event: OrderChanged, emit: Emit) -> None:
        client_order_id = event.client_order_id
        order = self._working.get(client_order_id) or self._ended.get(client_order_id)
        if order is None:
            return
        order.remaining = event.remaining
        if event.state in ENDED and client_order_id in self._working:
            remember(self._ended, client_order_id, self._working.pop(client_order_id))
        self._emit = emit
        self._event = event
        listed = self.instruments[event.instrument]
        self.on_order(view_order(event, listed, order.side, order.trigger, order.limit_price))

    @handles(TimerFired)
    def _timer(self, event: TimerFired, emit: Emit) -> None:
        self._emit = emit
        self._event = event
        self.on_timer(event.key)

    @handles(SessionStopped)
    def _stopped(self, event: SessionStopped, emit: Emit) -> None:
        """Let a strategy plot its last numbers. Orders are discarded, since the session ends."""
        self._emit = discard
        self._emit_at_stop = emit
        self._event = event
        self.on_stop()

    def _enter(self, event: Event, instrument: int, emit: Emit) -> bool:
        """Make an event the current one. Return whether the strategy trades its market."""
        self._emit = emit
        self._event = event
        return instrument in self._markets

    def _look_up(self) -> None:
        """Prepare the tables used for each event: numbers by name, and the markets that are traded."""
        self._numbers = {listed.name: listed.instrument for listed in self.instruments.values()}
        self._markets = {
            number: market_of(listed) for number, listed in self.instruments.items() if self.wants(listed)
        }
        self._every_market = {number: self._markets.get(number) for number in self.instruments}


_HOOKS: Final[dict[type[Event], str]] = {
    ActivityBarClosed: "on_bar",
    BarClosed: "on_bar",
    CandleRead: "on_bar",
    Trade: "on_trade",
    Quote: "on_quote",
    BookRead: "on_book",
    **dict.fromkeys(
        (FootprintClosed, ImbalanceStacked, ProfileClosed, LargePrintSeen, BookSampled), "on_flow"
    ),
    ContextRead: "on_context",
    OrderFilled: "on_fill",
    FundingPaid: "on_funding",
    TimerFired: "on_timer",
    SessionStopped: "on_stop",
}


def place_of(error: BaseException, strategy: type[Strategy]) -> str:
    """Return where in a strategy's own module an error was raised, as " (mine.py:7)", or "".

    "" for a RecursionError too: its line depends on the depth of the callers.
    """
    own = [cls.__module__ for cls in strategy.__mro__[: strategy.__mro__.index(Strategy)]]
    place = ""
    trace = None if isinstance(error, RecursionError | NotDeterministic) else error.__traceback__
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        if module in own:
            place = f" ({module.replace('.', '/')}.py:{trace.tb_lineno})"
        trace = trace.tb_next
    return place
