"""Real orders on Hyperliquid: sends durable commands, and reports their outcome.

Only reports: the execution actor decides which orders are Unknown and what an answer proves. Promises:
each action is signed and sent once, with a nonce that rises; every command leads to a report, at least
`OrderUnknown`; every fill is reported once, and before the end of its order where that can be known; after
every connection, every `reconcile_s`, and when asked, orders, fills, transfers and positions are read again.
A reading that fails is repeated, never taken for a flat account. `recv_ns` of the reports never goes back.

    release -> jobs -> sign -> send -> outcome -> report
    stream  -> fills, updates, events, transfers -> reports
    stream up -> read state, open orders, fills -> reports, PositionRead ..., AccountRead

Called by the runtime: `release` from the committer, `run` as a supervised edge.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import httpx
import trio

from adapters.hyperliquid.gateway.account_wire import (
    EventsFrame,
    FillsFrame,
    LedgerFrame,
    UpdatesFrame,
    WireUpdate,
)
from adapters.hyperliquid.gateway.actions import Job, Wire, jobs_of
from adapters.hyperliquid.gateway.keys import Signer
from adapters.hyperliquid.gateway.nonces import Nonces
from adapters.hyperliquid.gateway.orders import Orders
from adapters.hyperliquid.gateway.outcomes import Accepted, Lost, Outcome, Refused
from adapters.hyperliquid.gateway.posts import AccountProtocol, Posts, PostSender, account_subscriptions
from adapters.hyperliquid.gateway.reading import Reading
from adapters.hyperliquid.gateway.reconcile import Reconciler
from adapters.hyperliquid.gateway.reports import report
from adapters.hyperliquid.gateway.sender import ANSWER_S, RestSender, Sender
from adapters.hyperliquid.gateway.succession import in_succession
from adapters.hyperliquid.info import HyperliquidInfo
from adapters.hyperliquid.networks import websocket_url
from adapters.transport.connection import Dial, Loss, dial_url
from adapters.transport.context import StreamContext
from adapters.transport.deadlines import answer_within_s
from adapters.transport.gateway_health import GatewayHealth
from adapters.transport.governor import Governor, Priority
from adapters.transport.health import FeedHealth, FeedLimits
from adapters.transport.proof import AHEAD_S, VenueClock
from adapters.transport.reconciling import Reconciling
from adapters.transport.stream import Stream
from adapters.transport.text import clip
from engine.config import VenueConfig
from engine.errors import EngineError, VenueError, VenueProtocolError
from engine.events import (
    CancelOrder,
    Event,
    FundingPaid,
    GatewayDown,
    GatewayUp,
    InstrumentListed,
    ModifyOrder,
    ModifyRejected,
    OrderCanceled,
    OrderFilled,
    OrderModified,
    OrderRead,
    OrderRejected,
    OrderUnknown,
    QueryAccount,
    QueryOrder,
    SubmitOrder,
    TransferSeen,
)
from engine.events.codec import Derived
from engine.ports import Clock
from engine.venue import Account

__all__ = ["HyperliquidGateway"]

RECONCILE_S: Final = 60.0
FILLS_LATE_S: Final = 2.0
"""How long the end of an order waits for its missing fills before they are read over HTTP."""

CLOSE_S: Final = 1.0
JOBS_MAX: Final = 10_000
"""Upper bound on jobs waiting or under way. Beyond it a strategy is in a loop, and the gateway fails."""

CANCELED_MAX: Final = 1000
"""Orders canceled by the venue that wait to be queried. Further ones are found when the account is read."""

LANE_MAX: Final = 16
"""Jobs of one kind under way at a time. Openings, cancels with exits, and queries are kinds of their own."""


_STREAM_LIMITS: Final = FeedLimits(backoff_s_min=0.25, stable_s=0.0)
"""The account's stream reconnects sooner than a market's; the governor limits how often."""


class HyperliquidGateway(Reconciling):
    """One account. `send` takes a batch of inputs and may wait; `jitter` returns 0 to 1."""

    _stream: Stream
    _reconciler: Reconciler

    def __init__(
        self,
        *,
        name: str,
        base_url: str,
        venue: VenueConfig,
        signer: Signer,
        instruments: Sequence[InstrumentListed],
        asset_ids: Mapping[str, int],
        clock: Clock,
        jitter: Callable[[], float],
        send: Callable[[list[Event]], Awaitable[None]],
        governor: Governor,
        account: Account,
        reconcile_s: float = RECONCILE_S,
        sender: Sender | None = None,
        info: HyperliquidInfo | None = None,
        dial: Dial | None = None,
        http: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.name = name
        self.health = GatewayHealth()
        self._network = venue.network
        self._user = (venue.vault or venue.account).lower()
        self._vault = venue.vault.lower() or None
        self._signer = signer
        self._clock = clock
        self._send_inputs = send
        self._reconcile_s = reconcile_s
        self._wire = Wire(instruments, asset_ids)
        self._nonces = Nonces(clock.now_ns, account.nonce_floor_ms)
        self._orders = Orders()
        self._reading = Reading(instruments, account.knows, self._user)
        self._info = info or HyperliquidInfo(base_url, governor=governor)
        url = websocket_url(base_url)
        self._posts = Posts()
        self._stream = Stream(
            StreamContext(clock, jitter, _STREAM_LIMITS, FeedHealth(), governor),
            self,
            AccountProtocol(self._posts),
            account_subscriptions(self._user),
            url,
            dial or dial_url(url),
            priority=Priority.ACCOUNT,
            send_within_s=_STREAM_LIMITS.confirm_s,
        )
        self._received: list[Event] = []  # of the message being read
        if sender is None and venue.transport == "post":
            sender = PostSender(self._stream, self._posts, governor)
        elif sender is None:
            sender = RestSender(base_url, governor, transport=http)
        self._sender = sender
        self._reconciler = Reconciler(
            self._info,
            self._reading,
            self._orders,
            self._user,
            name,
            account,
            self._now_ns,
            VenueClock(clock).ahead_ns(AHEAD_S),
        )
        self._jobs_in, self._jobs = trio.open_memory_channel[Job](JOBS_MAX)
        self._jobs_open = 0
        self._overflow = trio.Event()
        self._lanes = [trio.CapacityLimiter(LANE_MAX) for _ in range(3)]
        self._busy: dict[str, trio.Event] = {}  # client ids of jobs under way
        self._canceled: dict[int, None] = {}  # canceled by the venue, the end not reported yet
        self._emitting = trio.Lock()
        self._last_ns = 0
        self._is_up = False
        self._wanted = trio.Event()

    # Effects.

    def release(self, durable_seq: int, commands: Iterable[Derived]) -> None:
        """Take durable commands; they are sent by `run`. See `engine.ports.Effects`."""
        released = list(commands)
        assert all(seq <= durable_seq for seq, _, _ in released), "a command before it was durable"
        for job in jobs_of((command for _, _, command in released), self._wire):
            if self._jobs_open >= JOBS_MAX:
                # This command gets no answer; the execution actor queries the order later.
                self._overflow.set()
                continue
            self._jobs_open += 1
            self.health.jobs_high = max(self.health.jobs_high, self._jobs_open)
            self._jobs_in.send_nowait(job)

    async def run(self) -> None:
        """Work until cancelled. May be called again after it raised."""
        if self._is_up:
            await self.stream_down(self._stream, Loss("the gateway was restarted"), 0)
        self._received.clear()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._stream.run)
                nursery.start_soon(self._reconcile_again)
                nursery.start_soon(self._watch_ends)
                nursery.start_soon(self._fail_on_overflow)
                async for job in self._jobs:
                    nursery.start_soon(self._do, job, *self._claim(job))
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(CLOSE_S):
                await self._sender.aclose()
                await self._info.aclose()

    async def _fail_on_overflow(self) -> None:
        await self._overflow.wait()
        self._overflow = trio.Event()
        raise EngineError(f"{self.name}: {JOBS_MAX} commands wait to be sent; a strategy may be in a loop")

    # Sending.

    def _claim(self, job: Job) -> tuple[list[trio.Event], trio.Event]:
        """Return the events of earlier jobs for the same orders, which a job waits for, and its own event."""
        done = trio.Event()
        names = [name for name in map(_client_id, job.commands) if name]
        before = [self._busy[name] for name in names if name in self._busy]
        self._busy |= dict.fromkeys(names, done)
        return before, done

    async def _do(self, job: Job, before: list[trio.Event], done: trio.Event) -> None:
        """Do one job after earlier ones for the same orders, and report its outcome."""
        command = job.commands[0]
        try:
            if isinstance(command, QueryAccount):
                return self._wanted.set()
            for event in before:
                await event.wait()
            async with self._lanes[2 if job.is_query else job.priority < Priority.ORDER]:
                await (self._query(command) if isinstance(command, QueryOrder) else self._act(job))
        finally:
            self._jobs_open -= 1
            done.set()
            for name in map(_client_id, job.commands):
                if self._busy.get(name) is done:
                    del self._busy[name]

    async def _act(self, job: Job) -> None:
        for command in job.commands:
            if isinstance(command, ModifyOrder):
                self._orders.modify(command)
        outcomes = await self._send(job)
        recv_ns = self._now_ns()
        events: list[Event] = []
        for command, outcome in zip(job.commands, outcomes, strict=True):
            self._count(outcome)
            events += report(command, outcome, recv_ns)
            events += self._follow(command, outcome, events[-1:])
        await self._emit(events)

    async def _send(self, job: Job) -> list[Outcome]:
        assert job.action is not None, "only a query has no action"
        entries = len(job.commands)
        if job.refusal:
            return [Lost(job.refusal, unsent=True)] * entries
        venue_ms = (self._now_ns() + self._reconciler.clock_ns) // 1_000_000
        if job.expires_ms is not None and job.expires_ms <= venue_ms:
            return [Lost("it was due to expire before it could be sent", unsent=True)] * entries
        nonce = self._nonces.next()
        signature = self._signer.sign(job.action, nonce, self._vault, job.expires_ms)
        body = {
            "action": job.action,
            "nonce": nonce,
            "signature": signature,
            "vaultAddress": self._vault,
            "expiresAfter": job.expires_ms,
        }
        self.health.actions += 1
        within_s = answer_within_s(ANSWER_S, job.expires_ms, venue_ms)
        return await self._sender.send(body, entries, job.priority, within_s)

    def _follow(self, command: Event, outcome: Outcome, reported: list[Event]) -> list[Event]:
        """Return further reports: the end of an Ioc, and ends held back by a modification."""
        if isinstance(command, ModifyOrder):
            if reported and isinstance(reported[0], OrderModified):
                return self._orders.continue_as(command.client_order_id, reported[0].venue_order_id)
            if reported and isinstance(reported[0], ModifyRejected):
                return self._orders.unmodified(command.client_order_id)
        elif isinstance(command, SubmitOrder) and isinstance(outcome, Accepted) and outcome.filled:
            executed = self._reading.size(command.instrument, outcome.filled)
            left = command.terms.size - executed
            end = None
            if left > 0 and command.terms.tif == "Ioc" and not command.terms.trigger:
                recv_ns = self._now_ns()
                name, number = command.client_order_id, command.instrument
                end = OrderCanceled(recv_ns, recv_ns, name, number, left, "Ioc: the rest found nobody")
            return self._orders.await_fills(outcome.oid, executed, trio.current_time(), end)
        return []

    def _count(self, outcome: Outcome) -> None:
        if isinstance(outcome, Refused):
            self.health.refused += 1
        elif not isinstance(outcome, Lost):
            self.health.accepted += 1
        elif outcome.unsent:
            self.health.unsent += 1
        else:
            self.health.lost += 1

    async def _query(self, command: QueryOrder) -> None:
        """Query one order. If that fails it stays Unknown, and the execution actor queries it again."""
        self.health.queries += 1
        name = command.client_order_id
        try:
            events = await self._reconciler.query(command, self._reading.name(command.instrument))
            for read in events[-1:]:
                if isinstance(read, OrderRead) and self._orders.is_settled_by(read):
                    # The answer to the modification was lost: the order continues under this number.
                    events += self._orders.continue_as(name, read.venue_order_id)
        except VenueError as error:
            self.health.reads_failed += 1
            events = [OrderUnknown(self._now_ns(), name, f"the question failed: {error}")]
        await self._emit(events)

    # The stream.

    async def stream_up(self, stream: Stream, recv_ns: int) -> None:
        """See `StreamHost`. Report `GatewayUp`, and begin to reconcile."""
        self.health.connections += 1
        self._is_up = True
        await self._emit([GatewayUp(self._now_ns(), self.name, self._user, self._network)])
        self._wanted.set()

    async def stream_down(self, stream: Stream, loss: Loss, backoff_ms: int) -> None:
        """See `StreamHost`. Report `GatewayDown`."""
        self._posts.lose()
        self.health.losses += 1
        self.health.last_loss = loss.reason
        self._is_up = False
        await self._emit([GatewayDown(self._now_ns(), self.name, loss.reason, backoff_ms)])

    def receive(self, stream: Stream, frame: Any, recv_ns: int) -> None:
        """See `StreamHost`. The events of the frame are sent by `catch_up`."""
        recv_ns = self._now_ns()
        found: list[Event | None] = []
        if isinstance(frame, FillsFrame):
            if frame.data.user.lower() != self._user:
                raise VenueProtocolError(f"fills of another account: {clip(frame.data.user)}")
            rows = in_succession(frame.data.fills, newest_first=frame.data.is_snapshot)
            new_rows = [row for row in rows if row.time >= self._reconciler.first_ms]
            found += [self._reading.fill(row, recv_ns) for row in new_rows]
        elif isinstance(frame, UpdatesFrame):
            for row in frame.data:
                found += self._update(row, recv_ns)
        elif isinstance(frame, LedgerFrame):
            moved = frame.data.non_funding_ledger_updates
            new = [row for row in moved if row.time >= self._reconciler.first_ms]
            found += [self._reading.transfer(row, recv_ns) for row in sorted(new, key=lambda row: row.time)]
        elif isinstance(frame, EventsFrame):
            events = frame.data
            if events.funding is not None:
                found.append(self._reading.funding(events.funding, recv_ns))
            if events.liquidation is not None and events.liquidation.liquidated_user.lower() == self._user:
                found.append(self._reading.liquidation(events.liquidation, recv_ns))
            for one in events.non_user_cancel:
                if len(self._canceled) < CANCELED_MAX and not self._orders.ended(one.oid):
                    self._canceled[one.oid] = None
        self._received += [event for event in found if event is not None]

    @property
    def behind(self) -> bool:
        """See `StreamHost`: whether events of the message are still to be sent."""
        return bool(self._received)

    async def catch_up(self) -> None:
        """See `StreamHost`: send the events of the message."""
        received, self._received = self._received, []
        await self._emit(received)

    def _update(self, row: WireUpdate, recv_ns: int) -> list[Event]:
        """Return the events of an update to report now; an end waits for its fills and for a modification."""
        event = self._reading.update(row, recv_ns)
        oid, now = row.order.oid, trio.current_time()
        if row.status == "filled":
            return self._orders.await_fills(oid, self._reading.executed(row), now)
        if isinstance(event, OrderRejected):
            if self._orders.is_refused_change(event.client_order_id, oid):
                return []  # The answer to the change reports it, and the order is queried.
            return self._orders.end(oid, event)
        if not isinstance(event, OrderCanceled):
            return [] if event is None else [event]
        if self._orders.hold(event.client_order_id, oid, event):
            return []
        if self._orders.is_old_leg(event.client_order_id, oid):
            return []
        return self._orders.await_fills(oid, self._reading.executed(row), now, event)

    # Reads over HTTP of what the stream does not report, or not in time.

    async def _watch_ends(self) -> None:
        """Every second, read fills that are late, and orders that the venue canceled."""
        while True:
            await trio.sleep(FILLS_LATE_S / 2)
            late = self._orders.late(trio.current_time() - FILLS_LATE_S)
            try:
                if late:
                    await self._emit(await self._reconciler.fills())
                    await self._emit([end for oid in late for end in self._orders.give_up(oid)])
                await self._query_canceled()
            except VenueError:
                self.health.reads_failed += 1

    async def _query_canceled(self) -> None:
        """Query orders that the venue canceled without an update that reports their end."""
        for oid in list(self._canceled):
            if not self._orders.ended(oid):
                row = await self._reconciler.status(oid)
                if row is not None:
                    await self._emit(self._update(row, self._now_ns()))
            self._canceled.pop(oid, None)

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
                    if self._orders.first(event):
                        self.health.fills += 1
                        fresh += [event, *self._orders.due(event.venue_order_id)]
                    else:
                        self.health.fills_repeated += 1
                elif isinstance(event, FundingPaid):
                    fresh += [event] if self._orders.first_payment(event) else []
                elif not isinstance(event, TransferSeen) or self._orders.first_transfer(event):
                    fresh.append(event)
            if not fresh:
                return
            try:
                await self._send_inputs([self._stamped(event) for event in fresh])
            except BaseException:
                for event in fresh:
                    if isinstance(event, OrderFilled | FundingPaid | TransferSeen):
                        self._orders.discard(event)
                raise


def _client_id(command: Event) -> str:
    if isinstance(command, SubmitOrder | CancelOrder | ModifyOrder | QueryOrder):
        return command.client_order_id
    return ""
