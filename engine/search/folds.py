"""The pieces of a walk-forward: when each one is trained, when it is tested, and what lies between.

    rolling:   train train train | test          anchored:  train train train | test
                     train train train | test               train train train train | test

Owns the plan as people write it, the pieces, and the warm-up that a strategy's own indicators state. Called
by `engine.search.forward`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from engine.clock import iso_text
from engine.config import Config
from engine.errors import NumberError, UsageError
from engine.strategies.actor import StrategyActor
from engine.strategies.base import PerMarket, Strategy
from engine.strategies.needs import needs_of
from engine.strategies.params import convert_params
from engine.values import parse_interval, parse_span

__all__ = ["Fold", "Plan", "folds_of", "parse_plan", "warmup_of"]

FOLDS_MAX = 1_000


class Plan(msgspec.Struct, frozen=True):
    """Lengths in nanoseconds. `embargo_ns` and `warmup_ns` are None where the strategy decides them."""

    train_ns: int
    test_ns: int
    anchored: bool = False
    embargo_ns: int | None = None
    warmup_ns: int | None = None


class Fold(msgspec.Struct, frozen=True):
    """A piece: it is trained from `train_ns` until `until_ns`, and tested from then until `end_ns`."""

    number: int
    train_ns: int
    until_ns: int
    end_ns: int


def parse_plan(text: str) -> Plan:
    """Return the plan of a text as `train=30d,test=7d[,anchored][,embargo=2d][,warmup=1d]`.

    Raises UsageError.
    """
    spans: dict[str, int] = {}
    anchored = False
    for part in text.split(","):
        name, _, value = part.strip().partition("=")
        if part.strip() == "anchored" and not anchored:
            anchored = True
            continue
        if name not in ("train", "test", "embargo", "warmup") or name in spans:
            raise UsageError(
                f"--walk-forward: {part.strip()!r} is not understood; write it as train=30d,test=7d, with "
                "anchored, embargo=2d or warmup=1d behind it"
            )
        try:
            spans[name] = 0 if value == "0" else parse_span(value)
        except NumberError as error:
            raise UsageError(f"--walk-forward {name}: {error}") from None
    for name in ("train", "test"):
        if not spans.get(name):
            raise UsageError(f"--walk-forward: say how long to {name}, as in train=30d,test=7d")
    return Plan(spans["train"], spans["test"], anchored, spans.get("embargo"), spans.get("warmup"))


def folds_of(plan: Plan, begin_ns: int, end_ns: int) -> list[Fold]:
    """Return the pieces of a time; the last test may be shorter. Raises UsageError if there is none."""
    found: list[Fold] = []
    until_ns = begin_ns + plan.train_ns
    while until_ns < end_ns:
        train_ns = begin_ns if plan.anchored else until_ns - plan.train_ns
        found.append(Fold(len(found) + 1, train_ns, until_ns, min(end_ns, until_ns + plan.test_ns)))
        until_ns += plan.test_ns
        if len(found) > FOLDS_MAX:
            raise UsageError(f"--walk-forward: more than {FOLDS_MAX:,} pieces; give a longer test")
    if not found:
        raise UsageError(
            f"--walk-forward: the data of {iso_text(begin_ns)[:19]} to {iso_text(end_ns)[:19]} is not longer "
            "than one training; give more days or a shorter train"
        )
    return found


def warmup_of(config: Config, classes: Mapping[str, type[Strategy]]) -> int:
    """Return how long the indicators of the strategies need until their first values, in nanoseconds.

    That is the largest `warmup` of the indicators that a strategy has after `on_start`, in bars of the
    longest interval that it names, or else of the session. An indicator that is made later, or keeps its own
    values, is not known here.
    """
    longest = 0
    for entry in config.strategies:
        cls = classes[entry.use]
        params = convert_params(cls, entry.params)
        actor = StrategyActor(cls, entry.title, params, entry.instruments, config.seed)
        bars = max((_bars(value) for value in vars(actor.strategy).values()), default=0)
        named = [need.value for need in needs_of(cls, entry.title, params, ()) if need.kind == "interval"]
        spans = [parse_interval(name) for name in _timed(named) or _timed(config.bars.intervals)]
        longest = max(longest, bars * max(spans, default=0))
    return longest


def _timed(names: Sequence[str]) -> list[str]:
    return [name for name in names if ":" not in name]


def _bars(value: object) -> int:
    """Return the warm-up of an indicator, of the one that a `PerMarket` makes, or of several; 0: of none."""
    if isinstance(value, PerMarket):
        value = value["any market"] if not value else next(iter(value.values()))
    elif isinstance(value, list | tuple):
        return max((_bars(one) for one in value), default=0)
    elif isinstance(value, dict):
        return max((_bars(one) for one in value.values()), default=0)
    bars = getattr(value, "warmup", 0)
    return bars if isinstance(bars, int) else 0
