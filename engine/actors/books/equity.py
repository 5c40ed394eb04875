"""What the account is worth: sums of the books by currency, valued in the account's currency.

Owns the conversion. A market's profit and fees are in its quote currency, and a fee can be in another asset.
Everything that is not in the account's currency is valued by a price that the configuration names: a number,
or the price of a market. What has no price is left out of the numbers and reported, never counted as 0.
Of several accounts each is valued in its own currency too, by the same prices; `venue` "" is all of them.
Called by the ledger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from engine.actors.base import State
from engine.config import PRICE_TEXT_SCALE
from engine.errors import NumberError
from engine.instruments import is_among, is_of
from engine.values import format_scaled, parse_scaled, power_of_ten

if TYPE_CHECKING:
    from engine.actors.books.ledger import Ledger

__all__ = ["Equity", "Other", "gained_since", "in_currency", "netted", "valued"]


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


def valued(ledger: Ledger, venue: str = "") -> Equity:
    """Return what all bookings come to. Losses and fees in other currencies are rounded up, profits down."""
    if not ledger.others and not ledger.purses:
        plain = _of_one_currency(ledger)
        if plain is not None:
            return plain
    own = ledger.currency_of(venue)
    sums: dict[str, list[int]] = {}
    for instrument, books in ledger.books.items():
        listed = ledger.instruments[instrument]
        if not is_of(venue, listed):
            continue
        one = sums.setdefault(listed.rules.quote or own, [0, 0, 0, 0, 0])
        for book in books.values():
            one[0] += book.realized
            one[1] += ledger.unrealized(instrument, book)
            one[2] += book.fees
            one[3] += book.funding
    for asset, other in ledger.other_assets(venue):
        one = sums.setdefault(asset, [0, 0, 0, 0, 0])
        one[2] += other.fees
        one[4] += other.moved
    total = sums.pop(own, [0, 0, 0, 0, 0])
    unvalued: list[tuple[str, str]] = []
    for asset, amounts in sums.items():
        rate = _rate(ledger, asset, own)
        if rate is not None:
            for at, amount in enumerate(amounts):
                total[at] += _converted(amount, rate, up=at == 2)
        elif any(amounts):
            realized, unrealized, fees, funding, moved = amounts
            net = realized + unrealized - fees + funding + moved
            unvalued.append((asset, format_scaled(net, ledger.scale)))
    return Equity(total[0], total[1], total[2], total[3], total[4], tuple(unvalued))


def _of_one_currency(ledger: Ledger) -> Equity | None:
    """Return the same, at less cost, of one account whose markets are all quoted in its currency; else None.

    Most marks are of such accounts, and data of candles has one with every bar.
    """
    realized = unrealized = fees = funding = 0
    instruments, own = ledger.instruments, ""
    for instrument, books in ledger.books.items():
        quote = instruments[instrument].rules.quote
        if quote and quote != own:
            own = own or ledger.currency
            if quote != own:
                return None
        for book in books.values():
            realized += book.realized
            fees += book.fees
            funding += book.funding
            if book.size:
                unrealized += ledger.unrealized(instrument, book)
    return Equity(realized, unrealized, fees, funding)


def netted(ledger: Ledger, venue: str = "") -> int:
    """Return what closing the books of each market against each other would realize, in the currency.

    A venue has one position where the books are several, so it has realized that already. It also has the
    fills in its own order, whatever the order of their reports.
    """
    total = 0
    for instrument, books in ledger.books.items():
        own = instrument in ledger.nets or len(books) > 1
        if own and is_of(venue, ledger.instruments[instrument]):
            amount = ledger.net(instrument).cost - sum(book.cost for book in books.values())
            total += _in_currency(ledger, instrument, amount, venue)
    return total


def gained_since(ledger: Ledger, venue_ns: int, venue: str = "") -> int:
    """Return the profit that the account's executions after a time of the venue have realized."""
    return sum(
        _in_currency(ledger, number, net.gained_since(venue_ns), venue)
        for number, net in ledger.nets.items()
        if is_of(venue, ledger.instruments[number])
    )


def in_currency(ledger: Ledger, amount: int, currency: str) -> int | None:
    """Return an amount of another currency in that of all accounts; None if no price is known."""
    rate = _rate(ledger, currency, ledger.currency)
    return None if rate is None else _converted(amount, rate)


def _in_currency(ledger: Ledger, instrument: int, amount: int, venue: str) -> int:
    """Return an amount of a market's quote in the account's currency; 0 if no price is known."""
    own = ledger.currency_of(venue)
    quote = ledger.instruments[instrument].rules.quote or own
    rate = _rate(ledger, quote, own) if amount else (1, 1)
    return 0 if rate is None else _converted(amount, rate)


def _converted(amount: int, rate: tuple[int, int], *, up: bool = False) -> int:
    value, over = amount * rate[0], rate[1]
    return -(-value // over) if up else value // over


def _rate(ledger: Ledger, asset: str, currency: str) -> tuple[int, int] | None:
    """Return what one unit of an asset is worth in a currency, as a fraction; None if it is not known."""
    if asset == currency:
        return 1, 1
    of_asset = _price(ledger, asset)
    of_currency = (1, 0) if currency == ledger.currency else _price(ledger, currency)
    if of_asset is None or of_currency is None or not of_currency[0]:
        return None
    return of_asset[0] * power_of_ten(of_currency[1]), of_currency[0] * power_of_ten(of_asset[1])


def _price(ledger: Ledger, asset: str) -> tuple[int, int] | None:
    """Return the price of an asset in the currency of all accounts, and its scale; None if there is none."""
    if asset == ledger.currency:
        return 1, 0
    text = ledger.prices.get(asset, "")
    try:
        return parse_scaled(text, PRICE_TEXT_SCALE), PRICE_TEXT_SCALE
    except NumberError:
        for number, listed in ledger.instruments.items():
            if is_among(listed, (text,)):
                return ledger.price(number)
        return None
