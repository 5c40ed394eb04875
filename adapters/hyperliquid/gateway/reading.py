"""The venue's rows about an account as events: exact integers, nanoseconds, only instruments of this session.

A row of a coin that is not traded here gives nothing, and is counted. A number that cannot be makes the
whole message VenueProtocolError: an account is not guessed at. Called by the account's stream and by
reconciliation.

Fees in another token than USDC (spot buys, builders' dexes) are converted at the fill's own price, and
every fee is rounded up to the decimals of price * size.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Final

from adapters.hyperliquid.gateway.account_wire import (
    OpenOrder,
    OrderAnswer,
    WireFill,
    WireFunding,
    WireLiquidation,
    WireState,
    WireUpdate,
)
from adapters.hyperliquid.wire import clip
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
)
from engine.values import BUY, SELL, parse_scaled, wide

__all__ = ["MONEY_SCALE", "Reading", "is_terminal"]

MONEY_SCALE: Final = 8
"""Decimal places of account values and payments; finer digits are the venue's binary dust."""

_RATE_SCALE: Final = 18
_NS: Final = 1_000_000
_SIDES: Final = {"B": BUY, "A": SELL}
_CLOID: Final = re.compile(r"0x[0-9a-f]{32}")
_DECIMAL: Final = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?")
_WIDE: Final = Context(prec=120)
_CANCELS: Final = frozenset({"canceled", "scheduledCancel", "internalCancel"})


class Reading:
    """Reads rows for a fixed set of instruments. `dropped` counts what was left out, by reason."""

    def __init__(self, instruments: Iterable[InstrumentListed]) -> None:
        self._by_coin = {one.name: one for one in instruments}
        self.dropped: Counter[str] = Counter()

    @property
    def instruments(self) -> Iterable[InstrumentListed]:
        """The instruments that are read."""
        return self._by_coin.values()

    def fill(self, row: WireFill, recv_ns: int) -> OrderFilled | None:
        """Return an execution. Raises VenueProtocolError."""
        listed = self._listed(row.coin)
        if listed is None:
            return None
        price = _whole(row.px, listed.price_scale, row.coin)
        size = _whole(row.sz, listed.size_scale, row.coin)
        fee = _decimal(row.fee) * (1 if row.fee_token == "USDC" else _decimal(row.px))
        return OrderFilled(
            recv_ns,
            row.time * _NS,
            _client_id(row.cloid),
            listed.instrument,
            _SIDES[row.side],
            price,
            size,
            wide(_scaled(fee, listed.money_scale, ROUND_CEILING)),
            "taker" if row.crossed else "maker",
            row.tid,
            row.oid,
        )

    def update(self, row: WireUpdate, recv_ns: int) -> Event | None:
        """Return what a change of an order's status means; None for one that fills tell, or of a stranger."""
        listed = self._listed(row.order.coin)
        name = _client_id(row.order.cloid)
        if listed is None or not name:
            return None
        venue_ns = row.status_timestamp * _NS
        if row.status in ("open", "triggered"):
            return OrderAccepted(recv_ns, venue_ns, name, row.order.oid)
        if row.status.endswith("Rejected") or row.status == "rejected":
            return OrderRejected(recv_ns, venue_ns, name, row.status)
        if row.status != "filled" and is_terminal(row.status):
            left = _amount(row.order.sz, listed.size_scale, row.order.coin)
            return OrderCanceled(recv_ns, venue_ns, name, listed.instrument, left, row.status)
        return None

    def executed(self, row: WireUpdate) -> int:
        """Return how much of an order must have been executed: at most, since a venue also shrinks orders."""
        listed = self._listed(row.order.coin)
        if listed is None or not row.order.orig_sz:
            return 0
        whole = _amount(row.order.orig_sz, listed.size_scale, row.order.coin)
        if row.status == "filled":
            return whole
        return whole - _amount(row.order.sz, listed.size_scale, row.order.coin)

    def answer(
        self, answer: OrderAnswer, client_order_id: str, instrument: int, venue_ns: int, recv_ns: int
    ) -> OrderRead:
        """Return what the venue says of an order it was asked about."""
        update = answer.order
        if answer.status != "order" or update is None:
            return OrderRead(recv_ns, venue_ns, client_order_id, instrument, "absent")
        return self._read(update, client_order_id, instrument, venue_ns, recv_ns)

    def open_order(
        self, row: OpenOrder, client_order_id: str, instrument: int, venue_ns: int, recv_ns: int
    ) -> OrderRead:
        """Return what the list of open orders says of an own order."""
        update = WireUpdate(row, "open", row.timestamp)
        return self._read(update, client_order_id, instrument, venue_ns, recv_ns)

    def foreign(self, row: OpenOrder, venue_ns: int, recv_ns: int) -> ForeignOrderSeen | None:
        """Return an open order that is not ours."""
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

    def positions(self, state: WireState, recv_ns: int) -> list[PositionRead]:
        """Return the position of every instrument, 0 where the venue shows none."""
        held = {one.position.coin: one.position for one in state.asset_positions}
        found = []
        for listed in self._by_coin.values():
            one = held.get(listed.name)
            size = 0 if one is None else _amount(one.szi, listed.size_scale, listed.name, signed=True)
            entry = _decimal(one.entry_px) if one is not None and one.entry_px else Decimal(0)
            found.append(
                PositionRead(
                    recv_ns,
                    state.time * _NS,
                    listed.instrument,
                    size,
                    MONEY_SCALE,
                    wide(_scaled(entry, MONEY_SCALE, ROUND_FLOOR)),
                )
            )
        return found

    def funding(self, row: WireFunding, recv_ns: int) -> FundingPaid | None:
        """Return a funding payment."""
        listed = self._listed(row.coin)
        if listed is None:
            return None
        return FundingPaid(
            recv_ns,
            row.time * _NS,
            listed.instrument,
            _amount(row.szi, listed.size_scale, row.coin, signed=True),
            _RATE_SCALE,
            wide(_scaled(_decimal(row.usdc), _RATE_SCALE, ROUND_FLOOR)),
            wide(_scaled(_decimal(row.funding_rate), _RATE_SCALE, ROUND_FLOOR)),
        )

    @staticmethod
    def liquidation(row: WireLiquidation, recv_ns: int) -> Liquidated:
        """Return a liquidation of the account."""
        return Liquidated(
            recv_ns,
            row.lid,
            MONEY_SCALE,
            wide(_scaled(_decimal(row.liquidated_ntl_pos), MONEY_SCALE, ROUND_FLOOR)),
            wide(_scaled(_decimal(row.liquidated_account_value), MONEY_SCALE, ROUND_FLOOR)),
        )

    @staticmethod
    def money(text: str) -> int | str:
        """Return an account value at MONEY_SCALE. Raises VenueProtocolError."""
        return wide(_scaled(_decimal(text), MONEY_SCALE, ROUND_FLOOR))

    def _read(
        self, update: WireUpdate, client_order_id: str, instrument: int, venue_ns: int, recv_ns: int
    ) -> OrderRead:
        order = update.order
        listed = self._listed(order.coin)
        if listed is None:
            raise VenueProtocolError(f"{clip(order.coin)}: an own order on a coin that is not traded here")
        if update.status in ("open", "triggered"):
            state = "open"
        elif update.status == "filled":
            state = "filled"
        elif update.status.endswith("Rejected") or update.status == "rejected":
            state = "rejected"
        elif is_terminal(update.status):
            state = "canceled"
        else:
            raise VenueProtocolError(f"{clip(update.status)} is no status of an order that is known")
        return OrderRead(
            recv_ns,
            venue_ns,
            client_order_id,
            instrument,
            state,
            order.oid,
            _amount(order.sz, listed.size_scale, order.coin),
            _amount(order.limit_px, listed.price_scale, order.coin),
            update.status,
        )

    def _listed(self, coin: str) -> InstrumentListed | None:
        listed = self._by_coin.get(coin)
        if listed is None:
            self.dropped["foreign coin"] += 1
        return listed


def is_terminal(status: str) -> bool:
    """Return whether an order of this status can never trade again."""
    return status in _CANCELS or status.endswith(("Canceled", "Rejected")) or status in ("filled", "rejected")


def _client_id(cloid: str | None) -> str:
    """Return a client id as the engine writes it, "" for one that it cannot have made."""
    name = (cloid or "").lower()
    return name if _CLOID.fullmatch(name) else ""


def _whole(text: str, scale: int, coin: str) -> int:
    value = _amount(text, scale, coin)
    if not value:
        raise VenueProtocolError(f"{clip(coin)}: {clip(text)} is zero, which no execution has")
    return value


def _amount(text: str, scale: int, coin: str, *, signed: bool = False) -> int:
    try:
        return parse_scaled(text, scale, signed=signed)
    except NumberError as error:
        raise VenueProtocolError(f"{clip(coin)}: {error}") from error


def _decimal(text: str) -> Decimal:
    if not _DECIMAL.fullmatch(text):
        raise VenueProtocolError(f"{clip(text)} is not a plain decimal number")
    return Decimal(text)


def _scaled(value: Decimal, scale: int, rounding: str) -> int:
    return int(value.scaleb(scale, _WIDE).to_integral_value(rounding, _WIDE))
