"""ApeX Omni's limits per IP address.

About 600 requests a minute, beyond which HTTP 403 blocks the address (a third party, 2026). Nothing is
known of the stream's limits: the numbers here are careful guesses.
"""

from __future__ import annotations

from typing import Final

from adapters.transport.governor import Limits, Rate

__all__ = ["LIMITS"]

LIMITS: Final = Limits(
    weight=Rate(500),
    messages=Rate(500),
    connections=Rate(30),
    connections_open=10,
    subscriptions=500,
    posts_in_flight=10,
)
"""Per minute, or at a time. A request weighs 1."""
