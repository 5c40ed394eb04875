"""What identifies an event of market data among others, and when two come from one message.

A decoded event and its record have the same content but for the time of receipt, which the feed changes if
it holds a message back. Called by `redecode.py` and `recorded_feed.py`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from engine.events import BookRead, LiquidationRead, MidsRead, Quote, Trade

__all__ = ["Key", "content_of", "is_same", "key_of", "series_of"]

Key = tuple[Any, ...]


def key_of(event: Any) -> Key:
    """Return what identifies an event without its values; contexts and mids have only their series."""
    if isinstance(event, Trade):
        return (Trade, event.instrument, event.venue_ns, event.trade_id)
    if isinstance(event, Quote):
        return (Quote, event.instrument, event.venue_ns)
    if isinstance(event, BookRead):
        return (BookRead, event.instrument, event.venue_ns, event.fast)
    if isinstance(event, LiquidationRead):
        return (LiquidationRead, event.instrument, event.venue_ns, event.trade_id, event.price, event.size)
    return series_of(event)


def series_of(event: Any) -> Key:
    """Return the series that an event continues."""
    if isinstance(event, MidsRead):
        return (MidsRead, event.instruments)
    return (event.__class__, event.instrument)


def is_same(decoded: Any, recorded: Any) -> bool:
    """Return whether two events with one key and different contents come from the same message."""
    return (
        isinstance(recorded, Trade | Quote | BookRead | LiquidationRead)
        or decoded.recv_ns == recorded.recv_ns
    )


def content_of(event: Any) -> Any:
    """Return an event without its time of receipt."""
    return msgspec.structs.replace(event, recv_ns=0)
