"""Rows of round trips: one for each time that a book went from flat to flat.

A trip that is under way has a row in `open_trips` with its exact sums as decimal text, so that a restart of
the store continues exactly. Called by `builder.py` with every booked fill.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final, Protocol

from engine.analysis.trips import Trip, trip_after
from engine.clock import SECOND_NS, iso_text
from engine.events import FillBooked
from engine.stores.rows.tables import TABLES
from engine.stores.rows.units import Listing, number_of
from engine.stores.store import Number, Row

__all__ = ["TripRows"]

_SUMS: Final = ("held", "opened", "entry_value", "exit_value", "fees")


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


class TripRows:
    """Follows booked fills."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def add(self, seq: int, cause: int, event: FillBooked) -> None:
        """Update the sums of the trip under way, and add a row when the book is flat again."""
        batch = self._batch
        listing = batch.listing(event.instrument)
        if listing.scales is None:
            return
        book = f"{event.instrument} {event.owner}"
        trip = trip_after(_stored(batch.row("open_trips", book)), event, seq, listing.scales)
        batch.changed["open_trips"][book] = _row(book, trip)
        if not trip.held:
            order = batch.row("orders", event.client_order_id) if event.client_order_id else None
            reason = order["asked_for"] if order else None
            row = _finished(trip, event, listing, batch.number) | {
                "reason": reason,
                "seq": seq,
                "cause": cause,
            }
            batch.appended["round_trips"].append(tuple(row[name] for name in TABLES["round_trips"].columns))


def _stored(row: Row | None) -> Trip | None:
    """Return the trip of a row."""
    if row is None:
        return None
    held, opened, entry_value, exit_value, fees = (Decimal(row[name]) for name in _SUMS)
    side = 1 if row["side"] == "long" else -1
    return Trip(
        side, row["entered_ns"], row["entry_seq"], held, opened, entry_value, exit_value, fees, row["seq"]
    )


def _row(book: str, trip: Trip) -> Row:
    """Return the row of a trip that is under way or has just ended."""
    return {
        "book": book,
        "side": "long" if trip.side > 0 else "short",
        "entered": iso_text(trip.entered_ns),
        "entered_ns": trip.entered_ns,
        "entry_seq": trip.entry_seq,
        **{name: str(getattr(trip, name)) for name in _SUMS},
        "seq": trip.seq,
    }


def _finished(trip: Trip, fill: FillBooked, listing: Listing, number: Number) -> dict[str, Any]:
    """Return the columns of a round trip that a fill has just ended."""
    return {
        "strategy": fill.owner,
        "instrument": listing.named[0],
        "instrument_id": listing.named[1],
        "venue": listing.named[2],
        "side": "long" if trip.side > 0 else "short",
        "size": number_of(trip.opened, number),
        "entry_price": trip.entry_price,
        "exit_price": trip.exit_price,
        "profit": number_of(trip.profit(), number),
        "fees": number_of(trip.fees, number),
        "net": number_of(trip.net, number),
        "seconds": (fill.at_ns - trip.entered_ns) / SECOND_NS,
        "exit_by": fill.cause or fill.purpose,
        "entered": iso_text(trip.entered_ns),
        "entered_ns": trip.entered_ns,
        "exited": iso_text(fill.at_ns),
        "exited_ns": fill.at_ns,
        "entry_seq": trip.entry_seq,
    }
