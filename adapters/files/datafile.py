"""One data file: its layout, what a first pass found in it, and its rows as events of one instrument.

The interface between the readers of files and the importer. Promises: events come in order of time; `notes`
say all that was recognised, doubted, sorted, rounded or left out, the notes of the reading after
its end. Called by the importer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from adapters.files.books import DEPTH
from adapters.files.columns import Layout
from adapters.files.kinds import CANDLES, TRADES
from adapters.files.layouts import find_layout
from adapters.files.market_rows import MarketRows
from adapters.files.rows import RowReader
from adapters.files.sorting import SortedTable
from adapters.files.survey import ASCENDING, DESCENDING, Survey, survey, time_reader
from adapters.files.tables import Table, open_table
from adapters.files.times import TimeReader
from engine.events import InstrumentListed

__all__ = ["DataFile"]


class DataFile:
    """A file to be imported. Raises UsageError when its layout cannot be read.

    `columns`, `layout`, `turned`, `data` (the kind) and `rates`: see `layouts.find_layout`. `time_unit` and
    `day`: see `TimeReader`. `depth` is how many levels of a book are kept.
    """

    def __init__(
        self,
        path: Path,
        *,
        columns: Mapping[str, str] | None = None,
        layout: str | None = None,
        turned: bool = False,
        time_unit: str | None = None,
        day: str | None = None,
        data: str | None = None,
        rates: str | None = None,
        depth: int = DEPTH,
    ) -> None:
        TimeReader(time_unit, day)  # a wrong unit or day is refused before the file is opened
        self.path = path
        self.layout: Layout = find_layout(path, columns, name=layout, turned=turned, kind=data, rates=rates)
        self._unit = time_unit
        self._day = day
        self._depth = depth

    def survey(
        self,
        *,
        price_decimals: int | None = None,
        size_decimals: int | None = None,
        interval_ns: int = 0,
        report: Callable[[Table, int], None] | None = None,
    ) -> Survey:
        """Read the file once; see `survey.survey`."""
        return survey(
            self.path,
            self.layout,
            unit=self._unit,
            day=self._day,
            price_decimals=price_decimals,
            size_decimals=size_decimals,
            interval_ns=interval_ns,
            report=report,
        )

    def open(self, found: Survey, listed: InstrumentListed) -> RowReader:
        """Open the file for reading; the caller closes the reader. `listed` gives number and scales."""
        table = open_table(self.path)
        try:
            times = time_reader(table, self.layout, self._unit, self._day)
            if found.order == DESCENDING or (found.order != ASCENDING and self.layout.sorts):
                newest_first = found.order == DESCENDING
                table = SortedTable(table, self.layout, times, newest_first=newest_first)
            times = time_reader(table, self.layout, self._unit, self._day)
            if self.layout.kind in (TRADES, CANDLES):
                return RowReader(table, self.layout, listed, times, found)
            return MarketRows(table, self.layout, listed, times, found, self._depth)
        except BaseException:
            table.close()
            raise

    def notes(self, found: Survey, reader: RowReader) -> tuple[str, ...]:
        """Return what people should know of the reading, after its end."""
        order = ""
        if found.order == DESCENDING:
            order = "the newest row comes first: rows are sorted by time"
        elif found.order != ASCENDING and self.layout.sorts:
            order = f"{found.steps_back} of {found.rows} rows go back in time: rows are sorted by time"
        return (*self.layout.notes, *([order] if order else ()), *found.notes, *reader.notes())
