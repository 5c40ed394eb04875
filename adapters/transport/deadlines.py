"""How long the answer to an order is waited for.

Called by the gateways of venues.
"""

from __future__ import annotations

from typing import Final

__all__ = ["answer_within_s"]

REFUSAL_S: Final = 0.5
"""How long after its expiry the answer to an order can still come: the venue's refusal, on its way back."""


def answer_within_s(most_s: float, expires_ms: int | None, venue_ms: int) -> float:
    """Return how long the answer to a request that leaves now is waited for, in seconds.

    After its expiry the venue refuses it, so nothing is gained by waiting: the order is asked about instead.
    """
    if not expires_ms:
        return most_s
    return min(most_s, max(0, expires_ms - venue_ms) / 1000 + REFUSAL_S)
