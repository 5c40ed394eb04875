"""Reports of recorded days: what a live, paper or backtest journal earned, from its records alone.

Promises the report of the session that wrote the days: the same collector reads the same frames, so the
journal of a backtest gives the report that the backtest had. Nothing is derived again; `replay.verify` does
that. Called by `engine report` and by programs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import msgspec

from engine.analysis.collecting import Collector
from engine.analysis.report import Report, report_of
from engine.config import Config
from engine.errors import UsageError
from engine.journal import FrameReader
from engine.records import check_contents, derived_of, inputs_of, open_day
from replay.backtesting import Progress, Watcher, report_settings
from replay.days import folders_given

__all__ = ["report_of_days"]


class _Day(msgspec.Struct):
    """A recorded day and how it begins: its date as yyyymmdd, its journal, its first seq."""

    folder: Path
    date: int
    journal: bytes
    first_seq: int


def report_of_days(
    days: Iterable[str | Path],
    *,
    config: Config | None = None,
    watch: Sequence[Watcher] = (),
    progress: Progress | None = None,
) -> Report:
    """Return the report of days of one journal, in order and without a day missing between them.

    `days` are folders of days, or a journal with days in it. The section `[report]` of `config` sets what the
    ratios of a year assume; nothing else of it is read. Each of `watch` sees every frame. `progress` is
    called at intervals with the number of records read.

    Raises UsageError for days that are missing, given twice, or of several journals; JournalDamaged.
    """
    collector = Collector()
    digest, torn, read = b"", "", 0
    before, end_seq = Path(), 0
    for day in _in_order(folders_given(days)):
        if end_seq and end_seq + 1 != day.first_seq:
            raise UsageError(
                f"{day.folder}: begins with seq {day.first_seq:,}, and {before} ends with {end_seq:,}; "
                "give the days between them too"
            )
        reader = open_day(day.folder)
        for frame in reader:
            inputs, derived = inputs_of(frame), derived_of(frame)
            check_contents(frame, inputs, derived)
            collector.append(frame.first_seq, inputs, derived)
            for watcher in watch:
                watcher.append(frame.first_seq, inputs, derived)
            read += frame.count
            if progress is not None:
                progress(read)
        before, end_seq = day.folder, reader.end_seq
        digest, torn = reader.digest, _torn(day.folder, reader)
    collector.finish()
    report = report_of(collector, digest=digest.hex(), settings=report_settings(config or Config()))
    if torn:
        report.table_notes.append(torn)
    return report


def _in_order(folders: Sequence[Path]) -> list[_Day]:
    """Return the days by date. Raises UsageError unless they follow each other in one journal."""
    days = sorted(map(_look, folders), key=lambda day: (day.date, day.first_seq))
    for one, other in pairwise(days):
        if one.journal != other.journal:
            raise UsageError(f"{one.folder} and {other.folder}: they are of two journals; give days of one")
        if one.date == other.date:
            raise UsageError(f"{one.folder} and {other.folder}: the same day is given twice; give it once")
    return days


def _look(folder: Path) -> _Day:
    reader = open_day(folder)
    first = next(iter(reader), None)
    if first is None:
        raise UsageError(f"{folder}: holds no whole record yet")
    return _Day(folder, reader.day or 0, reader.journal_id or b"", first.first_seq)


def _torn(folder: Path, reader: FrameReader) -> str:
    """Return that a day ends with a torn frame, "" if it does not."""
    if reader.torn is None:
        return ""
    return f"the last frame of {folder.name} is torn, so it is not in these numbers"
