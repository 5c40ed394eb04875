"""Recorded days before their data is read: their date, their instruments and how they begin, at little cost.

An imported day lists its instruments in its first frame. A day that a session recorded opens with those
listed so far, and may list more at any time; only the frames that can hold a listing are decoded. Called by
`replay.joining`; `folders_given` by what takes days from a program.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from engine.errors import UsageError
from engine.events import (
    BookRead,
    Candle,
    DayOpened,
    Event,
    InstrumentListed,
    Quote,
    SessionStarted,
    Trade,
)
from engine.events.codec import encode_inputs
from engine.journal import DISK, Disk, Frame, find_frames
from engine.records import day_folders, derived_of, inputs_of, open_day

__all__ = [
    "LISTED",
    "PRICES",
    "RecordedDay",
    "folders_given",
    "is_fetching",
    "look",
    "opening_listings",
    "opening_of",
    "without_overlaps",
]

PRICES: Final = (Trade, Quote, Candle, BookRead)
"""The inputs without which there is nothing to play."""

LISTED: Final = b"\xaainstrument"
"""The encoded tag of `InstrumentListed`: only a frame with these bytes lists an instrument."""

_BACKFILL: Final = b"\xa8backfill"
"""The encoded mode of a session that fetches history."""


class RecordedDay(msgspec.Struct):
    """What is known of a day before its data is read.

    `date` is yyyymmdd. `recorded`: a session wrote it. `fetched`: a session of it fetched history. `listings`
    are its instruments in the order of their first listing, each time with all that a listing says. `content`
    is a digest of its first inputs, `disk` where it is read.
    """

    folder: Path
    date: int
    journal: bytes
    recorded: bool
    fetched: bool
    content: bytes
    listings: list[InstrumentListed]
    disk: Disk = DISK

    @property
    def keys(self) -> set[str]:
        """The instruments, as `venue:NAME`."""
        return {one.key for one in self.listings}

    @property
    def order(self) -> tuple[int, list[tuple[str, str]], bytes]:
        """The place of the day among others: by date, then by venue and name of the instruments, as in a day
        that has them all. What the folder is called must not matter."""
        return self.date, sorted({(one.venue, one.name) for one in self.listings}), self.content


def opening_of(frame: Frame) -> DayOpened | None:
    """Return the record that a day opens with, given its first frame; None for the first day of a journal."""
    if not frame.derived or frame.first_seq == 1:
        return None
    first = derived_of(frame)[0][2]
    return first if isinstance(first, DayOpened) else None


def opening_listings(opened: DayOpened) -> list[Event]:
    """Return the instruments that a day opens with, as received when it opened."""
    return [msgspec.structs.replace(one, recv_ns=opened.at_ns) for one in opened.instruments]


def is_fetching(event: SessionStarted | None) -> bool:
    """Return whether a session fetches history."""
    return event is not None and event.mode == "backfill"


def look(folder: Path, market: tuple[type[Event], ...], disk: Disk = DISK) -> RecordedDay:
    """Return what is known of a day. Decodes its first frames up to one with market inputs, and later
    listings.

    Raises UsageError if there is no such day, JournalError.
    """
    reader = open_day(folder, disk)
    recorded = fetched = False
    listings: list[Event] = []
    opened: DayOpened | None = None
    content = b""
    for index, frame in enumerate(reader):
        inputs = inputs_of(frame)
        opened = opening_of(frame) if index == 0 else opened
        if index == 0 and opened is not None:
            listings += opening_listings(opened)
            recorded, fetched = True, is_fetching(opened.started)
        recorded |= any(isinstance(event, SessionStarted) for event in inputs)
        kept = [*listings, *(event for event in inputs if event.__class__ in market)]
        if kept:
            content = hashlib.blake2b(encode_inputs(kept), digest_size=16).digest()
            listings = [event for event in kept if isinstance(event, InstrumentListed)]
            break
    if recorded:
        del listings[len(opened.instruments) if opened is not None else 0 :]
        for frame in find_frames(folder, (LISTED, _BACKFILL), disk=disk):
            for event in inputs_of(frame):
                if isinstance(event, InstrumentListed):
                    listings.append(event)
                elif isinstance(event, SessionStarted):
                    fetched |= is_fetching(event)
    assert reader.day is not None or not content
    return RecordedDay(
        folder,
        reader.day or 0,
        reader.journal_id or b"",
        recorded,
        fetched,
        content,
        [one for one in listings if isinstance(one, InstrumentListed)],
        disk,
    )


def folders_given(days: Iterable[str | Path]) -> list[Path]:
    """Return the folders of the days that a caller gives: days, or journals with days in them.

    Raises UsageError if there is none.
    """
    if isinstance(days, str):
        raise UsageError(f"days: {days!r} is a text, not a list; write it as [{days!r}]")
    folders = day_folders(tuple(map(Path, days)))
    if not folders:
        raise UsageError("days: the list is empty; give at least one day, such as journal/2024-12-05")
    return folders


def without_overlaps(days: list[RecordedDay], context: list[RecordedDay]) -> list[RecordedDay]:
    """Return the days and their context by date, without context that collides with other days.

    Raises UsageError for two days that have one instrument at the same time, and name both.
    """
    kept: dict[int, list[RecordedDay]] = {}
    for number, day in enumerate([*days, *context]):
        same_date = kept.setdefault(day.date, [])
        other = next((one for one in same_date if _collide(one, day)), None)
        if other is None:
            same_date.append(day)
        elif number < len(days):
            both = ", ".join(sorted(other.keys & day.keys))
            raise UsageError(
                f"{other.folder} and {day.folder}: both have data of {both} at the same time; give one"
            )
    return sorted((day for same_date in kept.values() for day in same_date), key=lambda day: day.order)


def _collide(one: RecordedDay, other: RecordedDay) -> bool:
    if not one.keys & other.keys:
        return False
    mine, theirs = _spans(one), _spans(other)
    return any(
        mine[key][0] <= theirs[key][1] and theirs[key][0] <= mine[key][1]
        for key in mine.keys() & theirs.keys()
    )


def _spans(day: RecordedDay) -> dict[str, tuple[int, int]]:
    """Return the venue's time of the first and last price of each instrument. Decodes the whole day."""
    found: dict[str, tuple[int, int]] = {}
    keys: dict[int, str] = {}
    for index, frame in enumerate(open_day(day.folder, day.disk)):
        opened = opening_of(frame) if index == 0 else None
        for event in [*(opened.instruments if opened is not None else ()), *inputs_of(frame)]:
            if isinstance(event, InstrumentListed):
                keys[event.instrument] = event.key
            elif isinstance(event, PRICES):
                key, last_ns = keys[event.instrument], event.venue_ns
                first_ns = last_ns
                if isinstance(event, Candle):
                    first_ns, last_ns = event.start_ns, last_ns - 1
                known = found.get(key, (first_ns, last_ns))
                found[key] = min(known[0], first_ns), max(known[1], last_ns)
    return found
