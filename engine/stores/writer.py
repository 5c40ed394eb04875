"""Writes the records of one journal to a store, with the checks that every store needs.

Owns the steps of a batch: read the cursor, skip records up to it, refuse records that do not follow it, make
rows, write them with the new cursor. Promises that a record applied twice changes nothing, that no record is
left out, and that an error names the record that cannot become a row. Called by the runtime's projector (in a
worker thread, one call at a time) and by `catchup.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import msgspec

from engine.events import SessionStarted
from engine.events.codec import Record
from engine.stores.errors import RowFailed, StoreError, StoreForeign, StoreOutOfStep, first_line
from engine.stores.rows.builder import RowBuilder
from engine.stores.rows.units import Listing
from engine.stores.store import Cursor, Rows, Store

__all__ = ["StoreWriter"]


class StoreWriter:
    """The one writer of a store. `journal_id` is the id of the journal (16 bytes).

    The first call opens the store. After an error the store is closed; the next call opens it again.
    """

    def __init__(self, store: Store, journal_id: bytes) -> None:
        self.store = store
        self.journal_id = journal_id
        self._cursor: Cursor | None = None
        self._instruments: dict[int, Listing] = {}
        self._stale = True

    @property
    def seq(self) -> int:
        """Seq of the last record whose rows are written, as last read; 0 when there is none."""
        return self._cursor.seq if self._cursor else 0

    @property
    def digest(self) -> bytes:
        """Chain digest of the journal at `seq`; empty when there is none."""
        return self._cursor.digest if self._cursor else b""

    def read_cursor(self) -> int:
        """Read the store's cursor, and return its seq.

        Raises StoreUnavailable, StoreForeign when the rows are those of another journal, StoreOutOfStep when
        they have other tables.
        """
        try:
            with self.store.transaction():
                self._load()
        except BaseException:
            self._give_up()
            raise
        return self.seq

    def apply(self, records: Iterable[Record], *, seq: int, digest: bytes) -> int:
        """Write the rows of whole frames and move the cursor to `seq`. Return how many records were new.

        `records` are all records of the frames by rising seq, `seq` is that of the last one, `digest` the
        chain digest there. Records up to the cursor are skipped.

        Raises StoreUnavailable (see its `reason`), StoreOutOfStep when records are missing between the cursor
        and these or the journal is not the one the rows come from, and RowFailed, which names the record that
        cannot become a row. The cursor has not moved then.
        """
        batch = records if isinstance(records, list) else list(records)
        try:
            return self._apply(batch, Cursor(self.journal_id, seq, digest))
        except BaseException:
            self._give_up()
            raise

    def close(self) -> None:
        """Close the store; a second call does nothing. A later `apply` opens it again."""
        self.store.close()

    def __enter__(self) -> StoreWriter:
        self.read_cursor()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _apply(self, batch: list[Record], after: Cursor) -> int:
        new: list[Record] = []
        try:
            with self.store.transaction():
                self._load()
                new = self._new_records(batch, after)
                if new:
                    after = msgspec.structs.replace(after, epoch=self._epoch_of(new))
                    self.store.write(self._rows_of(new, self._instruments), after)
        except StoreError:
            raise
        except Exception as error:
            if not new:
                raise
            fault = error
        else:
            if new:
                self._cursor = after
            return len(new)
        raise self._blame(new, fault) from fault

    def _load(self) -> None:
        """Read the cursor, and the instruments if the cursor is not where this writer left it."""
        cursor = self.store.cursor()
        if cursor == self._cursor and not self._stale:
            return
        if cursor is not None and cursor.journal_id != self.journal_id:
            raise StoreForeign(
                f"{self.store.place}: its rows come from another journal ({cursor.journal_id.hex()}); "
                f"{self.store.remedy}"
            )
        self._instruments = self._listed()
        self._cursor = cursor
        self._stale = False

    def _new_records(self, batch: list[Record], after: Cursor) -> list[Record]:
        """Return the records beyond the cursor, which must follow it without a gap up to `after`."""
        if not self.seq:
            first = batch[0][0] if batch else 1
        else:
            if after.seq == self.seq and after.digest != self.digest:
                raise self._out_of_step(f"its rows end at seq {self.seq} of another state of the journal")
            if after.seq <= self.seq:
                return []
            first = self.seq + 1
        new = [record for record in batch if record[0] >= first]
        for expected, record in enumerate(new, first):
            if record[0] != expected:
                raise self._missing(expected, record[0] - 1)
        if first + len(new) - 1 != after.seq:
            raise self._missing(first + len(new), after.seq)
        return new

    def _epoch_of(self, records: list[Record]) -> int:
        """Return the epoch of the newest opening: epochs rise along a journal.

        Raises StoreForeign when these records are of an older opening than the rows: of an engine that
        another one has replaced.
        """
        before = self._cursor.epoch if self._cursor else 0
        opened = [event.epoch for _, _, event in records if isinstance(event, SessionStarted)]
        if opened and opened[0] < before:
            raise StoreForeign(
                f"{self.store.place}: its rows are of a later opening of the journal (epoch {before}, not "
                f"{opened[0]}); {self.store.remedy}"
            )
        return max([before, *opened])

    def _rows_of(self, records: list[Record], known: dict[int, Listing]) -> Rows:
        builder = RowBuilder(known, self.store)
        for seq, cause, event in records:
            builder.add(seq, cause, event)
        return builder.rows()

    def _listed(self) -> dict[int, Listing]:
        listings = (Listing.of_row(row, self.store.number) for row in self.store.instruments())
        return {listing.named[1]: listing for listing in listings}

    def _blame(self, records: list[Record], fault: Exception) -> RowFailed:
        """Find the record that cannot become a row, trying one at a time; the tries are undone."""
        culprit = records[0]
        with suppress(_Undo), self.store.transaction():
            known = self._listed()
            for record in records:
                culprit = record
                try:
                    self.store.write(self._rows_of([record], known), None)
                except StoreError:
                    raise
                except Exception as error:
                    fault = error
                    break
            raise _Undo
        seq, _, event = culprit
        name = type(event).__name__
        return RowFailed(
            f"{self.store.place}: the {name} at seq {seq} cannot be made into a row: {first_line(fault)}; "
            "the store stays at the record before it",
            seq=seq,
            event_type=name,
        )

    def _give_up(self) -> None:
        self._stale = True
        with suppress(StoreError):
            self.store.close()

    def _missing(self, first: int, last: int) -> StoreOutOfStep:
        return self._out_of_step(f"seq {first} to {last} are missing from the records to be written")

    def _out_of_step(self, what: str) -> StoreOutOfStep:
        return StoreOutOfStep(f"{self.store.place}: {what}; {self.store.remedy}")


class _Undo(Exception):
    """Ends a transaction without keeping any of it."""
