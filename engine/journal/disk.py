"""The disk: the only calls through which the journal accesses files.

`Disk` calls the operating system. Tests replace it with one that loses power, fails the n-th call, writes
less than requested, or is interrupted. A method is one system call and raises OSError as that does. Retrying
an interrupted call is done by the caller with `uninterrupted`, so that tests cover it as well.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from engine.errors import JournalDamaged

__all__ = ["DISK", "Disk", "file_size", "make_folders", "uninterrupted", "write_all"]

P = ParamSpec("P")
T = TypeVar("T")

_INTERRUPTS_MAX = 1000  # a call that is interrupted this often in a row fails
_NO_FILE = "is not a regular file"


class Disk:
    """Files and folders of the operating system. Sizes and offsets are bytes."""

    withheld = 0o077
    """Permissions that new files and folders do not have, besides the umask of the process.

    A journal shows what its owner trades. The command line sets it (`engine --umask`).
    """

    def open_read(self, path: Path) -> int:
        """Open a file. Does not wait for the other end of a pipe; raises OSError for what is not a file."""
        return _regular(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), path)

    def open_append(self, path: Path) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
        return _regular(os.open(path, flags), path)

    def create(self, path: Path) -> int:
        """Create a file and open it for appending. Raises FileExistsError if it exists."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return os.open(path, flags, 0o666 & ~self.withheld)

    def close(self, fd: int) -> None:
        os.close(fd)

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        return os.pread(fd, size, offset)

    def write(self, fd: int, data: memoryview | bytes) -> int:
        return os.write(fd, data)

    def fdatasync(self, fd: int) -> None:
        os.fdatasync(fd)

    def fsync(self, fd: int) -> None:
        os.fsync(fd)

    def fsync_dir(self, path: Path) -> None:
        """Make creations, renames and removals in the folder durable."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def lock_folder(self, path: Path) -> int:
        """Open a folder and lock it until it is closed. Raises BlockingIOError while another one holds it."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def is_at(self, fd: int, path: Path) -> bool:
        """Return whether `path` still leads to the open file: not removed, moved or replaced."""
        try:
            return os.path.samestat(os.fstat(fd), path.stat(follow_symlinks=False))
        except FileNotFoundError:
            return False

    def sync_all(self, path: Path) -> None:
        """Make all that was written to the file system of a folder durable: bytes, names, renames.

        Costs one pass for any number of files. A system without syncfs(2) syncs every file system.
        """
        libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(libc, "syncfs"):
            os.sync()
            return
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if libc.syncfs(fd):
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
        finally:
            os.close(fd)

    def size(self, fd: int) -> int:
        return os.fstat(fd).st_size

    def size_of(self, path: Path) -> int:
        """Return the size of a file. Raises OSError for what is not a file."""
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, _NO_FILE, str(path))
        return found.st_size

    def rename(self, source: Path, target: Path) -> None:
        source.rename(target)

    def unlink(self, path: Path) -> None:
        path.unlink()

    def mkdir(self, path: Path) -> None:
        path.mkdir(0o777 & ~self.withheld)

    def rmdir(self, path: Path) -> None:
        path.rmdir()

    def listdir(self, path: Path) -> list[str]:
        return [entry.name for entry in path.iterdir()]

    def exists(self, path: Path) -> bool:
        return os.path.lexists(path)

    def is_dir(self, path: Path) -> bool:
        return path.is_dir()

    def free_bytes(self, path: Path) -> int:
        """Return the free bytes, for an ordinary user, of the file system of `path`."""
        stat = os.statvfs(path)
        return stat.f_bavail * stat.f_frsize


DISK = Disk()


def _regular(fd: int, path: Path) -> int:
    """Return `fd` if it is a regular file; close it and raise OSError if not."""
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, _NO_FILE, str(path))


def make_folders(path: Path, disk: Disk = DISK) -> list[Path]:
    """Make a folder and those above it, durably; return those that did not exist, outermost first.

    A folder whose parent is not synced can vanish in a loss of power, with all that was synced inside it.
    Raises OSError.
    """
    missing: list[Path] = []
    above = path.absolute()
    while not disk.exists(above):
        missing.append(above)
        above = above.parent
    made: list[Path] = []
    for folder in reversed(missing):
        try:
            uninterrupted(disk.mkdir, folder)
        except FileExistsError:
            continue
        uninterrupted(disk.fsync_dir, folder.parent)
        made.append(folder)
    return made


def uninterrupted(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call again while signals interrupt. Raises InterruptedError after 1000 interruptions in a row."""
    for _ in range(_INTERRUPTS_MAX):
        try:
            return call(*args, **kwargs)
        except InterruptedError:
            continue
    raise InterruptedError(errno.EINTR, "interrupted 1000 times in a row")


def file_size(path: Path, disk: Disk = DISK) -> int:
    """Return the size of a file in bytes. Raises JournalDamaged if it cannot be read."""
    try:
        return uninterrupted(disk.size_of, path)
    except OSError as error:
        reason = f"cannot be read: {error.strerror or error}"
        raise JournalDamaged(reason, file=str(path), offset=0, seq=0) from error


def write_all(disk: Disk, fd: int, data: bytes) -> int:
    """Append all of `data`, continuing after short writes. Return the number of write calls.

    Raises OSError when a write fails or writes nothing.
    """
    calls = 0
    view = memoryview(data)
    while view:
        taken = uninterrupted(disk.write, fd, view)
        calls += 1
        if not 0 < taken <= len(view):
            raise OSError(errno.EIO, f"a write of {len(view)} bytes wrote {taken}")
        view = view[taken:]
    return calls
