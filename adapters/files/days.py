"""Writes streams of events into days of a journal, each complete or absent.

Owns the content of an imported day. It is a function of its instruments and their events alone, so files give
the same day, with the same digest, in one import or in several, in any order: the instruments come first, in
the order of venue and name, which gives their numbers; then all events by time, at equal times by number and
series; one frame holds `FRAME_EVENTS_MAX` of them.

A day that exists is read along with the streams and written again with what they add: another instrument,
another series of one that it has, or more of one (`merging.py`). Its numbers are mapped, and where the scales
differ the larger one counts. If nothing is added it stays as it is. A day that a session recorded is refused.
Promises: a day is in the journal's root as it was, or whole (`engine.journal.Staging`); after an error the
days before it are complete.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec

from adapters.files.existing import ExistingDay, converter
from adapters.files.merging import Group, MarketEvent, Origin
from adapters.files.streams import NEVER, InstrumentStream
from engine.clock import DAY_NS, day_of
from engine.errors import UsageError
from engine.events import Event, InstrumentListed
from engine.journal import DayBuilder, Staging, day_of_ns
from engine.journal.disk import make_folders
from engine.ports import Ids
from engine.records import draft_of

__all__ = ["FRAME_EVENTS_MAX", "DayWriter"]

FRAME_EVENTS_MAX: Final = 4096
"""Events in one frame of an imported day."""

_PUBLISH_DAYS: Final = 2048
_PUBLISH_BYTES: Final = 256 * 1024 * 1024
"""Complete days are put in place when there are so many of them, or so many bytes, and at the end."""


class DayWriter:
    """Writes days below `root`; a context manager.

    `done` lists the days that are complete in the journal, in order; `unchanged` those of them that had all
    of it before, `extended` goes from those that had a part to their digest before. `digests` are those
    after, in hex.
    """

    def __init__(self, root: Path, *, ids: Ids) -> None:
        self.root = root
        self.done: list[str] = []
        self.unchanged: list[str] = []
        self.extended: dict[str, str] = {}
        self.digests: dict[str, str] = {}
        self.bytes_written = 0
        self.first_ns = -1
        self.last_ns = -1
        self.report: Callable[[int, str], None] | None = None
        self._count = 0
        self._added = 0  # to the day that is being extended
        self._pending: list[str] = []
        self._pending_bytes = 0
        self._made: list[Path] = []
        self._make_root()
        try:
            self._staging = Staging(root, random=ids.random_bytes)
        except BaseException:
            self._remove_made()
            raise

    def __enter__(self) -> DayWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._staging.__exit__(kind, error, trace)
        if not self.done:
            self._remove_made()

    def write(self, streams: Sequence[InstrumentStream]) -> None:
        """Write all events of the streams. Raises ImportRefused, UsageError, JournalError."""
        try:
            while (first_ns := min(stream.next_ns() for stream in streams)) < NEVER:
                self._write_day(first_ns, streams)
                if len(self._pending) >= _PUBLISH_DAYS or self._pending_bytes >= _PUBLISH_BYTES:
                    self._publish()
        except (Exception, KeyboardInterrupt):
            self._publish()
            raise
        self._publish()

    def outcome(self) -> str:
        """Return what is in the journal after an error, for people."""
        if not self.done:
            return "nothing was imported"
        kept = (
            self.done[0]
            if len(self.done) == 1
            else f"{len(self.done)} days, {self.done[0]} to {self.done[-1]},"
        )
        verb = "is complete and stays" if len(self.done) == 1 else "are complete and stay"
        return f"{kept} {verb}; nothing of the day after was written"

    # One day.

    def _write_day(self, first_ns: int, streams: Sequence[InstrumentStream]) -> None:
        """Write the day of `first_ns` from the streams that have events in it."""
        end_ns = (first_ns // DAY_NS + 1) * DAY_NS
        day = day_of(first_ns)
        taking = [stream for stream in streams if stream.next_ns() < end_ns]
        path = self.root / day
        existing = ExistingDay(path) if path.exists() else None
        listed = [stream.listed for stream in taking]
        listed = _numbered(listed if existing is None else existing.joined(listed))
        if existing is None:
            events = self._new(taking, listed, end_ns)
        else:
            first_ns = min(first_ns, existing.first_ns)
            events = self._joined(existing, taking, listed, end_ns)
        builder = self._staging.begin(day_of_ns(first_ns))
        try:
            self._fill(builder, [msgspec.structs.replace(one, recv_ns=first_ns) for one in listed], events)
        except BaseException:
            self._staging.drop()
            raise
        if existing is None:
            self._staging.complete()
        elif not self._added:
            self._staging.drop()
            self.unchanged.append(day)
            self.digests[day] = existing.digest.hex()
        else:
            self._staging.complete(replace=True)
            self.extended[day] = existing.digest.hex()
        self.digests.setdefault(day, builder.digest.hex())
        self._pending.append(day)
        self._pending_bytes += builder.bytes_written

    def _fill(
        self, builder: DayBuilder, listed: Sequence[InstrumentListed], events: Iterator[MarketEvent]
    ) -> None:
        batch: list[Event] = list(listed)
        self._count -= len(batch)
        at_ns = listed[0].recv_ns
        day = day_of(at_ns)
        for event in events:
            if len(batch) >= FRAME_EVENTS_MAX:
                builder.append(draft_of(builder.seq + 1, batch), at_ns)
                self._written(len(batch), day)
                batch = []
                at_ns = event.recv_ns
            batch.append(event)
        builder.append(draft_of(builder.seq + 1, batch, ends=True), at_ns)
        last = batch[-1]
        assert isinstance(last, MarketEvent), "a day has events"
        self.first_ns = listed[0].recv_ns if self.first_ns < 0 else self.first_ns
        self.last_ns = last.recv_ns
        self._written(len(batch), day)

    def _written(self, count: int, day: str) -> None:
        self._count += count
        if self.report is not None:
            self.report(self._count, day)

    def _new(
        self, streams: Sequence[InstrumentStream], listed: Sequence[InstrumentListed], end_ns: int
    ) -> Iterator[MarketEvent]:
        """Yield the events of a day that is not there yet."""
        by_key = {(one.venue, one.name): one for one in listed}
        runs = []
        for stream in sorted(streams, key=lambda stream: (by_key[_key(stream)].instrument, stream.series)):
            convert = converter(stream.listed, by_key[_key(stream)])
            run = stream.run(end_ns)
            runs.append(run if convert is None else map(convert, run))
        return runs[0] if len(runs) == 1 else heapq.merge(*runs, key=attrgetter("recv_ns"))

    def _joined(
        self,
        existing: ExistingDay,
        streams: Sequence[InstrumentStream],
        listed: Sequence[InstrumentListed],
        end_ns: int,
    ) -> Iterator[MarketEvent]:
        """Yield the events of a day that exists, and of the streams, each once."""
        by_key = {(one.venue, one.name): one for one in listed}
        adding = {(by_key[_key(stream)].instrument, stream.series): stream for stream in streams}
        converters = {
            place: converter(stream.listed, listed[place[0] - 1]) for place, stream in adding.items()
        }
        self._added = 0
        origins = {place: Origin(existing.name) for place in adding}
        held = existing.groups(listed)
        held_ns, held_now = next(held, _NOTHING)
        while (ns := min(held_ns, *(stream.next_ns() for stream in adding.values()))) < end_ns:
            now = _NOTHING[1]
            if held_ns == ns:
                now = held_now
                held_ns, held_now = next(held, _NOTHING)
            added = {place for place, stream in adding.items() if stream.next_ns() == ns}
            for place in sorted(added.union(now)):
                if place not in adding:
                    yield from now[place]
                    continue
                stream, origin = adding[place], origins[place]
                groups: list[Group] = []
                if place in now:
                    stream.check_kind(now[place][0], existing.name)
                    groups.append((origin, now[place]))
                if place in added:
                    convert = converters[place]
                    groups += [
                        (source, events if convert is None else [*map(convert, events)])
                        for source, events in stream.groups()
                    ]
                begun = stream.begun if origin.last_ns < 0 else [origin, *stream.begun]
                events = stream.combiner.combine(groups, begun)
                self._added += len(events) - len(now.get(place, ()))
                yield from events
        for place, stream in adding.items():
            stream.combiner.forget(origins[place])

    # The journal.

    def _publish(self) -> None:
        """Put the complete days in place."""
        try:
            self._staging.publish()
        finally:
            waiting = set(self._staging.waiting)
            self.done += [day for day in self._pending if day not in waiting]
            self._pending = [day for day in self._pending if day in waiting]
            self.bytes_written += self._pending_bytes
            self._pending_bytes = 0

    def _make_root(self) -> None:
        try:
            self._made = make_folders(self.root)
        except OSError as error:
            raise UsageError(f"{self.root}: cannot be made: {error.strerror or error}") from error

    def _remove_made(self) -> None:
        """Remove the folders made for a journal that stayed empty."""
        for path in reversed(self._made):
            try:
                path.rmdir()
            except OSError:
                return


_NOTHING: Final[tuple[int, dict[tuple[int, int], list[MarketEvent]]]] = (NEVER, {})
"""What an existing day has after its last event."""


def _key(stream: InstrumentStream) -> tuple[str, str]:
    return stream.listed.venue, stream.listed.name


def _numbered(listed: Sequence[InstrumentListed]) -> list[InstrumentListed]:
    """Return the instruments of a day in their order, numbered from 1."""
    by_key = {(one.venue, one.name): one for one in listed}
    ordered = [by_key[key] for key in sorted(by_key)]
    return [msgspec.structs.replace(one, instrument=number) for number, one in enumerate(ordered, 1)]
