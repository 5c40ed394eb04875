"""One writer per journal: a lock on the file `LOCK` in its root.

The kernel releases the lock when the process ends, SIGKILL included, so there are no stale locks. The
file keeps the pid of the last holder for the error message.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from engine.errors import JournalError, JournalLocked

__all__ = ["LOCK_NAME", "JournalLock"]

LOCK_NAME = "LOCK"


class JournalLock:
    """Holds the lock of a journal root from construction to `release`, or as a context manager.

    Raises JournalLocked, naming the process, when another one holds it; JournalError when the root
    cannot be written. A second lock in the same process is refused as well.
    """

    def __init__(self, root: Path) -> None:
        self.path = root / LOCK_NAME
        self._fd = -1
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            reason = error.strerror or error
            raise JournalError(f"{root}: the journal cannot be opened for writing: {reason}") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError as error:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise JournalLocked(
                f"{root}: the journal is in use by process {holder}; stop that process first"
            ) from error
        except OSError as error:
            os.close(fd)
            raise JournalError(f"{root}: the journal cannot be locked: {error.strerror or error}") from error
        self._fd = fd

    def release(self) -> None:
        """Release the lock. A second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> JournalLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
