"""Real orders on Hyperliquid: sends what the journal has made durable, and tells what became of it.

Decides nothing: which order is in doubt and what an answer proves is the execution actor's work. Promises:
each action is signed and sent once, with a nonce that rises; every command leads to a report, if only
`OrderUnknown`; every fill is told once, and before the end of its order where that can be known; after
every connection, and every `reconcile_s`, orders, fills and positions are read anew. A reading that fails
is tried again, never taken for flat.

    release -> jobs -> sign -> send -> outcome -> report
    stream  -> fills, updates, events -> reports
    stream up -> read state, open orders, fills -> reports, PositionRead ..., AccountRead

Called by the runtime: `release` from the committer, `run` as a supervised edge.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

import trio

from adapters.hyperliquid.connection import Dial
from adapters.hyperliquid.gateway.account_wire import (
    AccountFrame,
    EventsFrame,
    FillsFrame,
    UpdatesFrame,
    WireUpdate,
)
from adapters.hyperliquid.gateway.actions import Job, Wire, jobs_of
from adapters.hyperliquid.gateway.keys import Signer
from adapters.hyperliquid.gateway.nonces import Nonces
from adapters.hyperliquid.gateway.orders import Orders, Waiting
from adapters.hyperliquid.gateway.reading import Reading, is_terminal
from adapters.hyperliquid.gateway.reconcile import Reconciler
from adapters.hyperliquid.gateway.reports import report
from adapters.hyperliquid.gateway.sender import RestSender, Sender
from adapters.hyperliquid.gateway.stream import AccountStream
from adapters.hyperliquid.governor import Governor, Priority
from adapters.hyperliquid.info import HyperliquidInfo
from engine.config import VenueConfig
from engine.errors import VenueError
from engine.events import (
    CancelOrder,
    Event,
    GatewayDown,
    GatewayUp,
    InstrumentListed,
    ModifyOrder,
    ModifyRejected,
    OrderCanceled,
    OrderFilled,
    OrderModified,
    OrderUnknown,
    QueryOrder,
    SubmitOrder,
)
from engine.events.codec import Derived
from engine.ports import Clock

__all__ = ["HyperliquidGateway", "OwnOrders"]

RECONCILE_S: Final = 60.0
FILLS_LATE_S: Final = 2.0
"""How long the end of an order waits for fills that must have been, before they are asked for."""

CLOSE_S: Final = 1.0
JOBS_MAX: Final = 10_000
SENDING_MAX: Final = 16
_RETRY_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0)


class OwnOrders(Protocol):
    """What the journal knows of the account; see `engine.runtime.plan.Account`."""

    @property
    def since_ns(self) -> int: ...
    @property
    def nonce_floor_ms(self) -> int: ...
    @property
    def working(self) -> Callable[[], list[str]]: ...
    @property
    def knows(self) -> Callable[[str], bool]: ...


class HyperliquidGateway:
    """One account. `send` takes a batch of inputs and may wait; `jitter` returns 0 to 1."""

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
        account: OwnOrders,
        reconcile_s: float = RECONCILE_S,
        sender: Sender | None = None,
        info: HyperliquidInfo | None = None,
        dial: Dial | None = None,
    ) -> None:
        self.name = name
        self._venue = venue
        self._user = (venue.vault or venue.account).lower()
        self._vault = venue.vault.lower() or None
        self._signer = signer
        self._clock = clock
        self._send_inputs = send
        self._reconcile_s = reconcile_s
        self._wire = Wire(instruments, asset_ids, venue)
        self._nonces = Nonces(clock.now_ns, account.nonce_floor_ms)
        self._orders = Orders()
        self._reading = Reading(instruments)
        self._info = info or HyperliquidInfo(base_url, governor=governor)
        self._stream = AccountStream(base_url, self._user, self, governor, jitter, dial=dial)
        rest = sender or RestSender(base_url, governor)
        self._sender: Sender = self._stream if venue.transport == "post" else rest
        self._rest = rest
        self._reconciler = Reconciler(self._info, self._reading, self._user, name, account, self.now_ns)
        self._jobs_in, self._jobs = trio.open_memory_channel[Job](JOBS_MAX)
        self._busy: dict[str, trio.Event] = {}
        self._down: GatewayDown | None = None
        self._wanted = trio.Event()
        self.released = 0

    # Effects.

    def release(self, durable_seq: int, commands: Iterable[Derived]) -> None:
        """Take durable commands; they are sent by `run`. See `engine.ports.Effects`."""
        durable = [command for seq, _, command in commands if seq <= durable_seq]
        self.released += len(durable)
        for job in jobs_of(durable, self._wire):
            # More than the channel holds is a loop somewhere: the edge fails rather than hide it.
            self._jobs_in.send_nowait(job)

    async def run(self) -> None:
        """Work until cancelled. May be called again after it raised."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._stream.run)
                nursery.start_soon(self._reconcile_again)
                nursery.start_soon(self._watch_fills)
                limiter = trio.CapacityLimiter(SENDING_MAX)
                async for job in self._jobs:
                    nursery.start_soon(self._do, job, limiter)
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(CLOSE_S):
                await self._rest.aclose()
                await self._info.aclose()

    # Sending.

    async def _do(self, job: Job, limiter: trio.CapacityLimiter) -> None:
        """Do one job after those about the same orders; what becomes of it is told."""
        names = [one for one in map(_client_id, job.commands) if one]
        before = [self._busy[one] for one in names if one in self._busy]
        done = trio.Event()
        for one in names:
            self._busy[one] = done
        try:
            for event in before:
                await event.wait()
            async with limiter:
                command = job.commands[0]
                if isinstance(command, QueryOrder):
                    await self._query(command)
                else:
                    await self._act(job)
        finally:
            done.set()
            for one in names:
                if self._busy.get(one) is done:
                    del self._busy[one]

    async def _act(self, job: Job) -> None:
        assert job.action is not None, "only a question has no action"
        for command in job.commands:
            if isinstance(command, ModifyOrder):
                self._orders.modifying[command.client_order_id] = []
        nonce = self._nonces.next()
        signature = self._signer.sign(job.action, nonce, self._vault, job.expires_ms)
        body = {
            "action": job.action,
            "nonce": nonce,
            "signature": signature,
            "vaultAddress": self._vault,
            "expiresAfter": job.expires_ms,
        }
        priority = Priority.CANCEL if job.cancels else Priority.ORDER
        outcomes = await self._sender.send(body, len(job.commands), priority)
        recv_ns = self.now_ns()
        events: list[Event] = []
        for command, outcome in zip(job.commands, outcomes, strict=True):
            events += report(command, outcome, recv_ns)
            if isinstance(command, ModifyOrder):
                events += self._settle_modify(command, events[-1:])
        await self._tell(events)

    def _settle_modify(self, command: ModifyOrder, told: list[Event]) -> list[Event]:
        """Return the cancels held back while an order was modified, unless they were its old leg's."""
        held = self._orders.modifying.pop(command.client_order_id, [])
        answer = told[0] if told else None
        if isinstance(answer, OrderModified):
            self._orders.modified(command.client_order_id, answer.venue_order_id)
            return []
        return list(held) if isinstance(answer, ModifyRejected) else []

    async def _query(self, command: QueryOrder) -> None:
        """Ask about one order; when that fails too, it stays in doubt and is asked about again."""
        try:
            events = await self._reconciler.ask(command, self._orders.missing)
        except VenueError as error:
            events = [OrderUnknown(self.now_ns(), command.client_order_id, f"the question failed: {error}")]
        await self._tell(events)

    # The stream.

    def stream_up(self) -> None:
        """Begin to reconcile."""
        self._wanted.set()

    def stream_down(self, reason: str, backoff_ms: int) -> None:
        """Tell that the account is not known any more."""
        self._down = GatewayDown(self.now_ns(), self.name, reason, backoff_ms)
        self._wanted.set()

    async def take(self, frame: AccountFrame) -> None:
        """Take a frame of the account's stream."""
        recv_ns = self.now_ns()
        if isinstance(frame, FillsFrame):
            rows = [row for row in frame.data.fills if row.time >= self._reconciler.since_ms]
            fills = [self._reading.fill(row, recv_ns) for row in sorted(rows, key=lambda row: row.time)]
            await self._tell([fill for fill in fills if fill is not None])
        elif isinstance(frame, UpdatesFrame):
            await self._tell([event for row in frame.data for event in self._update(row, recv_ns)])
        elif isinstance(frame, EventsFrame):
            events = frame.data
            found: list[Event | None] = []
            if events.funding is not None:
                found.append(self._reading.funding(events.funding, recv_ns))
            if events.liquidation is not None and events.liquidation.liquidated_user.lower() == self._user:
                found.append(self._reading.liquidation(events.liquidation, recv_ns))
            await self._tell([event for event in found if event is not None])

    def _update(self, row: WireUpdate, recv_ns: int) -> list[Event]:
        """Return what an update tells now: an end waits for its fills, and for a modification under way."""
        event = self._reading.update(row, recv_ns)
        oid = row.order.oid
        if event is None:
            if row.status == "filled":
                self._await_fills(oid, self._reading.executed(row), None)
            return []
        if not isinstance(event, OrderCanceled):
            return [event]
        name = event.client_order_id
        if name in self._orders.modifying:
            self._orders.modifying[name].append(event)
            return []
        if self._orders.is_old_leg(name, oid):
            return []
        executed = self._reading.executed(row)
        if is_terminal(row.status) and self._orders.missing(oid, executed):
            self._await_fills(oid, executed, event)
            return []
        return [event]

    def _await_fills(self, oid: int, executed: int, end: Event | None) -> None:
        if self._orders.missing(oid, executed):
            self._orders.waiting[oid] = Waiting(executed, trio.current_time(), end)

    async def _watch_fills(self) -> None:
        """Read the fills of orders whose end has waited for them too long, and tell the end."""
        while True:
            await trio.sleep(FILLS_LATE_S / 2)
            late_at = trio.current_time() - FILLS_LATE_S
            late = [oid for oid, one in self._orders.waiting.items() if one.since <= late_at]
            if not late:
                continue
            try:
                await self._tell(await self._reconciler.fills())
            except VenueError:
                continue
            ends = [self._orders.waiting.pop(oid).end for oid in late if oid in self._orders.waiting]
            await self._tell([end for end in ends if end is not None])

    # Reconciling.

    async def _reconcile_again(self) -> None:
        """Read the account when the stream comes up, and every so often while it is."""
        while True:
            with trio.move_on_after(self._reconcile_s if self._stream.live else math.inf):
                await self._wanted.wait()
                self._wanted = trio.Event()
                if self._down is not None:
                    lost, self._down = self._down, None
                    await self._tell([lost])
                if not self._stream.live:
                    continue
                up = GatewayUp(self.now_ns(), self.name, self._user, self._venue.network)
                await self._tell([up])
            tries = 0
            while self._stream.live:
                try:
                    events = await self._reconciler.read()
                except VenueError:
                    wait_s = _RETRY_S[min(tries, len(_RETRY_S) - 1)]
                    tries += 1
                    await trio.sleep(wait_s)
                else:
                    # Read for nothing if the stream was lost meanwhile: more may have happened since.
                    if self._stream.live:
                        await self._tell(events)
                    break

    # To the engine.

    def now_ns(self) -> int:
        """Return the engine's time."""
        return self._clock.now_ns()

    async def _tell(self, events: Sequence[Event]) -> None:
        """Hand events over; fills once each, and the end of an order after its last one."""
        told: list[Event] = []
        for event in events:
            if isinstance(event, OrderFilled):
                if self._orders.first(event):
                    told.append(event)
                    end = self._orders.due(event.venue_order_id)
                    if end is not None:
                        told.append(end)
            else:
                told.append(event)
        if told:
            await self._send_inputs(told)


def _client_id(command: Event) -> str:
    if isinstance(command, SubmitOrder | CancelOrder | ModifyOrder | QueryOrder):
        return command.client_order_id
    return ""
