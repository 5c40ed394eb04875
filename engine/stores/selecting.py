"""Which rows of a table a reader asks for: some texts, and a span of one time.

A store leaves out what it can cheaply leave out; `Selection.has` decides. Called by `engine.research` and by
the readers of stores. No I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from engine.stores.store import Row

__all__ = ["EVERYTHING", "Selection"]


class Selection(msgspec.Struct, frozen=True):
    """Rows whose columns have these texts, and whose `column`, UTC nanoseconds, is in [begin_ns, end_ns).

    None is no bound. A key's columns, and those that never change for a key, may be asked for.
    """

    texts: dict[str, str] = {}
    column: str = ""
    begin_ns: int | None = None
    end_ns: int | None = None

    def has(self, row: Row) -> bool:
        """Return whether a row is one of them."""
        if any(row[name] != text for name, text in self.texts.items()):
            return False
        if self.begin_ns is None and self.end_ns is None:
            return True
        at_ns = row[self.column]
        return at_ns is not None and self.within(at_ns, at_ns)

    def within(self, first_ns: int, last_ns: int) -> bool:
        """Return whether times from the first to the last may be in the span."""
        return (self.begin_ns is None or last_ns >= self.begin_ns) and (
            self.end_ns is None or first_ns < self.end_ns
        )

    def terms(self) -> Iterator[tuple[str, str, str | int]]:
        """Yield what must hold as (column, operator, value)."""
        for name, text in self.texts.items():
            yield name, "=", text
        if self.begin_ns is not None:
            yield self.column, ">=", self.begin_ns
        if self.end_ns is not None:
            yield self.column, "<", self.end_ns

    def where(self, term: Callable[[str, str, str | int], str]) -> str:
        """Return the clause of an SQL statement, `term` writes each condition; "" without any."""
        conditions = [term(*one) for one in self.terms()]
        return f" where {' and '.join(conditions)}" if conditions else ""


EVERYTHING: Final = Selection()
