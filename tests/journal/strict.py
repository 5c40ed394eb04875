"""A strict file system: every state that a loss of power can leave of recorded calls.

`Recorder` wraps a disk, real or in memory, and keeps beside it what is durable. Strict means that nothing is
durable but what a sync made so:

- a name in a folder (created, renamed, removed) only when that folder was synced, each name for itself:
  of a rename the new name may be there without the old one, both, or neither;
- a new folder only with its name in the folder above;
- bytes of a file only when the file was synced, sector by sector, in any order. The size may have grown
  without them; they read as zeros then. Any sector may be torn at any byte;
- after a sync that failed, its bytes may be lost although later syncs succeed.

What a sector held before is not lost when it is written again (see docs/reliability.md).
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from random import Random

from engine.journal.disk import Disk

from .disks import MemoryDisk

__all__ = ["SECTOR", "Recorder", "State", "digest_of", "on_disk"]

SECTOR = 512

State = dict[str, bytes | None]
"""What a boot finds: the bytes of each file by path; None for a folder."""


def on_disk(state: State) -> MemoryDisk:
    """Return a disk with this content, all of it durable."""
    disk = MemoryDisk()
    for path, data in sorted(state.items()):
        if data is None:
            disk.put_folder(Path(path))
        else:
            disk.put(Path(path), data)
    return disk


class _File:
    """`data`: what programs read. What follows `synced` may not be on the disk, nor what is `doubtful`.

    `sized` is the size that a loss of power leaves at least.
    """

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)
        self.synced = self.sized = len(data)
        self.doubtful: list[tuple[int, int]] = []

    def sync(self) -> None:
        self.synced = self.sized = len(self.data)

    def lose(self) -> None:
        """A sync failed: the pages are clean in the cache, but may not be on the disk."""
        if self.synced < len(self.data):
            self.doubtful.append((self.synced, len(self.data)))
        self.synced = len(self.data)

    def spans(self) -> list[tuple[int, int]]:
        """Return the parts that may be lost, a sector at most each."""
        parts = []
        for start, end in [*self.doubtful, (self.synced, len(self.data))]:
            while start < end:
                stop = min(end, start - start % SECTOR + SECTOR)
                parts.append((start, stop))
                start = stop
        return parts


class _Folder:
    """`live`: what programs see. `changed`: each name's values since the last sync, the durable one first."""

    def __init__(self) -> None:
        self.live: dict[str, _File | _Folder] = {}
        self.changed: dict[str, list[_File | _Folder | None]] = {}

    def put(self, name: str, node: _File | _Folder | None) -> None:
        self.changed.setdefault(name, [self.live.get(name)]).append(node)
        if node is None:
            del self.live[name]
        else:
            self.live[name] = node

    def sync(self) -> None:
        self.changed.clear()


Choose = Callable[[int, bool], int]
"""Returns one of so many possibilities, the first is the oldest. True: of a name, False: of bytes."""


class Recorder(Disk):
    """Passes every call to `inner`. Before each change, and at `look`, `found` receives states of the disk.

    `each` is how many random states are drawn at a point, besides the extreme ones. `fails` is the number of
    the sync of a file that fails with EIO. `kill` is called before each change with its number.
    """

    def __init__(self, inner: Disk, seed: int, each: int, found: Callable[[State], None]) -> None:
        self.inner = inner
        self.top = _Folder()
        self.calls = 0
        self.syncs = 0
        self.fails = -1
        self.kill: Callable[[int], None] = lambda _: None
        self._random = Random(seed)
        self._each = each
        self._found = found
        self._open: dict[int, _File] = {}
        if isinstance(inner, MemoryDisk):
            for name, data in inner.tree().items():
                folder, last = self._folder(Path(name).parent), Path(name).name
                folder.live[last] = _Folder() if data is None else _File(data)

    # States.

    def look(self) -> None:
        """Draw states of this moment."""
        for choose in self._choices():
            state: State = {}
            self._after(self.top, "", choose, state)
            self._found(state)

    def segments(self) -> dict[str, bytes]:
        """Return the plain segments as programs see them now."""
        found: dict[str, bytes] = {}

        def walk(folder: _Folder, path: str) -> None:
            for name, node in folder.live.items():
                if isinstance(node, _Folder):
                    walk(node, f"{path}/{name}")
                elif name.endswith(".seg"):
                    found[f"{path}/{name}"] = bytes(node.data)

        walk(self.top, "")
        return found

    def _choices(self) -> Iterator[Choose]:
        random = self._random
        for name in (0, -1):
            for data in (0, -1):
                yield lambda count, is_name, n=name, d=data: (n if is_name else d) % count  # type: ignore[misc]
        yield lambda count, is_name: count - 1 if is_name else min(1, count - 1)
        for _ in range(self._each):
            weight = random.choice((0.1, 0.5, 0.9))
            yield lambda count, _, w=weight: (  # type: ignore[misc]
                count - 1 if random.random() < w else random.randrange(count)
            )

    def _after(self, folder: _Folder, path: str, choose: Choose, state: State) -> None:
        for name in sorted({*folder.live, *folder.changed}):
            values = folder.changed.get(name) or [folder.live[name]]
            node = values[choose(len(values), True)]
            where = f"{path}/{name}"
            if isinstance(node, _Folder):
                state[where] = None
                self._after(node, where, choose, state)
            elif node is not None:
                state[where] = _bytes_after(node, choose)

    # The methods of `Disk`.

    def _before(self) -> None:
        self.look()
        self.kill(self.calls)
        self.calls += 1

    def _sync(self, fd: int, call: Callable[[int], None]) -> None:
        self._before()
        self.syncs += 1
        if self.syncs - 1 == self.fails:
            self._open[fd].lose()
            raise OSError(errno.EIO, "Input/output error")
        call(fd)
        self._open[fd].sync()

    def open_read(self, path: Path) -> int:
        return self.inner.open_read(path)

    def open_append(self, path: Path) -> int:
        fd = self.inner.open_append(path)
        live = self._folder(path.parent).live
        node = live.get(path.name)
        if node is None:
            node = live[path.name] = _File(path.read_bytes())  # a real file from before the recording
        assert isinstance(node, _File)
        self._open[fd] = node
        return fd

    def create(self, path: Path) -> int:
        self._before()
        fd = self.inner.create(path)
        file = self._open[fd] = _File()
        self._folder(path.parent).put(path.name, file)
        return fd

    def close(self, fd: int) -> None:
        self.inner.close(fd)
        self._open.pop(fd, None)

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        return self.inner.pread(fd, size, offset)

    def write(self, fd: int, data: memoryview | bytes) -> int:
        self._before()
        taken = self.inner.write(fd, data)
        self._open[fd].data += bytes(data)[:taken]
        return taken

    def fdatasync(self, fd: int) -> None:
        self._sync(fd, self.inner.fdatasync)

    def fsync(self, fd: int) -> None:
        self._sync(fd, self.inner.fsync)

    def fsync_dir(self, path: Path) -> None:
        self._before()
        self.inner.fsync_dir(path)
        self._folder(path).sync()

    def lock_folder(self, path: Path) -> int:
        return self.inner.lock_folder(path)

    def is_at(self, fd: int, path: Path) -> bool:
        return self.inner.is_at(fd, path)

    def sync_all(self, path: Path) -> None:
        self._before()
        self.inner.sync_all(path)

        def sync(node: _File | _Folder) -> None:
            node.sync()
            for child in node.live.values() if isinstance(node, _Folder) else ():
                sync(child)

        sync(self.top)

    def size(self, fd: int) -> int:
        return self.inner.size(fd)

    def size_of(self, path: Path) -> int:
        return self.inner.size_of(path)

    def rename(self, source: Path, target: Path) -> None:
        self._before()
        self.inner.rename(source, target)
        node = self._folder(source.parent).live[source.name]
        self._folder(target.parent).put(target.name, node)
        self._folder(source.parent).put(source.name, None)

    def unlink(self, path: Path) -> None:
        self._before()
        self.inner.unlink(path)
        self._folder(path.parent).put(path.name, None)

    def mkdir(self, path: Path) -> None:
        self._before()
        self.inner.mkdir(path)
        self._folder(path.parent).put(path.name, _Folder())

    def rmdir(self, path: Path) -> None:
        self._before()
        self.inner.rmdir(path)
        self._folder(path.parent).put(path.name, None)

    def listdir(self, path: Path) -> list[str]:
        return self.inner.listdir(path)

    def exists(self, path: Path) -> bool:
        return self.inner.exists(path)

    def is_dir(self, path: Path) -> bool:
        return self.inner.is_dir(path)

    def free_bytes(self, path: Path) -> int:
        return self.inner.free_bytes(path)

    def _folder(self, path: Path) -> _Folder:
        """Return a folder. One that was there before the recording began is taken as durable."""
        folder = self.top
        for part in path.parts[1:]:
            node = folder.live.setdefault(part, _Folder())
            assert isinstance(node, _Folder)
            folder = node
        return folder


def _bytes_after(file: _File, choose: Choose) -> bytes:
    """Return the bytes of a file after a loss of power: any sector that is not synced may be there or not."""
    data = bytearray(file.data)
    end = len(data)
    for start, stop in file.spans():
        # none of it, the size alone, part of it, all of it
        picked = choose(4, False)
        if picked < 3:
            kept = 0 if picked < 2 else choose(stop - start + 1, False)
            data[start + kept : stop] = bytes(stop - start - kept)
        if picked == 0 and stop > file.sized:
            end = min(end, max(start, file.sized))
    return bytes(data[:end])


def digest_of(state: State) -> bytes:
    """Return a digest of a state: two states with one digest are the same."""
    total = blake2b(digest_size=16)
    for path, data in sorted(state.items()):
        total.update(f"{path}\0{'folder' if data is None else len(data)}\0".encode())
        total.update(data or b"")
    return total.digest()
