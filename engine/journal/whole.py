"""Writes files in one step: whole and durable, or not at all.

Not for the journal, which only grows: for results beside it, such as pages, tables and the files of a sweep.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from engine.journal.disk import DISK, Disk, write_all

__all__ = ["is_leftover", "write_whole"]

_UNFINISHED = ".unfinished"


def write_whole(path: Path, data: bytes, disk: Disk = DISK) -> None:
    """Write a file, or replace its content. A link stays a link, and a file keeps its permissions.

    The bytes go to a hidden file beside it, which then takes the name: a write that fails leaves what was
    there, and raises OSError. A process that is killed may leave the hidden file, which nothing reads.
    """
    target = path.resolve()
    scratch = target.with_name(f".{target.name}.{os.getpid()}{_UNFINISHED}")
    if disk.exists(scratch):
        disk.unlink(scratch)  # of a process that had this number and was killed
    fd = disk.create(scratch)
    try:
        try:
            write_all(disk, fd, data)
            disk.fsync(fd)
        finally:
            disk.close(fd)
        if target.exists():
            scratch.chmod(target.stat().st_mode & 0o777)
        disk.rename(scratch, target)
    except BaseException:
        with suppress(OSError):
            disk.unlink(scratch)
        raise
    disk.fsync_dir(target.parent)


def is_leftover(name: str) -> bool:
    """Return whether a file is what a killed process left of a write."""
    return name.startswith(".") and name.endswith(_UNFINISHED)
