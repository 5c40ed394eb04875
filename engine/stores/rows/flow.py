"""Rows of order flow: footprints, imbalances, profiles, large prints, book samples. Called by `rows.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.clock import iso_text
from engine.events import (
    BookSampled,
    Event,
    FootprintClosed,
    ImbalanceStacked,
    LargePrintSeen,
    ProfileClosed,
)
from engine.stores.rows.units import Listing, interval_name, record
from engine.stores.rows.venue import Boxes
from engine.values import side_name

__all__ = ["FlowRows"]

FlowWindow = FootprintClosed | ImbalanceStacked | ProfileClosed | BookSampled


class FlowRows:
    """The handlers, by event type. A corrected footprint has rows of its own; the newest count."""

    def __init__(self, boxes: Boxes) -> None:
        self._boxes = boxes
        self.handlers: dict[type[Event], Callable[[int, int, Any], None]] = {
            FootprintClosed: self._footprint,
            ImbalanceStacked: self._imbalance,
            ProfileClosed: self._profile,
            LargePrintSeen: self._large,
            BookSampled: self._sample,
        }

    def _footprint(self, seq: int, cause: int, event: FootprintClosed) -> None:
        listing = self._boxes.listing(event.instrument)
        window = (*record(seq, cause, event.at_ns), *_window(event, listing))
        size = listing.size_unit
        self._boxes.appended["footprints"].append(
            (
                *window,
                event.level / listing.price_unit,
                int(event.delta) / size,
                int(event.day_delta) / size,
                event.revision,
            )
        )
        self._boxes.appended["footprint_levels"] += [
            (*window, price / listing.price_unit, *(int(part) / size for part in parts), event.revision)
            for price, *parts in event.levels
        ]

    def _imbalance(self, seq: int, cause: int, event: ImbalanceStacked) -> None:
        listing = self._boxes.listing(event.instrument)
        prices = (event.low / listing.price_unit, event.high / listing.price_unit)
        row = (*_window(event, listing), side_name(event.side), *prices, event.run, event.revision)
        self._boxes.appended["stacked_imbalances"].append((*record(seq, cause, event.at_ns), *row))

    def _profile(self, seq: int, cause: int, event: ProfileClosed) -> None:
        listing = self._boxes.listing(event.instrument)
        window = (*record(seq, cause, event.at_ns), *_window(event, listing))
        prices = (event.level, event.point, event.value_low, event.value_high)
        self._boxes.appended["profiles"].append(
            (
                *window,
                int(event.volume) / listing.size_unit,
                *(price / listing.price_unit for price in prices),
            )
        )
        self._boxes.appended["profile_levels"] += [
            (*window, price / listing.price_unit, int(volume) / listing.size_unit)
            for price, volume in event.levels
        ]

    def _large(self, seq: int, cause: int, event: LargePrintSeen) -> None:
        listing = self._boxes.listing(event.instrument)
        self._boxes.appended["large_prints"].append(
            (
                *record(seq, cause, event.at_ns),
                *listing.named,
                *(iso_text(event.venue_ns), event.venue_ns),
                event.price / listing.price_unit,
                event.size / listing.size_unit,
                side_name(event.aggressor),
                str(event.trade_id) if event.trade_id else None,
            )
        )

    def _sample(self, seq: int, cause: int, event: BookSampled) -> None:
        listing = self._boxes.listing(event.instrument)
        bid, ask = (price / listing.price_unit if price else None for price in (event.bid, event.ask))
        spread = (event.ask - event.bid) / listing.price_unit if event.bid and event.ask else None
        row = (*_window(event, listing), bid, ask, spread, event.imbalance, event.depth_imbalance)
        self._boxes.appended["book_samples"].append((*record(seq, cause, event.at_ns), *row))


def _window(event: FlowWindow, listing: Listing) -> tuple[object, ...]:
    start = (iso_text(event.start_ns), event.start_ns)
    return (*listing.named, interval_name(event.interval_ns), *start)
