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
from typing import Final

import msgspec

from adapters.files.columns import CANDLES, TRADES, Layout, lay_out
from adapters.files.days import DayWriter
from adapters.files.numbers import DECIMALS_MAX, decimals_of
from adapters.files.rows import INSTRUMENT, RowReader, time_reader
from adapters.files.tables import Table, open_table
from adapters.files.times import TimeReader
from engine.clock import SECOND_NS, SystemIds
from engine.errors import ImportRefused, JournalPoisoned, UsageError
from engine.events import KINDS, InstrumentListed, assumed_rules
from engine.ports import Ids
from engine.values import INTERVALS, format_interval, format_scaled, parse_interval

__all__ = ["CUSTOMS", "ImportProgress", "ImportReport", "import_file"]

CUSTOMS: Final = {
    "hyperliquid": ("flat", "arrival"),
    "kraken": ("flat", "sequence"),
    "binance": ("none", "sequence"),
    "coinbase": ("none", "sequence"),
}
"""By venue: what its candles do in a window without trades, and what orders trades of one time stamp; see
`InstrumentListed`. A venue that is not here has flat candles, and its file is in order."""

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
    one; they are imported once. `interval` is that of candles.
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


class _Needs(msgspec.Struct):
    """The result of the first pass."""

    price_decimals: int = 0
    size_decimals: int = 0
    step_ns: int = 0


def import_file(
    path: Path,
    *,
    venue: str,
    instrument: str,
    journal: Path,
    price_decimals: int | None = None,
    size_decimals: int | None = None,
    columns: Mapping[str, str] | None = None,
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
    positions a CSV file needs no names. Decimals and interval that are not given are measured by a first
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
    TimeReader(time_unit, day)  # a wrong unit or day is refused before the file is opened

    mapping = dict(columns or {})
    reporter = _Reporter(path, progress)
    with closing(open_table(path)) as table:
        layout = lay_out(table.first, mapping, file=str(path), headed=table.headed)
    measured = [
        name
        for name, missing in (
            ("price_decimals", price_decimals is None),
            ("size_decimals", size_decimals is None),
            ("interval", layout.kind == CANDLES and interval is None),
        )
        if missing
    ]
    if interval is not None and layout.kind == TRADES:
        raise UsageError(f"{path}: holds trades; an interval is for candles")
    needs = _Needs(price_decimals or 0, size_decimals or 0, interval_ns)
    if measured:
        needs = _measure(path, layout, measured, TimeReader(time_unit, day), reporter)
        needs.price_decimals = needs.price_decimals if price_decimals is None else price_decimals
        needs.size_decimals = needs.size_decimals if size_decimals is None else size_decimals
        if interval is not None:
            needs.step_ns = interval_ns
        elif layout.kind == CANDLES:
            _check_step(path, needs.step_ns)
    customs = CUSTOMS.get(venue.lower(), ("flat", "arrival"))
    listed = InstrumentListed(
        recv_ns=0,
        instrument=INSTRUMENT,
        venue=venue,
        name=instrument,
        price_scale=needs.price_decimals,
        size_scale=needs.size_decimals,
        kind=instrument_kind,
        rules=assumed_rules(instrument_kind),
        silence=silence or customs[0],
        ids=customs[1],
    )
    days = DayWriter(journal, ids=ids or SystemIds(), seal=seal)
    reporter.stage = "importing"
    try:
        with days, closing(open_table(path)) as table:
            reader = RowReader(table, layout, listed, TimeReader(time_unit, day), file=str(path))
            events = (
                reader.trades()
                if layout.kind == TRADES
                else reader.candles(needs.step_ns, measured="interval" in measured)
            )
            days.report = lambda: reporter.report(table, days.count, days.day or days.done[-1])
            days.write(events, listed)
    except ImportRefused as error:
        raise ImportRefused(error.file, error.line, f"{error.reason}; {days.outcome()}") from error
    except UsageError as error:
        raise UsageError(f"{error}; {days.outcome()}") from error
    except JournalPoisoned as error:
        raise JournalPoisoned(f"{error}; {days.outcome()}") from error
    return ImportReport(
        file=str(path),
        kind=layout.kind,
        days=tuple(days.done),
        digests=days.digests,
        trades=days.count if layout.kind == TRADES else 0,
        candles=days.count if layout.kind == CANDLES else 0,
        bytes=days.bytes_written,
        price_decimals=needs.price_decimals,
        size_decimals=needs.size_decimals,
        measured=tuple(measured),
        columns=layout.names,
        first_ns=days.first_ns,
        last_ns=days.last_ns,
        duplicates=reader.duplicates,
        interval=format_interval(needs.step_ns) if layout.kind == CANDLES else "",
    )


def _check_step(path: Path, step_ns: int) -> None:
    named = {seconds * SECOND_NS for seconds in INTERVALS.values()}
    if not step_ns:
        raise UsageError(f"{path}: one row does not show the interval of the candles; give --interval")
    if step_ns not in named:
        raise UsageError(
            f"{path}: the smallest step between rows is {format_scaled(step_ns, 9)} s, which is not a bar "
            f"interval; give --interval, one of {' '.join(INTERVALS)}"
        )


class _Reporter:
    """Reports progress to the caller, every `_ROWS_PER_PROGRESS` rows."""

    def __init__(self, path: Path, progress: Callable[[ImportProgress], None] | None) -> None:
        self.stage = "measuring"
        self._progress = progress
        self._path = path
        self._total = 0

    def report(self, table: Table, rows: int, day: str = "") -> None:
        if self._progress is not None:
            self._total = self._total or self._path.stat().st_size
            self._progress(ImportProgress(self.stage, rows, table.bytes_read(), self._total, day))


def _measure(
    path: Path, layout: Layout, measured: list[str], times: TimeReader, reporter: _Reporter
) -> _Needs:
    """Find the decimals and the interval a file needs.

    Ends early and without an error at a row that cannot be read: the import itself will refuse it, and
    keep the days before it.
    """
    needs = _Needs()
    with closing(open_table(path)) as table:
        roles = list(layout.at)
        at, width, rows = table.rows(list(layout.at.values()), header=layout.header)
        where = dict(zip(roles, at, strict=True))
        price_roles = ("price",) if layout.kind == TRADES else ("open", "high", "low", "close")
        prices = [where[role] for role in price_roles] if "price_decimals" in measured else []
        size = where["size" if layout.kind == TRADES else "volume"]
        sizes = [size] if "size_decimals" in measured else []
        reads = time_reader(table, layout, times) if "interval" in measured else None
        last = -1
        count = 0
        try:
            for row in rows:
                if len(row) != width:
                    if not row:
                        continue
                    break
                for position in prices:
                    needs.price_decimals = decimals_of(row[position], needs.price_decimals)
                for position in sizes:
                    needs.size_decimals = decimals_of(row[position], needs.size_decimals)
                if reads is not None:
                    ns = reads.read(row[where["time"]])
                    step = ns - last
                    if last >= 0 and step > 0 and (not needs.step_ns or step < needs.step_ns):
                        needs.step_ns = step
                    last = ns
                count += 1
                if not count % _ROWS_PER_PROGRESS:
                    reporter.report(table, count)
        except UsageError:
            pass  # the second pass refuses the same row, with the reason
    return needs
