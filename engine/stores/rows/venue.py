"""Rows of what a venue says beside prints and reports: candles, funding, differences, the account.

Books, contexts and mids have no tables: they come many times a second, and are in the journal. Called by
`rows.py`, whose builder lends its listing of instruments and its boxes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from engine.clock import iso_text
from engine.events import (
    AccountRead,
    BarDiffers,
    CandleRead,
    Event,
    ForeignOrderSeen,
    FundingPaid,
    FundingRead,
    MarketHalted,
    PositionDiffers,
)
from engine.stores.rows.tables import TABLES
from engine.stores.rows.units import Listing, interval_name, record
from engine.values import power_of_ten, side_name

__all__ = ["VenueRows"]


class Boxes(Protocol):
    """The builder, as far as it is needed here."""

    appended: dict[str, list[tuple[object, ...]]]
    changed: dict[str, dict[object, dict[str, Any]]]

    def listing(self, number: int) -> Listing:
        """Return what rows need of an instrument."""
        ...


class VenueRows:
    """The handlers, by event type."""

    def __init__(self, boxes: Boxes) -> None:
        self._boxes = boxes
        self.handlers: dict[type[Event], Callable[[int, int, Any], None]] = {
            CandleRead: self._candle,
            FundingRead: self._rate,
            FundingPaid: self._payment,
            BarDiffers: self._bar_differs,
            PositionDiffers: self._position_differs,
            MarketHalted: self._halted,
            AccountRead: self._account,
            ForeignOrderSeen: self._foreign,
        }

    def _candle(self, seq: int, cause: int, event: CandleRead) -> None:
        """One row for each window, of whatever purpose: the last that was read."""
        listing = self._boxes.listing(event.instrument)
        values = (
            *listing.named,
            interval_name(event.interval_ns),
            *(iso_text(event.start_ns), event.start_ns),
            *(price / listing.price_unit for price in (event.open, event.high, event.low, event.close)),
            int(event.volume) / listing.size_unit,
            event.trades,
            event.purpose,
            *record(seq, cause, event.recv_ns),
        )
        key = (event.instrument, interval_name(event.interval_ns), event.start_ns)
        self._change("candles", key, values)

    def _rate(self, seq: int, cause: int, event: FundingRead) -> None:
        listing = self._boxes.listing(event.instrument)
        unit = power_of_ten(event.scale)
        values = (
            *listing.named,
            *(iso_text(event.venue_ns), event.venue_ns),
            *(int(event.rate) / unit, int(event.premium) / unit),
            *record(seq, cause, event.recv_ns),
        )
        self._change("funding_rates", (event.instrument, event.venue_ns), values)

    def _payment(self, seq: int, cause: int, event: FundingPaid) -> None:
        listing = self._boxes.listing(event.instrument)
        unit = power_of_ten(event.scale)
        values = (
            *listing.named,
            *(iso_text(event.venue_ns), event.venue_ns),
            event.size / listing.size_unit,
            *(int(event.amount) / unit, int(event.rate) / unit),
            *record(seq, cause, event.recv_ns),
        )
        self._change("funding_payments", (event.instrument, event.venue_ns), values)

    def _bar_differs(self, seq: int, cause: int, event: BarDiffers) -> None:
        listing = self._boxes.listing(event.instrument)
        price, size = listing.price_unit, listing.size_unit
        ours = (event.open, event.high, event.low, event.close)
        theirs = (event.venue_open, event.venue_high, event.venue_low, event.venue_close)
        row = (
            *record(seq, cause, event.at_ns),
            *listing.named,
            interval_name(event.interval_ns),
            *(iso_text(event.start_ns), event.start_ns),
            *(*(one / price for one in ours), int(event.volume) / size, event.trades),
            *(*(one / price for one in theirs), int(event.venue_volume) / size, event.venue_trades),
        )
        self._boxes.appended["bar_differences"].append(row)

    def _position_differs(self, seq: int, cause: int, event: PositionDiffers) -> None:
        listing = self._boxes.listing(event.instrument)
        own, venue = event.own / listing.size_unit, event.venue / listing.size_unit
        row = (*record(seq, cause, event.at_ns), *listing.named, own, venue, event.adopted)
        self._boxes.appended["position_differences"].append(row)

    def _halted(self, seq: int, cause: int, event: MarketHalted) -> None:
        name = self._boxes.listing(event.instrument).named[0]
        what = ("MarketHalted", name, None, event.reason, "halt")
        self._boxes.appended["failures"].append((*record(seq, cause, event.at_ns), *what))

    def _account(self, seq: int, cause: int, event: AccountRead) -> None:
        unit = power_of_ten(event.scale)
        row = (
            *record(seq, cause, event.recv_ns),
            event.gateway,
            *(int(event.equity) / unit, int(event.withdrawable) / unit),
            *(event.open_orders, event.foreign_orders),
        )
        self._boxes.appended["account"].append(row)

    def _foreign(self, seq: int, cause: int, event: ForeignOrderSeen) -> None:
        listing = self._boxes.listing(event.instrument)
        row = (
            *record(seq, cause, event.recv_ns),
            *listing.named,
            str(event.venue_order_id),
            event.client_order_id or None,
            side_name(event.side),
            event.size / listing.size_unit,
            event.limit_price / listing.price_unit,
        )
        self._boxes.appended["foreign_orders"].append(row)

    def _change(self, table: str, key: tuple[object, ...], values: tuple[object, ...]) -> None:
        self._boxes.changed[table][key] = dict(zip(TABLES[table].columns, values, strict=True))
