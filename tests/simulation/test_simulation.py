"""The whole engine in a simulated world (`docs/reliability.md`): a few seeds each time, many under `deep`."""

from __future__ import annotations

from tests.simulation.scenario import draw
from tests.simulation.simulation import simulate


def test_an_hour_without_faults_holds_and_trades() -> None:
    simulation = simulate(draw(1, 0.3, per_hour=0.001))
    assert simulation.broken == []
    assert simulation.counts["SubmitOrder"] > 10
    assert simulation.counts["bars complete"] > 10
