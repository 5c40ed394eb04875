"""One simulation: the engine on its machine, the venue, and what happens to them, in one run of trio.

    simulation = simulate(draw(seed=1, hours=1.0))
    simulation.broken                 # what did not hold: (invariant, words)

Everything follows from the scenario: the clock is trio's mock clock, which jumps to the next deadline
whenever every task waits; tasks that could run in any order run in that of the seed; there are no threads,
sockets or files. At the end faults are over, and the engine has a minute to be ready again; then it trades in
peace for a while, flattens and stops, and everything is compared (`checks.py`).
"""

from __future__ import annotations

import gc
import math
from collections import Counter, deque
from contextlib import ExitStack
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import trio

from adapters.binance.markets import USDM
from adapters.hyperliquid.gateway.gateway import HyperliquidGateway
from adapters.hyperliquid.limits import LIMITS
from adapters.transport.governor import Governor
from engine.clock import day_start_ns
from engine.commands.awaited import AwaitedGateway
from engine.config import (
    AccountConfig,
    BarsConfig,
    Config,
    DataConfig,
    RiskConfig,
    StrategyConfig,
    VenueConfig,
)
from engine.runtime.router import Router
from tests.simulation.checks import check
from tests.simulation.faults import Faults
from tests.simulation.machine import ROOT, Machine, replaced
from tests.simulation.network import SimulatedNetwork, Tcp
from tests.simulation.pace import LOOK_S, Pace, paced
from tests.simulation.readiness import Operator, reason_not_ready
from tests.simulation.scenario import Scenario
from tests.simulation.second import SYMBOLS, SecondVenue
from tests.simulation.served import Served
from tests.simulation.stores import Store
from tests.simulation.times import SECOND_NS, JumpingClock, MachineTime
from tests.simulation.venue import ACCOUNT, INSTRUMENTS, SimulatedVenue
from tests.simulation.wire import Wire

__all__ = ["Simulation", "simulate"]

DAY = day_start_ns("2025-03-05")
VENUES = (SimulatedVenue, SecondVenue)
READY_S = 60.0
REFUSED_S = 180.0
"""So much longer it may take when the venue's budget is used up: of a minute, and refusals halve it."""
ASIDE_S = 90.0
"""So much longer if a subscription was not confirmed in time: it is tried again after a minute."""
PEACE_S = 150.0
STOP_S = 120.0
SILENT_S = 45.0
ENGINE = ("engine.", "adapters.", "trio")
BOUNDED = ("Order", "Live", "OpenBar", "_Plan")
"""What an engine keeps so many of as it says, and more after a day than at its start: ended orders, bars that
can be corrected, shapes of what is stored."""
"""A connection on which nothing passes is given up within 20 s in which the process runs."""


def configuration(scenario: Scenario) -> Config:
    """Return the configuration of the sessions."""
    instruments, several = INSTRUMENTS, {}
    if scenario.venues > 1:
        names = ((SimulatedVenue.venue, INSTRUMENTS), (SecondVenue.venue, SYMBOLS))
        instruments = tuple(f"{venue}:{one}" for venue, own in names for one in own)
        kind = "raw" if scenario.seed % 2 else "aggregate"
        several = {
            "account": AccountConfig(currency="USDC", prices={"USDT": "1"}),
            "venues": {SecondVenue.venue: {"network": "testnet", "account": "main", "trades": kind}},
        }
    return Config(
        mode=scenario.mode,
        instruments=instruments,
        strategies=tuple(
            StrategyConfig(use=f"tests.simulation.traders:{name}{'OnTrades' if scenario.on_trades else ''}")
            for name in ("Targets", "Mixed")
        ),
        bars=BarsConfig(intervals=scenario.intervals),
        risk=RiskConfig(max_orders_per_minute=0, on_stop="flatten"),
        data=DataConfig(warmup_bars=0, check_minutes=60 if scenario.stretches else 5),
        venue=VenueConfig(network="testnet", account=ACCOUNT, transport=scenario.transport),
        seed=scenario.seed,
        **several,
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
        self.objects = (0, 0)
        self.counts: Counter[str] = Counter()
        self.marks: dict[str, int] = {}
        self.venues: list[Served]
        self.machine: Machine
        self.operator: Operator
        self.wires = [
            Wire(one.venue, lambda: self.machine.disk, self.fail) for one in VENUES[: scenario.venues]
        ]
        self._clock = JumpingClock()
        self._pace: Pace
        self._folder: Path
        self._busy_until = 0.0
        self._unready_since = 0.0
        self._left = deque(scenario.steps)

    def note(self, fault: str) -> None:
        """Count a fault that happened."""
        self.fired[fault] += 1

    def fail(self, invariant: str, words: str) -> None:
        """Note what did not hold."""
        self.broken.append((invariant, words))

    def jump(self, seconds: float) -> None:
        """Let time pass in which no task runs."""
        self._clock.jump(seconds)
        self.times.paused_ns += round(seconds * SECOND_NS)
        for link in self._links():
            link.silent_at += seconds * link.silent  # the time in which that could be noticed
        for venue in self.venues:
            venue.go_on(seconds)

    def run(self) -> None:
        """Run it."""
        with patch("engine.clock.time", self.times), ExitStack() as stack:
            if self.scenario.stores:
                self._folder = Path(stack.enter_context(TemporaryDirectory(prefix="simulation-")))
            trio.run(self._run, clock=self._clock)

    async def _run(self) -> None:
        seed = self.scenario.seed
        self._pace = Pace()
        first = SimulatedVenue(self.scenario, self.times)
        first.posted = self.wires[0].sent
        self.venues = [first]
        if self.scenario.venues > 1:
            self.venues.append(SecondVenue(self.scenario, self.times))
        chance = Random(f"{seed} machine")
        async with trio.open_nursery() as nursery:
            for venue in self.venues:
                await nursery.start(venue.serve)

            def make_networks() -> list[SimulatedNetwork]:
                networks = []
                for venue, wire in zip(self.venues, self.wires, strict=True):
                    own = Random(chance.getrandbits(32))
                    network = SimulatedNetwork(own, venue.serve_link, venue.answer, nursery)
                    network.begun, network.sent, network.answered = wire.begun, wire.sent, wire.answered
                    wire.restarted()
                    networks.append(network)
                return networks

            self.machine = Machine(
                configuration(self.scenario), chance, nursery, make_networks, self.note, self.fail
            )
            if self.scenario.stores:
                self.machine.store = Store(self._folder, ROOT, lambda: self.machine.disk)
            self.operator = Operator(self.machine)
            with replaced(self.machine, Random(f"{seed} ids")), paced(self._pace):
                nursery.start_soon(self.machine.run)
                nursery.start_soon(self.operator.run)
                nursery.start_soon(self._watch)
                await trio.sleep(60)
                before, objects = _tasks(), self._objects()
                await self._play(Faults(self, nursery))
                await self._recover()
                await trio.sleep(PEACE_S)
                self.tasks = before, _tasks()
                self.objects = objects, self._objects()
                with trio.move_on_after(STOP_S):
                    await self.machine.finish()
                if not self.machine.ended.is_set():
                    self.fail("I13", "the session did not stop")
            check(self)
            nursery.cancel_scope.cancel()

    async def _watch(self) -> None:
        """Note the highest marks of queues and tasks, and what does not recover, from time to time."""
        while True:
            await self._pace.sleep(LOOK_S if self._pace.is_quiet else 10)
            if not self._pace.is_quiet:
                self._check_recovery()
            live = self.machine.live
            self._mark("tasks", _tasks())
            links = self._links()
            self._mark("connections", len(links))
            for link in links:
                if (
                    link.silent
                    and link.is_kept
                    and not self._pace.is_quiet
                    and trio.current_time() - max(link.silent_at, self._pace.busy_at) > SILENT_S
                    and not link.is_request
                ):
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
        elif now - self._unready_since > self._ready_within_s():
            self.fail("I13", f"not ready {self._ready_within_s():.0f} s after a fault: {kind}: {words}")
            self._unready_since = math.inf

    def _objects(self) -> int:
        """Return how many objects the engine has in a day, without those that have bounds of their own."""
        if not self.scenario.stretches:
            return 0
        gc.collect()
        kinds = [type(one) for one in gc.get_objects()]
        return sum(
            kind.__module__.startswith(ENGINE) and ".sandbox" not in kind.__module__
            for kind in kinds
            if isinstance(kind.__module__, str) and kind.__name__ not in BOUNDED
        )

    def _mark(self, name: str, value: int) -> None:
        self.marks[name] = max(self.marks.get(name, 0), value)

    async def _play(self, faults: Faults) -> None:
        """Carry out the steps, in busy stretches if the scenario has any; quiet ones lie between them."""
        for from_s, to_s in self.scenario.stretches or ((0.0, self.scenario.hours * 3600),):
            await self._steps_until(from_s, faults)
            self._unready_since = trio.current_time()
            await self._pace.busy()
            await self._steps_until(to_s, faults)
            self._disarm()
            if self.scenario.stretches:
                for venue, network in zip(self.venues, self.machine.networks, strict=True):
                    if venue.silenced_in(*self._last_ns(to_s - from_s)):
                        network.cut_all()  # in a quiet stretch nothing asks for long
                await self._recover()
                self._pace.quiet()
        await self._steps_until(self.scenario.hours * 3600, faults)
        self._unready_since = trio.current_time()
        await self._pace.busy()
        for venue in self.venues:
            self.fired.update(venue.faults.fired)
        self._disarm()

    async def _steps_until(self, end_s: float, faults: Faults) -> None:
        """Carry out the steps that are due before a time since the start; return at that time."""
        while self._left and self._left[0].at_s < end_s:
            step = self._left.popleft()
            await self._sleep_until(step.at_s)
            self._busy_until = max(self._busy_until, trio.current_time() + step.lasts_s)
            faults.do(step)
        await self._sleep_until(end_s)

    async def _sleep_until(self, at_s: float) -> None:
        """Sleep until a time since the start, of the world outside: it goes on in a suspension."""
        while (left_ns := round(at_s * SECOND_NS) + self.times.start_ns - self.times.true_ns()) > 0:  # noqa: ASYNC110
            await trio.sleep(left_ns / SECOND_NS)

    def _links(self) -> list[Tcp]:
        """Return the connections to all venues."""
        return [link for network in self.machine.networks for link in network.links]

    def _last_ns(self, seconds: float) -> tuple[int, int]:
        """Return the span of time that ends now."""
        now_ns = self.times.true_ns()
        return now_ns - round(seconds * SECOND_NS), now_ns

    def _disarm(self) -> None:
        """Forget the faults that have not happened."""
        disk = self.machine.disk
        disk.fails.clear()
        disk.before = lambda _: None
        for venue, network in zip(self.venues, self.machine.networks, strict=True):
            venue.faults.disarm()
            network.sending = lambda: None
        if self.machine.store is not None:
            self.machine.store.kill = None

    def _ready_within_s(self) -> float:
        """Return how long it may take until the engine is ready."""
        live = self.machine.live
        is_cut = False
        for governor, usual in _governors(None if live is None else live.effects.gateway):
            budget = governor.budget()
            is_cut |= budget.weight > budget.weight_limit // 2 or budget.weight_limit < usual
        health = "" if live is None else "".join(line() for line in live._plan.health.values())
        return READY_S + REFUSED_S * is_cut + ASIDE_S * ("SET ASIDE" in health)

    async def _recover(self) -> None:
        """Wait until the engine is ready (I13)."""
        began = trio.current_time()
        gives_up_at = began + 1800
        reasons: Counter[str] = Counter()
        while trio.current_time() - began < self._ready_within_s():
            kind, words = reason_not_ready(self.machine.live)
            if not kind:
                self.ready_s = max(self.ready_s or 0.0, trio.current_time() - began)
                return
            reasons[f"{kind}: {words}"] += 1
            if kind in ("halted", "clock"):
                began = trio.current_time()  # it says why, and waits for a person
            await trio.sleep(0.5)
            if trio.current_time() > gives_up_at:
                break
        self.fail(
            "I13", f"not ready {self._ready_within_s():.0f} s after the last fault: {reasons.most_common(3)}"
        )


def _governors(gateway: Any) -> list[tuple[Governor, int]]:
    """Return what keeps each gateway within limits, and the weight that it may use in a minute."""
    if isinstance(gateway, Router):
        return [one for part in gateway._gateways.values() for one in _governors(part)]
    if isinstance(gateway, HyperliquidGateway):
        return [(gateway._sender._governor, LIMITS.weight.amount)]
    if isinstance(gateway, AwaitedGateway):
        return _governors(gateway._gateway)
    return [(gateway._rest._governor, USDM.limits.weight.amount)] if gateway is not None else []


def _tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living


def simulate(scenario: Scenario) -> Simulation:
    """Run a scenario; return what became of it. Raises what is a bug of the simulator itself."""
    simulation = Simulation(scenario)
    simulation.run()
    return simulation
