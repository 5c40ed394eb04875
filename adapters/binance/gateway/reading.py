"""The venue's rows about an account as events: exact integers, nanoseconds, only instruments of this session.

A row of another instrument is left out and counted. An impossible number makes the whole message a
VenueProtocolError. A fee in another asset than the quote currency (BNB, or what a spot buy received) names
it. A fee in the base asset of a spot market is exact, every other one is rounded up to the decimals of
price * size. Called by the account's stream and by
reconciliation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final, NamedTuple

from msgspec.structs import replace

from adapters.binance.gateway.account_wire import (
    AlgoRow,
    BalanceUpdate,
    ExecutionReport,
    FuturesAccount,
    Income,
    OrderRow,
    PositionRow,
    SpotAccount,
    TradeRow,
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
from engine.values import BUY, SELL, power_of_ten, wide

__all__ = ["WAITING_NUMBER", "Found", "Reading", "end_reason", "is_ended"]

WAITING_NUMBER: Final = 1
"""The number of a stop before it fires. The venue counts stops apart, and the engine takes a higher
number of an order for a newer one: the order that the stop fires has to be that."""

_RATE_SCALE: Final = 18
_NS: Final = 1_000_000
_EARLIEST_MS: Final = 1_420_070_400_000  # 2015
_AHEAD_NS: Final = 60_000_000_000
_SIDES: Final = {"BUY": BUY, "SELL": SELL}
_BOOKED: Final = frozenset({"COMMISSION", "REALIZED_PNL", "FUNDING_FEE"})
_OPEN: Final = frozenset({"NEW", "PARTIALLY_FILLED", "PENDING_NEW", "PENDING_CANCEL"})
_LIQUIDATES: Final = (("adl_autoclose", "adl"), ("autoclose-", "liquidation"))
_EXPIRIES: Final = {
    "1": "selfTradeCanceled",
    "2": "Ioc: the rest found no liquidity",
    "3": "selfTradeCanceled",
    "4": "reduceOnlyCanceled",
    "5": "liquidatedCanceled",
    "7": "delistedCanceled",
    "9": "Ioc: the rest found no liquidity",
}


class Found(NamedTuple):
    """An own order at the venue: its row, None if no address knows it, and the conditional order it is of."""

    order: OrderRow | None
    algo: AlgoRow | None = None


class Reading:
    """Reads rows for a fixed set of instruments.

    `ours` returns whether a client id was given by this journal.
    `dropped` counts what was left out, by reason.
    """

    def __init__(
        self, instruments: Iterable[InstrumentListed], ours: Callable[[str], bool] = lambda _: True
    ) -> None:
        self._by_name = {one.name: one for one in instruments}
        self._by_number = {one.instrument: one for one in self._by_name.values()}
        self._ours = ours
        self.dropped: Counter[str] = Counter()
        self.quote = next((one.rules.quote for one in self._by_name.values() if one.rules.quote), "USDT")

    @property
    def listed(self) -> list[InstrumentListed]:
        """The instruments of this session."""
        return list(self._by_name.values())

    def name(self, instrument: int) -> str:
        """Return the name of an instrument, "" for one that is not traded here."""
        listed = self._by_number.get(instrument)
        return "" if listed is None else listed.name

    def number(self, symbol: str) -> int:
        """Return the number of an instrument, 0 for one that is not traded here."""
        listed = self._by_name.get(symbol)
        if listed is None:
            self.dropped["foreign instrument"] += 1
        return 0 if listed is None else listed.instrument

    def own(self, client_id: str) -> str:
        """Return a client id that this journal gave, else ""."""
        return client_id if self._ours(client_id) else ""

    def size(self, instrument: int, text: str) -> int:
        """Return a size at the instrument's scale. Raises VenueProtocolError."""
        return amount(text, self._by_number[instrument].size_scale, self.name(instrument))

    def time_ns(self, time_ms: int, recv_ns: int) -> int:
        """Return a time of the venue, at most a little ahead of its receipt. Raises VenueProtocolError."""
        if time_ms < _EARLIEST_MS:
            raise VenueProtocolError(f"the time {time_ms} is impossible")
        return min(time_ms * _NS, recv_ns + _AHEAD_NS)

    # Executions.

    def trade(self, row: TradeRow, shown: str, name: str, recv_ns: int) -> OrderFilled | None:
        """Return an execution that was read. `shown` is the client id of its order at the venue, `name` the
        own client id that it belongs to.
        """
        bought = row.is_buyer if row.is_buyer is not None else row.buyer
        maker = row.is_maker if row.is_maker is not None else row.maker
        if bought is None or maker is None:
            raise VenueProtocolError("an execution without its side")
        fee = (row.commission, row.commission_asset)
        side, number = BUY if bought else SELL, (row.id, row.order_id)
        return self.fill(
            row.symbol, side, row.price, row.qty, fee, maker, number, row.time, shown, name, recv_ns
        )

    def fill(
        self,
        symbol: str,
        side: int,
        price: str,
        size: str,
        fee: tuple[str, str],
        maker: bool,
        number: tuple[int, int],
        time_ms: int,
        shown: str,
        name: str,
        recv_ns: int,
    ) -> OrderFilled | None:
        """Return an execution; None for another instrument. `number` is that of the trade and the order."""
        listed = self._by_name.get(symbol)
        if listed is None:
            return None
        paid, asset = decimal_of(fee[0]), fee[1]
        quote = listed.rules.quote or self.quote
        # A fee is exact: what its rounding added in thousands of fills would be money that nothing explains.
        finer = min(max(0, decimals_of(paid) - listed.money_scale), MONEY_SCALE)
        cause = next((cause for start, cause in _LIQUIDATES if shown.startswith(start)), "")
        # Executions of one millisecond are in the order of their ids, however they are reported.
        venue_ns = self.time_ns(time_ms, recv_ns) + number[0] % _NS
        return OrderFilled(
            recv_ns,
            venue_ns,
            name,
            listed.instrument,
            side,
            whole(price, listed.price_scale, symbol) * power_of_ten(finer),
            whole(size, listed.size_scale, symbol),
            wide(scaled(paid, listed.money_scale + finer, ROUND_CEILING)),
            "maker" if maker else "taker",
            number[0],
            number[1],
            finer,
            fee_asset="" if asset in ("", quote) else asset,
            cause=cause,
        )

    # Orders.

    def answer(
        self,
        found: Found,
        name: str,
        venue_ns: int,
        recv_ns: int,
        instrument: int,
        filled: int = 0,
    ) -> OrderRead:
        """Return the state of an own order. Its open size is at most what is left after `filled`, which is
        reported by then.
        """
        row, algo = found
        if algo is not None and row is None:
            return self._waiting(algo, name, venue_ns, recv_ns, instrument)
        if row is None:
            return OrderRead(recv_ns, venue_ns, name, instrument, "absent")
        left = price = 0
        if self.number(row.symbol) == instrument:
            whole = self.size(instrument, row.orig_qty)
            left = max(0, whole - max(self.size(instrument, row.executed_qty), filled))
            price = amount(row.price, self._by_number[instrument].price_scale, row.symbol)
        state = "open" if row.status in _OPEN else _state(row.status)
        number = row.order_id
        reason = end_reason(row.status, row.time_in_force, reduce_only=row.reduce_only)
        return OrderRead(
            recv_ns, venue_ns, name, instrument, state, number, left, price, reason, algo is not None
        )

    def _waiting(self, algo: AlgoRow, name: str, venue_ns: int, recv_ns: int, instrument: int) -> OrderRead:
        """Return the state of a conditional order that has not fired an order."""
        states = {"CANCELED": "canceled", "EXPIRED": "canceled", "REJECTED": "rejected"}
        state = states.get(algo.algo_status, "open")
        left = price = 0
        if self.name(instrument):
            left = self.size(instrument, algo.quantity)
            price = amount(algo.price, self._by_number[instrument].price_scale, algo.symbol)
        reason = "canceled" if algo.algo_status == "CANCELED" else algo.algo_status.lower()
        fired = algo.algo_status not in ("NEW", "CANCELED")
        return OrderRead(
            recv_ns, venue_ns, name, instrument, state, WAITING_NUMBER, left, price, reason, fired
        )

    def foreign(self, row: OrderRow, venue_ns: int, recv_ns: int) -> ForeignOrderSeen | None:
        """Return an open order that this journal did not send."""
        listed = self._by_name.get(row.symbol)
        if listed is None:
            return None
        left = self.size(listed.instrument, row.orig_qty) - self.size(listed.instrument, row.executed_qty)
        price = amount(row.price, listed.price_scale, row.symbol)
        side = _SIDES.get(row.side, BUY)
        return ForeignOrderSeen(
            recv_ns,
            venue_ns,
            listed.instrument,
            row.order_id,
            row.client_order_id,
            side,
            max(0, left),
            price,
        )

    # Positions and money.

    def positions(self, rows: Iterable[PositionRow], venue_ns: int, recv_ns: int) -> list[PositionRead]:
        """Return the position of every futures instrument, 0 where there is no row.

        Raises VenueProtocolError for a row of hedge mode.
        """
        held: dict[str, PositionRow] = {}
        for row in rows:
            if decimal_of(row.position_amt):
                if row.position_side != "BOTH":
                    raise VenueProtocolError(f"{clip(row.symbol)}: a position of hedge mode")
                held[row.symbol] = row
        found = []
        for listed in self._by_name.values():
            one = held.get(listed.name)
            size, entry = 0, Decimal(0)
            if one is not None:
                size = amount(one.position_amt, listed.size_scale, listed.name, signed=True)
                entry = decimal_of(one.entry_price)
            found.append(self._position(listed, size, entry, venue_ns, recv_ns))
        return found

    def balances(self, account: SpotAccount, venue_ns: int, recv_ns: int) -> list[PositionRead]:
        """Return what a spot account holds of each instrument's base asset: whole steps, and a rest."""
        held = self.held(account)
        found = []
        for listed in self._by_name.values():
            balance = held.get(listed.rules.base, Decimal(0))
            size = self.whole_steps(balance, listed)
            rest = balance - Decimal(size).scaleb(-listed.size_scale)
            read = self._position(listed, size, Decimal(0), venue_ns, recv_ns)
            found.append(replace(read, rest=money(rest)))
        return found

    @staticmethod
    def whole_steps(balance: Decimal, listed: InstrumentListed) -> int:
        """Return an amount of a base asset in whole steps of the grid of a market, rounded down."""
        size = scaled(balance, listed.size_scale, ROUND_FLOOR)
        return size - size % listed.size_step

    def held(self, account: SpotAccount) -> dict[str, Decimal]:
        """Return the balances of a spot account by asset, what its orders hold included."""
        return {one.asset: decimal_of(one.free) + decimal_of(one.locked) for one in account.balances}

    def _position(
        self, listed: InstrumentListed, size: int, entry: Decimal, venue_ns: int, recv_ns: int
    ) -> PositionRead:
        price = wide(scaled(entry, MONEY_SCALE, ROUND_FLOOR))
        return PositionRead(recv_ns, venue_ns, listed.instrument, size, MONEY_SCALE, price)

    def futures_money(self, account: FuturesAccount) -> tuple[int | str, int | str, int | str]:
        """Return equity, what can be withdrawn, and the profit of open positions, in the quote currency."""
        equity = free = unrealized = Decimal(0)
        for one in account.assets:
            if one.asset == self.quote:
                unrealized = decimal_of(one.unrealized_profit)
                equity = decimal_of(one.wallet_balance) + unrealized
                free = decimal_of(one.available_balance)
        return money(equity), money(free), money(unrealized)

    def funding(self, row: Income, recv_ns: int) -> FundingPaid | None:
        """Return a funding payment. The venue says neither rate nor size with it: both are 0."""
        listed = self._by_name.get(row.symbol)
        if listed is None or row.income_type != "FUNDING_FEE":
            return None
        paid = wide(scaled(decimal_of(row.income), _RATE_SCALE, ROUND_FLOOR))
        time_ns = self.time_ns(row.time, recv_ns)
        return FundingPaid(recv_ns, time_ns, listed.instrument, 0, _RATE_SCALE, paid, 0)

    def transfer(self, row: Income, recv_ns: int) -> TransferSeen | None:
        """Return a change of the balance that is neither a fill nor funding."""
        if row.income_type in _BOOKED:
            return None
        moved = money(decimal_of(row.income))
        asset = "" if row.asset == self.quote else row.asset
        number = f"{row.tran_id}:{row.income_type}:{row.asset}"
        kind = row.income_type.lower()
        time_ns = self.time_ns(row.time, recv_ns)
        return TransferSeen(recv_ns, time_ns, MONEY_SCALE, moved, asset, kind, number) if int(moved) else None

    def moved(self, event: BalanceUpdate, recv_ns: int) -> TransferSeen | None:
        """Return a deposit, withdrawal or transfer of a spot account."""
        moved = money(decimal_of(event.delta))
        asset = "" if event.asset == self.quote else event.asset
        number = f"{event.time}:{event.asset}:{event.delta}"
        time_ns = self.time_ns(event.time, recv_ns)
        return TransferSeen(recv_ns, time_ns, MONEY_SCALE, moved, asset, "transfer", number)

    def executed(self, instrument: int, event: ExecutionReport | OrderRow) -> int:
        """Return how much of an order is executed."""
        return self.size(
            instrument, event.executed if isinstance(event, ExecutionReport) else event.executed_qty
        )


def is_ended(status: str) -> bool:
    """Return whether an order of this status can never trade again. Raises VenueProtocolError."""
    return status not in _OPEN and bool(_state(status))


def end_reason(status: str, tif: str, *, reduce_only: bool = False, expiry: object = None) -> str:
    """Return why an order ended, in the words that the engine looks for; "" for one that is open."""
    if status in _OPEN or status == "FILLED":
        return ""
    if status in ("CANCELED", "PENDING_CANCEL"):
        return "canceled"
    if status == "EXPIRED_IN_MATCH":
        return "selfTradeCanceled"
    if (said := _EXPIRIES.get(str(expiry))) is not None:
        return said
    if tif in ("IOC", "FOK"):
        return "Ioc: the rest found no liquidity"
    if status == "REJECTED":
        return "rejected"
    if tif == "GTX":
        return "post only: it would trade at once"
    return "reduceOnlyCanceled: expired" if reduce_only else "expired"


def decimals_of(value: Decimal) -> int:
    """Return how many decimals a finite number needs."""
    exponent = value.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _state(status: str) -> str:
    """Return the engine's name for the status of an order that ended. Raises VenueProtocolError."""
    known = {
        "FILLED": "filled",
        "CANCELED": "canceled",
        "EXPIRED": "canceled",
        "EXPIRED_IN_MATCH": "canceled",
        "REJECTED": "rejected",
    }
    if status not in known:
        raise VenueProtocolError(f"{clip(status)} is not a known status of an order")
    return known[status]
