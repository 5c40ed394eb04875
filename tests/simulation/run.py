"""Runs simulations from the command line, and shortens those that fail.

    make simulate SEED=7 HOURS=2            one seed
    make simulate SEED=7-106 HOURS=4        a hundred of them
    python -m tests.simulation.run 7 --hours 2 --faults 30 --shrink

Prints what broke and the command that repeats it, then the figures of all seeds. With `--shrink` a failing
seed is shortened and its steps are printed. Exit code 1 if anything broke.
"""

from __future__ import annotations

import argparse
import sys
import time

import msgspec

from tests.simulation.report import Figures, figures_of
from tests.simulation.scenario import Scenario, draw, draw_day
from tests.simulation.shrink import shrink
from tests.simulation.simulation import Simulation, simulate

__all__ = ["main"]

FAULTS_PER_HOUR = 14.0


def main() -> int:
    """Run the seeds that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.run", description=__doc__)
    parser.add_argument("seeds", help="a seed, or a range such as 1-50")
    parser.add_argument("--hours", type=float, default=1.0, help="simulated hours of each seed")
    parser.add_argument("--faults", type=float, default=FAULTS_PER_HOUR, help="faults per simulated hour")
    parser.add_argument("--days", action="store_true", help="simulate a day for each seed, most of it quiet")
    parser.add_argument("--venues", type=int, default=1, help="real orders at so many venues, 1 or 2")
    parser.add_argument("--shrink", action="store_true", help="shorten a scenario that fails")
    asked = parser.parse_args()
    first, _, last = asked.seeds.partition("-")
    total, failed = Figures(), 0
    began, began_cpu = time.perf_counter(), time.process_time()
    for seed in range(int(first), int(last or first) + 1):
        scenario = (
            draw_day(seed)
            if asked.days
            else draw(seed, asked.hours, per_hour=asked.faults, venues=asked.venues)
        )
        simulation = simulate(scenario)
        total.add(figures_of(simulation))
        if simulation.broken:
            failed += 1
            _explain(scenario, simulation, asked)
    for line in total.lines():
        print(line)
    took_s, cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
    print(f"{failed} seeds failed; {took_s:.1f} s, {cpu_s:.1f} s of CPU")
    return 1 if failed else 0


def _explain(scenario: Scenario, simulation: Simulation, asked: argparse.Namespace) -> None:
    """Print what broke, how to repeat it, and with `--shrink` the shortest scenario that breaks the same."""
    for invariant, words in simulation.broken:
        print(f"seed {scenario.seed}: {invariant}: {words}", flush=True)
    options = "--days" if asked.days else f"--hours {asked.hours:g} --faults {asked.faults:g}"
    options += " --venues 2" if asked.venues > 1 else ""
    print(f"  again: python -m tests.simulation.run {scenario.seed} {options} --shrink")
    if not asked.shrink:
        return
    invariant = simulation.broken[0][0]

    def fails(shorter: Scenario) -> bool:
        return any(one == invariant for one, _ in simulate(shorter).broken)

    shortest = shrink(scenario, fails)
    print(f"  shortest: {len(shortest.steps)} of {len(scenario.steps)} steps, {shortest.hours:g} hours")
    print(f"  {msgspec.json.encode(shortest).decode()}")


if __name__ == "__main__":
    sys.exit(main())
