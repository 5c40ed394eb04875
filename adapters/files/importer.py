"""`engine import`: market data from files into days of a journal.

Connects files, streams and days. Promises: memory does not grow with the files; every value is exact; a row
that cannot be read is refused with file, line and reason, its day is then as it was before, and the days
before it are complete; the same files give the same digests in any journal; an import that was killed is
completed by running it again. Called by the command.

Every instrument has one listing, with the scales that all its files need. Which file holds which instrument
is said by the caller for all of them, or by the names of the files (`names.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from adapters.files.books import DEPTH, DEPTH_MAX
from adapters.files.datafile import DataFile
from adapters.files.days import DayWriter
from adapters.files.kinds import CANDLES, SERIES_OF, TRADES
from adapters.files.known import customs_of
from adapters.files.merging import (
    BOOK_SERIES,
    CONTEXT_SERIES,
    PRICE_SERIES,
    QUOTE_SERIES,
    RATE_SERIES,
    SERIES_NAMES,
)
from adapters.files.names import facts_of
from adapters.files.numbers import DECIMALS_MAX
from adapters.files.parts import Part, TablePart
from adapters.files.recorded import recorded_parts
from adapters.files.recordings import Recording, is_recording
from adapters.files.reports import ImportProgress, ImportReport, InstrumentReport, Meter
from adapters.files.streams import InstrumentStream, kind_text
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
    data: str | None = None,
    rates: str | None = None,
    depth: int = DEPTH,
    ids: Ids | None = None,
    progress: Callable[[ImportProgress], None] | None = None,
) -> ImportReport:
    """Import files of market data into `journal`, a folder of days, and report.

    `instrument`, as NAME or `venue:NAME`, is that of all files; without it each file's name must say it. What
    follows holds for all files. `columns` goes from role (see `adapters.files.columns`) to a name or, for
    CSV, a position from 0; with positions a CSV file needs no names. `layout` forces a known layout and
    `turned` swaps buyers and sellers (`adapters.files.layouts`). Decimals and interval that are not given are
    measured by a first pass over all files. `time_unit` is s, ms, us, ns or iso, None to decide by the first
    time of a file; `day` (YYYY-MM-DD) is for a file whose times count from midnight, in `time_unit` or ms.
    `data` is the kind that a file holds which is read by its columns (`kinds.KINDS_OF_DATA`), `rates` the
    unit of funding rates (`kinds.RATE_UNITS`), `depth` how many levels of a book are kept. `silence`, "flat"
    or "none", replaces the venue's rule for windows without trades. `instrument_kind` is one of `KINDS`; a
    file states no trading rules, so those of the kind are assumed (`assumed_rules`).

    Raises ImportRefused for a row that cannot be read, other UsageErrors for what the caller can change,
    JournalError when the journal cannot be written. Complete days stay; the day in progress is as it was.
    """
    if instrument is not None:
        instrument = instrument.removeprefix(f"{venue}:")
    _check(paths, venue, instrument, price_decimals, size_decimals, instrument_kind, day)
    if not 1 <= depth <= DEPTH_MAX:
        raise UsageError(f"a book of {depth} levels cannot be kept; 1 to {DEPTH_MAX} can")
    meter = Meter(paths, progress)
    interval_ns = 0 if interval is None else parse_interval(interval)
    parts: list[Part] = []
    for path in paths:
        if is_recording(path):
            _check_recording(path, columns, day)
            parts += recorded_parts(
                Recording(path, layout), meter, instrument=instrument, data=data, depth=depth
            )
            continue
        file = DataFile(
            path,
            columns=columns,
            layout=layout,
            turned=turned,
            time_unit=time_unit,
            day=day,
            data=data,
            rates=rates,
            depth=depth,
        )
        table = TablePart(file, facts_of(path), instrument)
        table.survey(price_decimals, size_decimals, interval_ns, meter)
        parts.append(table)
    _check_instruments(parts)
    by_name: dict[str, dict[int, list[Part]]] = {}
    for part in sorted(parts, key=lambda part: (part.instrument, SERIES_OF[part.kind])):
        by_name.setdefault(part.instrument, {}).setdefault(SERIES_OF[part.kind], []).append(part)
    streams: dict[str, list[InstrumentStream]] = {}
    for number, (name, by_series) in enumerate(by_name.items(), 1):
        listed = _listed(number, name, venue, by_series, instrument_kind, silence)
        streams[name] = [
            InstrumentStream(
                listed,
                [part.source(listed, meter) for part in own],
                series=series,
                interval_ns=own[0].interval_ns,
            )
            for series, own in by_series.items()
        ]
    meter.begin_importing()
    days = DayWriter(journal, ids=ids or SystemIds())
    days.report = meter.written
    try:
        with days:
            days.write([stream for own in streams.values() for stream in own])
    except ImportRefused as error:
        raise ImportRefused(error.file, error.line, f"{error.reason}; {days.outcome()}") from error
    except UsageError as error:
        raise UsageError(f"{error}; {days.outcome()}") from error
    except JournalError as error:
        raise JournalError(f"{error}; {days.outcome()}") from error
    return ImportReport(
        instruments=tuple(
            _instrument_report(streams[name], [part for parts in own.values() for part in parts])
            for name, own in by_name.items()
        ),
        files=tuple(part.report() for part in parts),
        days=tuple(days.done),
        digests=days.digests,
        extended=days.extended,
        unchanged=tuple(days.unchanged),
        bytes=days.bytes_written,
        first_ns=days.first_ns,
        last_ns=days.last_ns,
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


def _check_recording(path: Path, columns: Mapping[str, str] | None, day: str | None) -> None:
    """Refuse options that are for files of rows."""
    for option, given in (("--columns", columns), ("--day", day)):
        if given:
            raise UsageError(f"{path}: {option}: a recording of messages has neither columns nor a day")


def _check_instruments(parts: Sequence[Part]) -> None:
    """Refuse names that contradict the instrument given for all, and two kinds of prices of one
    instrument."""
    named: dict[str, Part] = {}
    first: dict[tuple[str, int], Part] = {}
    for part in parts:
        other = named.setdefault(part.instrument, part)
        if other.facts is not None and part.facts is not None:
            names = f"{other.path.name} and {part.path.name}"
            if other.facts.instrument != part.facts.instrument:
                raise UsageError(
                    f"{names} say {other.facts.instrument} and {part.facts.instrument}; without --instrument "
                    "each file is imported as what its name says"
                )
        other = first.setdefault((part.instrument, SERIES_OF[part.kind]), part)
        kinds = _kind_name(other), _kind_name(part)
        if other.facts is not None and part.facts is not None and kinds[0] == kinds[1]:
            kinds = other.facts.form, part.facts.form
        if kinds[0] != kinds[1]:
            names = f"{other.path.name} and {part.path.name}"
            raise UsageError(
                f"{part.instrument}: {names} hold {kinds[0]} and {kinds[1]}; one journal takes one kind of "
                "data of an instrument"
            )


def _kind_name(part: Part) -> str:
    """Return what is one kind of data of a series: books and their updates are."""
    return (
        kind_text(part.interval_ns) if part.kind in (TRADES, CANDLES) else SERIES_NAMES[SERIES_OF[part.kind]]
    )


def _listed(
    number: int,
    name: str,
    venue: str,
    by_series: Mapping[int, Sequence[Part]],
    kind: str,
    silence: str | None,
) -> InstrumentListed:
    """Return the listing of an instrument, with the scales that all its files need."""
    customs = customs_of(venue, kind)
    parts = [part for own in by_series.values() for part in own]
    prints = by_series.get(PRICE_SERIES, ())
    found = sorted({silence or part.silence or customs[0] for part in prints}) or [silence or ""]
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


def _instrument_report(streams: Sequence[InstrumentStream], parts: Sequence[Part]) -> InstrumentReport:
    listed = streams[0].listed
    kinds = list(dict.fromkeys(part.kind for part in parts))
    counts = {stream.series: stream.count for stream in streams}
    prints = counts.get(PRICE_SERIES, 0)
    return InstrumentReport(
        venue=listed.venue,
        instrument=listed.name,
        kind=", ".join(kinds),
        interval=next((format_interval(part.interval_ns) for part in parts if part.interval_ns), ""),
        files=len({part.path for part in parts}),
        trades=prints if TRADES in kinds else 0,
        candles=prints if CANDLES in kinds else 0,
        duplicates=sum(stream.repeated for stream in streams) + sum(part.duplicates for part in parts),
        price_decimals=listed.price_scale,
        size_decimals=listed.size_scale,
        measured=tuple(dict.fromkeys(what for part in parts for what in part.found.measured)),
        quotes=counts.get(QUOTE_SERIES, 0),
        books=counts.get(BOOK_SERIES, 0),
        contexts=counts.get(CONTEXT_SERIES, 0),
        rates=counts.get(RATE_SERIES, 0),
    )
