"""Cells of a data file as exact integers: prices, sizes, volumes, trade ids, sides.

Owns the fast paths of the import. Promises: a fast path accepts nothing that `engine.values.parse_scaled`
refuses and gives the same integer (held by a property test); every other cell goes to that
parser. No float appears here. Every reader is made once per file and called once per cell; it raises
NumberError naming the column's role, and the importer adds file and line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from engine.errors import NumberError
from engine.values import BUY, INT64_MAX, NO_SIDE, SELL, Amount, parse_scaled, wide

__all__ = [
    "DECIMALS_MAX",
    "Sides",
    "decimals_of",
    "maker_sides",
    "number_reader",
    "parse_trade_id",
    "taker_sides",
    "volume_reader",
]

DECIMALS_MAX: Final = 18
"""Most decimal places of a price or size: 1 at 18 decimals still fits 64 bits."""

_FAST_LENGTH_MAX: Final = 40  # parse_scaled takes 40 digits on either side of the point
_ID_LENGTH_MAX: Final = 128  # the longest known are 66 (0x and a transaction hash)

_TAKER: Final = {
    "": NO_SIDE,
    "buy": BUY,
    "b": BUY,
    "bid": BUY,
    "1": BUY,
    "1.0": BUY,
    "sell": SELL,
    "s": SELL,
    "a": SELL,
    "ask": SELL,
    "-1": SELL,
    "-1.0": SELL,
}
_MAKER: Final = {"": NO_SIDE, "false": BUY, "f": BUY, "0": BUY, "true": SELL, "t": SELL, "1": SELL}


class Sides(dict[str, int]):
    """Side of the taker by cell; case does not matter. Raises NumberError for a cell that is not a side."""

    def __init__(self, role: str, sides: dict[str, int], known: str) -> None:
        super().__init__(sides)
        self._role = role
        self._sides = sides
        self._known = known

    def __missing__(self, cell: str) -> int:
        side = self._sides.get(cell.strip().lower())
        if side is None:
            raise NumberError(f"{self._role} {cell[:40]!r} is not one of {self._known}")
        return side


def taker_sides() -> Sides:
    """Return the sides of a column with the taker's side (Hyperliquid: B bought, A sold)."""
    return Sides("side", _TAKER, "buy, sell, b, s, bid, ask, a, 1, -1")


def maker_sides() -> Sides:
    """Return the sides of a column that says whether the buyer was the maker: then the taker sold."""
    return Sides("maker", _MAKER, "true, false, 1, 0")


def number_reader(role: str, scale: int, *, zero: bool = False) -> Callable[[str], int]:
    """Return the reader of a column of positive numbers, giving integers at `scale`.

    `zero` allows 0. Raises NumberError as `parse_scaled` does, and for 0.
    """
    powers: tuple[int, ...] = tuple(10 ** (scale - places) for places in range(scale + 1))

    def read(cell: str) -> int:
        whole, point, fraction = cell.partition(".")
        places = len(fraction)
        if (
            places <= scale
            and cell.isascii()
            and whole
            and (whole + fraction).isdigit()
            and (places or not point)
            and len(cell) <= _FAST_LENGTH_MAX
        ):
            value = int(whole + fraction) * powers[places]
            if 0 < value <= INT64_MAX:
                return value
        if not cell:
            raise NumberError(f"{role} is empty")
        try:
            value = parse_scaled(cell, scale)
        except NumberError as error:
            raise NumberError(f"{role} {error}") from None
        if not value and not zero:
            raise NumberError(f"{role} {cell[:40]!r} is zero; it must be above zero")
        return value

    return read


def volume_reader(scale: int) -> Callable[[str], Amount]:
    """Return the reader of a candle's volume at `scale`: 0 is allowed, and so is more than 64 bits."""
    narrow = number_reader("volume", scale, zero=True)
    power = 10**scale

    def read(cell: str) -> Amount:
        try:
            return narrow(cell)
        except NumberError:
            whole, point, fraction = cell.partition(".")
            plain = cell.isascii() and whole.isdigit() and (fraction.isdigit() or not point)
            if not plain or len(cell) > _FAST_LENGTH_MAX:
                raise
            value = int(whole) * power
            if point:
                value += narrow(f"0.{fraction}")
            if value <= INT64_MAX:  # it was not the width that was refused
                raise
            return wide(value)

    return read


def decimals_of(cell: str, at_least: int) -> int:
    """Return how many decimals a number needs to be exact, or `at_least` when that is more.

    A cell that is not a number, or needs more than DECIMALS_MAX, gives `at_least`: reading refuses it.
    """
    fraction = cell.partition(".")[2]
    if len(fraction) <= at_least and "e" not in cell and "E" not in cell:
        return at_least
    for decimals in range(at_least, DECIMALS_MAX + 1):
        try:
            parse_scaled(cell, decimals)
        except NumberError:
            continue
        return decimals
    return at_least


def parse_trade_id(cell: str) -> int | str:
    """Return the venue's trade id: an integer when the cell is the plain text of one that fits 64 bits.

    Otherwise the text itself, so that no id is altered; 0 for an empty cell. Raises NumberError when the
    text is too long or has characters that cannot be printed.
    """
    if not cell:
        return 0
    if cell.isdigit() and cell.isascii() and len(cell) <= 19 and (cell[0] != "0" or len(cell) == 1):
        number = int(cell)
        if number <= INT64_MAX:
            return number
    if len(cell) > _ID_LENGTH_MAX:
        raise NumberError(f"id {cell[:40]!r}... is longer than {_ID_LENGTH_MAX} characters")
    if not cell.isprintable():
        raise NumberError(f"id {cell[:40]!r} holds characters that cannot be printed")
    return cell
