"""The ledger: every book, the prices that value them, and the equity of the account.

Owns the scale of money, the books by market and owner, and the formula of equity:

    equity = start + adjustments + realized - fees + funding + unrealized
    unrealized = size * price - cost, of each book; the price is the mark, else the last trade, else a close

Money is in exact integers at one scale, fine enough for every product of a price and a size in a listed
market. It only grows, and a finer scale is exact. What is not a product is rounded once, against the account.
`Books` (`actor.py`) is the actor; this is its lower half, which books nothing by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from engine.actors.base import Actor, Emit, handles
from engine.actors.books.book import EXTERNAL, FINER, MANUAL, Book, Executed, Net, unrealized
from engine.actors.books.equity import Other, in_currency, valued
from engine.actors.books.purse import Purse
from engine.config import MONEY_TEXT_SCALE, Config
from engine.events import (
    AccountMarked,
    BarClosed,
    Candle,
    ContextRead,
    EquityMarked,
    InstrumentListed,
    PositionChanged,
    PriceMarked,
    SessionStopped,
    Trade,
)
from engine.instruments import Instruments
from engine.values import INT64_MAX, InstrumentId, Price, parse_scaled, power_of_ten, wide

__all__ = ["FINER", "SCALE_MIN", "Executed", "Ledger", "Other", "account_currency"]

SCALE_MIN: Final = 8
"""Fewest decimals of money."""

_NO_BOOKS: Final[Mapping[str, Book]] = MappingProxyType({})


def account_currency(configured: str, instruments: Instruments) -> str:
    """Return the currency that an account is valued in: as configured, else that of the first market."""
    if configured:
        return configured
    for listed in instruments.values():
        if listed.rules.quote:
            return listed.rules.quote
    return ""


class Ledger(Actor):
    """State: the books by market and owner, the account's position by market, prices, and what equity began
    with and was adjusted by.

    `others` are amounts of assets that no market is quoted in. `start` is None as long as the value of a real
    account is not known; nothing is marked before. Where there are accounts at several venues, the money of
    each is in `purses`, in its own currency, and these three attributes are not used.
    """

    WIRING = Actor.WIRING | {"executions_kept", "strategies", "configured_currency", "prices", "limited"}
    purses: dict[str, Purse]
    books: dict[InstrumentId, dict[str, Book]]
    nets: dict[InstrumentId, Net]
    marks: dict[int, tuple[int, int]]
    last: dict[InstrumentId, Price]
    closes: dict[InstrumentId, Price]

    def __init__(self, config: Config) -> None:
        super().__init__("books")
        self.strategies = tuple(entry.title for entry in config.strategies)
        self.configured_currency = config.account.currency
        self.prices = config.account.prices
        limits = (config.risk.max_daily_loss, config.risk.max_drawdown_percent)
        self.limited = any(parse_scaled(limit, MONEY_TEXT_SCALE) for limit in limits)
        self.executions_kept = 0  # of each market, in the venue's order
        self.scale = SCALE_MIN
        self.books = {}
        self.nets = {}
        self.marks = {}
        self.last = {}
        self.closes = {}
        self.start: int | None = None
        self.adjustments = 0
        self.others: dict[str, Other] = {}
        self.marked: tuple[Any, ...] = ()
        self.purses = {}

    # Books.

    def book(self, owner: str, instrument: int) -> Book:
        """Return a book; an empty one if there was none."""
        books = self.books.setdefault(instrument, {})
        found = books.get(owner)
        if found is None:
            found = books[owner] = Book()
        return found

    def net(self, instrument: int) -> Net:
        """Return the account's position as one; the sum of the books if it was not followed so far."""
        found = self.nets.get(instrument)
        if found is None:
            books = self.books.get(instrument, {}).values()
            size, cost = sum(book.size for book in books), sum(book.cost for book in books)
            found = self.nets[instrument] = Net(size, cost if size else 0)
        return found

    def sizes(self, instrument: int) -> list[tuple[str, int]]:
        """Return (owner, signed size) of the books of a market: strategies as configured, others by name,
        `manual`, `external`."""
        books = self.books.get(instrument, {})
        others = sorted(books.keys() - {*self.strategies, MANUAL, EXTERNAL})
        order = (*self.strategies, *others, MANUAL, EXTERNAL)
        return [(owner, books[owner].size) for owner in order if owner in books]

    def account(self, instrument: int) -> int:
        """Return the signed position of the account: the sum of the books."""
        return sum(book.size for book in self.books.get(instrument, {}).values())

    def all_books(self) -> Iterator[tuple[int, str, Book]]:
        """Yield every book with its market and owner."""
        for instrument, books in self.books.items():
            for owner, book in books.items():
                yield instrument, owner, book

    def finer(self, instrument: int) -> int:
        """Return the decimals that the ledger's money has beyond an instrument's."""
        return self.scale - self.instruments[instrument].money_scale

    def changed(self, at_ns: int, owner: str, instrument: int, *, external: bool = False) -> PositionChanged:
        """Return the event of a book as it is now."""
        book = self.book(owner, instrument)
        return PositionChanged(
            at_ns,
            owner,
            instrument,
            book.size,
            wide(book.cost),
            wide(book.realized),
            wide(book.fees),
            self.finer(instrument),
            wide(book.funding),
            external,
        )

    # The scale of money.

    def fit_scale(self, scale: int = 0) -> None:
        """Make the scale fine enough for every listed market, and for amounts at `scale`."""
        finest = max((scale, *(one.money_scale + FINER for one in self.instruments.values())))
        if finest > self.scale:
            factor = power_of_ten(finest - self.scale)
            self.scale = finest
            for _, _, book in self.all_books():
                book.refine(factor)
            for net in self.nets.values():
                net.refine(factor)
            self.refine(factor)

    def refine(self, factor: int) -> None:
        """Move all other money to a finer scale."""
        if self.marked:
            # The same equity at another scale is no change.
            _, *amounts, unvalued = self.marked
            self.marked = (self.scale, *(wide(int(amount) * factor) for amount in amounts), unvalued)
        self.adjustments *= factor
        for other in self.others.values():
            other.refine(factor)
        if self.start is not None:
            self.start *= factor
        for purse in self.purses.values():
            purse.refine(factor)

    @handles(InstrumentListed)
    def note_instrument(self, listed: InstrumentListed, emit: Emit) -> None:
        """Make the scale fine enough for a new market."""
        self.fit_scale()

    # Prices.

    @property
    def follows(self) -> bool:
        """Whether every trade is followed, so that no close of a bar is newer."""
        return True

    @handles(Trade)
    def note_trade(self, trade: Trade, emit: Emit) -> None:
        """Use the price of a trade."""
        self.last[trade.instrument] = trade.price
        if self.limited:
            self._value_loss(trade.instrument, trade.recv_ns, emit)

    @handles(Candle)
    def note_candle(self, candle: Candle, emit: Emit) -> None:
        """Use the close of a candle, in data that has no trades."""
        self.last[candle.instrument] = candle.close

    @handles(ContextRead)
    def note_context(self, context: ContextRead, emit: Emit) -> None:
        """Use the venue's mark."""
        if context.mark is not None:
            self.marks[context.instrument] = (int(context.mark), context.scale)
            if self.limited:
                self._value_loss(context.instrument, context.recv_ns, emit)

    def _value_loss(self, instrument: int, at_ns: int, emit: Emit) -> None:
        """Value the account with each price of what it holds: a loss limit does not wait for a bar."""
        if any(book.size for book in self.books.get(instrument, {}).values()):
            self.mark(at_ns, emit, always=False)

    def price(self, instrument: int) -> tuple[int, int] | None:
        """Return the price that positions are valued at, and its scale; None before any."""
        mark = self.marks.get(instrument)
        if mark is not None:
            return mark
        last = self.last.get(instrument)
        if last is None:
            last = self.closes.get(instrument)
        return None if last is None else (last, self.instruments[instrument].price_scale)

    # Equity.

    def unrealized(self, instrument: int, book: Book) -> int:
        """Return the profit of an open position, rounded down; 0 before any price."""
        price = self.price(instrument)
        if price is None or not book.size:
            return 0
        value, scale = price
        scale += self.instruments[instrument].size_scale
        return unrealized(book.size, book.cost, self.scale, value, scale)

    @property
    def currency(self) -> str:
        """The currency that the account is valued in: as configured, else that of the first market."""
        return account_currency(self.configured_currency, self.instruments)

    def venue_of(self, instrument: int) -> str:
        """Return the venue whose account has a market; "" where there is one account."""
        return self.instruments[instrument].venue if self.purses else ""

    def currency_of(self, venue: str) -> str:
        """Return the currency of the account at a venue: that of its first market; "" is all accounts."""
        if not venue:
            return self.currency
        quotes = (one.rules.quote for one in self.instruments.values() if one.venue == venue)
        return next((quote for quote in quotes if quote), self.currency)

    def other(self, asset: str, venue: str = "") -> Other:
        """Return the amounts of an asset at a venue."""
        purse = self.purses.get(venue)
        others = self.others if purse is None else purse.others
        return others.setdefault(asset, Other())

    def other_assets(self, venue: str) -> Iterator[tuple[str, Other]]:
        """Yield the assets at a venue that no market is quoted in, with their amounts; "" has all."""
        if not venue:
            yield from self.others.items()
        for name, purse in self.purses.items():
            if venue in ("", name):
                yield from purse.others.items()

    def _begun(self) -> tuple[int, int] | None:
        """Return what equity began with and was adjusted by, over all accounts; None if it is not known."""
        sums = [0, 0]
        for venue, purse in self.purses.items():
            for at, amount in enumerate((purse.start, purse.adjustments)):
                worth = None if amount is None else in_currency(self, amount, self.currency_of(venue))
                if worth is None:
                    return None
                sums[at] += worth
        return sums[0], sums[1]

    def _mark_accounts(self, at_ns: int, emit: Emit) -> None:
        """Emit the value of each of several accounts that has changed."""
        for venue, purse in self.purses.items():
            if purse.start is not None:
                sums = valued(self, venue)
                equity = purse.start + purse.adjustments + sums.settled + sums.unrealized
                if (equity, sums.unrealized) != purse.marked:
                    purse.marked = equity, sums.unrealized
                    money = wide(equity), wide(sums.unrealized)
                    emit(AccountMarked(at_ns, venue, self.currency_of(venue), self.scale, *money))

    def mark(self, at_ns: int, emit: Emit, *, always: bool = True) -> None:
        """Emit the equity; without `always` only if it has changed since it was last emitted."""
        if self.purses:
            self._mark_accounts(at_ns, emit)
            begun = self._begun()
        else:
            begun = None if self.start is None else (self.start, self.adjustments)
        if begun is None:
            return
        realized, unrealized, fees, funding, moved, unvalued = valued(self)
        start, adjustments = begun
        equity = start + adjustments + realized - fees + funding + moved + unrealized
        amounts = (realized, unrealized, fees, equity, funding, start, adjustments + moved)
        if max(amounts) > INT64_MAX or min(amounts) < -INT64_MAX:
            amounts = tuple(map(wide, amounts))  # type: ignore[assignment]
        numbers = (self.scale, *amounts, unvalued)
        if always or numbers != self.marked:
            self.marked = numbers
            emit(EquityMarked(at_ns, *numbers))

    @handles(BarClosed)
    def note_bar(self, bar: BarClosed, emit: Emit) -> None:
        """Use the close where there is no newer price; value the account if it holds the instrument."""
        self.closes[bar.instrument] = bar.close
        if not self.follows:
            self.last[bar.instrument] = bar.close
        for book in self.books.get(bar.instrument, _NO_BOOKS).values():
            if book.size:
                self.mark(bar.at_ns, emit, always=False)
                return

    @handles(SessionStopped)
    def close(self, stopped: SessionStopped, emit: Emit) -> None:
        """Value the account a last time."""
        self.mark(stopped.recv_ns, emit)

    @handles(PriceMarked)
    def note_last(self, marked: PriceMarked, emit: Emit) -> None:
        """Use the last price of the session where trades were not followed."""
        if not self.follows:
            self.last[marked.instrument] = marked.price
            self.mark(marked.at_ns, emit, always=False)
