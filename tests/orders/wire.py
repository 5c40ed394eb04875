"""Random sessions with real orders: the plain exchange, reached over a wire that loses, delays and doubles.

`RealRun` plays a plan as `paper.Run` does, with real orders. Trades and quotes also move the exchange.
The plan's number and a count decide what the wire does to a command or a report, so that a shortened plan
keeps most of it. Readings are true, as a gateway's are: they report all fills first.
"""

from __future__ import annotations

from fractions import Fraction
from random import Random

import msgspec

from engine.config import Config
from engine.events import (
    COMMANDS,
    AccountRead,
    CancelOrder,
    Event,
    ForeignOrderSeen,
    GatewayDown,
    GatewayUp,
    ModifyOrder,
    OrderAccepted,
    OrderFilled,
    OrderUnknown,
    PositionChanged,
    PositionRead,
    QueryAccount,
    QueryOrder,
    Quote,
    SubmitOrder,
    Trade,
    TransferSeen,
)
from tests.orders.exchange import Exchange
from tests.orders.paper import Run
from tests.orders.real import ACCOUNT, real_config
from tests.orders.sequences import NAMES, Plan, Step
from tests.orders.session import MS

__all__ = ["RealRun"]


class RealRun(Run):
    """The session of a plan with real orders."""

    mode = "live"

    def __init__(self, plan: Plan) -> None:
        self.exchange = Exchange(Fraction(plan.settings.cash))
        self.late: list[tuple[int, Event]] = []
        self.lost: list[OrderFilled] = []  # fills that no report told of yet
        self.coming: list[tuple[int, ModifyOrder]] = []  # changes that arrive later
        self.connected = False
        self.calm = False
        self.drawn = 0
        self._frames = 0
        self._reporting = False
        super().__init__(plan)
        self._connect()

    def make_config(self, scripts: dict[str, str]) -> Config:
        """See `Session`."""
        return real_config(super().make_config(scripts))

    def play(self) -> RealRun:
        """See `Run`. The wire is in order during the calm end."""
        begin_calm = len(self.plan.steps) - self.plan.calm
        self.due_ns = self.begin_ns
        for index, step in enumerate(self.plan.steps):
            if index == begin_calm:
                self.calm = True
                self._connect()
            self._step(step)
        self.stop()
        return self

    def _step(self, step: Step) -> None:
        self.due_ns += step.after_ms * MS
        self._pass_time(max(0, self.due_ns - self.now_ns))
        if step.kind in ("restart", "kill"):
            self.connected = False
            self.restart(after_s=0, orderly=step.kind == "restart")
            self._connect()
        elif step.kind == "venue":
            self._venue(step)
        elif step.kind != "call":
            event = self.event_of(step)
            self._move(event)
            self.send(event)

    def _pass_time(self, span_ns: int) -> None:
        """Let time pass, with late reports on the way."""
        until_ns = self.now_ns + span_ns
        for due_ns, change in [one for one in self.coming if one[0] <= until_ns]:
            self.coming.remove((due_ns, change))
            self.exchange.now_ns = max(self.now_ns, due_ns)
            fills = [one for one in self.exchange.modify(change) if isinstance(one, OrderFilled)]
            self.late += [(self.exchange.now_ns + MS, fill) for fill in fills]
        while self.late and min(self.late, key=_due)[0] <= until_ns:
            first = min(self.late, key=_due)
            self.late.remove(first)
            self.now_ns = max(self.now_ns, first[0])
            self.send(_arriving(first[1], self.now_ns))
        self.now_ns = until_ns

    def _move(self, event: Event) -> None:
        """The market moves the exchange: its reports arrive after the event."""
        self.exchange.now_ns = self.now_ns
        if isinstance(event, Trade):
            self._report(self.exchange.move(event.instrument, event.price, event.size))
        elif isinstance(event, Quote) and event.bid and event.ask:
            self._report(self.exchange.move(event.instrument, (event.bid + event.ask) // 2, event.bid_size))

    def _venue(self, step: Step) -> None:
        """Something happens at the venue that nobody here ordered."""
        kind, *values = step.values
        self.exchange.now_ns = self.now_ns
        if kind == "others" and step.market in self.exchange.prices:
            self._report(self.exchange.others(step.market, *values))
        elif kind == "liquidate":
            held = self.exchange.positions.get(step.market, 0)
            if held:
                side = -1 if held > 0 else 1
                self._report(self.exchange.others(step.market, side, abs(held), "liquidation"))
        elif kind == "person":
            opened = self.exchange.open_orders()
            if opened:
                self._report(self.exchange.end(opened[values[0] % len(opened)], "canceled"))
        elif kind == "down":
            self.connected = False
            self.send(GatewayDown(self.now_ns, "sim", "test"))
        elif kind == "up":
            self._connect()
        elif kind == "transfer":
            amount = values[0] * 10**6
            self.exchange.cash += values[0]
            name = f"t{self.now_ns}"
            self.send(TransferSeen(self.now_ns, self.now_ns, 6, amount, "", "deposit", name))

    # The wire.

    def _chance(self) -> Random:
        """Return a source of decisions that depends on the plan and on how many were taken."""
        self.drawn += 1
        return Random(self.plan.number * 100_003 + self.drawn)

    def _report(self, reports: list[Event]) -> None:
        """Send reports: at once, late, twice, or, while the stream is down, not at all."""
        for report in reports:
            chance = self._chance()
            fate = 0.0 if self.calm else chance.random()
            if not self.connected or (isinstance(report, OrderFilled) and 0 < fate < 0.04):
                if isinstance(report, OrderFilled):
                    self.lost.append(report)
            elif fate > 0.9:
                self.late.append((self.now_ns + chance.choice((1, 40, 900, 4000)) * MS, report))
            else:
                self.late.append((self.now_ns + 2 * MS, report))
                if isinstance(report, OrderFilled) and fate > 0.85:
                    self.late.append((self.now_ns + 30 * MS, report))
                if isinstance(report, OrderAccepted) and fate > 0.8:
                    # The fill may be reported before the acceptance.
                    self.late[-1] = (self.now_ns + 20 * MS, report)

    def after_send(self) -> None:
        """Take the commands recorded since."""
        commands = [
            event
            for _, _, _, derived in self.memory.frames[self._frames :]
            for _, _, event in derived
            if isinstance(event, COMMANDS)
        ]
        self._frames = len(self.memory.frames)
        self.exchange.now_ns = self.now_ns
        for command in commands:
            self._take(command)

    def _take(self, command: Event) -> None:
        chance = self._chance()
        fate = 1.0 if self.calm else chance.random()
        exchange = self.exchange
        if isinstance(command, QueryOrder):
            if fate > 0.2:
                self._answer(command)
        elif isinstance(command, QueryAccount):
            if self.connected:
                self._read()
        elif isinstance(command, SubmitOrder):
            if fate < 0.03:  # it never arrives
                self._unknown(command.client_order_id)
                return
            reports = exchange.submit(command)
            if fate < 0.08:  # the answer is lost
                self.lost += [one for one in reports if isinstance(one, OrderFilled)]
                self._unknown(command.client_order_id)
                return
            self._report(reports)
        elif isinstance(command, CancelOrder):
            if fate < 0.03:
                return
            reports = exchange.cancel(command)
            if fate < 0.06:
                self._unknown(command.client_order_id)
                return
            self._report(reports)
        elif isinstance(command, ModifyOrder):
            if fate < 0.03:
                self._unknown(command.client_order_id)
                return
            if fate < 0.3:  # it arrives later, and its answer is lost
                self._unknown(command.client_order_id)
                due_ns = self.now_ns + chance.choice((50, 900, 4000, 9000)) * MS
                if due_ns <= command.expires_ns:
                    self.coming.append((due_ns, command))
                return
            self._report(exchange.modify(command))

    def _unknown(self, name: str) -> None:
        self.late.append((self.now_ns + 5 * MS, OrderUnknown(self.now_ns, name, "no response")))

    def _answer(self, query: QueryOrder) -> None:
        """Answer a query after everything that is not reported yet."""
        read = self.exchange.read(query.client_order_id, query.instrument)
        self._flush()
        self.late.append((self.now_ns + 3 * MS, read))

    def _flush(self) -> None:
        """Report what was lost and what is late, ahead of a reading."""
        fills, self.lost = self.lost, []
        waiting = [report for _, report in sorted(self.late, key=_due)]
        waiting += fills
        self.late = [(self.now_ns + 1 * MS, report) for report in waiting]

    def _connect(self) -> None:
        self.connected = True
        self.send(GatewayUp(self.now_ns, "sim", ACCOUNT, "sandbox"))
        self._read()

    def _read(self) -> None:
        """Read the account: fills, live orders, positions, equity."""
        self.exchange.now_ns = self.now_ns
        self._flush()
        exchange = self.exchange
        unknown = self.live()
        reads: list[Event] = [exchange.read(name, 1) for name in unknown]
        for order in exchange.open_orders():
            if order.name not in unknown and order.name not in self.submitted_names():
                foreign = ForeignOrderSeen(
                    self.now_ns,
                    self.now_ns,
                    order.market,
                    order.number,
                    order.name,
                    order.terms.side,
                    order.left,
                    order.limit,
                )
                reads.append(foreign)
        for market in NAMES:
            held = exchange.positions.get(market, 0)
            reads.append(PositionRead(self.now_ns, self.now_ns, market, held, 6, 0))
        money = int(exchange.equity() * 10**6)
        opened = len(exchange.open_orders())
        reads.append(AccountRead(self.now_ns, self.now_ns, "sim", 6, money, money, opened, 0))
        self.late += [(self.now_ns + 4 * MS, read) for read in reads]

    def held(self, market: int) -> int:
        """Return the sum of the recorded books of a market, in steps."""
        newest: dict[str, int] = {}
        for changed in self.memory.events(PositionChanged):
            if changed.instrument == market:
                newest[changed.strategy] = changed.size
        return sum(newest.values())

    def submitted_names(self) -> set[str]:
        """Return the ids of all orders that were recorded."""
        return {one.client_order_id for one in self.memory.events(SubmitOrder)}


def _due(entry: tuple[int, Event]) -> int:
    return entry[0]


def _arriving(report: Event, now_ns: int) -> Event:
    """Return a report as it arrives: with the time of receipt."""
    return msgspec.structs.replace(report, recv_ns=now_ns)  # type: ignore[call-arg]
