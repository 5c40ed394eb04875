"""The actor that runs a strategy: how events reach its hooks, and what the engine keeps for its verbs.

Owns one strategy and what the engine keeps about it: its name and markets, copies of its orders, targets and
positions (`own.py`), prices, the bars it has seen. Nothing of that is on the strategy, whose attributes
belong to its author: it has the actor in one slot, which the verbs use (`verbs.py`).

The state is the author's attributes by their names, and under "" those of the engine, so they cannot meet.
States of an earlier version, which have all in one dict, are read too. Called by sessions and by the bench.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from engine.actors.base import CALLS, Emit, Later, State, Turn, handles
from engine.actors.books.book import Book as OwnBook
from engine.clock import window_end
from engine.config import parse_config
from engine.errors import UsageError
from engine.events import (
    ActivityBarClosed,
    BarClosed,
    BookRead,
    CancelRequested,
    CandleRead,
    ClockJumped,
    ContextRead,
    Event,
    FundingPaid,
    InstrumentListed,
    LargePrintSeen,
    LiquidationRead,
    Quote,
    SessionStarted,
    SessionStopped,
    TimerFired,
    Trade,
    engine_time,
)
from engine.instruments import Instruments, is_among
from engine.states import StateCheck, Unstorable
from engine.strategies.account_views import Funding, OwnOrder
from engine.strategies.base import RESERVED, PerMarket, Strategy
from engine.strategies.chance import Random
from engine.strategies.flow_views import FLOW, FlowEvent, FlowWindow, view_flow
from engine.strategies.hooks import ALL_HOOKS, BETWEEN_BARS, HOOKS
from engine.strategies.newest import NewestPrices
from engine.strategies.own import Aim, Asked, Holding, Own
from engine.strategies.places import lines_of
from engine.strategies.placing import EXPIRES, OnlyTimers, discard, drops, refuse
from engine.strategies.views import (
    Bar,
    Book,
    Context,
    Liquidation,
    Market,
    Tick,
    Touch,
    history_bar,
    market_of,
    view_bar,
)
from engine.strategies.windows import Closed, Kept, Windows
from engine.values import INT64_MAX, parse_interval

__all__ = ["Seen", "StrategyActor"]

_EARLIER: Final = ("funded_ns", "seen", "warm_spans_ns", "began_ns", "random")
"""What is used of the states of an earlier version, which hold it among the author's attributes, with a
leading "_"."""

_EARLIER_DROPPED: Final = ("targets", "working", "ended", "fills")
"""What is not: orders and targets of that version are not those of today's order manager."""

Windowed = BarClosed | FlowWindow
"""Events at the end of a time window."""


class Seen(State):
    """The newest bar passed to `on_bar` for a market and interval. `live`: a bar of this session was."""

    start_ns: int
    live: bool


class EarlierOrder(State):
    """An order in a state of an earlier version. Only read."""

    instrument: int
    side: int
    remaining: int
    limit_price: int
    trigger: str


CALLS_MAX: Final = 1000
"""Upper bound on what a strategy calls at one moment."""

STORED: Final = (Aim, Asked, Holding, Own, OwnBook, OwnOrder)
"""Records of the actor's state, besides those defined here."""


class StrategyActor(NewestPrices):
    """Runs one strategy. `strategy` is the author's object, `markets` the names it trades (empty: all)."""

    WIRING = NewestPrices.WIRING | {
        "markets",
        "seed",
        "emit_at_stop",
        "sees_from_ns",
        "trades_from_ns",
        "trades_until_ns",
        "numbers",
        "windows",
        "bar",
        "_traded",
        "check",
        "_every",
        "_edited",
        "_hooked",
    }
    kept: Kept

    def __init__(
        self,
        cls: type[Strategy],
        name: str,
        params: Mapping[str, Any],
        markets: tuple[str, ...] = (),
        seed: int = 0,
    ) -> None:
        """Create the strategy, set its parameters, which are already converted, and call `on_start`.

        Exceptions of the author's code are not caught.
        """
        super().__init__(name, cls.__new__(cls))
        self.markets = markets
        self.seed = seed
        self.emit_at_stop: Emit = refuse
        self.sees_from_ns = self.trades_from_ns = 0  # between them every event is history
        self.trades_until_ns = INT64_MAX
        self.called_ns = 0
        self.calls = 0
        self.numbers: dict[str, int] = {}
        self._traded: dict[int, Market] = {}
        self._every: dict[int, Market | None] = {}  # None: not traded
        self.check: StateCheck | None = None
        self._edited = False
        self.checked_ns = 0
        self.unchecked = 0  # calls of the check until it reads the whole state again
        self._hooked = {hook for hook in ALL_HOOKS if getattr(cls, hook) is not getattr(Strategy, hook)}
        self.windows = Windows()
        self.bar: Bar | None = None
        self.trades = {}
        self.closes = {}
        self.marks = {}
        self.quotes = {}
        self.follows_trades = False
        self.follows_quotes = False
        self.kept = {}
        self.funded_ns: dict[int, int] = {}
        self.seen: dict[tuple[int, int], Seen] = {}
        self.warm_spans_ns: list[int] = []
        self.began_ns = 0
        self.jumped_ns = 0
        self.random: Random | None = None
        self.strategy._retape = self
        cls.__init__(self.strategy)
        for key, value in params.items():
            setattr(self.strategy, key, value)
        self.strategy.on_start()
        self._refuse_hidden_names()

    def note_edit(self) -> None:
        """Note that the source has changed since the state to restore was stored.

        What `on_start` made and the state does not have is then kept: it is an attribute that the edit added.
        """
        self._edited = True

    def bind(self, instruments: Instruments, turn: Turn) -> None:
        """See `Actor.bind`."""
        super().bind(instruments, turn)
        self._look_up()

    def state(self) -> dict[str, Any]:
        """See `Actor.state`."""
        return {**self.attributes(), "": super().state()}

    def attributes(self) -> dict[str, Any]:
        """Return the author's attributes. A `PerMarket` is returned as a plain dict."""
        return {
            key: dict(value) if isinstance(value, PerMarket) else value
            for key, value in vars(self.strategy).items()
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Replace the whole state by a stored one. A `PerMarket` keeps its indicator class and arguments.

        An attribute that the state does not have is deleted, except after `note_edit`.
        """
        stored = dict(state)
        kept = stored.pop("", None)
        if kept is None:
            kept = {name: stored.pop(f"_{name}") for name in _EARLIER if f"_{name}" in stored}
            for name in _EARLIER_DROPPED:
                stored.pop(f"_{name}", None)
        vars(self).update({name: value for name, value in kept.items() if name not in _EARLIER_DROPPED})
        own = vars(self.strategy)
        if not self._edited:
            for key in [key for key in own if key not in stored]:
                del own[key]
        for key, value in stored.items():
            held = own.get(key)
            if isinstance(held, PerMarket) and isinstance(value, dict):
                held.clear()
                held.update(value)
            else:
                own[key] = value

    def listens(self, event_type: type[Event]) -> bool:
        """Return whether the hook for an event type is overridden, or a reading has asked to follow it."""
        hook = HOOKS.get(event_type)
        if hook is None or hook in self._hooked:
            return True
        return (event_type is Trade and self.follows_trades) or (event_type is Quote and self.follows_quotes)

    def wants(self, listed: InstrumentListed) -> bool:
        """Return whether the strategy trades this market."""
        return not self.markets or is_among(listed, self.markets)

    @property
    def now_ns(self) -> int:
        """The time of the current event, 0 before the first one."""
        return engine_time(self.event) if self.event is not None else 0

    def listed(self, market: str) -> InstrumentListed:
        """Return a market by its name. Raises KeyError with the nearest names."""
        number = self.numbers.get(market)
        if number is None:
            if self.emit is refuse:
                refuse(market)
            raise KeyError(self.instruments.why_not(market))
        return self.instruments[number]

    # What the verbs and readings use.

    def acts(self, market: str) -> bool:
        """Return whether a request is passed on now. Raises RuntimeError before the first event."""
        if self.emit is refuse:
            refuse(market)
        return not drops(self.emit) and not self.stopped

    def call(self, event: Event) -> None:
        """Emit a request. It is recorded and judged once nothing else of the moment is left.

        Raises RuntimeError for a strategy that answers each answer with another call.
        """
        if self.stopped:
            return
        if self.now_ns != self.called_ns:
            self.called_ns, self.calls = self.now_ns, 0
        self.calls += 1
        if self.calls > CALLS_MAX:
            raise RuntimeError(f"more than {CALLS_MAX} calls at one moment; does on_order answer a refusal?")
        self.emit(Later(event, CALLS))

    def acts_between_bars(self) -> bool:
        """Return whether a hook can act at another time than the close of a bar."""
        return bool(self._hooked & BETWEEN_BARS)

    # How events reach the hooks.

    @handles(SessionStarted)
    def _begin(self, started: SessionStarted, emit: Emit) -> None:
        """Decide which history is passed on: none in a session that only backfills.

        If the clock was set back, bars in its future are forgotten; otherwise they would hide new bars.
        """
        intervals = () if started.mode == "backfill" else parse_config(started.config).bars.intervals
        self.began_ns = started.recv_ns
        self.forget()
        if started.mode != "backtest":
            self.own.count_from(started.recv_ns // 1_000_000)
        self.warm_spans_ns = [parse_interval(name) for name in intervals]
        self._look_up()  # the session may trade other instruments
        self.seen = {
            key: Seen(seen.start_ns, False)
            for key, seen in self.seen.items()
            if seen.start_ns <= started.recv_ns
        }

    @handles(ClockJumped)
    def _jump(self, jumped: ClockJumped, emit: Emit) -> None:
        """Take what was due during a jump as history, as if the session began again at its end."""
        if jumped.ahead:
            self.began_ns = self.jumped_ns = jumped.to_ns
            for seen in self.seen.values():
                seen.live = False

    @handles(InstrumentListed)
    def _learn(self, listed: InstrumentListed, emit: Emit) -> None:
        self._look_up()

    @handles(BarClosed)
    def _bar(self, event: BarClosed, emit: Emit) -> None:
        """Pass a bar on. One that ended before the session began, or before the strategy trades, is history.

        Verbs do nothing on history.
        A bar of before the session that is also incomplete is dropped: the engine was down, and the venue's
        candle of that window may still come.
        """
        end_ns = window_end(event.interval_ns, event.start_ns)
        unseen = end_ns < self.began_ns
        stale = unseen or end_ns < self.trades_from_ns
        if event.instrument not in self._traded or (unseen and event.incomplete):
            return
        if not self.sees_from_ns <= end_ns < self.trades_until_ns:
            return
        if self._is_next(event, live=not stale):
            self.event = event
            self._show_bar(event, discard if stale else emit, warmup=stale)
            if end_ns > self.checked_ns:
                self._check_state(end_ns)

    @handles(ActivityBarClosed)
    def _activity_bar(self, event: ActivityBarClosed, emit: Emit) -> None:
        if self._enter(event, event.instrument, emit):
            self._show_bar(event, self.emit, warmup=drops(self.emit))

    def _show_bar(self, event: Closed, emit: Emit, *, warmup: bool = False) -> None:
        """Pass a bar on, after its window and the newest price have it."""
        self.emit = emit
        self.closes[event.instrument] = event
        if self.kept or "on_bar" in self._hooked:
            bar = self.bar = view_bar(event, self._traded[event.instrument], warmup=warmup)
            if self.kept:
                self.windows.add(self.kept, event, bar)
            self.strategy.on_bar(bar)
            self.bar = None

    @handles(*FLOW)
    def _flow(self, event: FlowEvent, emit: Emit) -> None:
        """Pass order flow on, except windows that ended before the session began: they are incomplete."""
        if not isinstance(event, LargePrintSeen) and _end_of(event) < self.began_ns:
            return
        if self._enter(event, event.instrument, emit):
            self.strategy.on_flow(view_flow(event, *self.named(event.instrument)))

    @handles(CandleRead)
    def _history(self, event: CandleRead, emit: Emit) -> None:
        """Pass a candle of the venue's history on, until there is a bar of this session.

        After a jump of the clock that is history of the time until its end.
        """
        if self.jumped_ns and window_end(event.interval_ns, event.start_ns) > self.jumped_ns:
            return
        if (
            event.purpose in ("history", "flat")
            and event.interval_ns in self.warm_spans_ns
            and event.instrument in self._traded
            and self._is_next(event, live=False)
        ):
            self.event = event
            self._show_bar(history_bar(event), discard, warmup=True)
            self._check_state(window_end(event.interval_ns, event.start_ns))

    def _check_state(self, end_ns: int) -> None:
        """Raise UsageError if the state cannot be stored after the bar that ends then: once for each end.

        So the strategy fails at the bar after which the state could not be stored, not at midnight.
        """
        check = self.check
        if end_ns <= self.checked_ns or check is None:
            return
        self.checked_ns = end_ns
        self._refuse_hidden_names()
        whole = not self.unchecked
        self.refuse(check.find(vars(self.strategy), self.name, whole=whole))
        if whole:
            check.refuse_large(self.state, self.name)
            self.unchecked = check.calls_between()
        else:
            self.unchecked -= 1

    def refuse(self, found: Unstorable | None) -> None:
        """Raise UsageError for an attribute that cannot be stored, with the lines that set it."""
        if found is not None:
            lines = lines_of(found.attribute, type(self.strategy), inside=found.inside)
            raise UsageError(f"{found.why}{lines}")

    def _refuse_hidden_names(self) -> None:
        """Raise UsageError for an attribute that hides a name of the base class."""
        own = vars(self.strategy)
        if not RESERVED.isdisjoint(own):
            name = min(RESERVED & own.keys())
            lines = lines_of(name, type(self.strategy))
            raise UsageError(f"self.{name}: the base class Strategy has this name; choose another{lines}")

    def _is_next(self, event: BarClosed | CandleRead, *, live: bool) -> bool:
        """Return whether a window is later than all earlier ones, and remember it."""
        key = (event.instrument, event.interval_ns)
        seen = self.seen.get(key)
        if seen is None:
            self.seen[key] = Seen(event.start_ns, live)
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
        market = self._every[event.instrument]  # takes half the time of .get()
        if market is not None and self.sees_from_ns <= event.recv_ns < self.trades_until_ns:
            if self.follows_trades:
                self.trades[event.instrument] = event
                if "on_trade" not in self._hooked:
                    return
            self.emit = discard if event.recv_ns < self.trades_from_ns else emit
            self.event = event
            self.strategy.on_trade(Tick(event, market, event.price / market.price_unit))

    @handles(Quote)
    def _quote(self, event: Quote, emit: Emit) -> None:
        if event.instrument in self._traded:
            self.quotes[event.instrument] = event
            if "on_quote" in self._hooked and self.sees_from_ns <= event.recv_ns < self.trades_until_ns:
                self.emit = discard if event.recv_ns < self.trades_from_ns else emit
                self.event = event
                self.strategy.on_quote(Touch(event, *self.named(event.instrument)))

    @handles(BookRead)
    def _book(self, event: BookRead, emit: Emit) -> None:
        if self._enter(event, event.instrument, emit):
            self.strategy.on_book(Book(event, *self.named(event.instrument)))

    @handles(ContextRead)
    def _context(self, event: ContextRead, emit: Emit) -> None:
        self.note_context(event)
        if "on_context" in self._hooked and self._enter(event, event.instrument, emit):
            self.strategy.on_context(Context(event, *self.named(event.instrument)))

    @handles(LiquidationRead)
    def _liquidation(self, event: LiquidationRead, emit: Emit) -> None:
        """Pass a liquidation on. One of the time before the session, which some venues show, is history."""
        if self._enter(event, event.instrument, discard if event.venue_ns < self.began_ns else emit):
            self.strategy.on_liquidation(Liquidation(event, *self.named(event.instrument)))

    @handles(FundingPaid)
    def _funding(self, event: FundingPaid, emit: Emit) -> None:
        """Pass each payment on once. Payments come in the order of their times."""
        if event.venue_ns > self.funded_ns.get(event.instrument, 0):
            self.funded_ns[event.instrument] = event.venue_ns
            if self._enter(event, event.instrument, emit):
                self.strategy.on_funding(Funding(event, *self.named(event.instrument)))

    @handles(TimerFired)
    def _timer(self, event: TimerFired, emit: Emit) -> None:
        self.emit = emit
        self.event = event
        if event.key.startswith(EXPIRES):
            handle = event.key[len(EXPIRES) :]
            if self.own.find(handle) is not None:
                emit(CancelRequested(event.at_ns, self.name, "", "its time to live ended", handle))
            return
        if event.at_ns <= self.jumped_ns:
            self.emit = OnlyTimers(emit)  # it was due during the jump
        self.strategy.on_timer(event.key)

    @handles(SessionStopped)
    def _stopped(self, event: SessionStopped, emit: Emit) -> None:
        """Let a strategy plot its last numbers. Orders are discarded, since the session ends."""
        self.emit = discard
        self.emit_at_stop = emit
        self.event = event
        self.strategy.on_stop()

    def _enter(self, event: Event, instrument: int, emit: Emit) -> bool:
        """Make an event the current one. Return whether the strategy trades its market."""
        self.emit = discard if engine_time(event) < self.trades_from_ns else emit
        self.event = event
        return instrument in self._traded and self.sees_from_ns <= engine_time(event) < self.trades_until_ns

    def _look_up(self) -> None:
        """Prepare the tables used for each event: numbers by name, and the markets that are traded."""
        self.windows = Windows()  # its views have listings and labels
        self.numbers = self.instruments.names()
        wanted = [number for number, listed in self.instruments.items() if self.wants(listed)]
        self._traded = {number: market_of(*self.named(number)) for number in wanted}
        self._every = {number: self._traded.get(number) for number in self.instruments}


def _end_of(event: Windowed) -> int:
    return window_end(event.interval_ns, event.start_ns)
