"""The parts of an import: one series of one instrument in one file.

A file of rows is one part; a recording has one for each instrument and kind of message in it. Promises that a
part reports what was derived, counted, doubted and left out in it. Created and read by the importer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Protocol

from adapters.files.datafile import DataFile
from adapters.files.kinds import CANDLES
from adapters.files.merging import MarketEvent
from adapters.files.names import NameFacts
from adapters.files.reports import FileReport, Meter
from adapters.files.streams import FileSource, kind_text
from adapters.files.survey import Survey
from engine.errors import UsageError
from engine.events import InstrumentListed
from engine.values import format_interval, parse_interval

__all__ = ["Part", "TablePart"]


class Part(Protocol):
    """What the importer needs of a part. Scales and times are known after the first pass over its file."""

    @property
    def path(self) -> Path:
        """The file."""
        ...

    @property
    def instrument(self) -> str:
        """The name of the instrument."""
        ...

    @property
    def facts(self) -> NameFacts | None:
        """What the name of the file says, None if it says nothing."""
        ...

    @property
    def kind(self) -> str:
        """One of `kinds.KINDS_OF_DATA`."""
        ...

    @property
    def interval_ns(self) -> int:
        """The interval of candles, 0 for everything else."""
        ...

    @property
    def found(self) -> Survey:
        """What the first pass found."""
        ...

    @property
    def silence(self) -> str | None:
        """The custom of the source about windows without trades, None for the venue's."""
        ...

    @property
    def duplicates(self) -> int:
        """How many events came again and were left out, so far."""
        ...

    def source(self, listed: InstrumentListed, meter: Meter) -> FileSource:
        """Return the part as a source of events."""
        ...

    def report(self) -> FileReport:
        """Return what there is to report after the import."""
        ...


class TablePart:
    """A file of rows."""

    def __init__(self, file: DataFile, facts: NameFacts | None, instrument: str | None) -> None:
        self.file = file
        self.path = file.path
        self.facts = facts
        if facts is None and instrument is None:
            raise UsageError(
                f"{file.path}: its name does not say which instrument it holds, as BTCUSDT-1m-2024-01.zip "
                "does; give --instrument, for all files"
            )
        self.instrument = instrument or (facts.instrument if facts else "")
        self.kind = file.layout.kind
        self.silence = file.layout.silence
        self.found = Survey(0, 0)
        self.duplicates = 0
        self._notes: tuple[str, ...] = ()
        self._source: FileSource | None = None
        self.derived = tuple(
            what
            for what, used in (
                ("instrument", instrument is None),
                ("interval", facts is not None and bool(facts.interval)),
            )
            if used
        )
        if facts is not None and facts.kind != self.kind:
            raise UsageError(f"{file.path}: its name says {facts.kind}, but it holds {self.kind}; rename it")

    @property
    def interval_ns(self) -> int:
        """The interval of candles, 0 for everything else."""
        return self.found.interval_ns if self.kind == CANDLES else 0

    def survey(
        self, price_decimals: int | None, size_decimals: int | None, interval_ns: int, meter: Meter
    ) -> None:
        """Read the file once, for what it needs."""
        if interval_ns and self.kind != CANDLES:
            raise UsageError(f"{self.path}: holds {self.kind}; an interval is for candles")
        named_ns = 0
        if self.kind != CANDLES or interval_ns:
            self.derived = tuple(what for what in self.derived if what != "interval")
        elif self.facts is not None:
            try:
                named_ns = parse_interval(self.facts.interval)
            except UsageError as error:
                raise UsageError(f"{self.path}: {error}") from error
            # The end of a candle in the file says it too; the distance of rows does not if some are missing.
            interval_ns = 0 if "until" in self.file.layout.at else named_ns
        self.found = self.file.survey(
            price_decimals=price_decimals,
            size_decimals=size_decimals,
            interval_ns=interval_ns,
            report=meter.measure,
        )
        meter.measured(self.path, self.found.rows)
        if named_ns and self.found.interval_ns != named_ns:
            raise UsageError(
                f"{self.path}: its name says {kind_text(named_ns)}, but it holds "
                f"{kind_text(self.found.interval_ns)}; rename it"
            )

    def source(self, listed: InstrumentListed, meter: Meter) -> FileSource:
        """See `Part`."""
        first_ns = max(self.found.first_ns, 0)
        self._source = FileSource(str(self.path), first_ns, lambda: self._read(listed, meter))
        return self._source

    def _read(self, listed: InstrumentListed, meter: Meter) -> Iterator[MarketEvent]:
        with closing(self.file.open(self.found, listed)) as reader:
            meter.opened(self, reader)
            yield from reader.events()
            self.duplicates = reader.duplicates
            self._notes = self.file.notes(self.found, reader)
            meter.closed(self, self.path)

    def report(self) -> FileReport:
        """See `Part`."""
        assert self._source is not None, "every part is a source"
        return FileReport(
            file=str(self.path),
            instrument=self.instrument,
            kind=self.kind,
            interval=format_interval(self.interval_ns) if self.interval_ns else "",
            layout=self.file.layout.name,
            columns=self.file.layout.names,
            derived=self.derived,
            events=self._source.count,
            duplicates=self.duplicates,
            notes=self._notes,
        )
