"""The simulated venue of paper trading and backtests: an actor that takes commands and answers as a venue.

Owns the orders that have arrived, those on their way, and its own account. It refuses what the market's rules
refuse and is never kinder than the market data: see `arrival` (what is refused), `ticks` and `candles` (what
an order meets), `depth` (what there is to take), `fills`, `margin` and `funding`. These parts are logic
without state; they hold the venue. It knows nothing of targets, and of strategies only who sent an order.

Promises: an order, a change or a cancel arrives `latency_ms` after it was sent and meets the first market
event after that, never the one that caused it. With `[simulated]` the times of the venue count and reports
take time too (see `timing`), resting orders have a place in a queue (`queues`), and fees follow the volume
(`fees`). While it has no orders and no margin call is near, it does not
listen to trades and quotes.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from engine.actors.base import Actor, Emit, RoutesChanged, SetTimer, Turn, handles
from engine.actors.simulated import depth, seams
from engine.actors.simulated.account import Account
from engine.actors.simulated.arrival import Arrival
from engine.actors.simulated.candles import Candles
from engine.actors.simulated.fees import Fees
from engine.actors.simulated.fills import Fills
from engine.actors.simulated.funding import KEY, Funding
from engine.actors.simulated.margin import Margin
from engine.actors.simulated.queues import Place, Queues
from engine.actors.simulated.state import (
    At,
    DepthSide,
    Market,
    Path,
    Position,
    VenueOrder,
)
from engine.actors.simulated.ticks import Ticks
from engine.actors.simulated.timing import ANSWERS, Answer, Pending, Timing, report_due
from engine.clock import SECOND_NS
from engine.config import FEE_SCALE, AccountConfig, PaperConfig, SimulatedConfig
from engine.config.simulated import Refusal
from engine.events import (
    BarClosed,
    BookRead,
    CancelOrder,
    Candle,
    ClockJumped,
    ContextRead,
    Event,
    FeedDown,
    FundingRead,
    InstrumentListed,
    LeverageAnswered,
    ModifyOrder,
    OperatorCommand,
    PathReached,
    Quote,
    SetLeverage,
    SubmitOrder,
    TimerFired,
    Trade,
    TrailChanged,
)
from engine.instruments import Instruments, of_feed
from engine.values import InstrumentId, Size, parse_scaled

__all__ = ["DepthSide", "Market", "Path", "Position", "SimulatedVenue", "VenueOrder"]

MARK_AGE_NS_MAX = 60 * SECOND_NS
"""An older mark no longer counts: the data has stopped to have them."""


class SimulatedVenue(Actor):
    """State: orders on their way and commands by key; orders by instrument in order of arrival; what each
    market showed; the account; counters.

    `active`: it follows the market trade by trade; `idle_ns` is when it last stopped to. `path`: of the
    candle that is handled now. `trailed`: whose trails follow a market; in the state only while there are
    any.
    """

    WIRING = Actor.WIRING | {
        "latency_ns",
        "taker_fee",
        "maker_fee",
        "slippage_bps",
        "fill_on_touch",
        "liquidation_bps",
        "leverage_of",
        "cross",
        "account",
        "arrival",
        "fills",
        "ticks",
        "candles",
        "margin",
        "funding",
        "timing",
        "queue",
        "fees",
        "refusals",
        "beyond_bps",
        "seams",
    }
    in_transit: dict[str, VenueOrder]
    commands: dict[str, ModifyOrder | SetLeverage]
    orders: dict[InstrumentId, list[VenueOrder]]
    markets: dict[InstrumentId, Market]
    positions: dict[InstrumentId, Position]
    books: dict[InstrumentId, dict[str, Size]]
    leverages: dict[int, tuple[int, bool]]
    settled_ns: dict[int, int]
    sizes: dict[InstrumentId, list[tuple[int, dict[str, Size]]]]
    path: Path | None
    trailed: Mapping[InstrumentId, dict[str, None]] = MappingProxyType({})
    pending: list[Pending]
    answers: list[Answer]
    queues: dict[str, Place]
    volumes: dict[int, int]

    def __init__(
        self,
        paper: PaperConfig,
        config: AccountConfig,
        simulated: SimulatedConfig | None = None,
        seed: int = 1,
    ) -> None:
        super().__init__("venue")
        self.latency_ns = paper.latency_ms * 1_000_000
        self.taker_fee = paper.taker_fee
        self.maker_fee = paper.maker_fee
        self.slippage_bps = paper.slippage_bps
        self.fill_on_touch = paper.fill_on_touch
        self.liquidation_bps = paper.liquidation_bps
        self.leverage_of = config.leverage
        self.cross = config.margin == "cross"
        self.in_transit = {}
        self.commands = {}
        self.orders = {}
        self.markets = {}
        self.positions = {}
        self.books = {}
        self.leverages = {}
        self.settled_ns = {}
        self.sizes = {}
        self.path = None
        self.active = False
        self.idle_ns = 0
        self.now_ns = 0
        self.scale = 0
        self.cash = 0
        self.last_order_id = 0
        self.last_trade_id = 0
        self.called = False
        self.liquidations = 0
        self.account = Account(self)
        self.arrival = Arrival(self)
        self.fills = Fills(self)
        self.ticks = Ticks(self)
        self.candles = Candles(self)
        self.margin = Margin(self)
        self.funding = Funding(self)
        self.timing: Timing | None = None
        self.queue: Queues | None = None
        self.fees: Fees | None = None
        self.refusals: tuple[Refusal, ...] = ()
        self.beyond_bps: int | None = None
        self.seams: dict[str, int] = {}  # when the windows of strategies end
        if simulated is not None:
            self._configure(simulated, seed, paper.latency_ms)
        self.account.begin(config.cash)

    def _configure(self, simulated: SimulatedConfig, seed: int, order_ms: int) -> None:
        """Set what `[simulated]` has. Without it this state does not exist, and nothing of it is recorded."""
        self.timing = Timing(self, simulated, seed, order_ms)
        self.pending, self.answers = [], []
        self.refusals, self.beyond_bps = simulated.refused(), simulated.beyond()
        model = simulated.queue_model()
        if model.name != "through":
            self.queue, self.queues = Queues(self, model), {}
        if simulated.fee_tiers:
            self.fees, self.volumes = Fees(self, simulated), {}

    def bind(self, instruments: Instruments, turn: Turn) -> None:
        """See `Actor.bind`."""
        super().bind(instruments, turn)
        for listed in instruments.values():
            self.account.note_instrument(listed)

    def listens(self, event_type: type[Event]) -> bool:
        """Return whether events of a type are needed now.

        Trades and quotes only while there are orders or a margin call is near; quotes also until it is known
        which markets have them, and always with `[simulated]`, since an order joins the queue that is there.
        """
        if event_type is Trade:
            return self.active
        if event_type is OperatorCommand:
            return bool(self.seams)
        return self.active or self.timing is not None or event_type is not Quote or self._is_learning()

    def _is_learning(self) -> bool:
        return sum(1 for market in self.markets.values() if market.depth) < len(self.instruments)

    def _update(self, at_ns: int, emit: Emit, *, far: bool = False) -> None:
        """Begin or stop to follow the market. What it showed before an interruption is forgotten."""
        active = bool(self.orders or self.in_transit or self.seams) or (not far and self.margin.is_near())
        if active == self.active:
            return
        self.active = active
        if not active:
            self.idle_ns = at_ns
        elif at_ns > self.idle_ns:
            self._forget_unfollowed()
        emit(RoutesChanged())

    def _forget(self, numbers: list[int] | None = None) -> None:
        for number, market in self.markets.items():
            if not market.candles and (numbers is None or number in numbers):
                depth.forget(market)

    def _forget_unfollowed(self) -> None:
        """Forget what may have changed unseen: with `[simulated]` the last trade, else all."""
        if self.timing is None:
            self._forget()
        for market in self.markets.values():
            market.priced = market.priced and market.candles

    # What the parts use.

    def follows(self, at_ns: int) -> bool:
        """Return whether the market has been followed up to now, so that what it showed last counts."""
        return self.active or at_ns <= self.idle_ns

    def market(self, instrument: int) -> Market:
        """Return what is known of a market."""
        market = self.markets.get(instrument)
        if market is None:
            market = self.markets[instrument] = Market()
        return market

    def fee_rate(self, instrument: int, liquidity: str) -> int:
        """Return the rate of a "taker" or a "maker": the configured one, else that of the market."""
        if self.fees is not None:
            return self.fees.rate(liquidity)
        rules = self.instruments[instrument].rules
        if liquidity == "taker":
            return parse_scaled(self.taker_fee or rules.taker_fee, FEE_SCALE, signed=True)
        return parse_scaled(self.maker_fee or rules.maker_fee, FEE_SCALE, signed=True)

    def mark_is_fresh(self, market: Market) -> bool:
        """Return whether the data has had a mark of this market lately."""
        return bool(market.mark) and self.now_ns - market.mark_ns <= MARK_AGE_NS_MAX

    def find(self, client_order_id: str) -> VenueOrder | None:
        """Return an order that has arrived and has not ended."""
        for orders in self.orders.values():
            for order in orders:
                if order.client_order_id == client_order_id:
                    return order
        return None

    def next_order_id(self) -> int:
        """Return a new order id."""
        self.last_order_id += 1
        return self.last_order_id

    # Commands: in transit, then arrived.

    @handles(SubmitOrder)
    def receive_order(self, order: SubmitOrder, emit: Emit) -> None:
        """Put an order in transit; a stop that is sent along the path of a candle arrives at once."""
        terms = order.terms
        assert terms.trigger or not terms.parent, "an attached order must have a trigger"
        received = VenueOrder.of(order, self.turn.seq)
        if seams.is_exit(self, order):
            seams.close_at_seam(self, received, order.at_ns, emit)
        elif self.candles.joins(received, order.at_ns):
            self.candles.join(received, emit)
        else:
            self.in_transit[order.client_order_id] = received
            self._send(f"order {order.client_order_id}", order.client_order_id, order.at_ns, emit)
        self._update(order.at_ns, emit)

    @handles(CancelOrder)
    def receive_cancel(self, cancel: CancelOrder, emit: Emit) -> None:
        """Put a cancel in transit."""
        if self.seams and seams.cancels(self, cancel, emit):
            return
        self._send(f"cancel {cancel.client_order_id}", cancel.client_order_id, cancel.at_ns, emit)

    @handles(OperatorCommand)
    def end_piece(self, command: OperatorCommand, emit: Emit) -> None:
        """Let arrive at a seam what is on its way."""
        seams.settle(self, command, emit)

    @handles(ModifyOrder, SetLeverage)
    def receive_command(self, command: ModifyOrder | SetLeverage, emit: Emit) -> None:
        """Put a change of an order or of a setting in transit."""
        key = f"command {self.turn.seq}"
        self.commands[key] = command
        self._send(key, getattr(command, "client_order_id", ""), command.at_ns, emit)

    def _send(self, key: str, client_order_id: str, at_ns: int, emit: Emit) -> None:
        """Put a command on its way."""
        if self.timing is not None:
            self.timing.send(key, client_order_id, at_ns, emit)
        else:
            emit(SetTimer(self.name, at_ns + self.latency_ns, key))

    @handles(TimerFired)
    def arrive(self, timer: TimerFired, emit: Emit) -> None:
        """Apply what arrives now, report what is due, or settle funding."""
        self.now_ns = timer.at_ns
        if timer.key == KEY:
            self.funding.settle(timer.at_ns, emit)
            self.margin.check(self._at(timer.at_ns, emit))
        elif timer.key == ANSWERS:
            report_due(self, timer.at_ns, emit)
        elif self.timing is None:
            self.apply(timer.key, At(timer.at_ns, timer.at_ns, emit))
        else:
            self.timing.arrive(timer.key, timer.at_ns, emit)
        self._update(timer.at_ns, emit)

    def apply(self, key: str, at: At) -> None:
        """Apply a command that arrives now, unless it has arrived."""
        what, _, client_order_id = key.partition(" ")
        if what == "order":
            sent = self.in_transit.pop(client_order_id, None)
            if sent is not None:
                self.arrival.accept(sent, at)
        elif what == "cancel":
            order = self.find(client_order_id)
            if order is not None:
                self.fills.end(order, "canceled", at)
        else:
            command = self.commands.pop(key, None)
            if isinstance(command, ModifyOrder):
                self.arrival.change(command, at)
            elif command is not None:
                self._set_leverage(command, at)

    def _set_leverage(self, command: SetLeverage, at: At) -> None:
        highest = self.instruments[command.instrument].rules.leverage_max
        reason = "" if 1 <= command.leverage <= highest else "Invalid leverage value"
        held = command.instrument in self.positions
        if not reason and held and command.cross == self.margin.is_isolated(command.instrument):
            reason = "Cannot switch leverage type with open position."
        if not reason:
            self.leverages[command.instrument] = (command.leverage, command.cross)
        at.emit(
            LeverageAnswered(
                at.recv_ns, command.instrument, command.leverage, command.cross, not reason, reason
            )
        )

    # The market.

    def _at(self, at_ns: int, emit: Emit) -> At:
        """Return now, for what has no time of the venue."""
        return At(at_ns, at_ns, emit) if self.timing is None else self.timing.at(at_ns, at_ns, emit)

    def _happens(self, recv_ns: int, venue_ns: int, emit: Emit) -> At:
        """Return when something of the market happens, after the commands that arrived before it."""
        if self.timing is None:
            return At(recv_ns, venue_ns, emit)
        return self.timing.market(recv_ns, venue_ns, emit)

    @handles(InstrumentListed)
    def note_instrument(self, listed: InstrumentListed, emit: Emit) -> None:
        """Make money fine enough for a market, and learn what its data has."""
        self.account.note_instrument(listed)
        emit(RoutesChanged())

    @handles(Trade)
    def match_trade(self, trade: Trade, emit: Emit) -> None:
        """Match the orders against a trade."""
        self.now_ns = trade.recv_ns
        at = self._happens(trade.recv_ns, trade.venue_ns, emit)
        market = self.market(trade.instrument)
        market.last, market.traded, market.candles = trade.price, True, False
        market.priced = True
        met = self.ticks.meet(trade.instrument, at, trade)
        self._after(trade.instrument, at, met=met)

    @handles(Quote)
    def match_quote(self, quote: Quote, emit: Emit) -> None:
        """Match the orders against the best bid and ask."""
        self.now_ns = quote.recv_ns
        at = self._happens(quote.recv_ns, quote.venue_ns, emit)
        market = self.market(quote.instrument)
        self._learn(market, emit)
        depth.show_quote(market, quote, by_level=self.timing is not None)
        if self.queue is not None:
            self.queue.show(quote.instrument, at, best_only=market.depth == "book")
        met = self.ticks.meet(quote.instrument, at)
        self._after(quote.instrument, at, met=met)

    @handles(BookRead)
    def match_book(self, book: BookRead, emit: Emit) -> None:
        """Match the orders against a book. Without any, note only that the data has books."""
        self.now_ns = book.recv_ns
        market = self.market(book.instrument)
        self._learn(market, emit)
        if not self.active and self.timing is None:
            market.depth, market.live = "book", False
            return
        at = self._happens(book.recv_ns, book.venue_ns, emit)
        depth.show_book(market, book, by_level=self.timing is not None)
        if self.queue is not None:
            self.queue.show(book.instrument, at, best_only=False)
        met = self.ticks.meet(book.instrument, at)
        self._after(book.instrument, at, met=met)

    @handles(ContextRead)
    def note_context(self, context: ContextRead, emit: Emit) -> None:
        """Take over mark, oracle price and funding rate; the mark fires stops."""
        self.now_ns = context.recv_ns
        self.funding.note_context(context, emit)
        at = self._at(context.recv_ns, emit)
        met = context.mark is not None and self.ticks.mark(context.instrument, at)
        self._after(context.instrument, at, met=met)

    @handles(FundingRead)
    def note_funding(self, read: FundingRead, emit: Emit) -> None:
        """Settle funding with a rate of the venue's history."""
        self.now_ns = read.recv_ns
        self.funding.read(read, emit)
        self._after(read.instrument, self._at(read.recv_ns, emit))

    @handles(Candle)
    def lead(self, candle: Candle, emit: Emit) -> None:
        """Lead the books along a candle."""
        self.now_ns = candle.recv_ns
        if self.timing is not None:
            self.timing.market(candle.recv_ns, candle.venue_ns, emit)
            self.timing.flush(candle.recv_ns, emit)
        self.candles.begin(candle, emit)

    @handles(PathReached)
    def follow(self, reached: PathReached, emit: Emit) -> None:
        """Match the orders of a book at the price it has been led to."""
        self.candles.reach(reached, emit)
        self._update(reached.at_ns, emit)

    @handles(TrailChanged)
    def note_trail(self, trail: TrailChanged, emit: Emit) -> None:
        """Note which books have a trail, which follows the path of candles."""
        trailed = {number: dict(owners) for number, owners in self.trailed.items()}
        owners = trailed.pop(trail.instrument, {})
        owners.pop(trail.strategy, None)
        if trail.state not in ("fired", "dropped"):
            owners[trail.strategy] = None
        if owners:
            trailed[trail.instrument] = owners
        vars(self).pop("trailed", None)
        if trailed:
            self.trailed = trailed

    def passed(self, at_ns: int, emit: Emit, *, far: bool) -> None:
        """Note that a candle passed that nothing came of. `far`: no margin call is near at its prices."""
        self._update(at_ns, emit, far=far)

    @handles(BarClosed)
    def note_bar(self, bar: BarClosed, emit: Emit) -> None:
        """End the path of a candle. While trades are not followed, look at the account at the bar's ends."""
        self.now_ns = bar.at_ns
        self.candles.end()
        market = self.market(bar.instrument)
        if self.active or market.candles or bar.instrument not in self.positions:
            return
        at = self._at(bar.at_ns, emit)
        for price in (bar.low, bar.high, bar.close):
            market.last = price
            self.margin.check(at)
        self._update(bar.at_ns, emit)

    @handles(FeedDown, ClockJumped)
    def forget_depth(self, event: FeedDown | ClockJumped, emit: Emit) -> None:
        """Forget what was shown: it may change unseen."""
        numbers = of_feed(event.feed, self.instruments) if isinstance(event, FeedDown) else None
        self._forget(numbers)

    def _learn(self, market: Market, emit: Emit) -> None:
        if not market.depth:
            emit(RoutesChanged())

    def _after(self, instrument: int, at: At, *, met: bool = False) -> None:
        """Look at the account after a change of price, or once orders have been met, which may have closed
        the position with a loss."""
        if met or instrument in self.positions:
            self.margin.check(at)
        self._update(at.recv_ns, at.emit)
