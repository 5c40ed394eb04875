"""Coinbase's limits per IP address.

Source: docs.cdp.coinbase.com, "Advanced Trade WebSocket Rate Limits" and "REST API Rate Limits", 2026-11: 8
new connections and 8 messages a second without a key, 10 public requests a second. Called by `client.py` and
`info.py`.
"""

from __future__ import annotations

from typing import Final

from adapters.transport.governor import Limits, Rate

__all__ = ["LIMITS"]

LIMITS: Final = Limits(
    weight=Rate(10, 1),
    messages=Rate(8, 1),
    connections=Rate(8, 1),
    connections_open=10,
    subscriptions=1000,
    posts_in_flight=1,
)
