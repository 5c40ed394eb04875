"""Part files of a table: each is replaced as a whole, so a reader never sees half of one.

    DIR/trades/day=2024-12-05/000001.parquet   rows of one UTC day
    DIR/positions/000001.parquet               a table without days

A part is written under another name, synced, and renamed over the old one. Called by `store.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from engine.stores.errors import StoreUnavailable

__all__ = ["part_path", "parts_in", "read_part", "replace_part", "replaced_rows"]

_PART: Final = re.compile(r"[0-9]{6}\.parquet")
_FOLDER: Final = re.compile(r"day=[0-9]{4}-[0-9]{2}-[0-9]{2}")


def part_path(root: Path, table: str, day: str, part: int) -> Path:
    """Return the path of a part; `day` is empty for a table without days."""
    return (root / table / f"day={day}" if day else root / table) / f"{part:06}.parquet"


def parts_in(root: Path, tables: frozenset[str]) -> Iterator[Path]:
    """Yield every file that may be a part of one of these tables."""
    for table in sorted(tables):
        for folder in [root / table, *sorted((root / table).glob("day=*"))]:
            if folder.is_dir() and (folder.name == table or _FOLDER.fullmatch(folder.name)):
                yield from sorted(path for path in folder.iterdir() if _PART.fullmatch(path.name))


def read_part(path: Path, rows: int) -> pa.Table:
    """Return the first `rows` rows of a part: others were written before a crash, and come again."""
    try:
        table = pq.ParquetFile(path, memory_map=False).read()
    except FileNotFoundError:
        raise StoreUnavailable(
            f"{path}: was deleted; the store is made again from the journal", reason="deleted"
        ) from None
    except pa.ArrowException as error:
        raise StoreUnavailable(
            f"{path}: is not readable ({error}); the store is made again from the journal", reason="corrupt"
        ) from error
    if table.num_rows < rows:
        raise StoreUnavailable(
            f"{path}: has {table.num_rows} rows, not {rows}; the store is made again from the journal",
            reason="corrupt",
        )
    return table.slice(0, rows)


def replaced_rows(table: pa.Table, at: dict[int, int], rows: pa.Table) -> pa.Table:
    """Return a table in which rows are replaced: `at` has for a place the number of its new row."""
    order = list(range(table.num_rows))
    for place, number in at.items():
        order[place] = table.num_rows + number
    return pa.concat_tables([table, rows]).take(order).combine_chunks()


def replace_part(path: Path, table: pa.Table) -> None:
    """Write a part and sync it, in place of the one that is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.new")
    with scratch.open("wb") as file:
        pq.write_table(table, file, compression="zstd")
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
