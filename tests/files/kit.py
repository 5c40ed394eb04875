"""Imports text and files into a journal below one folder, and reads the days back."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

from adapters.files import ImportReport, import_file
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

    def load(self, source: str | bytes | Path, *, name: str = "trades.csv", **options: Any) -> ImportReport:
        path = source if isinstance(source, Path) else self.write(source, name)
        given: dict[str, Any] = {"venue": "venue", "instrument": "COIN", "journal": self.journal}
        given |= {"ids": CountingIds()} | options
        return import_file(path, **given)

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
