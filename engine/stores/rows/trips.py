"""Rows of round trips: one for each time that a book went from flat to flat.

A trip that is under way has a row in `open_trips` with its exact sums as decimal text, so that a restart of
the store continues exactly. Called by `builder.py` with every booked fill.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Protocol

from engine.clock import SECOND_NS, iso_text
from engine.events import FillBooked
from engine.events.terms import OPEN
from engine.stores.rows.tables import TABLES
from engine.stores.rows.units import Listing, added
from engine.stores.store import Row

__all__ = ["TripRows"]


class Batch(Protocol):
    """The part of the builder that these rows use."""

    appended: dict[str, list[tuple[object, ...]]]
    changed: dict[str, dict[object, Row]]

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
        trip = _after(
            batch.row("open_trips", f"{event.instrument} {event.owner}"), event, seq, listing.scales
        )
        batch.changed["open_trips"][trip["book"]] = trip
        if Fraction(trip["held"]) == 0:
            order = batch.row("orders", event.client_order_id) if event.client_order_id else None
            reason = order["asked_for"] if order else None
            row = _finished(trip, event, listing) | {"reason": reason, "seq": seq, "cause": cause}
            batch.appended["round_trips"].append(tuple(row[name] for name in TABLES["round_trips"].columns))


def _after(trip: Row | None, fill: FillBooked, seq: int, scales: tuple[int, int]) -> Row:
    """Return the trip of a book after a fill. A fill of a flat book begins another trip."""
    size_scale = scales[1]
    money_scale = sum(scales) + fill.finer
    if trip is None or (Fraction(trip["held"]) == 0 and trip["seq"] < seq):
        trip = {
            "book": f"{fill.instrument} {fill.owner}",
            "side": "long" if fill.side > 0 else "short",
            "entered": iso_text(fill.at_ns),
            "entered_ns": fill.at_ns,
            "entry_seq": seq,
            **dict.fromkeys(("held", "opened", "entry_value", "exit_value", "fees"), "0"),
            "seq": 0,
        }
    if trip["seq"] >= seq:  # the sums have this fill: the record is applied again after a crash
        return trip
    opens = fill.role == OPEN
    value = fill.price * fill.size
    moved = {
        "held": str(added(trip["held"], fill.size if opens else -fill.size, size_scale)),
        "fees": str(added(trip["fees"], 0 if fill.fee_asset else int(fill.fee), money_scale)),
        "seq": seq,
    }
    if opens:
        moved["opened"] = str(added(trip["opened"], fill.size, size_scale))
        moved["entry_value"] = str(added(trip["entry_value"], value, money_scale))
    else:
        moved["exit_value"] = str(added(trip["exit_value"], value, money_scale))
    return {**trip, **moved}


def _finished(trip: Row, fill: FillBooked, listing: Listing) -> dict[str, Any]:
    """Return the columns of a round trip that a fill has just ended."""
    opened, entry, paid = (Fraction(trip[name]) for name in ("opened", "entry_value", "exit_value"))
    profit = paid - entry if trip["side"] == "long" else entry - paid
    return {
        "strategy": fill.owner,
        "instrument": listing.named[0],
        "instrument_id": listing.named[1],
        "venue": listing.named[2],
        "side": trip["side"],
        "size": float(opened),
        "entry_price": float(entry / opened) if opened else None,
        "exit_price": float(paid / opened) if opened else None,
        "profit": float(profit),
        "fees": float(Fraction(trip["fees"])),
        "net": float(profit - Fraction(trip["fees"])),
        "seconds": (fill.at_ns - trip["entered_ns"]) / SECOND_NS,
        "exit_by": fill.cause or fill.purpose,
        "entered": trip["entered"],
        "entered_ns": trip["entered_ns"],
        "exited": iso_text(fill.at_ns),
        "exited_ns": fill.at_ns,
        "entry_seq": trip["entry_seq"],
    }
