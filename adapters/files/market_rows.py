"""Rows of quotes, books, book updates, funding rates and contexts to events.

Promises what `rows` promises: values are exact, rows are in order of time, and the first row that breaks a
rule ends the import with file, line and reason. What a venue can show though it is not a market, a bid that
is not below the ask, a gap in the updates of a book, is no such row: it is counted, with its first place, and
played as unknown (see `books`). Received when it happened, as trades of files are. Called by `datafile`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from adapters.files.books import CROSSED, OLD, BookBuilder, Damages, Update, is_crossed
from adapters.files.columns import Layout
from adapters.files.kinds import BOOKS, CONTEXTS, FUNDING, QUOTES, UPDATES, level_roles
from adapters.files.merging import MarketEvent
from adapters.files.noise import digits_of
from adapters.files.numbers import NO_VALUES, number_reader, taker_sides
from adapters.files.rows import RowReader
from adapters.files.survey import Survey
from adapters.files.tables import Table
from adapters.files.times import TimeReader
from engine.errors import NumberError
from engine.events import BookRead, ContextRead, FeedDamaged, FundingRead, InstrumentListed, Quote
from engine.values import BUY, Amount, parse_scaled, power_of_ten, wide

__all__ = ["MarketRows", "common_scale", "exact"]

_RATE_DECIMALS_MAX: Final = 18
_PERCENT_DECIMALS: Final = 2
_NO: Final = -1


class MarketRows(RowReader):
    """One pass over the rows of a file that holds neither trades nor candles. `depth`: see `books`."""

    def __init__(
        self,
        table: Table,
        layout: Layout,
        listed: InstrumentListed,
        times: TimeReader,
        found: Survey,
        depth: int,
    ) -> None:
        super().__init__(table, layout, listed, times, found)
        self.damages = Damages()
        self._depth = depth
        self._at_ns = _NO
        self._deepest = 0
        self._rounded = 0
        self._line = 0  # where the message that is being read begins; 0: where the table is

    def events(self) -> Iterator[MarketEvent]:
        """See `RowReader`."""
        readers: dict[str, Callable[[], Iterator[MarketEvent]]] = {
            QUOTES: self.quotes,
            BOOKS: self.books,
            UPDATES: self.updates,
            FUNDING: self.rates,
            CONTEXTS: self.contexts,
        }
        try:
            yield from readers[self._layout.kind]()
        except NumberError as error:
            raise self._refused(error, self._at_ns) from error
        self._refuse_empty(self._at_ns)

    def notes(self) -> tuple[str, ...]:
        """See `RowReader`."""
        notes = [*super().notes(), *self.damages.notes()]
        if self._deepest > self._depth:
            notes.append(
                f"{self._depth} levels of each side are kept, of {self._deepest} at most (--depth keeps more)"
            )
        if self._rounded:
            notes.append(f"{self._rounded} rates of more than {_RATE_DECIMALS_MAX} decimals were rounded")
        return tuple(notes)

    def quotes(self) -> Iterator[Quote]:
        """Yield every row as a quote. A side whose price or size is 0 or not given is empty."""
        price, size = self._price_reader("bid"), self._size_reader("bid_size")
        at = [self._at[role] for role in ("bid", "bid_size", "ask", "ask_size")]
        was_crossed = False
        for ns, row in self._in_order():
            bid, bid_size, ask, ask_size = (
                read(_value(row[place])) for read, place in zip((price, size) * 2, at, strict=True)
            )
            bid, bid_size = (bid, bid_size) if bid and bid_size else (0, 0)
            ask, ask_size = (ask, ask_size) if ask and ask_size else (0, 0)
            crossed = is_crossed(bid, ask)
            if crossed:
                if not was_crossed:
                    self.damages.add(CROSSED, self._where(), ns)
                    yield Quote(ns, ns, self._listed.instrument, 0, 0, 0, 0)
            else:
                yield Quote(ns, ns, self._listed.instrument, bid, bid_size, ask, ask_size)
            was_crossed = crossed

    def books(self) -> Iterator[BookRead | FeedDamaged]:
        """Yield every row as a book, if its best levels are others than those before."""
        price, size = self._price_reader("price"), self._size_reader("size")
        builder = self._builder()
        sides = [
            [(self._at[one], self._at[two]) for one, two in level_roles(self._at, side)]
            for side in ("bid", "ask")
        ]
        for ns, row in self._in_order():
            bids, asks = (
                [(price(_value(row[one])), size(_value(row[two]))) for one, two in places] for places in sides
            )
            builder.snapshot(ns, _whole(bids, "bid"), _whole(asks, "ask"))
            self._note_depth(builder)
            yield from builder.show(ns, ns)

    def updates(self) -> Iterator[BookRead | FeedDamaged]:
        """Yield the book after each message: rows of one time, number and kind that follow each other."""
        price, size = self._price_reader("price"), self._size_reader("size")
        sides = taker_sides(turned=self._layout.turned)
        number = number_reader("seq", 0, zero=True)
        at = self._at
        snapshot_at, seq_at = at.get("snapshot", _NO), at.get("seq", _NO)
        builder = self._builder()
        key: tuple[int, bool, int | None] | None = None
        levels: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
        fresh = True  # the next snapshot row begins a new book
        for ns, row in self._in_order(steps_back=True):
            snapshot = snapshot_at >= 0 and _is_true(row[snapshot_at])
            seq = number(row[seq_at]) if seq_at >= 0 else None
            if key != (ns, snapshot, seq):
                if key is not None:
                    yield from self._message(builder, key, levels, fresh=fresh)
                    fresh = not key[1] or seq != key[2]  # a snapshot without numbers goes on
                    levels = ([], [])
                key, self._line = (ns, snapshot, seq), self._table.line
            side = sides[row[at["side"]]]
            if not side:
                raise NumberError(f"side {row[at['side']][:40]!r}: a level of a book has one")
            level = price(row[at["price"]]), size(row[at["size"]])
            if not level[0]:
                raise NumberError("price is zero; it must be above zero")
            levels[0 if side == BUY else 1].append(level)
        if key is not None:
            yield from self._message(builder, key, levels, fresh=fresh)

    def rates(self) -> Iterator[FundingRead]:
        """Yield every row as a settled funding rate: at its time, whatever the time since the one before."""
        rate_at, unit = self._at["rate"], self._layout.rates
        before_ns = _NO
        for ns, row in self._in_order():
            if ns == before_ns:
                raise NumberError("a second funding rate of this time")
            before_ns = ns
            value, scale, rounded = exact("rate", row[rate_at], _RATE_DECIMALS_MAX)
            self._rounded += rounded
            if unit == "percent":
                scale += _PERCENT_DECIMALS
            yield FundingRead(
                ns, ns, self._listed.instrument, scale, wide(value), 0, per_unit=unit == "money"
            )

    def contexts(self) -> Iterator[ContextRead]:
        """Yield every row that has a value as a context."""
        places = [self._at.get(role, _NO) for role in ("mark", "oracle", "open_interest")]
        for ns, row in self._in_order():
            found = [
                exact("a value", row[place], _RATE_DECIMALS_MAX)
                if place >= 0 and row[place].strip().lower() not in NO_VALUES
                else None
                for place in places
            ]
            if not any(found):
                continue
            scale, (mark, oracle, interest) = common_scale(found)
            yield ContextRead(ns, self._listed.instrument, scale, mark, oracle, None, None, None, interest)

    # Parts of the above.

    def _in_order(self, *, steps_back: bool = False) -> Iterator[tuple[int, Sequence[str]]]:
        """Yield the rows with their times. `steps_back`: a time that goes back counts as the one before."""
        time_at, symbol_at = self._at["time"], self._at.get("symbol", _NO)
        read_time = self._times.read
        last_ns = _NO
        for row in self._rows:
            if len(row) != self._width:
                if not row:
                    continue
                raise self._wrong_width(len(row))
            ns = read_time(row[time_at])
            if ns < last_ns:
                if not steps_back:
                    raise NumberError(self._times.explain_step_back(row[time_at], last_ns))
                self.damages.add(OLD, self._where(), ns)
                ns = last_ns
            last_ns = self._at_ns = ns
            if symbol_at >= 0 and row[symbol_at] != self._symbol:
                self._check_symbol(row[symbol_at])
            yield ns, row

    def _message(
        self,
        builder: BookBuilder,
        key: tuple[int, bool, int | None],
        levels: tuple[list[tuple[int, int]], list[tuple[int, int]]],
        *,
        fresh: bool,
    ) -> Iterator[BookRead | FeedDamaged]:
        ns, snapshot, seq = key
        if snapshot and fresh:
            builder.snapshot(ns, *levels, last=seq)
        else:
            builder.update(ns, Update(*levels, None if seq is None or snapshot else seq - 1, seq))
        self._note_depth(builder)
        yield from builder.show(ns, ns)

    def _builder(self) -> BookBuilder:
        return BookBuilder(self._listed.instrument, self.damages, self._where, self._depth)

    def _note_depth(self, builder: BookBuilder) -> None:
        self._deepest = max(self._deepest, *map(len, builder.book.sizes))

    def _where(self) -> str:
        return f"line {max(1, self._line or self._table.line)}"

    def _price_reader(self, role: str) -> Callable[[str], int]:
        return number_reader(
            role, self._listed.price_scale, zero=True, shift=self._layout.shift, rounding=self._prices
        )

    def _size_reader(self, role: str) -> Callable[[str], int]:
        return number_reader(role, self._listed.size_scale, zero=True, rounding=self._sizes)


def exact(role: str, cell: str, decimals_max: int) -> tuple[int, int, bool]:
    """Return a number as (value, decimals, whether it was rounded to `decimals_max`). Raises NumberError."""
    text = cell.strip()
    found = digits_of(text.removeprefix("-"))
    if found is None:
        try:
            parse_scaled(text, decimals_max, signed=True)
        except NumberError as error:
            raise NumberError(f"{role} {error}") from None
        raise NumberError(f"{role} {cell[:40]!r} is not a number")
    value, places = found
    rounded = places > decimals_max
    if rounded:
        step = power_of_ten(places - decimals_max)
        value, places = (value + step // 2) // step, decimals_max
    return (-value if text.startswith("-") else value), places, rounded


def common_scale(found: Sequence[tuple[int, int, bool] | None]) -> tuple[int, list[Amount | None]]:
    """Return the largest number of decimals, and the values with as many."""
    scale = max((one[1] for one in found if one is not None), default=0)
    return scale, [None if one is None else wide(one[0] * power_of_ten(scale - one[1])) for one in found]


def _value(cell: str) -> str:
    """Return a cell, "0" for one that says there is no value."""
    return "0" if not cell or cell.strip().lower() in NO_VALUES else cell


def _is_true(cell: str) -> bool:
    plain = cell.strip().lower()
    if plain not in ("true", "false", "1", "0", "t", "f"):
        raise NumberError(f"snapshot {cell[:40]!r} is not true or false")
    return plain in ("true", "1", "t")


def _whole(levels: list[tuple[int, int]], side: str) -> list[tuple[int, int]]:
    """Return the levels that there are. Raises NumberError for one price twice."""
    found = [(price, size) for price, size in levels if price and size]
    if len({price for price, _ in found}) < len(found):
        raise NumberError(f"two levels of the {side}s have one price")
    return found
