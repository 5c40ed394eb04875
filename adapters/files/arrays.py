"""JSON arrays as rows of text cells: an array of arrays or of objects, or one array on each line.

Promises: memory does not grow with the file, also where all of it is one line; numbers keep their exact text.
Rows count as lines from 1. Called by `tables`.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Final

from adapters.files.packed import DAMAGES, Packed
from engine.errors import ImportRefused

__all__ = ["ArrayTable", "json_decoder", "plain_cell"]

_ROW_CHARACTERS_MAX: Final = 1024 * 1024
_SPACE: Final = " \t\r\n"


class ArrayTable:
    """The elements of JSON arrays. `headed` when they are objects: then `first` has the keys of the first."""

    address = ""

    def __init__(self, packed: Packed) -> None:
        self._packed = packed
        self.place = packed.place(packed.members[0])
        self.line = 0
        try:
            self._values = self._read()
            self._first = next(self._values, None)
            if self._first is None:
                raise ImportRefused(self.place, 1, "the file is empty: an array without elements")
            self.headed = isinstance(self._first, dict)
            self.rows_are_arrays = not self.headed
            if isinstance(self._first, dict):
                self.first: tuple[str, ...] = tuple(self._first)
            else:
                self.first = self._cells(self._first)
        except BaseException:
            packed.close()
            raise

    def rows(
        self, at: Sequence[int], *, header: bool
    ) -> tuple[tuple[int, ...], int, Iterator[Sequence[str]]]:
        values = chain([self._first], self._values)
        if self.headed:
            keys = [self.first[position] for position in at]
            return tuple(range(len(keys))), len(keys), (self._picked(value, keys) for value in values)
        return tuple(at), len(self.first), (self._cells(value) for value in values)

    def time_unit(self, at: int) -> str | None:
        return None

    def bytes_read(self) -> int:
        return self._packed.bytes_read()

    def close(self) -> None:
        self._packed.close()

    def _picked(self, value: Any, keys: list[str]) -> list[str]:
        if not isinstance(value, dict):
            raise ImportRefused(self.place, self.line, "not a JSON object, as the rows before are")
        try:
            return [plain_cell(repr(key), value.get(key)) for key in keys]
        except ValueError as error:
            raise ImportRefused(self.place, self.line, str(error)) from None

    def _cells(self, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise ImportRefused(self.place, max(1, self.line), "not a JSON array, as the rows before are")
        try:
            return tuple(plain_cell(f"value {at}", cell) for at, cell in enumerate(value))
        except ValueError as error:
            raise ImportRefused(self.place, max(1, self.line), str(error)) from None

    def _read(self) -> Iterator[Any]:
        for member in self._packed.members:
            self.place = self._packed.place(member)
            self.line = 0
            yield from _Scanner(self, self._packed.blocks(member)).elements()


class _Scanner:
    """Takes values out of text that comes in blocks."""

    def __init__(self, table: ArrayTable, blocks: Iterator[bytes]) -> None:
        self._table = table
        self._blocks = blocks
        self._text = ""
        self._at = 0
        self._ended = False
        self._decode = json_decoder().raw_decode
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")()

    def elements(self) -> Iterator[Any]:
        """Yield the elements of one array of arrays or objects, or of each line's array."""
        opened = self._next() == "["
        if opened:
            self._at += 1
            mark = self._next()
            if mark == "]":
                return
            if mark not in ("[", "{"):
                opened = False
                self._text = "[" + self._text[self._at :]
                self._at = 0
        if not opened:
            while self._next():
                yield self._value()
            return
        while True:
            yield self._value()
            mark = self._next()
            self._at += 1
            if mark == "]":
                break
            if mark != ",":
                raise self._refused(
                    f"not JSON: {mark!r} after an element" if mark else "the array has no end"
                )
            self._next()
        if self._next():
            raise self._refused("not JSON: more text after the array")

    def _value(self) -> Any:
        self._table.line += 1
        while True:
            try:
                value, self._at = self._decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if len(self._text) - self._at > _ROW_CHARACTERS_MAX:
                    raise self._refused("an element of more than 1048576 characters, or not JSON") from None
                if not self._more():
                    raise self._refused(f"not JSON: {error.msg}") from None
            except RecursionError:
                raise self._refused("JSON nested too deep") from None
            except ValueError as error:
                raise self._refused(str(error)) from None
            else:
                if not isinstance(value, dict | list):
                    raise self._refused("not a JSON array or object")
                return value

    def _next(self) -> str:
        """Return the next character that is not space, "" at the end; move to it."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _SPACE:
                    return self._text[self._at]
                self._at += 1
            if not self._more():
                return ""

    def _more(self) -> bool:
        """Read another block; return whether there was one."""
        if self._ended:
            return False
        try:
            block = next(self._blocks, b"")
            text = self._utf8.decode(block, final=not block)
        except UnicodeDecodeError:
            raise self._refused("not UTF-8 text; save the file as UTF-8") from None
        except DAMAGES as error:
            raise self._refused(f"the file is cut short or damaged here ({error})") from error
        self._ended = not block
        self._text = self._text[self._at :] + text
        self._at = 0
        return not self._ended

    def _refused(self, reason: str) -> ImportRefused:
        return ImportRefused(self._table.place, max(1, self._table.line), reason)


def json_decoder() -> json.JSONDecoder:
    """Return a decoder that keeps the exact text of numbers and refuses a key that is given twice."""
    return json.JSONDecoder(
        object_pairs_hook=_unique, parse_float=str, parse_int=str, parse_constant=_no_constant
    )


def plain_cell(name: str, cell: object) -> str:
    """Return a value of JSON as a cell. Raises ValueError for one that is not plain."""
    if isinstance(cell, str):
        return cell
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    raise ValueError(f"{name} is a {type(cell).__name__}, not a plain value")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice[:40]!r} is given twice")
    return found


def _no_constant(text: str) -> str:
    raise ValueError(f"{text} is not a number")
