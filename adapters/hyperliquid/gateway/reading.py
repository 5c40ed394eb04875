"""The venue's rows about an account as events: exact integers, nanoseconds, only instruments of this session.

A row of another instrument is left out and counted. An impossible number makes the whole message a
VenueProtocolError. Called by the account's stream and by
reconciliation.

A fee is in the quote currency, which for a builder's dex is its collateral. Only a spot buy is charged in the
token it bought, which is named. Every fee is rounded up to the decimals of price * size.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Final

from adapters.hyperliquid.gateway.account_wire import (
    OpenOrder,
    OrderAnswer,
    WireFill,
    WireFunding,
    WireFundingRow,
    WireLedgerRow,
    WireLiquidation,
    WireState,
    WireUpdate,
)
from adapters.hyperliquid.gateway.ledger import decimal_of, moved
from adapters.hyperliquid.listing import dex_of
from adapters.transport.text import clip
from adapters.transport.values import AHEAD_NS_MAX, EARLIEST_NS
from engine.clock import iso_text
from engine.errors import NumberError, VenueProtocolError
from engine.events import (
    Event,
    ForeignOrderSeen,
    FundingPaid,
    InstrumentListed,
    Liquidated,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderRead,
    OrderRejected,
    PositionRead,
    TransferSeen,
)
from engine.values import BUY, SELL, parse_scaled, wide

__all__ = ["MONEY_SCALE", "Reading", "is_terminal"]

MONEY_SCALE: Final = 8
"""Decimal places of account values and payments; finer digits are binary rounding of the venue."""

_RATE_SCALE: Final = 18
_NS: Final = 1_000_000
_SIDES: Final = {"B": BUY, "A": SELL}
_CLOID: Final = re.compile(r"0x[0-9a-f]{32}")
_WIDE: Final = Context(prec=120)
_DELEVERAGED: Final = "Auto-Deleveraging"
_CANCELS: Final = frozenset({"canceled", "scheduledCancel", "internalCancel"})


class Reading:
    """Reads rows for a fixed set of instruments, of the account `user` (lower case). `ours` returns whether a
    client id was given by this journal.

    `dropped` counts what was left out, by reason. `ahead_ns` is how far a time may lie ahead of its receipt.
    A state of the account beyond it is refused, and a payment or transfer is left out until that time. A fill
    or an order's end must not be lost: it counts as being of the last time that is possible.
    """

    def __init__(
        self,
        instruments: Iterable[InstrumentListed],
        ours: Callable[[str], bool] = lambda _: True,
        user: str = "",
    ) -> None:
        self._by_name = {one.name: one for one in instruments}
        self._by_number = {one.instrument: one for one in self._by_name.values()}
        self._ours = ours
        self._user = user
        self.dropped: Counter[str] = Counter()
        self.ahead_ns = AHEAD_NS_MAX

    @property
    def dexes(self) -> list[str]:
        """The dexes whose instruments are traded, "" for the venue's own, which is always read."""
        return sorted({"", *map(dex_of, self._by_name)})

    def name(self, instrument: int) -> str:
        """Return the name of an instrument, "" for one that is not traded here."""
        listed = self._by_number.get(instrument)
        return "" if listed is None else listed.name

    def fill(self, row: WireFill, recv_ns: int) -> OrderFilled | None:
        """Return an execution. Raises VenueProtocolError."""
        listed = self._listed(row.coin)
        if listed is None:
            return None
        price = _whole(row.px, listed.price_scale, row.coin)
        size = _whole(row.sz, listed.size_scale, row.coin)
        venue_ns = min(_time(row.time, recv_ns), recv_ns + self.ahead_ns)
        bought = row.fee_token != "USDC" and listed.kind == "spot" and row.side == "B"
        return OrderFilled(
            recv_ns,
            venue_ns,
            self._client_id(row.cloid),
            listed.instrument,
            _SIDES[row.side],
            price,
            size,
            wide(_scaled(decimal_of(row.fee), listed.money_scale, ROUND_CEILING)),
            "taker" if row.crossed else "maker",
            row.tid,
            row.oid,
            fee_asset=row.fee_token if bought else "",
            cause=self._cause(row),
            found=_position(row.start_position, listed.size_scale),
        )

    def _cause(self, row: WireFill) -> str:
        """Return why the venue closed the position. A counterparty's liquidation is no cause."""
        if row.liquidation is not None and (row.liquidation.liquidated_user or "").lower() == self._user:
            return "liquidation"
        return "adl" if row.dir == _DELEVERAGED else ""

    def update(self, row: WireUpdate, recv_ns: int) -> Event | None:
        """Return the event of an order's new status; None if fills report it, or if the order is foreign."""
        listed = self._listed(row.order.coin)
        name = self._client_id(row.order.cloid)
        if listed is None or not name:
            return None
        venue_ns = min(_time(row.status_timestamp, recv_ns), recv_ns + self.ahead_ns)
        if row.status in ("open", "triggered"):
            return OrderAccepted(recv_ns, venue_ns, name, row.order.oid, _is_triggered(row))
        if row.status.endswith("Rejected") or row.status == "rejected":
            return OrderRejected(recv_ns, venue_ns, name, row.status)
        if row.status != "filled" and is_terminal(row.status):
            left = _amount(row.order.sz, listed.size_scale, row.order.coin)
            return OrderCanceled(recv_ns, venue_ns, name, listed.instrument, left, row.status)
        return None

    def executed(self, row: WireUpdate) -> int:
        """Return the executed size of an order: an upper bound, since a venue also reduces orders."""
        listed = self._listed(row.order.coin)
        if listed is None or not row.order.orig_sz:
            return 0
        whole = _amount(row.order.orig_sz, listed.size_scale, row.order.coin)
        return whole - _amount(row.order.sz, listed.size_scale, row.order.coin)

    def size(self, instrument: int, text: str) -> int:
        """Return a size at the instrument's scale, rounded down. Raises VenueProtocolError."""
        return _scaled(decimal_of(text), self._by_number[instrument].size_scale, ROUND_FLOOR)

    def answer(
        self,
        answer: OrderAnswer,
        client_order_id: str,
        venue_ns: int,
        recv_ns: int,
        instrument: int = 0,
        filled: int = 0,
    ) -> OrderRead:
        """Return the status of an own order at the venue; `instrument` defaults to that of its `coin`.

        Its open size is at most what is left after `filled`, which is reported by then.
        An order of an instrument that is not traded in this session has a state, but neither size nor price.
        """
        update = answer.order
        number = instrument or next(iter(self._by_number))
        if answer.status != "order" or update is None:
            return OrderRead(recv_ns, venue_ns, client_order_id, number, "absent")
        order = update.order
        listed = self._by_name.get(order.coin)
        left = price = 0
        if listed is not None:
            number = listed.instrument
            left = _amount(order.sz, listed.size_scale, order.coin)
            if order.orig_sz:
                left = min(left, max(0, _amount(order.orig_sz, listed.size_scale, order.coin) - filled))
            price = _amount(order.limit_px, listed.price_scale, order.coin)
        state = _state(update.status)
        if state == "filled" and left and self.executed(update) > 0:
            state = "canceled"  # an Ioc that was filled in part: the rest was canceled
        return OrderRead(
            recv_ns,
            venue_ns,
            client_order_id,
            number,
            state,
            order.oid,
            left,
            price,
            update.status,
            _is_triggered(update),
        )

    def foreign(self, row: OpenOrder, venue_ns: int, recv_ns: int) -> ForeignOrderSeen | None:
        """Return an open order that this journal did not send."""
        listed = self._listed(row.coin)
        if listed is None:
            return None
        return ForeignOrderSeen(
            recv_ns,
            venue_ns,
            listed.instrument,
            row.oid,
            row.cloid or "",
            _SIDES[row.side],
            _amount(row.sz, listed.size_scale, row.coin),
            _amount(row.limit_px, listed.price_scale, row.coin),
        )

    def positions(self, dex: str, state: WireState, recv_ns: int) -> list[PositionRead]:
        """Return the position of every instrument of a dex, 0 where its state shows none."""
        held = {one.position.coin: one.position for one in state.asset_positions}
        found = []
        venue_ns = _time(state.time, recv_ns, self.ahead_ns)
        for listed in self._by_name.values():
            if dex_of(listed.name) != dex:
                continue
            one = held.get(listed.name)
            size = 0 if one is None else _amount(one.szi, listed.size_scale, listed.name, signed=True)
            entry = decimal_of(one.entry_px) if one is not None and one.entry_px else Decimal(0)
            found.append(
                PositionRead(
                    recv_ns,
                    venue_ns,
                    listed.instrument,
                    size,
                    MONEY_SCALE,
                    wide(_scaled(entry, MONEY_SCALE, ROUND_FLOOR)),
                )
            )
        return found

    def unrealized(self, states: Iterable[WireState]) -> int | str | None:
        """Return the profit of all open positions at MONEY_SCALE; None if a position does not say it."""
        texts = [one.position.unrealized_pnl for state in states for one in state.asset_positions]
        known = [text for text in texts if text is not None]
        return self.money(*known) if len(known) == len(texts) else None

    def funding(self, row: WireFunding, recv_ns: int) -> FundingPaid | None:
        """Return a funding payment."""
        listed = self._listed(row.coin)
        if listed is None or self._is_ahead(row.time, recv_ns):
            return None
        return FundingPaid(
            recv_ns,
            _time(row.time, recv_ns),
            listed.instrument,
            _amount(row.szi, listed.size_scale, row.coin, signed=True),
            _RATE_SCALE,
            wide(_scaled(decimal_of(row.usdc), _RATE_SCALE, ROUND_FLOOR)),
            wide(_scaled(decimal_of(row.funding_rate), _RATE_SCALE, ROUND_FLOOR)),
        )

    def payment(self, row: WireFundingRow, recv_ns: int) -> FundingPaid | None:
        """Return a funding payment of the account's history."""
        paid = row.delta
        return self.funding(WireFunding(row.time, paid.coin, paid.usdc, paid.szi, paid.funding_rate), recv_ns)

    def transfer(self, row: WireLedgerRow, recv_ns: int) -> TransferSeen | None:
        """Return a movement of money into the account or out of it; None for any other row.

        Raises VenueProtocolError.
        """
        amount = moved(row.delta, self._user, self.dexes)
        kind = str(row.delta.get("type", ""))
        if amount is None:
            self.dropped["ledger"] += 1
        if not amount or self._is_ahead(row.time, recv_ns):
            return None
        scaled = wide(_scaled(amount, MONEY_SCALE, ROUND_FLOOR))
        number = f"{row.time}:{row.hash}:{kind}:{amount}"
        return TransferSeen(recv_ns, _time(row.time, recv_ns), MONEY_SCALE, scaled, "", kind, number)

    @staticmethod
    def liquidation(row: WireLiquidation, recv_ns: int) -> Liquidated:
        """Return a liquidation of the account."""
        return Liquidated(
            recv_ns,
            row.lid,
            MONEY_SCALE,
            wide(_scaled(decimal_of(row.liquidated_ntl_pos), MONEY_SCALE, ROUND_FLOOR)),
            wide(_scaled(decimal_of(row.liquidated_account_value), MONEY_SCALE, ROUND_FLOOR)),
        )

    @staticmethod
    def money(*texts: str) -> int | str:
        """Return the sum of account values at MONEY_SCALE. Raises VenueProtocolError."""
        return wide(sum(_scaled(decimal_of(text), MONEY_SCALE, ROUND_FLOOR) for text in texts))

    def _is_ahead(self, time_ms: int, recv_ns: int) -> bool:
        """Return whether a time cannot have come yet. Raises VenueProtocolError for an impossible one."""
        ahead = _time(time_ms, recv_ns) > recv_ns + self.ahead_ns
        self.dropped["time"] += ahead
        return ahead

    def _client_id(self, cloid: str | None) -> str:
        """Return a client id that this journal gave, else ""."""
        name = (cloid or "").lower()
        return name if _CLOID.fullmatch(name) and self._ours(name) else ""

    def _listed(self, name: str) -> InstrumentListed | None:
        listed = self._by_name.get(name)
        if listed is None:
            self.dropped["foreign instrument"] += 1
        return listed


def _time(time_ms: int, recv_ns: int, ahead_ns: int = AHEAD_NS_MAX) -> int:
    """Return a time of the venue in nanoseconds. Raises VenueProtocolError for an impossible one."""
    venue_ns = time_ms * _NS
    if not EARLIEST_NS <= venue_ns <= recv_ns + ahead_ns:
        raise VenueProtocolError(f"the time {iso_text(venue_ns)} is impossible at {iso_text(recv_ns)}")
    return venue_ns


def _state(status: str) -> str:
    """Return the engine's name for a status. Raises VenueProtocolError for one that no rule covers."""
    if status in ("open", "triggered"):
        return "open"
    if status == "filled":
        return "filled"
    if status.endswith("Rejected") or status == "rejected":
        return "rejected"
    if is_terminal(status):
        return "canceled"
    raise VenueProtocolError(f"{clip(status)} is not a known status of an order")


def _is_triggered(update: WireUpdate) -> bool:
    """Return whether the price has reached the trigger of an order."""
    return update.status == "triggered" or update.order.trigger_condition == "Triggered"


def is_terminal(status: str) -> bool:
    """Return whether an order of this status can never trade again."""
    return status in _CANCELS or status.endswith(("Canceled", "Rejected")) or status in ("filled", "rejected")


def _whole(text: str, scale: int, name: str) -> int:
    value = _amount(text, scale, name)
    if not value:
        raise VenueProtocolError(f"{clip(name)}: {clip(text)} is zero, which no execution has")
    return value


def _position(text: str | None, scale: int) -> int | None:
    """Return a position that only orders fills; None if it is not given, or is finer than sizes are."""
    try:
        return parse_scaled(text, scale, signed=True) if text is not None else None
    except NumberError:
        return None


def _amount(text: str, scale: int, name: str, *, signed: bool = False) -> int:
    try:
        return parse_scaled(text, scale, signed=signed)
    except NumberError as error:
        raise VenueProtocolError(f"{clip(name)}: {error}") from error


def _scaled(value: Decimal, scale: int, rounding: str) -> int:
    return int(value.scaleb(scale, _WIDE).to_integral_value(rounding, _WIDE))
