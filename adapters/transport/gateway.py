"""Real orders: sends durable commands, reports their outcome, and reads the account again and again.

What is the same for every venue whose account has a stream of its own. Only reports: the execution actor
decides which orders are Unknown and what an answer proves (decision 0012). Promises: each command is carried
out once and leads to a report, at least `OrderUnknown`, or to the venue's own; commands of one order follow
each other; every fill, payment and transfer is reported once, and a fill before the end of its order where
that can be known; after every connection, every `reconcile_s`, and when asked, orders, fills, payments and
positions are read again. A reading that fails is repeated, never taken for a flat account. `recv_ns` of the
reports never goes back.

    release -> jobs -> carry out -> reports
    stream  -> reports
    stream up -> read orders, fills, positions -> reports, PositionRead ..., AccountRead

Called by the runtime: `release` from the committer, `run` as a supervised edge. A venue's gateway derives
from it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Protocol

import trio

from adapters.transport.connection import Loss
from adapters.transport.gateway_health import GatewayHealth
from adapters.transport.governor import Priority
from adapters.transport.reconciling import ReadsAccount, Reconciling
from adapters.transport.reports import Reports
from engine.errors import EngineError, VenueError
from engine.events import (
    CancelOrder,
    Event,
    FundingPaid,
    GatewayDown,
    GatewayUp,
    ModifyOrder,
    OrderFilled,
    OrderUnknown,
    QueryAccount,
    QueryOrder,
    ScheduleCancel,
    SubmitOrder,
    TransferSeen,
)
from engine.events.codec import Derived
from engine.events.terms import CLOSE
from engine.ports import Clock

__all__ = ["RECONCILE_S", "AccountGateway", "AccountReader", "AccountStream", "in_order", "priority_of"]

RECONCILE_S: Final = 60.0
FILLS_LATE_S: Final = 2.0
"""How long the end of an order waits for its missing fills before they are read over HTTP."""

CLOSE_S: Final = 1.0
JOBS_MAX: Final = 10_000
"""Upper bound on commands waiting or under way. Beyond it a strategy is in a loop, and the gateway fails."""

LANE_MAX: Final = 16
"""Commands of one kind under way at a time: openings, cancels with exits, queries."""


class AccountStream(Protocol):
    """The account's stream: one connection at a time. `live`: it is up."""

    live: bool

    async def run(self) -> None:
        """Keep the connection up until cancelled."""
        ...


class AccountReader(ReadsAccount, Protocol):
    """Reads the account over HTTP. Every method raises VenueError."""

    async def query(self, query: QueryOrder) -> list[Event]:
        """Return the state of an order, its fills first."""
        ...

    async def fills(self) -> list[OrderFilled]:
        """Return the fills since the last known, oldest first."""
        ...


class AccountGateway(Reconciling):
    """One account. `send` takes a batch of inputs and may wait. `user` and `network` name the account."""

    _stream: AccountStream
    _reconciler: AccountReader
    _reports: Reports

    def __init__(
        self,
        name: str,
        network: str,
        user: str,
        clock: Clock,
        send: Callable[[list[Event]], Awaitable[None]],
        reconcile_s: float = RECONCILE_S,
    ) -> None:
        self.name = name
        self.health = GatewayHealth()
        self._network = network
        self._user = user
        self._clock = clock
        self._send_inputs = send
        self._reconcile_s = reconcile_s
        self._jobs_in, self._jobs = trio.open_memory_channel[Event](JOBS_MAX)
        self._jobs_open = 0
        self._overflow = trio.Event()
        self._lanes = [trio.CapacityLimiter(LANE_MAX) for _ in range(3)]
        self._busy: dict[str, trio.Event] = {}  # client ids of commands under way
        self._emitting = trio.Lock()
        self._last_ns = 0
        self._is_up = False
        self._wanted = trio.Event()

    # ---- implemented by a venue

    @abstractmethod
    async def _carry_out(self, command: Event) -> Sequence[Event]:
        """Send a command's request once; return its reports."""

    @abstractmethod
    async def _close(self) -> None:
        """Close the connections of requests."""

    def _settled(self, name: str, read: Event) -> None:
        """Note what a query has shown of how an order goes on."""

    # ---- the same for all

    # Effects.

    def release(self, durable_seq: int, commands: Iterable[Derived]) -> None:
        """Take durable commands; they are sent by `run`. See `engine.ports.Effects`."""
        released = list(commands)
        assert all(seq <= durable_seq for seq, _, _ in released), "a command before it was durable"
        for command in in_order(command for _, _, command in released):
            if self._jobs_open >= JOBS_MAX:
                # This command gets no answer; the execution actor queries the order later.
                self._overflow.set()
                continue
            self._jobs_open += 1
            self.health.jobs_high = max(self.health.jobs_high, self._jobs_open)
            self._jobs_in.send_nowait(command)

    async def run(self) -> None:
        """Work until cancelled. May be called again after it raised."""
        if self._is_up:
            await self.stream_down(Loss("the gateway was restarted"), 0)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._stream.run)
                nursery.start_soon(self._reconcile_again)
                nursery.start_soon(self._watch_ends)
                nursery.start_soon(self._fail_on_overflow)
                async for command in self._jobs:
                    nursery.start_soon(self._do, command, *self._claim(command))
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(CLOSE_S):
                await self._close()

    async def _fail_on_overflow(self) -> None:
        await self._overflow.wait()
        self._overflow = trio.Event()
        raise EngineError(f"{self.name}: {JOBS_MAX} commands wait to be sent; a strategy may be in a loop")

    # Commands.

    def _claim(self, command: Event) -> tuple[trio.Event | None, trio.Event]:
        """Return the event of an earlier command for the same order, which is waited for, and its own."""
        done = trio.Event()
        name = _client_id(command)
        before = self._busy.get(name) if name else None
        if name:
            self._busy[name] = done
        return before, done

    async def _do(self, command: Event, before: trio.Event | None, done: trio.Event) -> None:
        """Carry out one command after earlier ones for the same order, and report its outcome."""
        name = _client_id(command)
        try:
            if isinstance(command, QueryAccount):
                return self._wanted.set()
            if before is not None:
                await before.wait()
            query = isinstance(command, QueryOrder)
            async with self._lanes[2 if query else priority_of(command) < Priority.ORDER]:
                if isinstance(command, QueryOrder):
                    await self._query(command)
                else:
                    await self._emit(await self._carry_out(command))
        finally:
            self._jobs_open -= 1
            done.set()
            if name and self._busy.get(name) is done:
                del self._busy[name]

    async def _query(self, command: QueryOrder) -> None:
        """Query one order. If that fails it stays Unknown, and the execution actor queries it again."""
        self.health.queries += 1
        name = command.client_order_id
        try:
            events = await self._reconciler.query(command)
            for read in events[-1:]:
                self._settled(name, read)
        except VenueError as error:
            self.health.reads_failed += 1
            events = [OrderUnknown(self._now_ns(), name, f"the question failed: {error}")]
        await self._emit(events)

    # The stream.

    async def stream_up(self) -> None:
        """See `UserHost`. Report `GatewayUp`, and begin to reconcile."""
        self.health.connections += 1
        self._is_up = True
        await self._emit([GatewayUp(self._now_ns(), self.name, self._user, self._network)])
        self._wanted.set()

    async def stream_down(self, loss: Loss, backoff_ms: int) -> None:
        """See `UserHost`. Report `GatewayDown`."""
        self.health.losses += 1
        self.health.last_loss = loss.reason
        self._is_up = False
        await self._emit([GatewayDown(self._now_ns(), self.name, loss.reason, backoff_ms)])

    # Reads over HTTP of what the stream does not report, or not in time.

    async def _watch_ends(self) -> None:
        """Every second, read fills that are late."""
        while True:
            await trio.sleep(FILLS_LATE_S / 2)
            late = self._reports.late(trio.current_time() - FILLS_LATE_S)
            if not late:
                continue
            try:
                await self._emit(await self._reconciler.fills())
                await self._emit([end for name in late for end in self._reports.give_up(name)])
            except VenueError:
                self.health.reads_failed += 1

    # Events to the engine.

    async def _emit(self, events: Sequence[Event]) -> None:
        """Send events to the engine: fills, payments and transfers once each, an order's end after its last
        fill.
        """
        if not events:
            return
        async with self._emitting:
            fresh: list[Event] = []
            for event in events:
                if isinstance(event, OrderFilled):
                    if self._reports.first(event):
                        self.health.fills += 1
                        fresh += [event, *self._reports.due(event.client_order_id)]
                    else:
                        self.health.fills_repeated += 1
                elif isinstance(event, FundingPaid):
                    fresh += [event] if self._reports.first_payment(event) else []
                elif not isinstance(event, TransferSeen) or self._reports.first_transfer(event):
                    fresh.append(event)
            if not fresh:
                return
            try:
                await self._send_inputs([self._stamped(event) for event in fresh])
            except BaseException:
                for event in fresh:
                    if isinstance(event, OrderFilled | FundingPaid | TransferSeen):
                        self._reports.discard(event)
                raise


def in_order(commands: Iterable[Event]) -> list[Event]:
    """Return commands that were released together as they are sent: what reduces risk first.

    A cancel of an order that is released with it stays behind that order.
    """
    given = list(commands)
    fresh = {one.client_order_id for one in given if isinstance(one, SubmitOrder)}

    def rank(command: Event) -> int:
        late = isinstance(command, CancelOrder) and command.client_order_id in fresh
        return int(Priority.HISTORY) if late else int(priority_of(command))

    return sorted(given, key=rank)


def _client_id(command: Event) -> str:
    if isinstance(command, SubmitOrder | CancelOrder | ModifyOrder | QueryOrder):
        return command.client_order_id
    return ""


def priority_of(command: Event) -> Priority:
    """Return a command's place in the venue's limits: cancels first, then what only closes."""
    if isinstance(command, CancelOrder | ScheduleCancel):
        return Priority.CANCEL
    if isinstance(command, SubmitOrder):
        return Priority.EXIT if command.terms.role == CLOSE else Priority.ORDER
    return Priority.EXIT if isinstance(command, ModifyOrder) and command.reduce_only else Priority.ORDER
