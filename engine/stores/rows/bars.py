"""Rows of bars: in the tables `bars` and `activity_bars`, and with exact text for `engine bars`."""

from __future__ import annotations

from typing import Any

from engine.clock import iso_text
from engine.events import ActivityBarClosed, BarClosed, InstrumentListed
from engine.stores.rows.units import Listing
from engine.values import Amount, format_scaled, interval_name

__all__ = ["activity_bar_row", "bar_row", "exact_row"]


def bar_row(event: BarClosed, listing: Listing) -> tuple[object, ...]:
    """Return a bar's columns without those of its record; None for what a candle does not hold."""
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
    """Return an activity bar's columns without those of its record."""
    return (
        *listing.named,
        event.kind,
        event.number,
        *(iso_text(event.start_ns), event.start_ns),
        *(iso_text(event.end_ns), event.end_ns),
        *_traded(event, listing),
    )


def _traded(event: BarClosed | ActivityBarClosed, listing: Listing) -> tuple[object, ...]:
    unit = listing.price_unit
    volume = int(event.volume)
    money = None if event.quote_volume is None else int(event.quote_volume)
    return (
        *map(listing.price, (event.open, event.high, event.low, event.close)),
        listing.size(volume),
        None if money is None else listing.money(money),
        None if money is None or not volume or unit is None else money / (volume * unit),
        None if event.buy_volume is None else listing.size(int(event.buy_volume)),
        None if event.sell_volume is None else listing.size(int(event.sell_volume)),
        event.trades,
        str(event.first_id) if event.first_id else None,
        str(event.last_id) if event.last_id else None,
        event.incomplete,
        event.because or None,
    )


def exact_row(listed: InstrumentListed, bar: BarClosed) -> dict[str, Any]:
    """Return a bar as plain values by name; what must be exact is decimal text."""
    prices = (bar.open, bar.high, bar.low, bar.close)
    open_, high, low, close = (format_scaled(price, listed.price_scale) for price in prices)
    return {
        "start": iso_text(bar.start_ns),
        "start_ns": bar.start_ns,
        "open": open_,
        "high": high,
        "low": low,
        "close": close,
        "volume": format_scaled(bar.volume, listed.size_scale),
        "count": bar.trades,
        "complete": not bar.incomplete,
        "incomplete_because": bar.because or ("not recorded" if bar.incomplete else None),
        "source": bar.source,
        "revision": bar.revision,
        "quote_volume": _text(bar.quote_volume, listed.money_scale),
        "buy_volume": _text(bar.buy_volume, listed.size_scale),
        "sell_volume": _text(bar.sell_volume, listed.size_scale),
        "first_id": bar.first_id or None,
        "last_id": bar.last_id or None,
    }


def _text(value: Amount | None, scale: int) -> str | None:
    return None if value is None else format_scaled(value, scale)
