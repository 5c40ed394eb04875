"""Kraken's limits per IP address.

Source: docs.kraken.com, "Rate limits", 2026-11: about one public request a second; 150 connections in ten
minutes (observed by others, after which an address is banned for ten minutes). Messages have a limit that the
venue does not state. Called by `client.py` and `feed.py`.
"""

from __future__ import annotations

from typing import Final

from adapters.transport.governor import Limits, Rate

__all__ = ["LIMITS"]

LIMITS: Final = Limits(
    weight=Rate(10, 10),
    messages=Rate(300),
    connections=Rate(15),
    connections_open=10,
    subscriptions=1000,
    posts_in_flight=1,
)
