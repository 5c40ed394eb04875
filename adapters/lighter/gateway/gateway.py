"""Real orders on Lighter. See `adapters/transport/gateway.py`, and decision 0070.

Owns which parts are joined: transactions are signed and sent once (`rest.py`, `sending.py`), reads are in
`reconcile.py`, the stream in `stream.py`, and what its messages mean in `updates.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import httpx

from adapters.lighter.gateway.account_wire import AccountFrame
from adapters.lighter.gateway.keys import Signer
from adapters.lighter.gateway.memory import Orders
from adapters.lighter.gateway.reading import Reading
from adapters.lighter.gateway.reconcile import Reconciler
from adapters.lighter.gateway.rest import Rest
from adapters.lighter.gateway.sending import Sending
from adapters.lighter.gateway.stream import AccountStream
from adapters.lighter.gateway.updates import Updates
from adapters.lighter.gateway.wire import Wire
from adapters.lighter.networks import websocket_url
from adapters.lighter.signing import CHAINS
from adapters.transport.connection import Dial, dial_url
from adapters.transport.context import StreamContext
from adapters.transport.gateway import RECONCILE_S, AccountGateway
from adapters.transport.governor import Governor
from adapters.transport.health import FeedHealth, FeedLimits
from engine.events import Event, InstrumentListed
from engine.ports import Clock
from engine.venue import Account

__all__ = ["LighterGateway"]

_STREAM_LIMITS: Final = FeedLimits(backoff_s_min=0.25, stable_s=0.0)


class LighterGateway(AccountGateway):
    """One account. `markets` are the venue's numbers by name; `jitter` returns 0 to 1."""

    def __init__(
        self,
        *,
        name: str,
        base_url: str,
        network: str,
        signer: Signer,
        instruments: Sequence[InstrumentListed],
        markets: Mapping[str, int],
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
        self._reports = orders = Orders(account.sent)
        reading = Reading(instruments, markets, signer.account, orders.named)
        self._rest = Rest(
            base_url,
            CHAINS[network],
            signer,
            governor,
            self._venue_ms,
            transport=transports(),
            order_transport=transports(),
        )
        self._reconciler = self._reader = Reconciler(self._rest, reading, orders, name, account, self._now_ns)
        self._sending = Sending(
            self._rest, Wire(instruments, markets), orders, self.health, self._now_ns, self._venue_ms
        )
        self._updates = Updates(reading, orders, self._now_ns)
        self._stream = AccountStream(
            StreamContext(clock, jitter, _STREAM_LIMITS, FeedHealth(), governor),
            self,
            signer,
            websocket_url(base_url),
            dial,
            self._venue_ms,
        )

    async def receive(self, event: AccountFrame) -> None:
        """See `UserHost`. Report what a message says."""
        await self._emit(self._updates.frame(event))

    async def _carry_out(self, command: Event) -> Sequence[Event]:
        return await self._sending.carry_out(command)

    async def _close(self) -> None:
        await self._rest.aclose()

    def _venue_ms(self) -> int:
        return self._reader.venue_ms()
