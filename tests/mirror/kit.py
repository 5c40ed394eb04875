"""A journal that grows, a broker in memory that fails on request, and the comparison of two journals."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

from engine.events.codec import encode_derived, encode_inputs
from engine.journal import (
    DAY_NS,
    Draft,
    Frame,
    JournalWriter,
    day_start_ns,
    ensure_identity,
    list_days,
    list_segments,
    parse_day,
    read_frames,
    recover,
)
from engine.mirror.broker import Fenced, Message, Stored, StreamState
from engine.mirror.errors import MirrorOutOfStep, MirrorUnavailable
from engine.records import derived_of, inputs_of
from tests.commands.kit import SAMPLE

__all__ = ["Grown", "MemoryBroker", "contents", "sample_frames"]


def sample_frames(count: int) -> list[Frame]:
    """Return frames with the first records of the sample day. Each fifth is large: some 10 kB."""
    found = iter(read_frames(SAMPLE))
    return [_joined(list(islice(found, 1 if number % 5 else 15))) for number in range(1, count + 1)]


def _joined(frames: Sequence[Frame]) -> Frame:
    inputs = encode_inputs([event for frame in frames for event in inputs_of(frame)])
    derived = encode_derived([record for frame in frames for record in derived_of(frame)])
    first = frames[0]
    count = sum(frame.count for frame in frames)
    return Frame(first.first_seq, count, frames[-1].flags, inputs, derived, b"", "", 0)


class Grown:
    """A journal of two days in small segments, with the frames of the sample day, appended on request."""

    def __init__(
        self, root: Path, frames: Sequence[Frame], *, journal_id: bytes = b"0123456789abcdef"
    ) -> None:
        ensure_identity(root, journal_id)
        self.root = root
        self.frames = frames
        self.written = 0
        begin = parse_day("2024-12-05")
        assert begin is not None
        self._begin_ns = day_start_ns(begin)
        self._writer = JournalWriter(
            root, recover(root).tail, salts=lambda: os.urandom(16), segment_bytes_max=20_000, sync=False
        )

    def grow(self, count: int) -> None:
        """Append frames; the second half of all is in the second day."""
        for frame in self.frames[self.written : self.written + count]:
            at_ns = self._begin_ns + (DAY_NS if self.written >= len(self.frames) // 2 else 0)
            draft = Draft(frame.first_seq, frame.count, frame.inputs, frame.derived, frame.flags)
            self._writer.append(draft, at_ns)
            self.written += 1
        self._writer.flush()

    def days(self) -> list[Path]:
        """Return the folders of the days."""
        return [day.path for day in list_days(self.root)]


def contents(root: Path) -> dict[str, bytes]:
    """Return the bytes of every plain segment of a journal, by its path in the root."""
    found = [one for day in list_days(root) for one in list_segments(day.path)]
    assert not any(one.sealed for one in found)
    return {str(one.path.relative_to(root)): one.path.read_bytes() for one in found}


class MemoryBroker:
    """A broker in memory. `fail(number)` may raise before or after a message is stored."""

    place = "memory"

    def __init__(self, bytes_max: int = 1 << 20) -> None:
        self.streams: dict[str, list[Message]] = {}
        self.lost: dict[str, int] = {}
        self.bytes_max = bytes_max
        self.before: Callable[[], bool] = lambda: False
        self.after: Callable[[], bool] = lambda: False

    def open(self, subject: str) -> StreamState:
        self.streams.setdefault(subject, [])
        return self.look(subject)

    def look(self, subject: str) -> StreamState:
        if subject not in self.streams:
            raise MirrorOutOfStep("memory: there is no stream of this name")
        lost = self.lost.get(subject, 0)
        return StreamState(lost + 1, len(self.streams[subject]), self.bytes_max)

    def append(self, subject: str, messages: Sequence[Message], after: int) -> None:
        stream = self.streams[subject]
        for number, message in enumerate(messages, after):
            if self.before():
                raise MirrorUnavailable("memory: the connection is lost")
            if len(stream) != number:
                raise Fenced("memory: another end")
            assert len(message.data) + sum(map(len, message.headers.values())) <= self.bytes_max
            stream.append(message)
            if self.after():
                raise MirrorUnavailable("memory: the answer is lost")

    def read(self, subject: str, begin: int, count: int) -> list[Stored]:
        assert begin > self.lost.get(subject, 0)
        some = self.streams[subject][begin - 1 : begin - 1 + count]
        return [Stored(number, one.headers, one.data) for number, one in enumerate(some, begin)]

    def close(self) -> None: ...
