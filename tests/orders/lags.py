"""Adds moments at which the engine or a feed is late, and on time again, to the steps of a plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

__all__ = ["with_lags"]

S = TypeVar("S")

WHO = ("engine", "feed")
LAGS_MS = (0, 0, 900, 4000, 5000, 5001, 70_000)
OFTEN = 0.04


def with_lags(number: int, steps: Sequence[S], make: Callable[[str, int], S]) -> list[S]:
    """Return the steps of a plan with lags between them, of which none is left at the end.

    `make` returns the step that makes "engine" or "feed" late by so many milliseconds.

    They are drawn by themselves: all other steps of a plan stay what they were.
    """
    random = Random(f"{number} lag")
    found: list[S] = []
    for step in steps:
        if random.random() < OFTEN:
            found.append(make(random.choice(WHO), random.choice(LAGS_MS)))
        found.append(step)
    return [*found, *(make(who, 0) for who in WHO)]
