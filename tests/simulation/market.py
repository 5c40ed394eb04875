"""The market of a simulation: the sandbox's synthetic market, which is busy in some stretches of time only.

In the others trades come at a longer mean interval, so that they cost little.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

import msgspec

from adapters.exchange.market import (
    _BLOCK_MS,
    InstrumentProfile,
    Lists,
    SyntheticMarket,
    _InstrumentGenerator,
)
from engine.events import Quote, Trade

__all__ = ["PacedMarket"]

MS = 1_000_000


class PacedMarket(SyntheticMarket):
    """A market with a trade of each instrument every `gap_s` on average, `quiet_gap_s` outside of `busy`.

    `busy`: spans of time in seconds after the start, in order; None if all of it is busy.
    """

    def __init__(
        self,
        seed: int,
        instruments: Sequence[str],
        gap_s: float,
        quiet_gap_s: float,
        busy: Sequence[tuple[float, float]] | None,
        lists: Lists,
    ) -> None:
        super().__init__(seed, instruments, lists=lists)
        self._profiles = [msgspec.structs.replace(one, gap_ms=int(gap_s * 1000)) for one in self._profiles]
        self._quiet_ms = int(quiet_gap_s * 1000)
        self._busy = busy

    def events(self, start_ns: int) -> Iterator[Trade | Quote]:
        """See `SyntheticMarket.events`."""
        if self._busy is None:
            yield from super().events(start_ns)
            return
        edges = [start_ns // MS + int(at_s * 1000) for span in self._busy for at_s in span]
        generators = [
            _Paced(number, profile, self._seed, start_ns, self._quiet_ms, edges)
            for number, profile in enumerate(self._profiles, start=1)
        ]
        for generator in generators:
            yield generator.quote
        first_block = start_ns // (MS * _BLOCK_MS) + 1
        for generator in generators:
            generator.next_block += first_block
        while True:
            yield from min(generators, key=lambda one: one.next_block).step()


class _Paced(_InstrumentGenerator):
    """An instrument. `edges`: when a busy stretch begins, when it ends, and so on, in milliseconds."""

    def __init__(
        self,
        number: int,
        profile: InstrumentProfile,
        seed: int,
        start_ns: int,
        quiet_ms: int,
        edges: Sequence[int],
    ) -> None:
        self._edges = edges
        self._paces = msgspec.structs.replace(profile, gap_ms=quiet_ms), profile
        super().__init__(number, profile, seed, start_ns)

    def _gap_blocks(self) -> int:
        passed = bisect_right(self._edges, self._now_ms)
        self._profile = self._paces[passed % 2]
        blocks = super()._gap_blocks()
        if passed % 2 or passed == len(self._edges):
            return blocks
        # The next trade is not later than the beginning of the next busy stretch.
        return min(blocks, max(1, (self._edges[passed] - self._now_ms) // _BLOCK_MS))
