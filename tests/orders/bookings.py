"""Whose a fill is, and what books and money are after it: the part of the model that books.

`Bookings` takes the reports of the venue and prices, works out how each fill is to be booked, and compares
what the engine booked. It is the base of `model.Model`, which adds targets, orders and halts.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from engine.events import (
    AccountAdjusted,
    Candle,
    ContextRead,
    EquityMarked,
    FillBooked,
    FundingPaid,
    InstrumentListed,
    OrderFilled,
    PositionChanged,
    Trade,
)
from tests.orders.facts import CLOSE, OPEN, Broken, Listed, Order
from tests.orders.ledger import EXTERNAL, ZERO, Account, Book, allocate, down, parts, share_funding, sign
from tests.orders.wanted import CANCELED, FEE, OUTSIDE, OVER, OWN, TARGET, Wanted

__all__ = ["Bookings"]


@dataclass
class Difference:
    """A part of a difference between books and a reading, as it was booked: what it changed."""

    venue_ns: int
    owner: str
    market: int
    side: int
    size: Fraction
    gain: Fraction
    cost: Fraction
    after: Book


@dataclass
class Bookings:
    """Books and money, as the fills so far lead to them."""

    owners: tuple[str, ...]
    cash: Fraction
    account: Account = field(init=False)
    listed: dict[int, Listed] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    wanted: dict[tuple[str, int], Wanted] = field(default_factory=dict)
    last: dict[int, Fraction] = field(default_factory=dict)
    marks: dict[int, Fraction] = field(default_factory=dict)
    marked_ns: dict[int, int] = field(default_factory=dict)
    oracles: dict[int, Fraction] = field(default_factory=dict)
    rates: dict[int, Fraction] = field(default_factory=dict)
    real: bool = False
    due: deque[Any] = field(default_factory=deque)
    differences: list[Difference] = field(default_factory=list)
    base_fees: dict[tuple[str, int], Fraction] = field(default_factory=dict)
    base_taken: dict[tuple[str, int], Fraction] = field(default_factory=dict)
    moves: list[tuple[int, str, int, Fraction]] = field(default_factory=list)
    payments: dict[tuple[str, int], deque[Fraction]] = field(default_factory=dict)
    seen: set[tuple[int, Any, int]] = field(default_factory=set)
    call_seq: dict[tuple[str, int], int] = field(default_factory=dict)
    touched_ns: dict[tuple[str, int], int] = field(default_factory=dict)
    canceled_by: dict[str, int] = field(default_factory=dict)  # this turn's cancels: what caused each
    seq: int = 0
    now_ns: int = 0

    def __post_init__(self) -> None:
        self.account = Account(self.cash, 8, self.owners)

    def require(self, holds: object, rule: str, *words: object) -> None:
        """Raise Broken unless it holds."""
        if not holds:
            raise Broken(self.seq, rule, " ".join(str(word) for word in words))

    def position(self, owner: str, market: int) -> Fraction:
        """Return the size of a book."""
        return self.account.book(owner, market).size

    def target(self, owner: str, market: int) -> Wanted:
        """Return what a strategy wants in a market."""
        return self.wanted.setdefault((owner, market), Wanted())

    # Markets and prices.

    def _list(self, listed: InstrumentListed) -> None:
        one = Listed(
            listed.name,
            listed.price_scale,
            listed.size_scale,
            Fraction(listed.size_step, 10**listed.size_scale),
            listed.kind,
        )
        self.listed[listed.instrument] = one
        self.account.places = max(self.account.places, one.price_scale + 4 + one.size_scale)

    def _trade(self, trade: Trade) -> None:
        self.last[trade.instrument] = self.listed[trade.instrument].price(trade.price)

    def _candle(self, candle: Candle) -> None:
        self.last[candle.instrument] = self.listed[candle.instrument].price(candle.close)

    def _context(self, context: ContextRead) -> None:
        market, unit = context.instrument, 10**context.scale
        if context.mark is not None:
            self.marks[market] = Fraction(int(context.mark), unit)
            self.marked_ns[market] = self.now_ns
        if context.oracle is not None:
            self.oracles[market] = Fraction(int(context.oracle), unit)
        if context.funding is not None:
            self.rates[market] = Fraction(int(context.funding), unit)

    def values(self) -> dict[int, Fraction]:
        """Return the price of each market at which positions are valued: the mark, else the last."""
        return {**self.last, **self.marks}

    # Fills and money.

    def _filled(self, fill: OrderFilled) -> None:
        """Work out how a report of the venue is to be booked."""
        key = (fill.instrument, fill.trade_id, fill.side)
        if fill.trade_id and key in self.seen:
            return
        self.seen.add(key)
        listed = self.listed[fill.instrument]
        size, price = listed.size(fill.size), listed.price(fill.price, fill.finer)
        order = self.orders.get(fill.client_order_id)
        if order is not None:
            order.accepted = True
            order.filled += size
            order.by_number[fill.venue_order_id] = order.by_number.get(fill.venue_order_id, ZERO) + size
            if 0 < fill.venue_order_id < order.number:
                order.size += size  # what a change left open is open still
            order.filled_seq = order.filled_seq or self.seq
            self.require(order.filled <= order.size, "no order fills more than its size", order)
            if order.filled == order.size or (order.rest is not None and order.open <= order.rest):
                order.ended = True
        self.due.append((fill, price, order, self._shares(fill, order), []))

    def _shares(self, fill: OrderFilled, order: Order | None) -> list[tuple[str, Fraction, str, bool]]:
        """Return the parts that a fill is booked in, on the books as they are now."""
        listed, market = self.listed[fill.instrument], fill.instrument
        size = listed.size(fill.size)
        if order is not None:
            shares = [(order.owner, size)]
        else:
            books = [(owner, self._held(owner, market)) for owner, _ in self.account.of(market)]
            shares = allocate(books, fill.side, size, listed.size_step)
        waiting: list[tuple[str, Fraction, str, bool]] = []
        for owner, share in shares:
            same = sum((part[1] for part in waiting if part[0] == owner), ZERO)
            waiting += self._parts(owner, market, fill.side, share, order, fill.side * same)
        return waiting

    def _parts(
        self, owner: str, market: int, side: int, share: Fraction, order: Order | None, ahead: Fraction
    ) -> list[tuple[str, Fraction, str, bool]]:
        held = self._held(owner, market) + ahead
        found: list[tuple[str, Fraction, str, bool]] = []
        for part in parts(held, side, share):
            role = CLOSE if sign(held) == -side else OPEN
            over = role == OPEN and order is not None and order.role == CLOSE
            found.append((owner, part, role, over))
            held += side * part
        return found

    def _held(self, owner: str, market: int) -> Fraction:
        """Return the size of a book with the fills of this turn that are not booked yet."""
        held = self.position(owner, market)
        for earlier, _, _, waiting, done in self.due:
            for other, size, _, _ in waiting[len(done) :]:
                if (other, market) == (owner, earlier.instrument):
                    held += earlier.side * size
        return held

    def _booked(self, booked: FillBooked) -> None:
        if booked.cause in ("flat", "position read"):
            self._book(booked, None)
            return
        if booked.cause == "fee":
            self._take_fee(booked)
            return
        self.require(self.due, "every booked fill was reported by the venue once", booked)
        fill, price, order, waiting, done = self.due[0]
        if booked.cause == "taken back":
            self._take_back(booked, fill)
            self.due.popleft()
            self.due.appendleft((fill, price, order, self._shares(fill, order), []))
            return
        listed = self.listed[booked.instrument]
        owner, size, role, over = waiting[len(done)]
        expected = (owner, fill.instrument, fill.side, price, size, role, over, order is None)
        found = (
            booked.owner,
            booked.instrument,
            booked.side,
            listed.price(booked.price, booked.finer),
            listed.size(booked.size),
            booked.role,
            booked.over,
            booked.external,
        )
        self.require(found == expected, "a fill is booked to its owner", found, "instead of", expected)
        done.append(listed.money(booked.fee, booked.finer))
        if booked.fee_asset:
            key = owner, booked.instrument
            self.base_fees[key] = self.base_fees.get(key, ZERO) + done[-1]
        if len(done) == len(waiting):
            self.due.popleft()
            paid = listed.money(fill.fee, fill.finer)
            self.require(sum(done) == paid, "the fee of a fill is booked once", done, "instead of", paid)
        self._book(booked, order)

    def _take_fee(self, booked: FillBooked) -> None:
        """Take a fee in base units from a book: whole steps, as few as make up for the fees so far."""
        listed, key = self.listed[booked.instrument], (booked.owner, booked.instrument)
        size = listed.size(booked.size)
        taken = self.base_taken.get(key, ZERO)
        fees = self.base_fees.get(key, ZERO) - taken
        self.require(booked.side < 0, "a fee takes from what is held", booked)
        self.require(size - listed.size(1) < fees, "a fee takes no more than is due", booked, float(fees))
        self.base_taken[key] = taken + size
        self._book(booked, None)

    def left_over(self, market: int) -> Fraction:
        """Return what fees in the base asset left of the steps that they took: the account has it."""
        taken = sum((size for key, size in self.base_taken.items() if key[1] == market), ZERO)
        return taken - sum((fee for key, fee in self.base_fees.items() if key[1] == market), ZERO)

    def _take_back(self, booked: FillBooked, fill: OrderFilled) -> None:
        """Undo what was booked in place of a fill that was missing: a difference to a later reading."""
        market, size = booked.instrument, self.listed[booked.instrument].size(booked.size)
        for one in reversed(self.differences):
            if (one.owner, one.market, one.side) == (booked.owner, market, -booked.side) and one.size >= size:
                break
        else:
            raise Broken(self.seq, "only a difference that was booked is taken back", str(booked))
        rule = "a difference is taken back for a fill of its side before the reading"
        self.require(one.side == fill.side and fill.venue_ns < one.venue_ns, rule, booked, fill)
        book, part = self.account.book(one.owner, market), size / one.size
        if book == one.after:
            book.size -= one.side * size
            self.moves.append((one.venue_ns, one.owner, market, -one.side * size))
            book.realized -= down(one.gain * part, self.account.places)
            book.cost -= down(one.cost * part, self.account.places)
        else:
            self._book(booked, None, follows=False)
        self.differences.remove(one)
        if size < one.size:
            rest = replace(one, size=one.size - size, after=replace(book))
            rest.gain -= down(one.gain * part, self.account.places)
            rest.cost -= down(one.cost * part, self.account.places)
            self.differences.append(rest)

    def _book(self, booked: FillBooked, order: Order | None, *, follows: bool = True) -> None:
        owner, market = booked.owner, booked.instrument
        listed, book = self.listed[market], self.account.book(owner, market)
        before = book.size
        size, price = listed.size(booked.size), listed.price(booked.price, booked.finer)
        crosses = sign(before) == -booked.side and size > abs(before)
        self.require(not crosses, "no booked fill crosses 0", booked, "position", before)
        fee = listed.money(booked.fee, booked.finer) if not booked.fee_asset else ZERO
        realized, cost = book.realized, book.cost
        if self.real:
            self.moves.append((booked.venue_ns, owner, market, booked.side * size))
        book.fill(booked.side, size, price, fee, self.account.places)
        if booked.cause == "position read":
            gain, cost = book.realized - realized, book.cost - cost
            self.differences.append(
                Difference(booked.venue_ns, owner, market, booked.side, size, gain, cost, replace(book))
            )
        if owner != EXTERNAL and follows:
            self.target(owner, market).fill(self._kind(booked, order), before, book.size)
            self.touched_ns[owner, market] = self.now_ns
        self.booked(owner, market)

    def booked(self, owner: str, market: int) -> None:
        """Called after each booked fill."""

    def _kind(self, booked: FillBooked, order: Order | None) -> str:
        if booked.cause in ("liquidation", "adl", "fee"):
            return FEE if booked.cause == "fee" else OUTSIDE
        if booked.over:
            return OVER
        if order is not None and order.purpose == TARGET:
            return TARGET
        if order is not None and order.role == OPEN:
            older = order.seq < self.call_seq.get((booked.owner, booked.instrument), 0)
            # The record of a cancel may follow fills that were reported after what caused it.
            canceled = order.asked or self.canceled_by.get(order.name, self.seq) < self.seq
            if order.dropped or older or canceled:
                return CANCELED
        return OWN

    def _position(self, changed: PositionChanged) -> None:
        listed, book = (
            self.listed[changed.instrument],
            self.account.book(changed.strategy, changed.instrument),
        )
        finer = changed.finer
        payments = self.payments.get((changed.strategy, changed.instrument))
        if payments and listed.money(changed.funding, finer) != book.funding:
            book.funding += payments.popleft()
        found = (
            listed.size(changed.size),
            listed.money(changed.cost, finer),
            listed.money(changed.realized, finer),
            listed.money(changed.fees, finer),
            listed.money(changed.funding, finer),
        )
        expected = (book.size, book.cost, book.realized, book.fees, book.funding)
        self.require(
            found == expected,
            "size, cost, realized, fees and funding of a book are those of its fills",
            [float(one) for one in found],
            "instead of",
            [float(one) for one in expected],
            changed.strategy,
        )

    def _funding(self, paid: FundingPaid) -> None:
        """A settlement: on paper each book has its own payment, a real one is shared by size."""
        market = paid.instrument
        unit = 10**paid.scale
        books = self._sizes_at(market, paid.venue_ns)
        amount = Fraction(int(paid.amount), unit)
        if self.real:
            shares = share_funding(books, amount, self.account.places)
        else:
            price = self.oracles.get(market) or self.marks.get(market) or self.last.get(market)
            self.require(price, "funding needs a price", paid)
            assert price is not None
            rate = Fraction(int(paid.rate), unit)
            self.require(rate == self.rates.get(market), "funding is paid at the newest rate", paid)
            held = self.account.book(paid.owner, market).size
            share = down(-held * price * rate, self.account.places)
            self.require(amount == share, "each book pays its funding", float(amount), float(share), paid)
            shares = [(paid.owner, share)]
        # A book has its share when its change is recorded, which follows the payments of the same moment.
        for owner, share in shares:
            self.payments.setdefault((owner, market), deque()).append(share)

    def _sizes_at(self, market: int, venue_ns: int) -> list[tuple[str, Fraction]]:
        """Return the books that were not flat at a time of the venue."""
        sizes = {owner: book.size for owner, book in self.account.of(market)}
        for at_ns, owner, where, moved in self.moves:
            if where == market and at_ns > venue_ns:
                sizes[owner] -= moved
        return [(owner, size) for owner, size in sizes.items() if size]

    def _adjust(self, adjusted: AccountAdjusted) -> None:
        self.account.adjusted += Fraction(int(adjusted.amount), 10**adjusted.scale)

    def _equity(self, marked: EquityMarked) -> None:
        unit = 10**marked.scale
        account, values = self.account, self.values()
        expected = {
            "realized": account.total("realized"),
            "unrealized": account.unrealized(values),
            "fees": account.total("fees"),
            "funding": account.total("funding"),
            "equity": account.equity(values),
        }
        found = {name: Fraction(int(getattr(marked, name)), unit) for name in expected}
        self.require(
            found == expected,
            "the equity is what the fills lead to",
            {name: float(value) for name, value in found.items()},
            "instead of",
            {name: float(value) for name, value in expected.items()},
        )
