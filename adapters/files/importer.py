"""`engine import`: trades or candles from data files into days of a journal.

Connects files, streams and days. Promises: memory does not grow with the files; every value is exact; a row
that cannot be read is refused with file, line and reason, its day is then as it was before, and the days
before it are complete; the same files give the same digests in any journal; an import that was killed is
completed by running it again. Called by the command.

Every instrument has one listing, with the scales that all its files need. Which file holds which instrument
is said by the caller for all of them, or by the names of the files (`names.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from adapters.files.columns import CANDLES, TRADES
from adapters.files.datafile import DataFile
from adapters.files.days import DayWriter
from adapters.files.known import customs_of
from adapters.files.merging import MarketEvent
from adapters.files.names import NameFacts, facts_of
from adapters.files.numbers import DECIMALS_MAX
from adapters.files.reports import FileReport, ImportProgress, ImportReport, InstrumentReport, Meter
from adapters.files.streams import FileSource, InstrumentStream, kind_text
from adapters.files.survey import Survey
from engine.clock import SystemIds
from engine.errors import ImportRefused, JournalError, UsageError
from engine.events import KINDS, InstrumentListed, assumed_rules
from engine.instruments import NAME_LENGTH_MAX
from engine.ports import Ids
from engine.values import format_interval, parse_interval

__all__ = ["import_files"]


def import_files(
    paths: Sequence[Path],
    *,
    venue: str,
    instrument: str | None = None,
    journal: Path,
    price_decimals: int | None = None,
    size_decimals: int | None = None,
    columns: Mapping[str, str] | None = None,
    layout: str | None = None,
    turned: bool = False,
    interval: str | None = None,
    instrument_kind: str = "perp",
    silence: str | None = None,
    time_unit: str | None = None,
    day: str | None = None,
    ids: Ids | None = None,
    progress: Callable[[ImportProgress], None] | None = None,
) -> ImportReport:
    """Import files of trades or candles into `journal`, a folder of days, and report.

    `instrument`, as NAME or `venue:NAME`, is that of all files; without it each file's name must say it.
    What follows holds for all files. `columns` goes from role (see `adapters.files.columns`) to a name or,
    for CSV, a position from 0; with positions a CSV file needs no names. `layout` forces a known layout and
    `turned` swaps buyers and sellers (`adapters.files.layouts`). Decimals and interval that are not given
    are measured by a first pass over all files. `time_unit` is s, ms, us, ns or iso, None to decide by the
    first time of a file; `day` (YYYY-MM-DD) is for a file whose times count from midnight, in `time_unit`
    or ms. `silence`, "flat" or "none", replaces the venue's rule for windows without trades.
    `instrument_kind` is one of `KINDS`; a file states no trading rules, so those of the kind are assumed
    (`assumed_rules`).

    Raises ImportRefused for a row that cannot be read, other UsageErrors for what the caller can change,
    JournalError when the journal cannot be written. Complete days stay; the day in progress is as it was.
    """
    if instrument is not None:
        instrument = instrument.removeprefix(f"{venue}:")
    _check(paths, venue, instrument, price_decimals, size_decimals, instrument_kind, day)
    meter = Meter(paths, progress)
    interval_ns = 0 if interval is None else parse_interval(interval)
    parts: list[_Part] = []
    for path in paths:
        file = DataFile(path, columns=columns, layout=layout, turned=turned, time_unit=time_unit, day=day)
        part = _Part(file, facts_of(path), instrument)
        part.survey(price_decimals, size_decimals, interval_ns, meter)
        parts.append(part)
    _check_instruments(parts)
    by_name: dict[str, list[_Part]] = {}
    for part in sorted(parts, key=lambda part: part.instrument):
        by_name.setdefault(part.instrument, []).append(part)
    streams: dict[str, InstrumentStream] = {}
    for number, (name, own) in enumerate(by_name.items(), 1):
        listed = _listed(number, name, venue, own, instrument_kind, silence)
        sources = [part.source(listed, meter) for part in own]
        streams[name] = InstrumentStream(listed, sources, interval_ns=own[0].interval_ns)
    meter.begin_importing()
    days = DayWriter(journal, ids=ids or SystemIds())
    days.report = meter.written
    try:
        with days:
            days.write([*streams.values()])
    except ImportRefused as error:
        raise ImportRefused(error.file, error.line, f"{error.reason}; {days.outcome()}") from error
    except UsageError as error:
        raise UsageError(f"{error}; {days.outcome()}") from error
    except JournalError as error:
        raise JournalError(f"{error}; {days.outcome()}") from error
    return ImportReport(
        instruments=tuple(_instrument_report(streams[name], own) for name, own in by_name.items()),
        files=tuple(part.report() for part in parts),
        days=tuple(days.done),
        digests=days.digests,
        extended=days.extended,
        unchanged=tuple(days.unchanged),
        bytes=days.bytes_written,
        first_ns=days.first_ns,
        last_ns=days.last_ns,
    )


class _Part:
    """One file of an import."""

    def __init__(self, file: DataFile, facts: NameFacts | None, instrument: str | None) -> None:
        self.file = file
        self.facts = facts
        if facts is None and instrument is None:
            raise UsageError(
                f"{file.path}: its name does not say which instrument it holds, as BTCUSDT-1m-2024-01.zip "
                "does; give --instrument, for all files"
            )
        self.instrument = instrument or (facts.instrument if facts else "")
        self.kind = file.layout.kind
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
        """The interval of candles, 0 for trades."""
        return self.found.interval_ns if self.kind == CANDLES else 0

    def survey(
        self, price_decimals: int | None, size_decimals: int | None, interval_ns: int, meter: Meter
    ) -> None:
        """Read the file once, for what it needs."""
        if interval_ns and self.kind == TRADES:
            raise UsageError(f"{self.file.path}: holds trades; an interval is for candles")
        named_ns = 0
        if self.kind == TRADES or interval_ns:
            self.derived = tuple(what for what in self.derived if what != "interval")
        elif self.facts is not None:
            try:
                named_ns = parse_interval(self.facts.interval)
            except UsageError as error:
                raise UsageError(f"{self.file.path}: {error}") from error
            # The end of a candle in the file says it too; the distance of rows does not if some are missing.
            interval_ns = 0 if "until" in self.file.layout.at else named_ns
        self.found = self.file.survey(
            price_decimals=price_decimals,
            size_decimals=size_decimals,
            interval_ns=interval_ns,
            report=meter.measure,
        )
        meter.measured(self.file.path, self.found.rows)
        if named_ns and self.found.interval_ns != named_ns:
            raise UsageError(
                f"{self.file.path}: its name says {kind_text(named_ns)}, but it holds "
                f"{kind_text(self.found.interval_ns)}; rename it"
            )

    def source(self, listed: InstrumentListed, meter: Meter) -> FileSource:
        """Return the file as a source of events."""
        first_ns = max(self.found.first_ns, 0)
        self._source = FileSource(str(self.file.path), first_ns, lambda: self._read(listed, meter))
        return self._source

    def _read(self, listed: InstrumentListed, meter: Meter) -> Iterator[MarketEvent]:
        path = self.file.path
        with closing(self.file.open(self.found, listed)) as reader:
            meter.opened(path, reader)
            yield from reader.events()
            self.duplicates = reader.duplicates
            self._notes = self.file.notes(self.found, reader)
            meter.closed(path)

    def report(self) -> FileReport:
        """Return what there is to report after the import."""
        assert self._source is not None, "every file is a source"
        return FileReport(
            file=str(self.file.path),
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


def _check(
    paths: Sequence[Path],
    venue: str,
    instrument: str | None,
    price_decimals: int | None,
    size_decimals: int | None,
    kind: str,
    day: str | None,
) -> None:
    """Refuse arguments that no file can be imported with."""
    if not paths:
        raise UsageError("no file to import was given")
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise UsageError(f"{twice}: was given twice")
    if kind not in KINDS:
        raise UsageError(f"kind {kind[:40]!r} is not one of {', '.join(KINDS)}")
    for what, name in (("venue", venue), ("instrument", instrument)):
        if name is not None and (not name or len(name) > NAME_LENGTH_MAX or not name.isprintable()):
            raise UsageError(f"{what} {name[:40]!r} must be 1 to {NAME_LENGTH_MAX} printable characters")
    if ":" in venue:
        better = venue.replace(":", "-")[:40]
        raise UsageError(f"venue {venue[:40]!r}: a colon ends the venue in venue:NAME; write {better}")
    for what, decimals in (("price", price_decimals), ("size", size_decimals)):
        if decimals is not None and not 0 <= decimals <= DECIMALS_MAX:
            raise UsageError(f"{what} decimals must be 0 to {DECIMALS_MAX}, not {decimals}")
    if day is not None and len(paths) > 1:
        raise UsageError(
            "times that count from the midnight of one day are of one file; import each by itself"
        )


def _check_instruments(parts: Sequence[_Part]) -> None:
    """Refuse names that contradict the instrument given for all, and two kinds of data of one instrument."""
    first: dict[str, _Part] = {}
    for part in parts:
        other = first.setdefault(part.instrument, part)
        one, two = other.facts, part.facts
        names = f"{other.file.path.name} and {part.file.path.name}"
        if one is not None and two is not None and one.instrument != two.instrument:
            raise UsageError(
                f"{names} say {one.instrument} and {two.instrument}; without --instrument each file is "
                "imported as what its name says"
            )
        kinds = kind_text(other.interval_ns), kind_text(part.interval_ns)
        if one is not None and two is not None and kinds[0] == kinds[1]:
            kinds = one.form, two.form
        if kinds[0] != kinds[1]:
            raise UsageError(
                f"{part.instrument}: {names} hold {kinds[0]} and {kinds[1]}; one journal takes one kind of "
                "data of an instrument"
            )


def _listed(
    number: int, name: str, venue: str, parts: Sequence[_Part], kind: str, silence: str | None
) -> InstrumentListed:
    """Return the listing of an instrument, with the scales that all its files need."""
    customs = customs_of(venue, kind)
    found = sorted({silence or part.file.layout.silence or customs[0] for part in parts})
    if len(found) > 1:
        raise UsageError(f"{name}: its files differ in how they show windows without trades; give --silence")
    return InstrumentListed(
        recv_ns=0,
        instrument=number,
        venue=venue,
        name=name,
        price_scale=max(part.found.price_decimals for part in parts),
        size_scale=max(part.found.size_decimals for part in parts),
        kind=kind,
        rules=assumed_rules(kind),
        silence=found[0],
        ids=customs[1],
    )


def _instrument_report(stream: InstrumentStream, parts: Sequence[_Part]) -> InstrumentReport:
    listed, kind = stream.listed, parts[0].kind
    return InstrumentReport(
        venue=listed.venue,
        instrument=listed.name,
        kind=kind,
        interval=format_interval(parts[0].interval_ns) if kind == CANDLES else "",
        files=len(parts),
        trades=stream.count if kind == TRADES else 0,
        candles=stream.count if kind == CANDLES else 0,
        duplicates=stream.repeated + sum(part.duplicates for part in parts),
        price_decimals=listed.price_scale,
        size_decimals=listed.size_scale,
        measured=tuple(dict.fromkeys(what for part in parts for what in part.found.measured)),
    )
