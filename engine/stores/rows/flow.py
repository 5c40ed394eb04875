"""Rows of order flow: footprints, imbalances, profiles, large trades, books, levels of liquidations.

Used by `builder.py`.
"""

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
    LiquidationLevelsClosed,
    ProfileClosed,
)
from engine.stores.rows.units import Listing, record
from engine.stores.rows.venue import Batch
from engine.values import interval_name, side_name

__all__ = ["FlowRows"]

FlowWindow = FootprintClosed | ImbalanceStacked | ProfileClosed | BookSampled | LiquidationLevelsClosed


class FlowRows:
    """The handlers, by event type. A corrected window has rows of its own; the newest count."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self.handlers: dict[type[Event], tuple[str, Callable[[int, int, Any], None]]] = {
            FootprintClosed: ("footprints", self._footprint),
            ImbalanceStacked: ("stacked_imbalances", self._imbalance),
            ProfileClosed: ("profiles", self._profile),
            LargePrintSeen: ("large_prints", self._large),
            BookSampled: ("book_samples", self._sample),
            LiquidationLevelsClosed: ("liquidation_windows", self._forced),
        }

    def _footprint(self, seq: int, cause: int, event: FootprintClosed) -> None:
        listing = self._batch.listing(event.instrument)
        window = (*record(seq, cause, event.at_ns), *_window(event, listing))
        self._batch.appended["footprints"].append(
            (
                *window,
                listing.price(event.level),
                listing.size(int(event.delta)),
                listing.size(int(event.day_delta)),
                event.revision,
            )
        )
        self._batch.appended["footprint_levels"] += [
            (*window, listing.price(price), *(listing.size(int(part)) for part in parts), event.revision)
            for price, *parts in event.levels
        ]

    def _imbalance(self, seq: int, cause: int, event: ImbalanceStacked) -> None:
        listing = self._batch.listing(event.instrument)
        prices = (listing.price(event.low), listing.price(event.high))
        row = (*_window(event, listing), side_name(event.side), *prices, event.run, event.revision)
        self._batch.appended["stacked_imbalances"].append((*record(seq, cause, event.at_ns), *row))

    def _profile(self, seq: int, cause: int, event: ProfileClosed) -> None:
        listing = self._batch.listing(event.instrument)
        window = (*record(seq, cause, event.at_ns), *_window(event, listing))
        prices = (event.level, event.point, event.value_low, event.value_high)
        self._batch.appended["profiles"].append(
            (
                *window,
                listing.size(int(event.volume)),
                *map(listing.price, prices),
            )
        )
        self._batch.appended["profile_levels"] += [
            (*window, listing.price(price), listing.size(int(volume))) for price, volume in event.levels
        ]

    def _forced(self, seq: int, cause: int, event: LiquidationLevelsClosed) -> None:
        listing = self._batch.listing(event.instrument)
        window = (*record(seq, cause, event.at_ns), *_window(event, listing))
        sizes = (listing.size(int(event.longs)), listing.size(int(event.shorts)))
        last = (event.count, event.sampled, event.revision)
        self._batch.appended["liquidation_windows"].append(
            (*window, listing.price(event.level), *sizes, *last)
        )
        self._batch.appended["liquidation_levels"] += [
            (*window, listing.price(price), *(listing.size(int(part)) for part in parts), event.revision)
            for price, *parts in event.levels
        ]

    def _large(self, seq: int, cause: int, event: LargePrintSeen) -> None:
        listing = self._batch.listing(event.instrument)
        self._batch.appended["large_prints"].append(
            (
                *record(seq, cause, event.at_ns),
                *listing.named,
                *(iso_text(event.venue_ns), event.venue_ns),
                listing.price(event.price),
                listing.size(event.size),
                side_name(event.aggressor),
                str(event.trade_id) if event.trade_id else None,
            )
        )

    def _sample(self, seq: int, cause: int, event: BookSampled) -> None:
        listing = self._batch.listing(event.instrument)
        bid, ask = (listing.price(price) if price else None for price in (event.bid, event.ask))
        spread = listing.price(event.ask - event.bid) if event.bid and event.ask else None
        row = (*_window(event, listing), bid, ask, spread, event.imbalance, event.depth_imbalance)
        self._batch.appended["book_samples"].append((*record(seq, cause, event.at_ns), *row))


def _window(event: FlowWindow, listing: Listing) -> tuple[object, ...]:
    start = (iso_text(event.start_ns), event.start_ns)
    return (*listing.named, interval_name(event.interval_ns), *start)
