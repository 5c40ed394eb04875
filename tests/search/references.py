"""Results of two public tools on returns of trials that are made here, computed once and stored.

purgedcv 0.1.11 and arch 8.0.0 on numpy 2.4.6, with `m` the rows of `noise(...)` as an array and `x` the row
with the highest mean / std(ddof=1):

    r = purgedcv.probability_of_backtest_overfitting(m, n_splits=10)
    r.pbo, r.is_oos_performance[:, 0].mean(), r.is_oos_performance[:, 1].mean()
    purgedcv.probabilistic_sharpe_ratio(x, 0.0)
    purgedcv.deflated_sharpe_ratio(x, trials, np.var([a.mean() / a.std(ddof=1) for a in m], ddof=1))
    B(L, x, seed=7).conf_int(ratio, reps=20000, method="percentile", size=0.9)
    np.mean([s[0][0].mean() >= x.mean() for s in B(L, x - x.mean(), seed=8).bootstrap(20000)])

where `ratio` is mean / std(ddof=1), and B is arch.bootstrap.StationaryBootstrap with L = days ** (1 / 3), or
CircularBlockBootstrap with L rounded.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["CASES", "Case", "noise"]


class Case(NamedTuple):
    """The arguments of `noise` and what the tools say of the trials."""

    seed: int
    trials: int
    days: int
    skill: float
    best: int
    pbo: float
    ahead: float
    behind: float
    psr: float
    dsr: float
    stationary: tuple[float, float, float]  # 5th and 95th percentile, p
    circular: tuple[float, float, float]


CASES: Final = (
    Case(
        1, 10, 120, 0.0, 5,
        0.11904761904761904, 0.19598879121599325, 0.08071284281300459,
        0.9454882793244646, 0.49608852909386575,
        (0.03161, 0.27566, 0.01955), (0.03374, 0.27288, 0.0175),
    ),
    Case(
        2, 24, 365, 0.0, 13,
        0.30952380952380953, 0.16181063722157357, 0.033904256421985836,
        0.9949031856688104, 0.6538123892870769,
        (0.0473, 0.2216, 0.008), (0.04883, 0.22029, 0.00545),
    ),
    Case(
        3, 24, 365, 0.002, 0,
        0.0, 0.3591529362173228, 0.35915293621732286,
        0.9999999999722333, 0.9997020560389961,
        (0.25831, 0.46142, 0.0), (0.26484, 0.45194, 0.0),
    ),
    Case(
        4, 6, 61, 0.0, 4,
        0.24603174603174602, 0.2893726392611527, 0.10285706955540662,
        0.9702104825928958, 0.7162111536302955,
        (0.06719, 0.48095, 0.00885), (0.05117, 0.49642, 0.0151),
    ),
    Case(
        5, 40, 250, 0.001, 0,
        0.3611111111111111, 0.19644377246348008, 0.019713131337939654,
        0.9917230622331397, 0.5751850634738157,
        (0.06464, 0.23905, 0.00265), (0.05918, 0.24465, 0.004),
    ),
    Case(
        6, 12, 90, 0.01, 0,
        0.0, 1.8147493036108726, 1.8147493036108724,
        1.0, 0.9999999370815138,
        (1.57949, 2.08566, 0.0), (1.57608, 2.09453, 0.0),
    ),
)  # fmt: skip


def noise(seed: int, trials: int, days: int, skill: float = 0.0) -> list[list[float]]:
    """Return the daily returns of trials without skill, of the first one with `skill` a day."""
    state, rows = seed, []
    for trial in range(trials):
        row = []
        for _ in range(days):
            total = 0
            for _ in range(4):
                state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
                total += (state >> 33) % 10001 - 5000
            row.append(total / 1e6 + (0.0 if trial else skill))
        rows.append(row)
    return rows
