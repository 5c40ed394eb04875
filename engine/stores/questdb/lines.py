"""Rows as lines of the InfluxDB line protocol, with decimals: `trades,side=buy price=43059.97d,seq=7i TIME`.

Exact numbers are decimal text, integers end in `i`, times in nanoseconds in `n`. A null is left out. Called
by `store.py`. No I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from engine.stores.questdb.schema import SYMBOLS
from engine.stores.rows.shapes import TableShape
from engine.values import format_scaled

__all__ = ["HELD_SYMBOL", "HELD_TEXT", "decimal_text", "line"]

_DIGITS: Final = 38
HELD_SYMBOL: Final = str.maketrans(dict.fromkeys("\0\n\r", "\N{REPLACEMENT CHARACTER}"))
"""What a symbol holds instead of characters that a line cannot have in it."""
HELD_TEXT: Final = str.maketrans({"\0": "\N{REPLACEMENT CHARACTER}"})
"""The same of other texts: the server takes no zero bytes."""

_SYMBOL: Final = HELD_SYMBOL | str.maketrans({char: f"\\{char}" for char in " ,=\\"})
_TEXT: Final = HELD_TEXT | str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\\n"})


def decimal_text(decimals: int) -> Callable[[int, int], str]:
    """Return the function that makes an exact integer at a scale decimal text of at most `decimals`."""

    def number(value: int, scale: int) -> str:
        text = format_scaled(value, scale)
        whole, _, fraction = text.lstrip("-").partition(".")
        if len(fraction) > decimals:
            raise ValueError(f"a number has more than {decimals} decimals; set `decimals = {len(fraction)}`")
        if len(whole) > _DIGITS - decimals:
            raise ValueError(
                f"a number has more than {_DIGITS - decimals} digits before the point; set fewer `decimals`"
            )
        return text

    return number


def line(table: str, shape: TableShape, row: Mapping[str, object], at_ns: object, extra: str = "") -> str:
    """Return the line of a row. `extra` are fields besides those of the table."""
    symbols, fields = [], [extra] if extra else []
    for column, kind in shape.columns.items():
        at = shape.times.get(column)
        value = row[at] if at is not None else row[column]
        if value is None or column == shape.time:
            continue
        if at is not None:
            fields.append(f"{column}={value}n")
        elif kind is float:
            fields.append(f"{column}={value}" if column in shape.quotients else f"{column}={value}d")
        elif kind is int:
            fields.append(f"{column}={int(value)}i" if isinstance(value, int) else _bad(column))
        elif kind is bool:
            fields.append(f"{column}={'t' if value else 'f'}")
        elif column in SYMBOLS:
            if text := str(value):
                symbols.append(f",{column}={text.translate(_SYMBOL)}")
        else:
            fields.append(f'{column}="{str(value).translate(_TEXT)}"')
    return f"{table}{''.join(symbols)} {','.join(fields)} {at_ns}\n"


def _bad(column: str) -> str:
    raise ValueError(f"{column} is not an integer")
