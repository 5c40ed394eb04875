"""The venue's rows about an account as events: exact integers, nanoseconds, only instruments of this session.

A row of another market is left out and counted. An impossible number makes the whole message a
VenueProtocolError. Fees are millionths of an execution's value, rounded up to the decimals of price * size.
Called by the account's stream and by reconciliation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final

from adapters.lighter.gateway.account_wire import (
    AccountRow,
    FundingRow,
    OrderRow,
    TradeRow,
    TransferRow,
)
from adapters.transport.amounts import MONEY_SCALE, amount, decimal_of, money, scaled, whole
from adapters.transport.text import clip
from engine.errors import VenueProtocolError
from engine.events import (
    ForeignOrderSeen,
    FundingPaid,
    InstrumentListed,
    OrderFilled,
    OrderRead,
    PositionRead,
    TransferSeen,
)
from engine.values import BUY, SELL, wide

__all__ = ["Reading", "end_reason", "is_ended", "is_fired"]

USDC: Final = 3
"""The number of the asset that an account's collateral is in."""

_RATE_SCALE: Final = 18
_MILLION: Final = 1_000_000
_US: Final = 1_000
_SECONDS_MAX: Final = 100_000_000_000
_MILLIS_MAX: Final = 100_000_000_000_000
_EARLIEST_NS: Final = 1_420_070_400_000_000_000  # 2015
_AHEAD_NS: Final = 60_000_000_000
_OPEN: Final = frozenset({"in-progress", "pending", "open"})
_TRIGGERED: Final = ("stop-loss", "take-profit")
_CANCELED: Final = "canceled"
_FORCED: Final = {"liquidation": "liquidation", "deleverage": "adl"}
_REASONS: Final = {
    "expired": "expired",
    "invalid-balance": "margin: the balance is insufficient",
    "liquidation": "liquidatedCanceled",
    "margin-not-allowed": "margin: insufficient",
    "not-enough-liquidity": "Ioc: the rest found no liquidity",
    "position-not-allowed": "margin: the position is not allowed",
    "post-only": "post only: it would trade at once",
    "reduce-only": "reduceOnlyCanceled",
    "self-trade": "selfTradeCanceled",
    "too-much-slippage": "Ioc: the rest found no liquidity within its bound",
}


class Reading:
    """Reads rows of one account for a fixed set of instruments. `markets` are the venue's numbers by name.

    `named` returns the client order id of a client index, "" for one that this journal did not give.
    `dropped` counts what was left out, by reason.
    """

    def __init__(
        self,
        instruments: Iterable[InstrumentListed],
        markets: Mapping[str, int],
        account: int,
        named: Callable[[int], str],
    ) -> None:
        self._by_market = {markets[one.name]: one for one in instruments}
        self._by_number = {one.instrument: one for one in self._by_market.values()}
        self._account = account
        self.named = named
        self.dropped: Counter[str] = Counter()

    @property
    def listed(self) -> list[InstrumentListed]:
        """The instruments of this session."""
        return list(self._by_number.values())

    def trades(self, instrument: int) -> bool:
        """Return whether an instrument is traded in this session."""
        return instrument in self._by_number

    def of_market(self, market: int) -> InstrumentListed | None:
        """Return the instrument of a market, None for one that is not traded here."""
        listed = self._by_market.get(market)
        if listed is None:
            self.dropped["foreign market"] += 1
        return listed

    def time_ns(self, at: int, recv_ns: int) -> int:
        """Return a time of the venue in seconds, ms or µs, at most a little ahead of its receipt.

        Raises VenueProtocolError.
        """
        unit = 1_000_000_000 if at < _SECONDS_MAX else 1_000_000 if at < _MILLIS_MAX else _US
        if at * unit < _EARLIEST_NS:
            raise VenueProtocolError(f"the time {at} is impossible")
        return min(at * unit, recv_ns + _AHEAD_NS)

    # Executions.

    def fills(self, row: TradeRow, recv_ns: int) -> list[OrderFilled]:
        """Return what an execution is to this account: two fills if it traded with itself."""
        listed = self.of_market(row.market_id)
        if listed is None:
            return []
        sides = ((SELL, row.ask_account_id), (BUY, row.bid_account_id))
        return [self._fill(row, listed, side, recv_ns) for side, owner in sides if owner == self._account]

    def _fill(self, row: TradeRow, listed: InstrumentListed, side: int, recv_ns: int) -> OrderFilled:
        sells = side == SELL
        number, index = (row.ask_id, row.ask_client_id) if sells else (row.bid_id, row.bid_client_id)
        maker = row.is_maker_ask == sells
        rate = (row.maker_fee if maker else row.taker_fee) or 0
        fee = decimal_of(row.usd_amount) * rate / _MILLION
        name = self.named(index)
        # Executions of one microsecond are in the order of their numbers, however they are reported.
        venue_ns = (
            self.time_ns(row.transaction_time or row.timestamp, recv_ns) // _US * _US + row.trade_id % _US
        )
        # The one who is closed takes, without an order of its own.
        forced = "" if name or maker else _FORCED.get(row.type, "")
        return OrderFilled(
            recv_ns,
            venue_ns,
            name,
            listed.instrument,
            side,
            whole(row.price, listed.price_scale, listed.name),
            whole(row.size, listed.size_scale, listed.name),
            wide(scaled(fee, listed.money_scale, ROUND_CEILING)),
            "maker" if maker else "taker",
            row.trade_id,
            number,
            cause=forced,
        )

    # Orders.

    def shape(self, row: OrderRow, listed: InstrumentListed) -> tuple[int, int]:
        """Return the limit price and the whole size of an order, what is filled included."""
        price = amount(row.price, listed.price_scale, listed.name)
        return price, amount(row.initial_base_amount, listed.size_scale, listed.name)

    def sizes(self, row: OrderRow, listed: InstrumentListed) -> tuple[int, int]:
        """Return what of an order is filled, and what is open."""
        filled = amount(row.filled_base_amount, listed.size_scale, listed.name)
        return filled, amount(row.remaining_base_amount, listed.size_scale, listed.name)

    def answer(
        self, row: OrderRow | None, name: str, venue_ns: int, recv_ns: int, instrument: int, filled: int = 0
    ) -> OrderRead:
        """Return the state of an own order. Its open size is at most what is left after `filled`, which is
        reported by then.
        """
        if row is None:
            return OrderRead(recv_ns, venue_ns, name, instrument, "absent")
        left = price = 0
        listed = self.of_market(row.market_index)
        if listed is not None and listed.instrument == instrument:
            price, size = self.shape(row, listed)
            left = max(0, size - max(self.sizes(row, listed)[0], filled))
        state = "open" if row.status in _OPEN else "filled" if row.status == "filled" else "canceled"
        reason, number = end_reason(row), row.order_index
        read = (state, number, left, price, reason, is_fired(row))
        return OrderRead(recv_ns, venue_ns, name, instrument, *read)

    def foreign(self, row: OrderRow, venue_ns: int, recv_ns: int) -> ForeignOrderSeen | None:
        """Return an open order that this journal did not send."""
        listed = self.of_market(row.market_index)
        if listed is None:
            return None
        index = str(row.client_order_index) if row.client_order_index else ""
        side, left, price = (
            SELL if row.is_ask else BUY,
            self.sizes(row, listed)[1],
            self.shape(row, listed)[0],
        )
        where = (listed.instrument, row.order_index, index)
        return ForeignOrderSeen(recv_ns, venue_ns, *where, side, left, price)

    # Positions and money.

    def positions(self, account: AccountRow, venue_ns: int, recv_ns: int) -> list[PositionRead]:
        """Return the position of every instrument, 0 where there is no row."""
        held = {row.market_id: row for row in account.positions or []}
        found = []
        for market, listed in self._by_market.items():
            row, size, entry = held.get(market), 0, Decimal(0)
            if row is not None:
                size = row.sign * amount(row.position, listed.size_scale, listed.name)
                entry = decimal_of(row.avg_entry_price) if size else entry
            price = wide(scaled(entry, MONEY_SCALE, ROUND_FLOOR))
            found.append(PositionRead(recv_ns, venue_ns, listed.instrument, size, MONEY_SCALE, price))
        return found

    def money(self, account: AccountRow) -> tuple[int | str, int | str, int | str]:
        """Return equity, what is available, and the profit of open positions."""
        unrealized = sum((decimal_of(row.unrealized_pnl) for row in account.positions or []), Decimal(0))
        equity = decimal_of(account.collateral) + unrealized
        return money(equity), money(decimal_of(account.available_balance)), money(unrealized)

    def funding(self, row: FundingRow, recv_ns: int) -> FundingPaid | None:
        """Return a funding payment."""
        listed = self.of_market(row.market_id)
        if listed is None:
            return None
        size = amount(row.position_size, listed.size_scale, listed.name)
        paid = wide(scaled(decimal_of(row.change), _RATE_SCALE, ROUND_FLOOR))
        rate = wide(scaled(decimal_of(row.rate), _RATE_SCALE, ROUND_FLOOR))
        held = size if row.position_side == "long" else -size
        venue_ns = self.time_ns(row.timestamp, recv_ns)
        return FundingPaid(recv_ns, venue_ns, listed.instrument, held, _RATE_SCALE, paid, rate)

    def transfer(self, row: TransferRow, recv_ns: int) -> TransferSeen | None:
        """Return money in USDC that came from another account, or went to one."""
        into, out_of = (one == self._account for one in (row.to_account_index, row.from_account_index))
        if row.asset_id != USDC or into == out_of:
            self.dropped["transfer"] += 1
            return None
        moved = money(decimal_of(row.amount) * (1 if into else -1))
        venue_ns = self.time_ns(row.timestamp, recv_ns)
        return TransferSeen(recv_ns, venue_ns, MONEY_SCALE, moved, "", "transfer", row.id)


def is_ended(row: OrderRow) -> bool:
    """Return whether an order has ended. Raises VenueProtocolError for an unknown status."""
    if row.status in _OPEN:
        return False
    if row.status != "filled" and not row.status.startswith(_CANCELED):
        raise VenueProtocolError(f"{clip(row.status)} is not a known status of an order")
    return True


def is_fired(row: OrderRow) -> bool:
    """Return whether the price has reached the trigger of an order that had one."""
    waits = row.status == "pending" or row.trigger_status == "mark-price"
    return row.type.startswith(_TRIGGERED) and not waits and not row.status.startswith(_CANCELED)


def end_reason(row: OrderRow) -> str:
    """Return why an order ended, in the engine's words."""
    if not row.status.startswith(_CANCELED):
        return ""
    why = row.status.removeprefix(_CANCELED).removeprefix("-")
    return _REASONS.get(why, f"{why}Canceled") if why else "canceled"
