"""Disks for tests: one in memory that can lose power, and one that fails chosen calls.

`MemoryDisk` keeps, besides what programs see, what would remain after a power cut: synced bytes, and
names whose folder was synced. `FaultyDisk` wraps any disk and makes chosen calls fail; `fired` counts
the faults, so that a test can check that its fault happened.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

from engine.journal.disk import Disk


class PowerCut(BaseException):
    """Power fails at this call. A BaseException, so that no code catches it and continues."""


class File:
    """`data`: what programs read. `stored`: what survives a power cut. From `dirty` on bytes are unsynced."""

    def __init__(self, data: bytes = b"", *, synced: bool = False) -> None:
        self.data = bytearray(data)
        self.stored = bytearray(data) if synced else bytearray()
        self.dirty = len(data) if synced else 0

    def sync(self) -> None:
        self.stored.extend(bytes(max(0, self.dirty - len(self.stored))))
        self.stored[self.dirty :] = self.data[self.dirty :]
        self.dirty = len(self.data)

    def lose(self) -> None:
        """Model a failed sync: the pages are marked clean, but are not on the disk."""
        self.dirty = len(self.data)

    def after_crash(self, kept: int) -> File:
        """Return the file after a power cut, if `kept` of the unsynced bytes reached the disk."""
        unsynced = self.data[self.dirty : self.dirty + kept]
        return File(bytes(self.stored) + bytes(unsynced), synced=True)

    def unsynced(self) -> int:
        return len(self.data) - self.dirty


class Folder:
    def __init__(self) -> None:
        self.live: dict[str, File | Folder] = {}
        self.durable: dict[str, File | Folder] = {}

    def sync(self) -> None:
        self.durable = dict(self.live)


class MemoryDisk(Disk):
    """A file system in memory. Paths are absolute."""

    def __init__(self) -> None:
        self.top = Folder()
        self._open: dict[int, File] = {}
        self._locked: dict[int, Folder] = {}
        self._next = 3

    # For tests.

    def put(self, path: Path, data: bytes) -> None:
        """Create or replace a file, durably."""
        folder = self._folder(path.parent, make=True)
        folder.live[path.name] = folder.durable[path.name] = File(data, synced=True)

    def get(self, path: Path) -> bytes:
        return bytes(self._file(path).data)

    def files(self) -> dict[str, bytes]:
        """Return every file with its bytes, as programs see them."""
        found: dict[str, bytes] = {}

        def walk(folder: Folder, prefix: str) -> None:
            for name, node in folder.live.items():
                if isinstance(node, File):
                    found[prefix + name] = bytes(node.data)
                else:
                    walk(node, f"{prefix}{name}/")

        walk(self.top, "/")
        return found

    def put_folder(self, path: Path) -> None:
        """Create a folder and those above it, durably."""
        self._folder(path, make=True)

    def tree(self) -> dict[str, bytes | None]:
        """Return every file with its bytes and every folder with None, those above first."""
        found: dict[str, bytes | None] = {}

        def walk(folder: Folder, prefix: str) -> None:
            for name, node in folder.live.items():
                found[prefix + name] = bytes(node.data) if isinstance(node, File) else None
                if isinstance(node, Folder):
                    walk(node, f"{prefix}{name}/")

        walk(self.top, "/")
        return found

    def copy(self) -> MemoryDisk:
        """Return a copy with the same files, all durable."""
        other = MemoryDisk()
        for name, data in self.files().items():
            other.put(Path(name), data)
        return other

    def after_power_cut(
        self,
        kept: Callable[[int], int] = lambda _: 0,
        *,
        names_kept: bool | Callable[[str], bool] = False,
    ) -> MemoryDisk:
        """Return the disk as the next boot finds it.

        `kept` returns how many of that many unsynced bytes of a file remain. `names_kept` says whether
        unsynced folder operations remain, all of them or those of one name.
        """
        other = MemoryDisk()
        keeps = names_kept if callable(names_kept) else lambda _: bool(names_kept)
        other.top = _crashed(self.top, kept, keeps)
        return other

    def sync_fails(self, path: Path) -> None:
        """Model the page cache after a failed sync of `path`."""
        self._file(path).lose()

    # The methods of `Disk`.

    def open_read(self, path: Path) -> int:
        return self._register(self._file(path))

    def open_append(self, path: Path) -> int:
        return self._register(self._file(path))

    def create(self, path: Path) -> int:
        folder = self._folder(path.parent)
        if path.name in folder.live:
            raise FileExistsError(errno.EEXIST, "File exists", str(path))
        file = folder.live[path.name] = File()
        return self._register(file)

    def close(self, fd: int) -> None:
        if self._locked.pop(fd, None) is None:
            del self._open[fd]

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        return bytes(self._open[fd].data[offset : offset + size])

    def write(self, fd: int, data: memoryview | bytes) -> int:
        self._open[fd].data += data
        return len(data)

    def fdatasync(self, fd: int) -> None:
        self._open[fd].sync()

    def fsync(self, fd: int) -> None:
        self._open[fd].sync()

    def fsync_dir(self, path: Path) -> None:
        self._folder(path).sync()

    def lock_folder(self, path: Path) -> int:
        folder = self._folder(path)
        self._next += 1
        self._locked[self._next] = folder
        return self._next

    def is_at(self, fd: int, path: Path) -> bool:
        return self.exists(path) and self._node(path) is (self._open.get(fd) or self._locked.get(fd))

    def sync_all(self, path: Path) -> None:
        def walk(node: File | Folder) -> None:
            node.sync()
            if isinstance(node, Folder):
                for child in node.live.values():
                    walk(child)

        walk(self.top)

    def size(self, fd: int) -> int:
        return len(self._open[fd].data)

    def size_of(self, path: Path) -> int:
        return len(self._file(path).data)

    def rename(self, source: Path, target: Path) -> None:
        node = self._node(source)
        del self._folder(source.parent).live[source.name]
        self._folder(target.parent).live[target.name] = node

    def unlink(self, path: Path) -> None:
        self._file(path)
        del self._folder(path.parent).live[path.name]

    def mkdir(self, path: Path) -> None:
        parent = self._folder(path.parent)
        if path.name in parent.live:
            raise FileExistsError(errno.EEXIST, "File exists", str(path))
        parent.live[path.name] = Folder()

    def rmdir(self, path: Path) -> None:
        if self._folder(path).live:
            raise OSError(errno.ENOTEMPTY, "Directory not empty", str(path))
        del self._folder(path.parent).live[path.name]

    def listdir(self, path: Path) -> list[str]:
        return list(self._folder(path).live)

    def exists(self, path: Path) -> bool:
        try:
            self._node(path)
        except OSError:
            return False
        return True

    def is_dir(self, path: Path) -> bool:
        return self.exists(path) and isinstance(self._node(path), Folder)

    def free_bytes(self, path: Path) -> int:
        return 1 << 40

    def open_files(self) -> int:
        return len(self._open)

    def _register(self, file: File) -> int:
        self._next += 1
        self._open[self._next] = file
        return self._next

    def _node(self, path: Path) -> File | Folder:
        node: File | Folder = self.top
        for part in path.parts[1:]:
            if not isinstance(node, Folder) or part not in node.live:
                raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))
            node = node.live[part]
        return node

    def _file(self, path: Path) -> File:
        node = self._node(path)
        if isinstance(node, Folder):
            raise IsADirectoryError(errno.EISDIR, "Is a directory", str(path))
        return node

    def _folder(self, path: Path, *, make: bool = False) -> Folder:
        if make and not self.exists(path):
            parent = self._folder(path.parent, make=True)
            parent.live[path.name] = parent.durable[path.name] = Folder()
        node = self._node(path)
        if isinstance(node, File):
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory", str(path))
        return node


def _crashed(folder: Folder, kept: Callable[[int], int], keeps: Callable[[str], bool]) -> Folder:
    other = Folder()
    for name in sorted({*folder.live, *folder.durable}):
        node = (folder.live if keeps(name) else folder.durable).get(name)
        if isinstance(node, File):
            other.live[name] = node.after_crash(kept(node.unsynced()))
        elif node is not None:
            other.live[name] = _crashed(node, kept, keeps)
    other.sync()
    return other


CHANGES = (
    "create",
    "write",
    "fdatasync",
    "fsync",
    "fsync_dir",
    "sync_all",
    "rename",
    "unlink",
    "mkdir",
    "rmdir",
)
READS = ("lock_folder", "open_read", "open_append", "pread", "size", "size_of", "listdir")
CALLS = CHANGES + READS


class FaultyDisk(Disk):
    """Wraps `inner` and makes chosen calls fail.

    `fail(op, nth, error, times)` raises `error` at the nth call of `op` (0-based; `op` "any change"
    counts all of CHANGES) and at the `times - 1` calls of it after that. `short(nth, size)` makes the nth
    write write only `size` bytes. `calls` counts every call by name, `fired` the faults that happened.
    """

    def __init__(self, inner: Disk) -> None:
        self.inner = inner
        self.calls: dict[str, int] = dict.fromkeys((*CALLS, "any change", "any"), 0)
        self.fired = 0
        self.log: list[str] = []
        self._faults: list[tuple[str, int, int, BaseException]] = []
        self._short: dict[int, int] = {}
        self.on_sync_error: Callable[[], None] = lambda: None

    def fail(self, op: str, nth: int, error: BaseException, times: int = 1) -> FaultyDisk:
        self._faults.append((op, nth, nth + times, error))
        return self

    def short(self, nth: int, size: int) -> FaultyDisk:
        self._short[nth] = size
        return self

    def _before(self, op: str) -> int:
        nth = self.calls[op]
        counted = {op: nth, "any": self.calls["any"]}
        if op in CHANGES:
            counted["any change"] = self.calls["any change"]
        for name in counted:
            self.calls[name] += 1
        self.log.append(op)
        for name, first, end, error in self._faults:
            if first <= counted.get(name, -1) < end:
                self.fired += 1
                if op in ("fdatasync", "fsync", "sync_all"):
                    self.on_sync_error()
                raise error
        return nth

    def open_read(self, path: Path) -> int:
        self._before("open_read")
        return self.inner.open_read(path)

    def open_append(self, path: Path) -> int:
        self._before("open_append")
        return self.inner.open_append(path)

    def create(self, path: Path) -> int:
        self._before("create")
        return self.inner.create(path)

    def close(self, fd: int) -> None:
        self.inner.close(fd)

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        self._before("pread")
        return self.inner.pread(fd, size, offset)

    def write(self, fd: int, data: memoryview | bytes) -> int:
        nth = self._before("write")
        if nth in self._short:
            self.fired += 1
            data = memoryview(data)[: self._short[nth]]
        return self.inner.write(fd, data)

    def fdatasync(self, fd: int) -> None:
        self._before("fdatasync")
        self.inner.fdatasync(fd)

    def fsync(self, fd: int) -> None:
        self._before("fsync")
        self.inner.fsync(fd)

    def fsync_dir(self, path: Path) -> None:
        self._before("fsync_dir")
        self.inner.fsync_dir(path)

    def lock_folder(self, path: Path) -> int:
        self._before("lock_folder")
        return self.inner.lock_folder(path)

    def is_at(self, fd: int, path: Path) -> bool:
        return self.inner.is_at(fd, path)

    def sync_all(self, path: Path) -> None:
        self._before("sync_all")
        self.inner.sync_all(path)

    def size(self, fd: int) -> int:
        self._before("size")
        return self.inner.size(fd)

    def size_of(self, path: Path) -> int:
        self._before("size_of")
        return self.inner.size_of(path)

    def rename(self, source: Path, target: Path) -> None:
        self._before("rename")
        self.inner.rename(source, target)

    def unlink(self, path: Path) -> None:
        self._before("unlink")
        self.inner.unlink(path)

    def mkdir(self, path: Path) -> None:
        self._before("mkdir")
        self.inner.mkdir(path)

    def rmdir(self, path: Path) -> None:
        self._before("rmdir")
        self.inner.rmdir(path)

    def listdir(self, path: Path) -> list[str]:
        self._before("listdir")
        return self.inner.listdir(path)

    def exists(self, path: Path) -> bool:
        return self.inner.exists(path)

    def is_dir(self, path: Path) -> bool:
        return self.inner.is_dir(path)

    def free_bytes(self, path: Path) -> int:
        return self.inner.free_bytes(path)


def error(number: int) -> OSError:
    """Return a new OSError with this errno and the usual text."""
    texts = {
        errno.EIO: "Input/output error",
        errno.ENOSPC: "No space left on device",
        errno.EINTR: "Interrupted system call",
    }
    return OSError(number, texts[number])
