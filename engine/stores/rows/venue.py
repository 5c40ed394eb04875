"""Rows of what a venue reports besides trades and orders: candles, funding, differences, the account.

Books and mids have no tables: they arrive many times a second; read them from the journal. Called by
`builder.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from engine.clock import SECOND_NS, iso_text, window_start
from engine.events import (
    AccountRead,
    BarDiffers,
    CandleRead,
    ContextRead,
    Event,
    ForeignOrderSeen,
    FundingPaid,
    FundingRead,
    LiquidationRead,
    MarketHalted,
    OpenInterestRead,
    PositionDiffers,
    Quote,
)
from engine.stores.rows.tables import TABLES
from engine.stores.rows.units import Listing, record
from engine.stores.store import Number, Row
from engine.values import interval_name, side_name

__all__ = ["VenueRows"]

MINUTE_NS: Final = 60 * SECOND_NS


class Batch(Protocol):
    """The part of the builder that these handlers use."""

    appended: dict[str, list[tuple[object, ...]]]
    changed: dict[str, dict[object, Row]]
    number: Number

    def label(self, instrument: int) -> str:
        """Return the name of an instrument where there is no column for its venue."""
        ...

    def listing(self, number: int) -> Listing:
        """Return the listing of an instrument."""
        ...


class VenueRows:
    """The handlers, by event type."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self.handlers: dict[type[Event], tuple[str, Callable[[int, int, Any], None]]] = {
            CandleRead: ("candles", self._candle),
            Quote: ("quotes", self._quote),
            FundingRead: ("funding_rates", self._rate),
            FundingPaid: ("funding_payments", self._payment),
            ContextRead: ("open_interest", self._context),
            OpenInterestRead: ("open_interest_history", self._past_interest),
            LiquidationRead: ("liquidations", self._liquidation),
            BarDiffers: ("bar_differences", self._bar_differs),
            PositionDiffers: ("position_differences", self._position_differs),
            MarketHalted: ("failures", self._halted),
            AccountRead: ("account", self._account),
            ForeignOrderSeen: ("foreign_orders", self._foreign),
        }

    def _candle(self, seq: int, cause: int, event: CandleRead) -> None:
        """One row for each window, whatever the purpose: the venue's candle that was read last."""
        if event.purpose == "flat":
            return
        listing = self._batch.listing(event.instrument)
        values = (
            *listing.named,
            interval_name(event.interval_ns),
            *(iso_text(event.start_ns), event.start_ns),
            *map(listing.price, (event.open, event.high, event.low, event.close)),
            listing.size(int(event.volume)),
            event.trades,
            event.purpose,
            *record(seq, cause, event.recv_ns),
        )
        key = (event.instrument, interval_name(event.interval_ns), event.start_ns)
        self._change("candles", key, values)

    def _quote(self, seq: int, cause: int, event: Quote) -> None:
        """The newest quote of an instrument."""
        listing = self._batch.listing(event.instrument)
        values = (
            *listing.named,
            *(iso_text(event.venue_ns), event.venue_ns),
            *(listing.price(event.bid) if event.bid else None, listing.size(event.bid_size)),
            *(listing.price(event.ask) if event.ask else None, listing.size(event.ask_size)),
            *record(seq, cause, event.recv_ns),
        )
        self._change("quotes", (event.instrument,), values)

    def _rate(self, seq: int, cause: int, event: FundingRead) -> None:
        listing = self._batch.listing(event.instrument)
        values = (
            *listing.named,
            *(iso_text(event.venue_ns), event.venue_ns),
            self._batch.number(int(event.rate), event.scale),
            event.unit,
            self._batch.number(int(event.premium), event.scale),
            *record(seq, cause, event.recv_ns),
        )
        self._change("funding_rates", (event.instrument, event.venue_ns), values)

    def _context(self, seq: int, cause: int, event: ContextRead) -> None:
        """The newest reading of each minute; contexts may arrive many times a second."""
        if event.open_interest is None:
            return
        start_ns = window_start(MINUTE_NS, event.recv_ns)
        amounts = (event.open_interest, event.funding, event.premium, event.mark, event.oracle)
        values = (
            *self._batch.listing(event.instrument).named,
            *(iso_text(start_ns), start_ns),
            *(None if amount is None else self._batch.number(int(amount), event.scale) for amount in amounts),
            *record(seq, cause, event.recv_ns),
        )
        self._change("open_interest", (event.instrument, start_ns), values)

    def _past_interest(self, seq: int, cause: int, event: OpenInterestRead) -> None:
        values = (
            *self._batch.listing(event.instrument).named,
            *(iso_text(event.venue_ns), event.venue_ns),
            self._batch.number(int(event.open_interest), event.scale),
            *record(seq, cause, event.recv_ns),
        )
        self._change("open_interest_history", (event.instrument, event.venue_ns), values)

    def _liquidation(self, seq: int, cause: int, event: LiquidationRead) -> None:
        listing = self._batch.listing(event.instrument)
        row = (
            *record(seq, cause, event.recv_ns),
            *(iso_text(event.venue_ns), event.venue_ns),
            *listing.named,
            listing.price(event.price),
            listing.size(event.size),
            side_name(event.side),
            str(event.trade_id) if event.trade_id else None,
            event.sampled,
        )
        self._batch.appended["liquidations"].append(row)

    def _payment(self, seq: int, cause: int, event: FundingPaid) -> None:
        listing = self._batch.listing(event.instrument)
        values = (
            *listing.named,
            *(iso_text(event.venue_ns), event.venue_ns),
            listing.size(event.size),
            *(
                self._batch.number(int(event.amount), event.scale),
                self._batch.number(int(event.rate), event.scale),
            ),
            *record(seq, cause, event.recv_ns),
        )
        self._change("funding_payments", (event.instrument, event.venue_ns), values)

    def _bar_differs(self, seq: int, cause: int, event: BarDiffers) -> None:
        listing = self._batch.listing(event.instrument)
        ours = (event.open, event.high, event.low, event.close)
        theirs = (event.venue_open, event.venue_high, event.venue_low, event.venue_close)
        row = (
            *record(seq, cause, event.at_ns),
            *listing.named,
            interval_name(event.interval_ns),
            *(iso_text(event.start_ns), event.start_ns),
            *(*map(listing.price, ours), listing.size(int(event.volume)), event.trades),
            *(*map(listing.price, theirs), listing.size(int(event.venue_volume)), event.venue_trades),
        )
        self._batch.appended["bar_differences"].append(row)

    def _position_differs(self, seq: int, cause: int, event: PositionDiffers) -> None:
        listing = self._batch.listing(event.instrument)
        own, venue = listing.size(event.own), listing.size(event.venue)
        row = (*record(seq, cause, event.at_ns), *listing.named, own, venue, event.adopted)
        self._batch.appended["position_differences"].append(row)

    def _halted(self, seq: int, cause: int, event: MarketHalted) -> None:
        name = self._batch.label(event.instrument)
        what = ("MarketHalted", name, None, event.reason, "halt")
        self._batch.appended["failures"].append((*record(seq, cause, event.at_ns), *what))

    def _account(self, seq: int, cause: int, event: AccountRead) -> None:
        row = (
            *record(seq, cause, event.recv_ns),
            event.gateway,
            *(
                self._batch.number(int(event.equity), event.scale),
                self._batch.number(int(event.withdrawable), event.scale),
            ),
            *(event.open_orders, event.foreign_orders),
        )
        self._batch.appended["account"].append(row)

    def _foreign(self, seq: int, cause: int, event: ForeignOrderSeen) -> None:
        listing = self._batch.listing(event.instrument)
        row = (
            *record(seq, cause, event.recv_ns),
            *listing.named,
            str(event.venue_order_id),
            event.client_order_id or None,
            side_name(event.side),
            listing.size(event.size),
            listing.price(event.limit_price),
        )
        self._batch.appended["foreign_orders"].append(row)

    def _change(self, table: str, key: tuple[object, ...], values: tuple[object, ...]) -> None:
        self._batch.changed[table][key] = dict(zip(TABLES[table].columns, values, strict=True))
