"""Answers from the journal what a view does not remember: chains of causes, older records, fills and bars.

Reads the days of one journal frame by frame, and decodes only those that can hold what is asked for.
Blocking, for a thread; one call at a time. Records beyond the seq that the answer stands at are left out: on
disk there may be some that are not durable yet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from engine.errors import UsageError
from engine.events import (
    EVENT_TYPES,
    BarClosed,
    BarCorrected,
    DayOpened,
    Event,
    FillBooked,
    InstrumentListed,
)
from engine.events.codec import Record
from engine.events.render import Renderer, event_type
from engine.instruments import Instruments
from engine.journal import Frame, belongs, list_days
from engine.values import interval_name, parse_interval
from engine.views import market_rows
from engine.views.account import fill_row
from engine.views.answers import Answer, Bars, EventRows, Fills, Why
from engine.views.chain import chain_in
from engine.views.frames import Frames
from engine.views.market_shapes import BarRow
from engine.views.projection import FREQUENT
from engine.views.queries import parsed
from engine.views.records import record_row
from engine.views.shapes import FillRow, RecordRow
from engine.views.view import limited

__all__ = ["DAYS_MAX", "Older"]

SPANS: Final = (5_000, 100_000)
"""Records at the end of the journal that are looked through for the newest ones, before all of them are."""

DAYS_MAX: Final = 31
"""Days that one answer reads at most."""


class Older:
    """The days of a journal. `root` is its folder, `journal` its id in hex.

    `days` are the day folders to read, oldest first; without, those of the journal, as they are now.
    """

    def __init__(self, root: Path, journal: str, days: Sequence[Path] | None = None) -> None:
        self._root = root
        self._journal = journal
        self._days = days

    def answer(self, name: str, query: Mapping[str, str], *, seq: int, at_ms: int) -> Answer:
        """Return the answer of "why", "events", "fills" or "bars" from records up to `seq`.

        Raises UsageError for a query that means nothing, JournalError for a journal that cannot be read.
        """
        given = parsed(name, query)
        head: dict[str, Any] = {"journal": self._journal, "seq": seq, "at_ms": at_ms}
        if name == "why":
            return Why(**head, chain=self._chain(given["seq"], seq))
        given.setdefault("limit", 200)
        limited(given["limit"])
        match name:
            case "events":
                return self._events(head, **given)
            case "fills":
                return self._fills(head, **given)
            case "bars":
                return self._bars(head, **given)
        raise UsageError(f"{name} has no older rows")

    def _frames(self) -> Frames:
        if self._days is not None:
            return Frames(self._days)
        journal = bytes.fromhex(self._journal)
        return Frames([day.path for day in list_days(self._root) if belongs(day.path, journal)])

    # Chains of causes.

    def _chain(self, seq: int, until: int) -> list[RecordRow]:
        frames = self._frames()
        if not 0 < seq <= until:
            raise UsageError(f"there is no record {seq}; the journal stands at {until}")
        chain = chain_in(frames, seq)
        return _rows(frames, chain, fields=True)

    # Records.

    def _events(
        self,
        head: Mapping[str, Any],
        *,
        limit: int,
        after: int | None = None,
        kinds: Sequence[str] = (),
        fields: bool = False,
    ) -> EventRows:
        frames, until = self._frames(), head["seq"]
        wanted = {event_type(name) for name in kinds} or set(EVENT_TYPES) - FREQUENT
        found: list[Record] = []
        next_after = None
        if after is not None:
            source = frames.after(after, until)
            for record in _matching(source, wanted):
                if after < record[0] <= until:
                    if len(found) == limit:
                        next_after = found[-1][0]
                        break
                    found.append(record)
        else:
            oldest = frames.first_of(max(0, frames.day_of(until) - DAYS_MAX + 1)) if frames.days else 1
            for span in (*SPANS, until):  # the end of the journal first: it mostly has enough
                records = _matching(frames.after(max(oldest - 1, until - span), until), wanted)
                found = list(deque((one for one in records if one[0] <= until), maxlen=limit))
                if len(found) >= limit:
                    break
        return EventRows(**head, events=_rows(frames, found, fields=fields), next_after=next_after)

    # Fills.

    def _fills(
        self, head: Mapping[str, Any], *, limit: int, after: int | None = None, before: int | None = None
    ) -> Fills:
        frames, until = self._frames(), head["seq"]
        if after is not None:
            found: list[FillRow] = []
            places = range(frames.day_of(after + 1), len(frames.days))
            for place in list(places)[:DAYS_MAX]:
                found += [row for row in _fills_of(frames, place, until) if row.seq > after]
                if len(found) > limit:
                    break
            return Fills(**head, fills=found[:limit], more=len(found) > limit)
        newest = until if before is None else min(until, before - 1)
        found = []
        for place in _backwards(frames, newest):
            found = [*_fills_of(frames, place, newest), *found]
            if len(found) > limit:
                break
        return Fills(**head, fills=found[-limit:], more=len(found) > limit)

    # Bars.

    def _bars(
        self,
        head: Mapping[str, Any],
        *,
        instrument: str,
        interval: str,
        limit: int,
        before_ms: int | None = None,
    ) -> Bars:
        frames, span = self._frames(), parse_interval(interval)
        found: dict[int, BarRow] = {}
        label = instrument
        more = False
        for place in _backwards(frames, head["seq"]):
            rows: dict[int, BarRow] = {}
            listings = _opening(frames, place)
            kinds = (InstrumentListed, BarClosed, BarCorrected)
            for seq, _, event in Frames.holding(frames.of_day(place, head["seq"]), kinds):
                if isinstance(event, InstrumentListed):
                    listings[event.instrument] = event
                elif isinstance(event, BarClosed) and event.interval_ns == span and seq <= head["seq"]:
                    listed = listings.get(event.instrument)
                    if listed is None or not listings.means(instrument, event.instrument):
                        continue
                    label = listings.label(event.instrument)
                    if before_ms is None or event.start_ns < before_ms * 1_000_000:
                        rows[event.start_ns] = market_rows.bar_row(listed, seq, event)
            found = {**rows, **found}
            if len(found) > limit:
                more = True
                break
        chosen = [row for _, row in sorted(found.items())][-limit:]
        return Bars(
            **head,
            instrument=label,
            interval=interval_name(span),
            bars=chosen,
            forming=None,
            gaps=[],
            more=more,
        )


def _backwards(frames: Frames, until: int) -> Iterator[int]:
    """Yield the places of at most DAYS_MAX days, the one that holds `until` first."""
    if frames.days:
        newest = frames.day_of(until)
        yield from range(newest, max(-1, newest - DAYS_MAX), -1)


def _opening(frames: Frames, place: int) -> Instruments:
    """Return the instruments that a day opens with."""
    first = frames.records(frames.first_of(place))
    opened = first[0][2] if first else None
    return Instruments(opened.instruments if isinstance(opened, DayOpened) else ())


def _rows(frames: Frames, records: Sequence[Record], *, fields: bool) -> list[RecordRow]:
    """Return records by rising seq as rows, each with the listings in force at its seq."""
    rows = []
    renderer, place = Renderer(), -1
    later: list[Record] = []
    for record in records:
        if frames.day_of(record[0]) != place:
            place = frames.day_of(record[0])
            renderer = Renderer(_opening(frames, place).values())
            later = list(Frames.holding(frames.of_day(place, records[-1][0]), (InstrumentListed,)))
        while later and later[0][0] <= record[0]:
            renderer.see(later.pop(0)[2])
        rows.append(record_row(renderer, record, fields=fields))
    return rows


def _matching(source: Iterator[Frame], wanted: set[type[Event]]) -> Iterator[Record]:
    return Frames.holding(source, tuple(sorted(wanted, key=lambda kind: kind.__name__)))


def _fills_of(frames: Frames, place: int, until: int) -> Iterator[FillRow]:
    """Yield the fills of a day up to a seq, oldest first."""
    listings = _opening(frames, place)
    for seq, _, event in Frames.holding(frames.of_day(place, until), (InstrumentListed, FillBooked)):
        if isinstance(event, InstrumentListed):
            listings[event.instrument] = event
        elif isinstance(event, FillBooked) and seq <= until:
            listed = listings.get(event.instrument)
            if listed is not None:
                yield fill_row(seq, event, listed, listings.label(event.instrument))
