"""Recognises the layout of a data file by its shape.

Promises: a layout is recognised only when its names or the first rows fit, and one only; it is then named. A
file that fits none is read by the names of its columns, or refused with what was seen and what is known; no
position is proposed to a user. Called by `datafile` before anything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from adapters.files.columns import (
    BY_COLUMNS,
    HOW_TO_NAME,
    ROLES,
    Layout,
    holds_data,
    lay_out,
    list_names,
    plain_name,
)
from adapters.files.kinds import BOOKS, FUNDING, NEEDS, OPTIONAL, RATE_UNITS, Known
from adapters.files.known import ALL_KNOWN, KNOWN, LAYOUT_NAMES
from adapters.files.messages import LAYOUTS
from adapters.files.noise import digits_of
from adapters.files.tables import Table, open_table
from adapters.files.times import MIXED, TimeReader
from engine.errors import NumberError, UsageError

__all__ = ["find_layout"]

_SAMPLE_ROWS: Final = 50
_INDEX_NAMES: Final = ("", "unnamed:_0", "__index_level_0__")


_BILLIONTHS: Final = 9


def find_layout(
    path: Path,
    mapping: Mapping[str, str] | None = None,
    *,
    name: str | None = None,
    turned: bool = False,
    kind: str | None = None,
    rates: str | None = None,
) -> Layout:
    """Return the layout of a data file. Raises UsageError when it is none that can be read.

    `mapping`: see `columns.lay_out`. `name`, one of LAYOUT_NAMES, forces a layout, `kind` what a file that is
    read by its columns holds. `turned` swaps buyers and sellers of what the layout says. `rates`, one of
    RATE_UNITS, is the unit of funding rates.
    """
    if name is not None and name not in LAYOUT_NAMES:
        raise UsageError(f"--layout {name[:40]!r} is not known; known: {' '.join(LAYOUT_NAMES)}")
    given = dict(mapping or {})
    unknown = [role for role in given if role not in ROLES]
    if unknown:
        raise UsageError(f"--columns: {unknown[0]!r} is not a role of a column; known: {' '.join(ROLES)}")
    if name in LAYOUTS:
        raise UsageError(f"{path}: --layout {name}: its lines are not messages with times of receipt")
    with closing(open_table(path)) as table:
        layout = _Finder(path, table, given, name, kind).find()
    layout = _with_rates(path, layout, rates)
    if not turned:
        return layout
    if "side" not in layout.at and "maker" not in layout.at:
        raise UsageError(f"{path}: --turn-sides: no column of sides is read")
    note = "buyers and sellers are swapped, as --turn-sides says"
    return msgspec.structs.replace(layout, turned=not layout.turned, notes=(*layout.notes, note))


class _Finder:
    """Finds the layout of one open file."""

    def __init__(
        self, path: Path, table: Table, given: dict[str, str], forced: str | None, kind: str | None
    ) -> None:
        self._path = path
        self._kind = kind
        self._table = table
        self._given = given
        self._forced = forced
        self._first = table.first
        self._headed = table.headed or not holds_data(table.first)
        self._names = [plain_name(cell) for cell in table.first]

    def find(self) -> Layout:
        if self._forced == BY_COLUMNS:
            return self._by_columns()
        if self._forced is not None:
            known = next(one for one in ALL_KNOWN if one.name == self._forced)
            self._check_forced(known)
            return self._of(known)
        if self._headed:
            known_by_names = next((one for one in ALL_KNOWN if self._has_names(one)), None)
            if known_by_names is not None and self._kind not in (None, known_by_names.kind):
                known_by_names = None
            return self._of(known_by_names) if known_by_names is not None else self._by_columns()
        rows = self._sample(range(len(self._first)))
        fitting = next((one for one in KNOWN if self._fits(one, rows)), None)
        if fitting is not None:
            self._check_mapping(fitting)
            return self._of(fitting)
        if not self._given:
            all_known = ", ".join(f"{one.name} ({_widths(one)})" for one in KNOWN if one.widths)
            raise UsageError(
                f"{self._path}: the first line is data, not column names, and its {len(self._first)} columns "
                f"({list_names(self._first)}) fit no known layout: {all_known}; {HOW_TO_NAME}"
            )
        return self._by_columns()

    # How a known layout is recognised.

    def _has_names(self, known: Known) -> bool:
        needs = set(known.needs)
        if known.name == "cryptodatadownload" and "cryptodatadownload" in self._table.address.lower():
            needs -= {"unix"}
        return bool(needs) and needs <= set(self._names) and not (known.exact and needs != set(self._names))

    def _fits(self, known: Known, rows: list[Sequence[str]]) -> bool:
        """Return whether the first rows look like a layout without names.

        Most of them are enough: the reading refuses a row that is damaged, and names its line.
        """
        if len(self._first) not in known.widths or (known.arrays and not self._table.rows_are_arrays):
            return False
        return 2 * sum(_misfit(known, row) is None for row in rows) > len(rows)

    def _sample(self, at: Sequence[int]) -> list[Sequence[str]]:
        """Return these columns of the first rows, as far as they can be read; not empty rows."""
        with closing(open_table(self._path)) as table:
            where, width, rows = table.rows(list(at), header=self._headed)
            found: list[Sequence[str]] = []
            try:
                for row in islice(rows, _SAMPLE_ROWS):
                    if len(row) != width:
                        if row:
                            break
                        continue
                    found.append([row[position] for position in where])
            except UsageError:
                pass  # the import itself refuses that row
        return found

    def _check_forced(self, known: Known) -> None:
        if self._headed:
            missing = [name for name in known.needs if name not in self._names]
            if missing == ["unix"] and known.name == "cryptodatadownload":
                missing = []
            if missing or not known.needs:
                what = f"has no column {missing[0]!r}" if missing else "has names of columns"
                raise UsageError(
                    f"{self._path}: --layout {known.name}: the file {what} ({list_names(self._first)})"
                )
            return
        if len(self._first) not in known.widths:
            expected = _widths(known) or "named"
            raise UsageError(
                f"{self._path}: --layout {known.name}: needs {expected} columns, the file has "
                f"{len(self._first)} ({list_names(self._first)})"
            )
        misfit = _misfit(known, self._first)
        if misfit is not None:
            raise UsageError(f"{self._path}: --layout {known.name}: {misfit}")

    def _check_mapping(self, known: Known) -> None:
        """Refuse positions that contradict what the shape of the rows says."""
        names = [name for name, _ in known.columns]
        for role, wanted in self._given.items():
            if wanted.isascii() and wanted.isdigit() and len(wanted) < 6 and int(wanted) < len(names):
                meant = known.roles.get(role)
                if meant != names[int(wanted)]:
                    raise UsageError(
                        f"{self._path}: --columns {role}={wanted}: the rows are {known.title} "
                        f"({known.name}), where column {wanted} is {names[int(wanted)]}; leave --columns "
                        f"out, or add --layout {BY_COLUMNS} if they are not"
                    )

    # What a file is read as.

    def _by_columns(self) -> Layout:
        mapping = dict(self._given)
        notes: list[str] = []
        if self._headed and "time" not in mapping:
            index = self._index()
            if index is not None:
                mapping["time"] = str(index)
                notes.append("the column without a name is read as the time: the index of a data frame")
        layout = lay_out(
            self._first, mapping, file=str(self._path), headed=self._table.headed, kind=self._kind
        )
        named = (*NEEDS[layout.kind], *OPTIONAL[layout.kind])
        read = ", ".join(
            f"{role}={name or layout.at[role]}" for role, name in layout.names.items() if role in named
        )
        if layout.kind == BOOKS:
            counts = (sum(1 for role in layout.at if role.startswith(side)) // 2 for side in ("bid", "ask"))
            read += ", levels of bids and asks: {} and {}".format(*counts)
        return msgspec.structs.replace(layout, notes=(f"{layout.kind} by their columns: {read}", *notes))

    def _index(self) -> int | None:
        """Return the position of a data frame's index of times that has no name."""
        try:
            lay_out(self._first, {}, file="", headed=True, kind=self._kind)
        except UsageError:
            pass
        else:
            return None  # another column is the time
        unnamed = [at for at, name in enumerate(self._names) if name in _INDEX_NAMES]
        if len(unnamed) != 1:
            return None
        unit = self._table.time_unit(unnamed[0])
        times = TimeReader(unit)
        rows = self._sample(unnamed)
        try:
            read = [times.read(row[0]) for row in rows]
        except NumberError:
            return None
        return unnamed[0] if read else None

    def _of(self, known: Known) -> Layout:
        roles = dict(known.roles)
        if not self._headed:
            names = [name for name, _ in known.columns[: len(self._first)]]
        else:
            names = self._names
        if known.name == "cryptodatadownload":
            roles |= self._of_download()
        positions = {role: names.index(name) for role, name in roles.items() if name in names}
        beside = {role: positions.pop(role) for role in ("until", "action", "span") if role in positions}
        left_out = {role: "" for role in OPTIONAL[known.kind] if role not in positions}
        mapping = {**left_out, **{role: str(at) for role, at in positions.items()}, **self._given}
        if self._given.get("side"):
            mapping.pop("maker", None)
        if self._given.get("maker"):
            mapping.pop("side", None)
        layout = lay_out(
            self._first, mapping, file=str(self._path), headed=self._table.headed, kind=known.kind
        )
        says = f"; {known.says}" if known.says else ""
        shift = self._shift(known, layout)
        return msgspec.structs.replace(
            layout,
            at={**layout.at, **beside},
            name=known.name,
            unit=_unit(known) if roles["time"] == known.roles["time"] else None,
            shift=shift,
            turned=known.turned,
            silence=known.silence,
            sorts=known.sorts,
            rates=known.rates,
            notes=(f"recognised as {known.title} ({known.name}){says}",),
        )

    def _of_download(self) -> dict[str, str]:
        """Return the roles that differ between files of cryptodatadownload: the time, the volume."""
        volumes = [name for name in self._names if name.startswith("volume_") or name == "volume"]
        roles = {} if "unix" in self._names else {"time": "date"}
        rows = self._sample([self._names.index("symbol")])
        symbol = plain_name(rows[0][0]).replace("/", "") if rows else ""
        base = [name for name in volumes if symbol.startswith(name.removeprefix("volume_"))]
        if len(volumes) > 1 and len(base) != 1 and "volume" not in self._given:
            raise UsageError(
                f"{self._path}: which of {', '.join(volumes)} is in units of the instrument? "
                "Choose with --columns volume=NAME"
            )
        return {**roles, "volume": (base or volumes or ["volume"])[0]}

    def _shift(self, known: Known, layout: Layout) -> int:
        """Return 9 for Databento's raw prices, which are integers of 1e-9; 0 for prices in decimals."""
        if not known.name.startswith("databento"):
            return 0
        prices = [layout.at[role] for role in ("price", "open", "high", "low", "close") if role in layout.at]
        cells = [cell for row in self._sample(prices) for cell in row]
        return _BILLIONTHS if cells and all(cell.isdigit() for cell in cells) else 0


def _with_rates(path: Path, layout: Layout, rates: str | None) -> Layout:
    """Return the layout with the unit of its funding rates. Raises UsageError if none is known, or two
    are."""
    units = ", ".join(RATE_UNITS)
    if layout.kind != FUNDING:
        if rates is not None:
            raise UsageError(f"{path}: --funding-unit: it holds {layout.kind}, not funding rates")
        return layout
    if layout.rates and rates not in (None, layout.rates):
        raise UsageError(
            f"{path}: --funding-unit {rates}: rates of {layout.name} are given as a {layout.rates}; "
            f"add --layout {BY_COLUMNS} if they are not"
        )
    unit = layout.rates or rates
    if unit is None:
        raise UsageError(
            f"{path}: a funding rate of 0.01 may be a fraction, one percent, or money for one unit of the "
            f"instrument, and the file does not say which; give --funding-unit {units.replace(', ', ' or ')}"
        )
    return msgspec.structs.replace(layout, rates=unit)


def _misfit(known: Known, row: Sequence[str]) -> str | None:
    """Return what does not fit a layout without names in a row, None if all does."""
    for at, ((name, kind), cell) in enumerate(zip(known.columns, row, strict=False)):
        if kind == "x":
            continue
        if kind == "b":
            if cell.strip().lower() not in ("true", "false"):
                return f"column {at} ({name}) is {cell[:40]!r}, not true or false"
            continue
        found = digits_of(cell.strip())
        if found is None or (kind == "i" and found[1]):
            return f"column {at} ({name}) is {cell[:40]!r}, not a {'whole ' if kind == 'i' else ''}number"
        if kind == "t" and _unit_of(cell) not in known.units:
            return f"column {at} ({name}) is {cell[:40]!r}, not a time in {' or '.join(known.units)}"
    return None


def _unit_of(cell: str) -> str | None:
    times = TimeReader()
    try:
        times.read(cell)
    except NumberError:
        return None
    return times.unit


def _unit(known: Known) -> str | None:
    """Return the unit of a layout's times, None to decide by the first."""
    if len(known.units) > 1:
        return MIXED
    return known.units[0] if known.units else None


def _widths(known: Known) -> str:
    return " or ".join(map(str, known.widths))
