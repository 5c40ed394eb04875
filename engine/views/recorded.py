"""Recorded days as they were at any moment: a view for any seq or time, and the moments worth a look.

One pass over the days (`index`) keeps copies of the view at even distances, and the marks. After that a
moment costs what lies between it and the copy before it: reading the frames there, and decoding at most a
32nd of the records. Memory is bounded: at most `COPIES_MAX` copies, which share what they hold, and
`MARKS_MAX` marks.

Reads only. Blocking, for threads; every call but `marked` may come from any thread, one at a time.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from engine.errors import JournalError, UsageError
from engine.events import DayOpened, Event, engine_time
from engine.events.codec import Record
from engine.journal import read_headers
from engine.records import open_day, records_of
from engine.views import queries
from engine.views.answers import Answer, Marks
from engine.views.frames import Frames
from engine.views.marks import MARKED, mark_of
from engine.views.older import Older
from engine.views.shapes import MarkRow
from engine.views.trading import Defaults, no_defaults
from engine.views.units import ms
from engine.views.view import View

__all__ = ["COPIES_MAX", "MARKS_MAX", "Progress", "Recorded"]

COPIES_MAX: Final = 64
"""Copies of the view. When there are more, every second one is dropped."""

ENTRIES_MAX: Final = 4_000_000
"""What all copies remember together: beyond it too every second one is dropped. An entry is some 50 bytes."""

FIRST_EVERY: Final = 4_096
"""Records between two copies at first; twice as many whenever copies are dropped."""

MARKS_MAX: Final = 50_000
"""Marks kept; later ones of the day are found by going to a later moment."""

TIME_EVERY: Final = 256
"""Records between two times that are kept, to find a moment by its time."""

_IMPOSSIBLE: Final = (ValueError, TypeError, LookupError, ArithmeticError, RecursionError, AssertionError)
"""What a record raises that no engine writes."""

Progress = Callable[[int], None]
"""Receives the seq reached."""


class Recorded:
    """Days of one journal, in any order. Raises UsageError for days of several journals."""

    def __init__(self, folders: Sequence[Path], defaults: Defaults = no_defaults) -> None:
        if not folders:
            raise UsageError("give at least one day; a day is a folder such as journal/2024-12-05")
        headers = []
        for folder in folders:
            open_day(folder)
            headers.append((read_headers(folder)[0], folder))
        headers.sort(key=lambda one: one[0].first_seq)
        ids = {header.journal_id for header, _ in headers}
        if len(ids) > 1:
            raise UsageError("the days belong to several journals; give those of one")
        self.days = [folder for _, folder in headers]
        self.journal = headers[0][0].journal_id.hex()
        self.frames = Frames(self.days)
        self.first_seq = self.last_seq = self.frames.first_seq
        self.first_ns = self.last_ns = 0
        self.marks: list[MarkRow] = []
        self.complete = True
        self._older = Older(self.days[0].parent, self.journal, self.days)
        self._every = FIRST_EVERY
        self._copies: list[View] = []
        self._times = array("q")
        self._seqs = array("q")
        self._defaults = defaults
        self._current = self._fresh()
        self._ahead: Iterator[list[Record]] = iter(())
        self._rest: list[Record] = []

    # Indexing.

    def index(self, progress: Progress | None = None) -> None:
        """Read all days once, and verify their bytes. Raises JournalError for a day that cannot be read."""
        view = self._fresh()
        for records in self._verified():
            view = self._begun(view, records)
            try:
                view.apply(records)
                self._note(view, records)
            except _IMPOSSIBLE as error:
                words = f"a record between seq {records[0][0]} and {records[-1][0]} cannot be shown: {error}"
                raise JournalError(f"{self.days[self.frames.day_of(view.seq)]}: {words}") from error
            if progress is not None:
                progress(view.seq)
        if not view.seq:
            raise UsageError(f"{self.days[0]}: holds no records")
        self.last_seq, self.last_ns = view.seq, view.at_ns
        self._current = view

    def _note(self, view: View, records: list[Record]) -> None:
        for seq, _, event in records:
            if event.__class__ in MARKED:
                self._mark(view, seq, event)
            if not seq % TIME_EVERY:
                self._seqs.append(seq)
                self._times.append(max(engine_time(event), self._times[-1] if self._times else 0))
        if not self.first_ns:
            self.first_ns = engine_time(records[0][2])
        if not self._copies or view.seq >= self._copies[-1].seq + self._every:
            self._copies.append(view.copy())
            if len(self._copies) > COPIES_MAX or sum(one.weight for one in self._copies) > ENTRIES_MAX:
                self._copies = self._copies[::2]
                self._every *= 2

    def _mark(self, view: View, seq: int, event: Event) -> None:
        if len(self.marks) >= MARKS_MAX:
            self.complete = False
            return
        mark = mark_of(view, seq, event)
        if mark is not None:
            self.marks.append(mark)

    def marked(self, mark: MarkRow) -> None:
        """Add a mark that is in no record, such as a divergence that a replay has found."""
        self.marks.insert(bisect_left(self.marks, mark.seq, key=lambda one: one.seq), mark)

    # Moments.

    def at(self, seq: int) -> View:
        """Return the view as it was after a record. Not to be changed. Raises UsageError."""
        if not self.first_seq <= seq <= self.last_seq:
            raise UsageError(f"there is no record {seq}; the days hold {self.first_seq} to {self.last_seq}")
        place = bisect_right(self._copies, seq, key=lambda one: one.seq) - 1
        if not (self._current.seq <= seq and (place < 0 or self._current.seq >= self._copies[place].seq)):
            self._current = self._copies[place].copy() if place >= 0 else self._fresh()
            self._ahead, self._rest = self._batches(self._current.seq + 1), []
        view = self._current
        while view.seq < seq:
            records = self._rest or next(self._ahead, [])
            if not records:
                self._ahead = self._batches(view.seq + 1)
                records = next(self._ahead)
            records = [record for record in records if record[0] > view.seq]
            self._rest = [record for record in records if record[0] > seq]
            view = self._begun(view, records)
            view.apply(record for record in records if record[0] <= seq)
        self._current = view
        return view

    def seq_at(self, at_ms: int) -> int:
        """Return the last seq whose record is not later than a time; the first seq for an earlier time."""
        until_ns = (at_ms + 1) * 1_000_000
        place = bisect_left(self._times, until_ns) - 1
        seq = self._seqs[place] if place >= 0 else self.first_seq
        for records in self._batches(seq):
            for number, _, event in records:
                if number > seq:
                    if engine_time(event) >= until_ns or number > self.last_seq:
                        return seq
                    seq = number
        return seq

    def _fresh(self) -> View:
        return View(self.journal, recorded=True, read_only=True, defaults=self._defaults)

    def _begun(self, view: View, records: list[Record]) -> View:
        """Return a fresh view where a day does not follow the one before: it begins with its opening."""
        first, _, event = records[0]
        gap = view.seq and first != view.seq + 1
        return self._fresh() if gap and isinstance(event, DayOpened) else view

    def _verified(self) -> Iterator[list[Record]]:
        """Yield the records of all days, a frame at a time, whose digests are checked."""
        for folder in self.days:
            for frame in open_day(folder):
                yield list(records_of(frame))

    def _batches(self, seq: int) -> Iterator[list[Record]]:
        """Yield the records from a seq on, a frame at a time."""
        for frame in self.frames.after(seq - 1):
            records = [record for record in records_of(frame) if record[0] >= seq]
            if records:
                yield records

    # Answers.

    def answer(self, name: str, query: Mapping[str, str]) -> Answer:
        """Return the answer of a path at a moment: `at` is a seq, `at_ms` a time, else the end of the days.

        Raises UsageError, JournalError.
        """
        given = dict(query)
        seq = self._moment(given)
        if name == "marks":
            queries.parsed(name, given)
            return self._marks(self.at(seq))
        view = self.at(seq)
        found = queries.answer(view, name, given)
        if found is None or queries.is_short(found, given):
            return self._older.answer(name, given, seq=view.seq, at_ms=ms(view.at_ns))
        return found

    def _moment(self, given: dict[str, str]) -> int:
        at, at_ms = given.pop("at", ""), given.pop("at_ms", "")
        if at and at_ms:
            raise UsageError("give a moment as at or as at_ms, not both")
        for key, text in (("at", at), ("at_ms", at_ms)):
            if text and not (text.isascii() and text.isdigit() and len(text) < 19):
                raise UsageError(f"{key} is {text[:40]!r}; it is a whole number that is not negative")
        if at_ms:
            return self.seq_at(int(at_ms))
        return int(at) if at else self.last_seq

    def _marks(self, view: View) -> Marks:
        return Marks(
            journal=self.journal,
            seq=view.seq,
            at_ms=ms(view.at_ns),
            first_seq=self.first_seq,
            last_seq=self.last_seq,
            first_ms=ms(self.first_ns),
            last_ms=ms(self.last_ns),
            marks=list(self.marks),
            complete=self.complete,
        )
