"""What positions brought: round trips, fills, slippage and turnover, and the parts of every breakdown.

Owns the open positions from their first fill to their last, what the strategy had plotted at both, and the
money of each book. Sums are exact, so the parts of a book are what its position records say. Promises bounded
memory beside 24 bytes for each round trip: `ROWS_MAX` round trips and fills, the newest, `SENT_MAX` orders,
`PLOTS_MAX` plots of a book. Called by the collector.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import Final

import msgspec

from engine.analysis.excursions import Excursion
from engine.analysis.groups import Groups, Money, Part, names_of
from engine.analysis.prices import Prices
from engine.analysis.shapes import BEFORE, OPEN_END, OTHER, FillRow, RoundTrip
from engine.analysis.trades import Nets
from engine.analysis.trips import Trip, added, difference, text_of, trip_after
from engine.clock import DAY_NS
from engine.events import FillBooked, InstrumentListed, PositionChanged, SignalRaised, SubmitOrder
from engine.instruments import Instruments
from engine.values import format_scaled, power_of_ten, rescale, side_name

__all__ = ["ROWS_MAX", "Bookings", "Key"]

ROWS_MAX: Final = 20_000
"""Round trips, and fills, that are kept as rows: the newest."""

SENT_MAX: Final = 10_000
"""Orders whose reason and price when sent are remembered, the newest."""

PLOTS_MAX: Final = 32
"""Plots of one strategy in one market whose newest value is remembered, the first ones."""

_EXECUTIONS: Final = ("", "liquidation", "adl")
"""Causes of booked fills that were executions at the venue, not corrections of the books."""

_ZERO: Final = Decimal(0)

Key = tuple[int, str]
"""(instrument, owner) of a book."""


class _Sent(msgspec.Struct):
    """An order: why, and twice the price when it was sent, 0 if that is not known or does not matter."""

    reason: str
    twice: int
    scale: int


class _Open(msgspec.Struct):
    """An open position. `funding` is that of its book when it was opened; `cut`: before the period."""

    trip: Trip
    reason: str
    plots: dict[str, float]
    funding: Decimal
    cut: bool = False


class _Book(msgspec.Struct):
    """The newest record of a book, the scale of its money, and what its parts so far have brought.

    `start` is what its sums were when the period began, open profit included.
    """

    changed: PositionChanged | None = None
    scale: int = 0
    start: Money = Money()
    given: Money = Money()

    @property
    def funding(self) -> Decimal:
        return _ZERO if self.changed is None else added(_ZERO, int(self.changed.funding), self.scale)

    def money(self, unrealized: Decimal) -> Money:
        """Return the sums of the period, with the profit of what is open."""
        if self.changed is None:
            return Money()
        realized = added(unrealized, int(self.changed.realized), self.scale)
        now = Money(realized, added(_ZERO, int(self.changed.fees), self.scale), self.funding)
        return now.minus(self.start)


class Bookings:
    """State: see the module. The attributes are the results.

    `cut` counts positions from before the period that were closed in it, `slipped` the fills that `slippage`
    is of, `ended` the round trips by the day (days since the epoch) in which they ended.
    """

    def __init__(self, instruments: Instruments, prices: Prices, currency: Callable[[], str]) -> None:
        self.trips: deque[RoundTrip] = deque(maxlen=ROWS_MAX)
        self.nets = Nets()
        self.net_values, self.mae, self.mfe = array("d"), array("d"), array("d")
        self.ended: dict[int, int] = {}
        self.cut = self.slipped = self.fills_count = 0
        self.slippage = self.turnover = self.maker_fees = self.taker_fees = _ZERO
        self.plots_full = False
        self._fills: deque[tuple[int, FillBooked, str, InstrumentListed]] = deque(maxlen=ROWS_MAX)
        self._instruments = instruments
        self._prices = prices
        self._currency = currency
        self._excursions = prices.excursions
        self._open: dict[Key, _Open] = {}
        self._books: dict[Key, _Book] = {}
        self._plots: dict[Key, dict[str, float]] = {}
        self._sent: dict[str, _Sent] = {}
        self._groups = Groups()

    @property
    def open_trips(self) -> int:
        """Round trips that have not ended."""
        return sum(not one.cut for one in self._open.values())

    def open_before(self, changed: PositionChanged, unrealized: int, at_ns: int) -> None:
        """Note a book as the period begins; `unrealized` is the profit of what is open, at the same scale."""
        key = changed.instrument, changed.strategy
        listed = self._instruments[changed.instrument]
        book = self._books[key] = _Book(changed, listed.money_scale + changed.finer)
        book.start = book.money(added(_ZERO, unrealized, book.scale))
        if changed.size:
            held = added(_ZERO, abs(changed.size), listed.size_scale)
            value = added(_ZERO, abs(int(changed.cost) + unrealized), book.scale)
            trip = Trip(1 if changed.size > 0 else -1, at_ns, 0, held, held, value)
            self._open[key] = _Open(trip, BEFORE, {}, book.funding, True)

    def submit(self, _seq: int, order: SubmitOrder) -> None:
        """Note an order and the price when it was sent."""
        terms = order.terms
        listed = self._instruments.get(order.instrument)
        twice = 0
        if not terms.limit:
            twice = 2 * terms.trigger_price if terms.trigger else self._prices.twice.get(order.instrument, 0)
        scale = listed.price_scale if listed is not None else 0
        self._sent[order.client_order_id] = _Sent(order.reason, twice, scale)
        if len(self._sent) > SENT_MAX:
            del self._sent[next(iter(self._sent))]

    def plot(self, _seq: int, signal: SignalRaised) -> None:
        """Note the newest value of a plot. One that is no number is no value."""
        plots = self._plots.setdefault((signal.instrument, signal.strategy), {})
        if not math.isfinite(signal.value):
            plots.pop(signal.name, None)
        elif signal.name in plots or len(plots) < PLOTS_MAX:
            plots[signal.name] = signal.value
        else:
            self.plots_full = True

    def position(self, changed: PositionChanged) -> None:
        """Note the newest record of a book."""
        listed = self._instruments.get(changed.instrument)
        if listed is not None:
            book = self._books.setdefault((changed.instrument, changed.strategy), _Book())
            book.changed, book.scale = changed, listed.money_scale + changed.finer

    def fill(self, seq: int, fill: FillBooked, listed: InstrumentListed) -> None:
        """Book a fill."""
        key = fill.instrument, fill.owner
        sent = self._sent.get(fill.client_order_id)
        reason = sent.reason if sent is not None else ""
        self.fills_count += 1
        self._fills.append((seq, fill, reason, listed))
        self._count(fill, sent, listed)
        position = self._open.get(key)
        if position is None:
            book, plots = self._books.get(key), self._plots.get(key, {})
            funding = _ZERO if book is None else book.funding
            trip = trip_after(None, fill, seq, (listed.price_scale, listed.size_scale))
            position = self._open[key] = _Open(trip, reason, dict(plots), funding)
        else:
            if not position.cut:
                self._excursions.settle(key, position.trip, listed.price_scale)
            scales = listed.price_scale, listed.size_scale
            position.trip = trip_after(position.trip, fill, seq, scales)
        if not position.cut:
            self._excursions.fill(key, position.trip, fill.price, listed.price_scale + fill.finer)
        if not position.trip.held:
            del self._open[key]
            self._end(key, position, fill, seq, reason)

    def _count(self, fill: FillBooked, sent: _Sent | None, listed: InstrumentListed) -> None:
        """Count what a fill cost."""
        scale = listed.money_scale + fill.finer
        if not fill.fee_asset:
            if fill.liquidity == "maker":
                self.maker_fees = added(self.maker_fees, int(fill.fee), scale)
            else:
                self.taker_fees = added(self.taker_fees, int(fill.fee), scale)
        if fill.cause in _EXECUTIONS:
            self.turnover = added(self.turnover, fill.price * fill.size, scale)
            if sent is not None and sent.twice:
                self.slipped += 1
                finer = listed.price_scale + fill.finer - sent.scale
                lost = fill.side * (2 * fill.price - sent.twice * power_of_ten(finer)) * fill.size
                self.slippage = added(self.slippage, lost * 5, scale + 1)

    def _end(self, key: Key, position: _Open, fill: FillBooked, seq: int, reason: str) -> None:
        """End a position."""
        trip, market, by = position.trip, self._instruments[fill.instrument].key, fill.cause or fill.purpose
        book = self._books.get(key)
        funding = difference(book.funding, position.funding) if book is not None else _ZERO
        names = names_of(market, fill.owner, position.reason, reason or by, trip.entered_ns)
        money = Money(trip.profit(), trip.fees, funding)
        self._give(key, Part(names, money, None if position.cut else trip.net))
        if position.cut:
            self.cut += 1
            return
        worst = self._excursions.end(key)
        self._row(position, worst, fill, seq, reason, funding)
        self.nets.add(trip.net)
        self.net_values.append(float(trip.net))
        self.mae.append(worst.mae_percent)
        self.mfe.append(worst.mfe_percent)
        day = (fill.at_ns - 1) // DAY_NS
        self.ended[day] = self.ended.get(day, 0) + 1

    def _row(
        self, position: _Open, worst: Excursion, fill: FillBooked, seq: int, reason: str, funding: Decimal
    ) -> None:
        trip = position.trip
        self.trips.append(
            RoundTrip(
                fill.owner,
                self._instruments.label(fill.instrument),
                "long" if trip.side > 0 else "short",
                text_of(trip.opened),
                trip.entry_price,
                trip.exit_price,
                text_of(trip.profit()),
                text_of(trip.fees),
                text_of(trip.net),
                trip.entered_ns,
                fill.at_ns,
                position.reason,
                reason,
                fill.cause or fill.purpose,
                text_of(worst.mae),
                text_of(worst.mfe),
                worst.mae_percent,
                worst.mfe_percent,
                trip.entry_seq,
                seq,
                text_of(funding),
                position.plots,
                dict(self._plots.get((fill.instrument, fill.owner), {})),
            )
        )

    def _give(self, key: Key, part: Part) -> None:
        """Count a part, also as one of its book."""
        book = self._books.setdefault(key, _Book())
        book.given = book.given.plus(part.money)
        self._groups.add(part._replace(money=Money()) if self.is_foreign(key[0]) else part)

    def is_foreign(self, number: int) -> bool:
        """Return whether the money of a market is in another currency than that of the account."""
        quote = self._instruments[number].rules.quote
        return bool(quote) and quote != self._currency()

    def foreign(self) -> list[tuple[int, str]]:
        """Return the markets with a book whose money is in another currency, and which."""
        numbers = sorted({number for number, _ in (*self._books, *self._open) if self.is_foreign(number)})
        return [(number, self._instruments[number].rules.quote) for number in numbers]

    def settle_excursions(self, listed: InstrumentListed) -> None:
        """Value the prices seen so far, before the scale of prices changes from that of `listed`."""
        for key, position in self._open.items():
            if key[0] == listed.instrument and not position.cut:
                self._excursions.settle(key, position.trip, listed.price_scale)

    def fill_rows(self) -> list[FillRow]:
        """Return the fills that are kept, oldest first."""
        return [
            FillRow(
                seq,
                fill.at_ns,
                fill.owner,
                self._instruments.label(fill.instrument),
                side_name(fill.side),
                format_scaled(fill.price, listed.price_scale + fill.finer),
                format_scaled(fill.size, listed.size_scale),
                format_scaled(int(fill.fee), listed.money_scale + fill.finer),
                fill.fee_asset,
                fill.role,
                fill.liquidity,
                reason,
                fill.cause or fill.purpose,
            )
            for seq, fill, reason, listed in self._fills
        ]

    def groups(self, values: dict[int, tuple[int, int]], unrealized: Decimal) -> Groups:
        """Return the breakdowns at the end of the period.

        `values` are prices and their scales by market, `unrealized` the profit of all open positions as the
        account has it: what a single position has, whatever its price. The money of foreign markets is left
        out.
        """
        found = self._groups.copy()
        held = [key for key, book in self._books.items() if book.changed is not None and book.changed.size]
        for key, book in self._books.items():
            number, owner = key
            if self.is_foreign(number):
                continue
            gain = _ZERO
            if key in held:
                gain = unrealized if len(held) == 1 else self._gain(book, values.get(number))
            rest = book.money(gain).minus(book.given)
            position = self._open.get(key)
            if any(rest) or position is not None:
                entry, exit_reason, entered_ns = OTHER, OTHER, 0
                if position is not None:
                    entry, exit_reason, entered_ns = position.reason, OPEN_END, position.trip.entered_ns
                market = self._instruments[number].key
                found.add(Part(names_of(market, owner, entry, exit_reason, entered_ns), rest))
        return found

    def _gain(self, book: _Book, price: tuple[int, int] | None) -> Decimal:
        """Return the profit of an open position at a price, rounded down as the ledger does."""
        assert book.changed is not None
        if price is None:
            return _ZERO
        scale = self._instruments[book.changed.instrument].size_scale + price[1]
        value = book.changed.size * price[0]
        if scale > book.scale:
            value //= power_of_ten(scale - book.scale)
        else:
            value = rescale(value, scale, book.scale)
        return added(_ZERO, value - int(book.changed.cost), book.scale)
