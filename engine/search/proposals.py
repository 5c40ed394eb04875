"""Which trial comes next: all points of a grid, random ones, or what Optuna proposes.

A proposal is the place on each axis. Proposals come in batches: the next batch is asked when all outcomes of
the one before are known and were told in the order of their numbers. The size of a batch is part of the
search, not of the machine, so the trials are the same whatever the number of jobs. Grid and random learn
nothing; all their proposals are one batch.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Sequence
from typing import Any, Final, Protocol

from engine.errors import UsageError
from engine.search.axes import Axis, point, size_of

__all__ = ["BATCH", "SEARCHES", "Proposals", "Search", "make_search", "sampler_name"]

BATCH: Final = 8
"""Trials that Optuna proposes at once."""

SEARCHES: Final = ("grid", "random", "tpe")

Proposals = list[tuple[int, ...]]


class Search(Protocol):
    """Proposes trials."""

    def ask(self) -> Proposals:
        """Return the next batch of places; empty at the end."""

    def tell(self, values: Sequence[float | None]) -> None:
        """Take the values of the last batch, None for a trial that cannot be ranked."""


class _Fixed:
    """All proposals at once."""

    def __init__(self, proposals: Proposals) -> None:
        self._proposals = proposals

    def ask(self) -> Proposals:
        given, self._proposals = self._proposals, []
        return given

    def tell(self, values: Sequence[float | None]) -> None:
        """Nothing depends on them."""


class _Optuna:
    """The tree-structured Parzen estimator of Optuna, by its ask and tell."""

    def __init__(self, axes: Sequence[Axis], trials: int, seed: int, better: int) -> None:
        optuna = _optuna()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study: Any = optuna.create_study(
            sampler=optuna.samplers.TPESampler(seed=seed, constant_liar=True),
            direction="maximize" if better > 0 else "minimize",
        )
        self._failed: Any = optuna.trial.TrialState.FAIL
        self._axes = axes
        self._left = trials
        self._asked: list[Any] = []

    def ask(self) -> Proposals:
        self._asked = [self._study.ask() for _ in range(min(BATCH, self._left))]
        self._left -= len(self._asked)
        return [tuple(self._suggest(trial, one) for one in self._axes) for trial in self._asked]

    def tell(self, values: Sequence[float | None]) -> None:
        for trial, value in zip(self._asked, values, strict=True):
            if value is None:
                self._study.tell(trial, state=self._failed)
            else:
                self._study.tell(trial, value)

    def _suggest(self, trial: Any, one: Axis) -> int:
        """Return a place on an axis: near places are near values only if they are numbers."""
        count = len(one.values)
        if one.numeric:
            return int(trial.suggest_int(one.name, 0, count - 1))
        return int(trial.suggest_categorical(one.name, list(range(count))))


def make_search(kind: str, axes: Sequence[Axis], *, trials: int, seed: int, better: int) -> Search:
    """Return a search. `trials` and `seed` are of random and tpe. Raises UsageError."""
    size = size_of(axes)
    if kind == "grid":
        return _Fixed([point(axes, index) for index in range(size)])
    if kind == "random":
        return _Fixed([point(axes, index) for index in _drawn(size, min(trials, size), seed)])
    return _Optuna(axes, trials, seed, better)


def sampler_name(kind: str) -> str:
    """Return what decides the proposals besides the values: "" or the version of Optuna."""
    return f"optuna {_optuna().__version__}, batches of {BATCH}" if kind == "tpe" else ""


def _optuna() -> Any:
    try:
        return importlib.import_module("optuna")
    except ImportError:
        raise UsageError('--search tpe: Optuna is not installed; pip install "retape[search]"') from None


def _drawn(size: int, count: int, seed: int) -> list[int]:
    """Return `count` different numbers below `size`, the same for a seed on every machine and Python."""
    if count * 2 > size:
        # Shuffled by rank: drawing the last ones at random would take long.
        return sorted(range(size), key=lambda index: _digest(seed, index))[:count]
    found: dict[int, None] = {}
    draw = 0
    while len(found) < count:
        found[int.from_bytes(_digest(seed, draw)) % size] = None
        draw += 1
    return list(found)


def _digest(seed: int, number: int) -> bytes:
    return hashlib.blake2b(f"{seed} {number}".encode(), digest_size=16).digest()
