"""A venue of several that cannot be reached when a session begins: it is asked again until it answers.

The session begins with the instruments that the journal has of it, so that books, halts and the other venues
are there. Promises: until the venue answers, its feed and its gateway are down, on record; a command for it
is reported as not sent, which is known, because nothing has its connection; once it answers with the same
listing and the same clock, its feed and gateway run as those of any venue. Called by `planning.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import trio

from engine.backoff import backoff_ms
from engine.errors import EngineError, VenueError, VenueUnreachable
from engine.events import (
    CancelOrder,
    CancelRejected,
    ClockJumped,
    DayOpened,
    Event,
    FeedDown,
    GatewayDown,
    InstrumentListed,
    ModifyOrder,
    ModifyRejected,
    OrderRejected,
    SubmitOrder,
)
from engine.events.codec import Derived
from engine.journal import DISK, Disk, list_days
from engine.ports import Edge
from engine.records import read_records
from engine.venue import Gateway, Inputs

__all__ = ["AwaitedGateway", "AwaitedVenue", "known_instruments"]

RETRY_MIN_MS: Final = 500
RETRY_MAX_MS: Final = 30_000
REPORTS_MAX: Final = 100
"""Reports that are queued at a time."""


def known_instruments(
    root: Path, venue: str, names: Sequence[str], disk: Disk = DISK
) -> list[InstrumentListed]:
    """Return the newest listings of a venue in a journal, of all `names`; [] if one of them is not there.

    Without names those that the newest day has of the venue.
    """
    found: dict[str, InstrumentListed] = {}
    try:
        days = list_days(root, disk)
        for _, _, event in read_records(days[-1].path, disk) if days else ():
            listed = event.instruments if isinstance(event, DayOpened) else (event,)
            for one in listed:
                if isinstance(one, InstrumentListed) and one.venue == venue:
                    found[one.name] = one
    except EngineError:
        return []  # the start itself says what is wrong with the journal
    if any(name not in found for name in names):
        return []
    return [found[name] for name in names or found]


class AwaitedVenue:
    """Asks a venue until it answers. `name` is that of its feed, `why` the error at the start."""

    def __init__(
        self, name: str, why: VenueUnreachable, now_ns: Callable[[], int], jitter: Callable[[], float]
    ) -> None:
        self.name = name
        self.why = f"not reached since the session began: {why}"
        self.reached = trio.Event()
        self._now_ns = now_ns
        self._jitter = jitter
        self._edges: Sequence[Edge] = ()
        self._told = False
        # Each try has limits of its own, which do not know of a refusal.
        self._after_s = why.retry_after_s

    def edge(self, inputs: Inputs, reach: Callable[[], Awaitable[Sequence[Edge]]]) -> Edge:
        """Return the feed of the venue. `reach` connects, checks what it finds, and returns its edges."""

        async def run() -> None:
            if not self.reached.is_set():
                await self._await(inputs, reach)
            async with trio.open_nursery() as nursery:
                for edge in self._edges:
                    nursery.start_soon(edge.run)

        return Edge(self.name, run, gives_up=False, note_jump=self._note_jump)

    async def _await(self, inputs: Inputs, reach: Callable[[], Awaitable[Sequence[Edge]]]) -> None:
        if not self._told:
            await inputs.send([FeedDown(self._now_ns(), self.name, self.why)])
            self._told = True
        for failures in itertools.count():
            wait_ms = backoff_ms(failures, self._jitter(), min_ms=RETRY_MIN_MS, max_ms=RETRY_MAX_MS)
            await trio.sleep(max(wait_ms / 1000, self._after_s))
            self._after_s = 0.0
            try:
                self._edges = await reach()
            except VenueUnreachable as error:
                self._after_s = error.retry_after_s
            except VenueError:
                pass
            else:
                self.reached.set()
                return

    def _note_jump(self, jumped: ClockJumped) -> None:
        for edge in self._edges:
            if edge.note_jump is not None:
                edge.note_jump(jumped)


class AwaitedGateway:
    """The gateway of a venue that is awaited. `make` makes the real one, once the venue was reached."""

    def __init__(
        self, venue: AwaitedVenue, inputs: Inputs, now_ns: Callable[[], int], make: Callable[[], Gateway]
    ) -> None:
        self.name = venue.name
        self._venue = venue
        self._inputs = inputs
        self._now_ns = now_ns
        self._make = make
        self._gateway: Gateway | None = None
        self._told = False
        self._unsent: list[Event] = []
        """Reports of commands of one turn or a few: what is refused is asked again after a while."""
        self._asked = trio.Event()

    def release(self, durable_seq: int, commands: Iterable[Derived]) -> None:
        """See `engine.ports.Effects`. Before the venue is reached nothing is sent, and that is reported."""
        if self._gateway is not None:
            self._gateway.release(durable_seq, commands)
            return
        for _, _, command in commands:
            self._unsent += self._refusal(command)
        self._asked.set()

    async def run(self) -> None:
        """See `Gateway.run`."""
        if self._gateway is None:
            if not self._told:
                await self._inputs.send([GatewayDown(self._now_ns(), self.name, self._venue.why)])
                self._told = True
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._report)
                await self._venue.reached.wait()
                nursery.cancel_scope.cancel()
            # No wait from here on: what is released next is for the real one.
            self._gateway = self._make()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._report)
            await self._gateway.run()
            nursery.cancel_scope.cancel()

    async def _report(self) -> None:
        while True:
            await self._asked.wait()
            self._asked = trio.Event()
            while self._unsent:
                part = self._unsent[:REPORTS_MAX]
                await self._inputs.send(part)
                del self._unsent[: len(part)]

    def _refusal(self, command: Event) -> list[Event]:
        now_ns, words = self._now_ns(), f"not sent: {self._venue.why}"
        match command:
            case SubmitOrder():
                return [OrderRejected(now_ns, now_ns, command.client_order_id, words)]
            case CancelOrder():
                return [CancelRejected(now_ns, now_ns, command.client_order_id, words)]
            case ModifyOrder():
                return [ModifyRejected(now_ns, now_ns, command.client_order_id, words)]
        return []  # a question or a setting: asked again when the account is read
