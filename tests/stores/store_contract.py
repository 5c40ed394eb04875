"""What every store promises, as tests. A test module has a subclass for each kind of store.

A subclass makes a store at a place, a folder of the test, and reads everything that is stored there.
"""

from __future__ import annotations

import os
import shutil
import sys
import traceback
import warnings
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st

from engine.commands.stores import make_projector
from engine.errors import JournalDamaged, JournalVersionError
from engine.events import (
    BarClosed,
    BarCorrected,
    EquityMarked,
    Event,
    InstrumentListed,
    OrderAccepted,
    OrderChanged,
    OrderFilled,
    OrderTerms,
    PositionChanged,
    SessionStarted,
    SessionStopped,
    SubmitOrder,
    TimerFired,
)
from engine.events.codec import Record
from engine.journal import Frame
from engine.stores.catchup import catch_up, rebuild
from engine.stores.checking import Checkable
from engine.stores.errors import RowFailed, StoreForeign, StoreOutdated, StoreOutOfStep, StoreUnavailable
from engine.stores.rows.tables import TABLES
from engine.stores.store import Cursor, Store
from engine.stores.writer import StoreWriter
from tests.profiles import examples, pick

from .record_streams import (
    BTC,
    JOURNAL_ID,
    KPEPE,
    MINUTE_NS,
    ORDER,
    T,
    corrected_in_one_batch,
    digest_at,
    filled_before_and_after,
    frames_of,
    reader_of,
    record_streams,
)
from .test_rebuild import written_days

Content = list[tuple[str, dict[str, Any]]]
"""(table, row) of everything that is stored, in an order that depends on the rows alone."""


def bar(seq: int, minute: int, price: int, instrument: int = 1, revision: int = 0) -> Record:
    kind = BarCorrected if revision else BarClosed
    start = T + minute * MINUTE_NS
    event = kind(T, instrument, MINUTE_NS, start, price, price, price, price, 5, 1, "trade", revision)
    return seq, seq - 1, event


def fill(seq: int, trade_id: int, price: int = 4305997) -> Record:
    return seq, 0, OrderFilled(T + seq, T, ORDER, 1, 1, price, 100_000, 12_000, "taker", trade_id)


def a_day() -> list[Record]:
    """A day in which later records change the rows of earlier ones in every way there is."""
    relisted = InstrumentListed(T, 1, "hyperliquid", "BTC", 4, 5)
    return [
        (1, 0, BTC),
        (2, 0, KPEPE),
        (3, 0, SessionStarted(T, "a" * 16, "paper", "0.1.0", "s", "c", (("ema", "mine:Ema", "x"),), "{}")),
        bar(4, 0, 4305997),
        (5, 4, SubmitOrder(T, ORDER, "ema", 1, OrderTerms(1, 900_000, 4306000))),
        (6, 0, OrderAccepted(T, T, ORDER, 7)),
        fill(7, 1),
        fill(8, 1),
        fill(9, 0),
        (10, 9, OrderChanged(T, ORDER, "ema", 1, "PartiallyFilled", 200_000, 700_000)),
        bar(11, 1, 4305998),
        (12, 0, relisted),
        bar(13, 2, 430599900),
        bar(14, 1, 430599800, revision=1),
        fill(15, 2, 430599900),
        fill(16, 1),
        (17, 16, PositionChanged(T, "ema", 1, 300_000, "12917994", 0, 36_000)),
        (18, 17, EquityMarked(T, 2, 0, 150, 20, 1_000_130)),
        bar(19, 0, 1234567, instrument=2),
        (20, 0, OrderChanged(T, ORDER, "ema", 1, "Filled", 900_000, 0)),
        bar(21, 1, 430599700, revision=1),
        (22, 0, SessionStopped(T + 9, "a" * 16, "SIGINT")),
    ]


class Unheard(Event, frozen=True, tag="unheard-of"):
    """An event that the stores do not know."""

    at_ns: int


class StoreContract(ABC):
    """The tests. `appends` are the tables whose rows never change once they are written."""

    appends: tuple[str, ...]

    @abstractmethod
    def make(self, place: Path) -> Store:
        """Return a new store object for the store at a place."""

    @abstractmethod
    def content(self, place: Path) -> Content:
        """Return everything that is stored at a place."""

    @abstractmethod
    def killed(self, step: int, work: Callable[[], None], place: Path) -> bool:
        """Do work in an engine that is killed before a step of the store; return whether it was."""

    def age(self, place: Path) -> None:
        """Make what is stored that of an earlier version, which had no column `fees` of position_changes."""
        raise NotImplementedError

    def written(self, place: Path, records: list[Record], size: int = 50) -> Content:
        """Write records live, frame by frame, and return what is stored then."""
        writer = StoreWriter(self.make(place), JOURNAL_ID)
        for frame in frames_of(records, size):
            part = [one for one in records if frame.first_seq <= one[0] <= frame.last_seq]
            writer.apply(part, seq=frame.last_seq, digest=frame.digest)
        writer.close()
        return self.content(place)

    def caught_up(self, place: Path, frames: list[Frame]) -> int:
        with StoreWriter(self.make(place), JOURNAL_ID) as writer:
            return catch_up(writer, frames)

    # The same rows, however they came.

    @examples(0.5, suppress_health_check=[HealthCheck.differing_executors])
    @given(records=record_streams(), size=st.integers(1, 9), cut=st.integers(0, 42))
    @example(records=corrected_in_one_batch(), size=9, cut=0)
    @example(records=filled_before_and_after(), size=3, cut=0)
    @example(records=filled_before_and_after(), size=5, cut=1)
    def test_live_caught_up_and_rebuilt_rows_are_the_same(
        self, tmp_path_factory: pytest.TempPathFactory, records: list[Record], size: int, cut: int
    ) -> None:
        live, late, again = (tmp_path_factory.mktemp(name) for name in ("live", "late", "again"))
        expected = self.written(live, records, size)
        frames = frames_of(records, size)
        for end in (min(cut, len(frames)), len(frames)):
            self.caught_up(late, frames[:end]) if end else None
        assert self.content(late) == expected
        read = reader_of({"one": frames[: len(frames) // 2], "two": frames[len(frames) // 2 :]})
        assert rebuild(self.make(again), [Path("one"), Path("two")], read=read) == records[-1][0]
        assert self.content(again) == expected
        rebuild(self.make(live), [Path("one"), Path("two")], read=read)
        assert self.content(live) == expected
        assert self.make(live).witness() == self.make(again).witness() == self.make(late).witness()

    def test_repeated_records_change_nothing(self, tmp_path: Path) -> None:
        records = a_day()
        expected = self.written(tmp_path, records)
        with StoreWriter(self.make(tmp_path), JOURNAL_ID) as writer:
            assert writer.seq == 22
            for end in (22, 9, 1):
                frame = frames_of(records[:end], 50)[-1]
                assert writer.apply(records[:end], seq=frame.last_seq, digest=frame.digest) == 0
        assert self.content(tmp_path) == expected

    def test_killed_at_every_step_each_row_is_there_once(self, tmp_path: Path) -> None:
        """After each kill the rows up to the cursor are there; then other batches bring all rows.

        By default at every other step.
        """
        records = a_day()
        expected = self.written(tmp_path / "whole", records, 6)
        steps = 0
        while True:
            place = tmp_path / str(steps)
            self.written(place, records[:6], 6)

            def work(place: Path = place) -> None:
                self.caught_up(place, frames_of(records, 6))

            steps += pick(2, deep=1)
            if not self.killed(steps, work, place):
                break
            cursor = self.make(place).witness()
            assert cursor is not None
            stored = self.content(place) if cursor.seq else []
            for table, row in expected:
                if table in self.appends and row["seq"] <= cursor.seq:
                    assert (table, row) in stored, steps
            frames = frames_of(records, 6)
            for end in range(2, len(frames) + 1):
                if frames[end - 1].last_seq > cursor.seq:
                    self.caught_up(place, frames[:end])
            assert self.content(place) == expected, steps
        assert self.content(place) == expected
        assert steps > 5

    def test_a_store_that_is_opened_again_continues(self, tmp_path: Path) -> None:
        records = a_day()
        expected = self.written(tmp_path / "whole", records, 1)
        for frame in frames_of(records, 1):
            with StoreWriter(self.make(tmp_path / "parts"), JOURNAL_ID) as writer:
                assert writer.seq == frame.last_seq - 1
                part = [records[frame.last_seq - 1]]
                assert writer.apply(part, seq=frame.last_seq, digest=frame.digest) == 1
        assert self.content(tmp_path / "parts") == expected

    # What does not belong together.

    def test_rows_of_another_journal_are_refused_and_unchanged(self, tmp_path: Path) -> None:
        expected = self.written(tmp_path, a_day())
        with pytest.raises(StoreForeign, match="another journal"):
            StoreWriter(self.make(tmp_path), bytes(16)).read_cursor()
        assert self.content(tmp_path) == expected

    def test_rows_of_another_state_of_the_journal_are_refused_until_rebuilt(self, tmp_path: Path) -> None:
        other = [(seq, cause and max(1, cause - 1), event) for seq, cause, event in a_day()]
        self.written(tmp_path / "store", a_day(), 2)
        expected = self.written(tmp_path / "other", other, 2)
        frames = frames_of(other, 2)
        with pytest.raises(StoreOutOfStep, match="another state"):
            self.caught_up(tmp_path / "store", frames)
        with pytest.raises(StoreOutOfStep, match="the journal ends at 8"):
            self.caught_up(tmp_path / "store", frames[:4])
        longer = [*a_day(), (23, 0, TimerFired(T, "ema", "x"))]
        with pytest.raises(StoreOutOfStep, match="within a frame"):
            self.caught_up(tmp_path / "store", frames_of(longer, 3))
        rebuild(self.make(tmp_path / "store"), [Path("day")], read=reader_of({"day": frames}))
        assert self.content(tmp_path / "store") == expected

    def test_a_session_makes_the_rows_of_an_earlier_version_again_if_all_days_are_there(
        self, tmp_path: Path
    ) -> None:
        records = a_day()
        root, store = tmp_path / "journal", tmp_path / "store"
        written_days(root, records)
        expected = self.written(store, records, 2)
        self.age(store)
        with pytest.raises(StoreOutdated, match="rebuild"):
            StoreWriter(self.make(store), JOURNAL_ID).read_cursor()
        projector = make_projector(root, self.make(store), JOURNAL_ID, 22)
        trio.run(projector.flush)
        projector.close()
        assert self.content(store) == expected
        witness = self.make(store).witness()
        assert witness is not None
        assert witness.seq == 22

        self.age(store)
        shutil.rmtree(root / "2024-12-05")
        projector = make_projector(root, self.make(store), JOURNAL_ID, 22)
        with pytest.raises(StoreOutdated):
            trio.run(projector.flush)
        projector.close()

    def test_missing_records_are_refused(self, tmp_path: Path) -> None:
        records = a_day()
        expected = self.written(tmp_path, records[:6])
        with StoreWriter(self.make(tmp_path), JOURNAL_ID) as writer:
            for part, seq in (
                (records[7:], 22),
                ([*records[6:9], records[10]], 11),
                (records[6:20], 22),
                ([], 9),
            ):
                with pytest.raises(StoreOutOfStep, match="missing"):
                    writer.apply(part, seq=seq, digest=digest_at(seq))
        assert self.content(tmp_path) == expected

    def test_a_damaged_journal_moves_no_cursor_past_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("engine.stores.catchup.BATCH_RECORDS", 4)
        frames = frames_of(a_day(), 2)
        expected = self.written(tmp_path / "whole", a_day(), 2)

        def damaged() -> Iterator[Frame]:
            yield from frames[:5]
            raise JournalDamaged("a frame is not what was written", file="a.seg", offset=7, seq=11)

        writer = StoreWriter(self.make(tmp_path / "store"), JOURNAL_ID)
        with pytest.raises(JournalDamaged):
            catch_up(writer, damaged())
        assert writer.read_cursor() == 8
        assert catch_up(writer, frames) == 22
        writer.close()
        assert self.content(tmp_path / "store") == expected

    def test_an_event_without_rows_is_passed_over_and_an_unknown_tag_is_refused(self, tmp_path: Path) -> None:
        stream: list[Record] = [(1, 0, BTC), (2, 0, TimerFired(T, "ema", "x")), (3, 2, Unheard(T))]
        self.written(tmp_path, stream[:1], 1)
        with StoreWriter(self.make(tmp_path), JOURNAL_ID) as writer:
            assert writer.apply(stream, seq=3, digest=digest_at(3)) == 2
            assert writer.seq == 3
        frame = frames_of([(1, 0, BTC), (2, 0, Unheard(T))], 2)[0]
        with StoreWriter(self.make(tmp_path / "new"), JOURNAL_ID) as writer:
            with pytest.raises(JournalVersionError):
                catch_up(writer, [frame])
            assert writer.read_cursor() == 0

    def test_a_record_without_a_row_is_reported(self, tmp_path: Path) -> None:
        records = a_day()[:12]
        records[10] = (11, 0, BarClosed(T, 1, MINUTE_NS, T, 1, 1, 1, 1, "many", 1, "trade"))
        self.written(tmp_path / "store", records[:6])
        expected = self.written(tmp_path / "whole", records[:10])
        with StoreWriter(self.make(tmp_path / "store"), JOURNAL_ID) as writer:
            for _ in range(2):
                with pytest.raises(RowFailed, match="BarClosed at seq 11") as caught:
                    writer.apply(records, seq=12, digest=digest_at(12))
                assert caught.value.seq == 11
                assert writer.read_cursor() == 6
            frame = frames_of(records[:10], 50)[-1]
            assert writer.apply(records[:10], seq=10, digest=frame.digest) == 4
        assert self.content(tmp_path / "store") == expected

    # Bounds.

    def test_memory_does_not_grow_with_the_journal(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("engine.stores.catchup.BATCH_RECORDS", 20)
        records = [(1, 0, BTC), *(bar(seq, seq, 100) for seq in range(2, 402))]
        read: list[int] = []

        def frames() -> Iterator[Frame]:
            for frame in frames_of(records, 7):
                read.append(frame.last_seq)
                yield frame

        with StoreWriter(self.make(tmp_path), JOURNAL_ID) as writer:
            held: list[int] = []
            apply = writer.apply

            def watched(batch: list[Record], *, seq: int, digest: bytes) -> int:
                held.append(len(batch))
                assert read[-1] == seq, "no frame is read ahead of what is written"
                return apply(batch, seq=seq, digest=digest)

            monkeypatch.setattr(writer, "apply", watched)
            catch_up(writer, frames())
        assert max(held) <= 20 + 7
        assert sum(held) == 401

    def test_catching_up_stops_at_the_last_durable_frame(self, tmp_path: Path) -> None:
        frames = frames_of(a_day(), 4)
        with StoreWriter(self.make(tmp_path), JOURNAL_ID) as writer:
            assert catch_up(writer, frames, until_seq=11) == 8
            assert catch_up(writer, frames, until_seq=3) == 8
        rebuild(self.make(tmp_path), [Path("day")], until_seq=13, read=reader_of({"day": frames}))
        assert self.make(tmp_path).witness() == Cursor(JOURNAL_ID, 12, frames[2].digest)

    # Writers and readers.

    def test_a_store_has_one_writer(self, tmp_path: Path) -> None:
        with StoreWriter(self.make(tmp_path), JOURNAL_ID):
            with pytest.raises(StoreUnavailable, match="already has a writer") as caught:
                StoreWriter(self.make(tmp_path), JOURNAL_ID).read_cursor()
            assert caught.value.reason == "locked"
        with StoreWriter(self.make(tmp_path), JOURNAL_ID) as again:
            assert again.seq == 0

    def test_the_witness_is_read_beside_a_writer(self, tmp_path: Path) -> None:
        assert self.make(tmp_path).witness() is None
        with StoreWriter(self.make(tmp_path), JOURNAL_ID) as writer:
            assert self.make(tmp_path).witness() is None
            writer.apply(a_day(), seq=22, digest=digest_at(22))
            assert self.make(tmp_path).witness() == Cursor(JOURNAL_ID, 22, digest_at(22))


def content_of(store: Checkable) -> Content:
    """Return (table, row) of everything that a store shows."""
    with store.snapshot() as found:
        return [(table, row) for table in TABLES if table in found.tables for row in found.rows(table)]


def killed_process(step: int, work: Callable[[], None], *modules: str) -> bool:
    """Do work in a child process that ends at once before a step of a store's modules.

    A step is a line run for the first or second time, from the call of `write` on.
    """
    files = {sys.modules[module].__file__ for module in modules}
    with warnings.catch_warnings():
        # Idle worker threads of earlier tests hold no locks that the child needs.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        seen: Counter[tuple[str, int]] = Counter()
        steps = 0

        def trace(frame: Any, event: str, _: object) -> Any:
            nonlocal steps
            if frame.f_code.co_filename not in files:
                return None
            if event == "line" and (seen or frame.f_code.co_name == "write"):
                line = (frame.f_code.co_filename, frame.f_lineno)
                seen[line] += 1
                steps += seen[line] <= 2
                if steps == step:
                    os._exit(9)
            return trace

        try:
            sys.settrace(trace)
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9), "the work failed"
    return code == 9
