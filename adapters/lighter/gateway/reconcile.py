"""Reads the account: open orders, fills, positions, payments, transfers; and single orders.

Promises: a position is reported for a time at which it holds: the venue's clock is read before and after it,
and it is read again if a fill or payment lies between them; all fills up to that time are reported first;
statuses of own orders are reported after their fills; an order counts as absent only if the venue has it
neither among the orders of its client index nor, where its number is known, among those that ended; a missing
answer raises, and a failed reading reports nothing. Called by the gateway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from adapters.lighter.gateway.account_wire import (
    AccountRow,
    AccountsAnswer,
    FundingsAnswer,
    OrderRow,
    OrdersAnswer,
    TradeRow,
    TradesAnswer,
    TransfersAnswer,
)
from adapters.lighter.gateway.memory import Orders, client_index
from adapters.lighter.gateway.reading import Reading, is_ended
from adapters.lighter.gateway.rest import Rest
from adapters.transport.amounts import MONEY_SCALE
from adapters.transport.governor import order_query
from adapters.transport.shared import Shared
from engine.errors import VenueProtocolError, VenueUnreachable
from engine.events import (
    AccountRead,
    ClockChecked,
    Event,
    ForeignOrderSeen,
    FundingPaid,
    OrderFilled,
    PositionRead,
    QueryOrder,
    TransferSeen,
)
from engine.venue import Account

__all__ = ["Reconciler"]

OVERLAP_MS: Final = 300_000
"""Fills this long before the last reading are read again: some become visible late."""

PAGE_ROWS: Final = 100
PAGES_MAX: Final = 100
INDEXES_MAX: Final = 20
"""Client indices that one request may name."""

QUIET_TRIES: Final = 5
"""Readings of the positions until no fill lies within one."""

CLOCK_MOVED_NS: Final = 100_000_000
_NS: Final = 1_000_000


class Reconciler:
    """Reads one account. Nothing of the venue's time before the account's `since_ns` is reported.

    `clock_ns` is the venue's clock minus ours; 0 if the delay and the units of the answers explain the
    difference.
    """

    def __init__(
        self,
        rest: Rest,
        reading: Reading,
        orders: Orders,
        gateway: str,
        account: Account,
        now_ns: Callable[[], int],
    ) -> None:
        self._rest = rest
        self._reading = reading
        self._orders = orders
        self._gateway = gateway
        self._account = account
        self._now_ns = now_ns
        self.clock_ns = 0
        self._reported_clock_ns: int | None = None
        self._clock = Shared(rest.now_ms)
        self._since_ms = self._read_ms = account.since_ns // _NS

    def venue_ms(self) -> int:
        """Return the venue's time by our clock."""
        return (self._now_ns() + self.clock_ns) // _NS

    async def read(self) -> list[Event]:
        """Return the reports of a reconciliation, in order. Raises VenueError."""
        checked = await self._check_clock()
        before_ms, _ = await self._rest.now_ms()
        opened = await self._open_orders()
        by_index = {row.client_order_index: row for row in opened}
        working = self._account.working()
        found = {name: by_index.get(client_index(name)) for name in working}
        missing = [name for name, row in found.items() if row is None]
        found |= await self._find(missing)
        fills, positions, account, venue_ms = await self._quiet()
        paid, moved = await self._payments(), await self._transfers()
        recv_ns, venue_ns = self._now_ns(), before_ms * _NS
        events: list[Event] = [*checked, *fills, *paid, *moved]
        for name, row in found.items():
            events.append(self._answer(row, name, venue_ns, recv_ns, fills))
        foreign = await self._foreign(opened, set(working), recv_ns, venue_ns)
        equity, free, unrealized = self._reading.money(account)
        counts = len(opened), len(foreign)
        name = self._gateway
        events += [*foreign, *positions]
        events.append(
            AccountRead(recv_ns, venue_ms * _NS, name, MONEY_SCALE, equity, free, *counts, unrealized)
        )
        self._read_ms = min(venue_ms, self.venue_ms())
        return events

    def sent(self) -> None:
        """Note that the last result of `read` was sent, so that older rows need not be read again."""
        self._since_ms = max(self._since_ms, self._read_ms - OVERLAP_MS)

    # Orders.

    async def query(self, query: QueryOrder) -> list[Event]:
        """Return the state of an order, its fills first. Raises VenueError."""
        if not self._reading.trades(query.instrument):
            raise VenueProtocolError("its instrument is not traded in this session")
        with order_query():
            clock_ms, _ = await self._clock.get()
            name = query.client_order_id
            row = (await self._find([name]))[name]
            fills: list[OrderFilled] = []
            if row is not None and self._orders.filled(name) < self._filled(row):
                fills = await self.fills()
        self._orders.unchanged(name)
        answer = self._answer(row, name, clock_ms * _NS, self._now_ns(), fills, query.instrument)
        return [*fills, answer]

    def _answer(
        self,
        row: OrderRow | None,
        name: str,
        venue_ns: int,
        recv_ns: int,
        fills: list[OrderFilled],
        instrument: int = 0,
    ) -> Event:
        listed = self._reading.of_market(row.market_index) if row is not None else None
        number = instrument or (listed or self._reading.listed[0]).instrument
        filled = self._orders.filled_with(name, fills)
        if row is not None and listed is not None:
            self._orders.note_number(listed.instrument, row.order_index, name)
            self._orders.note_shape(name, *self._reading.shape(row, listed))
            # What was executed before this process began is known to the engine by now.
            executed = self._filled(row)
            if executed > filled:
                self._orders.note_filled(name, executed - (filled - self._orders.filled(name)))
        return self._reading.answer(row, name, venue_ns, recv_ns, number, filled)

    def _filled(self, row: OrderRow) -> int:
        listed = self._reading.of_market(row.market_index)
        return 0 if listed is None else self._reading.sizes(row, listed)[0]

    async def _open_orders(self) -> list[OrderRow]:
        asked = {"account_index": self._rest.signer.account}
        return (await self._rest.read("accountActiveOrders", asked, OrdersAnswer)).orders or []

    async def _find(self, names: Iterable[str]) -> dict[str, OrderRow | None]:
        """Return own orders, None for one that the venue does not have."""
        by_index = {client_index(name): name for name in names}
        found: dict[str, OrderRow | None] = dict.fromkeys(by_index.values())
        indexes = list(by_index)
        for start in range(0, len(indexes), INDEXES_MAX):
            page = indexes[start : start + INDEXES_MAX]
            asked: dict[str, str | int] = {
                "account_index": self._rest.signer.account,
                "client_order_indexes": ",".join(str(index) for index in page),
            }
            answer = await self._rest.read("accountOrders", asked, OrdersAnswer)
            for row in answer.orders or []:
                if (name := by_index.get(row.client_order_index)) is not None:
                    found[name] = row
        # It names only orders that ended a short time ago.
        older = [name for name, row in found.items() if row is None and self._orders.number_of(name)]
        if older:
            found |= await self._ended(older)
        return found

    async def _ended(self, names: list[str]) -> dict[str, OrderRow | None]:
        """Return own orders, whose numbers are known, among those that ended: the newest first."""
        wanted = {self._orders.number_of(name): name for name in names}
        found: dict[str, OrderRow | None] = {}
        cursor = ""
        for _ in range(PAGES_MAX):
            asked: dict[str, str | int] = {"account_index": self._rest.signer.account, "limit": PAGE_ROWS}
            asked |= {"cursor": cursor} if cursor else {}
            answer = await self._rest.read("accountInactiveOrders", asked, OrdersAnswer)
            found |= {
                wanted[row.order_index]: row for row in answer.orders or [] if row.order_index in wanted
            }
            cursor = answer.next_cursor or ""
            if len(found) == len(wanted) or not cursor or not answer.orders:
                break
        return found

    async def _foreign(
        self, opened: list[OrderRow], working: set[str], recv_ns: int, venue_ns: int
    ) -> list[ForeignOrderSeen]:
        """Return open orders that this journal did not send, and own ones whose end the engine knows."""
        found = []
        for row in opened:
            name = self._reading.named(row.client_order_index)
            if name in working:
                continue
            if name:
                again = (await self._find([name]))[name]
                if again is None or is_ended(again) or name in self._account.working():
                    continue
            one = self._reading.foreign(row, venue_ns, recv_ns)
            found += [] if one is None else [one]
        return found

    # Fills, payments, transfers.

    async def fills(self) -> list[OrderFilled]:
        """Return the fills since the last known, oldest first. Raises VenueError."""
        rows: dict[int, TradeRow] = {}
        cursor, recv_ns = "", self._now_ns()
        for _ in range(PAGES_MAX):
            asked: dict[str, str | int] = {
                "account_index": self._rest.signer.account,
                "sort_by": "timestamp",
                "sort_dir": "desc",
                "limit": PAGE_ROWS,
            }
            asked |= {"cursor": cursor} if cursor else {}
            answer = await self._rest.read("trades", asked, TradesAnswer)
            page = answer.trades or []
            rows |= {row.trade_id: row for row in page}
            cursor = answer.next_cursor or ""
            if not page or not cursor or self._is_old(min(row.timestamp for row in page)):
                break
        kept = sorted(rows.values(), key=lambda row: (row.transaction_time or row.timestamp, row.trade_id))
        found = [fill for row in kept for fill in self._reading.fills(row, recv_ns)]
        return [fill for fill in found if fill.venue_ns >= self._since_ms * _NS]

    async def _payments(self) -> list[FundingPaid]:
        """Return funding payments since the last known, oldest first."""
        found: list[FundingPaid] = []
        cursor, recv_ns = "", self._now_ns()
        for _ in range(PAGES_MAX):
            asked: dict[str, str | int] = {"account_index": self._rest.signer.account, "limit": PAGE_ROWS}
            asked |= {"cursor": cursor} if cursor else {}
            answer = await self._rest.read("positionFunding", asked, FundingsAnswer)
            page = answer.position_fundings or []
            found += [one for row in page if (one := self._reading.funding(row, recv_ns)) is not None]
            cursor = answer.next_cursor or ""
            if not page or not cursor or self._is_old(min(row.timestamp for row in page)):
                break
        kept = [one for one in found if one.venue_ns >= self._since_ms * _NS]
        return sorted(kept, key=lambda one: one.venue_ns)

    async def _transfers(self) -> list[TransferSeen]:
        """Return transfers since the last known, oldest first."""
        found: list[TransferSeen] = []
        cursor, recv_ns = "", self._now_ns()
        for _ in range(PAGES_MAX):
            asked: dict[str, str | int] = {"account_index": self._rest.signer.account}
            asked |= {"cursor": cursor} if cursor else {}
            answer = await self._rest.read("transfer/history", asked, TransfersAnswer)
            page = answer.transfers or []
            found += [one for row in page if (one := self._reading.transfer(row, recv_ns)) is not None]
            cursor = answer.cursor or ""
            if not page or not cursor or self._is_old(min(row.timestamp for row in page)):
                break
        kept = [one for one in found if one.venue_ns >= self._since_ms * _NS]
        return sorted(kept, key=lambda one: one.venue_ns)

    def _is_old(self, at: int) -> bool:
        return self._reading.time_ns(at, self._now_ns()) < self._since_ms * _NS

    # Positions and money.

    async def _quiet(self) -> tuple[list[OrderFilled], list[PositionRead], AccountRow, int]:
        """Return fills, positions and money of one moment: no fill lies between the clocks around it."""
        for _ in range(QUIET_TRIES):
            before_ms, _ = await self._rest.now_ms()
            account = await self._state()
            after_ms, latest_ms = await self._rest.now_ms()
            fills = await self.fills()
            if not any(before_ms <= fill.venue_ns // _NS <= latest_ms for fill in fills):
                positions = self._reading.positions(account, after_ms * _NS, self._now_ns())
                return fills, positions, account, after_ms
        raise VenueUnreachable("the account changes all the time: no moment without a fill was found")

    async def _state(self) -> AccountRow:
        asked: dict[str, str | int] = {"by": "index", "value": self._rest.signer.account}
        answer = await self._rest.read("account", asked, AccountsAnswer, signed=False)
        for row in answer.accounts or []:
            if row.account_index == self._rest.signer.account:
                return row
        raise VenueProtocolError("an answer without the account that was asked for")

    # The clock.

    async def _check_clock(self) -> list[Event]:
        """Return the venue's clock if it has moved against ours since it was last reported."""
        sent_ns = self._now_ns()
        earliest_ms, latest_ms = await self._rest.now_ms()
        latest_ns = (latest_ms + 1) * _NS
        self.clock_ns = min(latest_ns - sent_ns, 0) + max(earliest_ms * _NS - self._now_ns(), 0)
        reported_ns = self._reported_clock_ns
        if reported_ns is not None and abs(self.clock_ns - reported_ns) < CLOCK_MOVED_NS:
            return []
        self._reported_clock_ns = self.clock_ns
        return [ClockChecked(self._now_ns(), self._gateway, self.clock_ns)]
