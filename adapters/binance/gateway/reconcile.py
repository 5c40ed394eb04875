"""Reads the account: open orders, fills, positions or balances, payments, transfers; and single orders.

Promises: a position is reported for a time at which it holds: the venue's clock is read before and after it,
and it is read again if a fill or payment lies between them; all fills up to that time are reported first;
statuses of own orders are reported after their fills; "no such order" counts only when every address that
could know it was asked; an execution belongs to the order whose number it has, and one of an order that a
stop fired to that stop; a missing answer raises, and a failed reading reports nothing. Called by the gateway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final, TypeVar

import msgspec

from adapters.binance.gateway.account_wire import (
    AlgoRow,
    FuturesAccount,
    Income,
    OrderRow,
    PositionRow,
    SpotAccount,
    TradeRow,
    VenueTime,
)
from adapters.binance.gateway.dialects import Dialect
from adapters.binance.gateway.memory import Orders
from adapters.binance.gateway.outcomes import NO_SUCH_ORDER
from adapters.binance.gateway.reading import Found, Reading, is_ended
from adapters.binance.gateway.rest import Rest, VenueRefused
from adapters.transport.amounts import MONEY_SCALE, decimal_of, money
from adapters.transport.governor import order_query
from adapters.transport.shared import Shared
from engine.errors import VenueProtocolError, VenueUnreachable
from engine.events import (
    AccountRead,
    ClockChecked,
    Event,
    ForeignOrderSeen,
    FundingPaid,
    InstrumentListed,
    OrderFilled,
    PositionRead,
    QueryOrder,
    TransferSeen,
)
from engine.venue import Account

__all__ = ["Reconciler"]

OVERLAP_MS: Final = 300_000
"""Fills this long before the last reading are read again: some become visible late."""

PAGE_ROWS: Final = 1000
PAGES_MAX: Final = 100
QUIET_TRIES: Final = 5
"""Readings of the positions until no fill lies within one."""

CLOCK_MOVED_NS: Final = 100_000_000
_NS: Final = 1_000_000
_Row = TypeVar("_Row")
_NO_SUCH: Final = frozenset({NO_SUCH_ORDER, -2011})


class _Price(msgspec.Struct, frozen=True):
    price: str


class Reconciler:
    """Reads one account. `first_ms` is the venue's time before which nothing is reported.

    `clock_ns` is the venue's clock minus ours; 0 if the delay of the answers explains the difference.
    """

    def __init__(
        self,
        rest: Rest,
        dialect: Dialect,
        reading: Reading,
        orders: Orders,
        gateway: str,
        account: Account,
        now_ns: Callable[[], int],
    ) -> None:
        self._rest = rest
        self._dialect = dialect
        self._reading = reading
        self._orders = orders
        self._gateway = gateway
        self._account = account
        self._now_ns = now_ns
        self.first_ms = account.since_ns // _NS
        self._since_ms = self._read_ms = self.first_ms
        self._conditionals: dict[str, int] = {}  # open ones of the last reading, with their instrument
        self.clock_ns = 0
        self._reported_clock_ns: int | None = None
        self._clock = Shared(self._time)

    def venue_ms(self) -> int:
        """Return the venue's time by our clock."""
        return (self._now_ns() + self.clock_ns) // _NS

    async def read(self) -> list[Event]:
        """Return the reports of a reconciliation, in order. Raises VenueError."""
        checked = await self._check_clock()
        before_ms = await self._time()
        opened = [row for listed in self._reading.listed for row in await self._open_orders(listed)]
        algos = [row for listed in self._reading.listed for row in await self._open_algos(listed)]
        by_name = {row.client_order_id: Found(row) for row in opened}
        by_name |= {row.client_algo_id: Found(None, row) for row in algos}
        for row in opened:
            number = self._reading.number(row.symbol)
            if self._orders.name_of(number, row.order_id) is None:
                self._orders.note_number(number, row.order_id, row.client_order_id)
        self._conditionals = {row.client_algo_id: self._reading.number(row.symbol) for row in algos}
        working = self._account.working()
        found = {
            name: by_name[name]
            if name in by_name and not self._orders.first_number(name)
            else await self._find_anywhere(name)
            for name in working
        }
        fills, positions, end, venue_ms = await self._quiet()
        paid = await self._income()
        recv_ns, venue_ns = self._now_ns(), before_ms * _NS
        events: list[Event] = [*checked, *fills, *paid]
        for name, one in found.items():
            events += self._answer(one, name, venue_ns, recv_ns, fills)
        foreign = await self._foreign(opened, set(working), recv_ns, venue_ns)
        events += [*foreign, *positions]
        equity, free, unrealized = end
        events.append(
            AccountRead(
                recv_ns,
                venue_ms * _NS,
                self._gateway,
                MONEY_SCALE,
                equity,
                free,
                len(opened) + len(algos),
                len(foreign),
                unrealized,
            )
        )
        self._read_ms = min(venue_ms, self.venue_ms())
        return events

    def sent(self) -> None:
        """Note that the last result of `read` was sent, so that older rows need not be read again."""
        self._since_ms = max(self._since_ms, self._read_ms - OVERLAP_MS)

    # Single orders.

    async def query(self, query: QueryOrder) -> list[Event]:
        """Return the state of an order, its fills first. Raises VenueError."""
        with order_query():
            return await self._query(query)

    async def _query(self, query: QueryOrder) -> list[Event]:
        name = self._reading.name(query.instrument)
        clock_ms = await self._clock.get()
        found = await self._find(query.client_order_id, query.instrument, name)
        fills: list[OrderFilled] = []
        row = found.order
        if row is not None:
            executed = (
                self._reading.size(query.instrument, row.executed_qty) if name in self._symbols() else 0
            )
            if self._orders.filled(query.client_order_id) < executed:
                fills = await self.fills()
        recv_ns = self._now_ns()
        return [
            *fills,
            *self._answer(found, query.client_order_id, clock_ms * _NS, recv_ns, fills, query.instrument),
        ]

    def _answer(
        self,
        found: Found,
        name: str,
        venue_ns: int,
        recv_ns: int,
        fills: list[OrderFilled],
        instrument: int = 0,
    ) -> list[Event]:
        row, algo = found
        symbol = row.symbol if row is not None else algo.symbol if algo is not None else ""
        number = instrument or (self._reading.number(symbol) if symbol else 0)
        number = number or self._reading.listed[0].instrument
        filled = self._orders.filled_with(name, fills)
        if row is not None and row.symbol == self._reading.name(number):
            # What was executed before this process began is known to the engine by now.
            executed = self._reading.size(number, row.executed_qty)
            if executed > filled and not self._orders.is_old(name, row.order_id):
                self._orders.note_filled(name, executed - (filled - self._orders.filled(name)))
        return [self._reading.answer(found, name, venue_ns, recv_ns, number, filled)]

    async def _find_anywhere(self, name: str) -> Found:
        """Return an own order whose market is not known: each is asked."""
        for listed in self._reading.listed:
            found = await self._find(name, listed.instrument, listed.name)
            if found.order is not None or found.algo is not None:
                return found
        return Found(None)

    async def _find(self, name: str, instrument: int, symbol: str) -> Found:
        """Return an own order. Every address is asked before it counts as absent."""
        if not symbol:
            raise VenueProtocolError("its instrument is not traded in this session")
        if first := self._orders.first_number(name):
            return Found(await self._newest(name, symbol, first))
        asks = [self._plain, self._conditional]
        if self._orders.is_conditional(name) or name in self._conditionals:
            asks.reverse()
        for ask in asks if not self._dialect.spot else asks[:1]:
            found = await ask(name, instrument, symbol)
            if found is not None:
                return found
        return Found(None)

    async def _plain(self, name: str, instrument: int, symbol: str) -> Found | None:
        row = await self._order({"symbol": symbol, "origClientOrderId": name})
        if row is None:
            return None
        self._orders.note_number(instrument, row.order_id, name)
        return Found(row)

    async def _conditional(self, name: str, instrument: int, symbol: str) -> Found | None:
        algo = await self._algo(name)
        if algo is None:
            return None
        # Its address knows no markets, so the order that it fired is looked for in the market that it names.
        symbol = algo.symbol or symbol
        self._orders.note_conditional(name, self._reading.number(symbol) or instrument, algo.fired)
        if not algo.fired:
            return Found(None, algo)
        row = await self._order({"symbol": symbol, "orderId": algo.fired})
        if row is None:
            raise VenueProtocolError(f"the order {algo.fired} that a stop fired is not there yet")
        return Found(row, algo)

    async def _order(self, params: Mapping[str, str | int]) -> OrderRow | None:
        """Return an order, None if this address does not know it."""
        return await self._known("order", params, OrderRow, self._dialect.order_weight)

    async def _algo(self, name: str) -> AlgoRow | None:
        """Return a conditional order, None if its address does not know it."""
        return await self._known("algoOrder", {"clientAlgoId": name}, AlgoRow, 1)

    async def _known(
        self, path: str, params: Mapping[str, str | int], shape: type[_Row], weight: int
    ) -> _Row | None:
        try:
            return await self._rest.read(self._dialect.path(path), params, shape, weight)
        except VenueRefused as refused:
            if refused.code in _NO_SUCH:
                return None
            raise

    async def _newest(self, name: str, symbol: str, first: int) -> OrderRow | None:
        """Return the newest order of a client id that was used again, of those from a number on."""
        params: dict[str, str | int] = {"symbol": symbol, "orderId": first, "limit": PAGE_ROWS}
        rows = await self._rest.read(
            self._dialect.path("allOrders"), params, list[OrderRow], self._dialect.all_weight
        )
        found = [row for row in rows if row.client_order_id == name]
        if not found:
            return await self._order({"symbol": symbol, "origClientOrderId": name})
        newest = max(found, key=lambda row: row.order_id)
        self._orders.note_number(self._reading.number(symbol), newest.order_id, name)
        return newest

    # Whose execution it is.

    async def owner(self, instrument: int, symbol: str, number: int) -> tuple[str, str]:
        """Return the client id that the venue shows for an order's number, and the own one it belongs to.

        The venue is asked where this is not known. An order of no own client id may be one that a stop fired.
        """
        shown = self._orders.name_of(instrument, number)
        if shown is None:
            row = await self._order({"symbol": symbol, "orderId": number})
            if row is None:
                raise VenueUnreachable(f"the order {number} of an execution cannot be found yet")
            shown = await self.claim(instrument, number, row.client_order_id)
        return shown, self._reading.own(shown)

    async def claim(self, instrument: int, number: int, shown: str) -> str:
        """Return the own client id that an order belongs to, or the one that it has.

        An order that a stop fired has another client id than the stop, and every stop that may have fired is
        asked.
        """
        if not self._reading.own(shown) and not self._dialect.spot:
            for name in self._suspects():
                algo = await self._algo(name)
                if algo is None:
                    continue
                self._orders.note_conditional(name, self._reading.number(algo.symbol), algo.fired)
                if algo.fired == number and self._reading.number(algo.symbol) == instrument:
                    return name
        self._orders.note_number(instrument, number, shown)
        return shown

    def _suspects(self) -> list[str]:
        """Return the own orders that may be stops whose fired order is not known."""
        names = dict.fromkeys([*self._account.working(), *self._orders.conditionals()])
        return [
            name
            for name in names
            if not self._orders.fired(name)
            and (self._orders.is_conditional(name) or not self._orders.number_of(name))
        ]

    # Lists.

    async def _open_orders(self, listed: InstrumentListed) -> list[OrderRow]:
        path, weight = self._dialect.path("openOrders"), self._dialect.open_weight
        return await self._rest.read(path, {"symbol": listed.name}, list[OrderRow], weight)

    async def _open_algos(self, listed: InstrumentListed) -> list[AlgoRow]:
        if self._dialect.spot:
            return []
        path = self._dialect.path("openAlgoOrders")
        return await self._rest.read(path, {"symbol": listed.name}, list[AlgoRow])

    async def fills(self) -> list[OrderFilled]:
        """Return the fills since the last known, oldest first. Raises VenueError."""
        now_ms = self.venue_ms()
        found: list[OrderFilled] = []
        for listed in self._reading.listed:
            rows: dict[int, TradeRow] = {}
            start_ms = self._since_ms
            for _ in range(PAGES_MAX):
                page = await self._trades(listed.name, start_ms)
                new = [row for row in page if row.id not in rows]
                rows |= {row.id: row for row in page}
                if len(page) >= PAGE_ROWS and new:
                    start_ms = max(row.time for row in page)
                elif start_ms + self._dialect.trades_span_ms <= now_ms:
                    start_ms += self._dialect.trades_span_ms
                else:
                    break
            for row in sorted(rows.values(), key=lambda row: (row.time, row.id)):
                shown, name = await self.owner(listed.instrument, listed.name, row.order_id)
                fill = self._reading.trade(row, shown, name, self._now_ns())
                found += [] if fill is None else [fill]
        return sorted(found, key=lambda fill: fill.venue_ns)

    async def _trades(self, symbol: str, start_ms: int) -> list[TradeRow]:
        params: dict[str, str | int] = {"symbol": symbol, "startTime": start_ms, "limit": PAGE_ROWS}
        params["endTime"] = start_ms + self._dialect.trades_span_ms - 1
        path = self._dialect.path(self._dialect.trades)
        return await self._rest.read(path, params, list[TradeRow], self._dialect.trades_weight)

    async def _foreign(
        self, opened: list[OrderRow], working: set[str], recv_ns: int, venue_ns: int
    ) -> list[ForeignOrderSeen]:
        """Return open orders that this journal did not send, and own ones whose end the engine knows."""
        found = []
        for row in opened:
            number = self._reading.number(row.symbol)
            name = self._orders.name_of(number, row.order_id) or row.client_order_id
            if name in working:
                continue
            if not self._reading.own(name):
                name = await self.claim(number, row.order_id, row.client_order_id)
            if self._reading.own(name):
                again = await self._order({"symbol": row.symbol, "orderId": row.order_id})
                if again is None or is_ended(again.status) or name in self._account.working():
                    continue
            one = self._reading.foreign(row, venue_ns, recv_ns)
            found += [] if one is None else [one]
        return found

    # Positions and money.

    async def _quiet(
        self,
    ) -> tuple[list[OrderFilled], list[PositionRead], tuple[int | str, int | str, int | str | None], int]:
        """Return fills, positions and money of one moment: no fill lies between the clocks around it."""
        for _ in range(QUIET_TRIES):
            before_ms = await self._time()
            rows, money_of = await self._state()
            after_ms = await self._time()
            fills = await self.fills()
            moved = any(before_ms <= fill.venue_ns // _NS <= after_ms for fill in fills)
            if not moved:
                recv_ns = self._now_ns()
                if isinstance(rows, SpotAccount):
                    positions = self._reading.balances(rows, after_ms * _NS, recv_ns)
                else:
                    positions = self._reading.positions(rows, after_ms * _NS, recv_ns)
                return fills, positions, money_of, after_ms
        raise VenueUnreachable("the account changes all the time: no moment without a fill was found")

    async def _state(
        self,
    ) -> tuple[list[PositionRow] | SpotAccount, tuple[int | str, int | str, int | str | None]]:
        if self._dialect.spot:
            account = await self._rest.read(self._dialect.path("account"), {}, SpotAccount, 20)
            return account, await self._spot_money(account)
        positions = await self._rest.read("/fapi/v3/positionRisk", {}, list[PositionRow], 5)
        balances = await self._rest.read("/fapi/v3/account", {}, FuturesAccount, 5)
        return positions, self._reading.futures_money(balances)

    async def _spot_money(self, account: SpotAccount) -> tuple[int | str, int | str, None]:
        """Return what the quote currency and the base assets of this session are worth, in whole steps."""
        held = self._reading.held(account)
        free = held.get(self._reading.quote, Decimal(0))
        worth = free
        for listed in self._reading.listed:
            steps = self._reading.whole_steps(held.get(listed.rules.base, Decimal(0)), listed)
            if steps:
                path = f"{self._dialect.path('ticker/price')}?symbol={listed.name}"
                price = await self._rest.read(path, {}, _Price, 2, signed=False)
                worth += Decimal(steps).scaleb(-listed.size_scale) * decimal_of(price.price)
        return money(worth), money(free), None

    async def _income(self) -> list[FundingPaid | TransferSeen]:
        """Return payments and transfers of a futures account since the last known, oldest first."""
        if self._dialect.spot:
            return []
        rows: dict[tuple[str, str], Income] = {}
        start_ms = self._since_ms
        for _ in range(PAGES_MAX):
            params = {"startTime": start_ms, "endTime": self.venue_ms() + 60_000, "limit": PAGE_ROWS}
            page = await self._rest.read("/fapi/v1/income", params, list[Income], 30)
            before = len(rows)
            rows |= {(f"{row.tran_id}", f"{row.income_type} {row.asset} {row.symbol}"): row for row in page}
            if len(page) < PAGE_ROWS or len(rows) == before:
                break
            start_ms = max(row.time for row in page)
        recv_ns = self._now_ns()
        found: list[FundingPaid | TransferSeen] = []
        for row in sorted(rows.values(), key=lambda row: row.time):
            one = self._reading.funding(row, recv_ns) or self._reading.transfer(row, recv_ns)
            found += [] if one is None else [one]
        return found

    # The clock.

    async def _time(self) -> int:
        return (await self._rest.read(self._dialect.path("time"), {}, VenueTime, signed=False)).server_time

    async def _check_clock(self) -> list[Event]:
        """Return the venue's clock if it has moved against ours since it was last reported."""
        sent_ns = self._now_ns()
        venue_ns = await self._time() * _NS
        self.clock_ns = min(venue_ns + _NS - sent_ns, 0) + max(venue_ns - self._now_ns(), 0)
        reported_ns = self._reported_clock_ns
        if reported_ns is not None and abs(self.clock_ns - reported_ns) < CLOCK_MOVED_NS:
            return []
        self._reported_clock_ns = self.clock_ns
        return [ClockChecked(self._now_ns(), self._gateway, self.clock_ns)]

    def _symbols(self) -> list[str]:
        return [one.name for one in self._reading.listed]
