"""Records of recorded days by their seq: finds a frame without decoding those before it.

Reads only. Promises bounded memory: the frames of one look are kept until the next one is elsewhere. A chain
of causes, a moment of a recorded day and older rows of an answer are read through it. Called from threads,
one at a time for each `Frames`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from engine.events import Event
from engine.events.codec import Record
from engine.journal import DISK, Disk, Frame, read_frames, read_headers
from engine.records import records_of

__all__ = ["Frames", "needle_of"]

KEPT_MAX: Final = 256
"""Frames before the one looked for that are kept: causes are mostly near."""


def needle_of(kind: type[Event]) -> bytes:
    """Return bytes that every frame with an event of this kind holds: its tag, as it is encoded."""
    tag = str(kind.__struct_config__.tag).encode()
    assert len(tag) < 32, "a longer tag is encoded differently"
    return bytes([0xA0 | len(tag)]) + tag


class Frames:
    """The frames of one journal's days, oldest first. The chain of digests is not verified."""

    def __init__(self, days: Sequence[Path], disk: Disk = DISK) -> None:
        self.days = list(days)
        self._disk = disk
        self._first = [read_headers(day, disk)[0].first_seq for day in self.days]
        self._kept: deque[Frame] = deque(maxlen=KEPT_MAX)
        self._decoded: deque[tuple[Frame, list[Record]]] = deque(maxlen=8)

    @property
    def first_seq(self) -> int:
        """The first seq of all days; 1 if there are none."""
        return self._first[0] if self._first else 1

    def first_of(self, day: int) -> int:
        """Return the first seq of a day, by its place."""
        return self._first[day]

    def day_of(self, seq: int) -> int:
        """Return the place of the day that holds a seq, or would."""
        found = 0
        for place, first in enumerate(self._first):
            if first <= seq:
                found = place
        return found

    def records(self, seq: int) -> list[Record]:
        """Return the records of the frame that holds a seq: whole turns. [] if there is no such frame."""
        for frame, records in self._decoded:
            if frame.first_seq <= seq <= frame.last_seq:
                return records
        holding = self._frame(seq)
        if holding is None:
            return []
        found = list(records_of(holding))
        self._decoded.append((holding, found))
        return found

    def _frame(self, seq: int) -> Frame | None:
        for frame in self._kept:
            if frame.first_seq <= seq <= frame.last_seq:
                return frame
        if not self.days or seq < self._first[0]:
            return None
        self._kept.clear()
        day = self.days[self.day_of(seq)]
        for frame in read_frames(day, disk=self._disk, verify_digest=False, start_seq=max(1, seq - 20_000)):
            self._kept.append(frame)
            if frame.last_seq >= seq:
                return frame
        return None

    def after(self, seq: int, until: int = 0) -> Iterator[Frame]:
        """Yield the frames that hold a seq above `seq`, oldest first; those that begin beyond `until` not."""
        for day in self.days[self.day_of(seq + 1) :]:
            for frame in read_frames(day, disk=self._disk, verify_digest=False, start_seq=seq + 1):
                if until and frame.first_seq > until:
                    return
                yield frame

    def of_day(self, place: int, until: int = 0) -> Iterator[Frame]:
        """Yield the frames of a day by its place; those that begin beyond `until` not."""
        for frame in read_frames(self.days[place], disk=self._disk, verify_digest=False):
            if until and frame.first_seq > until:
                return
            yield frame

    @staticmethod
    def holding(frames: Iterator[Frame], kinds: Sequence[type[Event]]) -> Iterator[Record]:
        """Yield the records of these kinds; only the frames that can hold one are decoded."""
        needles, wanted = [needle_of(kind) for kind in kinds], frozenset(kinds)
        for frame in frames:
            if any(needle in frame.derived or needle in frame.inputs for needle in needles):
                for record in records_of(frame):
                    if record[2].__class__ in wanted:
                        yield record
