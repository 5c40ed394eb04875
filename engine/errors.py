"""The error tree and the exit codes of the command line.

EngineError                     1   a fault of the engine itself
├── UsageError                  2   a wrong option, name, file or value given by a person
│   ├── ConfigError             2   a configuration that does not say what it must
│   ├── NumberError             2   text that is not a plain decimal number in range
│   ├── ImportRefused           2   a line of a data file that cannot be read
│   └── NotDeterministic        2   a strategy uses what differs from run to run
├── ReplayDivergence            3   a re-derived event differs from the recorded one
├── JournalError                4   the journal cannot be trusted or used
│   ├── JournalDamaged          4   bytes that are not what was written (file, offset, seq)
│   ├── JournalVersionError     4   written by another format or with unknown events
│   ├── JournalBehindWitness    4   something outside remembers more than the journal holds
│   ├── JournalLocked           6   another process has it open
│   └── JournalPoisoned         4   a write or sync failed: nothing more is accepted
├── VenueError                  5   the venue or the network did not do what it should
│   ├── VenueUnreachable        5   no answer
│   └── VenueProtocolError      5   an answer that cannot be understood
└── SafetyRefusal               6   a safety rule says no

Every error says what happened, where, and what to do, in one or two lines: the command line
prints `str(error)` and leaves with `error.exit_code`. Raised on every floor, caught at the edge
that can act on it.
"""

from __future__ import annotations

__all__ = [
    "ConfigError",
    "EngineError",
    "ImportRefused",
    "JournalBehindWitness",
    "JournalDamaged",
    "JournalError",
    "JournalLocked",
    "JournalPoisoned",
    "JournalVersionError",
    "NotDeterministic",
    "NumberError",
    "ReplayDivergence",
    "SafetyRefusal",
    "StrategyFailed",
    "UsageError",
    "VenueError",
    "VenueProtocolError",
    "VenueUnreachable",
]


class EngineError(Exception):
    """Root of every error this project raises on purpose."""

    exit_code = 1


class UsageError(EngineError):
    """A person gave something that cannot be used."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration key or value is wrong; names the key and the nearest known ones."""


class NumberError(UsageError):
    """Text that is not a plain decimal number, or is out of range."""


class ImportRefused(UsageError):
    """A data file has a line that cannot be read. Carries file, line and reason."""

    def __init__(self, file: str, line: int, reason: str) -> None:
        super().__init__(f"{file}, line {line}: {reason}")
        self.file = file
        self.line = line
        self.reason = reason


class NotDeterministic(UsageError):
    """A strategy uses a clock, chance, files or the like; the text names file and line."""


class StrategyFailed(EngineError):
    """A strategy raised while the engine ran: what was printed is how far it came."""

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
    """Bytes that are not what was written. Carries file, offset and seq (the first seq that is lost)."""

    def __init__(self, reason: str, *, file: str, offset: int, seq: int) -> None:
        super().__init__(f"{file}: damaged at offset {offset} (seq {seq}): {reason}")
        self.reason = reason
        self.file = file
        self.offset = offset
        self.seq = seq


class JournalVersionError(JournalError):
    """Written by a newer format, or with event types this version does not know."""


class JournalBehindWitness(JournalError):
    """A projection or snapshot remembers an event that the journal no longer holds."""


class JournalLocked(JournalError):
    """Another process has the journal open."""

    exit_code = 6


class JournalPoisoned(JournalError):
    """A write or sync failed; the journal takes no more appends in this process."""


class VenueError(EngineError):
    """The venue or the network did not do what it should."""

    exit_code = 5


class VenueUnreachable(VenueError):
    """No connection or no answer in time."""


class VenueProtocolError(VenueError):
    """An answer that cannot be understood: broken JSON, a wrong type, a number that is none."""


class SafetyRefusal(EngineError):
    """A safety rule says no; the message names the rule."""

    exit_code = 6
