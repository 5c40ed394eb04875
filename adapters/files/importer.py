"""`engine import`: trades or candles from a data file into days of a journal.

Converts rows to events. Promises: memory does not grow with the file; every value is exact; a row
that cannot be read is refused with file, line and reason, its day is then absent, and the days before it are
complete; the same file gives the same digest in any journal. Called by the command.

Rows are in order of time; equal times are fine, a step back is not. Each day begins with its instrument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final, Protocol

import msgspec

from adapters.files.columns import CANDLES, TRADES
from adapters.files.datafile import DataFile
from adapters.files.days import DayWriter
from adapters.files.known import CUSTOMS
from adapters.files.numbers import DECIMALS_MAX
from adapters.files.rows import INSTRUMENT
from engine.clock import SystemIds
from engine.errors import ImportRefused, JournalPoisoned, UsageError
from engine.events import KINDS, InstrumentListed, assumed_rules
from engine.ports import Ids
from engine.values import format_interval, parse_interval

__all__ = ["ImportProgress", "ImportReport", "import_file"]

_NAME_LENGTH_MAX: Final = 64
_ROWS_PER_PROGRESS: Final = 16_384


class ImportProgress(msgspec.Struct, frozen=True):
    """The progress of an import. `stage` is "measuring" (a first pass, if needed) or "importing"."""

    stage: str
    rows: int
    bytes_read: int
    bytes_total: int
    day: str = ""


class ImportReport(msgspec.Struct, frozen=True):
    """The result of an import.

    `days` are complete, `digests` the last digest of each. `bytes` are those written. `measured` says which
    of "price_decimals", "size_decimals" and "interval" were found in the file rather than given. `columns`
    goes from role to the file's name. `duplicates` counts trades with the time and id of an earlier
    one; they are imported once. `interval` is that of candles, `layout` the name of the layout. `notes` say
    what was recognised, doubted, sorted, rounded or left out.
    """

    file: str
    kind: str
    days: tuple[str, ...]
    digests: dict[str, str]
    trades: int
    candles: int
    bytes: int
    price_decimals: int
    size_decimals: int
    measured: tuple[str, ...]
    columns: dict[str, str]
    first_ns: int
    last_ns: int
    duplicates: int = 0
    interval: str = ""
    layout: str = ""
    notes: tuple[str, ...] = ()


def import_file(
    path: Path,
    *,
    venue: str,
    instrument: str,
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
    seal: bool = True,
    ids: Ids | None = None,
    progress: Callable[[ImportProgress], None] | None = None,
) -> ImportReport:
    """Import one file of trades or candles into `journal`, a folder of days, and report.

    `columns` goes from role (see `adapters.files.columns`) to a name or, for CSV, a position from 0; with
    positions a CSV file needs no names. `layout` forces a known layout and `turned` swaps buyers and sellers
    (`adapters.files.layouts`). Decimals and interval that are not given are measured by a first
    pass. `time_unit` is s, ms, us, ns or iso, None to decide by the first time; `day` (YYYY-MM-DD) is for
    files whose times count from midnight, in `time_unit` or ms. `silence`, "flat" or "none", replaces
    the venue's rule for windows without trades. `instrument_kind` is one of `KINDS`; a file states no trading
    rules, so those of the kind are assumed (`assumed_rules`). `seal` is that of `DayWriter`.

    Raises ImportRefused for a row that cannot be read, other UsageErrors for what the caller can change,
    JournalError when the journal cannot be written. Complete days stay; the day in progress does not.
    """
    if instrument_kind not in KINDS:
        raise UsageError(f"kind {instrument_kind[:40]!r} is not one of {', '.join(KINDS)}")
    for what, name in (("venue", venue), ("instrument", instrument)):
        if not name or len(name) > _NAME_LENGTH_MAX or not name.isprintable():
            raise UsageError(f"{what} {name[:40]!r} must be 1 to {_NAME_LENGTH_MAX} printable characters")
    for what, decimals in (("price", price_decimals), ("size", size_decimals)):
        if decimals is not None and not 0 <= decimals <= DECIMALS_MAX:
            raise UsageError(f"{what} decimals must be 0 to {DECIMALS_MAX}, not {decimals}")
    interval_ns = 0 if interval is None else parse_interval(interval)
    file = DataFile(path, columns=columns, layout=layout, turned=turned, time_unit=time_unit, day=day)
    kind = file.layout.kind
    if interval is not None and kind == TRADES:
        raise UsageError(f"{path}: holds trades; an interval is for candles")
    reporter = _Reporter(path, progress)
    found = file.survey(
        price_decimals=price_decimals,
        size_decimals=size_decimals,
        interval_ns=interval_ns,
        report=reporter.report,
    )
    customs = CUSTOMS.get(venue.lower(), ("flat", "arrival"))
    listed = InstrumentListed(
        recv_ns=0,
        instrument=INSTRUMENT,
        venue=venue,
        name=instrument,
        price_scale=found.price_decimals,
        size_scale=found.size_decimals,
        kind=instrument_kind,
        rules=assumed_rules(instrument_kind),
        silence=silence or file.layout.silence or customs[0],
        ids=customs[1],
    )
    days = DayWriter(journal, ids=ids or SystemIds(), seal=seal)
    reporter.stage = "importing"
    try:
        with days, closing(file.open(found, listed)) as reader:
            events = reader.events()
            days.report = lambda: reporter.report(reader, days.count, days.day or days.done[-1])
            days.write(events, listed)
    except ImportRefused as error:
        raise ImportRefused(error.file, error.line, f"{error.reason}; {days.outcome()}") from error
    except UsageError as error:
        raise UsageError(f"{error}; {days.outcome()}") from error
    except JournalPoisoned as error:
        raise JournalPoisoned(f"{error}; {days.outcome()}") from error
    return ImportReport(
        file=str(path),
        kind=kind,
        days=tuple(days.done),
        digests=days.digests,
        trades=days.count if kind == TRADES else 0,
        candles=days.count if kind == CANDLES else 0,
        bytes=days.bytes_written,
        price_decimals=found.price_decimals,
        size_decimals=found.size_decimals,
        measured=found.measured,
        columns=file.layout.names,
        first_ns=days.first_ns,
        last_ns=days.last_ns,
        duplicates=reader.duplicates,
        interval=format_interval(found.interval_ns) if kind == CANDLES else "",
        layout=file.layout.name,
        notes=file.notes(found, reader),
    )


class Progressing(Protocol):
    """What is being read."""

    def bytes_read(self) -> int:
        """Return how far the file was read, in its own bytes."""


class _Reporter:
    """Reports progress to the caller, every `_ROWS_PER_PROGRESS` rows."""

    def __init__(self, path: Path, progress: Callable[[ImportProgress], None] | None) -> None:
        self.stage = "measuring"
        self._progress = progress
        self._path = path
        self._total = 0

    def report(self, table: Progressing, rows: int, day: str = "") -> None:
        if self._progress is not None:
            self._total = self._total or self._path.stat().st_size
            self._progress(ImportProgress(self.stage, rows, table.bytes_read(), self._total, day))
