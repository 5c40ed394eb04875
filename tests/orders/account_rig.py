"""A session with real orders in one process, at a venue that answers only what a test says.

All actors of a live session run behind the real sequencer. The test reports what the venue does: it accepts,
fills, cancels, rejects, loses an answer, shows a position. Prices and sizes of a test are decimal numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from engine.clock import SECOND_NS
from engine.config import BarsConfig, Config, RiskConfig, StrategyConfig, VenueConfig
from engine.events import (
    AccountRead,
    CancelOrder,
    ClockAdvanced,
    Event,
    FeedUp,
    FillBooked,
    InstrumentListed,
    OperatorCommand,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderModified,
    OrderRead,
    OrderRejected,
    OrderUnknown,
    PositionRead,
    Quote,
    SubmitOrder,
    Trade,
)
from engine.events.codec import Derived, Record, in_order
from engine.sequencer import Sequencer
from engine.session import SessionBuilder
from engine.strategies import Strategy, Tick
from engine.values import BUY, SELL

__all__ = ["SECOND", "AccountRig", "Scriptable"]

SECOND = SECOND_NS
NOON = 1_733_400_000 * SECOND_NS
PRICE, SIZE = 100, 10_000  # the scales of the market: 2 and 4 decimals

E = TypeVar("E", bound=Event)

_calls: dict[str, list[Callable[[Any], None]]] = {}


class Scriptable(Strategy):
    """Does in its next hook what the test says, under the name `label`."""

    label: str = ""

    def on_start(self) -> None:
        self.answers: list[Any] = []

    def on_trade(self, trade: Tick) -> None:
        for call in _calls.pop(self.label, []):
            self.answers.append(call(self))


class AccountRig:
    """One market, BTC, and strategies by name. `now_ns` moves with every input."""

    def __init__(self, *names: str, risk: RiskConfig | None = None, **venue: Any) -> None:
        names = names or ("S",)
        uses = tuple(
            StrategyConfig(use="tests.orders.account_rig:Scriptable", name=name, params={"label": name})
            for name in names
        )
        self.config = Config(
            mode="live",
            strategies=uses,
            bars=BarsConfig(intervals=("1m",)),
            risk=risk or RiskConfig(),
            venue=VenueConfig(network="sandbox", account="0x" + "11" * 20, **venue),
        )
        self.records: list[Record] = []
        self.now_ns = NOON
        self.trade_ids = 0
        self.last = 100.0
        self.builder = SessionBuilder(lambda _: Scriptable, "test", "0")
        self.sequencer = Sequencer(self.builder, self)
        self.listed = InstrumentListed(NOON, 1, "hyperliquid", "BTC", 2, 4)
        self.begin("00000000000000aa")

    # The sink of the sequencer.

    def append(self, first_seq: int, inputs: list[Event], derived: list[Derived]) -> None:
        self.records += in_order(first_seq, inputs, derived)

    def open_day(self, day: str) -> None:
        pass

    # Sessions.

    def begin(self, session: str) -> None:
        """Begin a session, with a flat account and fresh prices."""
        started = self.builder.start(recv_ns=self.now_ns, session=session, mode="live", config=self.config)
        self.send(started)
        if not self.sequencer.instruments:
            self.send(self.listed)
        self.send(FeedUp(self.now_ns, "feed", 1))

    def restart(self, session: str = "00000000000000bb") -> None:
        """Begin another session in the same process: what was under way is asked about."""
        self.begin(session)

    def send(self, *events: Event) -> None:
        """Send inputs."""
        self.sequencer.run(list(events))

    def wait(self, seconds: float) -> None:
        """Let time pass: due timers fire."""
        self.now_ns += int(seconds * SECOND)
        self.send(ClockAdvanced(self.now_ns))

    # The market.

    def trade(self, price: float, size: float = 100) -> None:
        """Send a trade, a millisecond later."""
        self.now_ns += 1_000_000
        self.last = price
        self.send(Trade(self.now_ns, self.now_ns, 1, round(price * PRICE), round(size * SIZE), BUY))

    def quote(self, bid: float, ask: float, size: float = 100) -> None:
        """Send the best bid and ask."""
        self.now_ns += 1_000_000
        steps = round(size * SIZE)
        self.send(Quote(self.now_ns, self.now_ns, 1, round(bid * PRICE), steps, round(ask * PRICE), steps))

    def call(self, todo: Callable[[Any], Any], name: str = "S") -> Any:
        """Call verbs inside a hook of a strategy, on a trade at the last price; return the last answer."""
        _calls.setdefault(name, []).append(todo)
        self.trade(self.last)
        strategy = self.sequencer.actor(name).strategy  # type: ignore[attr-defined]
        return strategy.answers[-1]

    # The venue.

    def account(self, equity: float = 1000) -> None:
        """Report that the account has been read."""
        self.now_ns += 1_000_000
        money = round(equity * 10**6)
        self.send(AccountRead(self.now_ns, self.now_ns, "gateway", 6, money, money, 0, 0))

    def position(self, size: float, entry: float = 0) -> None:
        """Report a position of the account, and then that it has been read."""
        self.now_ns += 1_000_000
        self.send(PositionRead(self.now_ns, self.now_ns, 1, round(size * SIZE), 2, round(entry * PRICE)))

    def accept(self, order: Any) -> None:
        """Accept an order."""
        self.now_ns += 1_000_000
        self.send(OrderAccepted(self.now_ns, self.now_ns, order.client_order_id, len(self.records)))

    def fill(self, order: Any, price: float, size: float | None = None) -> None:
        """Fill an order, wholly if no size is given."""
        self.now_ns += 1_000_000
        self.trade_ids += 1
        steps = order.terms.size if size is None else round(size * SIZE)
        self.send(
            OrderFilled(
                self.now_ns,
                self.now_ns,
                order.client_order_id,
                1,
                order.terms.side,
                round(price * PRICE),
                steps,
                0,
                "taker",
                self.trade_ids,
            )
        )

    def foreign(self, side: str, size: float, price: float, cause: str = "") -> None:
        """Fill an order that somebody else placed on the account."""
        self.now_ns += 1_000_000
        self.trade_ids += 1
        sign = BUY if side == "buy" else SELL
        self.send(
            OrderFilled(
                self.now_ns,
                self.now_ns,
                "",
                1,
                sign,
                round(price * PRICE),
                round(size * SIZE),
                0,
                "taker",
                self.trade_ids,
                cause=cause,
            )
        )

    def end(self, order: Any, reason: str = "canceled", left: float | None = None) -> None:
        """Cancel an order at the venue."""
        self.now_ns += 1_000_000
        steps = order.terms.size if left is None else round(left * SIZE)
        self.send(OrderCanceled(self.now_ns, self.now_ns, order.client_order_id, 1, steps, reason))

    def reject(self, order: Any, reason: str = "rejected") -> None:
        """Reject an order."""
        self.now_ns += 1_000_000
        self.send(OrderRejected(self.now_ns, self.now_ns, order.client_order_id, reason))

    def modified(self, order: Any, size: float, limit: float) -> None:
        """Confirm a change of an order."""
        self.now_ns += 1_000_000
        steps, price = round(size * SIZE), round(limit * PRICE)
        self.send(
            OrderModified(
                self.now_ns, self.now_ns, order.client_order_id, 1, self.now_ns % 10**9, steps, price
            )
        )

    def lose(self, order: Any) -> None:
        """Lose the answer to an order."""
        self.now_ns += 1_000_000
        self.send(OrderUnknown(self.now_ns, order.client_order_id, "no answer"))

    def read(self, order: Any, state: str, size: float = 0, *, triggered: bool = False) -> None:
        """Answer the query of an order."""
        self.now_ns += 1_000_000
        self.send(
            OrderRead(
                self.now_ns,
                self.now_ns,
                order.client_order_id,
                1,
                state,
                size=round(size * SIZE),
                triggered=triggered,
            )
        )

    def operate(self, command: str, target: str = "") -> None:
        """Send an operator's command."""
        self.now_ns += 1_000_000
        self.send(OperatorCommand(self.now_ns, command, target))

    # What came of it.

    def all(self, kind: type[E]) -> list[E]:
        """Return the records of a type, oldest first."""
        return [event for _, _, event in self.records if isinstance(event, kind)]

    @property
    def orders(self) -> list[SubmitOrder]:
        """Every order that was sent."""
        return self.all(SubmitOrder)

    @property
    def order(self) -> SubmitOrder:
        """The newest order that was sent."""
        return self.orders[-1]

    @property
    def canceled(self) -> list[str]:
        """The ids of the orders whose cancel was sent."""
        return [one.client_order_id for one in self.all(CancelOrder)]

    def book(self, owner: str = "S") -> float:
        """Return the size of a book: the sum of what was booked."""
        booked = [one for one in self.all(FillBooked) if one.owner == owner]
        return sum(one.side * one.size for one in booked) / SIZE

    def shown(self) -> list[str]:
        """Return what was sent since the start, one line each: side, size, limit, role, purpose."""
        lines = []
        for order in self.orders:
            terms = order.terms
            side = "buy" if terms.side == BUY else "sell"
            lines.append(f"{side} {terms.size / SIZE:g} {terms.role} {terms.purpose}")
        return lines
