"""Carries out the steps of a scenario.

Each kind of `scenario.KINDS` is a method. It returns whether it could do anything: only a fault that happened
is counted.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import trio

from tests.simulation.network import SimulatedNetwork
from tests.simulation.scenario import Step
from tests.simulation.times import SECOND_NS

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

__all__ = ["Faults"]


class Faults:
    """The hand that breaks things in one simulation."""

    def __init__(self, simulation: Simulation, nursery: trio.Nursery) -> None:
        self._simulation = simulation
        self._nursery = nursery
        self._at = 0

    @property
    def _venue(self) -> Any:
        """The venue that the step is about."""
        return self._simulation.venues[self._at]

    @property
    def _network(self) -> SimulatedNetwork:
        """What lies between the engine and that venue."""
        return self._simulation.machine.networks[self._at]

    def do(self, step: Step) -> None:
        """Carry out a step, and count it if it happened."""
        self._at = min(step.venue, len(self._simulation.venues) - 1)
        if getattr(self, "_" + step.kind.replace(" ", "_"))(*step.values):
            self._simulation.note(step.kind)

    # Processes and the disk.

    def _kill(self) -> bool:
        return self._simulation.machine.kill(power=False)

    def _power_cut(self) -> bool:
        return self._simulation.machine.kill(power=True)

    def _bit_flip(self) -> bool:
        """Kill, and flip a bit of the journal before the next start."""
        machine = self._simulation.machine
        machine.flips = int(machine.kill(power=False))
        return False

    def _kill_at_a_change_of_the_disk(self, after: int, power: bool) -> bool:
        machine, disk = self._simulation.machine, self._simulation.machine.disk
        left = [after]

        def before(_: str) -> None:
            left[0] -= 1
            if left[0] < 0 and machine.disk is disk:
                disk.before = lambda _: None
                machine.kill(power=power)

        disk.before = before
        return True

    def _kill_within_a_row(self) -> bool:
        """End the process within the next transaction of its store."""
        machine = self._simulation.machine

        def kill() -> None:
            if machine.kill(power=False):
                self._simulation.note("kill within a row")

        if machine.store is not None:
            machine.store.kill = kill
        return False  # counted when it happens

    def _kill_at_a_send(self, after: int, power: bool) -> bool:
        machine, network = self._simulation.machine, self._network
        left = [after]

        def sending() -> None:
            left[0] -= 1
            if left[0] < 0 and network in machine.networks:
                network.sending = lambda: None
                machine.kill(power=power)

        network.sending = sending
        return not network.is_gone

    def _disk_sync_fails(self) -> bool:
        return self._fail("fdatasync", errno.EIO)

    def _disk_write_fails(self) -> bool:
        return self._fail("write", errno.ENOSPC)

    def _disk_create_fails(self) -> bool:
        return self._fail("create", errno.ENOSPC)

    def _fail(self, call: str, number: int) -> bool:
        self._simulation.machine.disk.fails[call] = number
        return False  # counted when it happens

    def _disk_short_write(self) -> bool:
        self._simulation.machine.disk.torn = self._simulation.chance
        return False

    def _disk_full(self, seconds: float) -> bool:
        self._simulation.machine.disk.full = True
        self._simulation.machine.disk.full_noted = False

        def freed() -> None:
            self._simulation.machine.disk.full = False

        self._later(seconds, freed)
        return False

    def _disk_slow(self, latency_s: float, seconds: float) -> bool:
        writer = self._simulation.machine.writer
        writer.latency_s = latency_s

        def healed() -> None:
            writer.latency_s = writer.usual_s

        self._later(seconds, healed)
        return True

    # The network.

    def _cut(self) -> bool:
        return self._network.cut()

    def _cut_all(self) -> bool:
        return self._network.cut_all()

    def _partition(self, seconds: float) -> bool:
        return self._network.partition(seconds)

    def _black_hole(self) -> bool:
        return self._network.black_hole()

    def _slow_network(self, delay_s: float, seconds: float) -> bool:
        return self._network.slow(delay_s, seconds)

    def _fragments(self, seconds: float) -> bool:
        return self._network.fragment(seconds)

    # Time.

    def _clock_step(self, step_s: float, seconds: float) -> bool:
        times = self._simulation.times
        step_ns = round(step_s * SECOND_NS)
        times.stepped_ns += step_ns

        def corrected() -> None:
            times.stepped_ns -= step_ns

        self._later(seconds, corrected)
        return True

    def _pause(self, seconds: float) -> bool:
        """Stop every task: what is due meanwhile comes at once. The venue's tape goes on first."""
        self._simulation.jump(seconds)
        return True

    def _suspend(self, seconds: float) -> bool:
        """The machine sleeps: its monotonic clock stands still, and long ones lose the connections."""
        self._simulation.times.suspended_ns += round(seconds * SECOND_NS)
        for venue in self._simulation.venues:
            venue.go_on(seconds)
        if seconds > 60:
            for network in self._simulation.machine.networks:
                network.cut_all()
        return True

    # The venue.

    def _venue_restart(self, seconds: float) -> bool:
        self._venue.restart(seconds)
        return True

    def _lost_reply(self, count: int) -> bool:
        return self._arm("lost-reply", count, scope="exchange")

    def _late_reply(self, count: int, ms: int) -> bool:
        return self._arm("late-reply", count, ms=ms)

    def _request_swallowed(self, count: int) -> bool:
        return self._arm("swallow", count)

    def _too_many_requests(self, count: int, ms: int) -> bool:
        return self._arm("429", count, ms=ms)

    def _server_error(self, count: int) -> bool:
        return self._arm("5xx", count)

    def _frame_dropped(self, count: int) -> bool:
        return self._arm("drop", count, scope="ws")

    def _frame_repeated(self, count: int) -> bool:
        return self._arm("duplicate", count, scope="ws")

    def _frames_reordered(self, count: int) -> bool:
        return self._arm("reorder", count, scope="ws")

    def _frame_late(self, count: int, ms: int) -> bool:
        return self._arm("delay", count, scope="market", ms=ms)

    def _late_fill(self, count: int, ms: int) -> bool:
        return self._arm("delay", count, scope="user", ms=ms)

    def _frame_damaged(self, count: int) -> bool:
        return self._arm("damage", count, scope="ws")

    def _channel_silent(self) -> bool:
        return self._arm("silent", 1, scope="ws")

    def _arm(self, kind: str, count: int, **more: Any) -> bool:
        self._venue.faults.arm(kind, count, **more)
        return False  # the venue counts those that fire

    # Others with the account's key.

    def _outside_order(self, market: int, buys: bool) -> bool:
        return self._venue.trade_outside(market, buys=buys)

    def _outside_cancel(self) -> bool:
        return self._venue.cancel_outside(self._simulation.chance)

    def _later(self, seconds: float, call: Any) -> None:
        async def wait() -> None:
            await trio.sleep(seconds)
            call()

        self._nursery.start_soon(wait)
