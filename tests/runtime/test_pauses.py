"""After a pause of the process no real order leaves on a price older than `[risk] max_price_age_ms`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import trio
from trio.abc import Clock
from trio.testing import MockClock

from engine.events import (
    AccountRead,
    ClockJumped,
    EngineLagging,
    FeedHeard,
    FeedUp,
    OrderRefused,
    SubmitOrder,
    Trade,
)
from engine.events.codec import Derived
from tests.runtime.kit import SECOND, assert_replays, of
from tests.runtime.rig import Rig
from tests.runtime.test_gateway_session import Scripted, session

AGE_NS = 5 * SECOND
PAUSE_S = 9.0


class Sent(NamedTuple):
    """An order that left, and when."""

    at_ns: int
    order: SubmitOrder


class Venue(Scripted):
    """A gateway that sends, as every gateway does, only what has not expired. `pauses_s`: before it does."""

    def __init__(self, clock: MockClock) -> None:
        super().__init__()
        self.clock = clock
        self.pause_s = 0.0
        self.sent: list[Sent] = []
        self.unsent: list[SubmitOrder] = []

    def release(self, durable_seq: int, commands: Iterable[Derived]) -> None:
        assert self.rig is not None
        commands = list(commands)
        self.clock.jump(self.pause_s)
        now_ns = self.rig.clock.now_ns()
        for _, _, command in commands:
            if isinstance(command, SubmitOrder):
                assert command.expires_ns
                if command.expires_ns <= now_ns:
                    self.unsent.append(command)
                else:
                    self.sent.append(Sent(now_ns, command))
        super().release(durable_seq, commands)


async def begin(rig: Rig) -> None:
    """Let the feed prove its life, and send an order on a fresh price."""
    await trio.sleep(1)
    await rig.ingress.send([FeedUp(rig.clock.now_ns(), "test", 1, heard_ms=2000)])
    await rig.record(100)


def check_ages(root: Path, gateway: Venue) -> None:
    """Check that no order left on a price that was too old, by the machine's clock."""
    prices = [one.recv_ns for one in of(Trade, root)]
    for at_ns, order in gateway.sent:
        newest = max(one for one in prices if one <= order.at_ns)
        assert at_ns - newest <= AGE_NS, f"{order} left {(at_ns - newest) / 1e9} s after its price"


async def test_what_was_received_before_a_pause_sends_no_order_after_it(
    paced_clock: Clock, tmp_path: Path
) -> None:
    gateway = Venue(paced_clock)

    async def script(rig: Rig) -> None:
        await begin(rig)
        rig.ingress.put(rig.trades(101, 102, 103, 104, 105))
        paced_clock.jump(PAUSE_S)  # before any of them has its turn
        await rig.durable()
        await rig.record(106)
        await trio.sleep(1)
        now = rig.clock.now_ns()
        await rig.ingress.send(
            [AccountRead(now, now, "g", 6, 10**12, 10**12, 0, 0), FeedHeard(now, "test", now)]
        )
        await rig.record(107)

    await session(tmp_path, gateway, script)
    assert of(ClockJumped, tmp_path)
    assert of(EngineLagging, tmp_path)[0].lag_ms // 1000 in (8, 9)
    assert {one.limit for one in of(OrderRefused, tmp_path)} == {"stale"}
    assert len(of(OrderRefused, tmp_path)) == 6
    assert len(gateway.sent) == 2, "one before the pause, one when feed and account are known again"
    check_ages(tmp_path, gateway)
    assert_replays(tmp_path)


async def test_what_was_approved_before_a_pause_is_not_sent_after_it(
    paced_clock: Clock, tmp_path: Path
) -> None:
    """As when the disk stands still between the approval and the sync."""
    gateway = Venue(paced_clock)

    async def script(rig: Rig) -> None:
        await begin(rig)
        gateway.pause_s = PAUSE_S
        await rig.record(101)
        gateway.pause_s = 0.0

    await session(tmp_path, gateway, script)
    assert len(gateway.sent) == 1
    assert len(gateway.unsent) == 1
    check_ages(tmp_path, gateway)
