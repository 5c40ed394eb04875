"""Events of the engine itself: sessions, days, clocks, actors, operators, timers, repairs.

Emitted by the runtime (inputs) and by the sequencer (derived), handled by the sequencer, risk, execution
and the stores. Times are UTC nanoseconds.
"""

from __future__ import annotations

from engine.events.base import Event
from engine.events.market import InstrumentListed
from engine.values import InstrumentId

__all__ = [
    "ActorFailed",
    "ActorRestarted",
    "ClockAdopted",
    "ClockAdvanced",
    "ClockChecked",
    "ClockJumped",
    "CommandAnswered",
    "DayOpened",
    "EdgeChanged",
    "EngineHalted",
    "EngineLagging",
    "HaltsChanged",
    "LoginFailed",
    "OperatorCommand",
    "ParameterSet",
    "SessionStarted",
    "SessionStopped",
    "StrategyStopped",
    "TailRepaired",
    "TimerFired",
]


class SessionStarted(Event, frozen=True, tag="session-started"):
    """Input. Opens a session, with everything that determines what the actors will do.

    `session` is 16 hex digits, unique among sessions. `mode` is "paper", "live", "backtest" or "backfill".
    `schema` is the fingerprint of the event types, `code` that of the engine's deterministic packages,
    `strategies` the (name, module:Class, source hash) of each strategy, `config` the complete configuration
    as canonical JSON. `python` is the Python version, such as 3.11; "" in records that are older than the
    field. `moves` are (old, new) names: the new strategy takes over what the old one holds, and its state.
    `epoch` rises with each opening of the journal for writing (see `engine.journal.fence`); 0 in a backtest
    and in records that are older than the field. A backtest of a range reads nothing received at `end_ns` or
    later (0: until the end of the data), and until `begin_ns` every input is history, which strategies only
    warm up on. `windows` are those of strategies that trade in a part of the time: (name, sees events from,
    trades from, trades until); at the end of a window the simulated venue closes at its last price.
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
    moves: tuple[tuple[str, str], ...] = ()
    epoch: int = 0
    begin_ns: int = 0
    end_ns: int = 0
    windows: tuple[tuple[str, int, int, int], ...] = ()


class SessionStopped(Event, frozen=True, tag="session-stopped"):
    """Input. The session ended gracefully."""

    recv_ns: int
    session: str
    reason: str


class DayOpened(Event, frozen=True, tag="day-opened"):
    """Derived. The first record of a UTC day, if the session or the journal began on an earlier day.

    `snapshot` is the state of the sequencer and all actors (see `engine.opening`), so that the day can be
    replayed alone. A replay that continues from the day before derives the snapshot and compares it.
    `started` is the event that opened the running session, with its code, strategies and configuration.
    `instruments` are those listed so far. Both fields are empty in records of an earlier version;
    `engine.opening.completed` then reads them from the snapshot. Cause: the last event of the day before.
    """

    at_ns: int
    day: str
    snapshot: bytes
    started: SessionStarted | None = None
    instruments: tuple[InstrumentListed, ...] = ()


class ClockAdvanced(Event, frozen=True, tag="clock"):
    """Input. Time passed without other inputs, so that due timers fire."""

    recv_ns: int


class ClockAdopted(Event, frozen=True, tag="clock-adopted"):
    """Input. The engine's clock follows a loopback venue's from `venue_ns` on, at `speed` times real time."""

    recv_ns: int
    venue: str
    venue_ns: int
    speed: float


class ClockChecked(Event, frozen=True, tag="clock-checked"):
    """Input. The venue's clock minus the engine's. Beyond one second, real orders take no new risk."""

    recv_ns: int
    venue: str
    offset_ns: int


class ClockJumped(Event, frozen=True, tag="clock-jumped"):
    """Input. Time passed without the engine, or the clock was set.

    `cause` is "paused" (the process or its disk stood still), "suspended" (the machine did) or "stepped" (the
    wall clock was set). Nothing was heard of a venue between `from_ns` and `to_ns`. Only if the clock was set
    back, `to_ns` is before `from_ns`: both are then times of that clock, while the engine's time goes on.
    Recorded before everything that fell due in between.
    """

    recv_ns: int
    from_ns: int
    to_ns: int
    cause: str

    @property
    def ahead(self) -> bool:
        """Whether time was skipped. A clock that was set back skips nothing."""
        return self.to_ns >= self.from_ns


class EngineLagging(Event, frozen=True, tag="engine-lagging"):
    """Input. The engine handles what it receives late, by `lag_ms` of real time; 0: no longer.

    The lag is the time from the receipt of an input, or from when a timer was due, to its turn; or, if that
    is longer, the time for which nothing could be read. Recorded before the late inputs when it exceeds
    `[limits] lag_ms` and when it has changed much, and at the recovery. `recv_ns` is the engine's time by
    then.

    `handler` is the handler of a strategy in which most of the time since the last report was spent, such as
    "Maker.on_trade", "" if none stands out; `handler_ms` is that time, measured in samples.
    """

    recv_ns: int
    lag_ms: int
    handler: str = ""
    handler_ms: int = 0


class TimerFired(Event, frozen=True, tag="timer"):
    """Derived. A timer of an actor is due. Its cause is the event in whose turn it was set."""

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


class LoginFailed(Event, frozen=True, tag="login-failed"):
    """Input. A login at the operator's page was wrong.

    `address` is the IP address it came from, `reason` what was wrong: "token" or "password". Logins that are
    refused without a look, because there were too many, are not recorded, so there are few.
    """

    recv_ns: int
    address: str
    reason: str


class OperatorCommand(Event, frozen=True, tag="operator"):
    """Input. What an operator, a person or a program, asks of the engine.

    `command` is "pause", "resume", "halt", "cancel", "flatten", "order", "set", "restart", "stop-strategy",
    "disarm" or "stop". `target` is what it is about: a strategy, a market or an order; "" is the whole
    engine. `who` asked, under a `nonce` that no other command of the journal has. `arguments` are the members
    of the request by name, sorted, without those that have their default, as text; numbers are as they were
    given (see `engine.operator.requests`). Commands of the engine itself, at a start and at a stop,
    and those of an earlier version have no nonce, and no answer.
    """

    recv_ns: int
    command: str
    target: str = ""
    detail: str = ""
    who: str = ""
    nonce: str = ""
    arguments: tuple[tuple[str, str], ...] = ()


class CommandAnswered(Event, frozen=True, tag="command-answered"):
    """Derived. What became of an operator's command: in its turn, and again when one that takes time ends.

    `seq` is that of the command, which is the cause. `state` is "done", "refused" or "working". `code` names
    the limit or rule of a refusal, and `reason` says it for people. `left` is what is still to be done:
    (owner, market, size) as text, of a cancel (owner, market, order); `tries` counts attempts of what is
    late.
    """

    at_ns: int
    seq: int
    nonce: str
    command: str
    state: str
    code: str = ""
    reason: str = ""
    left: tuple[tuple[str, str, str], ...] = ()
    tries: int = 0


class ParameterSet(Event, frozen=True, tag="parameter-set"):
    """Derived. An operator gives a parameter of a strategy a value; also again when a session begins.

    `value` is text; the strategy's actor converts it to the parameter's type. `nonce` and `seq`
    are those of the command, "" and 0 at the beginning of a session.
    """

    at_ns: int
    strategy: str
    name: str
    value: str
    nonce: str = ""
    seq: int = 0


class StrategyStopped(Event, frozen=True, tag="strategy-stopped"):
    """Derived. An operator stopped a strategy or, if `stopped` is false, let it run again.

    A strategy that is stopped follows the market and can ask for nothing. Emitted again for those that are
    stopped when a session begins.
    """

    at_ns: int
    strategy: str
    stopped: bool


class HaltsChanged(Event, frozen=True, tag="halts-changed"):
    """Derived. A command changed what is halted, paused or stopped: all of it, as it is now.

    `halted` is the reason of the engine's halt, `markets` are halted markets with their reasons. `paused` are
    strategies, "" for all; `stopped` are strategies; `disarmed` is why no order leaves. Empty: none.
    """

    at_ns: int
    halted: str
    markets: tuple[tuple[InstrumentId, str], ...] = ()
    paused: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()
    disarmed: str = ""


class TailRepaired(Event, frozen=True, tag="tail-repaired"):
    """Input. Recovery cut a torn tail. The bytes are kept in `saved_as`.

    Both paths are relative to the journal's root; in records of earlier versions as the session was given it.
    """

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
    """Derived. An operator restarted an actor. Its state was rebuilt from `events` journal records."""

    at_ns: int
    actor: str
    events: int


class EngineHalted(Event, frozen=True, tag="halted"):
    """Derived. No new risk until an operator resumes. The engine's open orders are canceled."""

    at_ns: int
    reason: str
