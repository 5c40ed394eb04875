"""A small session in one process: the real sequencer, books, order manager, execution and simulated venue.

    rig = Rig()                                # one strategy, "S", one market with price 100
    rig.target("S", 1)
    rig.trade(100)                             # a market order fills at the next trade
    rig.stop("S", 1, 97)
    rig.trade(96)
    rig.trade(96)
    assert rig.book("S") == 0

In place of each strategy there is a `Caller`: it emits the event of a verb when the test says so, or as the
reaction to an event (`when`), at the place and in the order of a real strategy. Numbers are in units of the
market (100, "0.5"), not in steps of its grid. With `real=True` there is no simulated venue: the commands are
in `sent`, and the test answers them (`accept`, `reject`, `fill`, `end`, `read`).
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeVar

from msgspec.structs import replace

from engine.actors import Actor
from engine.actors.base import Emit, handles
from engine.clock import SECOND_NS
from engine.config import AccountConfig, Config, PaperConfig, RiskConfig, StrategyConfig, VenueConfig
from engine.events import (
    COMMANDS,
    AccountRead,
    BarClosed,
    CancelRequested,
    Candle,
    ClockAdvanced,
    CommandAnswered,
    ContextRead,
    EdgeChanged,
    Event,
    FillBooked,
    InstrumentListed,
    MarketRules,
    ModifyRequested,
    OperatorCommand,
    OrderChanged,
    OrderRefused,
    OrderRequested,
    OrderTerms,
    ProtectionChanged,
    Quote,
    SessionStarted,
    StopRequested,
    TargetChanged,
    TargetSet,
    Trade,
    TrailChanged,
    TrailRequested,
    assumed_rules,
)
from engine.events.codec import Derived, Record, in_order
from engine.operator.requests import command_of, parse_request
from engine.sequencer import Sequencer
from engine.session import SessionBuilder
from engine.states import encode_state
from engine.strategies import Strategy, Tick
from engine.strategies.actor import StrategyActor
from engine.values import BUY, SELL
from tests.actors.rig_reading import Number
from tests.actors.rig_venue import Venue

__all__ = ["MS", "Caller", "Number", "Rig", "Silent"]

E = TypeVar("E", bound=Event)
Answer = Callable[[Any], None]

MS = 1_000_000
BEGIN_NS = 1_733_400_000 * SECOND_NS  # noon of 2024-12-05
ACCOUNT = "0x" + "11" * 20
FEED_PRICE = 100


class Silent(Strategy):
    """Stands in the configuration; a `Caller` takes its place. It acts between bars."""

    def on_trade(self, trade: Tick) -> None:
        """See `Strategy`."""


class Script:
    """What a strategy emits next, its reactions by event type, and whether one of them is running."""

    def __init__(self) -> None:
        self.outbox: list[Event] = []
        self.reacts: list[tuple[type[Event], Answer]] = []
        self.running = False


class Caller(Actor):
    """Stands for a strategy. It emits what its `Script` holds."""

    WIRING = Actor.WIRING | {"script"}

    def __init__(self, name: str, script: Script) -> None:
        super().__init__(name)
        self.script = script

    @handles(
        EdgeChanged,
        Trade,
        Quote,
        Candle,
        BarClosed,
        FillBooked,
        OrderChanged,
        OrderRefused,
        TargetChanged,
        TrailChanged,
        ProtectionChanged,
    )
    def react(self, event: Event, emit: Emit) -> None:
        """Call the handlers of the event, then emit what the verbs left."""
        if isinstance(event, EdgeChanged) and event.actor != self.name:
            return
        script = self.script
        script.running = True
        for kind, answer in tuple(script.reacts):
            if isinstance(event, kind):
                answer(event)
        script.running = False
        for item in script.outbox:
            emit(item)
        script.outbox.clear()


class Rig(Venue):
    """See the module. `now_ns` is the engine's time; every input comes `step_ms` after the one before."""

    def __init__(
        self,
        *strategies: str,
        latency_ms: int = 0,
        slippage_bps: int = 0,
        fee: str = "0",
        fill_on_touch: bool = False,
        cash: str = "1000000",
        real: bool = False,
        price: Number | None = FEED_PRICE,
        price_scale: int = 2,
        size_scale: int = 2,
        markets: int = 1,
        kind: str = "perp",
        rules: MarketRules | None = None,
        risk: dict[str, Any] | None = None,
        venue: dict[str, Any] | None = None,
        account: dict[str, Any] | None = None,
    ) -> None:
        self.names = strategies or ("S",)
        self.now_ns = BEGIN_NS
        self.step_ms = 1
        self.scales = (price_scale, size_scale)
        self.log: list[Record] = []
        self.sent: list[Event] = []
        self.handles: dict[str, list[tuple[str, int]]] = {name: [] for name in self.names}
        self._scripts = {name: Script() for name in self.names}
        self._verbs = 0
        self._trade_id = 0
        self._sessions = 0
        self.nonces = 0
        self.real = real
        limits = {"max_order_notional": "0", "max_position_notional": "0", "max_orders_per_minute": 0}
        self.config = Config(
            mode="live" if real else "paper",
            strategies=tuple(StrategyConfig(use="tests.actors.rig:Silent", name=name) for name in self.names),
            risk=RiskConfig(**{**limits, **(risk or {})}),
            paper=PaperConfig(
                latency_ms=latency_ms,
                slippage_bps=slippage_bps,
                taker_fee=fee,
                maker_fee=fee,
                fill_on_touch=fill_on_touch,
            ),
            account=AccountConfig(cash=cash, **(account or {})),
            venue=VenueConfig(account=ACCOUNT, **(venue or {})),
        )
        self._builder = SessionBuilder(lambda _: Silent, "rig", "0", lambda _: "0" * 16)
        self._sequencer = Sequencer(self._build, self)
        self._start()
        for number in range(1, markets + 1):
            name = f"M{number}"
            self.send(
                InstrumentListed(
                    self.tick(),
                    number,
                    "sim",
                    name,
                    price_scale,
                    size_scale,
                    kind=kind,
                    rules=rules or assumed_rules(kind),
                )
            )
        if real:
            self.account_read()
        if price is not None:
            for number in range(1, markets + 1):
                self.trade(price, market=number)

    # The session.

    def _build(self, started: SessionStarted) -> list[Actor]:
        return [
            Caller(actor.name, self._scripts[actor.name]) if isinstance(actor, StrategyActor) else actor
            for actor in self._builder(started)
        ]

    def _start(self) -> None:
        self._sessions += 1
        self.send(
            self._builder.start(
                recv_ns=self.tick(),
                session=f"{self._sessions:016x}",
                mode="live" if self.real else "paper",
                config=self.config,
            )
        )

    def restart(self, after_ms: int = 1000) -> None:
        """Begin another session, as after a kill: every actor takes over its stored state."""
        self.now_ns += after_ms * MS
        self._start()

    def open_day(self, day: str) -> None:
        """See `engine.ports.Sink`."""

    def append(self, first_seq: int, inputs: list[Event], derived: list[Derived]) -> None:
        """See `engine.ports.Sink`."""
        self.log += in_order(first_seq, inputs, derived)
        self.sent += [event for _, _, event in derived if isinstance(event, COMMANDS)]

    def send(self, *events: Event) -> None:
        """Send inputs, one turn each. An actor that fails, other than a strategy on purpose, is an error."""
        self._sequencer.run(list(events))
        failures = [text for text in self._sequencer.failures if text.split(" ")[0] not in self.names]
        assert not failures, failures
        # Every state can be stored at any moment.
        encode_state(self.manager.state(), self.manager.name)

    def wait(self, seconds: float = 0, *, ms: int = 0) -> None:
        """Let time pass, in which timers fire."""
        self.now_ns += round(seconds * SECOND_NS) + ms * MS
        self.send(ClockAdvanced(self.now_ns))

    # The market.

    def trade(self, *prices: Number, size: Number = 1000, market: int = 1) -> None:
        """Send trades."""
        for price in prices:
            at_ns = self.tick()
            self._trade_id += 1
            self.send(Trade(at_ns, at_ns, market, self.price(price), self.size(size), BUY, self._trade_id))

    def quote(
        self, bid: Number, ask: Number, *, bid_size: Number = 1000, ask_size: Number = 1000, market: int = 1
    ) -> None:
        """Send a best bid and ask; 0 is an empty side."""
        at_ns = self.tick()
        sizes = (self.size(bid_size) if bid else 0, self.size(ask_size) if ask else 0)
        self.send(Quote(at_ns, at_ns, market, self.price(bid), sizes[0], self.price(ask), sizes[1]))

    def mark(self, price: Number, market: int = 1) -> None:
        """Send the venue's mark."""
        at_ns = self.tick()
        nothing = (None, None, None, None, None)
        self.send(ContextRead(at_ns, market, self.scales[0], self.price(price), *nothing))

    def candle(
        self,
        open_: Number,
        high: Number,
        low: Number,
        close: Number,
        *,
        volume: Number = 1000,
        market: int = 1,
    ) -> None:
        """Send a closed candle of one minute."""
        start_ns = self.now_ns - self.now_ns % (60 * SECOND_NS)
        self.now_ns = start_ns + 60 * SECOND_NS
        prices = [self.price(value) for value in (open_, high, low, close)]
        self.send(
            Candle(
                self.now_ns,
                self.now_ns,
                market,
                60 * SECOND_NS,
                start_ns,
                *prices,
                str(self.size(volume)),
            )
        )

    # Verbs.

    def target(self, name: str, size: Number | None, *, market: int = 1) -> None:
        """Call `target`."""
        steps = 0 if size is None else self.size(size)
        self._call(name, TargetSet(self.now_ns, name, market, steps, withdrawn=size is None))

    def buy(self, name: str, size: Number, **more: Any) -> str:
        """Call `buy`; see `order`."""
        return self.order(name, BUY, size, **more)

    def sell(self, name: str, size: Number, **more: Any) -> str:
        """Call `sell`; see `order`."""
        return self.order(name, SELL, size, **more)

    def order(
        self,
        name: str,
        side: int,
        size: Number,
        *,
        limit: Number = 0,
        tif: str = "Gtc",
        reduce_only: bool = False,
        sl: Number = 0,
        tp: Number | list[tuple[Number, Number]] = 0,
        trigger: Number = 0,
        kind: str = "sl",
        group: str = "",
        market: int = 1,
    ) -> str:
        """Call `buy` or `sell`; return the handle. `tp` is a price, or (price, size) pairs."""
        handle = self._handle(name, market)
        children: list[tuple[str, int, int]] = []
        if sl:
            children.append(("sl", self.price(sl), self.size(size)))
        for price, part in tp if isinstance(tp, list) else [(tp, size)]:
            if price:
                children.append(("tp", self.price(price), self.size(part)))
        terms = OrderTerms(
            side,
            self.size(size),
            self.price(limit),
            tif,
            reduce_only=reduce_only,
            trigger=kind if trigger else "",
            trigger_price=self.price(trigger),
            group=group,
            handle=handle,
        )
        self._call(name, OrderRequested(self.now_ns, name, market, terms, "", tuple(children)))
        return handle

    def stop(
        self,
        name: str,
        size: Number,
        trigger: Number,
        *,
        side: int = SELL,
        kind: str = "sl",
        limit: Number = 0,
        group: str = "",
        market: int = 1,
    ) -> str:
        """Call `stop`; return the handle."""
        handle = self._handle(name, market)
        self._call(
            name,
            StopRequested(
                self.now_ns,
                name,
                market,
                handle,
                side,
                self.size(size),
                kind,
                self.price(trigger),
                self.price(limit),
                group,
            ),
        )
        return handle

    def trail(self, name: str, size: Number, distance: Number, *, side: int = SELL, market: int = 1) -> None:
        """Call `trail`."""
        request = TrailRequested(self.now_ns, name, market, side, self.size(size), self.price(distance))
        self._call(name, request)

    def untrail(self, name: str, market: int = 1) -> None:
        """Call `untrail`."""
        self._call(name, TrailRequested(self.now_ns, name, market, 0, 0, 0))

    def modify(
        self,
        name: str,
        handle: str,
        *,
        size: Number = 0,
        limit: Number = 0,
        trigger: Number = 0,
        market: int = 1,
    ) -> None:
        """Call `modify`."""
        values = (self.size(size), self.price(limit))
        self._call(
            name,
            ModifyRequested(
                self.now_ns, name, "", market, *values, handle=handle, trigger_price=self.price(trigger)
            ),
        )

    def cancel(self, name: str, handle: str) -> None:
        """Call `cancel`."""
        self._call(name, CancelRequested(self.now_ns, name, "", "", handle))

    def cancel_all(self, name: str, market: int = 1) -> None:
        """Call `cancel_all`: a cancel for each handle."""
        calls = [
            CancelRequested(self.now_ns, name, "", "cancel_all", handle)
            for handle, where in self.handles[name]
            if where == market
        ]
        self._call(name, *calls)

    def when(self, name: str, kind: type[E], answer: Callable[[E], None]) -> None:
        """Let a strategy react to each event of a type, in which it may call verbs."""
        self._scripts[name].reacts.append((kind, answer))

    def derive(self, *events: Event) -> None:
        """Let an actor emit events of another one."""
        self._call(self.names[0], *events)

    def _handle(self, name: str, market: int) -> str:
        self._verbs += 1
        handle = f"{name}-{self._verbs}"
        self.handles[name].append((handle, market))
        return handle

    def _call(self, name: str, *events: Event) -> None:
        """Emit the events of a verb: at once, or, within a reaction, at its end."""
        script = self._scripts[name]
        at_ns = self.now_ns if script.running else self.tick()
        script.outbox += [replace(event, at_ns=at_ns) for event in events]
        if not script.running:
            self.send(EdgeChanged(at_ns, name, "call"))

    def hold(self, name: str, size: Number, price: Number = FEED_PRICE, *, market: int = 1) -> Rig:
        """Give a strategy a position, bought or sold at a price; return the rig."""
        amount = Decimal(size)
        self.order(name, BUY if amount > 0 else SELL, abs(amount), market=market)
        if self.real:
            order = self.newest(market)
            self.accept(order)
            self.fill(order, abs(amount), price)
        else:
            self.trade(price, market=market)
        return self

    # The operator and the account.

    def operate(self, command: str, target: str = "", detail: str = "") -> None:
        """Send an operator's command."""
        self.send(OperatorCommand(self.tick(), command, target, detail))

    def command(self, command: str, nonce: str = "", **members: Any) -> CommandAnswered:
        """Send an operator's request; return the last answer of its turn."""
        self.nonces += 1
        given = {"command": command, "nonce": nonce or f"n{self.nonces}", **members}
        recorded = command_of(parse_request(given), self.tick(), "rig")
        before = len(self.events(CommandAnswered))
        self.send(recorded)
        return self.events(CommandAnswered)[before:][-1]

    def outside(self, side: int, size: Number, price: Number, *, cause: str = "", market: int = 1) -> None:
        """Fill an order that does not come from this journal."""
        self.send(self._fill("", side, size, price, market, cause))

    def account_read(self) -> None:
        """End a reading of the account."""
        at_ns = self.tick()
        self.send(AccountRead(at_ns, at_ns, "rig", 2, "100000000", "100000000", 0, 0))
