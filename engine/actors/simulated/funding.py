"""Funding at the simulated venue: paid between longs and shorts at each settlement, where the data has rates.

The rate is that of the venue's history (`FundingRead`), for the position held at that hour; else the one of
the newest context before the settlement. The price is the oracle's, else the mark, else the last. Each book
pays or receives position x price x rate, rounded against it; of a rate that is money for one unit, position x
rate. Promises: an hour is settled once. Markets that
were held and have no rates are named (`without_rates`), so that a report can say what it leaves out.

Called by the venue. Its state is the venue's `settled_ns` and `sizes`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from engine.actors.base import Emit, SetTimer
from engine.actors.simulated.state import FINER, UNIT, At
from engine.clock import SECOND_NS
from engine.events import ContextRead, FundingPaid, FundingRead
from engine.values import power_of_ten, wide

if TYPE_CHECKING:
    from engine.actors.simulated.venue import SimulatedVenue

__all__ = ["Funding"]

HOUR_NS: Final = 3600 * SECOND_NS

HISTORY_NS: Final = 24 * HOUR_NS
"""How late a rate of the venue's history may come and still be applied to the position of its time."""

KEY: Final = "funding"


class Funding:
    """See the module."""

    def __init__(self, venue: SimulatedVenue) -> None:
        self.v = venue

    def without_rates(self) -> list[str]:
        """Return the markets whose positions paid no funding because the data has no rates."""
        v = self.v
        names = [
            v.instruments.label(number)
            for number, market in v.markets.items()
            if market.held and not market.rated and v.instruments[number].kind == "perp"
        ]
        return sorted(names)

    def note_context(self, context: ContextRead, emit: Emit) -> None:
        """Take over the mark, the oracle price and the rate of a market."""
        v, market = self.v, self.v.market(context.instrument)
        more = v.instruments[context.instrument].price_scale + FINER - context.scale
        if context.mark is not None:
            market.mark, market.mark_ns = _scaled(int(context.mark), more), context.recv_ns
        if context.oracle is not None:
            market.oracle = _scaled(int(context.oracle), more)
        if context.funding is not None:
            market.rate, market.rate_scale = int(context.funding), context.scale
            market.rate_ns, market.rated = context.recv_ns, True
            self.plan(context.recv_ns, emit)

    def note_fill(self, instrument: int, at: At) -> None:
        """Remember the books at this time, for rates that come later, and plan the next settlement."""
        sizes = self.v.sizes.setdefault(instrument, [])
        sizes.append((at.venue_ns, dict(self.v.books.get(instrument, {}))))
        while len(sizes) > 1 and sizes[1][0] < at.venue_ns - HISTORY_NS:
            del sizes[0]
        self.plan(at.recv_ns, at.emit)

    def plan(self, at_ns: int, emit: Emit) -> None:
        """Set the timer of the next settlement while there is a position in a market with a rate."""
        v = self.v
        spans = [
            (v.instruments[number].rules.funding_s * SECOND_NS or HOUR_NS)
            for number in v.books
            if v.books[number] and v.market(number).rate_ns
        ]
        if spans:
            emit(SetTimer(v.name, (at_ns // min(spans) + 1) * min(spans), KEY))

    def settle(self, at_ns: int, emit: Emit) -> None:
        """Settle with the rates of the newest contexts."""
        v = self.v
        for number, books in v.books.items():
            span = v.instruments[number].rules.funding_s * SECOND_NS or HOUR_NS
            market = v.market(number)
            due_ns = at_ns // span * span
            if books and market.rate_ns > due_ns - span and due_ns > v.settled_ns.get(number, 0):
                v.settled_ns[number] = due_ns
                # The rate of a context is for an hour, whatever the time between settlements.
                rate, scale = market.rate * (span // HOUR_NS or 1), market.rate_scale
                self._pay(number, books, rate, scale, At(at_ns, due_ns, emit))
        self.plan(at_ns, emit)

    def read(self, read: FundingRead, emit: Emit) -> None:
        """Settle with a rate of the venue's history, for the books as they were at its time."""
        v, number = self.v, read.instrument
        v.market(number).rated = True
        if read.venue_ns <= v.settled_ns.get(number, 0) or read.venue_ns < read.recv_ns - HISTORY_NS:
            return
        v.settled_ns[number] = read.venue_ns
        before = [books for at_ns, books in v.sizes.get(number, ()) if at_ns <= read.venue_ns]
        if before and before[-1]:
            at = At(read.recv_ns, read.venue_ns, emit)
            self._pay(number, before[-1], int(read.rate), read.scale, at, per_unit=read.per_unit)

    def _pay(
        self,
        number: int,
        books: dict[str, int],
        rate: int,
        rate_scale: int,
        at: At,
        *,
        per_unit: bool = False,
    ) -> None:
        v = self.v
        # A rate of money for one unit is a rate of a price of 1.
        price = UNIT * power_of_ten(v.instruments[number].price_scale) if per_unit else self._price(number)
        if not price:
            return
        scale = max(v.scale, rate_scale)
        for owner, held in books.items():
            amount = -v.account.money(number, price, held) * rate // power_of_ten(rate_scale)
            v.cash += amount
            position = v.positions.get(number)
            if position is not None and v.margin.is_isolated(number):
                position.margin += amount
            at.emit(
                FundingPaid(
                    at.recv_ns,
                    at.venue_ns,
                    number,
                    held,
                    scale,
                    wide(amount * power_of_ten(scale - v.scale)),
                    wide(rate * power_of_ten(scale - rate_scale)),
                    owner,
                )
            )

    def _price(self, number: int) -> int:
        """Return the fine price that a settlement goes by; 0 if none is known."""
        market, by = self.v.market(number), self.v.instruments[number].rules
        if by.stated and by.funding_price == "last":
            return market.last * UNIT
        if by.stated and by.funding_price == "mark":
            return market.mark or market.last * UNIT
        return market.oracle or market.mark or market.last * UNIT


def _scaled(value: int, more: int) -> int:
    """Return a value with so many more decimals, rounded down if they are fewer."""
    return value * power_of_ten(more) if more >= 0 else value // power_of_ten(-more)
