"""Stacked imbalances: runs of levels at which one side took many times what the other took across the spread.

Diagonally, as footprint charts compare: what was bought at a level lifted offers there, what was sold one
level below hit bids there. A level is a buy imbalance if at least `imbalance_ratio` times as much was
bought at it as was sold one level below, a sell imbalance if as many times as much was sold at it as was
bought one level above; the other level has to have traded at all. A run of `imbalance_run` levels next to
each other, or more, is stacked.
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
    """Without state: each footprint is looked at alone."""

    WIRING = Actor.WIRING | {"_ratio", "_run"}

    def __init__(self, config: FlowConfig) -> None:
        super().__init__("imbalances")
        self._ratio = parse_scaled(config.imbalance_ratio, MONEY_TEXT_SCALE)
        self._run = config.imbalance_run

    @handles(FootprintClosed)
    def look(self, footprint: FootprintClosed, emit: Emit) -> None:
        """Tell the stacks of a footprint, the lowest first."""
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
    """Yield (lowest, highest) of each run of levels next to each other; `prices` rise."""
    begin = last = None
    for price in prices:
        if begin is None or last is None or price != last + width:
            if begin is not None and last is not None:
                yield begin, last
            begin = price
        last = price
    if begin is not None and last is not None:
        yield begin, last
