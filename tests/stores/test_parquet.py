"""The store in Parquet files: the promises of every store, exact values, whole files, other tools."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engine.stores.parquet.store import ParquetStore
from engine.stores.rows.tables import TABLES
from engine.stores.store import Store

from .store_contract import Content, StoreContract, killed_process

NEVER_CHANGED = tuple(table for table, shape in TABLES.items() if shape.pk == "seq")
MODULES = tuple(f"engine.stores.parquet.{name}" for name in ("store", "state", "parts"))
DECIMALS = 12  # the drawn amounts need more digits before the point than markets do


class TestParquet(StoreContract):
    """Every batch goes to files at once."""

    appends = NEVER_CHANGED
    flush_s = 0.0

    def make(self, place: Path) -> Store:
        return ParquetStore(place, decimals=DECIMALS, flush_s=self.flush_s, busy_s=0.05)

    def content(self, place: Path) -> Content:
        store = ParquetStore(place, decimals=DECIMALS)
        with store.transaction():
            pass
        store.close()
        found = list(store.dump_rows())
        return sorted(found, key=lambda one: (one[0], [str(one[1][key]) for key in TABLES[one[0]].key]))

    def killed(self, step: int, work: Callable[[], None], place: Path) -> bool:
        return killed_process(step, work, *MODULES)


class TestParquetThatWaits(TestParquet):
    """Rows wait in the state, and go to files when the store is closed."""

    flush_s = 3600.0
