"""The journal: segments, frames, recovery and sealing.

Handles frames of bytes, not events: `engine/events/codec.py` packs and unpacks their content. The
format is described byte by byte in `journal/README.md` at the top of the repository, and in `frame.py`,
`segment.py` and `sealed.py` beside the code that reads it.

To open a journal for writing, call in this order: `JournalLock`, `ensure_identity`, `Fence`, `recover`,
`JournalWriter`. A reader needs only `read_frames`.
"""

from .catalog import (
    DayFolder,
    SegmentFile,
    ensure_identity,
    has_begun,
    list_days,
    list_segments,
    make_root,
    read_identity,
)
from .day import DAY_NS, day_name, day_of_ns, day_start_ns, parse_day
from .disk import DISK, Disk
from .fence import Fence
from .frame import COUNT_MAX, FLAG_CLEAN_STOP, FRAME_BYTES_MAX, ZERO_DIGEST, Digest, Draft, Frame
from .headers import Day, belongs, read_headers, sort_days
from .lock import JournalLock
from .reader import FrameReader, TornTail, read_frames
from .recovery import Recovered, Witness, recover
from .repair import Repair
from .seal import SealReport, seal_day
from .search import find_frames
from .segment import FORMAT_VERSION, SegmentInfo
from .staging import DayBuilder, Staging
from .verify import DayReport, JournalReport, verify_day, verify_journal
from .whole import is_leftover, write_whole
from .writer import SEGMENT_BYTES_MAX, JournalWriter, Tail

__all__ = [
    "COUNT_MAX",
    "DAY_NS",
    "DISK",
    "FLAG_CLEAN_STOP",
    "FORMAT_VERSION",
    "FRAME_BYTES_MAX",
    "SEGMENT_BYTES_MAX",
    "ZERO_DIGEST",
    "Day",
    "DayBuilder",
    "DayFolder",
    "DayReport",
    "Digest",
    "Disk",
    "Draft",
    "Fence",
    "Frame",
    "FrameReader",
    "JournalLock",
    "JournalReport",
    "JournalWriter",
    "Recovered",
    "Repair",
    "SealReport",
    "SegmentFile",
    "SegmentInfo",
    "Staging",
    "Tail",
    "TornTail",
    "Witness",
    "belongs",
    "day_name",
    "day_of_ns",
    "day_start_ns",
    "ensure_identity",
    "find_frames",
    "has_begun",
    "is_leftover",
    "list_days",
    "list_segments",
    "make_root",
    "parse_day",
    "read_frames",
    "read_headers",
    "read_identity",
    "recover",
    "seal_day",
    "sort_days",
    "verify_day",
    "verify_journal",
    "write_whole",
]
