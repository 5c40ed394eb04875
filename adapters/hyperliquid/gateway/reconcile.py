"""Reads the account: open orders, fills, positions, funding payments, transfers; and single orders.

Promises: positions are read first, fills and transfers after them, so that all of them up to the positions'
time are reported before they are; statuses of own orders are reported after their fills; a missing answer
raises, and a failed reading reports nothing. Called by the gateway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, TypeVar

import msgspec

from adapters.hyperliquid.gateway.account_wire import (
    ROWS_MAX,
    OpenOrder,
    OrderAnswer,
    WireFill,
    WireFundingRow,
    WireLedgerRow,
    WireState,
    WireUpdate,
)
from adapters.hyperliquid.gateway.orders import Orders
from adapters.hyperliquid.gateway.reading import MONEY_SCALE, Reading, is_terminal
from adapters.hyperliquid.gateway.succession import in_succession
from adapters.hyperliquid.info import HyperliquidInfo
from adapters.hyperliquid.listing import dex_of
from adapters.hyperliquid.wire import ExchangeStatus
from adapters.transport.governor import Priority, order_query
from adapters.transport.shared import Shared
from engine.errors import VenueProtocolError
from engine.events import AccountRead, ClockChecked, Event, OrderFilled, OrderRead, QueryOrder
from engine.venue import Account

__all__ = ["Reconciler"]

FULL_ROWS: Final = 500
"""An answer of this many rows may be incomplete: the venue cuts ranges at 500 or 2,000 rows."""

PAGES_MAX: Final = 25
"""Upper bound on pages: more than the 10,000 fills that the venue keeps."""

OVERLAP_MS: Final = 300_000
"""Fills this long before the last reading are read again: some become visible late."""

FUNDING_LATE_MS: Final = 30_000
"""How long after an hour its funding payments may still be missing: until then they are read each time."""

CLOCK_MOVED_NS: Final = 100_000_000
"""A smaller change of the difference between the clocks is not reported."""

_HOUR_MS: Final = 3_600_000
_NS: Final = 1_000_000
_Row = TypeVar("_Row", WireFill, WireFundingRow, WireLedgerRow)
_Any = TypeVar("_Any")


class Reconciler:
    """Reads one account. `first_ms` is the venue's time before which nothing is reported.

    `clock_ns` is the venue's clock minus ours; 0 if the delay of the answers explains the difference.
    `ahead_ns` is how far a time may lie ahead of that clock.
    """

    def __init__(
        self,
        info: HyperliquidInfo,
        reading: Reading,
        orders: Orders,
        user: str,
        gateway: str,
        account: Account,
        now_ns: Callable[[], int],
        ahead_ns: int,
    ) -> None:
        self._info = info
        self._reading = reading
        self._orders = orders
        self._user = user
        self._gateway = gateway
        self._account = account
        self._now_ns = now_ns
        self._ahead_ns = ahead_ns
        self.first_ms = account.since_ns // _NS
        self._since_ms = self._read_ms = self.first_ms
        self._paid_until = self.first_ms // _HOUR_MS
        self.clock_ns = 0
        self._reported_clock_ns: int | None = None
        self._clock = Shared(self._read_clock)
        self._lists = {dex: Shared(partial(self._open_orders, dex)) for dex in reading.dexes}
        info.governor.keep_for_account()

    async def read(self) -> list[Event]:
        """Return the reports of a reconciliation, in order. Raises VenueError."""
        checked = await self._check_clock()
        states = {dex: await self._state(dex) for dex in self._reading.dexes}
        time_ms = min(state.time for state in states.values())
        opened = [row for dex in states for row in await self._open_orders(dex)]
        by_name = _by_name(opened)
        working = self._account.working()
        queried = [name for name in working if name not in by_name or self._orders.modified(name)]
        answers = {name: await self._query_order(name) for name in queried}
        foreign_rows = [row for row in opened if not (row.cloid and self._account.knows(row.cloid.lower()))]
        foreign_rows += await self._still_open(by_name, set(working))
        fills = await self.fills()
        paid = await self._payments(time_ms)
        moved = await self._transfers()
        recv_ns, venue_ns = self._now_ns(), time_ms * _NS
        events: list[Event] = [*checked, *fills, *paid, *moved]
        for name in working:
            answer = _newest(answers.get(name), by_name.get(name))
            filled = self._filled(answer, fills)
            read = self._reading.answer(answer, name, venue_ns, recv_ns, filled=filled)
            events.append(self._as_placed(read))
        foreign = [self._reading.foreign(row, venue_ns, recv_ns) for row in foreign_rows]
        events += [one for one in foreign if one is not None]
        for dex, state in states.items():
            events += self._reading.positions(dex, state, recv_ns)
        events.append(
            AccountRead(
                recv_ns,
                venue_ns,
                self._gateway,
                MONEY_SCALE,
                self._reading.money(*(state.margin_summary.account_value for state in states.values())),
                self._reading.money(*(state.withdrawable for state in states.values())),
                len(opened),
                len(foreign_rows),
                self._reading.unrealized(states.values()),
            )
        )
        # Not later than our own clock: rows up to there are not read again.
        self._read_ms = min(time_ms, recv_ns // _NS)
        return events

    def sent(self) -> None:
        """Note that the last result of `read` was sent, so that older rows need not be read again."""
        self._since_ms = max(self._since_ms, self._read_ms - OVERLAP_MS)
        self._paid_until = max(self._paid_until, _hour(self._read_ms))

    async def query(self, query: QueryOrder, name: str) -> list[Event]:
        """Return the status of an order, its fills first. Raises VenueError.

        The fills are read only if some of the order are not reported yet, since that weighs five times as
        much as the status. An order attached to another one has no number until that one is filled, and a
        modified order had two numbers: for these the list of open orders decides.
        """
        with order_query():
            return await self._query(query, dex_of(name))

    async def _query(self, query: QueryOrder, dex: str) -> list[Event]:
        name = query.client_order_id
        clock = await self._clock.get()
        answer = await self._query_order(name)
        update = answer.order
        if update is None or self._orders.modified(name):
            opened = _by_name(await self._lists[dex].get())
            answer = _newest(answer, opened.get(name))
            update = answer.order
        fills: list[OrderFilled] = []
        if update is not None and (
            self._orders.missing(update.order.oid, self._reading.executed(update))
            or self._orders.is_refused_change(name, update.order.oid)  # the old leg may have filled
        ):
            fills = await self.fills()
        recv_ns, number = self._now_ns(), query.instrument
        filled = self._filled(answer, fills)
        read = self._reading.answer(answer, name, clock.time * _NS, recv_ns, number, filled=filled)
        return [*fills, self._as_placed(read)]

    def _as_placed(self, read: OrderRead) -> OrderRead:
        """Return a reading. The venue cancels an order before it refuses its replacement."""
        is_refused = self._orders.is_refused_change(read.client_order_id, read.venue_order_id)
        ended = read.state == "rejected" and is_refused
        return msgspec.structs.replace(read, state="canceled") if ended else read

    def _filled(self, answer: OrderAnswer, fills: list[OrderFilled]) -> int:
        """Return how much of an order is reported as filled once `fills` are."""
        return 0 if answer.order is None else self._orders.filled(answer.order.order.oid, fills)

    async def _check_clock(self) -> list[Event]:
        """Return the venue's clock if it has moved against ours since it was last reported."""
        await self._read_clock()
        reported_ns = self._reported_clock_ns
        if reported_ns is not None and abs(self.clock_ns - reported_ns) < CLOCK_MOVED_NS:
            return []
        self._reported_clock_ns = self.clock_ns
        return [ClockChecked(self._now_ns(), self._gateway, self.clock_ns)]

    async def _read_clock(self) -> ExchangeStatus:
        """Read the venue's clock. If it has moved far, it is read again, and the nearer answer counts."""
        status, clock_ns = await self._ask_clock()
        if abs(clock_ns - self.clock_ns) > self._ahead_ns:
            again, again_ns = await self._ask_clock()
            if abs(again_ns - self.clock_ns) < abs(clock_ns - self.clock_ns):
                status, clock_ns = again, again_ns
        self.clock_ns = clock_ns
        self._reading.ahead_ns = max(clock_ns, 0) + self._ahead_ns
        return status

    async def _ask_clock(self) -> tuple[ExchangeStatus, int]:
        sent_ns = self._now_ns()
        status = await self._info.exchange_status(Priority.ACCOUNT)
        venue_ns = status.time * _NS
        return status, min(venue_ns - sent_ns, 0) + max(venue_ns - self._now_ns(), 0)

    async def status(self, oid: int) -> WireUpdate | None:
        """Return the status of an order by its number. Raises VenueError."""
        request = {"type": "orderStatus", "user": self._user, "oid": oid}
        return (await self._info.request(request, OrderAnswer, Priority.ACCOUNT)).order

    async def fills(self) -> list[OrderFilled]:
        """Return the fills since the last known, oldest first. Raises VenueError."""
        rows = await self._rows("userFillsByTime", WireFill, self._since_ms, lambda row: (row.tid, row.oid))
        recv_ns = self._now_ns()
        fills = [self._reading.fill(row, recv_ns) for row in in_succession(rows)]
        return [fill for fill in fills if fill is not None]

    async def _payments(self, time_ms: int) -> list[Event]:
        """Return the funding paid since the last reading: read until that of the hour has to be there."""
        if time_ms // _HOUR_MS <= self._paid_until:
            return []
        start_ms = max(self.first_ms, (self._paid_until + 1) * _HOUR_MS)
        rows = await self._rows(
            "userFunding", WireFundingRow, start_ms, lambda row: (row.time, row.delta.coin)
        )
        recv_ns = self._now_ns()
        paid = [self._reading.payment(row, recv_ns) for row in rows]
        return [one for one in paid if one is not None]

    async def _transfers(self) -> list[Event]:
        """Return the transfers since the last known, oldest first."""
        rows = await self._rows(
            "userNonFundingLedgerUpdates",
            WireLedgerRow,
            self._since_ms,
            lambda row: (row.time, row.hash, str(row.delta)),
        )
        recv_ns = self._now_ns()
        moved = [self._reading.transfer(row, recv_ns) for row in rows]
        return [one for one in moved if one is not None]

    async def _rows(
        self, kind: str, shape: type[_Row], start_ms: int, key: Callable[[_Row], tuple[object, ...]]
    ) -> list[_Row]:
        """Return every row from a time on, once each, oldest first. Raises VenueError."""
        found: dict[tuple[object, ...], _Row] = {}
        for _ in range(PAGES_MAX):
            request = {"type": kind, "user": self._user, "startTime": start_ms}
            rows: list[_Row] = await self._info.request(request, list[shape], Priority.ACCOUNT)  # type: ignore[valid-type]
            before = len(found)
            found |= {key(row): row for row in _bounded(request, rows)}
            if len(rows) < FULL_ROWS or len(found) == before:
                break
            # Ends are inclusive: the last time is read again, and its rows are distinguished by their keys.
            start_ms = max(row.time for row in rows)
        return sorted(found.values(), key=lambda row: row.time)

    async def _still_open(self, opened: dict[str, OpenOrder], working: set[str]) -> list[OpenOrder]:
        """Return own orders that are open although the engine knows their end; each is queried to be sure."""
        found = []
        for name, row in opened.items():
            if name not in working and self._account.knows(name):
                update = await self.status(row.oid)
                if update is not None and update.status == "open" and name not in self._account.working():
                    found.append(row)
        return found

    async def _state(self, dex: str) -> WireState:
        return await self._info.request(self._of_dex("clearinghouseState", dex), WireState, Priority.ACCOUNT)

    async def _open_orders(self, dex: str) -> list[OpenOrder]:
        request = self._of_dex("frontendOpenOrders", dex)
        return _bounded(request, await self._info.request(request, list[OpenOrder], Priority.ACCOUNT))

    async def _query_order(self, client_order_id: str) -> OrderAnswer:
        request = {"type": "orderStatus", "user": self._user, "oid": client_order_id}
        return await self._info.request(request, OrderAnswer, Priority.ACCOUNT)

    def _of_dex(self, kind: str, dex: str) -> dict[str, str]:
        return {"type": kind, "user": self._user, **({"dex": dex} if dex else {})}


def _bounded(request: dict[str, Any], rows: list[_Any]) -> list[_Any]:
    """Return the rows of an answer. Raises VenueProtocolError for more than the venue can have."""
    if len(rows) > ROWS_MAX:
        raise VenueProtocolError(f"{request['type']} has {len(rows)} rows")
    return rows


def _by_name(opened: Iterable[OpenOrder]) -> dict[str, OpenOrder]:
    """Return open orders, and those that wait for one of them, by client id; of two the newer one."""
    found: dict[str, OpenOrder] = {}
    for row in sorted(opened, key=lambda row: row.oid):
        for one in (*row.children, row):
            if one.cloid is not None:
                found[one.cloid.lower()] = one
    return found


def _newest(answer: OrderAnswer | None, opened: OpenOrder | None) -> OrderAnswer:
    """Return the newer of an order's status and its entry in the list of open orders.

    The list decides where there is no status, where the status is that of an earlier number, and about the
    size of an order that both show as open: the status has it as it was when the order was placed.
    """
    update = None if answer is None else answer.order
    if opened is not None and (
        update is None
        or update.order.oid < opened.oid
        or (update.order.oid == opened.oid and not is_terminal(update.status))
    ):
        return OrderAnswer("order", WireUpdate(opened, "open", opened.timestamp))
    assert answer is not None, "an order that is not in the list was queried"
    return answer


def _hour(time_ms: int) -> int:
    return (time_ms - FUNDING_LATE_MS) // _HOUR_MS
