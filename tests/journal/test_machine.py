"""A journal under random operations and crashes, compared with a plain list of frames.

The list holds the acknowledged frames. At any time, and after any crash, the journal equals the list, or
the list and the one frame that was being written.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine.journal import (
    DAY_NS,
    Draft,
    JournalWriter,
    Witness,
    day_name,
    day_of_ns,
    ensure_identity,
    list_days,
    list_segments,
    read_frames,
    recover,
    seal_day,
    verify_journal,
)

from .disks import FaultyDisk, MemoryDisk, PowerCut
from .kit import JOURNAL_ID, NOON, ROOT, Salts, content


class Journal(RuleBasedStateMachine):
    @initialize(segment_bytes_max=st.integers(200, 900))
    def create(self, segment_bytes_max: int) -> None:
        self.disk = MemoryDisk()
        self.disk.mkdir(ROOT)
        self.disk.fsync_dir(ROOT.parent)
        ensure_identity(ROOT, JOURNAL_ID, self.disk)
        self.bytes_max = segment_bytes_max
        self.salts = Salts()
        self.now_ns = NOON
        self.acknowledged: list[Draft] = []
        self.digest = bytes(32)
        self.faulty = FaultyDisk(self.disk)
        self.start()

    def start(self) -> None:
        """Recover with the newest witness and open the writer."""
        end = self.acknowledged[-1] if self.acknowledged else None
        witness = Witness(end.first_seq + end.count - 1, self.digest) if end else None
        recovered = recover(ROOT, witness=witness, disk=self.disk)
        self.writer = JournalWriter(
            ROOT,
            recovered.tail,
            salts=self.salts,
            segment_bytes_max=self.bytes_max,
            disk=self.faulty,
        )

    def next_draft(self, inputs: bytes, derived: bytes, count: int) -> Draft:
        return Draft(self.writer.seq + 1, count, inputs or b"\x90", derived)

    @rule(inputs=st.binary(max_size=300), derived=st.binary(max_size=100), count=st.integers(1, 50))
    def append(self, inputs: bytes, derived: bytes, count: int) -> None:
        draft = self.next_draft(inputs, derived, count)
        self.digest = self.writer.append(draft, self.now_ns)
        self.acknowledged.append(draft)

    @rule(days=st.integers(1, 3))
    def midnight_passes(self, days: int) -> None:
        self.now_ns += days * DAY_NS

    @rule()
    def stop_and_start(self) -> None:
        self.writer.close()
        self.start()

    @rule(
        call=st.integers(0, 7),
        kept=st.integers(0, 600),
        names_kept=st.booleans(),
        inputs=st.binary(min_size=1, max_size=400),
        count=st.integers(1, 9),
    )
    def power_is_cut_in_an_append(
        self, call: int, kept: int, names_kept: bool, inputs: bytes, count: int
    ) -> None:
        """At the nth call from now. Bytes and names that were not synced are kept or lost."""
        self.faulty.fail("any", self.faulty.calls["any"] + call, PowerCut())
        draft = self.next_draft(inputs, b"", count)
        fired = self.faulty.fired
        try:
            self.digest = self.writer.append(draft, self.now_ns)
            self.acknowledged.append(draft)
            draft = self.next_draft(inputs, b"again", count)
            self.digest = self.writer.append(draft, self.now_ns)
            self.acknowledged.append(draft)
        except PowerCut:
            assert self.faulty.fired == fired + 1
        self.disk = self.disk.after_power_cut(lambda size: min(size, kept), names_kept=names_kept)
        self.faulty = FaultyDisk(self.disk)
        self.start()
        self.accept_unacknowledged_frame(draft)

    def accept_unacknowledged_frame(self, draft: Draft) -> None:
        """A frame that was not acknowledged may be in the journal."""
        end = sum(frame.count for frame in self.acknowledged)
        assert self.writer.seq in (end, end + draft.count)
        if self.writer.seq == end + draft.count:
            self.acknowledged.append(draft)
        self.digest = self.writer.digest

    @rule(cut=st.integers(1, 200))
    def unsynced_garbage_is_found_at_the_end(self, cut: int) -> None:
        """The file grew, but its data was not written."""
        self.writer.close()
        if self.writer.segment is not None:
            path = self.writer.segment
            self.disk.put(path, self.disk.get(path) + bytes(cut))
        self.start()

    @precondition(lambda self: len(list_days(ROOT, self.disk)) > 1)
    @rule(pick=st.integers(0, 10))
    def an_older_day_is_sealed(self, pick: int) -> None:
        older = [day for day in list_days(ROOT, self.disk)[:-1] if list_segments(day.path, self.disk)]
        if older and self.writer.day is not None:
            folder = older[pick % len(older)].path
            if folder.name != day_name(self.writer.day):
                seal_day(folder, disk=self.disk)

    @rule()
    def the_newest_day_is_sealed_between_sessions(self) -> None:
        self.writer.close()
        if self.writer.day is not None:
            seal_day(ROOT / day_name(self.writer.day), newest=True, disk=self.disk)
        self.start()

    @invariant()
    def the_journal_equals_the_list(self) -> None:
        assert self.writer.seq == sum(frame.count for frame in self.acknowledged)
        found = []
        for day in list_days(ROOT, self.disk):
            if list_segments(day.path, self.disk):
                reader = read_frames(day.path, disk=self.disk)
                found += content(list(reader))
                assert reader.torn is None
        assert found == content(self.acknowledged)

    @precondition(lambda self: bool(self.acknowledged))
    @rule()
    def verify(self) -> None:
        report = verify_journal(ROOT, disk=self.disk)
        assert report.days[-1].digest == self.digest
        assert report.days[-1].day is not None
        assert report.days[-1].day <= day_of_ns(self.now_ns)


Journal.TestCase.settings = settings(stateful_step_count=25)
TestJournal = Journal.TestCase
