"""The lock of a store's writer, for stores in files. The kernel releases it when the process ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from engine.stores.errors import StoreUnavailable, unreachable

__all__ = ["WriterLock"]


class WriterLock:
    """A lock on `<name>.lock` beside the path.

    Raises StoreUnavailable ("locked") when it is held, by this process or another.
    """

    def __init__(self, path: Path) -> None:
        name = path.with_name(path.name + ".lock")
        try:
            self._fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise unreachable(path, error) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._fd)
            raise StoreUnavailable(
                f"{path}: the store already has a writer; stop that one first", reason="locked"
            ) from error

    def release(self) -> None:
        """Release the lock. A second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
