"""The terms of an order: one struct, from the request to the command.

`OrderRequested`, `OrderApproved` and `SubmitOrder` carry it, so a term is written down once and never derived
again at the edge. Prices and sizes are exact integers at the instrument's scales; 0 means "none".
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from engine.values import Price, Side, Size

__all__ = ["CLOSE", "MARKET_TIF", "OPEN", "PROTECTIVE", "OrderTerms", "Purpose", "Role"]

Role = Literal["", "open", "close"]
"""Whether an order takes its book away from 0 ("open") or towards it ("close"); "" before that is decided."""

Purpose = Literal["own", "target", "stop", "take", "trail", "flatten", "correct"]
"""What an order is for. "own": the strategy's `buy` or `sell`. "correct": brings a book back to 0 that an
exit carried beyond."""

OPEN: Final = "open"
CLOSE: Final = "close"

MARKET_TIF: Final = "Ioc"
"""A market order never rests."""

PROTECTIVE: Final = frozenset({"stop", "trail", "flatten", "correct"})
"""Purposes of exits that are owed until the book is where it has to be."""


class OrderTerms(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The terms of one order.

    `limit` 0 is a market order; it carries `bound`, the worst price it may trade at, once it is approved.
    `tif` is "Gtc", "Ioc" or "Alo" (post only). `reduce_only`: in a request, the strategy asks that nothing is
    opened; in an approval, the venue's flag. `trigger` "sl" or "tp" makes the order wait for `trigger_price`.
    `parent` is the client order id of the order it is attached to at the venue. Of the orders in a `group`,
    a fill of one cancels the others. `handle` is what the strategy's call returned.
    """

    side: Side
    size: Size
    limit: Price = 0
    tif: str = "Gtc"
    role: str = ""
    purpose: str = "own"
    reduce_only: bool = False
    trigger: str = ""
    trigger_price: Price = 0
    parent: str = ""
    group: str = ""
    bound: Price = 0
    handle: str = ""

    @property
    def kind(self) -> str:
        """What people call the order: "market", "limit", "market stop" or "limit stop"."""
        return f"{'market' if self.market else 'limit'}{' stop' if self.trigger else ''}"

    @property
    def market(self) -> bool:
        """Whether the order trades at the market, at once or once it is triggered."""
        return not self.limit

    @property
    def rests(self) -> bool:
        """Whether the order can rest in the book."""
        return bool(self.limit) and self.tif != "Ioc"

    @property
    def worst(self) -> int:
        """The worst price it may trade at: its limit, else its bound; 0 for none."""
        return self.limit or self.bound
