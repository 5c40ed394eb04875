"""Reads records in journal order and collects what a report is made of: equity, round trips, costs, gaps.

The same for a backtest, a paper day and a live day. Promises: the numbers depend on the records alone, sums
of money are exact, and memory grows with days and, by 24 bytes, with round trips, not with inputs or marks;
each part states its bound. Called with frames of a running backtest (`append`), or with records of days
(`apply`); `finish` ends it.

An equity of midnight UTC is the newest mark until then, that of midnight itself included. A day that goes on
from the day before begins with the equity and the books of its snapshot (`DayOpened`); a position that is
open then makes no round trip, since its entry is not in the period.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Set
from decimal import Decimal
from typing import Any, Final

import msgspec

from engine.analysis.bookings import Bookings
from engine.analysis.curves import Benchmark, Points
from engine.analysis.doubts import Doubts
from engine.analysis.drawdowns import Drawdowns
from engine.analysis.exposures import Exposures
from engine.analysis.groups import Groups
from engine.analysis.prices import PRICED, Prices
from engine.analysis.sessions import Sessions
from engine.analysis.shapes import DayPoint
from engine.analysis.trips import added
from engine.clock import DAY_NS
from engine.events import (
    BarClosed,
    BarCorrected,
    Candle,
    ContextRead,
    DayOpened,
    EquityMarked,
    Event,
    FeedGap,
    FillBooked,
    InstrumentListed,
    PathReached,
    PositionChanged,
    PriceMarked,
    Quote,
    SessionStarted,
    SignalRaised,
    SubmitOrder,
    Trade,
    engine_time,
)
from engine.events.codec import Derived, Record, in_order
from engine.instruments import Instruments
from engine.values import format_scaled, power_of_ten, rescale
from engine.views.account import money_scale, position_gain
from engine.views.view import View

__all__ = ["Amounts", "Collector"]

_PRICE_READERS: Final = frozenset({SubmitOrder, FillBooked, PathReached})
"""Derived records whose handlers use or set prices: they get the inputs before them first."""


class Amounts(msgspec.Struct):
    """Sums of an account in its currency, exact integers at `scale`."""

    scale: int = 0
    equity: int = 0
    fees: int = 0
    funding: int = 0
    moved: int = 0

    @classmethod
    def of(cls, marked: EquityMarked) -> Amounts:
        """Return the sums of a mark."""
        return cls(
            marked.scale,
            int(marked.equity),
            int(marked.fees),
            int(marked.funding),
            int(marked.adjustments),
        )

    def at(self, scale: int) -> Amounts:
        """Return the same at a finer scale."""
        numbers = (rescale(one, self.scale, scale) for one in msgspec.structs.astuple(self)[1:])
        return Amounts(scale, *numbers)


class Collector:
    """State: see the module. The attributes are the results; `finish` completes them.

    `start` and `end` are the first and the newest sums of the account. The curves
    `equity` and `falls` have a point for each mark. `gaps_count` counts all gaps.
    """

    def __init__(self) -> None:
        self.instruments = Instruments()
        self.first_ns = self.last_ns = 0
        self.start: Amounts | None = None
        self.equity, self.falls = Points(), Points()
        self.days: list[DayPoint] = []
        self.drawdowns = Drawdowns()
        self.benchmark = Benchmark()
        self.exposures = Exposures()
        self.sessions = Sessions()
        self.doubts = Doubts(self.instruments)
        self._prices = Prices(self.instruments)
        self.bookings = Bookings(self.instruments, self._prices, self.currency)
        self._marked: EquityMarked | None = None
        self._marks: dict[int, tuple[int, int]] = {}
        self._closed = (-1, 0, 0, 0)
        self._midnight_ns = self._begin_ns = 0
        handlers: dict[type[Event], Callable[[int, Any], None]] = {
            InstrumentListed: self._listed,
            SessionStarted: self._started,
            DayOpened: self._day,
            Trade: self._prices.trade,
            Quote: self._prices.quote,
            Candle: self._prices.candle,
            PathReached: self._prices.path,
            PriceMarked: self._price,
            BarClosed: self._bar_closed,
            BarCorrected: self.doubts.corrected,
            SubmitOrder: self.bookings.submit,
            FillBooked: self._fill,
            PositionChanged: self._position,
            EquityMarked: self._equity,
            SignalRaised: self.bookings.plot,
            FeedGap: self.doubts.gap,
            ContextRead: self._context,
        }
        self._handlers = handlers
        self._singles = frozenset(handlers) - PRICED - {ContextRead}

    @property
    def unvalued(self) -> tuple[tuple[str, str], ...]:
        """The (asset, amount) that no number includes, since no price is known; of the newest equity."""
        return () if self._marked is None else self._marked.unvalued

    @property
    def end(self) -> Amounts | None:
        """The newest sums of the account, None before its first mark."""
        return Amounts.of(self._marked) if self._marked is not None else None

    def currency(self) -> str:
        """Return the currency of the account: as configured, else that of the first market; "" if unknown."""
        return self.sessions.currency or next(
            (one.rules.quote for one in self.instruments.values() if one.rules.quote), ""
        )

    # Reading.

    def append(self, first_seq: int, inputs: list[Event], derived: list[Derived]) -> None:
        """Read a frame: prices as runs between the records that read them, where no other input matters."""
        kinds = frozenset(map(type, inputs))
        if self.first_ns and kinds.isdisjoint(self._singles):
            self._read_runs(first_seq, inputs, derived, kinds)
            if ContextRead in kinds:
                self._contexts(inputs)
        else:
            self._read(in_order(first_seq, inputs, derived))
        last = inputs[-1] if inputs else derived[-1][2]
        self.last_ns = max(self.last_ns, engine_time(last))

    def apply(self, records: Iterable[Record]) -> None:
        """Read records in journal order."""
        self._read(self._timed(records))

    def _timed(self, records: Iterable[Record]) -> Iterator[Record]:
        for record in records:
            self.last_ns = max(self.last_ns, engine_time(record[2]))
            yield record

    def _read(self, records: Iterable[Record]) -> None:
        handlers = self._handlers
        records = iter(records)
        if not self.first_ns:
            for seq, _, event in records:
                self.first_ns = self.last_ns = engine_time(event)
                self._midnight_ns = _next_midnight(self.first_ns)
                self.exposures.begin(self.first_ns)
                if isinstance(event, DayOpened):
                    self._opened(seq, event)
                handler = handlers.get(event.__class__)
                if handler is not None:
                    handler(seq, event)
                break
        for seq, _, event in records:
            handler = handlers.get(event.__class__)
            if handler is not None:
                handler(seq, event)

    def _read_runs(
        self, first_seq: int, inputs: list[Event], derived: list[Derived], kinds: Set[type[Event]]
    ) -> None:
        handlers, taken = self._handlers, 0
        priced = not kinds.isdisjoint(PRICED)
        if Candle in kinds:
            self._prices.candled.update(event.instrument for event in inputs if isinstance(event, Candle))
        for place, (seq, _, event) in enumerate(derived):
            kind = event.__class__
            handler = handlers.get(kind)
            if handler is None:
                continue
            if priced and kind in _PRICE_READERS:
                before = seq - first_seq - place
                self._prices.take(inputs, taken, before, kinds)
                taken = before
            handler(seq, event)
        if priced:
            self._prices.take(inputs, taken, len(inputs), kinds)

    def finish(self) -> None:
        """End the period at the last record."""
        end = self.end
        if end is not None:
            self._close_days(self.last_ns)
            last = _point(self.last_ns, end)
            if self.days[-1] != last:
                self.days.append(last)
        self.drawdowns.finish(self.last_ns)
        self.exposures.finish(self.last_ns)

    def groups(self) -> Groups:
        """Return the breakdowns at the end of the period."""
        marked, unrealized = self._marked, Decimal(0)
        if marked is not None:
            unrealized = added(unrealized, int(marked.unrealized), marked.scale)
        lasts = {
            number: (price, self.instruments[number].price_scale)
            for number, price in self._prices.lasts.items()
        }
        return self.bookings.groups(self.benchmark.newest | lasts | self._marks, unrealized)

    # Sessions and days.

    def _opened(self, _seq: int, opened: DayOpened) -> None:
        """Begin with the equity and the positions that the first day opens with."""
        view = View("")
        view.apply([(1, 0, opened)])
        if opened.started is not None:
            self.sessions.add(opened.started)
        for listed in opened.instruments:
            self.instruments[listed.instrument] = listed
        books = [changed for _, changed in view.account.books.values()]
        marked = view.account.equity[1] if view.account.equity is not None else None
        held = sum(bool(changed.size) for changed in books)
        for changed in books:
            number = changed.instrument
            market = view.markets.by_number[number]
            gain = position_gain(market, changed) or 0
            if held == 1 and changed.size and marked is not None:
                gain = rescale(marked.unrealized, marked.scale, money_scale(market.listed, changed))
            self.bookings.open_before(changed, gain, opened.at_ns)
            price = market.price()
            if price is not None:
                self.exposures.price(number, price[0] / power_of_ten(price[1]))
            self._hold(changed, opened.at_ns)
        if marked is not None:
            self._equity(0, msgspec.structs.replace(marked, at_ns=opened.at_ns))

    def _day(self, _seq: int, opened: DayOpened) -> None:
        for listed in opened.instruments:
            self.instruments.setdefault(listed.instrument, listed)

    def _started(self, _seq: int, started: SessionStarted) -> None:
        """Begin the period later if the session only warms up at first, and nothing was measured before."""
        self.sessions.add(started)
        self._prices.begin_session()
        if self.end is None and started.begin_ns > self.first_ns:
            self.first_ns = self._begin_ns = self.doubts.begin_ns = started.begin_ns
            self._midnight_ns = _next_midnight(self.first_ns)
            self.exposures.begin(self.first_ns)

    def _listed(self, _seq: int, listed: InstrumentListed) -> None:
        before = self.instruments.get(listed.instrument)
        if before is not None and before.price_scale != listed.price_scale:
            self.bookings.settle_excursions(before)
            self._prices.refine(listed.instrument, listed.price_scale - before.price_scale)
        self.instruments[listed.instrument] = listed

    # Prices.

    def _price(self, _seq: int, marked: PriceMarked) -> None:
        self._close(marked.instrument, marked.price, marked.at_ns)

    def _bar_closed(self, seq: int, bar: BarClosed) -> None:
        self._prices.bar(bar)
        if bar.start_ns < self._begin_ns:
            return
        if bar.incomplete:
            self.doubts.bar(seq, bar)
        self._close(bar.instrument, bar.close, bar.at_ns)

    def _close(self, number: int, price: int, at_ns: int) -> None:
        scale = self.instruments[number].price_scale
        closed = number, price, scale, at_ns
        if closed == self._closed:
            return  # a longer bar that ends at the same time
        self._closed = closed
        self.benchmark.close(number, price, scale, at_ns)
        self.exposures.price(number, price / power_of_ten(scale))

    def _context(self, _seq: int, context: ContextRead) -> None:
        """Note the venue's mark, which values positions."""
        if context.mark is not None:
            self._marks[context.instrument] = int(context.mark), context.scale

    def _contexts(self, inputs: list[Event]) -> None:
        for event in inputs:
            if isinstance(event, ContextRead):
                self._context(0, event)

    # Fills and positions.

    def _fill(self, seq: int, fill: FillBooked) -> None:
        listed = self.instruments.get(fill.instrument)
        if listed is not None:
            if not self.exposures.holding:
                self.drawdowns.hold(fill.at_ns)
            price = fill.price / power_of_ten(listed.price_scale + fill.finer)
            self.exposures.price(fill.instrument, price)
            self.bookings.fill(seq, fill, listed)

    def _position(self, _seq: int, changed: PositionChanged) -> None:
        self.bookings.position(changed)
        self._hold(changed, changed.at_ns)

    def _hold(self, changed: PositionChanged, at_ns: int) -> None:
        listed = self.instruments.get(changed.instrument)
        scale = listed.size_scale if listed is not None else 0
        size = changed.size / power_of_ten(scale)
        self.exposures.hold((changed.instrument, changed.strategy), size, at_ns)

    # The account.

    def _equity(self, _seq: int, marked: EquityMarked) -> None:
        at_ns = max(marked.at_ns, self._begin_ns)
        if self._marked is None:
            self.start = Amounts.of(marked)
            self.days.append(_point(self.first_ns, self.start))
        elif self._midnight_ns < at_ns:
            self._close_days(at_ns)
        self._marked = marked
        sum_now, scale = int(marked.equity), marked.scale
        self.drawdowns.add(at_ns, sum_now, scale, int(marked.adjustments))
        equity = sum_now / power_of_ten(scale)
        self.equity.add(at_ns, equity)
        self.falls.add(at_ns, self.drawdowns.now_percent)
        self.exposures.mark(at_ns, equity)

    def _close_days(self, at_ns: int) -> None:
        """Note the equity of each midnight before a time."""
        end = self.end
        while self._midnight_ns < at_ns:
            if end is not None:
                self.days.append(_point(self._midnight_ns, end))
            self._midnight_ns += DAY_NS


def _point(at_ns: int, amounts: Amounts) -> DayPoint:
    scale = amounts.scale
    sums = (amounts.equity, amounts.moved, amounts.fees, amounts.funding)
    return DayPoint(at_ns, *(format_scaled(one, scale) for one in sums))


def _next_midnight(at_ns: int) -> int:
    return (at_ns // DAY_NS + 1) * DAY_NS
