"""The arguments and the result of a live session. The command line provides the parts.

With a gateway orders are real, without one the session trades on paper. Declarations only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from engine.config import Config
from engine.events import Event, InstrumentListed
from engine.events.codec import Record
from engine.journal import DISK, Disk, Witness
from engine.ports import Clock, Edge, Ids
from engine.runtime.committer import Committed
from engine.runtime.desk import Desk
from engine.runtime.ingress import Ingress
from engine.runtime.positions import OpenBook
from engine.runtime.projector import Projector
from engine.runtime.starting import Starting
from engine.session import SessionBuilder
from engine.venue import Account, Gateway, LastTrades

__all__ = [
    "LivePlan",
    "LiveResult",
    "MakeFeeds",
    "MakeGateway",
    "MakeProjector",
    "MakeServer",
    "OperatorServer",
    "ServedSession",
    "WarmUp",
]


class MakeFeeds(Protocol):
    """Makes the feeds once the instruments have their numbers."""

    def __call__(
        self, instruments: Sequence[InstrumentListed], ingress: Ingress, last: LastTrades
    ) -> Sequence[Edge]:
        """Return the feeds as edges that send to `ingress`."""
        ...


class MakeGateway(Protocol):
    """Makes the gateway once the instruments have their numbers."""

    def __call__(
        self, instruments: Sequence[InstrumentListed], ingress: Ingress, account: Account
    ) -> Gateway:
        """Return the gateway, which sends to `ingress`."""
        ...


class OperatorServer(Protocol):
    """The server that people and programs ask about a session. It can fail without any effect on trading."""

    def passing(self, records: Iterator[Record]) -> Iterator[Record]:
        """Pass on the records of the newest day while a start reads them, and note them. An error of its own
        does not come through."""
        ...

    def take(self, committed: Committed) -> None:
        """Note committed turns. Never waits, never raises."""
        ...

    async def run(self) -> None:
        """Serve until cancelled."""
        ...


WarmUp = Callable[[Sequence[InstrumentListed], Mapping[str, int]], Awaitable[list[Event]]]
"""Returns what strategies receive before the first trade, and after a jump of the clock: the newest closed
candles, oldest first, so many of each interval."""

MakeProjector = Callable[[bytes, int], Projector]
"""Makes the projector of a journal with this id, durable up to this seq."""


class ServedSession(msgspec.Struct, frozen=True):
    """What a server has of its session: the journal, which ends at `seq` when the server is made; the desk,
    which takes commands; where other inputs go; the engine's time; the defaults of the parameters
    of a strategy; and how far the start is, None after it."""

    journal_id: bytes
    seq: int
    desk: Desk
    ingress: Ingress
    now_ns: Callable[[], int]
    defaults: Callable[[str], Mapping[str, Any]] = lambda _: {}
    starting: Starting | None = None


MakeServer = Callable[[ServedSession], OperatorServer]
"""Makes the server of a session."""


class LivePlan(msgspec.Struct):
    """The plan of a live session. `venue_events` are recorded right after the session started. The numbers of
    `instruments` are ignored: the journal assigns them.

    With `make_gateway` orders are real, without it the session trades on paper. `resume` lifts a halt that an
    earlier session left: a person's decision, as are `fresh`, the strategies that may begin with a position
    but without their state, and `moves`, (old, new) names of strategies. `projectors` are by name; `health`
    are lines for people, by name: counters of feeds and gateways, and usage of the venue's limits. The
    journal is on `disk`. `make_server` makes what people and programs ask about the session.
    """

    root: Path
    config: Config
    builder: SessionBuilder
    clock: Clock
    ids: Ids
    instruments: list[InstrumentListed]
    venue_events: list[Event]
    make_feeds: MakeFeeds
    make_gateway: MakeGateway | None = None
    warm_up: WarmUp | None = None
    projectors: dict[str, MakeProjector] = {}
    health: dict[str, Callable[[], str]] = {}
    speed: float = 1.0
    for_seconds: float | None = None
    idle_ms: int = 20
    resume: bool = False
    witness: Witness | None = None
    fresh: tuple[str, ...] = ()
    moves: tuple[tuple[str, str], ...] = ()
    disk: Disk = DISK
    make_server: MakeServer | None = None


class LiveResult(msgspec.Struct):
    """The result of a session. Latencies are from receipt to release of a command, in milliseconds.

    `lag_max_ms` is the longest time that an input or a timer waited for its turn, or nothing could be read.
    `live_orders` counts orders that did not end in time. `failures` are the actors that raised, with the seq
    of the event and where. `halted` is the reason of a halt, "" if there is none; `halted_markets` are the
    reasons by market, `paused` the strategies that an operator
    has paused ("": all). `refused` counts refusals by the limit
    that refused. `positions` are the books that are not flat, `owed` the exits that are not done, `unvalued`
    amounts that have no price, `unfunded` the markets whose positions paid no funding on paper because the
    data has no rates.
    """

    session: str
    days: list[str]
    first_seq: int
    last_seq: int
    digest: str
    inputs: int
    stopped_by: str
    repairs: list[str]
    commands: int
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    ingress_high_water: int
    unsynced_high_water: int
    clock_steps_back: int
    live_orders: int
    health: dict[str, str] = {}
    failures: list[str] = []
    halted: str = ""
    halted_markets: dict[str, str] = {}
    refused: dict[str, int] = {}
    positions: list[OpenBook] = []
    owed: list[str] = []
    unvalued: list[str] = []
    unfunded: list[str] = []
    paused: list[str] = []
    lag_max_ms: int = 0
