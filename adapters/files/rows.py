"""Rows of text cells to events: the inner loops of the import.

Owns what a row must be: in order of time, numbers above zero and on the scale, one instrument throughout,
candles on their grid. Promises that nothing is rounded, reordered, filled in or dropped, except the noise of
floats and repeated trades (the same in all, with an id), which are counted; the first row that breaks a rule
ends the import with file, line and reason. An event was received when it happened (`recv_ns` = `venue_ns`), a
candle at its end; one that ends at midnight in the last nanosecond before it, because it belongs to the day
that ends. Called by the importer, once for each pass over a file.

The loops are written out, with local names and one call per cell, because they run once per row.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from adapters.files.columns import Layout
from adapters.files.kinds import TRADES
from adapters.files.merging import MarketEvent
from adapters.files.noise import Rounding
from adapters.files.numbers import maker_sides, number_reader, parse_trade_id, taker_sides, volume_reader
from adapters.files.survey import Survey
from adapters.files.tables import Table
from adapters.files.times import TimeReader
from engine.clock import DAY_NS, MONTH_NS, WEEK_NS, iso_text, window_end, window_start
from engine.errors import ImportRefused, NumberError
from engine.events import Candle, InstrumentListed, Trade
from engine.values import INT64_MAX, NO_SIDE, Amount, format_interval

__all__ = ["INSTRUMENT", "RowReader"]

INSTRUMENT: Final = 1
"""The number of an instrument while its files are read."""

_ABSENT: Final = -1
_WEEKDAYS: Final = ("Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday")


class RowReader:
    """One pass over the rows of a file, as events of one instrument in order of time.

    `listed` is the instrument, `found` what the first pass found. `duplicates` counts the repeated trades so
    far.
    """

    def __init__(
        self, table: Table, layout: Layout, listed: InstrumentListed, times: TimeReader, found: Survey
    ) -> None:
        self.duplicates = 0
        self._table = table
        self._layout = layout
        self._listed = listed
        self._found = found
        self._times = times
        at, self._width, self._rows = table.rows(list(layout.at.values()), header=layout.header)
        self._at = dict(zip(layout.at, at, strict=True))
        self._symbol: str | None = None
        self._first_ns = _ABSENT
        asked = ("price_decimals" not in found.measured, "size_decimals" not in found.measured)
        self._prices = Rounding(found.price_decimals, asked=asked[0]) if found.rounds_prices else None
        self._sizes = Rounding(found.size_decimals, asked=asked[1]) if found.rounds_sizes else None

    def events(self) -> Iterator[MarketEvent]:
        """Yield every row as an event. Raises ImportRefused, also when there is no row."""
        yield from self.trades() if self._layout.kind == TRADES else self.candles()

    def bytes_read(self) -> int:
        """Return how far the file was read, in its own bytes."""
        return self._table.bytes_read()

    def close(self) -> None:
        """Close the file."""
        self._table.close()

    def notes(self) -> tuple[str, ...]:
        """Return what people should know of the reading so far."""
        notes = []
        for what, rounding in (("price", self._prices), ("size", self._sizes)):
            if rounding is not None and rounding.count:
                notes.append(
                    f"{_count(rounding.count, what)} with the noise of floats rounded, as {rounding.example}"
                )
        if self.duplicates:
            notes.append(f"{_count(self.duplicates, 'trade')} left out: the same id and time came before")
        if self._found.interval_ns == WEEK_NS and self._first_ns >= 0:
            notes.append(f"weeks begin on {_WEEKDAYS[self._first_ns // DAY_NS % 7]}")
        return tuple(notes)

    def trades(self) -> Iterator[Trade]:
        """Yield every row as a trade. Raises ImportRefused, also when there is no row."""
        layout = self._layout
        width = self._width
        time_at, price_at, size_at = self._at["time"], self._at["price"], self._at["size"]
        id_at = _ABSENT if self._found.ids_doubted else self._at.get("id", _ABSENT)
        action_at = self._at.get("action", _ABSENT)
        side_at = self._at.get("side", self._at.get("maker", _ABSENT))
        symbol_at = self._at.get("symbol", _ABSENT)
        sides = (maker_sides if "maker" in self._at else taker_sides)(turned=layout.turned)
        read_time = self._times.read
        read_price = number_reader(
            "price", self._listed.price_scale, shift=layout.shift, rounding=self._prices
        )
        read_size = number_reader("size", self._listed.size_scale, rounding=self._sizes)
        instrument = self._listed.instrument
        ns = last_ns = _ABSENT
        side = NO_SIDE
        trade_id: int | str = 0
        seen: set[tuple[int | str, int, int, int]] = set()  # trades with ids, of the time stamp being read
        try:
            for row in self._rows:
                if len(row) != width:
                    if not row:
                        continue
                    raise self._wrong_width(len(row))
                ns = read_time(row[time_at])
                if ns < last_ns:
                    raise NumberError(self._times.explain_step_back(row[time_at], last_ns))
                price = read_price(row[price_at])
                size = read_size(row[size_at])
                if side_at >= 0:
                    side = sides[row[side_at]]
                if id_at >= 0:
                    trade_id = parse_trade_id(row[id_at])
                    trade = (trade_id, price, size, side)
                    if ns != last_ns:
                        seen.clear()
                    elif trade in seen:
                        self.duplicates += 1
                        continue
                    if trade_id:
                        seen.add(trade)
                if symbol_at >= 0 and row[symbol_at] != self._symbol:
                    self._check_symbol(row[symbol_at])
                if action_at >= 0 and row[action_at] != "T":
                    raise NumberError(f"action {row[action_at][:40]!r} is no trade (T); filter the file")
                last_ns = ns
                yield Trade(ns, ns, instrument, price, size, side, trade_id)
        except NumberError as error:
            raise self._refused(error, ns) from error
        self._refuse_empty(last_ns)

    def candles(self) -> Iterator[Candle]:
        """Yield every row as a candle. Raises as `trades` does."""
        interval_ns = self._found.interval_ns
        measured = "interval" in self._found.measured
        width = self._width
        time_at, volume_at = self._at["time"], self._at["volume"]
        open_at, high_at, low_at, close_at = (self._at[role] for role in ("open", "high", "low", "close"))
        trades_at = self._at.get("trades", _ABSENT)
        symbol_at = self._at.get("symbol", _ABSENT)
        read_time = self._times.read
        read_open, read_high, read_low, read_close = (
            number_reader(role, self._listed.price_scale, shift=self._layout.shift, rounding=self._prices)
            for role in ("open", "high", "low", "close")
        )
        read_volume = volume_reader(self._listed.size_scale, rounding=self._sizes)
        read_count = number_reader("trades", 0, zero=True)
        instrument = self._listed.instrument
        last_ns = end_ns = _ABSENT
        trades = 0
        try:
            for row in self._rows:
                if len(row) != width:
                    if not row:
                        continue
                    raise self._wrong_width(len(row))
                start_ns = read_time(row[time_at])
                if start_ns <= last_ns:
                    if start_ns == last_ns:
                        raise NumberError(f"a second candle that starts at {iso_text(start_ns)}")
                    raise NumberError(self._times.explain_step_back(row[time_at], last_ns))
                if last_ns < 0:
                    self._first_ns = start_ns
                end_ns = window_end(interval_ns, start_ns)
                if not _starts(interval_ns, start_ns, self._first_ns) or end_ns > INT64_MAX:
                    raise _off_grid(start_ns, interval_ns, measured=measured)
                open_, high = read_open(row[open_at]), read_high(row[high_at])
                low, close = read_low(row[low_at]), read_close(row[close_at])
                if not low <= open_ <= high or not low <= close <= high:
                    raise NumberError(
                        f"high {row[high_at]} and low {row[low_at]} do not enclose "
                        f"open {row[open_at]} and close {row[close_at]}"
                    )
                volume: Amount = read_volume(row[volume_at])
                if trades_at >= 0:
                    trades = read_count(row[trades_at])
                if symbol_at >= 0 and row[symbol_at] != self._symbol:
                    self._check_symbol(row[symbol_at])
                last_ns = start_ns
                yield Candle(
                    end_ns if end_ns % DAY_NS else end_ns - 1,
                    end_ns,
                    instrument,
                    interval_ns,
                    start_ns,
                    open_,
                    high,
                    low,
                    close,
                    volume,
                    trades,
                )
        except NumberError as error:
            raise self._refused(error, end_ns - 1) from error
        self._refuse_empty(last_ns)

    def _refuse_empty(self, last_ns: int) -> None:
        if last_ns < 0:
            raise ImportRefused(self._table.place, max(1, self._table.line), "no row of data in the file")

    def _check_symbol(self, symbol: str) -> None:
        if self._symbol is not None:
            raise NumberError(
                f"this row is of {symbol[:40]!r}, the rows before are of {self._symbol[:40]!r}; "
                "split the file, one instrument each"
            )
        self._symbol = symbol

    def _wrong_width(self, found: int) -> NumberError:
        return NumberError(f"{found} columns; the first line has {self._width}")

    def _refused(self, error: NumberError, at_ns: int) -> ImportRefused:
        return ImportRefused(self._table.place, max(1, self._table.line), str(error), at_ns=at_ns)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _starts(interval_ns: int, start_ns: int, first_ns: int) -> bool:
    """Return whether a candle may start at a time. Several days are counted from the first candle: venues
    begin weeks on Monday or, counting from 1970, on Thursday."""
    if interval_ns == MONTH_NS:
        return window_start(interval_ns, start_ns) == start_ns
    if interval_ns > DAY_NS:
        return not start_ns % DAY_NS and not (start_ns - first_ns) % interval_ns
    return not start_ns % interval_ns


def _off_grid(start_ns: int, interval_ns: int, *, measured: bool) -> NumberError:
    name = format_interval(interval_ns)
    hint = "; that was the smallest step between rows, give --interval" if measured else ""
    return NumberError(f"a candle of {name} cannot start at {iso_text(start_ns)}{hint}")
