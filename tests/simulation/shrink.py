"""Shortens a scenario that fails: leaves out steps, many at first and then single ones, while it still fails.

The result is printed as data, and is run again by `Scenario`; a failing seed leaves it behind as a test.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tests.simulation.scenario import Scenario, Step

__all__ = ["shrink"]

RUNS_MAX = 200


def shrink(scenario: Scenario, fails: Callable[[Scenario], bool], runs_max: int = RUNS_MAX) -> Scenario:
    """Return the shortest scenario found, within `runs_max` runs, for which `fails` is true.

    First what comes after the end of the trouble is cut off, then steps are left out.
    """
    runs = 0

    def still(steps: tuple[Step, ...], hours: float) -> bool:
        nonlocal runs
        runs += 1
        return runs <= runs_max and fails(msgspec.structs.replace(scenario, steps=steps, hours=hours))

    steps, hours = scenario.steps, scenario.hours
    size = max(1, len(steps) // 2)
    while True:
        at = 0
        while at < len(steps):
            shorter = steps[:at] + steps[at + size :]
            if still(shorter, hours):
                steps = shorter
            else:
                at += size
        if size == 1:
            break
        size = max(1, size // 2)
    while hours > 0.05 and still(steps, round(hours / 2, 3)):
        hours = round(hours / 2, 3)
    return msgspec.structs.replace(scenario, steps=steps, hours=hours)
