"""The values of each parameter to try, as `--param fast=5:30:5` writes them, and the points of their grid.

    fast=5:30:5          5, 10, ... 30; the end belongs to it if a step meets it
    fast=5:30            every whole number
    slow=20,50,100       these values; parts may be ranges: 1:3,10
    Crossover.slow=20    of one strategy, by its name in the session; one value is the same in every trial

Numbers are read as decimals, so 0.1:0.5:0.1 has exactly five values. A value becomes that of the parameter's
type when it is set (`engine.strategies.params`). Points are counted with the last axis changing fastest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from math import prod
from typing import Final

import msgspec

from engine.errors import UsageError

__all__ = ["VALUES_MAX", "Axis", "ends_of", "parse_axis", "point", "size_of"]

VALUES_MAX: Final = 100_000
"""Upper bound on the values of one axis."""

_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d+)?")


class Axis(msgspec.Struct, frozen=True):
    """A parameter and the values to try, as text. `numeric`: they are numbers in a rising order."""

    name: str
    values: tuple[str, ...]
    numeric: bool = False


def parse_axis(text: str) -> Axis:
    """Return the axis of `name=values`. Raises UsageError."""
    name, equals, values = text.partition("=")
    if not equals or not name:
        raise UsageError(f"--param {text!r}: write it as --param fast=5:30:5, or --param slow=20,50,100")
    found: list[str] = []
    for part in values.split(","):
        found += _values(name, part.strip())
    if len(set(found)) != len(found):
        twice = next(one for one in found if found.count(one) > 1)
        raise UsageError(f"--param {name}: {twice} is given twice")
    numbers = [Decimal(one) for one in found if _NUMBER.fullmatch(one)]
    return Axis(name, tuple(found), len(numbers) == len(found) and numbers == sorted(numbers))


def _values(name: str, part: str) -> list[str]:
    numbers = part.split(":")
    if len(numbers) not in (2, 3) or not all(_NUMBER.fullmatch(one) for one in numbers):
        return [part]
    low, high = Decimal(numbers[0]), Decimal(numbers[1])
    if len(numbers) == 2 and (low != int(low) or high != int(high)):
        raise UsageError(f"--param {name}={part}: give the step too, as {part}:0.1")
    step = Decimal(numbers[2]) if len(numbers) == 3 else Decimal(1)
    if step <= 0 or high < low:
        raise UsageError(f"--param {name}={part}: write it as LOW:HIGH:STEP, with a step above 0")
    count = int((high - low) / step) + 1
    if count > VALUES_MAX:
        raise UsageError(f"--param {name}={part}: has {count:,} values, at most {VALUES_MAX:,}")
    return [f"{low + step * at:f}" for at in range(count)]


def ends_of(axis: Axis) -> tuple[int, ...]:
    """Return the places of the least and the largest number of an axis; all of them if it has texts."""
    if not all(map(_NUMBER.fullmatch, axis.values)):
        return tuple(range(len(axis.values)))
    places = sorted(range(len(axis.values)), key=lambda at: Decimal(axis.values[at]))
    return (places[0], places[-1])[: len(places)]


def size_of(axes: Sequence[Axis]) -> int:
    """Return the number of points of the grid."""
    return prod(len(one.values) for one in axes)


def point(axes: Sequence[Axis], index: int) -> tuple[int, ...]:
    """Return the place on each axis of a point of the grid, counted from 0."""
    places = []
    for one in reversed(axes):
        index, at = divmod(index, len(one.values))
        places.append(at)
    return tuple(reversed(places))
