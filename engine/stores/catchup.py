"""Writes a journal's days to a store: from where its rows end, or all of them again.

`catch_up` brings a store to the end of the journal after a crash or a pause; `rebuild` writes all rows again.
Both read frame by frame and write in batches, so that their memory does not grow with the journal. Called by
`engine project`, `engine backfill` and the runtime's projector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Final, Protocol

from engine.events.codec import Record
from engine.journal import Frame, belongs, list_days, list_segments, read_frames, read_headers
from engine.records import records_of
from engine.stores.errors import StoreOutOfStep
from engine.stores.store import Store
from engine.stores.writer import StoreWriter

__all__ = ["Progress", "catch_up", "days_from", "rebuild"]

Progress = Callable[[int], None]
"""Receives the seq reached, after each batch."""

BATCH_RECORDS: Final = 20_000
"""Records after which a batch ends, at the end of a frame."""


class Frames(Protocol):
    """The frames of a day, and once the first is read, the id of the journal."""

    @property
    def journal_id(self) -> bytes | None:
        """Id of the journal."""
        ...

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames by rising seq."""
        ...


def days_from(root: Path, journal_id: bytes, seq: int) -> list[Path]:
    """Return the day folders of a journal from the one that holds `seq` on, oldest first.

    A folder without segments is left out: the journal has just created it.
    """
    begun = [day.path for day in list_days(root) if list_segments(day.path)]
    own = [path for path in begun if belongs(path, journal_id)]
    for number in range(len(own) - 1, 0, -1):
        if read_headers(own[number])[0].first_seq <= seq:
            return own[number:]
    return own


def catch_up(
    writer: StoreWriter,
    frames: Iterable[Frame],
    *,
    until_seq: int | None = None,
    progress: Progress | None = None,
) -> int:
    """Apply what the frames hold beyond the store's cursor, and return the seq reached.

    The frames are those of the journal's days, oldest first, from the one that holds the cursor on. While a
    session writes the journal, `until_seq` is its durable seq: a cursor beyond it could, after a power cut,
    be ahead of the journal. Frames that end beyond it are left out. Raises StoreOutOfStep when
    the cursor is ahead of the frames, lies in none of them, or does not have their digest: then the rows come
    from another state of the journal.
    """
    start = writer.read_cursor()
    batch: list[Record] = []
    reached = 0
    last: Frame | None = None
    for frame in frames:
        if until_seq is not None and frame.last_seq > max(until_seq, start):
            break
        reached = frame.last_seq
        if reached < start:
            continue
        if reached == start and frame.digest != writer.digest:
            raise _out_of_step(writer, f"its rows end at seq {start} of another state of the journal")
        if frame.first_seq <= start < reached:
            raise _out_of_step(writer, f"its rows end at seq {start}, within a frame of the journal")
        if reached > start:
            batch.extend(records_of(frame))
            last = frame
        if last is not None and len(batch) >= BATCH_RECORDS:
            _apply(writer, batch, last, progress)
            batch, last = [], None
    if reached < start:
        raise _out_of_step(writer, f"its rows go to seq {start}, but the journal ends at {reached}")
    if last is not None:
        _apply(writer, batch, last, progress)
    return reached


def rebuild(
    store: Store,
    days: Sequence[Path],
    *,
    until_seq: int | None = None,
    progress: Progress | None = None,
    read: Callable[[Path], Frames] = read_frames,
) -> int:
    """Rewrite the rows of these journal days (folders, oldest first), and return the last seq.

    The result equals that of a store which followed the journal from its first record. Frames that end
    beyond `until_seq` are left out. Raises what reading the journal raises, StoreUnavailable when the store
    has a writer or cannot be written, StoreOutOfStep when the days are of several journals or the store's
    place holds something else.
    """

    def fill(empty: Store) -> int:
        frames = _frames(days, read)
        first = next(frames, None)
        if first is None:
            return 0
        writer = StoreWriter(empty, first[0])
        everything = (frame for _, frame in chain([first], frames))
        return catch_up(writer, everything, until_seq=until_seq, progress=progress)

    return store.rebuild(fill)


def _frames(days: Sequence[Path], read: Callable[[Path], Frames]) -> Iterator[tuple[bytes, Frame]]:
    """Yield (journal id, frame) of all days, which must be of one journal."""
    journal_id: bytes | None = None
    for day in days:
        frames = read(day)
        for frame in frames:
            found = frames.journal_id
            assert found is not None, "a reader that has yielded a frame knows the journal's id"
            if journal_id not in (None, found):
                raise StoreOutOfStep(f"{day}: belongs to another journal than the days before it")
            journal_id = found
            yield found, frame


def _apply(writer: StoreWriter, batch: list[Record], last: Frame, progress: Progress | None) -> None:
    writer.apply(batch, seq=last.last_seq, digest=last.digest)
    if progress is not None:
        progress(writer.seq)


def _out_of_step(writer: StoreWriter, what: str) -> StoreOutOfStep:
    return StoreOutOfStep(f"{writer.store.place}: {what}; {writer.store.remedy}")
