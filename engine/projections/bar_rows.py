"""Rows of bars: in `bars`, closed or corrected (the highest revision stays), and in `activity_bars`."""

from __future__ import annotations

from engine.clock import iso_text
from engine.events import ActivityBarClosed, BarClosed
from engine.projections.units import Listing, interval_name

__all__ = ["activity_bar_row", "bar_row"]


def bar_row(event: BarClosed, listing: Listing) -> tuple[object, ...]:
    """Return a bar's columns without those of its record; None for what a candle does not tell."""
    return (
        *listing.named,
        interval_name(event.interval_ns),
        *(iso_text(event.start_ns), event.start_ns),
        *_traded(event, listing),
        event.source,
        event.revision,
        event.closed_by,
    )


def activity_bar_row(event: ActivityBarClosed, listing: Listing) -> tuple[object, ...]:
    """Return the columns of a bar by what was traded, without those of its record."""
    return (
        *listing.named,
        event.kind,
        event.number,
        *(iso_text(event.start_ns), event.start_ns),
        *(iso_text(event.end_ns), event.end_ns),
        *_traded(event, listing),
    )


def _traded(event: BarClosed | ActivityBarClosed, listing: Listing) -> tuple[object, ...]:
    _, price_unit, size_unit, _ = listing
    volume = int(event.volume)
    money = None if event.quote_volume is None else int(event.quote_volume)
    return (
        *(price / price_unit for price in (event.open, event.high, event.low, event.close)),
        volume / size_unit,
        None if money is None else money / (price_unit * size_unit),
        None if money is None or not volume else money / volume / price_unit,
        None if event.buy_volume is None else int(event.buy_volume) / size_unit,
        None if event.sell_volume is None else int(event.sell_volume) / size_unit,
        event.trades,
        str(event.first_id) if event.first_id else None,
        str(event.last_id) if event.last_id else None,
        event.incomplete,
        event.because or None,
    )
