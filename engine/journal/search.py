"""Finds the few frames of a day whose inputs hold given bytes, without decoding the others.

Reads the bytes of each segment and looks for the needles in them; only a segment that holds one is read frame
by frame, up to its last hit. Called by readers that join days, which need the instruments listed within a
day.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from engine.errors import JournalDamaged

from .catalog import SegmentFile
from .disk import DISK, Disk
from .frame import Frame
from .reader import read_frames, segments_at
from .source import SourceFault, open_source

__all__ = ["find_frames"]

_CHUNK = 1024 * 1024  # bytes searched at a time


def find_frames(path: Path, needles: tuple[bytes, ...], *, disk: Disk = DISK) -> Iterator[Frame]:
    """Yield the frames of a day whose inputs hold one of `needles`.

    The chain is not verified. Raises JournalError if there is no segment at `path`, JournalDamaged,
    JournalVersionError.
    """
    for segment in segments_at(path, disk):
        last = _last_hit(segment, needles, disk)
        if last < 0:
            continue
        for frame in read_frames(segment.path, disk=disk, verify_digest=False):
            if frame.offset > last:
                break
            if any(needle in frame.inputs for needle in needles):
                yield frame


def _last_hit(segment: SegmentFile, needles: tuple[bytes, ...], disk: Disk) -> int:
    """Return the offset of the last needle in the plain segment, -1 if it holds none."""
    overlap = max(map(len, needles)) - 1
    before, tail, last = 0, b"", -1
    try:
        source = open_source(segment, disk, whole=False)
        try:
            while part := source.read(_CHUNK):
                data = tail + part
                found = max(data.rfind(needle) for needle in needles)
                if found >= 0:
                    last = before + found
                tail = data[-overlap:] if overlap else b""
                before += len(data) - len(tail)
        finally:
            source.close()
    except SourceFault as fault:
        raise JournalDamaged(
            fault.reason, file=str(segment.path), offset=fault.offset, seq=segment.first_seq
        ) from fault
    return last
