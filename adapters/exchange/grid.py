"""A price grid, and the order book generated around a best bid and ask. Integers only.

A tape holds only the best bid and ask, so `levels` generates the levels behind them. The size of a level is a
function of its price and the instrument's name, so it stays the same until the best price reaches it. Called
by the synthetic market, the tape, and everything that shows a book.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Final
from zlib import crc32

from engine.events import InstrumentListed, Quote
from engine.values import grid_step

__all__ = ["DEPTH", "Level", "above", "below", "levels", "orders_at"]

DEPTH: Final = 20
"""Levels on each side of a full book."""

Level = tuple[int, int, int]
"""(price, size, number of orders)."""

_MASK: Final = 2**64 - 1
_KEPT: Final = 1 << 14
"""How many generated levels are kept: a market shows nearly the same ones after each trade."""


def below(price: int, scale: int, *, step: int = 1, figures: int = 0) -> int:
    """Return the highest grid price below `price`; 0 or less if there is no such price."""
    quantum = grid_step(price - 1, scale=scale, step=step, figures=figures) if price > 1 else step
    return (price - 1) // quantum * quantum


def above(price: int, scale: int, *, step: int = 1, figures: int = 0) -> int:
    """Return the lowest grid price above `price`."""
    quantum = grid_step(price, scale=scale, step=step, figures=figures)
    return (price // quantum + 1) * quantum


def orders_at(price: int, size: int) -> int:
    """Return the number of orders to show for a level: 1 to 40, always the same for the same level."""
    return 1 + _mix(price * 31 + size) % 40


def levels(
    listed: InstrumentListed,
    quote: Quote,
    depth: int = DEPTH,
    *,
    figures: int | None = None,
    mantissa: int = 1,
) -> tuple[list[Level], list[Level]]:
    """Return (bids, asks) around a quote: best first, at most `depth` levels a side, never crossed.

    `figures` and `mantissa` request a coarser book, as the venue's `nSigFigs` and `mantissa` do: bids are
    rounded down and asks up. A side that is empty in the quote is empty in the book.
    """
    coarse = None if figures is None else (figures, mantissa)
    bids = _walk(listed, quote.bid, quote.bid_size, coarse, up=False)
    asks = _walk(listed, quote.ask, quote.ask_size, coarse, up=True)
    return _first(bids, depth), _first(asks, depth)


def _walk(
    listed: InstrumentListed, best: int, size: int, coarse: tuple[int, int] | None, *, up: bool
) -> Iterator[Level]:
    """Yield levels away from the best price: about two thirds of the grid prices, or every coarse price."""
    if not best:
        return
    seed = crc32(listed.name.encode()) << 40
    scale, step, figures = listed.price_scale, listed.price_step, listed.price_figures
    # Worth about 500 of the quote currency. A power of two, so that it does not change with every tick.
    worth = 500 * 10**listed.money_scale // best
    unit = max(listed.size_step, 1 << max(0, worth.bit_length() - 1)) // listed.size_step * listed.size_step
    if coarse is None:
        yield best, size, orders_at(best, size)
        grid = (scale, step, figures, up)
        price = _next(best, grid)
        while price > 0:
            level, price = _behind(price, seed, unit, grid)
            if level is not None:
                yield level
        return
    fine = grid_step(best, scale=scale, step=step, figures=figures)
    quantum = coarse[1] * max(fine, 10 ** max(0, len(str(best)) - coarse[0]))
    unit *= quantum // fine
    price = -(-best // quantum) * quantum if up else best // quantum * quantum
    while price > 0:
        draw = _mix(price ^ seed)
        yield price, size + unit * (1 + (draw >> 8) % 48), 1 + (draw >> 20) % 400
        size = 0
        price += quantum if up else -quantum


@lru_cache(_KEPT)
def _behind(price: int, seed: int, unit: int, grid: tuple[int, int, int, bool]) -> tuple[Level | None, int]:
    """Return the level at a price, None if it is empty, and the next price away from the best."""
    draw = _mix(price ^ seed)
    level = (price, unit * (1 + (draw >> 8) % 48), 1 + (draw >> 20) % 40) if draw % 3 else None
    return level, _next(price, grid)


def _next(price: int, grid: tuple[int, int, int, bool]) -> int:
    scale, step, figures, up = grid
    return (above if up else below)(price, scale, step=step, figures=figures)


def _first(side: Iterator[Level], depth: int) -> list[Level]:
    return list(islice(side, depth))


def _mix(value: int) -> int:
    """Return 64 well-mixed bits of `value` (the finalizer of splitmix64)."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & _MASK
    return value ^ value >> 31
