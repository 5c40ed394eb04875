"""Price levels: how wide they are, and what was traded at each. Called by the footprint and profile
actors."""

from __future__ import annotations

from collections.abc import Mapping

from engine.actors.base import State
from engine.events import InstrumentListed
from engine.values import power_of_ten, to_grid

__all__ = ["LEVELS_MAX", "Cell", "level_of", "width_of"]

LEVELS_MAX = 10_000
"""Levels of one window; what is traded beyond goes to the nearest one."""


class Cell(State):
    """What takers bought and sold at a level, and what nobody says the side of."""

    bought: int = 0
    sold: int = 0
    unsided: int = 0


def width_of(listed: InstrumentListed, level: Mapping[str, str], price: int) -> int:
    """Return the width of an instrument's levels: the configured one, else about a hundredth of a percent.

    One that is finer than the instrument's prices is their finest step. The other is the power of ten at or
    below a ten-thousandth of its first price, at least the price grid's step.
    """
    configured = level.get(listed.name)
    if configured is not None:
        return to_grid(configured, scale=listed.price_scale, up=True)
    return max(listed.price_step, power_of_ten(max(0, len(str(price)) - 5)))


def level_of(cells: Mapping[int, object], price: int, width: int) -> int:
    """Return the level a price belongs to; the nearest there is when there are too many."""
    level = price - price % width
    if level in cells or len(cells) < LEVELS_MAX:
        return level
    return min(cells, key=lambda one: (abs(one - level), one))
