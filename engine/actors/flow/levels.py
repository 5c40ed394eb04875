"""Price levels: their width, and the sizes traded at each. Used by the footprint and profile actors."""

from __future__ import annotations

from collections.abc import Mapping

from engine.actors.base import State
from engine.events import InstrumentListed
from engine.instruments import entry_of
from engine.values import Size, power_of_ten, to_grid

__all__ = ["LEVELS_MAX", "Cell", "level_of", "width_of"]

LEVELS_MAX = 10_000
"""Upper bound on the levels of one window. Beyond it, a trade is added to the nearest level."""


class Cell(State):
    """The sizes bought and sold by takers at a level, and the size of trades without a side."""

    bought: Size = 0
    sold: Size = 0
    unsided: Size = 0


def width_of(listed: InstrumentListed, level: Mapping[str, str], price: int) -> int:
    """Return the width of an instrument's levels: the configured one, or about 0.01 % of its first price.

    A configured width is rounded up to the price scale. The default is the largest power of ten not above a
    ten-thousandth of the first price, but at least the price grid's step.
    """
    configured = entry_of(level, listed, None)
    if configured is not None:
        return to_grid(configured, scale=listed.price_scale, up=True)
    return max(listed.price_step, power_of_ten(max(0, len(str(price)) - 5)))


def level_of(cells: Mapping[int, object], price: int, width: int) -> int:
    """Return the level of a price, or the nearest existing level if there are too many."""
    level = price - price % width
    if level in cells or len(cells) < LEVELS_MAX:
        return level
    return min(cells, key=lambda one: (abs(one - level), one))
