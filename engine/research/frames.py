"""Rows of a result as a sequence of structs that becomes a data frame where pandas or polars is installed.

Owns the types of columns: a time is a timestamp in UTC with nanoseconds, exact decimal text a float64, or a
`Decimal` with `exact=True`, and a mapping a column for each of its keys. Called by `engine.research`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from types import NoneType
from typing import Any, Final, Generic, Literal, TypeVar, get_args, get_origin, get_type_hints, overload

import msgspec

from engine.analysis.tables import EXACT
from engine.errors import UsageError
from engine.research.records import Exact

__all__ = ["Point", "Rows"]

T = TypeVar("T", bound=msgspec.Struct)
_Kind = Literal["time", "exact", "float", "int", "bool", "text"]
_TIME: Final = "_ns"
_TEXT_OF: Final = {float: "float", int: "int", bool: "bool"}


class Point(msgspec.Struct, frozen=True):
    """A value of a curve at a time, UTC nanoseconds."""

    at_ns: int
    value: float


class Rows(Sequence[T], Generic[T]):
    """Rows of one type. Has the items themselves, and frames of them."""

    def __init__(self, cls: type[T], items: Sequence[T]) -> None:
        self.type = cls
        self._items = items

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> Rows[T]: ...
    def __getitem__(self, at: int | slice) -> T | Rows[T]:
        return Rows(self.type, self._items[at]) if isinstance(at, slice) else self._items[at]

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    def __repr__(self) -> str:
        return f"<{len(self)} rows of {self.type.__name__}>"

    def to_pandas(self, *, exact: bool = False) -> Any:
        """Return a pandas DataFrame. Raises UsageError where pandas is not installed."""
        try:
            import pandas as pd
        except ImportError:
            raise UsageError("pandas is not installed here; install it with `pip install pandas`") from None
        columns: dict[str, Any] = {}
        for name, kind, values in self._columns():
            if kind == "time":
                times = pd.Series(values, dtype="Int64").astype("object")
                columns[name] = pd.to_datetime(times, unit="ns", utc=True).astype("datetime64[ns, UTC]")
            elif kind == "exact":
                columns[name] = pd.Series(_exact(values, exact), dtype="object" if exact else "float64")
            elif kind == "text":
                columns[name] = pd.Series(values, dtype="object")
            elif kind == "int" and None in values:
                columns[name] = pd.Series(values, dtype="Int64")
            else:
                columns[name] = pd.Series(values, dtype={"float": "float64", "int": "int64"}.get(kind, kind))
        return pd.DataFrame(columns)

    def to_polars(self, *, exact: bool = False) -> Any:
        """Return a polars DataFrame. Raises UsageError where polars is not installed."""
        try:
            import polars as pl
        except ImportError:
            raise UsageError("polars is not installed here; install it with `pip install polars`") from None
        types = {"float": pl.Float64, "int": pl.Int64, "bool": pl.Boolean, "text": pl.String}
        columns = []
        for name, kind, values in self._columns():
            if kind == "time":
                columns.append(pl.Series(name, values, dtype=pl.Datetime("ns", "UTC")))
            elif kind != "exact":
                columns.append(pl.Series(name, values, dtype=types[kind]))
            elif exact:
                numbers = [None if value is None else Decimal(value) for value in values]
                columns.append(pl.Series(name, numbers, dtype=pl.Decimal(38, _scale(numbers))))
            else:
                columns.append(pl.Series(name, _exact(values, exact), dtype=pl.Float64))
        return pl.DataFrame(columns)

    def _columns(self) -> Iterator[tuple[str, _Kind, list[Any]]]:
        """Yield the columns of a frame: name, kind, values. A time loses `_ns` and becomes `_utc`."""
        hints = get_type_hints(self.type, include_extras=True)
        for name in self.type.__struct_fields__:
            values = [getattr(item, name) for item in self._items]
            kind = _kind_of(name, hints[name])
            if kind == "time":
                yield f"{name.removesuffix(_TIME)}_utc", kind, values
            elif get_origin(hints[name]) is dict:
                for key in dict.fromkeys(key for value in values for key in value):
                    yield f"{name}.{key}", "float", [value.get(key) for value in values]
            elif kind == "text":
                texts = [value if isinstance(value, str | None) else _json(value) for value in values]
                yield name, kind, texts
            else:
                yield name, kind, values


def _kind_of(name: str, hint: Any) -> _Kind:
    plain = [one for one in get_args(hint) if one is not NoneType] if NoneType in get_args(hint) else [hint]
    if name.endswith(_TIME):
        return "time"
    if plain == [Exact] or (name in EXACT and plain == [str]):
        return "exact"
    found: Any = _TEXT_OF.get(plain[0], "text") if len(plain) == 1 else "text"
    return found  # type: ignore[no-any-return]


def _exact(values: Sequence[str | None], exact: bool) -> list[Any]:
    number = Decimal if exact else float
    return [None if value is None else number(value) for value in values]


def _scale(numbers: Sequence[Decimal | None]) -> int:
    exponents = [number.as_tuple().exponent for number in numbers if number is not None]
    return max((-one for one in exponents if isinstance(one, int)), default=0)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
