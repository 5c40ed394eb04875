"""What amounts of a market's quote currency are worth in the currency that limits are in.

Limits of `[risk]` are in the account's currency: `[account] currency`, else the first market's quote. An
amount in another one is converted by `[account] prices`, a number or the price of a market of this session,
and rounded up. A quote without such a price counts as it is; a session says so at its start. Called by
`limits` and `margin`; no state of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.actors.books.ledger import account_currency
from engine.config import PRICE_TEXT_SCALE
from engine.errors import NumberError
from engine.events import InstrumentListed
from engine.instruments import is_among
from engine.values import parse_scaled, power_of_ten

if TYPE_CHECKING:
    from engine.actors.orders.actor import OrderManager

__all__ = ["Currencies"]


class Currencies:
    """See the module."""

    def __init__(self, manager: OrderManager) -> None:
        self.m = manager

    @property
    def own(self) -> str:
        """The currency of limits; "" if no market names its quote."""
        return account_currency(self.m.config.account.currency, self.m.instruments)

    def is_other(self, listed: InstrumentListed) -> bool:
        """Return whether a market's money is converted: it is in another currency, and has a price."""
        quote = listed.rules.quote
        return quote not in ("", self.own) and bool(self.m.config.account.prices.get(quote))

    def worth(self, listed: InstrumentListed, amount: int) -> int | None:
        """Return an amount of a market's quote in the own currency, rounded up.

        None while the market that prices it has no price yet.
        """
        if not self.is_other(listed):
            return amount
        text = self.m.config.account.prices[listed.rules.quote]
        try:
            price, decimals = parse_scaled(text, PRICE_TEXT_SCALE), PRICE_TEXT_SCALE
        except NumberError:
            named = [one for one in self.m.instruments.values() if is_among(one, (text,))]
            if not named:
                return None
            price, decimals = self.m.price(named[0].instrument).any, named[0].price_scale
        return -(-amount * price // power_of_ten(decimals)) if price else None
