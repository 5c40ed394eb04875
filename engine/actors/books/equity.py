"""What the account is worth: sums of the books by currency, valued in the account's currency.

Owns the conversion. A market's profit and fees are in its quote currency, and a fee can be in another asset.
Everything that is not in the account's currency is valued by a price that the configuration names: a number,
or the price of a market. What has no price is left out of the numbers and reported, never counted as 0.
Called by the ledger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from engine.actors.base import State
from engine.actors.books.scaling import at_scale
from engine.config import PRICE_TEXT_SCALE
from engine.errors import NumberError
from engine.instruments import is_among
from engine.values import format_scaled, parse_scaled

if TYPE_CHECKING:
    from engine.actors.books.ledger import Ledger

__all__ = ["Equity", "Other", "gained_since", "netted", "valued"]


class Other(State):
    """Amounts of an asset that is neither the account's currency nor a market's: fees and transfers."""

    fees: int = 0
    moved: int = 0

    def refine(self, factor: int) -> None:
        """Move the amounts to a finer scale, exactly."""
        self.fees *= factor
        self.moved *= factor


class Equity(NamedTuple):
    """The sums of an account in its currency, at the ledger's scale. `unvalued` are (asset, decimal text)."""

    realized: int = 0
    unrealized: int = 0
    fees: int = 0
    funding: int = 0
    moved: int = 0
    unvalued: tuple[tuple[str, str], ...] = ()

    @property
    def settled(self) -> int:
        """What the bookings have added to cash: everything but the profit of open positions."""
        return self.realized - self.fees + self.funding + self.moved


def valued(ledger: Ledger) -> Equity:
    """Return what all bookings come to. Losses and fees in other currencies are rounded up, profits down."""
    sums: dict[str, list[int]] = {}
    own = ledger.currency
    for instrument, _, book in ledger.all_books():
        quote = ledger.instruments[instrument].rules.quote or own
        one = sums.setdefault(quote, [0, 0, 0, 0, 0])
        one[0] += book.realized
        one[1] += ledger.unrealized(instrument, book)
        one[2] += book.fees
        one[3] += book.funding
    for asset, other in ledger.others.items():
        one = sums.setdefault(asset, [0, 0, 0, 0, 0])
        one[2] += other.fees
        one[4] += other.moved
    total = sums.pop(own, [0, 0, 0, 0, 0])
    unvalued: list[tuple[str, str]] = []
    for asset, amounts in sums.items():
        price = _price(ledger, asset)
        if price is not None:
            for at, amount in enumerate(amounts):
                total[at] += at_scale(amount * price[0], ledger.scale + price[1], ledger.scale, up=at == 2)
        elif any(amounts):
            realized, unrealized, fees, funding, moved = amounts
            net = realized + unrealized - fees + funding + moved
            unvalued.append((asset, format_scaled(net, ledger.scale)))
    return Equity(total[0], total[1], total[2], total[3], total[4], tuple(unvalued))


def netted(ledger: Ledger) -> int:
    """Return what closing the books of each market against each other would realize, in the currency.

    A venue has one position where the books are several, so it has realized that already. It also has the
    fills in its own order, whatever the order of their reports.
    """
    total = 0
    for instrument, books in ledger.books.items():
        if instrument in ledger.nets or len(books) > 1:
            amount = ledger.net(instrument).cost - sum(book.cost for book in books.values())
            total += _in_currency(ledger, instrument, amount)
    return total


def gained_since(ledger: Ledger, venue_ns: int) -> int:
    """Return the profit that the account's executions after a time of the venue have realized."""
    return sum(
        _in_currency(ledger, number, net.gained_since(venue_ns)) for number, net in ledger.nets.items()
    )


def _in_currency(ledger: Ledger, instrument: int, amount: int) -> int:
    """Return an amount of a market's quote in the account's currency; 0 if no price is known."""
    quote = ledger.instruments[instrument].rules.quote or ledger.currency
    price = _price(ledger, quote) if amount and quote != ledger.currency else (1, 0)
    return 0 if price is None else at_scale(amount * price[0], ledger.scale + price[1], ledger.scale)


def _price(ledger: Ledger, asset: str) -> tuple[int, int] | None:
    """Return the price of an asset and its scale, None if there is none."""
    text = ledger.prices.get(asset, "")
    try:
        return parse_scaled(text, PRICE_TEXT_SCALE), PRICE_TEXT_SCALE
    except NumberError:
        for number, listed in ledger.instruments.items():
            if is_among(listed, (text,)):
                return ledger.price(number)
        return None
