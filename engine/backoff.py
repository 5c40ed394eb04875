"""The wait before the next try after consecutive failures.

The wait doubles with each failure up to a bound, and half of it is random, so that many clients of one server
do not return at the same moment. Called by the supervisor and by every connection and read of an adapter.
"""

from __future__ import annotations

__all__ = ["backoff_ms"]

_DOUBLINGS_MAX = 30


def backoff_ms(failures: int, chance: float, *, min_ms: float, max_ms: float) -> int:
    """Return the wait in ms after `failures` earlier failures (0 for the first).

    It lies between half of a bound and all of it, as `chance` goes from 0 to 1. The bound begins at twice
    `min_ms`, doubles with each failure, and ends at `max_ms`.
    """
    bound = min(max_ms, min_ms * 2.0 ** (min(failures, _DOUBLINGS_MAX) + 1))
    return round(bound * (1 + min(1.0, max(0.0, chance))) / 2)
