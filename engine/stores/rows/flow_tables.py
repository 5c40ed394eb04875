"""The tables of order flow and of bars that close by activity."""

from __future__ import annotations

from typing import Final

from engine.stores.rows.shapes import INSTRUMENT, PRINT, RECORD, TRADED, WINDOW, TableShape

__all__ = ["FLOW_TABLES"]

FLOW_TABLES: Final[dict[str, TableShape]] = {
    "activity_bars": TableShape(
        {
            **INSTRUMENT,
            "kind": str,
            "number": int,
            "start": str,
            "start_ns": int,
            "end": str,
            "end_ns": int,
            **TRADED,
            **RECORD,
        },
        pk="seq",
        indexes=(("instrument", "kind", "start_ns"),),
        quotients=("vwap",),
    ),
    "footprints": TableShape(
        {**RECORD, **WINDOW, "level": float, "delta": float, "day_delta": float, "revision": int},
        pk="seq",
        indexes=(("instrument", "interval", "start_ns"),),
    ),
    "footprint_levels": TableShape(
        {
            **RECORD,
            **WINDOW,
            **dict.fromkeys(("price", "bought", "sold", "unsided"), float),
            "revision": int,
        },
        pk=("seq", "price"),
        indexes=(("instrument", "interval", "start_ns"),),
    ),
    "stacked_imbalances": TableShape(
        {**RECORD, **WINDOW, "side": str, "low": float, "high": float, "run": int, "revision": int},
        pk="seq",
        indexes=(("instrument", "interval", "start_ns"),),
    ),
    "profiles": TableShape(
        {
            **RECORD,
            **WINDOW,
            **dict.fromkeys(("volume", "level", "point", "value_low", "value_high"), float),
        },
        pk="seq",
        indexes=(("instrument", "interval", "start_ns"),),
    ),
    "profile_levels": TableShape(
        {**RECORD, **WINDOW, "price": float, "volume": float},
        pk=("seq", "price"),
        indexes=(("instrument", "interval", "start_ns"),),
    ),
    # A window that was corrected has rows of its own; the newest revision counts.
    "liquidation_windows": TableShape(
        {
            **RECORD,
            **WINDOW,
            **dict.fromkeys(("level", "longs", "shorts"), float),
            "count": int,
            "sampled": bool,
            "revision": int,
        },
        pk="seq",
        indexes=(("instrument", "interval", "start_ns"),),
    ),
    "liquidation_levels": TableShape(
        {**RECORD, **WINDOW, **dict.fromkeys(("price", "longs", "shorts"), float), "revision": int},
        pk=("seq", "price"),
        indexes=(("instrument", "interval", "start_ns"),),
    ),
    "large_prints": TableShape(
        {
            **RECORD,
            **INSTRUMENT,
            "venue_time": str,
            "venue_ns": int,
            **PRINT,
        },
        pk="seq",
        indexes=(("instrument", "venue_ns"),),
    ),
    "book_samples": TableShape(
        {
            **RECORD,
            **WINDOW,
            **dict.fromkeys(("bid", "ask", "spread", "imbalance", "depth_imbalance"), float),
        },
        pk="seq",
        indexes=(("instrument", "interval", "start_ns"),),
        quotients=("imbalance", "depth_imbalance"),
    ),
}
