"""The account at the simulated venue: cash, positions, and which owner holds what.

Owns the venue's own numbers, made of its own fills alone. Promises: the positions are the sum of the owners'
books, and cash, cost and realized profit are exact, rounded against the account where a quotient ends.
Money is at the account's scale, which is fine enough for the fills of every market. Called by `fills`,
`funding` and `margin`; its state is the venue's `cash`, `scale`, `positions` and `books`.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final

from engine.actors.simulated.state import FINER, UNIT, Position
from engine.events import InstrumentListed
from engine.values import parse_scaled, power_of_ten, rescale

if TYPE_CHECKING:
    from engine.actors.simulated.venue import SimulatedVenue

__all__ = ["SCALE_MIN", "Account"]

SCALE_MIN: Final = 8
"""The account's scale at least."""

_TEXT_SCALE: Final = 6


class Account:
    """See the module."""

    def __init__(self, venue: SimulatedVenue) -> None:
        self.v = venue

    def begin(self, cash: str) -> None:
        """Begin with this cash."""
        self.v.scale = SCALE_MIN
        self.v.cash = rescale(parse_scaled(cash, _TEXT_SCALE), _TEXT_SCALE, SCALE_MIN)

    def note_instrument(self, listed: InstrumentListed) -> None:
        """Make the scale of money fine enough for a market. It only grows, exactly."""
        v = self.v
        more = listed.money_scale + FINER - v.scale
        if more <= 0:
            return
        v.scale += more
        v.cash *= power_of_ten(more)
        for held in v.positions.values():
            held.cost *= power_of_ten(more)
            held.margin *= power_of_ten(more)
        if v.fees is not None:
            v.volumes = {day: value * power_of_ten(more) for day, value in v.volumes.items()}

    def size(self, instrument: int) -> int:
        """Return the account's signed position."""
        held = self.v.positions.get(instrument)
        return held.size if held is not None else 0

    def book(self, owner: str, instrument: int) -> int:
        """Return the signed position of an owner."""
        return self.v.books.get(instrument, {}).get(owner, 0)

    def amount(self, text: str) -> int:
        """Return an amount of a market's rules at the account's scale, rounded up."""
        exact = Fraction(text) * power_of_ten(self.v.scale)
        return -(-exact.numerator // exact.denominator)

    def money(self, instrument: int, fine: int, size: int) -> int:
        """Return price x size of a fine price, at the account's scale."""
        listed = self.v.instruments[instrument]
        return fine * size * power_of_ten(self.v.scale - listed.money_scale - FINER)

    def value(self, instrument: int) -> int:
        """Return the signed value of a position at the mark; its cost before there is a price."""
        held = self.v.positions[instrument]
        mark = self.mark(instrument)
        return self.money(instrument, mark, held.size) if mark else held.cost

    def mark(self, instrument: int) -> int:
        """Return the fine price that values a position: the mark if it is fresh, else the last price.

        Without a last price since the market is followed again, the middle of the best bid and ask that are
        shown now; 0 if no price is known.
        """
        market = self.v.market(instrument)
        if self.v.mark_is_fresh(market) and not market.candles:
            return market.mark
        middle = (market.bid + market.ask) * UNIT // 2 if market.bid and market.ask else 0
        shown = middle and market.live and self.v.active
        if market.last and (market.priced or not shown):
            return market.last * UNIT
        return middle

    def unrealized(self, instrument: int) -> int:
        """Return the unrealized profit of a position."""
        return self.value(instrument) - self.v.positions[instrument].cost

    def equity(self) -> int:
        """Return cash and the unrealized profit of all positions."""
        return self.v.cash + sum(map(self.unrealized, self.v.positions))

    def fill(self, owner: str, instrument: int, side: int, fine: int, size: int, fee: int) -> None:
        """Book a fill; the fee is at the account's scale. Without an owner no book changes."""
        v = self.v
        held = v.positions.setdefault(instrument, Position())
        closes = min(size, abs(held.size)) if held.size * side < 0 else 0
        v.cash -= fee
        if closes:
            value = self.money(instrument, fine, closes)
            realized = (-side * value * abs(held.size) - held.cost * closes) // abs(held.size)
            v.cash += realized
            held.cost += side * value + realized
            held.margin -= held.margin * closes // abs(held.size)
        held.size += side * size
        if size > closes:
            value = self.money(instrument, fine, size - closes)
            held.cost += side * value
            if v.margin.is_isolated(instrument):
                held.margin += -(-value // v.margin.leverage(instrument))
        if not held.size:
            del v.positions[instrument]
        if owner:
            self._move_book(owner, instrument, side * size)
        v.market(instrument).held = True

    def close_books(self, instrument: int, side: int, size: int) -> None:
        """Book a liquidation of `size` in the owners' books: those that it closes, oldest first.

        Once the account is flat, so are all books.
        """
        books = self.v.books.get(instrument, {})
        if not self.size(instrument):
            books.clear()
            return
        for owner, held in list(books.items()):
            closed = min(size, abs(held)) if held * side < 0 else 0
            size -= closed
            self._move_book(owner, instrument, side * closed)

    def _move_book(self, owner: str, instrument: int, change: int) -> None:
        books = self.v.books.setdefault(instrument, {})
        after = books.get(owner, 0) + change
        if after:
            books[owner] = after
        else:
            books.pop(owner, None)
