"""The error tree and the exit codes of the command line.

EngineError                     1   base of all; raised itself for faults of the engine
├── UsageError                  2   a wrong option, name, file or value
│   ├── ConfigError             2   a configuration key or value is wrong
│   ├── NumberError             2   text is not a plain decimal number in range
│   ├── ImportRefused           2   a line of a data file cannot be read
│   ├── CommandError            2   an operator's request cannot be recorded
│   └── NotDeterministic        2   a strategy uses a clock, randomness, files or the like
├── StrategyFailed              7   a strategy raised while the engine ran
├── ReplayDivergence            3   a re-derived event differs from the recorded one
├── JournalError                4   the journal cannot be trusted or used
│   ├── JournalDamaged          4   bytes are not what was written (file, offset, seq)
│   ├── JournalVersionError     4   written by another format or with unknown events
│   │   └── StateVersionError   4   a stored state that the current class cannot hold
│   ├── JournalBehindWitness    4   a store has records that the journal lacks
│   ├── JournalLocked           6   another process has it open
│   └── JournalPoisoned         4   a write or sync failed; the writer accepts no more
├── VenueError                  5   the venue or the network failed
│   ├── VenueUnreachable        5   no connection, or no response in time
│   └── VenueProtocolError      5   a response cannot be decoded
├── EngineUnreachable           5   no engine runs there, or it does not answer
├── NotDone                     8   a command is recorded, but was not done in the time given
└── SafetyRefusal               6   a safety rule refused the action

Every message says what happened, where, and what to do, in one or two lines: the command line
prints `str(error)` and exits with `error.exit_code`. Raised in every package, caught at the edge
that can act on it.
"""

from __future__ import annotations

__all__ = [
    "CommandError",
    "ConfigError",
    "EngineError",
    "EngineUnreachable",
    "ImportRefused",
    "JournalBehindWitness",
    "JournalDamaged",
    "JournalError",
    "JournalLocked",
    "JournalPoisoned",
    "JournalVersionError",
    "NotDeterministic",
    "NotDone",
    "NumberError",
    "ReplayDivergence",
    "SafetyRefusal",
    "StateVersionError",
    "StrategyFailed",
    "UsageError",
    "VenueError",
    "VenueProtocolError",
    "VenueUnreachable",
    "bug_in",
    "error_in",
]


class EngineError(Exception):
    """Base of every error that this project raises on purpose."""

    exit_code = 1


class UsageError(EngineError):
    """A wrong option, name, file or value was given."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration key or value is wrong. Names the key and the nearest known keys."""


class NumberError(UsageError):
    """Text is not a plain decimal number, or is out of range."""


class CommandError(UsageError):
    """An operator's request is wrong, or cannot be recorded now. `code` says how, for programs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ImportRefused(UsageError):
    """A line of a data file cannot be read. Carries file, line and reason.

    `at_ns` is the time of the line, UTC nanoseconds, as far as it was read: all data before it is whole.
    """

    def __init__(self, file: str, line: int, reason: str, *, at_ns: int = 0) -> None:
        super().__init__(f"{file}, line {line}: {reason}")
        self.at_ns = at_ns
        self.file = file
        self.line = line
        self.reason = reason


class NotDeterministic(UsageError):
    """A strategy uses a clock, randomness, files or the like. The message names file and line."""


class StrategyFailed(EngineError):
    """A strategy raised while the engine ran. The output printed before covers the run up to that point."""

    exit_code = 7


class ReplayDivergence(EngineError):
    """A re-derived event differs from the recorded one. Carries seq, expected, actual."""

    exit_code = 3

    def __init__(self, message: str, *, seq: int, expected: object, actual: object) -> None:
        super().__init__(message)
        self.seq = seq
        self.expected = expected
        self.actual = actual


class JournalError(EngineError):
    """The journal cannot be trusted or used."""

    exit_code = 4


class JournalDamaged(JournalError):
    """Bytes are not what was written. Carries file, offset and seq (the first seq that is lost)."""

    def __init__(self, reason: str, *, file: str, offset: int, seq: int) -> None:
        super().__init__(f"{file}: damaged at offset {offset} (seq {seq}): {reason}")
        self.reason = reason
        self.file = file
        self.offset = offset
        self.seq = seq


class JournalVersionError(JournalError):
    """The journal has another format version, or event types that this version does not know."""


class StateVersionError(JournalVersionError):
    """A day opens with a state of an older version that the current class cannot hold. Names the class."""


class JournalBehindWitness(JournalError):
    """A store or snapshot has an event that the journal no longer holds."""


class JournalLocked(JournalError):
    """Another process has the journal open."""

    exit_code = 6


class JournalPoisoned(JournalError):
    """A write or sync failed; the writer accepts no more appends in this process."""


class VenueError(EngineError):
    """The venue or the network failed."""

    exit_code = 5


class VenueUnreachable(VenueError):
    """No connection, or no response in time. `retry_after_s`: so long the venue wants no request."""

    retry_after_s: float = 0.0


class VenueProtocolError(VenueError):
    """A response cannot be decoded: broken JSON, a wrong type, an invalid number."""


class EngineUnreachable(EngineError):
    """No engine runs on the journal, or it does not answer."""

    exit_code = 5


class NotDone(EngineError):
    """A command is recorded and works, but was not done in the time that its caller waited."""

    exit_code = 8


class SafetyRefusal(EngineError):
    """A safety rule refused the action. The message names the rule."""

    exit_code = 6


def error_in(group: BaseExceptionGroup[BaseException]) -> EngineError | None:
    """Return the first EngineError in a group, or None if the group also has other exceptions."""
    ours, others = group.split(EngineError)
    if ours is None or others is not None:
        return None
    error: BaseException = ours
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, EngineError)
    return error


def bug_in(error: BaseException) -> BaseException:
    """Return the first exception that is not an EngineError, of a group or the error itself."""
    while isinstance(error, BaseExceptionGroup):
        _, others = error.split(EngineError)
        error = (others or error).exceptions[0]
    return error
