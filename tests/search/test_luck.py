"""A sweep says plainly when its best trial may be luck, and counts every trial that was tried."""

from __future__ import annotations

import math
import statistics
from statistics import NormalDist

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.search.jobs import Outcome, Trial
from engine.search.luck import DSR_MIN, P_MAX, PBO_MAX, SHARE_MIN, Luck, luck_of, per_day
from engine.search.ranking import best_of
from tests.profiles import examples
from tests.search.references import CASES, Case, noise

METRIC = "sharpe"
EULER = 0.57721566490153286


def tried(rows: list[list[float]], width: int = 4) -> list[Trial]:
    """Return trials with these daily returns, on a grid that is `width` wide."""
    return [
        Trial(
            number,
            {"fast": (number - 1) % width, "slow": (number - 1) // width},
            Outcome("done", orders=1, daily=row, metrics={METRIC: per_day(row).value}),
        )
        for number, row in enumerate(rows, start=1)
    ]


def failed(number: int, slow: int) -> Trial:
    return Trial(number, {"fast": 0, "slow": slow}, Outcome("failed", failure="broke"))


def luck(trials: list[Trial], **more: int) -> Luck:
    params = {name: tuple(dict.fromkeys(trial.params[name] for trial in trials)) for name in ("fast", "slow")}
    best = best_of(trials, METRIC, 1)
    assert best is not None
    return luck_of(trials, best, params, metric=METRIC, better=1, **more)


def by_the_letter(row: list[float], against: float, ddof: int) -> float:
    """The probability that the ratio of a day is above `against`, as the paper of 2012 has it."""
    n, mean = len(row), sum(row) / len(row)
    m2, m3, m4 = (sum((one - mean) ** power for one in row) / n for power in (2, 3, 4))
    ratio = mean / math.sqrt(m2 * n / (n - ddof))
    skew = m3 / m2**1.5 * math.sqrt(n * (n - 1)) / (n - 2)
    kurtosis = 3 + (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * m4 / m2**2 - 3 * (n - 1))
    error = math.sqrt((1 - skew * ratio + (kurtosis - 1) / 4 * ratio**2) / (n - 1))
    return NormalDist().cdf((ratio - against) / error)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"noise-{case.seed}")
def test_the_ratios_are_those_of_a_public_tool(case: Case) -> None:
    """purgedcv takes the standard deviation of the days with ddof 0, ours has ddof 1.

    So one formula has to give its numbers with ddof 0, and ours with ddof 1.
    """
    rows = noise(case.seed, case.trials, case.days, case.skill)
    found = luck(tried(rows))
    assert found.trials == found.ranked == case.trials
    ratios = [statistics.fmean(row) / statistics.stdev(row) for row in rows]
    assert found.spread == pytest.approx(statistics.stdev(ratios))
    n, best, normal = case.trials, rows[case.best], NormalDist()
    most = (1 - EULER) * normal.inv_cdf(1 - 1 / n) + EULER * normal.inv_cdf(1 - 1 / n / math.e)
    of_luck = statistics.stdev(ratios) * most
    assert found.ratio_of_luck == pytest.approx(of_luck)
    assert by_the_letter(best, 0.0, 0) == pytest.approx(case.psr, abs=1e-9)
    assert by_the_letter(best, of_luck, 0) == pytest.approx(case.dsr, abs=1e-9)
    assert found.psr == pytest.approx(by_the_letter(best, 0.0, 1), abs=1e-9)
    assert found.dsr == pytest.approx(by_the_letter(best, of_luck, 1), abs=1e-9)
    assert found.pbo == pytest.approx(case.pbo, abs=1e-12)


def test_the_best_of_noise_may_be_luck() -> None:
    found = luck(tried(noise(2, 24, 365)))
    assert found.verdict == "may be luck"
    assert [line.partition(" ")[0] for line in found.lines] == ["deflated", "overfitting", "neighbours"]
    assert found.lines[0] == (
        "deflated Sharpe 0.65, under 0.95: its Sharpe ratio of a day is 0.134, and the best of 24 trials "
        "without skill is expected to have 0.114"
    )
    assert found.psr is not None
    assert found.psr > DSR_MIN, "alone, without the number of trials, it looks like skill"


def test_skill_that_its_neighbours_share_is_no_sign_of_luck() -> None:
    rows = noise(3, 24, 365)
    near = [[one + 0.0020 - 0.0001 * number for one in rows[0]] for number in (0, 1, 4)]
    rows[0], rows[1], rows[4] = near
    found = luck(tried(rows))
    assert (found.verdict, found.neighbours, found.neighbours_close) == ("no sign of luck", 2, 2)
    assert found.lines == ["no measure is beyond its limit, which does not prove skill"]
    assert found.sharpe_low is not None
    assert found.sharpe_high is not None
    assert found.sharpe_low < found.ratio * 365**0.5 < found.sharpe_high  # type: ignore[operator]


@pytest.mark.parametrize("days", [1, 12, 29])
def test_few_days_cannot_be_judged(days: int) -> None:
    trials = [
        Trial(
            number,
            {"fast": number, "slow": 1},
            Outcome("done", orders=1, daily=noise(number, 1, days)[0], metrics={METRIC: 1.0}),
        )
        for number in (1, 2)
    ]
    found = luck(trials)
    words = "1 day" if days == 1 else f"{days} days"
    assert {found.reasons[name] for name in ("dsr", "pbo", "p_value")} == {f"{words} of returns, under 30"}
    assert (found.dsr, found.pbo, found.p_value) == (None, None, None)
    assert found.verdict == "cannot be judged"
    assert found.lines[0] == f"no deflated Sharpe: {words} of returns, under 30"


def test_a_single_trial_was_no_choice() -> None:
    found = luck(tried(noise(3, 1, 365, 0.002)))
    assert found.reasons == {
        "pbo": "one trial only: there was no choice",
        "stability": "no neighbour of the chosen values was tried",
    }
    assert found.verdict == "cannot be judged"
    assert found.dsr == found.psr


@examples(0.1)
@given(st.integers(1, 400), st.integers(1, 200))
def test_every_distinct_trial_counts_also_a_failed_one(failures: int, repeats: int) -> None:
    """More trials make the same result less likely to be skill; the same one again makes no difference."""
    trials = tried(noise(3, 12, 60, 0.004))
    alone = luck(trials)
    more = [failed(number, 100 + number) for number in range(13, 13 + failures)]
    again = [msgspec.structs.replace(trials[3], number=500 + number, repeats=4) for number in range(repeats)]
    found = luck([*trials, *more, *again])
    assert (found.trials, found.ranked) == (12 + failures, 12)
    assert found.spread == alone.spread
    assert found.dsr is not None
    assert alone.dsr is not None
    assert found.dsr < alone.dsr
    assert luck([*trials, *again]) == alone


@examples(0.3)
@given(st.integers(1, 10_000), st.integers(2, 9), st.integers(30, 70), st.sampled_from((0.0, 0.001, 0.006)))
def test_the_verdict_follows_from_the_measures_and_their_limits(
    seed: int, trials: int, days: int, skill: float
) -> None:
    found = luck(tried(noise(seed, trials, days, skill), 3), seed=2)
    assert found.dsr is not None
    assert found.pbo is not None
    assert found.p_value is not None
    beyond = [
        found.dsr < DSR_MIN,
        found.pbo > PBO_MAX,
        found.p_value > P_MAX,
        found.stability is not None and found.stability < SHARE_MIN,
    ]
    assert found.verdict == ("may be luck" if any(beyond) else "no sign of luck")
    assert len(found.lines) == max(1, sum(beyond))
    assert msgspec.json.decode(msgspec.json.encode(found), type=Luck) == found
