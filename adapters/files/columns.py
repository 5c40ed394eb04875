"""Which column of a data file is which: usual names, a mapping given by the user, positions.

Promises: it never guesses between two candidates; what is missing or
ambiguous is a UsageError that says what was looked for and what the file has. No error proposes a position
or a column that was not checked. Called by `layouts` with the first row of a CSV file, the keys of the first
JSON object, or the column names of a Parquet file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from adapters.files.kinds import (
    BOOKS,
    CANDLES,
    CONTEXTS,
    FUNDING,
    NAMES,
    NEEDS,
    OPTIONAL,
    SIGNS,
    TRADES,
    UPDATES,
    find_levels,
)
from adapters.files.times import is_iso
from engine.errors import UsageError

__all__ = [
    "BY_COLUMNS",
    "HOW_TO_NAME",
    "ROLES",
    "Layout",
    "holds_data",
    "lay_out",
    "list_names",
    "plain_name",
]

BY_COLUMNS: Final = "columns"
"""The name of the layout of a file whose columns are found by their names, or given."""

ROLES: Final = tuple(NAMES)

HOW_TO_NAME: Final = (
    f"give the position of each column, from 0, with --columns: {', '.join(NEEDS[TRADES])} of trades, "
    f"{', '.join(NEEDS[CANDLES])} of candles"
)

_PLAIN_NUMBER: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", re.ASCII)


class Layout(msgspec.Struct, frozen=True):
    """The layout of a file. `at` gives the position of each role; `names` is what the file calls it.

    `kind` is one of `kinds.KINDS_OF_DATA`. Without `header` the first row is data. `name` is that of a known
    layout, or BY_COLUMNS. `unit` is the unit of times, None to decide by the first. `shift`: prices are
    integers of ten to the power of minus that. `turned`: sides are the maker's, or a maker column is of
    sellers. `silence` is the custom of the source about windows without trades, None for the venue's.
    `sorts`: the source is in another order than that of the times, so rows are sorted. `notes` say to people
    what was recognised. More roles of known layouts are in `at`: "until" is the end of a candle, "span" the
    code of its interval, "action" what a row is of. `rates` is the unit of funding rates, one of
    `kinds.RATE_UNITS`, "" if it is not known.
    """

    kind: str
    at: dict[str, int]
    names: dict[str, str]
    header: bool
    name: str = BY_COLUMNS
    unit: str | None = None
    shift: int = 0
    turned: bool = False
    silence: str | None = None
    sorts: bool = False
    notes: tuple[str, ...] = ()
    rates: str = ""


def lay_out(
    first: Sequence[str], mapping: Mapping[str, str], *, file: str, headed: bool, kind: str | None = None
) -> Layout:
    """Find the columns in `first`, the first row of a file or its column names.

    `mapping` goes from role to a name or a position from 0; an empty name leaves an optional role out.
    `headed`: `first` holds names, not data (JSON lines, Parquet). `kind` is what the file holds, None to find
    it out. Raises UsageError.
    """
    unknown = [role for role in mapping if role not in NAMES]
    if unknown:
        raise UsageError(f"--columns: {unknown[0]!r} is not a role of a column; known: {' '.join(ROLES)}")
    header = headed or not holds_data(first)
    finder = _Finder(first, mapping, file=file, header=header)
    kind = kind or finder.kind()
    at: dict[str, int] = {}
    for role in NEEDS[kind]:
        position = finder.find(role, kind)
        if position is None:
            raise finder.missing(role, kind)
        at[role] = position
    for role in OPTIONAL[kind]:
        position = finder.find(role, kind)
        if position is not None:
            at[role] = position
    if kind == BOOKS:
        at |= finder.levels()
    if kind == CONTEXTS and not {"mark", "oracle", "open_interest"} & at.keys():
        raise finder.missing("mark", kind)
    if "side" in at and "maker" in at:
        explicit = [role for role in ("side", "maker") if mapping.get(role)]
        if len(explicit) != 1:
            names = f"{first[at['side']]!r} and {first[at['maker']]!r}"
            raise UsageError(
                f"{file}: both {names} give the taker's side; choose with --columns side=... or maker=..."
            )
        del at["maker" if explicit == ["side"] else "side"]
    unused = [role for role, name in mapping.items() if name and role not in at]
    if unused:
        raise UsageError(
            f"{file}: --columns {unused[0]}=...: the file is read as {kind}, which have no such column"
        )
    if len(set(at.values())) < len(at):
        twice = next(role for role, where in at.items() if list(at.values()).count(where) > 1)
        raise UsageError(f"{file}: one column is used twice, among others as {twice}; check --columns")
    return Layout(
        kind, at, {role: first[where] if header else str(where) for role, where in at.items()}, header
    )


class _Finder:
    """Finds roles among the names of one file."""

    def __init__(self, first: Sequence[str], mapping: Mapping[str, str], *, file: str, header: bool) -> None:
        self._first = first
        self._mapping = mapping
        self._file = file
        self._header = header
        self._plain = [plain_name(name) for name in first]

    def kind(self) -> str:
        """Return the kind of data: what the columns given are of, else what the names show."""
        if not self._header and not self._mapping:
            raise UsageError(
                f"{self._file}: the first line is data, not column names ({self._has()}); {HOW_TO_NAME}"
            )
        if self._mapping.get("price") or self._mapping.get("size"):
            return TRADES if not self._mapping.get("snapshot") else UPDATES
        given = [
            kind for kind, signs in SIGNS if any(self._mapping.get(role) for sign in signs for role in sign)
        ]
        if given and given[0] != CANDLES:
            return given[0]
        if self._header and find_levels(self._plain):
            return BOOKS
        shown = [kind for kind, signs in SIGNS if any(all(map(self._may_have, sign)) for sign in signs)]
        if shown[:2] == [FUNDING, CONTEXTS]:
            raise UsageError(
                f"{self._file}: has funding rates and marks or open interest ({self._has()}); choose with "
                f"--data {FUNDING} or --data {CONTEXTS}, and import it twice for both"
            )
        return shown[0] if shown else TRADES

    def levels(self) -> dict[str, int]:
        """Return the positions of the levels of a book. Raises UsageError if there are none."""
        found = find_levels(self._plain) if self._header else {}
        if not found:
            raise UsageError(
                f"{self._file}: no columns of levels for books: looked for bids[0].price, bid_px_00, "
                f"bid_price_0 and the like, for asks too; the file has {self._has()}"
            )
        return found

    def find(self, role: str, kind: str) -> int | None:
        """Return the position of a role, None when the file has none. Raises UsageError."""
        given = self._mapping.get(role)
        if given is not None:
            return self._mapped(role, given) if given else None
        if not self._header:
            return None
        if role in ("side", "maker") and self._mapping.get("maker" if role == "side" else "side"):
            return None
        for group in NAMES[role]:
            found = [at for at, name in enumerate(self._plain) if name in group and self._free(at, role)]
            if kind == CANDLES and role == "time" and len(found) > 1:
                # Venues call a candle's open time t and its close time T.
                exact = [at for at in found if self._first[at] == "t"]
                found = exact if {self._first[at] for at in found} == {"t", "T"} else found
            if len(found) > 1:
                names = ", ".join(repr(self._first[at]) for at in found)
                raise UsageError(
                    f"{self._file}: {names} may each be the {role}; choose one with --columns {role}=NAME"
                )
            if found:
                return found[0]
        return None

    def missing(self, role: str, kind: str) -> UsageError:
        """Return the error for a column that is not there."""
        if not self._header:
            return UsageError(
                f"{self._file}: the first line is data, so every column needs a position; "
                f"{role} has none (--columns {role}=POSITION)"
            )
        known = "|".join(name for group in NAMES[role] for name in group)
        taken = [
            name
            for at, name in enumerate(self._first)
            if self._plain[at] in known.split("|") and not self._free(at, role)
        ]
        if taken:
            return UsageError(
                f"{self._file}: no {role} column for {kind}: --columns uses {taken[0]!r} otherwise"
            )
        return UsageError(
            f"{self._file}: no {role} column for {kind}: looked for {known}, the file has {self._has()}; "
            f"name it with --columns {role}=NAME"
        )

    def _may_have(self, role: str) -> bool:
        return bool(self._mapping.get(role)) or (
            self._header and any(name in group for group in NAMES[role] for name in self._plain)
        )

    def _free(self, at: int, role: str) -> bool:
        """Return whether the mapping gives this column to no other role."""
        return not any(
            other != role and wanted and self._first[at] == wanted for other, wanted in self._mapping.items()
        )

    def _mapped(self, role: str, wanted: str) -> int:
        if self._header:
            exact = list(self._first)
            loose = [name.strip().lower() for name in exact]
            for names, name in ((exact, wanted), (loose, wanted.strip().lower())):
                if names.count(name) > 1:
                    raise UsageError(f"{self._file}: several columns are called {wanted!r}; give a position")
                if name in names:
                    return names.index(name)
        if wanted.isdigit() and wanted.isascii() and len(wanted) < 6:
            if int(wanted) < len(self._first):
                return int(wanted)
            raise UsageError(
                f"{self._file}: --columns {role}={wanted}: there are {len(self._first)} columns, "
                f"0 to {len(self._first) - 1}"
            )
        if not self._header:
            raise UsageError(
                f"{self._file}: --columns {role}={wanted}: the first line is data, not column names "
                f"({self._has()}); give positions from 0"
            )
        raise UsageError(
            f"{self._file}: --columns {role}={wanted}: no such column; the file has {self._has()}"
        )

    def _has(self) -> str:
        return list_names(self._first)


def list_names(first: Sequence[str]) -> str:
    """Return the first cells of a file for an error, cut short."""
    cut = [name[:30] for name in first[:20]]
    shown = ", ".join((name if name.isprintable() else repr(name)) or "(no name)" for name in cut)
    return shown + (f" and {len(first) - 20} more" if len(first) > 20 else "")


def plain_name(name: str) -> str:
    """Return a column's name in lower case with underscores."""
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def holds_data(first: Sequence[str]) -> bool:
    """Return whether the first row of a file is data, not names: a cell of it is a number or a time."""
    return any(_PLAIN_NUMBER.fullmatch(cell.strip()) or is_iso(cell.strip()) for cell in first)
