"""Bugs planted in the writer, recovery and sealing, which the crash states of the journal must find."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch
from zlib import crc32

from engine.journal import Draft, JournalWriter, list_segments, repair
from engine.journal import reader as reader_module
from engine.journal.frame import HEADER_BODY
from tests.journal.crashes import Crashes, count, killed, sealing, sessions, sync_failed
from tests.journal.strict import Recorder

__all__ = ["BUGS", "OMITTED", "lengths_uncovered", "look_for_crashes"]


def look_for_crashes() -> None:
    """Explore crash states of every kind of session. Raises Broken."""
    for seed in range(3):
        crashes = Crashes(seed, each=6)
        crashes.explore(sessions)
        crashes.explore(sealing)
        changes, syncs = count()
        for number in range(syncs):
            crashes.explore(sync_failed(number))
        for number in range(seed, changes, 3):
            crashes.explore(killed(number))
        crashes = Crashes(seed, each=0, depth=2)
        crashes.explore(sessions)


@contextmanager
def omitted(call: str, functions: str) -> Iterator[None]:
    """Leave out the calls of a method of the disk that these functions of the journal make."""
    original = getattr(Recorder, call)

    def calls(self: Recorder, where: Any) -> None:
        frame = sys._getframe(1)
        while frame.f_code.co_name == "uninterrupted" and frame.f_back is not None:
            frame = frame.f_back
        if frame.f_code.co_name not in functions.split():
            original(self, where)

    with patch.object(Recorder, call, calls):
        yield


OMITTED = [
    ("fsync_dir", "make_folders _sync_above"),
    ("fsync_dir", "_sync_above"),
    ("fsync_dir", "_write_identity rise carry_out"),
    ("fsync_dir", "_open_folder"),
    ("fsync_dir", "_roll"),
    ("fsync_dir", "rise"),
    ("fsync_dir", "_save"),
    ("fsync_dir", "_rewrite carry_out"),
    ("fsync_dir", "_seal"),
    ("fsync", "_write_identity"),
    ("fsync", "_roll"),
    ("fsync", "rise"),
    ("fsync", "_copy"),
    ("fsync", "_pack"),
    ("fdatasync", "_sync_data"),
]
"""X02: calls that are left out, with the functions that make them. Several are named where one is enough."""


class SyncsLater(JournalWriter):
    """X01: acknowledges a frame, and syncs it before the next one."""

    def _sync_data(self) -> None:
        pending, self.__dict__["pending"] = self.__dict__.get("pending", False), True
        if pending:
            super()._sync_data()

    def _roll(self, day: int, at_ns: int) -> None:
        if self.__dict__.pop("pending", False):
            super()._sync_data()
        super()._roll(day, at_ns)


class SyncsTwoAtOnce(JournalWriter):
    """X03: writes a second frame before the first one is synced. Both are acknowledged after the sync."""

    def append(self, draft: Draft, at_ns: int) -> bytes:
        self._sync = not self._sync
        return super().append(draft, at_ns)


def writes_with(writer: type[JournalWriter]) -> AbstractContextManager[Any]:
    return patch("tests.journal.crashes.JournalWriter", writer)


def short_frame_is_a_tear() -> AbstractContextManager[Any]:
    """X04: a frame that fails a check is cut without looking for a valid header after it."""
    return patch("engine.journal.recovery.find_header", lambda *_: None)


@contextmanager
def lengths_uncovered() -> Iterator[None]:
    """X05: the checksum of a frame's header leaves out its two lengths, for the writer and for readers."""

    def check(data: bytes, seed: int = 0) -> int:
        whole = bytes(data)
        return crc32(whole[:4] + whole[12:] if len(whole) == HEADER_BODY.size else whole, seed)

    with patch("engine.journal.frame.crc32", check), patch("engine.journal.reader.crc32", check):
        yield


def ignores(error: type[OSError]) -> Callable[..., Any]:
    """X06: an error of a sync is dropped."""

    def call(function: Callable[..., Any], *args: Any) -> Any:
        try:
            return function(*args)
        except error:
            if function.__name__ not in ("fdatasync", "fsync"):
                raise
            return None

    return call


def retries(function: Callable[..., Any], *args: Any) -> Any:
    """X06: a sync that failed is tried again."""
    try:
        return function(*args)
    except OSError:
        return function(*args)


def verifies_the_last_segment_only() -> AbstractContextManager[Any]:
    """X07: the segments before the last one are not verified at a start."""

    def scan(segment: Any, cursor: Any, *, disk: Any) -> Any:
        last = list_segments(segment.path.parent, disk)[-1].path == segment.path
        return reader_module.scan_segment(segment, cursor, disk=disk, verify_digest=last)

    return patch("engine.journal.recovery.scan_segment", scan)


def trusts_the_cache() -> AbstractContextManager[Any]:
    """The last segment is not written again: what a failed sync left in the cache is taken as durable."""
    original = repair._rewrite

    def rewrite(segment: Any, size: int, disk: Any) -> None:
        if size != disk.size_of(segment.path):
            original(segment, size, disk)

    return patch("engine.journal.repair._rewrite", rewrite)


def cuts_without_saving() -> AbstractContextManager[Any]:
    return patch("engine.journal.repair._save", lambda plan, _: plan)


def removes_before_it_rewrites() -> AbstractContextManager[Any]:
    """The old segment is removed before the new one has its name."""
    original = repair._rewrite

    def rewrite(segment: Any, size: int, disk: Any) -> None:
        class Removing:
            def __getattr__(self, name: str) -> Any:
                if name == "rename":
                    return self.rename
                return getattr(disk, name)

            def rename(self, source: Path, target: Path) -> None:
                disk.unlink(target)
                disk.fsync_dir(target.parent)
                disk.rename(source, target)

        original(segment, size, Removing())  # type: ignore[arg-type]

    return patch("engine.journal.repair._rewrite", rewrite)


def header_by_length() -> AbstractContextManager[Any]:
    """A new segment counts as made as soon as it has the size of a header."""

    def is_unfinished(segment: Any, disk: Any) -> bool:
        return not segment.sealed and disk.size_of(segment.path) < 128

    return patch("engine.journal.recovery.is_unfinished", is_unfinished)


BUGS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "X01 acknowledges before the sync": lambda: writes_with(SyncsLater),
    "X03 two frames unsynced": lambda: writes_with(SyncsTwoAtOnce),
    "X04 no look for a later header": short_frame_is_a_tear,
    "X06 an error of a sync is ignored": lambda: patch(
        "engine.journal.writer.uninterrupted", ignores(OSError)
    ),
    "X06 a failed sync is tried again": lambda: patch("engine.journal.writer.uninterrupted", retries),
    "X07 only the last segment is verified": verifies_the_last_segment_only,
    "trusts the cache after a failed sync": trusts_the_cache,
    "cuts without saving": cuts_without_saving,
    "removes before it rewrites": removes_before_it_rewrites,
    "a header by its length": header_by_length,
}
