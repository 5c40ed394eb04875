"""The shape of a table, and the columns that many tables share."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import msgspec

__all__ = ["INSTRUMENT", "PRINT", "RECORD", "TRADED", "WINDOW", "TableShape"]


class TableShape(msgspec.Struct, frozen=True):
    """One table. `columns` in order with their types, `pk` the primary key, `indexes` beyond it.

    `float` stands for an exact number as the store holds it, but for the `quotients`, which are floats in
    every store. With `newest`, a row replaces the one with the same key only if it is not lower in that
    column; otherwise it always does.
    """

    columns: dict[str, type]
    pk: str | tuple[str, ...]
    indexes: tuple[tuple[str, ...], ...] = ()
    newest: str = ""
    quotients: tuple[str, ...] = ()

    @property
    def times(self) -> dict[str, str]:
        """The columns with a time as text, each with the column of the same time in nanoseconds."""
        pairs = pairwise(self.columns)  # `venue` is no time, though some tables have `venue_ns`
        return {name: ns for name, ns in pairs if ns == f"{name.removesuffix('_time')}_ns"}

    @property
    def time(self) -> str:
        """The column by whose time rows grow old: when it happened, not when it was recorded. "" without."""
        return next((name for name in _TIMES if name in self.times), "")

    @property
    def key(self) -> tuple[str, ...]:
        """The columns of the primary key."""
        return (self.pk,) if isinstance(self.pk, str) else self.pk


_TIMES: Final = ("start", "exited", "venue_time", "time", "at")

RECORD: Final[dict[str, type]] = {"seq": int, "cause": int, "at": str, "at_ns": int}
INSTRUMENT: Final[dict[str, type]] = {"instrument": str, "instrument_id": int, "venue": str}
WINDOW: Final[dict[str, type]] = {**INSTRUMENT, "interval": str, "start": str, "start_ns": int}
PRINT: Final[dict[str, type]] = {"price": float, "size": float, "side": str, "trade_id": str}
TRADED: Final[dict[str, type]] = {
    **dict.fromkeys(("open", "high", "low", "close", "volume"), float),
    **dict.fromkeys(("quote_volume", "vwap", "buy_volume", "sell_volume"), float),
    "trades": int,
    "first_id": str,
    "last_id": str,
    "incomplete": bool,
    "because": str,
}
