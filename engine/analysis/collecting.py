"""Reads records in journal order and collects what a report is made of: equity, round trips, costs, gaps.

The same for a backtest, a paper day and a live day. Promises: the numbers depend on the records alone, sums
of money are exact, and memory grows with marks of equity (16 bytes each), round trips and days, not with
inputs. Called with frames of a running backtest (`append`), or with records of days (`apply`); `finish` ends
it.

An equity of midnight UTC is the newest mark until then, that of midnight itself included. A day that goes on
from the day before begins with the equity and the books of its snapshot (`DayOpened`); a position that is
open then makes no round trip, since its entry is not in the period.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Set
from decimal import Decimal
from typing import Any, Final

import msgspec

from engine.analysis.drawdowns import Drawdowns
from engine.analysis.prices import PRICED, Prices
from engine.analysis.shapes import DayPoint, Gap, RoundTrip
from engine.analysis.trips import Trip, added, trip_after
from engine.clock import DAY_NS
from engine.events import (
    BarClosed,
    BarCorrected,
    Candle,
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
    SubmitOrder,
    Trade,
    engine_time,
)
from engine.events.codec import Derived, Record, in_order
from engine.instruments import Instruments
from engine.values import format_scaled, power_of_ten, rescale
from engine.views.view import View

__all__ = ["Amounts", "Collector", "text_of"]

_SENT_MAX: Final = 10_000
"""Orders whose price when sent is remembered, the newest."""

_GAPS_MAX: Final = 1_000

_EXECUTIONS: Final = ("", "liquidation", "adl")
"""Causes of booked fills that were executions at the venue, not corrections of the books."""

_PRICE_READERS: Final = frozenset({SubmitOrder, FillBooked, PathReached})
"""Derived records whose handlers use or set prices: they get the inputs before them first."""

Key = tuple[int, str]
"""(instrument, owner) of a book."""


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


class _Sent(msgspec.Struct):
    """An order: why, and twice the price when it was sent, 0 if that is not known or does not matter."""

    reason: str
    twice: int
    scale: int


class Collector:
    """State: see the module. The attributes are the results; `finish` completes them.

    `start` and `end` are the first and the newest sums of the account, `marks` the equity at `marks_ns`, as
    floats for a chart. `held_ns` is the time with a position, `cut` counts positions from before the period
    that were closed in it, `slipped` the fills that `slippage` is of, and `incomplete` has (instrument,
    interval, start).
    """

    def __init__(self) -> None:
        self.instruments = Instruments()
        self.first_ns = self.last_ns = 0
        self.start: Amounts | None = None
        self.end: Amounts | None = None
        self.marks_ns = array("q")
        self.marks = array("d")
        self.days: list[DayPoint] = []
        self.drawdowns = Drawdowns()
        self.trips: list[RoundTrip] = []
        self.cut = 0
        self.held_ns = 0
        self.slipped = 0
        self.slippage = Decimal(0)
        self.turnover = Decimal(0)
        self.gaps: list[Gap] = []
        self.gaps_count = 0
        self.incomplete: set[tuple[int, int, int]] = set()
        self.first_closes: dict[int, Decimal] = {}
        self._books: dict[Key, int] = {}
        self._held = 0
        self._since_ns = 0
        self._cut: set[Key] = set()
        self._open: dict[Key, tuple[Trip, str]] = {}
        self._prices = Prices(self.instruments)
        self._excursions = self._prices.excursions
        self._sent: dict[str, _Sent] = {}
        self._closes: dict[int, tuple[int, int]] = {}
        self._midnight_ns = 0
        self._begin_ns = 0
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
            BarCorrected: self._corrected,
            SubmitOrder: self._submitted,
            FillBooked: self._fill,
            PositionChanged: self._position,
            EquityMarked: self._equity,
            FeedGap: self._gap,
        }
        self._handlers = handlers
        self._singles = frozenset(handlers) - PRICED

    @property
    def open_trips(self) -> int:
        """Round trips that have not ended."""
        return len(self._open)

    # Reading.

    def append(self, first_seq: int, inputs: list[Event], derived: list[Derived]) -> None:
        """Read a frame: prices as runs between the records that read them, where no other input matters."""
        kinds = frozenset(map(type, inputs))
        if self.first_ns and kinds.isdisjoint(self._singles):
            self._read_runs(first_seq, inputs, derived, kinds)
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
        if self.end is not None:
            self._close_days(self.last_ns)
            if not self.days or self.days[-1].at_ns < self.last_ns:
                self.days.append(_point(self.last_ns, self.end))
        self.drawdowns.finish(self.last_ns)
        self._count_held(self.last_ns)

    # Sessions and days.

    def _opened(self, _seq: int, opened: DayOpened) -> None:
        """Begin with the equity and the positions that the first day opens with."""
        view = View("")
        view.apply([(1, 0, opened)])
        for listed in opened.instruments:
            self.instruments[listed.instrument] = listed
        for key, (_, changed) in view.account.books.items():
            assert isinstance(changed, PositionChanged)
            if changed.size:
                self._books[key] = changed.size
                self._cut.add(key)
        self._held, self._since_ns = len(self._books), opened.at_ns
        if view.account.equity is not None:
            marked = view.account.equity[1]
            assert isinstance(marked, EquityMarked)
            self._equity(0, msgspec.structs.replace(marked, at_ns=opened.at_ns))

    def _day(self, _seq: int, opened: DayOpened) -> None:
        for listed in opened.instruments:
            self.instruments.setdefault(listed.instrument, listed)

    def _started(self, _seq: int, started: SessionStarted) -> None:
        """Begin the period later if the session only warms up at first, and nothing was measured before."""
        self._prices.begin_session()
        if self.end is None and started.begin_ns > self.first_ns:
            self.first_ns = self._begin_ns = started.begin_ns
            self._midnight_ns = _next_midnight(self.first_ns)

    def _listed(self, _seq: int, listed: InstrumentListed) -> None:
        number = listed.instrument
        before = self.instruments.get(number)
        if before is not None and before.price_scale != listed.price_scale:
            self._settle_excursions(number)
            self._prices.refine(number, listed.price_scale - before.price_scale)
        self.instruments[number] = listed

    # Prices.

    def _price(self, _seq: int, marked: PriceMarked) -> None:
        self._close(marked.instrument, marked.price)

    def _bar_closed(self, _seq: int, bar: BarClosed) -> None:
        number = bar.instrument
        if bar.start_ns < self._begin_ns:
            return
        if bar.incomplete:
            self.incomplete.add((number, bar.interval_ns, bar.start_ns))
        self._close(number, bar.close)

    def _corrected(self, _seq: int, bar: BarCorrected) -> None:
        if not bar.incomplete:
            self.incomplete.discard((bar.instrument, bar.interval_ns, bar.start_ns))

    def _close(self, number: int, price: int) -> None:
        """Note the close of a bar: the first one is what the benchmark is bought at."""
        if number not in self.first_closes:
            self.first_closes[number] = added(Decimal(0), price, self.instruments[number].price_scale)
        self._closes[number] = price, self.instruments[number].price_scale

    def held_prices(self) -> list[tuple[Decimal, Decimal]]:
        """Return (close of the first bar, last close) of each instrument that has bars."""
        return [
            (first, added(Decimal(0), *self._closes[number])) for number, first in self.first_closes.items()
        ]

    # Orders, fills, positions.

    def _submitted(self, _seq: int, order: SubmitOrder) -> None:
        terms = order.terms
        listed = self.instruments.get(order.instrument)
        twice = 0
        if not terms.limit:
            twice = 2 * terms.trigger_price if terms.trigger else self._prices.twice.get(order.instrument, 0)
        scale = listed.price_scale if listed is not None else 0
        self._sent[order.client_order_id] = _Sent(order.reason, twice, scale)
        if len(self._sent) > _SENT_MAX:
            del self._sent[next(iter(self._sent))]

    def _fill(self, seq: int, fill: FillBooked) -> None:
        listed = self.instruments.get(fill.instrument)
        if listed is None:
            return
        if not self._held:
            self.drawdowns.hold(fill.at_ns)
        key = fill.instrument, fill.owner
        sent = self._sent.get(fill.client_order_id)
        if fill.cause in _EXECUTIONS:
            scale = listed.money_scale + fill.finer
            self.turnover = added(self.turnover, fill.price * fill.size, scale)
            if sent is not None and sent.twice:
                self.slipped += 1
                finer = listed.price_scale + fill.finer - sent.scale
                lost = fill.side * (2 * fill.price - sent.twice * power_of_ten(finer)) * fill.size
                self.slippage = added(self.slippage, lost * 5, scale + 1)
        if key in self._cut:
            return
        reason = sent.reason if sent is not None else ""
        before, entry_reason = self._open.get(key, (None, reason))
        if before is not None:
            self._excursions.settle(key, before, listed.price_scale)
        trip = trip_after(before, fill, seq, (listed.price_scale, listed.size_scale))
        self._excursions.fill(key, trip, fill.price, listed.price_scale + fill.finer)
        if trip.held:
            self._open[key] = trip, entry_reason
            return
        self._open.pop(key, None)
        self._end_trip(key, trip, fill, seq, entry_reason, reason)

    def _end_trip(
        self, key: Key, trip: Trip, fill: FillBooked, seq: int, entry_reason: str, reason: str
    ) -> None:
        worst = self._excursions.end(key)
        self.trips.append(
            RoundTrip(
                fill.owner,
                self.instruments.label(fill.instrument),
                "long" if trip.side > 0 else "short",
                text_of(trip.opened),
                trip.entry_price,
                trip.exit_price,
                text_of(trip.profit()),
                text_of(trip.fees),
                text_of(trip.net),
                trip.entered_ns,
                fill.at_ns,
                entry_reason,
                reason,
                fill.cause or fill.purpose,
                text_of(worst.mae),
                text_of(worst.mfe),
                worst.mae_percent,
                worst.mfe_percent,
                trip.entry_seq,
                seq,
            )
        )

    def _settle_excursions(self, number: int) -> None:
        """Value the prices seen so far, before the scale of prices changes."""
        for key, (trip, _) in self._open.items():
            if key[0] == number:
                self._excursions.settle(key, trip, self.instruments[number].price_scale)

    def _position(self, _seq: int, changed: PositionChanged) -> None:
        key = changed.instrument, changed.strategy
        if changed.size:
            if key not in self._books:
                self._count_held(changed.at_ns)
                self._held += 1
            self._books[key] = changed.size
        elif self._books.pop(key, 0):
            self._count_held(changed.at_ns)
            self._held -= 1
            if key in self._cut:
                self._cut.discard(key)
                self.cut += 1

    def _count_held(self, at_ns: int) -> None:
        """Add the time with a position until now."""
        if self._held:
            self.held_ns += max(0, at_ns - self._since_ns)
        self._since_ns = max(self._since_ns, at_ns)

    # The account.

    def _equity(self, _seq: int, marked: EquityMarked) -> None:
        now = Amounts.of(marked)
        at_ns = max(marked.at_ns, self._begin_ns)
        if self.end is None:
            self.start = now
            self.days.append(_point(self.first_ns, now))
        else:
            self._close_days(at_ns)
        self.end = now
        self.drawdowns.add(at_ns, now.equity, now.scale, now.moved)
        self.marks_ns.append(at_ns)
        self.marks.append(now.equity / power_of_ten(now.scale))

    def _close_days(self, at_ns: int) -> None:
        """Note the equity of each midnight before a time."""
        while self._midnight_ns < at_ns:
            if self.end is not None:
                self.days.append(_point(self._midnight_ns, self.end))
            self._midnight_ns += DAY_NS

    def _gap(self, _seq: int, gap: FeedGap) -> None:
        if not gap.closed and gap.to_ns >= self._begin_ns:
            self.gaps_count += 1
            if len(self.gaps) < _GAPS_MAX:
                label = self.instruments.label(gap.instrument) if gap.instrument in self.instruments else ""
                self.gaps.append(Gap(label, gap.from_ns, gap.to_ns))


def text_of(amount: Decimal) -> str:
    """Return the exact plain text of a decimal: no exponent, no trailing zeros, no "-0"."""
    sign, digits, exponent = amount.as_tuple()
    assert isinstance(exponent, int)
    number = int("".join(map(str, digits)) or "0") * power_of_ten(max(0, exponent))
    return format_scaled(-number if sign else number, max(0, -exponent))


def _point(at_ns: int, amounts: Amounts) -> DayPoint:
    scale = amounts.scale
    return DayPoint(at_ns, format_scaled(amounts.equity, scale), format_scaled(amounts.moved, scale))


def _next_midnight(at_ns: int) -> int:
    return (at_ns // DAY_NS + 1) * DAY_NS
