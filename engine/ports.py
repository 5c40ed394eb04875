"""The interfaces of a session: source, sink and effects, and the ports for clock, chance and edges.

Live, replay and backtest differ only in `Source`, `Sink` and `Effects`. `Clock` and `Ids` are the only
sources of time and randomness. Implemented on floors 0 (`clock.py`), 4 and 5; called by floors 3 to 6.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Protocol

import msgspec

from engine.clock import ClockReadings
from engine.events import ClockJumped, Event
from engine.events.codec import Derived, Record

__all__ = ["Clock", "Edge", "Effects", "History", "Ids", "Sink", "Source"]


class Clock(Protocol):
    """Wall and monotonic time."""

    def now_ns(self) -> int:
        """Return the engine's time, UTC nanoseconds."""
        ...

    def monotonic_ns(self) -> int:
        """Return a time that never goes back, in nanoseconds; only differences mean anything."""
        ...

    def real_seconds_until(self, engine_ns: int) -> float:
        """Return how many real seconds from now the engine's clock will read `engine_ns`; may be negative."""
        ...

    def readings(self) -> ClockReadings:
        """Return what all clocks read now: their differences show a jump."""
        ...


class Ids(Protocol):
    """Random bytes, where they are allowed: ids of journals and sessions, salts, jitter."""

    def random_bytes(self, count: int) -> bytes:
        """Return `count` random bytes."""
        ...


class Source(Protocol):
    """Yields batches of inputs in the order of their arrival."""

    def batches(self) -> Iterator[list[Event]]:
        """Yield batches of inputs."""
        ...


class Sink(Protocol):
    """Receives the events of turns. The sequencer calls it between turns, never within one."""

    def append(self, first_seq: int, inputs: list[Event], derived: list[Derived]) -> None:
        """Append whole turns whose first seq is `first_seq`; the sink owns the lists afterwards."""
        ...

    def open_day(self, day: str) -> None:
        """Begin a UTC day: the following turns belong to it."""
        ...


class Effects(Protocol):
    """Performs commands once their record is durable."""

    def release(self, durable_seq: int, commands: Iterable[Derived]) -> None:
        """Perform these commands; every one has seq <= durable_seq."""
        ...


class History(Protocol):
    """Reads back what the sequencer appended, to rebuild a restarted actor's state."""

    def records(self, day: str, until_seq: int) -> Iterator[Record]:
        """Yield the records of `day` with seq <= until_seq, by rising seq; none if none is stored yet."""
        ...


class Edge(msgspec.Struct):
    """Something that does I/O beside the sequencer, such as a feed: its loop, and what its failures mean.

    An error of a kind named `fatal` ends the session. Others restart the edge, for ever or, with `gives_up`,
    up to a number of failures within a minute. `note_jump` is called with every jump of the clock, once it is
    recorded. Run by `engine.runtime.supervisor`.
    """

    name: str
    run: Callable[[], Awaitable[None]]
    fatal: tuple[type[Exception], ...] = ()
    gives_up: bool = True
    note_jump: Callable[[ClockJumped], None] | None = None
