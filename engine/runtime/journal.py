"""Opens the journal of a session for writing, and records what the opening has to record.

Owns the order: lock, identity, epoch, recovery, writer. Called by live sessions and by backfill.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from engine.events import Event, SessionStarted, TailRepaired
from engine.events.codec import Record
from engine.journal import (
    DISK,
    Disk,
    Fence,
    JournalLock,
    JournalWriter,
    Recovered,
    Repair,
    Witness,
    ensure_identity,
    make_root,
    recover,
)
from engine.ports import Ids

__all__ = ["Earlier", "OpenedJournal", "opened_journal"]


class Earlier:
    """What the newest day says about earlier openings: their epochs, and the repairs that are recorded."""

    def __init__(self) -> None:
        self.epoch = 0
        self._saved: set[tuple[str, ...]] = set()

    def watch(self, records: Iterator[Record]) -> Iterator[Record]:
        """Yield the records and note what they say."""
        for record in records:
            event = record[2]
            if isinstance(event, TailRepaired):
                self._saved.add(_place(event.saved_as))
            started = event if isinstance(event, SessionStarted) else getattr(event, "started", None)
            if isinstance(started, SessionStarted):
                self.epoch = max(self.epoch, started.epoch)
            yield record

    def holds(self, repair: Repair) -> bool:
        """Return whether a repair is recorded."""
        return repair.saved is not None and _place(repair.saved) in self._saved


class OpenedJournal(msgspec.Struct):
    """A journal that this process may write. `earlier` notes what `follow` reads of it."""

    root: Path
    fence: Fence
    recovered: Recovered
    writer: JournalWriter
    earlier: Earlier

    def epoch(self) -> int:
        """Return the epoch of this opening, above every one that the journal has recorded."""
        if self.fence.epoch <= self.earlier.epoch:
            self.fence.rise(self.earlier.epoch)
        return self.fence.epoch

    def repairs(self) -> list[Repair]:
        """Return the repairs to record: of this start, and of earlier ones that ended before they did."""
        left = [repair for repair in self.recovered.earlier if not self.earlier.holds(repair)]
        return [*left, *self.recovered.repairs]

    def repaired(self, recv_ns: int) -> list[Event]:
        """Return the events that record the repairs. Their paths are relative to the root."""
        return [
            TailRepaired(
                recv_ns,
                self._relative(repair.file),
                repair.offset,
                repair.size,
                self._relative(repair.saved) if repair.saved else "",
            )
            for repair in self.repairs()
        ]

    def _relative(self, path: str) -> str:
        return str(Path(path).relative_to(self.root))


@contextmanager
def opened_journal(
    root: Path, ids: Ids, witness: Witness | None, disk: Disk = DISK
) -> Iterator[OpenedJournal]:
    """Create or recover the journal in `root` and open it for writing. Raises JournalError."""
    make_root(root, disk)
    with JournalLock(root):
        ensure_identity(root, ids.random_bytes(16), disk)
        fence = Fence(root, ids.random_bytes(16), disk)
        recovered = recover(root, witness=witness, disk=disk)
        with JournalWriter(
            root, recovered.tail, salts=lambda: ids.random_bytes(16), disk=disk, fence=fence
        ) as writer:
            yield OpenedJournal(root, fence, recovered, writer, Earlier())


def _place(path: str) -> tuple[str, ...]:
    """Return day, folder and name: earlier versions recorded the path as the session was given it."""
    return Path(path).parts[-3:]
