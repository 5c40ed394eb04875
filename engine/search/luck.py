"""Says whether the best trial of a sweep may be luck: the measures, and a verdict in plain words.

Owns which measures count, their limits, and the words. The measures are those of all distinct trials of the
sweep, failed ones included: each was a chance to find something by luck. Called by `engine sweep` and by
walk-forward.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from engine.analysis.formulas import DAYS_MIN, YEAR_DAYS, Measured
from engine.analysis.returns import deflated_sharpe, probabilistic_sharpe, sharpe, sharpe_of_luck
from engine.search.bootstrap import resampled
from engine.search.jobs import Trial
from engine.search.overfitting import neighbours_of, overfitting
from engine.search.ranking import value_of

__all__ = ["DSR_MIN", "PBO_MAX", "P_MAX", "SHARE_MIN", "Luck", "luck_of", "per_day"]

DSR_MIN: Final = 0.95
P_MAX: Final = 0.05
PBO_MAX: Final = 0.2
SHARE_MIN: Final = 0.5

_FLAT: Final = "the daily returns do not differ"


class Luck(msgspec.Struct, frozen=True):
    """What is known of the luck in a choice. None: no number, and `reasons` says why.

    `verdict` is "may be luck" if a measure is beyond its limit, "cannot be judged" if one that counts is
    missing, else "no sign of luck"; `lines` say it in words. `trials` are the distinct trials, `ranked` those
    with a ratio, `spread` the standard deviation of their ratios. Ratios are of one day: mean / std(ddof 1)
    of the daily returns. `ratio_of_luck` is what the best of that many trials without skill is expected to
    have. `p_value` and the interval of the Sharpe ratio, of a year, are those of `engine.search.bootstrap`.
    """

    verdict: str
    lines: list[str]
    trials: int
    ranked: int
    spread: float | None = None
    ratio: float | None = None
    ratio_of_luck: float | None = None
    psr: float | None = None
    dsr: float | None = None
    pbo: float | None = None
    splits: int = 0
    neighbours: int = 0
    neighbours_close: int = 0
    stability: float | None = None
    p_value: float | None = None
    sharpe_low: float | None = None
    sharpe_high: float | None = None
    block_days: float | None = None
    samples: int = 0
    seed: int = 0
    reasons: dict[str, str] = {}


def luck_of(
    trials: Sequence[Trial],
    chosen: Trial,
    params: Mapping[str, Sequence[Any]],
    *,
    metric: str,
    better: int,
    seed: int = 1,
) -> Luck:
    """Return what is known of the luck in choosing one of the trials. `params` are the values of the axes."""
    distinct = [one for one in trials if not one.repeats]
    daily = chosen.outcome.daily or []
    found: dict[str, Any] = {"seed": seed}
    reasons: dict[str, str] = {}
    ratios = [float(value) for one in distinct if (value := per_day(one.outcome.daily).value) is not None]
    spread = _deviation(ratios)
    found |= {"trials": len(distinct), "ranked": len(ratios), "spread": spread}
    benchmark = sharpe_of_luck(len(distinct), spread**2)
    found["ratio_of_luck"] = benchmark
    for name, measured in (
        ("ratio", per_day(daily)),
        ("psr", probabilistic_sharpe(daily)),
        ("dsr", deflated_sharpe(daily, trials=len(distinct), variance=spread**2)),
    ):
        found[name] = measured.value
        if measured.value is None:
            reasons[name] = measured.reason
    _add_overfitting(distinct, daily, found, reasons)
    _add_neighbours(distinct, chosen, params, metric, better, found, reasons)
    _add_samples(daily, seed, found, reasons)
    lines = _doubts(found)
    verdict = "may be luck"
    if not lines:
        missing = {name: reasons[name] for name in ("dsr", "pbo", "p_value") if name in reasons}
        verdict = "cannot be judged" if missing else "no sign of luck"
        words = {"dsr": "deflated Sharpe", "pbo": "overfitting (PBO)", "p_value": "bootstrap"}
        lines = [f"no {words[name]}: {reason}" for name, reason in missing.items()]
        lines = lines or ["no measure is beyond its limit, which does not prove skill"]
    return Luck(verdict, lines, **found, reasons=reasons)


def per_day(daily: Sequence[float] | None) -> Measured:
    """Return mean / std(ddof 1) of daily returns: the Sharpe ratio of one day."""
    return sharpe(daily, year=1, days_min=2)


def _deviation(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 0.0
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((one - mean) ** 2 for one in values) / (len(values) - 1))


def _short(daily: Sequence[float]) -> str:
    """Return why nothing can be said of so few or such days, "" if something can."""
    if len(daily) < DAYS_MIN:
        return f"{len(daily)} day{'' if len(daily) == 1 else 's'} of returns, under {DAYS_MIN}"
    return _FLAT if min(daily) == max(daily) else ""


def _add_overfitting(
    distinct: Sequence[Trial], daily: Sequence[float], found: dict[str, Any], reasons: dict[str, str]
) -> None:
    rows = [one.outcome.daily for one in distinct]
    matrix = [row for row in rows if row is not None and len(row) == len(daily)]
    reason = _short(daily) or ("" if len(matrix) > 1 else "one trial only: there was no choice")
    if reason:
        reasons["pbo"] = reason
        return
    result = overfitting(matrix)
    found |= {"pbo": result.pbo, "splits": result.splits}


def _add_neighbours(
    distinct: Sequence[Trial],
    chosen: Trial,
    params: Mapping[str, Sequence[Any]],
    metric: str,
    better: int,
    found: dict[str, Any],
    reasons: dict[str, str],
) -> None:
    places = {name: list(values) for name, values in params.items()}

    def point(trial: Trial) -> tuple[int, ...]:
        return tuple(values.index(trial.params[name]) for name, values in places.items())

    numeric = [all(type(one) in (int, float) for one in values) for values in places.values()]
    values = {point(one): value_of(one.outcome, metric) for one in distinct}
    close = neighbours_of(point(chosen), values, numeric, better=better)
    found |= {"neighbours": close.count, "neighbours_close": close.close, "stability": close.share}
    if close.share is None:
        reasons["stability"] = "no neighbour of the chosen values was tried"


def _add_samples(daily: Sequence[float], seed: int, found: dict[str, Any], reasons: dict[str, str]) -> None:
    reason = _short(daily)
    if reason:
        reasons["p_value"] = reasons["sharpe_low"] = reasons["sharpe_high"] = reason
        return
    samples = resampled(daily, seed=seed)
    found |= {
        "p_value": samples.p_value,
        "sharpe_low": samples.low * math.sqrt(YEAR_DAYS),
        "sharpe_high": samples.high * math.sqrt(YEAR_DAYS),
        "block_days": samples.block,
        "samples": samples.samples,
    }


def _doubts(found: Mapping[str, Any]) -> list[str]:
    """Return a line for each measure that is beyond its limit."""
    lines = []
    dsr, pbo, p_value = (found.get(name) for name in ("dsr", "pbo", "p_value"))
    share = found.get("stability")
    if dsr is not None and dsr < DSR_MIN:
        trials = found["trials"]
        lines.append(
            f"deflated Sharpe {dsr:.2f}, under {DSR_MIN}: its Sharpe ratio of a day is {found['ratio']:.3f}, "
            f"and the best of {trials:,} trial{'' if trials == 1 else 's'} without skill is expected to have "
            f"{found['ratio_of_luck']:.3f}"
        )
    if pbo is not None and pbo > PBO_MAX:
        lines.append(
            f"overfitting (PBO) {pbo:.2f}, over {PBO_MAX}: in {pbo:.0%} of {found['splits']} splits of the "
            "days, the best trial of one half was at or below the median in the other"
        )
    if p_value is not None and p_value > P_MAX:
        lines.append(
            f"bootstrap {p_value:.2f}, over {P_MAX}: with the gain taken out of these days, {p_value:.0%} of "
            f"{found['samples']:,} samples gain as much"
        )
    if share is not None and share < SHARE_MIN:
        lines.append(
            f"neighbours {share:.2f}, under {SHARE_MIN}: {found['neighbours_close']} of the "
            f"{found['neighbours']} trials next to it are at most 20 % worse"
        )
    return lines
