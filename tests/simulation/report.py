"""The figures of simulations, summed over seeds, as lines for people."""

from __future__ import annotations

from collections import Counter

import msgspec

from tests.simulation.scenario import never_happened
from tests.simulation.simulation import Simulation

__all__ = ["Figures", "figures_of"]


class Figures(msgspec.Struct):
    """The figures of some simulations. `marks` are the highest of each run, `ready_s` the longest."""

    seeds: int = 0
    hours: float = 0.0
    fired: Counter[str] = msgspec.field(default_factory=Counter)
    counts: Counter[str] = msgspec.field(default_factory=Counter)
    stops: Counter[str] = msgspec.field(default_factory=Counter)
    acts: Counter[str] = msgspec.field(default_factory=Counter)
    marks: dict[str, int] = {}
    ready_s: float = 0.0

    def add(self, other: Figures) -> None:
        """Add the figures of others."""
        self.seeds += other.seeds
        self.hours += other.hours
        self.fired += other.fired
        self.counts += other.counts
        self.stops += other.stops
        self.acts += other.acts
        self.ready_s = max(self.ready_s, other.ready_s)
        for name, mark in other.marks.items():
            self.marks[name] = max(self.marks.get(name, 0), mark)

    def lines(self) -> list[str]:
        """Return the figures, one subject a line."""
        counts = self.counts
        sent, fills = counts["orders sent"], counts["fills at the venue"]
        return [
            f"{self.seeds} seeds, {self.hours:,.1f} simulated hours, {counts['records']:,} events recorded",
            f"faults: {self.fired.total():,} ({_listed(self.fired)})",
            f"kinds of faults that never happened: {', '.join(never_happened(self.fired)) or 'none'}",
            f"sessions: {counts['starts']:,} started, {counts['kills']:,} killed",
            f"sessions that ended by an error: {self.stops.total():,} ({_listed(self.stops)})",
            f"repairs of the journal: {counts['repairs']:,}",
            f"orders: {sent:,} sent, {fills:,} fills, {counts['unknown']:,} Unknown",
            f"refusals: {counts['refused']:,}",
            f"bars: {counts['bars complete']:,} complete, {counts['bars incomplete']:,} incomplete",
            f"acknowledged frames checked after kills: {counts['acknowledged']:,}",
            f"days replayed: {counts['days']:,}",
            f"operator: {self.acts.total():,} ({_listed(self.acts)})",
            f"highest marks: {_listed(Counter(self.marks))}; longest time to ready {self.ready_s:.1f} s",
        ]


def figures_of(simulation: Simulation) -> Figures:
    """Return the figures of one simulation."""
    machine, counts = simulation.machine, simulation.counts
    found: Counter[str] = Counter(
        {
            name: counts[name]
            for name in ("records", "days", "fills at the venue", "bars complete", "bars incomplete")
        }
    )
    found["starts"] = machine.starts
    found["kills"] = machine.kills
    found["repairs"] = counts["TailRepaired"]
    found["orders sent"] = sum(wire.orders.total() for wire in simulation.wires)
    found["unknown"] = counts["OrderUnknown"]
    found["refused"] = counts["OrderRefused"]
    found["acknowledged"] = len(machine.acknowledged)
    return Figures(
        1,
        simulation.scenario.hours,
        simulation.fired.copy(),
        found,
        machine.stops.copy(),
        simulation.operator.acts.copy(),
        dict(simulation.marks),
        simulation.ready_s or 0.0,
    )


def _listed(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counter.most_common()) or "none"
