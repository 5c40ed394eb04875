"""Stacked imbalances: runs of price levels at which one side traded many times the size of the other.

Levels are compared diagonally, as footprint charts do: the size bought at a level with the size sold one
level below. A level is a buy imbalance if the size bought at it is at least `imbalance_ratio` times the
size sold one level below. It is a sell imbalance if the size sold at it is at least `imbalance_ratio` times
the size bought one level above. The other level must have traded. A run of at least `imbalance_run`
adjacent levels is stacked.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.actors.base import Actor, Emit, handles
from engine.config import MONEY_TEXT_SCALE, FlowConfig
from engine.events import FootprintClosed, ImbalanceStacked
from engine.values import BUY, SELL, parse_scaled, power_of_ten

__all__ = ["Imbalances", "stacks"]

Stack = tuple[int, int, int, int]
"""(side, lowest level, highest level, run)."""


class Imbalances(Actor):
    """Has no state: each footprint is examined alone."""

    WIRING = Actor.WIRING | {"_ratio", "_run"}

    def __init__(self, config: FlowConfig) -> None:
        super().__init__("imbalances")
        self._ratio = parse_scaled(config.imbalance_ratio, MONEY_TEXT_SCALE)
        self._run = config.imbalance_run

    @handles(FootprintClosed)
    def examine(self, footprint: FootprintClosed, emit: Emit) -> None:
        """Emit the stacks of a footprint, the lowest first."""
        for side, low, high, run in stacks(footprint, self._ratio, self._run):
            emit(
                ImbalanceStacked(
                    footprint.at_ns,
                    footprint.instrument,
                    footprint.interval_ns,
                    footprint.start_ns,
                    side,
                    low,
                    high,
                    run,
                    footprint.revision,
                )
            )


def stacks(footprint: FootprintClosed, ratio: int, run_min: int) -> list[Stack]:
    """Return the stacks of a footprint; `ratio` at six decimals."""
    cells = {price: (int(bought), int(sold)) for price, bought, sold, _ in footprint.levels}
    width = footprint.level
    unit = power_of_ten(MONEY_TEXT_SCALE)

    def lifted(price: int) -> bool:
        below = cells.get(price - width)
        return below is not None and cells[price][0] > 0 and cells[price][0] * unit >= ratio * below[1]

    def hit(price: int) -> bool:
        above = cells.get(price + width)
        return above is not None and cells[price][1] > 0 and cells[price][1] * unit >= ratio * above[0]

    found = [
        (side, low, high, (high - low) // width + 1)
        for side, imbalanced in ((BUY, lifted), (SELL, hit))
        for low, high in _runs([price for price in cells if imbalanced(price)], width)
        if (high - low) // width + 1 >= run_min
    ]
    return sorted(found, key=lambda stack: (stack[1], stack[0]))


def _runs(prices: list[int], width: int) -> Iterator[tuple[int, int]]:
    """Yield (lowest, highest) of each run of adjacent levels; `prices` ascend."""
    begin = last = None
    for price in prices:
        if begin is None or last is None or price != last + width:
            if begin is not None and last is not None:
                yield begin, last
            begin = price
        last = price
    if begin is not None and last is not None:
        yield begin, last
