"""Cells of a data file as exact integers: prices, sizes, volumes, trade ids, sides.

Owns the fast paths of the import. Promises: a fast path accepts nothing that `engine.values.parse_scaled`
refuses and gives the same integer (held by a property test); every other cell goes to that parser, or is
noise that `Rounding` takes away. No float appears here. Every reader is made once per file and called once
per cell; it raises NumberError naming the column's role, and the importer adds file and line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from adapters.files.noise import Rounding
from engine.errors import NumberError
from engine.values import BUY, INT64_MAX, NO_SIDE, SELL, Amount, parse_scaled, wide

__all__ = [
    "DECIMALS_MAX",
    "NO_VALUES",
    "Sides",
    "maker_sides",
    "number_reader",
    "parse_trade_id",
    "shifted",
    "taker_sides",
    "volume_reader",
]

DECIMALS_MAX: Final = 18
"""Most decimal places of a price or size: 1 at 18 decimals still fits 64 bits."""

_FAST_LENGTH_MAX: Final = 40  # parse_scaled takes 40 digits on either side of the point
_ID_LENGTH_MAX: Final = 128  # the longest known are 66 (0x and a transaction hash)

NO_VALUES: Final = frozenset(
    ("", "-", "--", "none", "nan", "null", "nat", "na", "n/a", "<na>", "nil", "undefined", "unknown")
)
"""Cells that say there is no value, in lower case."""

_UNDEFINED: Final = str(INT64_MAX)  # Databento's price that there is none of

_TAKER: Final = {
    "n": NO_SIDE,
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
_NO_VALUE_LENGTH: Final = 20
_SIDES_MAX: Final = 1000
_MAKER: Final = {"false": BUY, "f": BUY, "0": BUY, "true": SELL, "t": SELL, "1": SELL}


class Sides(dict[str, int]):
    """Side of the taker by cell; case does not matter. Raises NumberError for a cell that is not a side.

    A cell that says there is no value, or that the side is unknown, is `NO_SIDE`, and so counts
    for neither side.
    """

    def __init__(self, role: str, sides: dict[str, int], known: str, *, turned: bool) -> None:
        super().__init__()
        self._role = role
        self._sides = {cell: -side if turned else side for cell, side in sides.items()}
        self._known = known

    def __missing__(self, cell: str) -> int:
        plain = cell.strip().lower()
        side = NO_SIDE if plain in NO_VALUES else self._sides.get(plain)
        if side is None:
            raise NumberError(
                f"{self._role} {cell[:40]!r} is not one of {self._known}; "
                f"--columns {self._role}= leaves the column out"
            )
        if len(self) < _SIDES_MAX:
            self[cell] = side
        return side


def taker_sides(*, turned: bool = False) -> Sides:
    """Return the sides of a column with the taker's side (Hyperliquid: B bought, A sold).

    `turned`: the column has the maker's side.
    """
    return Sides("side", _TAKER, "buy, sell, b, s, bid, ask, a, 1, -1, unknown", turned=turned)


def maker_sides(*, turned: bool = False) -> Sides:
    """Return the sides of a column that says whether the buyer was the maker: then the taker sold.

    `turned`: the column says whether the seller was.
    """
    return Sides("maker", _MAKER, "true, false, 1, 0", turned=turned)


def shifted(cell: str, places: int) -> str:
    """Return an integer that counts units of ten to the power of minus `places` as a decimal number.

    Raises NumberError for the largest integer, which stands for a price that there is none of.
    """
    if cell == _UNDEFINED:
        raise NumberError(f"{cell!r} stands for no price")
    if not places or not (cell.isascii() and cell.isdigit()):
        return cell
    digits = cell.rjust(places + 1, "0")
    fraction = digits[-places:].rstrip("0")
    return f"{digits[:-places]}.{fraction}" if fraction else digits[:-places]


def number_reader(
    role: str, scale: int, *, zero: bool = False, shift: int = 0, rounding: Rounding | None = None
) -> Callable[[str], int]:
    """Return the reader of a column of positive numbers, giving integers at `scale`.

    `zero` allows 0. `shift`: see `shifted`. Raises NumberError as `parse_scaled` does, and for 0.
    """
    powers: tuple[int, ...] = tuple(10 ** (scale - places) for places in range(scale + 1))

    def read(cell: str) -> int:
        if shift:
            cell = shifted(cell, shift)
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
            if 0 < value <= INT64_MAX or (zero and not value):
                return value
        if not cell:
            raise NumberError(f"{role} is empty")
        rounded = rounding.round(cell) if rounding is not None else None
        try:
            value = parse_scaled(rounded or cell, scale)
        except NumberError as error:
            raise NumberError(f"{role} {error}") from None
        if not value and not zero:
            what = "rounds to zero" if rounded else "is zero"
            raise NumberError(f"{role} {cell[:40]!r} {what}; it must be above zero")
        return value

    return read


def volume_reader(scale: int, *, rounding: Rounding | None = None) -> Callable[[str], Amount]:
    """Return the reader of a candle's volume at `scale`: 0 is allowed, and so is more than 64 bits."""
    narrow = number_reader("volume", scale, zero=True, rounding=rounding)
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


def parse_trade_id(cell: str) -> int | str:
    """Return the venue's trade id: an integer when the cell is the plain text of one that fits 64 bits.

    Otherwise the text itself, so that no id is altered; 0 for a cell that says there is none. Raises
    NumberError when the text is too long or has characters that cannot be printed.
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
    return 0 if len(cell) < _NO_VALUE_LENGTH and cell.strip().lower() in NO_VALUES else cell
