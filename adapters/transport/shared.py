"""One request for all that wait for the same answer.

Many orders can be unknown at once, and the query of each needs the venue's clock and perhaps the list of open
orders. Promises: an answer is of a time after the call; of many calls at a time at most two send a request;
a failure is that of the caller whose request failed, and the next one sends its own. Called by gateways.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import trio

__all__ = ["Shared"]

_Answer = TypeVar("_Answer")


class Shared(Generic[_Answer]):
    """The newest answer of `ask`, with the number of its request among all calls and requests."""

    def __init__(self, ask: Callable[[], Awaitable[_Answer]]) -> None:
        self._ask = ask
        self._lock = trio.Lock()
        self._number = 0
        self._newest: tuple[int, _Answer] | None = None

    async def get(self) -> _Answer:
        """Return an answer to a request that was sent after this call. Raises what `ask` raises."""
        self._number += 1
        called = self._number
        async with self._lock:
            if self._newest is None or self._newest[0] <= called:
                self._number += 1
                number = self._number
                self._newest = number, await self._ask()
            return self._newest[1]
