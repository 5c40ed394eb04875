"""Imports text and files into a journal below one folder, and reads the days back."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adapters.files import FileReport, ImportReport, InstrumentReport, import_files
from engine.events import Event, Trade
from engine.events.codec import decode_derived, decode_inputs
from engine.journal import read_frames


class CountingIds:
    """Replaces random bytes: counts up from a start, so that two values differ."""

    def __init__(self, start: int = 1) -> None:
        self._next = start

    def random_bytes(self, count: int) -> bytes:
        self._next += 1
        return self._next.to_bytes(count, "big")


class Loaded:
    """The report of an import of one file: its parts in one place."""

    def __init__(self, whole: ImportReport) -> None:
        self.whole = whole
        (self.one,) = whole.instruments
        (self.file,) = whole.files

    def __getattr__(self, name: str) -> Any:
        parts: tuple[ImportReport | InstrumentReport | FileReport, ...] = (self.whole, self.one, self.file)
        return next(getattr(part, name) for part in parts if hasattr(part, name))


class Imports:
    """Imports files into journals below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = folder / "journal"

    def write(self, content: str | bytes, name: str = "trades.csv") -> Path:
        path = self.folder / name
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(data, 1) if name.endswith(".gz") else data)
        return path

    def load(self, source: str | bytes | Path, *, name: str = "trades.csv", **options: Any) -> Loaded:
        """Import one file."""
        path = source if isinstance(source, Path) else self.write(source, name)
        return Loaded(self.load_all([path], **{"instrument": "COIN"} | options))

    def load_all(self, paths: Sequence[Path], **options: Any) -> ImportReport:
        """Import files, each as the instrument that its name says unless `instrument` is given."""
        given: dict[str, Any] = {"venue": "venue", "journal": self.journal, "ids": CountingIds()}
        return import_files(paths, **given | options)

    def days(self) -> list[str]:
        """Everything that is in the journal, by name."""
        return sorted(path.name for path in self.journal.iterdir()) if self.journal.exists() else []

    def events(self, day: str) -> list[Event]:
        found: list[Event] = []
        for frame in read_frames(self.journal / day):
            assert decode_derived(frame.derived) == []
            inputs = decode_inputs(frame.inputs)
            assert (frame.first_seq, frame.count) == (len(found) + 1, len(inputs))
            found += inputs
        return found

    def trades(self, day: str) -> list[Trade]:
        return [event for event in self.events(day) if isinstance(event, Trade)]
