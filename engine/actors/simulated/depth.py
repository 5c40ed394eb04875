"""What there is to take: the book or the best bid and ask of a market as they were shown last.

Owns the levels of each market and what was taken of them. Promises: no order takes more than is shown, and
what was taken stays taken until that side changes. Called with every quote and book, and by the matching.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.actors.simulated.state import DepthSide, Market
from engine.events import BookRead, Quote
from engine.values import BUY, SELL

__all__ = ["forget", "levels_for", "show_book", "show_quote", "shown_at", "side_for", "take"]


def show_quote(market: Market, quote: Quote, *, by_level: bool) -> None:
    """Take over a best bid and ask. In a market with a book they show which of its levels are gone."""
    market.bid, market.bid_size, market.ask, market.ask_size = (
        quote.bid,
        quote.bid_size,
        quote.ask,
        quote.ask_size,
    )
    market.quoted = True
    if market.depth != "book":
        market.depth = "quote"
        market.live = True
        market.bids.show([(quote.bid, quote.bid_size)] if quote.bid else [], side=BUY if by_level else 0)
        market.asks.show([(quote.ask, quote.ask_size)] if quote.ask else [], side=SELL if by_level else 0)


def show_book(market: Market, book: BookRead, *, by_level: bool) -> None:
    """Take over a complete book."""
    market.depth = "book"
    market.live = True
    market.quoted = False
    market.bids.show([(price, size) for price, size, _ in book.bids], side=BUY if by_level else 0)
    market.asks.show([(price, size) for price, size, _ in book.asks], side=SELL if by_level else 0)
    market.bid, market.bid_size = market.bids.levels[0] if book.bids else (0, 0)
    market.ask, market.ask_size = market.asks.levels[0] if book.asks else (0, 0)


def forget(market: Market) -> None:
    """Note that the market is not followed: what it showed does not count until it is shown again."""
    market.live = market.priced = market.quoted = False


def side_for(market: Market, side: int) -> DepthSide:
    """Return the side that an order of `side` takes from."""
    return market.asks if side == BUY else market.bids


def levels_for(market: Market, side: int) -> Iterator[tuple[int, int]]:
    """Yield (price, size left) of the levels that an order of `side` can take, best first.

    A newer best price than the book's hides the levels better than it, and bounds the size at it.
    """
    if not market.live:
        return
    shown = side_for(market, side)
    best, size_max = (market.ask, market.ask_size) if side == BUY else (market.bid, market.bid_size)
    for price, size in shown.levels:
        if market.depth == "book" and market.quoted:
            if not best or (best - price) * side > 0:
                continue
            if price == best:
                size = min(size, size_max)
        left = size - shown.taken.get(price, 0)
        if left > 0:
            yield price, left


def shown_at(market: Market, side: int, price: int) -> int | None:
    """Return the size shown at a price on the side where orders of `side` rest; None: out of the window."""
    levels = (market.bids if side == BUY else market.asks).levels
    best, best_size = (market.bid, market.bid_size) if side == BUY else (market.ask, market.ask_size)
    if market.depth == "book" and market.quoted and best and (price - best) * side >= 0:
        return best_size if price == best else 0
    if not levels:
        return None
    size = next((size for level, size in levels if level == price), None)
    if size is None and (levels[-1][0] - price) * side <= 0:
        return 0
    return size


def take(market: Market, side: int, price: int, size: int) -> None:
    """Take a size from a level."""
    taken = side_for(market, side).taken
    taken[price] = taken.get(price, 0) + size
