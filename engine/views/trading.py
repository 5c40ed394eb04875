"""The session, what halts or pauses it, its strategies, and what operators asked for.

Owns halts by the rules of `engine.actors.orders.halts`, the newest signals, lines and reasons of each
strategy, and the series of signals for charts. Called by `View`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, Final

from engine.actors.base import remember
from engine.actors.orders.halts import STOPPED
from engine.config import Config, StrategyConfig, parse_config
from engine.errors import ConfigError, EngineError
from engine.events import (
    ActorFailed,
    ActorRestarted,
    CommandAnswered,
    EngineHalted,
    Event,
    GatewayUp,
    HaltsChanged,
    LogWritten,
    MarketHalted,
    OperatorCommand,
    OrderRequested,
    ParameterSet,
    SessionStarted,
    SessionStopped,
    SignalRaised,
    StrategyStopped,
    TargetSet,
)
from engine.instruments import Instruments
from engine.operator.words import asked_words
from engine.views.markets import Kept
from engine.views.shapes import CommandRow, HaltRow, SignalRow, SignalSeries
from engine.views.units import finite, ms, plain

__all__ = ["COMMANDS_MAX", "SERIES_MAX", "SIGNALS_MAX", "Defaults", "Since", "Trading", "no_defaults"]

SIGNALS_MAX: Final = 500
"""Values remembered of one signal."""

SERIES_MAX: Final = 400
"""Signals (strategy, instrument and name) remembered; the one that began first goes first."""

COMMANDS_MAX: Final = 200
LINES_MAX: Final = 20
FAILURES_MAX: Final = 50

_COPIED: Final = (
    *("markets", "quarantined", "failed", "paused", "stopped", "failures"),
    *("commands", "answers", "pending"),
)

Since = tuple[str, int, int]
"""(reason, time, seq) of something that goes on; seq 0 if it began before what the view has seen."""


Defaults = Callable[[str], Mapping[str, Any]]
"""Returns the default of each parameter of a strategy, given its module:Class. Raises EngineError."""


def no_defaults(_use: str) -> Mapping[str, Any]:
    """Return no defaults."""
    return {}


class Trading:
    """State: the session, halts, pauses, failures; signals and lines of strategies; operators' commands."""

    def __init__(self, instruments: Instruments, defaults: Defaults) -> None:
        self.instruments = instruments
        self.defaults = defaults
        self.started: SessionStarted | None = None
        self.config: Config | None = None
        self.running = False
        self.stopping = False
        self.network = ""
        self.account_id = ""
        self.halted: Since | None = None
        self.markets: dict[int, Since] = {}
        self.quarantined: dict[str, Since] = {}
        self.failed: dict[str, Since] = {}
        self.paused: dict[str, Since] = {}
        self.failures: deque[Kept] = deque(maxlen=FAILURES_MAX)
        self.series: dict[tuple[str, int, str], deque[Kept]] = {}
        self.lines: dict[str, deque[Kept]] = {}
        self.reasons: dict[str, deque[Kept]] = {}
        self.commands: dict[int, OperatorCommand] = {}
        self.answers: dict[str, Kept] = {}
        self.params: dict[str, dict[str, Any]] = {}
        self.pending: dict[int, ParameterSet] = {}
        self.stopped: dict[str, Since] = {}
        self.disarmed: Since | None = None
        self.handlers: dict[type[Event], Callable[[int, Any], None]] = {
            SessionStarted: self.begin,
            SessionStopped: self._stopped,
            GatewayUp: self._gateway,
            EngineHalted: self._halt,
            MarketHalted: self._halt_market,
            ActorFailed: self._failed,
            ActorRestarted: self._restarted,
            OperatorCommand: self._command,
            CommandAnswered: self._answered,
            ParameterSet: self._set,
            StrategyStopped: self._stop_strategy,
            HaltsChanged: self._halts,
            SignalRaised: self._signal,
            LogWritten: self._log,
            TargetSet: self._reason,
            OrderRequested: self._reason,
        }

    def copy(self, instruments: Instruments) -> Trading:
        """Return a copy that is changed on its own."""
        twin = Trading(instruments, self.defaults)
        handlers = twin.handlers
        vars(twin).update(vars(self))
        twin.handlers, twin.instruments = handlers, instruments
        for name in (
            "markets",
            "quarantined",
            "paused",
            "failures",
            "commands",
            "answers",
            "stopped",
            "pending",
        ):
            setattr(twin, name, getattr(self, name).copy())
        twin.params = {strategy: params.copy() for strategy, params in self.params.items()}
        for name in ("series", "lines", "reasons"):
            setattr(twin, name, {key: ring.copy() for key, ring in getattr(self, name).items()})
        return twin

    # Sessions.

    @property
    def real(self) -> bool:
        """Whether orders are real."""
        return self.started is not None and self.started.mode == "live"

    def use(self, started: SessionStarted) -> None:
        """Use the session in force: its configuration, and the names of its instruments."""
        self.started = started
        self.running = True
        try:
            self.config = parse_config(started.config)
        except ConfigError:  # of an older version: what it configured is not shown
            self.config = None
        self.instruments.prefer(self.config.instruments if self.config is not None else ())

    def begin(self, _seq: int, started: SessionStarted) -> None:
        """Begin a session: a stop ended with the one before, and strategies that failed begin again."""
        self.use(started)
        self.stopping = False
        self.quarantined.clear()
        self.failed.clear()
        self.params.clear()  # those in force are recorded again
        self.stopped.clear()
        self.disarmed = None
        if self.halted is not None and self.halted[0] == STOPPED:
            self.halted = None

    def _stopped(self, _seq: int, _stopped: SessionStopped) -> None:
        self.running = False

    def _gateway(self, _seq: int, up: GatewayUp) -> None:
        self.network, self.account_id = up.network, up.account

    # Halts.

    def _halt(self, seq: int, halted: EngineHalted) -> None:
        self.halted = halted.reason, halted.at_ns, seq

    def _halt_market(self, seq: int, halted: MarketHalted) -> None:
        self.markets.setdefault(halted.instrument, (halted.reason, halted.at_ns, seq))

    def _failed(self, seq: int, failed: ActorFailed) -> None:
        self.failures.appendleft((seq, failed))
        self.failed[failed.actor] = f"{failed.actor} failed: {failed.error}", failed.at_ns, seq
        if failed.policy == "quarantine":
            self.quarantined[failed.actor] = f"{failed.actor} failed: {failed.error}", failed.at_ns, seq

    def _restarted(self, _seq: int, restarted: ActorRestarted) -> None:
        self.quarantined.pop(restarted.actor, None)
        self.failed.pop(restarted.actor, None)

    def _command(self, seq: int, command: OperatorCommand) -> None:
        remember(self.commands, seq, command, COMMANDS_MAX)
        if command.command == "stop":
            self.stopping = True

    def _answered(self, seq: int, answered: CommandAnswered) -> None:
        remember(self.answers, answered.nonce, (seq, answered), COMMANDS_MAX)
        pending = self.pending.pop(answered.seq, None)
        if pending is not None and answered.state == "done":
            self._put(pending)

    def _halts(self, seq: int, changed: HaltsChanged) -> None:
        now = changed.at_ns, seq
        if not changed.halted:
            self.halted = None
        elif self.halted is None or self.halted[0] != changed.halted:
            self.halted = (changed.halted, *now)
        self.disarmed = (changed.disarmed, *now) if changed.disarmed else None
        self.markets = {one: self.markets.get(one, (reason, *now)) for one, reason in changed.markets}
        self.paused = {name: self.paused.get(name, ("paused", *now)) for name in changed.paused}
        self.stopped = {name: self.stopped.get(name, ("stopped", *now)) for name in changed.stopped}

    def _set(self, _seq: int, changed: ParameterSet) -> None:
        """Note a parameter: in force once the strategy has taken it, at the begin of a session at once."""
        if changed.nonce:
            remember(self.pending, changed.seq, changed, COMMANDS_MAX)
        else:
            self._put(changed)

    def _put(self, changed: ParameterSet) -> None:
        self.params.setdefault(changed.strategy, {})[changed.name] = changed.value

    def _stop_strategy(self, seq: int, stopped: StrategyStopped) -> None:
        if stopped.stopped:
            self.stopped.setdefault(stopped.strategy, ("stopped by an operator", stopped.at_ns, seq))
        else:
            self.stopped.pop(stopped.strategy, None)

    def halts(self) -> list[HaltRow]:
        """Return what refuses openings until somebody lifts it. An orderly stop ends with its session."""
        found = []
        if self.halted is not None and self.halted[0] != STOPPED:
            found.append(_halt("engine", "", self.halted))
        found += [_halt("market", self.instruments.label(one), since) for one, since in self.markets.items()]
        found += [_halt("strategy", name, since) for name, since in self.quarantined.items()]
        found += [] if self.disarmed is None else [_halt("disarmed", "", self.disarmed)]
        found += [_halt("stopped", name, since) for name, since in self.stopped.items()]
        return found + [_halt("pause", name, since) for name, since in self.paused.items()]

    def state_of(self, owner: str) -> tuple[str, str]:
        """Return the state of a strategy, and why it is not running."""
        if owner in self.failed:
            return "failed", self.failed[owner][0]
        if self.disarmed is not None:
            return "halted", self.disarmed[0]
        if owner in self.stopped:
            return "stopped", self.stopped[owner][0]
        if self.halted is not None and self.halted[0] != STOPPED:
            return "halted", self.halted[0]
        if self.stopping:
            return "stopping", "the session stops as its configuration says"
        for name in (owner, ""):
            if name in self.paused:
                return "paused", "paused until an operator resumes"
        return "running", ""

    # Strategies.

    def _signal(self, seq: int, signal: SignalRaised) -> None:
        key = signal.strategy, signal.instrument, signal.name
        ring = self.series.get(key)
        if ring is None:
            ring = self.series[key] = deque(maxlen=SIGNALS_MAX)
            if len(self.series) > SERIES_MAX:
                del self.series[next(iter(self.series))]
        ring.append((seq, signal))

    def _log(self, seq: int, line: LogWritten) -> None:
        _ring(self.lines, line.strategy).appendleft((seq, line))

    def _reason(self, seq: int, event: TargetSet | OrderRequested) -> None:
        if event.reason:
            _ring(self.reasons, event.strategy).appendleft((seq, event))

    def signal_rows(self, strategy: str) -> list[SignalRow]:
        """Return the newest value of each signal of a strategy, newest first."""
        newest = [ring[-1] for (owner, _, _), ring in self.series.items() if owner == strategy]
        return [self.signal_row(seq, signal) for seq, signal in sorted(newest, key=lambda one: -one[0])]

    def signal_row(self, seq: int, signal: SignalRaised) -> SignalRow:
        """Return a signal."""
        label = self.instruments.label(signal.instrument) if signal.instrument in self.instruments else ""
        return SignalRow(seq, ms(signal.at_ns), signal.strategy, label, signal.name, finite(signal.value))

    def all_series(self) -> list[SignalSeries]:
        """Return every signal over time."""
        labels = self.instruments.labels()
        return [
            SignalSeries(
                strategy,
                labels.get(number, ""),
                name,
                [(ms(signal.at_ns), finite(signal.value), seq) for seq, signal in ring],
            )
            for (strategy, number, name), ring in self.series.items()
        ]

    def log_of(self, strategy: str) -> list[tuple[int, int, str]]:
        """Return the newest lines of a strategy, newest first: (time in ms, seq, text)."""
        return [(ms(line.at_ns), seq, line.text) for seq, line in self.lines.get(strategy, ())]

    def reasons_of(self, strategy: str) -> list[tuple[int, int, str]]:
        """Return the reasons of a strategy's newest targets and orders, newest first."""
        labels = self.instruments.labels()
        return [
            (
                ms(one.at_ns),
                seq,
                f"{labels[one.instrument]}: {one.reason}" if one.instrument in labels else one.reason,
            )
            for seq, one in self.reasons.get(strategy, ())
        ]

    # Commands.

    def command_rows(self, limit: int) -> list[CommandRow]:
        """Return the newest commands of operators, newest first."""
        newest = islice(reversed(self.commands.items()), limit)
        return [self.command_row(seq, command) for seq, command in newest]

    def command_row(self, seq: int, command: OperatorCommand) -> CommandRow:
        """Return a command and its newest answer, that of the first one if it is repeated."""
        _, answer = self.answers.get(command.nonce, (0, None))
        return CommandRow(
            seq,
            ms(command.recv_ns),
            command.command,
            command.target,
            f"{asked_words(command.command, command.target, command.arguments)} {command.detail}".rstrip(),
            command.who,
            command.nonce,
            "recorded" if answer is None else answer.state,
            "" if answer is None else answer.code,
            "" if answer is None else answer.reason,
            [] if answer is None else list(answer.left),
            0 if answer is None else answer.tries,
            dict(command.arguments),
        )

    def params_of(self, owner: str, entry: StrategyConfig | None) -> dict[str, Any]:
        """Return the parameters in force: the defaults if they are known, as configured, as set."""
        if entry is None:
            return {}
        try:
            known = {**self.defaults(entry.use), **entry.params}
        except EngineError:  # a strategy that is not there any more
            known = dict(entry.params)
        return {key: plain(value) for key, value in {**known, **self.params.get(owner, {})}.items()}


def _ring(rings: dict[str, deque[Kept]], name: str) -> deque[Kept]:
    ring = rings.get(name)
    if ring is None:
        ring = rings[name] = deque(maxlen=LINES_MAX)
    return ring


def _halt(what: str, name: str, since: Since) -> HaltRow:
    reason, at_ns, seq = since
    return HaltRow(what, name, reason, ms(at_ns), seq)
