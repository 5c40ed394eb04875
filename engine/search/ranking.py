"""Which trial is best by a metric, or why none can be ranked.

Every metric has a direction, stated with its formula or given by the caller. First come trials that are done
and have a value, the better first and at equal values the earlier; then those whose value is null; then
those that sent no order, which are never best; then those that failed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

from engine.analysis.formulas import FORMULAS
from engine.config import nearest
from engine.errors import UsageError
from engine.search.jobs import Outcome, Trial

__all__ = ["best_of", "direction_of", "ranked", "value_of", "why_unranked"]

_BETTER = {"more": 1, "less": -1}
_PLACES = {"done": 0, "no orders": 2, "failed": 3}


def direction_of(metric: str, better: str | None = None) -> int:
    """Return 1 if more of a metric is better, -1 if less is; `better` says it if the metric does not.

    Raises UsageError.
    """
    formula = FORMULAS.get(metric)
    if formula is None:
        raise UsageError(f"--metric {metric}: there is no such metric; {nearest(metric, list(FORMULAS))}")
    given = _BETTER[better] if better is not None else 0
    if formula.better and given and given != formula.better:
        word = "more" if formula.better > 0 else "less"
        raise UsageError(f"--better {better}: of {metric}, {word} is better")
    if not formula.better and not given:
        raise UsageError(
            f"--metric {metric}: neither more nor less of it is better by itself; "
            "add --better more or --better less"
        )
    return formula.better or given


def value_of(outcome: Outcome, metric: str) -> float | None:
    """Return the value by which a trial is ranked; None if it cannot be."""
    value = outcome.metrics.get(metric)
    return None if outcome.state != "done" or value is None else float(value)


def ranked(trials: Sequence[Trial], metric: str, better: int) -> list[Trial]:
    """Return the trials, the best first."""

    def place(trial: Trial) -> tuple[int, Decimal, int]:
        value = trial.outcome.metrics.get(metric)
        state = _PLACES[trial.outcome.state]
        if state or value is None:
            return state or 1, Decimal(0), trial.number
        return 0, -better * Decimal(str(value)), trial.number

    return sorted(trials, key=place)


def best_of(trials: Sequence[Trial], metric: str, better: int) -> Trial | None:
    """Return the best trial, None if none can be ranked."""
    first = ranked(trials, metric, better)[:1]
    return first[0] if first and value_of(first[0].outcome, metric) is not None else None


def why_unranked(trials: Sequence[Trial], metric: str) -> str:
    """Return in words why none of the trials can be ranked."""
    reasons: Counter[str] = Counter()
    for trial in trials:
        outcome = trial.outcome
        if outcome.state == "failed":
            reasons[f"failed ({outcome.failure})"] += 1
        elif outcome.state == "no orders":
            reasons["sent no order"] += 1
        else:
            reasons[f"{metric} is null ({outcome.reasons.get(metric, 'no value')})"] += 1
    total = len(trials)
    shown = "; ".join(f"{count} of {total}: {reason}" for reason, count in reasons.most_common(5))
    return f"nothing can be ranked by {metric}: {shown}"
