"""The first pass over a data file: what its rows need and whether they are what their columns say.

Owns the measuring of decimals and of the interval of candles, the order of the rows, and doubts about ids.
Promises: memory does not grow with the file; it ends early and without an error at a row that cannot be read,
which the reading itself refuses. Called by `datafile`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from adapters.files.columns import Layout
from adapters.files.kinds import CANDLES, TRADES, price_roles, size_roles
from adapters.files.noise import Column
from adapters.files.numbers import DECIMALS_MAX, NO_VALUES, shifted
from adapters.files.tables import Table, open_table
from adapters.files.times import TimeReader
from engine.clock import DAY_NS, MONTH_NS, SECOND_NS, window_end, window_start
from engine.errors import ImportRefused, NumberError, UsageError
from engine.values import INTERVALS, format_scaled

__all__ = ["ASCENDING", "DESCENDING", "UNORDERED", "Survey", "survey", "time_reader"]

ASCENDING: Final = "oldest first"
DESCENDING: Final = "newest first"
UNORDERED: Final = "in no order"

IDS_REMEMBERED: Final = 100_000
"""Trade ids that are compared with later ones: those of this many rows, at least."""

_ROWS_PER_REPORT: Final = 16_384
# Databento's record types of candles; see its page on OHLCV.
_SPANS_NS: Final = {"32": SECOND_NS, "33": 60 * SECOND_NS, "34": 3600 * SECOND_NS, "35": DAY_NS}
_NAMED: Final = frozenset(seconds * SECOND_NS for seconds in INTERVALS.values())


class Survey(msgspec.Struct):
    """What a first pass found, or was given.

    `rounds_prices` and `rounds_sizes`: the noise of these columns is rounded. `interval_ns` is of candles,
    0 where it is not clear. `order` is one of ASCENDING, DESCENDING, UNORDERED, by `steps_back` of `rows`.
    `first_ns` and `last_ns` are the earliest and the latest time, `symbol` is what the file calls its
    instrument. `ids_doubted`: the column of ids does not hold ids, which are not read.
    `measured` has those of "price_decimals", "size_decimals" and "interval" that were found, not given.
    `notes` say all of it to people.
    """

    price_decimals: int
    size_decimals: int
    rounds_prices: bool = False
    rounds_sizes: bool = False
    interval_ns: int = 0
    order: str = ASCENDING
    rows: int = 0
    steps_back: int = 0
    first_ns: int = -1
    last_ns: int = -1
    symbol: str = ""
    ids_doubted: bool = False
    measured: tuple[str, ...] = ()
    notes: list[str] = []


def time_reader(table: Table, layout: Layout, unit: str | None, day: str | None) -> TimeReader:
    """Return the reader of a table's times: in the unit that the format gives, the user, or the layout."""
    found = table.time_unit(layout.at["time"])
    if found is not None:
        return TimeReader(found)
    return TimeReader(unit if unit is not None or day is not None else layout.unit, day)


def survey(
    path: Path,
    layout: Layout,
    *,
    unit: str | None = None,
    day: str | None = None,
    price_decimals: int | None = None,
    size_decimals: int | None = None,
    interval_ns: int = 0,
    report: Callable[[Table, int], None] | None = None,
) -> Survey:
    """Read a file once and return what it needs; decimals and interval that are given are not measured.

    `report` is called every 16,384 rows. Raises UsageError for values that no step explains.
    """
    with closing(open_table(path)) as table:
        surveyor = _Surveyor(table, layout, time_reader(table, layout, unit, day), report)
        surveyor.read()
    found = Survey(0, 0, interval_ns=interval_ns, notes=[])
    for what, column, given in (
        ("price", surveyor.prices, price_decimals),
        ("size", surveyor.sizes, size_decimals),
    ):
        decimals, rounds = (given, True) if given is not None else column.settle(DECIMALS_MAX)
        if decimals < 0:
            raise UsageError(
                f"{path}: {column.computed} of its {what}s, such as {column.example}, were computed and lie "
                f"on no step; say how many decimals count with --{what}-decimals, and they are rounded"
            )
        if what == "price":
            found.price_decimals, found.rounds_prices = decimals, rounds
        else:
            found.size_decimals, found.rounds_sizes = decimals, rounds
    surveyor.finish(found)
    if layout.kind == CANDLES and not interval_ns:
        found.interval_ns = surveyor.interval(path)
    found.measured = tuple(
        name
        for name, missing in (
            ("price_decimals", price_decimals is None),
            ("size_decimals", size_decimals is None),
            ("interval", layout.kind == CANDLES and not interval_ns),
        )
        if missing
    )
    return found


class _Surveyor:
    """Reads the rows of one table."""

    def __init__(
        self,
        table: Table,
        layout: Layout,
        times: TimeReader,
        report: Callable[[Table, int], None] | None,
    ) -> None:
        self.prices = Column()
        self.sizes = Column()
        self._table = table
        self._layout = layout
        self._times = times
        self._report = report
        self._rows = self._forward = self._back = 0
        self._first_ns = self._last_ns = -1
        self._step_ns = self._span_ns = 0
        self._all_firsts = True  # every row begins a month
        self._start_ns = self._until_ns = 0  # of the first row
        self._symbol = ""
        self._refused: UsageError | None = None
        self._ids = _Ids()

    def read(self) -> None:
        """Read rows until the end, or one that cannot be read."""
        try:
            self._read()
        except UsageError as error:  # the reading refuses the same row, with the reason
            self._refused = error

    def _read(self) -> None:
        layout = self._layout
        at, width, rows = self._table.rows(list(layout.at.values()), header=layout.header)
        where = dict(zip(layout.at, at, strict=True))
        time_at = where["time"]
        prices = [where[role] for role in price_roles(layout.kind, where)]
        sizes = [where[role] for role in size_roles(layout.kind, where)]
        id_at, until_at, symbol_at, span_at = (
            where.get(role, -1) for role in ("id", "until", "symbol", "span")
        )
        shift, last_ns = layout.shift, -1
        add_price, add_size, read_time = self.prices.add, self.sizes.add, self._times.read
        candles, trades = layout.kind == CANDLES, layout.kind == TRADES
        for row in rows:
            if len(row) != width:
                if not row:
                    continue
                break
            ns = read_time(row[time_at])
            for position in prices:
                add_price(shifted(row[position], shift) if shift else row[position])
            for position in sizes:
                add_size(row[position])
            if last_ns < 0:
                self._first_ns = self._last_ns = self._start_ns = ns
                if until_at >= 0:
                    self._until_ns = read_time(row[until_at])
                if span_at >= 0:
                    self._span_ns = _SPANS_NS.get(row[span_at], 0)
                if symbol_at >= 0:
                    self._symbol = row[symbol_at]
            elif ns > last_ns:
                self._forward += 1
            elif ns < last_ns:
                if not self._times.goes_on(row[time_at]):
                    break
                self._back += 1
                self._first_ns = min(self._first_ns, ns)
            self._last_ns = max(self._last_ns, ns)
            if candles:
                step = abs(ns - last_ns)
                if last_ns >= 0 and step and (not self._step_ns or step < self._step_ns):
                    self._step_ns = step
                self._all_firsts = self._all_firsts and window_start(MONTH_NS, ns) == ns
            elif id_at >= 0 and trades:
                self._ids.add(row[id_at], ns, (row[prices[0]], row[sizes[0]]))
            last_ns = ns
            self._rows += 1
            if self._report is not None and not self._rows % _ROWS_PER_REPORT:
                self._report(self._table, self._rows)

    def finish(self, found: Survey) -> None:
        """Note what was found about order and ids."""
        found.rows, found.steps_back = self._rows, self._back
        found.first_ns, found.last_ns, found.symbol = self._first_ns, self._last_ns, self._symbol
        if self._back:
            found.order = UNORDERED if self._forward else DESCENDING
        ids = self._ids
        if not ids.repeated:
            return
        found.ids_doubted = ids.contradicted > 0 or 2 * ids.repeated >= ids.count
        what = (
            "so it is not taken for trade ids, and no trade counts as a duplicate (--columns id= says so)"
            if found.ids_doubted
            else "is it a column of trade ids? --columns id= leaves it out"
        )
        found.notes.append(
            f"column {self._layout.names['id']!r}: {ids.repeated} of {ids.count} rows repeat the id of "
            f"another trade, such as {ids.example!r}; {what}"
        )

    def interval(self, path: Path) -> int:
        """Return the interval of the candles. Raises UsageError when the rows do not show it."""
        # Ends are of the form 23:59:59.999, at the file's unit.
        if self._span_ns:
            return self._span_ns
        span = -(-(self._until_ns - self._start_ns) // SECOND_NS) * SECOND_NS
        if _named(span, self._start_ns) is not None:
            return _named(span, self._start_ns) or 0
        step = self._step_ns
        if not step and isinstance(self._refused, NumberError):
            raise ImportRefused(self._table.place, max(1, self._table.line), str(self._refused))
        if not step and self._refused is not None:
            raise self._refused
        if not step:
            raise UsageError(f"{path}: one row does not show the interval of the candles; give --interval")
        if self._all_firsts and step >= 28 * DAY_NS:
            return MONTH_NS
        if _named(step, -1) is None:
            raise UsageError(
                f"{path}: the smallest step between rows is {format_scaled(step, 9)} s, which is not a bar "
                f"interval; give --interval, one of {' '.join(INTERVALS)}"
            )
        return step


def _named(span_ns: int, start_ns: int) -> int | None:
    """Return the interval of a candle from its start and length, None if it is none."""
    begins_month = start_ns >= 0 and window_start(MONTH_NS, start_ns) == start_ns
    if begins_month and window_end(MONTH_NS, start_ns) == start_ns + span_ns:
        return MONTH_NS
    return span_ns if span_ns in _NAMED and span_ns < MONTH_NS else None


class _Ids:
    """Finds ids that come again for another trade, among those of the last rows.

    `contradicted` counts those of one time with another price or size, `repeated` these and those of another
    time, of `count`.
    """

    def __init__(self) -> None:
        self.count = 0
        self.repeated = 0
        self.contradicted = 0
        self.example = ""
        self._new: dict[str, tuple[int, tuple[str, str]]] = {}
        self._old: dict[str, tuple[int, tuple[str, str]]] = {}

    def add(self, cell: str, ns: int, trade: tuple[str, str]) -> None:
        if not cell or cell.strip().lower() in NO_VALUES:
            return
        self.count += 1
        first = self._new.get(cell) or self._old.get(cell)
        if first is None:
            self._new[cell] = (ns, trade)
        elif first != (ns, trade):
            self.repeated += 1
            self.contradicted += first[0] == ns
            self.example = self.example or cell[:40]
        if len(self._new) >= IDS_REMEMBERED:
            self._old, self._new = self._new, {}
