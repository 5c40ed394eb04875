"""Real orders on Binance, spot and USD-M futures. See `adapters/transport/gateway.py`, and decision 0052.

Owns what an event of the user data leads to, and which parts are joined: requests are signed and sent once
(`sending.py`), reads are in `reconcile.py`, the stream in `stream.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import httpx

from adapters.binance.gateway.account_wire import (
    AccountUpdate,
    AlgoEvent,
    BalanceUpdate,
    ExecutionReport,
    OrderEvent,
    UserEvent,
)
from adapters.binance.gateway.dialects import Dialect, stream_address
from adapters.binance.gateway.keys import Signer
from adapters.binance.gateway.memory import Orders
from adapters.binance.gateway.reading import Reading
from adapters.binance.gateway.reconcile import Reconciler
from adapters.binance.gateway.rest import Rest
from adapters.binance.gateway.sending import Sending
from adapters.binance.gateway.stream import UserStream
from adapters.binance.gateway.updates import Updates
from adapters.binance.gateway.wire import Wire
from adapters.transport.connection import Dial, dial_url
from adapters.transport.context import StreamContext
from adapters.transport.gateway import RECONCILE_S, AccountGateway
from adapters.transport.governor import Governor
from adapters.transport.health import FeedHealth, FeedLimits
from engine.events import Event, InstrumentListed, OrderRead
from engine.ports import Clock
from engine.venue import Account

__all__ = ["BinanceGateway"]

_STREAM_LIMITS: Final = FeedLimits(backoff_s_min=0.25, stable_s=0.0)


class BinanceGateway(AccountGateway):
    """One account. `send` takes a batch of inputs and may wait; `jitter` returns 0 to 1."""

    def __init__(
        self,
        *,
        name: str,
        dialect: Dialect,
        base_url: str,
        network: str,
        signer: Signer,
        instruments: Sequence[InstrumentListed],
        clock: Clock,
        jitter: Callable[[], float],
        send: Callable[[list[Event]], Awaitable[None]],
        governor: Governor,
        account: Account,
        reconcile_s: float = RECONCILE_S,
        dial: Callable[[str], Dial] = dial_url,
        transports: Callable[[], httpx.AsyncBaseTransport | None] = lambda: None,
    ) -> None:
        super().__init__(name, network, signer.address, clock, send, reconcile_s)
        self._reports = self._orders = Orders()
        self._reading = Reading(instruments, account.knows)
        self._rest = Rest(
            base_url,
            signer,
            governor,
            self._venue_ms,
            transport=transports(),
            order_transport=transports(),
        )
        self._reconciler = self._reader = Reconciler(
            self._rest, dialect, self._reading, self._orders, name, account, self._now_ns
        )
        wire = Wire(dialect, instruments)
        self._sending = Sending(
            self._rest, wire, self._reading, self._orders, self.health, self._now_ns, self._venue_ms
        )
        self._updates = Updates(dialect, self._reading, self._orders, self._reader, self._now_ns)
        self._stream = UserStream(
            StreamContext(clock, jitter, _STREAM_LIMITS, FeedHealth(), governor),
            self,
            dialect,
            self._rest,
            signer,
            stream_address(dialect, base_url),
            dial,
            self._venue_ms,
        )

    async def _carry_out(self, command: Event) -> Sequence[Event]:
        return await self._sending.carry_out(command)

    async def _close(self) -> None:
        await self._rest.aclose()

    def _settled(self, name: str, read: Event) -> None:
        """See `AccountGateway`. The answer to a replacement was lost: the order goes on as it was read."""
        if isinstance(read, OrderRead) and self._orders.is_settled_by(name, read):
            self._orders.settled(name, replaced=True)

    def _venue_ms(self) -> int:
        return self._reader.venue_ms()

    async def receive(self, event: UserEvent) -> None:
        """See `UserHost`. Report what an event says; money that moved is read."""
        if isinstance(event, ExecutionReport | OrderEvent):
            await self._emit(await self._updates.order(event))
        elif isinstance(event, AlgoEvent):
            await self._emit(self._updates.algo(event))
        elif isinstance(event, BalanceUpdate):
            moved = self._reading.moved(event, self._now_ns())
            await self._emit([] if moved is None else [moved])
        elif isinstance(event, AccountUpdate) and event.changes.reason != "ORDER":
            self._wanted.set()
