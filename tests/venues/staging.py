"""A gateway on an account of a venue in memory, and what it reported. Called by the tests of gateways."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import trio

from engine.clock import SystemClock
from engine.events import CancelOrder, Event, OrderAccepted, OrderTerms, PositionRead, SubmitOrder
from engine.events.terms import OPEN
from engine.values import BUY
from engine.venue import Account, Gateway
from tests.venues.memory import MemoryVenue

__all__ = ["BTC", "MakeGateway", "Stage", "cancel", "name", "order", "positions", "virtual_time"]

BTC = 1
MakeGateway = Callable[[SystemClock, Callable[[list[Event]], Awaitable[None]], Account], Gateway]


class Stage:
    """A gateway on an account, and what it reported."""

    def __init__(self, venue: MemoryVenue, make: MakeGateway) -> None:
        self.venue: Any = venue
        self.events: list[Event] = []
        self.ours: dict[str, None] = {}
        self.live: dict[str, None] = {}
        self._seq = 0
        self._changed = trio.Event()
        clock = SystemClock()
        account = Account(
            clock.now_ns() - 10**9,
            0,
            lambda: list(self.live),
            lambda name: name in self.ours,
            sent=lambda: list(self.ours),
        )
        self.gateway = make(clock, self._take, account)

    async def _take(self, events: list[Event]) -> None:
        self.events += events
        self._changed.set()
        self._changed = trio.Event()

    def do(self, *commands: Event) -> None:
        """Give commands to the gateway."""
        self._seq += 1
        for one in commands:
            if isinstance(one, SubmitOrder):
                self.ours[one.client_order_id] = self.live[one.client_order_id] = None
        self.gateway.release(self._seq, [(self._seq, 0, one) for one in commands])

    def of(self, *kinds: type) -> list[Any]:
        """Return the reported events of these kinds."""
        return [one for one in self.events if isinstance(one, kinds)]

    async def until(self, *kinds: type, count: int = 1) -> list[Any]:
        """Wait until so many events of these kinds are reported."""
        with trio.fail_after(120):
            while len(self.of(*kinds)) < count:
                await self._changed.wait()
        return self.of(*kinds)

    async def accepted(self, number: int) -> None:
        """Wait until an order is reported as accepted."""
        with trio.fail_after(120):
            while name(number) not in [one.client_order_id for one in self.of(OrderAccepted)]:
                await self._changed.wait()


@contextmanager
def virtual_time() -> Iterator[None]:
    """Let the engine's clock follow trio's."""
    start = 1_741_179_300 * 10**9

    class Time:
        def time_ns(self) -> int:
            return start + self.monotonic_ns()

        def monotonic_ns(self) -> int:
            return round(trio.current_time() * 10**9)

        def clock_gettime_ns(self, _: int) -> int:
            return self.monotonic_ns()

    with patch("engine.clock.time", Time()):
        yield


def name(number: int) -> str:
    return f"0x{7:016x}{number:016x}"


def order(stage: Stage, number: int, side: int, size: int, limit: int = 0, **more: Any) -> SubmitOrder:
    """Return a limit order, or one at the market with a bound."""
    bound = 0 if limit else (11_000 if side == BUY else 9_000)
    given: dict[str, Any] = {"tif": "Gtc" if limit else "Ioc", "role": OPEN, "bound": bound, **more}
    now = stage.venue.now_ns()
    return SubmitOrder(now, name(number), "S", BTC, OrderTerms(side, size, limit, **given), now + 5 * 10**9)


def cancel(number: int) -> CancelOrder:
    return CancelOrder(0, name(number), BTC)


def positions(stage: Stage) -> list[int]:
    return [one.size for one in stage.of(PositionRead)]
