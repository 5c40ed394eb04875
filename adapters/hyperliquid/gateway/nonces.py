"""Nonces that strictly rise, even if the clock goes back.

The venue takes a nonce once per signer, in milliseconds, within two days before and one day after its own
clock. One counter per process; `floor_ms` is above every nonce that an earlier process may have used.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Nonces"]


class Nonces:
    """The next nonce is the clock's millisecond, or one more than the last."""

    def __init__(self, now_ns: Callable[[], int], floor_ms: int = 0) -> None:
        self._now_ns = now_ns
        self.last = floor_ms

    def next(self) -> int:
        """Return a nonce larger than every one before."""
        self.last = max(self.last + 1, self._now_ns() // 1_000_000)
        return self.last
