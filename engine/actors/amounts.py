"""Numbers that authors and operators write, as exact integers on the grid of a market.

Owns the conversion of sizes, prices and money, and of the prices of a bracket. Text, `int` and `Decimal` are
taken as they are. A float is read at 15 significant digits, the most that every float has: 98.00999999999999,
which is what `99 * 0.99` gives, is 98.01. The rounding itself is that of `values.to_grid`. Called by the
verbs and for orders by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from numbers import Integral, Real
from typing import Final

from engine.errors import NumberError
from engine.events import InstrumentListed
from engine.values import INT64_MAX, power_of_ten, to_grid

__all__ = [
    "Exit",
    "Number",
    "amount",
    "children_of",
    "exact",
    "gap_of",
    "needed_price",
    "price",
    "signed",
    "steps",
    "steps_for",
]

Number = str | int | float | Decimal
"""A size, a price or an amount of money. numpy's numbers are accepted too."""

Exit = Number | Sequence[tuple[Number, Number]]
"""The price of a take-profit, or (price, size) of several."""

_DIGITS: Final = 15


def exact(value: Number) -> str | int | Decimal:
    """Return a number that `to_grid` takes. A float is read at 15 significant digits."""
    given: object = value
    if isinstance(given, str | int | Decimal):
        return given
    if isinstance(given, Integral):
        return int(given)
    if isinstance(given, Real):
        return Decimal(f"{float(given):.{_DIGITS}g}")
    raise NumberError(f"{given!r} is a {type(given).__name__}; give prices and sizes as numbers or text")


def steps(listed: InstrumentListed, size: Number) -> int:
    """Return a size on the grid, rounded towards 0. Raises NumberError."""
    return listed.size_on_grid(exact(size))


def signed(listed: InstrumentListed, size: Number, short: bool) -> int:
    """Return a position's size on the grid, negative for short. Raises NumberError."""
    given = exact(size)
    if isinstance(given, str) and given.startswith("-"):
        short, given = not short, given[1:]
    elif isinstance(given, Decimal) and given.is_signed():
        short, given = not short, given.copy_negate()
    elif isinstance(given, int) and not isinstance(given, bool) and given < 0:
        short, given = not short, -given
    found = listed.size_on_grid(given)
    return -found if short else found


def price(listed: InstrumentListed, value: Number | None, side: int, what: str) -> int:
    """Return a price on the grid, down for a buy and up for a sell; 0 for None. Raises NumberError."""
    return 0 if value is None else needed_price(listed, value, side, what)


def needed_price(listed: InstrumentListed, value: Number, side: int, what: str) -> int:
    """Return a price on the grid that is not 0. Raises NumberError."""
    found = listed.price_on_grid(exact(value), side)
    if not found:
        # In an event 0 means "no price": a limit of 0 would be a market order.
        raise NumberError(f"{what} {value} is 0 on the grid of {listed.name}, which would mean none at all")
    return found


def gap_of(listed: InstrumentListed, value: Number) -> int:
    """Return a distance between prices, rounded down to the grid. Raises NumberError."""
    return to_grid(exact(value), scale=listed.price_scale, step=listed.price_step)


def amount(value: Number, what: str) -> Fraction:
    """Return an amount of money or a percentage; it may be negative. Raises NumberError."""
    given = exact(value)
    try:
        number = Decimal(given) if not isinstance(given, bool) else Decimal("NaN")
    except ArithmeticError:
        number = Decimal("NaN")
    if not number.is_finite():
        raise NumberError(f"{what} {value!r} is not a plain decimal number")
    return Fraction(number)


def steps_for(listed: InstrumentListed, money: Fraction, at: int) -> int:
    """Return the size on the grid, signed and rounded towards 0, that money pays for at the price `at`."""
    units = int(abs(money) * power_of_ten(listed.money_scale) / at)
    size = units // listed.size_step * listed.size_step
    if size > INT64_MAX:
        raise NumberError(f"{money} buys more of {listed.name} than a size can be")
    return -size if money < 0 else size


def children_of(
    listed: InstrumentListed, side: int, size: int, stop_loss: Number | None, take_profit: Exit | None
) -> tuple[tuple[str, int, int], ...]:
    """Return the bracket of an order: (kind, trigger price, size). Raises ValueError and NumberError."""
    loss = price(listed, stop_loss, -side, "stop_loss")
    exits: list[tuple[int, int]] = []
    if take_profit is not None and isinstance(take_profit, Sequence) and not isinstance(take_profit, str):
        for one, part in take_profit:
            found = needed_price(listed, one, -side, "take_profit"), steps(listed, part)
            if found[1]:  # a part below the grid protects nothing
                exits.append(found)
        if sum(part for _, part in exits) > size:
            raise ValueError("the sizes of the take_profits are more than the order's")
    elif take_profit is not None:
        exits.append((needed_price(listed, take_profit, -side, "take_profit"), size))
    if loss and any((profit - loss) * side <= 0 for profit, _ in exits):
        raise ValueError(f"stop_loss {stop_loss} and take_profit {take_profit} are the wrong way round")
    return (*((("sl", loss, size),) if loss else ()), *(("tp", profit, part) for profit, part in exits))
