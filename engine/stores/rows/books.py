"""Rows of books: fills by owner, positions, equity. Called by `builder.py`.

A fill is a row once it is booked. Records of an earlier version have no `FillBooked`: there the report of the
venue makes the row. An order of that version that is filled in this one has both, and one row.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any, Protocol

from engine.analysis.trips import added
from engine.clock import iso_text
from engine.events import EquityMarked, Event, FillBooked, OrderFilled, PositionChanged
from engine.stores.rows.tables import TABLES
from engine.stores.rows.trips import TripRows
from engine.stores.rows.units import Listing, number_of, record
from engine.stores.store import Number, Row
from engine.values import power_of_ten, side_name

__all__ = ["BookRows"]


class Batch(Protocol):
    """The part of the builder that these rows use."""

    appended: dict[str, list[tuple[object, ...]]]
    changed: dict[str, dict[object, Row]]
    number: Number

    def listing(self, number: int) -> Listing:
        """Return the listing of an instrument."""
        ...

    def row(self, table: str, key: str) -> Row | None:
        """Return the row of this batch to change, or a copy of the stored one, or None."""
        ...

    def trade_ids(self, key: str) -> dict[str, int]:
        """Return the stored trade ids of an order's fills, each with the seq of its first row."""
        ...

    def order(self, key: str, seq: int, cause: int, at_ns: int) -> Row:
        """Return the row of an order to change."""
        ...

    def own(self, row: Row, strategy: str | None, listing: Listing) -> None:
        """Set the owner and the market of an order."""
        ...


class BookRows:
    """The handlers, by event type."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._trips = TripRows(batch)
        self._trade_ids: dict[str, dict[str, int]] = {}
        self.handlers: dict[type[Event], tuple[str, Callable[[int, int, Any], None]]] = {
            FillBooked: ("fills", self._booked),
            OrderFilled: ("fills", self._filled),
            PositionChanged: ("positions", self._position),
            EquityMarked: ("equity", self._equity),
        }

    def _booked(self, seq: int, cause: int, event: FillBooked) -> None:
        """One fill, or a part of one, in the book of its owner. A fill from outside belongs to no order."""
        batch = self._batch
        key = event.client_order_id
        listing = batch.listing(event.instrument)
        row: Row | None = None
        if key and not event.external:
            row = batch.order(key, seq, cause, event.at_ns)
            batch.own(row, event.owner, listing)
        # The report of a fill is the cause of its booking.
        if not key or self._first_seq(key, event, seq) != cause:
            if row is not None and listing.scales is not None:
                self._sum(row, seq, listing.scales, event)
            self._append_fill(seq, cause, event.at_ns, event.owner, event)
        self._trips.add(seq, cause, event)

    def _filled(self, seq: int, cause: int, event: OrderFilled) -> None:
        """One fill of an order of an earlier version, which had no books. Others are rows once booked.

        A venue may report a trade id of an order twice: the later record is ignored.
        """
        batch = self._batch
        key = event.client_order_id
        earlier = batch.row("orders", key) if key else None
        if earlier is None or earlier["role"] is not None:
            return
        # A seq that is not earlier is this record's own: it is applied again after a crash.
        if self._first_seq(key, event, seq) < seq:
            return
        listing = batch.listing(event.instrument)
        row = batch.order(key, seq, cause, event.recv_ns)
        batch.own(row, row["strategy"], listing)
        if listing.scales is not None:
            self._sum(row, seq, listing.scales, event)
        self._append_fill(seq, cause, event.recv_ns, row["strategy"], event)

    def _first_seq(self, key: str, event: OrderFilled | FillBooked, seq: int) -> int:
        """Return the seq of the first row with the trade id of a fill, `seq` if there is none yet."""
        if key not in self._trade_ids:
            self._trade_ids[key] = self._batch.trade_ids(key)
        return self._trade_ids[key].setdefault(str(event.trade_id), seq) if event.trade_id else seq

    def _append_fill(
        self, seq: int, cause: int, at_ns: int, owner: str | None, event: OrderFilled | FillBooked
    ) -> None:
        listing = self._batch.listing(event.instrument)
        booked = event if isinstance(event, FillBooked) else None
        self._batch.appended["fills"].append(
            (
                *record(seq, cause, at_ns),
                *(iso_text(event.venue_ns), event.venue_ns),
                event.client_order_id,
                owner,
                *listing.named,
                side_name(event.side),
                listing.price(event.price, event.finer),
                listing.size(event.size),
                listing.money(event.price * event.size, event.finer),
                listing.money(int(event.fee), event.finer),
                event.liquidity,
                str(event.trade_id) if event.trade_id else None,
                *((None, None, None) if booked is None else (booked.role, booked.purpose, booked.external)),
                event.cause or None,
                event.fee_asset or None,
            )
        )

    def _sum(self, row: Row, seq: int, scales: tuple[int, int], event: OrderFilled | FillBooked) -> None:
        """Add a fill to the exact sums of its order, and divide them again."""
        key = row["client_order_id"]
        sums = self._batch.row("order_sums", key) or {"filled": "0", "cost": "0", "fees": "0", "seq": 0}
        if sums["seq"] < seq:  # else the sums have this fill: the record is applied again after a crash
            money_scale = sum(scales) + event.finer
            fee = 0 if event.fee_asset else int(event.fee)
            sums = {
                "client_order_id": key,
                "filled": str(added(Decimal(sums["filled"]), event.size, scales[1])),
                "cost": str(added(Decimal(sums["cost"]), event.price * event.size, money_scale)),
                "fees": str(added(Decimal(sums["fees"]), fee, money_scale)),
                "seq": seq,
            }
            self._batch.changed["order_sums"][key] = sums
        filled = Fraction(sums["filled"])
        row["avg_price"] = float(Fraction(sums["cost"]) / filled) if filled else None
        row["fees"] = number_of(Decimal(sums["fees"]), self._batch.number)

    def _position(self, seq: int, cause: int, event: PositionChanged) -> None:
        listing = self._batch.listing(event.instrument)
        unit, finer = listing.price_unit, event.finer
        cost = int(event.cost)
        when = record(seq, cause, event.at_ns)
        what = (
            event.strategy,
            *listing.named,
            listing.size(event.size),
            cost / (event.size * unit * power_of_ten(finer)) if event.size and unit else None,
            *(
                listing.money(int(amount), finer)
                for amount in (event.cost, event.realized, event.fees, event.funding)
            ),
        )
        self._batch.appended["position_changes"].append((*when, *what))
        self._batch.changed["positions"][event.strategy, event.instrument] = dict(
            zip(TABLES["positions"].columns, (*what, *when), strict=True)
        )

    def _equity(self, seq: int, cause: int, event: EquityMarked) -> None:
        amounts = (
            event.realized,
            event.unrealized,
            event.fees,
            event.equity,
            event.funding,
            event.start,
            event.adjustments,
        )
        unvalued = ", ".join(f"{amount} {asset}" for asset, amount in event.unvalued)
        self._batch.appended["equity"].append(
            (
                *record(seq, cause, event.at_ns),
                *(self._batch.number(int(amount), event.scale) for amount in amounts),
                unvalued or None,
            )
        )
