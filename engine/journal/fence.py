"""The epoch of a journal: which of two writers is the newer one, where the lock does not tell.

A lock keeps a second writer out on one machine. It does not where the folder is shared by a file system that
has no locks across machines, or is mounted twice. So each opening for writing also replaces the file `EPOCH`:

    root/EPOCH    a number that rises with each opening, a space, 32 random hex digits, a newline

The newest opening is the one whose content is in the file. A writer compares it before it writes a frame, and
again after the sync, before the frame counts as durable: a frame is acknowledged only if no other writer had
opened the journal by the time it was on the disk, so the recovery of that writer finds it. The older one of
two writers stops. Called under the lock, before recovery; `check` by the `JournalWriter`.

A copy of a journal is another folder, with an `EPOCH` of its own: two engines on two copies are not found.
"""

from __future__ import annotations

import errno
import re
from pathlib import Path
from typing import Final

from engine.errors import JournalDamaged, JournalError

from .catalog import TEMPORARY_SUFFIX
from .disk import DISK, Disk, uninterrupted, write_all

__all__ = ["EPOCH_NAME", "TOKEN_SIZE", "Fence"]

EPOCH_NAME: Final = "EPOCH"
TOKEN_SIZE: Final = 16
_CONTENT: Final = re.compile(rb"(0|[1-9][0-9]{0,17}) [0-9a-f]{32}\n")
_BYTES_MAX: Final = 64


class Fence:
    """One opening of a journal for writing. `epoch` is its number, from 1.

    `token` is 16 random bytes: two writers that open at the same time take the same number. Raises
    JournalDamaged if the file is not an epoch, JournalError if it cannot be written.
    """

    def __init__(self, root: Path, token: bytes, disk: Disk = DISK) -> None:
        if len(token) != TOKEN_SIZE:
            raise ValueError(f"a token has {TOKEN_SIZE} bytes, not {len(token)}")
        self.path = root / EPOCH_NAME
        self.epoch = 0
        self._token = token
        self._disk = disk
        self._content = b""
        self.rise(0)

    def rise(self, above: int) -> None:
        """Take a number above `above` and above the one in the file, durably.

        `above` is the epoch that the journal has recorded: the file may be lost or older.
        """
        number = max(above, self._recorded()) + 1
        content = f"{number} {self._token.hex()}\n".encode()
        disk, temporary = self._disk, self.path.with_name(EPOCH_NAME + TEMPORARY_SUFFIX)
        try:
            if disk.exists(temporary):
                uninterrupted(disk.unlink, temporary)
            fd = uninterrupted(disk.create, temporary)
            try:
                write_all(disk, fd, content)
                uninterrupted(disk.fsync, fd)
            finally:
                disk.close(fd)
            uninterrupted(disk.rename, temporary, self.path)
            uninterrupted(disk.fsync_dir, self.path.parent)
        except OSError as error:
            reason = error.strerror or error
            raise JournalError(f"{self.path}: the journal cannot be opened for writing: {reason}") from error
        self.epoch, self._content = number, content

    def check(self) -> None:
        """Raise OSError unless this is still the newest opening of the journal."""
        found = self._read()
        if found == self._content:
            return
        match = _CONTENT.fullmatch(found)
        if match is None:
            reason = f"{EPOCH_NAME} was removed or changed, so another engine may write this journal"
        else:
            reason = (
                f"another engine has opened this journal (epoch {match[1].decode()}, ours is {self.epoch})"
            )
        raise OSError(errno.ESTALE, reason)

    def _recorded(self) -> int:
        """Return the number in the file, 0 without one."""
        try:
            found = self._read()
        except OSError as error:
            reason = f"cannot be read: {error.strerror or error}"
            raise JournalDamaged(reason, file=str(self.path), offset=0, seq=0) from error
        match = _CONTENT.fullmatch(found)
        if found and match is None:
            reason = "the file must hold a number and 32 hex digits; move it elsewhere and start again"
            raise JournalDamaged(reason, file=str(self.path), offset=0, seq=0)
        return int(match[1]) if match else 0

    def _read(self) -> bytes:
        """Return the content of the file, b"" if there is none. Raises OSError."""
        try:
            fd = uninterrupted(self._disk.open_read, self.path)
        except FileNotFoundError:
            return b""
        try:
            return uninterrupted(self._disk.pread, fd, _BYTES_MAX, 0)
        finally:
            self._disk.close(fd)
