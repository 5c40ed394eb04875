"""What happens to the engine itself: sessions, days, clocks, actors, operators, timers, repairs.

Emitted by the runtime's edges (inputs) and by the sequencer (derived), consumed by the sequencer, risk,
execution and the projections. Times are UTC nanoseconds.
"""

from __future__ import annotations

from engine.events.base import Event
from engine.events.market import InstrumentListed

__all__ = [
    "ActorFailed",
    "ActorRestarted",
    "ClockAdopted",
    "ClockAdvanced",
    "ClockChecked",
    "DayOpened",
    "EdgeChanged",
    "EngineHalted",
    "OperatorCommand",
    "SessionStarted",
    "SessionStopped",
    "TailRepaired",
    "TimerFired",
]


class SessionStarted(Event, frozen=True, tag="session-started"):
    """Input. Opens a session and says everything that decides what the actors will do.

    `session` is 16 hex digits, unique among sessions. `mode` is "paper", "live", "backtest" or "backfill".
    `schema` is the fingerprint of the event types, `code` that of the engine's own deterministic rooms,
    `strategies` the (name, module:Class, source hash) of each strategy, `config` the whole configuration as
    canonical JSON. `python` is the version it ran on, such as 3.11; "" in a record from before it was told.
    """

    recv_ns: int
    session: str
    mode: str
    version: str
    schema: str
    code: str
    strategies: tuple[tuple[str, str, str], ...]
    config: str
    python: str = ""


class SessionStopped(Event, frozen=True, tag="session-stopped"):
    """Input. The session ended in order."""

    recv_ns: int
    session: str
    reason: str


class DayOpened(Event, frozen=True, tag="day-opened"):
    """Derived; the first record of a UTC day that a session or journal crossed into.

    `snapshot` is the state of the sequencer and all actors (see `engine.opening`), so that the day can be
    replayed alone; a replay that comes from the day before derives it and compares. `started` opened the
    session under way: what its code, strategies and configuration were. `instruments` are those listed so
    far. Both are empty as an earlier version wrote the record; `engine.opening.completed` then reads them
    out of the snapshot. Cause: the last event of the day before.
    """

    at_ns: int
    day: str
    snapshot: bytes
    started: SessionStarted | None = None
    instruments: tuple[InstrumentListed, ...] = ()


class ClockAdvanced(Event, frozen=True, tag="clock"):
    """Input. Time passed and nothing else came: lets due timers fire."""

    recv_ns: int


class ClockAdopted(Event, frozen=True, tag="clock-adopted"):
    """Input. The engine's clock runs with a loopback venue's from `venue_ns` on, `speed` times as fast."""

    recv_ns: int
    venue: str
    venue_ns: int
    speed: float


class ClockChecked(Event, frozen=True, tag="clock-checked"):
    """Input. The venue's clock minus ours; beyond one second real orders are forbidden."""

    recv_ns: int
    venue: str
    offset_ns: int


class TimerFired(Event, frozen=True, tag="timer"):
    """Derived. A timer an actor asked for is due. Cause: the event in whose turn it was asked for."""

    at_ns: int
    actor: str
    key: str


class EdgeChanged(Event, frozen=True, tag="edge"):
    """Input. An edge actor (feed, clock, projector, gateway) changed its state.

    `state` is one of starting, running, restarting, failed, stopped.
    """

    recv_ns: int
    actor: str
    state: str
    detail: str = ""
    restarts: int = 0


class OperatorCommand(Event, frozen=True, tag="operator"):
    """Input. A person's order to the engine: "stop", "restart" (an actor), "halt", "resume"."""

    recv_ns: int
    command: str
    target: str = ""
    detail: str = ""


class TailRepaired(Event, frozen=True, tag="tail-repaired"):
    """Input. Recovery cut a torn tail; the bytes are kept in `saved_as`, relative to the journal's root."""

    recv_ns: int
    file: str
    offset: int
    length: int
    saved_as: str


class ActorFailed(Event, frozen=True, tag="actor-failed"):
    """Derived. An actor's handler raised on event `seq`; `policy` is "halt" or "quarantine"."""

    at_ns: int
    actor: str
    seq: int
    error: str
    policy: str


class ActorRestarted(Event, frozen=True, tag="actor-restarted"):
    """Derived. An operator restarted an actor; its state was rebuilt from `events` journal records."""

    at_ns: int
    actor: str
    events: int


class EngineHalted(Event, frozen=True, tag="halted"):
    """Derived. No new risk until an operator resumes; own open orders are canceled."""

    at_ns: int
    reason: str
