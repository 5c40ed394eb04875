"""One writer per journal: a lock on the folder itself, and on the file `LOCK` in it.

The kernel releases both when the process ends, SIGKILL included, so there are no stale locks. The lock of the
folder is the one that counts: a file can be removed or replaced while it is locked. Earlier versions lock the
file only, so it is locked as well; it keeps the pid of the last holder for the error message. A `LOCK` that
is not a small file of our own is refused and left as it is: it may be a link to something else.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from pathlib import Path
from types import TracebackType
from typing import Final

from engine.errors import JournalError, JournalLocked

__all__ = ["LOCK_NAME", "JournalLock", "living_holder"]

LOCK_NAME = "LOCK"

_CONTENT: Final = re.compile(rb"[0-9]{0,20} *\n?")
_BYTES: Final = 32
"""The pid is padded to this size, so that it replaces a longer one without cutting the file."""


class JournalLock:
    """Holds the lock of a journal root from construction to `release`, or as a context manager.

    Raises JournalLocked, naming the process, when another one holds it; JournalError when the root
    cannot be written. A second lock in the same process is refused as well.
    """

    def __init__(self, root: Path) -> None:
        self.path = root / LOCK_NAME
        self._fds: list[int] = []
        try:
            folder = self._open(root, os.O_RDONLY | os.O_DIRECTORY)
            file = self._open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            self.release()
            where = self.path if error.filename == str(self.path) and root.is_dir() else root
            reason = error.strerror or error
            raise JournalError(f"{where}: the journal cannot be opened for writing: {reason}") from error
        try:
            self._check(file)
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.pwrite(file, f"{os.getpid()}".ljust(_BYTES - 1).encode() + b"\n", 0)
        except BlockingIOError as error:
            holder = os.pread(file, _BYTES, 0).decode("ascii", "replace").strip() or "unknown"
            self.release()
            raise JournalLocked(
                f"{root}: the journal is in use by process {holder}; stop that process first"
            ) from error
        except OSError as error:
            self.release()
            raise JournalError(f"{root}: the journal cannot be locked: {error.strerror or error}") from error
        except JournalError:
            self.release()
            raise

    def release(self) -> None:
        """Release the lock. A second call does nothing."""
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()

    def __enter__(self) -> JournalLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _open(self, path: Path, flags: int) -> int:
        fd = os.open(path, flags | os.O_CLOEXEC, 0o666)
        self._fds.append(fd)
        return fd

    def _check(self, fd: int) -> None:
        """Raise JournalError unless the file is a lock: empty, or a pid."""
        found = os.fstat(fd)
        small = stat.S_ISREG(found.st_mode) and found.st_size <= _BYTES and found.st_nlink == 1
        if not small or not _CONTENT.fullmatch(os.pread(fd, _BYTES, 0)):
            raise JournalError(
                f"{self.path}: is not the lock of a journal and was not changed; move it elsewhere"
            )


def living_holder(root: Path) -> int | None:
    """Return the process that holds the lock of a journal, or held it last, if it lives. Takes no lock."""
    try:
        fd = os.open(root / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            pid = int(os.pread(fd, _BYTES, 0))
        finally:
            os.close(fd)
    except (OSError, ValueError):
        return None
    try:
        if pid > 0:
            os.kill(pid, 0)
    except PermissionError:  # another user's
        return pid
    except (OSError, OverflowError):
        return None
    return pid if pid > 0 else None
