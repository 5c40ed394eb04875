"""The disk of the simulated machine, and the thread that writes to it.

`SimulatedDisk` is the model of `tests/journal/disks.py` (what programs read, and what a loss of power leaves)
with a writer that runs in trio's time: a sync that was begun becomes durable when it ends, so that a crash
before that may keep any part of it. The next change of the same thread comes after that end: what a sync
covered before it, such as the header of a segment, is not lost with what was written later. The disk can be
slow, full, or fail once and lose the pages it was to write.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import outcome
import trio

from tests.journal.disks import File, Folder, MemoryDisk

__all__ = ["SimulatedDisk", "Writer"]

SECTOR = 512


class SimulatedDisk(MemoryDisk):
    """A file system in memory whose syncs end when `finish` is called, while `deferring`.

    `fails` are errors of the next call of an operation, each once; `full` refuses writes and creations.
    `fired` is called with the name of each fault that happened; `before` before every change.
    """

    def __init__(self, fired: Callable[[str], None]) -> None:
        super().__init__()
        self.deferring = False
        self.full = False
        self.full_noted = False
        self.fails: dict[str, int] = {}
        self.torn: Random | None = None
        self.changes = 0
        self.before: Callable[[str], None] = lambda _: None
        self._fired = fired
        self._syncs: list[File | Folder] = []

    def finish(self) -> None:
        """End the syncs that were begun: what they cover is durable."""
        for node in self._syncs:
            node.sync()
        self._syncs.clear()

    def crashed(self, chance: Random, *, power: bool) -> SimulatedDisk:
        """Return the disk as the next process finds it; a loss of `power` may lose what was not synced.

        Of unsynced bytes any number remains, of unsynced names any, as file systems allow.
        """
        other = SimulatedDisk(self._fired)
        other.full, other.full_noted = self.full, self.full_noted
        if not power:
            other.top = self.top
        else:
            for node in self._syncs:
                if chance.getrandbits(1):
                    node.sync()
            self._lose_a_sector(chance)
            keep = chance.getrandbits(2)
            other.top = self.after_power_cut(
                lambda size: (0, size, chance.randint(0, size), chance.randint(0, size))[keep],
                names_kept=lambda _: bool(chance.getrandbits(1)),
            ).top
        return other

    def _lose_a_sector(self, chance: Random) -> None:
        """Of unsynced bytes sectors arrive in any order: one in the middle may be missing."""
        folders = [self.top]
        while folders:
            for node in folders.pop().live.values():
                if isinstance(node, Folder):
                    folders.append(node)
                elif node.unsynced() and chance.getrandbits(1):
                    at = chance.randrange(node.dirty, len(node.data))
                    end = min(at // SECTOR * SECTOR + SECTOR, len(node.data))
                    node.data[at:end] = bytes(end - at)

    def flip(self, path: Path, at: int, bit: int) -> None:
        """Flip one bit of a file, on the disk."""
        file = self._file(path)
        for data in (file.data, file.stored):
            if at < len(data):
                data[at] ^= 1 << bit

    def abandon(self) -> None:
        """Cut the process that has files open from what is left: it was killed."""
        self.top = Folder()
        self._open = {fd: File() for fd in self._open}
        self._syncs.clear()

    def holds(self, needle: bytes) -> bool:
        """Return whether any file has these bytes in what a loss of power leaves."""
        folders = [self.top]
        while folders:
            for node in folders.pop().durable.values():
                if isinstance(node, Folder):
                    folders.append(node)
                elif needle in node.stored:
                    return True
        return False

    # What can fail.

    def _change(self, what: str) -> None:
        if self.deferring:
            self.finish()  # the thread goes on, so its last sync has returned
        self.changes += 1
        self.before(what)
        number = self.fails.pop(what, 0)
        if number:
            self._fired(f"disk {what} {errno.errorcode[number]}")
            raise OSError(number, f"simulated {errno.errorcode[number]}")
        if self.full and what in ("write", "create", "mkdir"):
            if not self.full_noted:
                self.full_noted = True
                self._fired("disk full")
            raise OSError(errno.ENOSPC, "No space left on device")

    def create(self, path: Path) -> int:
        self._change("create")
        return super().create(path)

    def mkdir(self, path: Path) -> None:
        self._change("mkdir")
        super().mkdir(path)

    def rename(self, source: Path, target: Path) -> None:
        self._change("rename")
        super().rename(source, target)

    def write(self, fd: int, data: memoryview | bytes) -> int:
        self._change("write")
        if self.torn is not None and len(data) > 1:
            # A short write: the caller goes on with the rest.
            size = self.torn.randint(1, len(data) - 1)
            self.torn = None
            self._fired("disk short write")
            return super().write(fd, memoryview(data)[:size])
        return super().write(fd, data)

    def fdatasync(self, fd: int) -> None:
        self._sync(self._open[fd], "fdatasync")

    def fsync(self, fd: int) -> None:
        self._sync(self._open[fd], "fsync")

    def fsync_dir(self, path: Path) -> None:
        self._sync(self._folder(path), "fsync_dir")

    def _sync(self, node: File | Folder, what: str) -> None:
        try:
            self._change(what)
        except OSError:
            if isinstance(node, File):
                node.lose()
            raise
        if self.deferring:
            self._syncs.append(node)
        else:
            node.sync()


class Writer:
    """Stands in for `trio.lowlevel.start_thread_soon`: the work of the thread ends after `latency_s`."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.usual_s = 0.001
        self.latency_s = self.usual_s
        self.disk: SimulatedDisk
        self._nursery = nursery

    def start(self, work: Callable[[], Any], deliver: Callable[[Any], None], name: str | None = None) -> None:
        """Do the work now; its syncs, and the report of its outcome, come later."""
        disk = self.disk
        disk.deferring = True
        try:
            found = outcome.capture(work)
        finally:
            disk.deferring = False
        self._nursery.start_soon(self._end, disk, found, deliver)

    async def _end(self, disk: SimulatedDisk, found: Any, deliver: Callable[[Any], None]) -> None:
        await trio.sleep(self.latency_s)
        if disk is self.disk:
            disk.finish()
        deliver(found)
