"""Sessions of a journal writer on a strict file system, and what must hold after a crash at any point.

`explore` runs a session, collects the states that a loss of power can leave (`strict.py`), starts the journal
again from each, and checks:

- I1, I6: every acknowledged frame is there, and so every command that was released;
- I2: what is recovered is a prefix of what was written, frame by frame and byte for byte;
- I3: damage that is not the tail is reported with no file changed;
- the epoch rises, the journal takes more frames, and `verify` then finds nothing.

The start is a session like any other, so it is crashed as well, up to a depth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

import msgspec

from engine.errors import EngineError, JournalError
from engine.journal import (
    Draft,
    Fence,
    Frame,
    JournalWriter,
    ensure_identity,
    list_days,
    list_segments,
    make_root,
    read_frames,
    recover,
    seal_day,
    verify_journal,
)
from engine.journal.disk import Disk

from .disks import MemoryDisk
from .kit import JOURNAL_ID, NEXT_NOON, NOON, Salts, content, drafts
from .strict import Recorder, State, digest_of, on_disk

__all__ = ["ROOT", "Broken", "Crashes", "Killed", "Ledger", "Work", "session", "wrote"]

ROOT = Path("/data/venue/journal")
NEW_DAY_SEQ = 20
"""Frames from this seq on belong to the next day."""


class Broken(AssertionError):
    """A promise of the journal does not hold after a crash."""


class Killed(BaseException):
    """The process is killed. A BaseException, so that no code catches it and continues."""


class Ledger(msgspec.Struct):
    """What sessions did so far: frames they began to write, seqs acknowledged and released, the epoch.

    `found` are the segments with which each start began. Frames have about `size` bytes.
    """

    size: int = 300
    written: list[Draft] = []
    acknowledged: int = 0
    released: int = 0
    epoch: int = 0
    found: list[tuple[str, bytes]] = []

    def copy(self) -> Ledger:
        """Return a copy that another session can continue."""
        return Ledger(
            self.size, list(self.written), self.acknowledged, self.released, self.epoch, list(self.found)
        )


Work = Callable[[Recorder, Ledger], None]


class _Found(msgspec.Struct):
    state: State
    ledger: Ledger
    images: dict[str, bytes]


def wrote(frames: Sequence[Frame]) -> list[Draft]:
    return [Draft(f.first_seq, f.count, f.inputs, f.derived, f.flags) for f in frames]


def session(
    disk: Disk,
    ledger: Ledger,
    *,
    frames: int = 2,
    images: dict[str, bytes] | None = None,
    segment_bytes_max: int = 2000,
) -> None:
    """Open the journal as an engine does, check it against the ledger, and append so many frames.

    `images` are the segments as they were when the crash happened.
    """
    make_root(ROOT, disk)
    ensure_identity(ROOT, JOURNAL_ID, disk)
    fence = Fence(ROOT, ledger.epoch.to_bytes(16, "big"), disk)
    require(fence.epoch > ledger.epoch, f"the epoch went from {ledger.epoch} to {fence.epoch}")
    ledger.epoch = fence.epoch
    recovered = recover(ROOT, disk=disk)
    found = wrote([frame for day in list_days(ROOT, disk) for frame in read_frames(day.path, disk=disk)])
    end = found[-1].first_seq + found[-1].count - 1 if found else 0
    require(end == recovered.end_seq, f"recovery ends at {recovered.end_seq}, the frames at {end}")
    require(end >= ledger.acknowledged, f"seq {ledger.acknowledged} was acknowledged, the end is {end}")
    require(end >= ledger.released, f"a command of seq {ledger.released} was released, the end is {end}")
    require(content(found) == content(ledger.written[: len(found)]), "other frames than those written")
    for path, data in segments(disk).items() if images is not None else ():
        whole = images.get(path, b"") if images is not None else b""
        require(whole[: len(data)] == data, f"{path} is not a prefix of what was written")
    ledger.written = found
    salts = Salts(1000 * ledger.epoch)
    with JournalWriter(
        ROOT, recovered.tail, salts=salts, segment_bytes_max=segment_bytes_max, disk=disk, fence=fence
    ) as writer:
        for draft in drafts(frames, first_seq=end + 1, size=ledger.size + 90 * ledger.epoch):
            ledger.written.append(draft)
            writer.append(draft, NEXT_NOON if draft.first_seq >= NEW_DAY_SEQ else NOON)
            ledger.acknowledged = ledger.released = writer.durable_seq


def segments(disk: Disk) -> dict[str, bytes]:
    """Return the plain segments of a disk."""
    assert isinstance(disk, MemoryDisk)
    return {name: data for name, data in disk.files().items() if name.endswith(".seg")}


def require(holds: bool, what: str) -> None:
    if not holds:
        raise Broken(what)


class Crashes:
    """Explores crash states. `seen` are the digests of those that were checked."""

    def __init__(self, seed: int = 1, *, each: int = 2, depth: int = 1) -> None:
        self.seen: set[bytes] = set()
        self._checked: set[tuple[bytes, int, int]] = set()
        self.damaged = 0
        self._random = Random(seed)
        self._each = each
        self._depth = depth

    def explore(self, work: Work, *, size: int = 300) -> None:
        """Check every state that a crash during `work` can leave. Raises Broken."""
        self._explore(work, MemoryDisk(), Ledger(size), self._depth)

    def _explore(self, work: Work, disk: MemoryDisk, ledger: Ledger, depth: int) -> None:
        found: dict[bytes, _Found] = {}

        def add(state: State) -> None:
            digest = digest_of(state)
            known = found.get(digest)
            if known is None or known.ledger.acknowledged < ledger.acknowledged:
                found[digest] = _Found(state, ledger.copy(), recorder.segments())

        recorder = Recorder(disk, self._random.getrandbits(32), self._each, add)
        try:
            work(recorder, ledger)
        except EngineError as error:
            raise Broken(f"a session does not go on: {error}") from error
        recorder.look()
        for digest, one in found.items():
            what = (digest, one.ledger.acknowledged, one.ledger.epoch)
            if what in self._checked:
                continue
            self._checked.add(what)
            self.seen.add(digest)
            one.ledger.found += segments_in(one.state)
            self._check(one)
            if depth > 1 and self._random.random() < 0.3 ** (self._depth - depth):
                self._explore(start, on_disk(one.state), one.ledger.copy(), depth - 1)

    def _check(self, found: _Found) -> None:
        disk = on_disk(found.state)
        try:
            session(disk, found.ledger.copy(), frames=2, images=found.images)
            report = verify_journal(ROOT, disk=disk)
        except EngineError as error:
            raise Broken(f"the journal cannot be opened after a crash: {error}") from error
        require(report.torn is None, "a torn tail is left")
        _check_saved(found.ledger.found, disk)
        if len(self.seen) % 5 == 0:
            self._damage(disk)

    def _damage(self, disk: MemoryDisk) -> None:
        """Change a byte that is not in the last frame: the start refuses it and changes nothing (I3)."""
        newest = list_days(ROOT, disk)[-1]
        files = list_segments(newest.path, disk)
        last = list(read_frames(files[-1].path, disk=disk))
        if len(files) > 1 and (not last or self._random.random() < 0.5):
            path, limit = files[0].path, len(disk.get(files[0].path))
        else:
            path, limit = files[-1].path, last[-1].offset if last else 0
        if limit:
            data = bytearray(disk.get(path))
            data[self._random.randrange(limit)] ^= 1 << self._random.randrange(8)
            disk.put(path, bytes(data))
            before = disk.files()
            try:
                recover(ROOT, disk=disk)
            except EngineError:
                require(disk.files() == before, "a file was changed although the start was refused")
                self.damaged += 1
            else:
                raise Broken(f"{path} was damaged, and the journal opened")


def _check_saved(before: list[tuple[str, bytes]], disk: MemoryDisk) -> None:
    """Check that what segments held before a start is still in them, or in `damaged/`."""
    files = disk.files()
    saved = [data for name, data in files.items() if "/damaged/" in name]
    for name, data in before:
        if f"{name}.zst" not in files:
            now = files.get(name, b"")
            kept = next((n for n in range(min(len(now), len(data)), -1, -1) if now[:n] == data[:n]), 0)
            rest = data[kept:]
            require(not rest or any(one.endswith(rest) for one in saved), f"bytes of {name} are nowhere")


def segments_in(state: State) -> list[tuple[str, bytes]]:
    """Return the plain segments of a state."""
    return [(name, data) for name, data in state.items() if data is not None and name.endswith(".seg")]


def start(recorder: Recorder, ledger: Ledger) -> None:
    """A start after a crash, and one frame."""
    session(recorder, ledger, frames=1)


def sessions(recorder: Recorder, ledger: Ledger) -> None:
    """A new journal in new folders, with segments of two days, and a session that continues it."""
    session(recorder, ledger, frames=8)
    session(recorder, ledger, frames=2)


def sync_failed(number: int) -> Work:
    """Return sessions of which the sync with this number fails. The process ends, and the next one starts."""

    def work(recorder: Recorder, ledger: Ledger) -> None:
        recorder.fails = number
        with suppress(JournalError):
            session(recorder, ledger, frames=4)
        recorder.fails = -1
        session(recorder, ledger, frames=2)

    return work


def killed(number: int) -> Work:
    """Return sessions of which the first is killed before the change with this number. The power stays on."""

    def kill(call: int) -> None:
        if call == number:
            raise Killed

    def work(recorder: Recorder, ledger: Ledger) -> None:
        recorder.kill = kill
        with suppress(Killed):
            session(recorder, ledger, frames=4)
        recorder.kill = lambda _: None
        session(recorder, ledger, frames=2)

    return work


def sealing(recorder: Recorder, ledger: Ledger) -> None:
    """Both days are sealed while they are the newest, with a session after each."""
    session(recorder, ledger, frames=8)
    for day in list_days(ROOT, recorder):
        seal_day(day.path, newest=True, chunk_bytes=600, disk=recorder)
        session(recorder, ledger, frames=1)


def count() -> tuple[int, int]:
    """Return how many changes, and syncs of files, a session of four frames in a new journal makes."""
    recorder = Recorder(MemoryDisk(), 0, 0, lambda _: None)
    session(recorder, Ledger(), frames=4)
    return recorder.calls, recorder.syncs
