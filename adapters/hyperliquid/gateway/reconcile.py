"""Reads the account: what is open, what filled, what is held; and one order when asked about it.

Promises: positions are read first and fills after them, so that every fill up to the positions' time is
told before they are; statuses of own orders are told after their fills; an answer that does not come
raises, and nothing of a reading that failed is told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from adapters.hyperliquid.gateway.account_wire import OpenOrder, OrderAnswer, WireFill, WireState
from adapters.hyperliquid.gateway.reading import MONEY_SCALE, Reading
from adapters.hyperliquid.governor import Priority
from adapters.hyperliquid.info import HyperliquidInfo
from engine.events import AccountRead, Event, OrderFilled, OrderRead, QueryOrder

__all__ = ["Reconciler"]

PAGE_ROWS: Final = 2000
PAGES_MAX: Final = 5
"""The venue keeps 10,000 fills."""

_NS: Final = 1_000_000


class _Own(Protocol):
    @property
    def since_ns(self) -> int: ...
    @property
    def working(self) -> Callable[[], list[str]]: ...
    @property
    def knows(self) -> Callable[[str], bool]: ...


class Reconciler:
    """Reads one account. `since_ms` is the venue's time from which fills may be missing; it moves on."""

    def __init__(
        self,
        info: HyperliquidInfo,
        reading: Reading,
        user: str,
        gateway: str,
        own: _Own,
        now_ns: Callable[[], int],
    ) -> None:
        self._info = info
        self._reading = reading
        self._user = user
        self._gateway = gateway
        self._own = own
        self._now_ns = now_ns
        self.since_ms = own.since_ns // _NS

    async def read(self) -> list[Event]:
        """Return everything a reconciliation tells, in order. Raises VenueError."""
        state = await self._state()
        opened = await self._open_orders()
        working = self._own.working()
        by_name = {row.cloid.lower(): row for row in opened if row.cloid is not None}
        answers: dict[str, OrderAnswer] = {}
        for name in working:
            if name not in by_name:
                answers[name] = await self._ask_order(name)
        fills = await self.fills()
        recv_ns = self._now_ns()
        venue_ns = state.time * _NS
        events: list[Event] = [*fills]
        instruments = {one.name: one.instrument for one in self._reading.instruments}
        anywhere = next(iter(instruments.values()))
        for name in working:
            if name in by_name:
                row = by_name[name]
                number = instruments.get(row.coin, anywhere)
                events.append(self._reading.open_order(row, name, number, venue_ns, recv_ns))
            else:
                order = answers[name].order
                number = instruments.get(order.order.coin, anywhere) if order is not None else anywhere
                events.append(self._reading.answer(answers[name], name, number, venue_ns, recv_ns))
        strangers = [row for row in opened if not (row.cloid and self._own.knows(row.cloid.lower()))]
        foreign = [self._reading.foreign(row, venue_ns, recv_ns) for row in strangers]
        events += [one for one in foreign if one is not None]
        events += self._reading.positions(state, recv_ns)
        events.append(
            AccountRead(
                recv_ns,
                venue_ns,
                self._gateway,
                MONEY_SCALE,
                self._reading.money(state.margin_summary.account_value),
                self._reading.money(state.withdrawable),
                len(opened),
                len(strangers),
            )
        )
        return events

    async def ask(self, query: QueryOrder, missing: Callable[[int, int], bool]) -> list[Event]:
        """Return what the venue says of an order, its fills first. Raises VenueError.

        `missing` tells whether so much of an order (venue id, size) is not told as filled yet: only then the
        fills are read, which cost five times the question.
        """
        clock = await self._info.exchange_status()
        answer = await self._ask_order(query.client_order_id)
        update = answer.order
        fills: list[OrderFilled] = []
        if update is not None and missing(update.order.oid, self._reading.executed(update)):
            fills = await self.fills()
        venue_ns = clock.time * _NS
        read: OrderRead = self._reading.answer(
            answer, query.client_order_id, query.instrument, venue_ns, self._now_ns()
        )
        return [*fills, read]

    async def fills(self) -> list[OrderFilled]:
        """Return the fills since the last known, oldest first. Raises VenueError."""
        found: dict[tuple[int, int], WireFill] = {}
        start_ms = self.since_ms
        for _ in range(PAGES_MAX):
            request = {"type": "userFillsByTime", "user": self._user, "startTime": start_ms}
            rows = await self._info.ask(request, list[WireFill], Priority.ACCOUNT)
            found |= {(row.tid, row.oid): row for row in rows}
            if len(rows) < PAGE_ROWS:
                break
            start_ms = max(row.time for row in rows)
        recv_ns = self._now_ns()
        ordered = sorted(found.values(), key=lambda row: row.time)
        fills = [self._reading.fill(row, recv_ns) for row in ordered]
        return [fill for fill in fills if fill is not None]

    async def _state(self) -> WireState:
        request = {"type": "clearinghouseState", "user": self._user}
        return await self._info.ask(request, WireState, Priority.ACCOUNT)

    async def _open_orders(self) -> list[OpenOrder]:
        request = {"type": "frontendOpenOrders", "user": self._user}
        return await self._info.ask(request, list[OpenOrder], Priority.ACCOUNT)

    async def _ask_order(self, client_order_id: str) -> OrderAnswer:
        request = {"type": "orderStatus", "user": self._user, "oid": client_order_id}
        return await self._info.ask(request, OrderAnswer, Priority.ACCOUNT)
