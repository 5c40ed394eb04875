"""Verifies that a recorded day re-derives bit for bit, or reports the first event that differs.

Feeds the recorded inputs through the same sequencer and actors, encodes what they emit, and compares the
bytes with the record, frame by frame. The reader has checked each frame against the digest chain, so equal
bytes mean that the re-derived chain ends in the recorded digest. There is no socket, clock or gateway: a
replay cannot trade. Called by `replay.runs` and by tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from engine.errors import ReplayDivergence
from engine.events import DayOpened, Event, SessionStarted, TimerFired
from engine.events.codec import (
    Derived,
    Record,
    encode_derived,
    in_order,
    schema_fingerprint,
)
from engine.journal import Frame, FrameReader
from engine.ports import History
from engine.records import check_contents, check_numbers, derived_of, inputs_of
from engine.registry import Build
from engine.sequencer import Sequencer
from engine.session import PYTHON
from replay.comparison import first_difference

__all__ = [
    "DayReplay",
    "Divergence",
    "Progress",
    "ReplayReport",
    "SessionCheck",
    "Verifier",
    "replay_day",
    "session_check",
]

Progress = Callable[[int], None]
"""Called at intervals with the last seq that was verified."""


SessionCheck = Callable[[SessionStarted], list[str]]
"""Returns the differences between a recorded session and the current code, as lines for people."""


class Divergence(msgspec.Struct, frozen=True):
    """The first record that differs. `expected` or `actual` is None where one side has no record."""

    seq: int
    expected: Record | None
    actual: Record | None


class ReplayReport(msgspec.Struct):
    """The result of a replay. `digest` is the chain digest after the last verified frame, in hex.

    `changes` lists what differs between recording and now ("code", "configuration", "events", "python",
    "strategy NAME"), each with both fingerprints: the likely reasons of a divergence. `torn_bytes` is the
    size of a torn frame at the end, which was not verified. `chain` are the causes of the event that differs,
    oldest first.
    """

    identical: bool = True
    events: int = 0
    inputs: int = 0
    derived: int = 0
    digest: str = ""
    divergence: Divergence | None = None
    changes: list[str] = []
    torn_bytes: int = 0
    chain: list[Record] = []

    @property
    def verdict(self) -> str:
        """ "identical", or why not: "code changed", "configuration changed" or "not deterministic"."""
        if self.identical:
            return "identical"
        if any(change.startswith("configuration") for change in self.changes):
            return "configuration changed"
        return "code changed" if self.changes else "not deterministic"


class Verifier:
    """The sink of a replay: keeps the records of one frame for comparison."""

    def __init__(self) -> None:
        self.inputs: list[Event] = []
        self.derived: list[Derived] = []
        self.first_seq = 0

    def append(self, first_seq: int, inputs: list[Event], derived: list[Derived]) -> None:
        """Keep whole turns; see `engine.ports.Sink`."""
        if not self.derived and not self.inputs:
            self.first_seq, self.inputs, self.derived = first_seq, inputs, derived
        else:
            self.inputs = self.inputs + inputs
            self.derived = self.derived + derived

    def open_day(self, day: str) -> None:
        """Do nothing: the folder that is replayed determines the day."""

    def take(self) -> tuple[int, list[Event], list[Derived]]:
        """Return (first seq, inputs, derived) since the last call."""
        taken = self.first_seq, self.inputs, self.derived
        self.first_seq, self.inputs, self.derived = 0, [], []
        return taken


class DayReplay:
    """Replays frames into one sequencer. `report` is the result so far."""

    def __init__(
        self, build: Build, history: History | None = None, *, expect: SessionCheck | None = None
    ) -> None:
        self._sink = Verifier()
        self.sequencer = Sequencer(build, self._sink, history)
        self.report = ReplayReport()
        self._expect = expect

    def feed(self, frame: Frame) -> None:
        """Replay one frame. Raises ReplayDivergence at the first difference."""
        inputs = inputs_of(frame)
        sequencer = self.sequencer
        given: list[Derived] = []
        if not sequencer.seq and frame.first_seq > 1:
            given = self._load(frame)
        for event in inputs:
            if event.__class__ is SessionStarted:
                self._check(event)
        if inputs:
            sequencer.run(inputs)
        else:
            # What a day opens with comes before its timers.
            first = next(iter(derived_of(frame)[len(given) :]), None)
            sequencer.close_day(fires=first is None or isinstance(first[2], TimerFired))
        _, _, derived = self._sink.take()
        derived = given + derived
        blob = encode_derived(derived)
        if len(inputs) + len(derived) != frame.count or blob != frame.derived:
            recorded = derived_of(frame)
            check_contents(frame, inputs, recorded)
            # Without a check the code may have changed.
            changed = self._expect is None or bool(self.report.changes)
            index = first_difference(frame.derived, blob, recorded, derived, changed=changed)
            if index is not None:
                raise _divergence(frame, inputs, recorded, derived, index)
        report = self.report
        report.events += frame.count
        report.inputs += len(inputs)
        report.derived += len(derived)
        report.digest = frame.digest.hex()

    def _load(self, frame: Frame) -> list[Derived]:
        """Restore the state that a day opens with; return its record."""
        opening = derived_of(frame)[:1]
        for seq, _, opened in opening:
            if not isinstance(opened, DayOpened):
                break
            self._check(opened.started)
            self.sequencer.load(seq, opened)
            for name, why in self.sequencer.without_state.items():
                self.report.changes.append(f"strategy {name}: begins without its {why}")
            return opening
        # A day that was imported after another opens without a state.
        self.sequencer.seq = frame.first_seq - 1
        return []

    def _check(self, started: Event | None) -> None:
        """Add what has changed since the session began to the report."""
        if self._expect is not None and isinstance(started, SessionStarted):
            changes = self.report.changes
            changes += [change for change in self._expect(started) if change not in changes]


def session_check(
    code: str, hashes: Callable[[SessionStarted], tuple[tuple[str, str, str], ...]], config: str | None
) -> SessionCheck:
    """Return a function that compares a session's recorded fingerprints with the current code.

    `config` is the configuration of the replay, None for the recorded one.
    """

    def check(started: SessionStarted) -> list[str]:
        changes: list[str] = []
        if started.code != code:
            changes.append(f"code: recorded {started.code}, now {code}")
        if started.schema != schema_fingerprint():
            changes.append(f"events: recorded {started.schema}, now {schema_fingerprint()}")
        if started.python not in ("", PYTHON):
            changes.append(f"python: recorded {started.python}, now {PYTHON}")
        now = {name: source for name, _, source in hashes(started)}
        for name, use, source in started.strategies:
            if now.get(name) != source:
                changes.append(f"strategy {name} ({use}): recorded {source}, now {now.get(name)}")
        if config is not None and config != started.config:
            changes.append("configuration: not the recorded one")
        return changes

    return check


def replay_day(
    reader: FrameReader,
    build: Build,
    *,
    history: History | None = None,
    check: SessionCheck | None = None,
    until_seq: int | None = None,
    progress: Progress | None = None,
) -> tuple[ReplayReport, Sequencer]:
    """Replay a day and return the result, and the sequencer in its state at the end.

    A divergence is in the report, not raised. Raises JournalDamaged, JournalVersionError.
    """
    replay = DayReplay(build, history, expect=check)
    report = replay.report
    for frame in _frames(reader, until_seq):
        try:
            replay.feed(frame)
        except (ArithmeticError, LookupError, ValueError):
            check_numbers(frame, inputs_of(frame))
            raise
        except ReplayDivergence as divergence:
            check_numbers(frame, inputs_of(frame))
            report.identical = False
            report.divergence = Divergence(divergence.seq, divergence.expected, divergence.actual)  # type: ignore[arg-type]
            break
        if progress is not None:
            progress(frame.last_seq)
    report.torn_bytes = reader.torn.size if reader.torn is not None else 0
    return report, replay.sequencer


def _frames(reader: FrameReader, until_seq: int | None) -> Iterator[Frame]:
    for frame in reader:
        if until_seq is not None and frame.first_seq > until_seq:
            return
        yield frame


def _divergence(
    frame: Frame, inputs: list[Event], recorded: list[Derived], derived: list[Derived], index: int
) -> ReplayDivergence:
    """Return the first record of a frame in which record and re-derivation differ.

    That is the derived record `index` of both, unless one side has an input where the other has it.
    """
    seq = min(side[index][0] for side in (recorded, derived) if index < len(side))
    expected = _record(in_order(frame.first_seq, inputs, recorded), seq)
    actual = _record(in_order(frame.first_seq, inputs, derived), seq)
    return ReplayDivergence(f"seq {seq} differs", seq=seq, expected=expected, actual=actual)


def _record(records: Iterator[Record], seq: int) -> Record | None:
    """Return the record with this seq."""
    return next((record for record in records if record[0] == seq), None)
