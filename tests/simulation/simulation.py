"""One simulation: the engine on its machine, the venue, and what happens to them, in one run of trio.

    simulation = simulate(draw(seed=1, hours=1.0))
    simulation.broken                 # what did not hold: (invariant, words)

Everything follows from the scenario: the clock is trio's mock clock, which jumps to the next deadline
whenever every task waits; tasks that could run in any order run in that of the seed; there are no threads,
sockets or files. At the end faults are over, and the engine has a minute to be ready again; then it trades in
peace for a while, flattens and stops, and everything is compared (`checks.py`).
"""

from __future__ import annotations

import math
from collections import Counter
from random import Random
from unittest.mock import patch

import trio

from engine.clock import day_start_ns
from engine.config import BarsConfig, Config, DataConfig, RiskConfig, StrategyConfig, VenueConfig
from tests.simulation.checks import check
from tests.simulation.faults import Faults
from tests.simulation.machine import Machine, replaced
from tests.simulation.network import SimulatedNetwork
from tests.simulation.readiness import Operator, reason_not_ready
from tests.simulation.scenario import Scenario
from tests.simulation.times import SECOND_NS, JumpingClock, MachineTime
from tests.simulation.venue import ACCOUNT, INSTRUMENTS, SimulatedVenue
from tests.simulation.wire import Wire

__all__ = ["Simulation", "simulate"]

DAY = day_start_ns("2025-03-05")
READY_S = 60.0
PEACE_S = 150.0
STOP_S = 120.0
SILENT_S = 45.0
"""A connection on which nothing passes is given up within 20 s; the process may be paused meanwhile."""


def configuration(scenario: Scenario) -> Config:
    """Return the configuration of the sessions."""
    return Config(
        mode="live",
        instruments=INSTRUMENTS,
        strategies=(
            StrategyConfig(use="tests.simulation.traders:Targets"),
            StrategyConfig(use="tests.simulation.traders:Mixed"),
        ),
        bars=BarsConfig(intervals=("1m", "5m")),
        risk=RiskConfig(max_orders_per_minute=0, on_stop="flatten"),
        data=DataConfig(warmup_bars=0, check_minutes=5),
        venue=VenueConfig(network="testnet", account=ACCOUNT, transport=scenario.transport),
        seed=scenario.seed,
    )


class Simulation:
    """One simulation. `fired` counts the faults that happened, `broken` has what did not hold."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.fired: Counter[str] = Counter()
        self.broken: list[tuple[str, str]] = []
        self.chance = Random(f"{scenario.seed} chance")
        self.times = MachineTime(DAY + scenario.start_s * SECOND_NS)
        self.ready_s: float | None = None
        self.tasks = (0, 0)
        self.counts: Counter[str] = Counter()
        self.marks: dict[str, int] = {}
        self.venue: SimulatedVenue
        self.machine: Machine
        self.operator: Operator
        self.wire = Wire(lambda: self.machine.disk, self.fail)
        self._clock = JumpingClock()
        self._busy_until = 0.0
        self._unready_since = 0.0

    def note(self, fault: str) -> None:
        """Count a fault that happened."""
        self.fired[fault] += 1

    def fail(self, invariant: str, words: str) -> None:
        """Note what did not hold."""
        self.broken.append((invariant, words))

    def jump(self, seconds: float) -> None:
        """Let time pass in which no task runs."""
        self._clock.jump(seconds)
        self.venue.go_on(seconds)

    def run(self) -> None:
        """Run it."""
        with patch("engine.clock.time", self.times):
            trio.run(self._run, clock=self._clock)

    async def _run(self) -> None:
        seed = self.scenario.seed
        self.venue = SimulatedVenue(seed, self.times, self.scenario.gap_s)
        self.venue.posted = self.wire.sent
        chance = Random(f"{seed} machine")
        async with trio.open_nursery() as nursery:
            await nursery.start(self.venue.serve)

            def make_network() -> SimulatedNetwork:
                network = SimulatedNetwork(
                    Random(chance.getrandbits(32)), self.venue.serve_link, self.venue.answer, nursery
                )
                network.begun, network.sent = self.wire.begun, self.wire.sent
                network.answered = self.wire.answered
                self.wire.restarted()
                return network

            self.machine = Machine(
                configuration(self.scenario), chance, nursery, make_network, self.note, self.fail
            )
            self.operator = Operator(self.machine)
            with replaced(self.machine, Random(f"{seed} ids")):
                nursery.start_soon(self.machine.run)
                nursery.start_soon(self.operator.run)
                nursery.start_soon(self._watch)
                await trio.sleep(60)
                before = _tasks()
                await self._play(Faults(self, nursery))
                await self._recover()
                await trio.sleep(PEACE_S)
                self.tasks = before, _tasks()
                with trio.move_on_after(STOP_S):
                    await self.machine.finish()
                if not self.machine.ended.is_set():
                    self.fail("I13", "the session did not stop")
            check(self)
            nursery.cancel_scope.cancel()

    async def _watch(self) -> None:
        """Note the highest marks of queues and tasks, and what does not recover, from time to time."""
        while True:
            await trio.sleep(10)
            self._check_recovery()
            live = self.machine.live
            self._mark("tasks", _tasks())
            self._mark("connections", len(self.machine.network.links))
            for link in self.machine.network.links:
                if link.silent and trio.current_time() - link.silent_at > SILENT_S and not link.is_request:
                    self.fail("N04", f"a connection was kept that has been silent for {SILENT_S:.0f} s")
                    link.silent = False
            if live is not None and hasattr(live, "committer"):
                self._mark("inputs queued", live.ingress.high_water)
                self._mark("records unsynced", live.committer.high_water)

    def _check_recovery(self) -> None:
        """Between faults, too, the engine is ready again within a minute, or says why it is not (I13)."""
        now = trio.current_time()
        kind, words = reason_not_ready(self.machine.live)
        stated = kind in ("", "halted", "clock") or (kind == "down" and now - self.machine.stopped_at < 15)
        if stated or now - self._busy_until < READY_S:
            self._unready_since = now
        elif now - self._unready_since > READY_S:
            self.fail("I13", f"not ready {READY_S:.0f} s after a fault: {kind}: {words}")
            self._unready_since = math.inf

    def _mark(self, name: str, value: int) -> None:
        self.marks[name] = max(self.marks.get(name, 0), value)

    async def _play(self, faults: Faults) -> None:
        began = trio.current_time() - 60
        for step in self.scenario.steps:
            await trio.sleep_until(max(began + step.at_s, trio.current_time()))
            self._busy_until = max(self._busy_until, trio.current_time() + step.lasts_s)
            faults.do(step)
        await trio.sleep_until(max(began + self.scenario.hours * 3600, trio.current_time()))
        self.fired.update(self.venue.faults.fired)
        self.venue.faults.disarm()
        disk, network = self.machine.disk, self.machine.network
        disk.fails.clear()
        disk.before, network.sending = (lambda _: None), (lambda: None)

    async def _recover(self) -> None:
        """Wait until the engine is ready (I13)."""
        began = trio.current_time()
        reasons: Counter[str] = Counter()
        while trio.current_time() - began < READY_S:
            kind, words = reason_not_ready(self.machine.live)
            if not kind:
                self.ready_s = trio.current_time() - began
                return
            reasons[f"{kind}: {words}"] += 1
            if kind in ("halted", "clock"):
                began = trio.current_time()  # it says why, and waits for a person
            await trio.sleep(0.5)
            if trio.current_time() > self.scenario.hours * 3600 + 1800:
                break
        self.fail("I13", f"not ready {READY_S:.0f} s after the last fault: {reasons.most_common(3)}")


def _tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living


def simulate(scenario: Scenario) -> Simulation:
    """Run a scenario; return what became of it. Raises what is a bug of the simulator itself."""
    simulation = Simulation(scenario)
    simulation.run()
    return simulation
