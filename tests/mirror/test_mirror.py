"""Mirrors on a broker in memory: what is pulled is the journal or a prefix, whatever is lost on the way."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

from engine.errors import JournalDamaged, UsageError
from engine.journal import read_frames, recover, seal_day, verify_journal
from engine.mirror import pulling
from engine.mirror.errors import MirrorOutOfStep, MirrorUnavailable, MirrorUnfit
from engine.mirror.messages import EVENTS, FRAMES, HEADERS_MAX, PART_MIN, place_of
from engine.mirror.pulling import pull
from engine.mirror.pushing import Mirror
from engine.mirror.source import FrameSource
from tests.commands.kit import SAMPLE, engine
from tests.mirror.kit import Grown, MemoryBroker, contents, sample_frames

FRAMES_OF_SAMPLE = sample_frames(80)
SMALL = HEADERS_MAX + PART_MIN
"""A limit of the broker at which most frames of the sample take several messages."""


def assert_equal(pulled: Path, journal: Path) -> None:
    assert contents(pulled) == contents(journal)
    verify_journal(pulled)


def assert_prefix(pulled: Path, journal: Path) -> None:
    whole = contents(journal)
    for name, data in contents(pulled).items():
        assert whole[name].startswith(data)
    verify_journal(pulled)


@pytest.mark.parametrize("bytes_max", [SMALL, 1 << 20])
@pytest.mark.parametrize("seed", range(2))
def test_after_any_lost_messages_and_answers_the_pulled_journal_is_equal(
    tmp_path: Path, seed: int, bytes_max: int
) -> None:
    """The journal grows, and the pusher dies, loses its connection or an answer, at random."""
    chance = random.Random(seed)
    journal = Grown(tmp_path / "j", FRAMES_OF_SAMPLE)
    broker = MemoryBroker(bytes_max)
    broker.before = lambda: chance.random() < 0.02
    broker.after = lambda: chance.random() < 0.02
    mirror = Mirror(broker, journal.days, events=True)
    acknowledged = 0
    while True:
        journal.grow(chance.randrange(20))
        if chance.random() < 0.2:  # the process was killed
            mirror = Mirror(broker, journal.days, events=True)
        try:
            reached = mirror.push()
        except MirrorUnavailable:
            reached = mirror.seq
        assert reached >= acknowledged or reached == 0
        acknowledged = max(acknowledged, reached)
        if broker.streams.get(FRAMES):
            done = pull(broker, tmp_path / "p")
            assert done.seq >= acknowledged
            assert_prefix(tmp_path / "p", journal.root)
        if acknowledged == FRAMES_OF_SAMPLE[-1].last_seq:
            break
    assert_equal(tmp_path / "p", journal.root)
    lines = [line for one in broker.streams[EVENTS] for line in one.data.splitlines()]
    records = [record for day in journal.days() for record in inspected(day)]
    assert [json.loads(line) for line in lines] == records
    for stream in broker.streams.values():
        ids = [one.headers["Nats-Msg-Id"] for one in stream]
        assert len(set(ids)) == len(ids)


def inspected(day: Path) -> list[object]:
    out = engine("inspect", day, "--json", "--limit", 1_000_000).out
    return [json.loads(line) for line in out.splitlines()]


def test_a_frame_is_one_message_named_by_journal_day_and_seq(tmp_path: Path) -> None:
    journal = Grown(tmp_path / "j", FRAMES_OF_SAMPLE)
    journal.grow(1_000)
    broker = MemoryBroker()
    Mirror(broker, journal.days).push()
    assert len(broker.streams[FRAMES]) == len(FRAMES_OF_SAMPLE)
    first, last = broker.streams[FRAMES][0], broker.streams[FRAMES][-1]
    assert first.headers["Nats-Msg-Id"] == f"{b'0123456789abcdef'.hex()}:2024-12-05:1"
    assert last.headers["Nats-Msg-Id"].endswith(f":2024-12-06:{FRAMES_OF_SAMPLE[-1].first_seq}")
    assert sum(len(one.data) for one in broker.streams[FRAMES]) == sum(
        map(len, contents(journal.root).values())
    )


def test_parts_continue_where_they_were_lost_also_with_another_limit(tmp_path: Path) -> None:
    journal = Grown(tmp_path / "j", sample_frames(12))
    journal.grow(12)
    whole = MemoryBroker(SMALL)
    Mirror(whole, journal.days).push()
    partial = [place_of(one.headers, "") for one in whole.streams[FRAMES]]
    cuts = [number for number, place in enumerate(partial, 1) if place.done < place.whole]
    assert cuts
    for cut in cuts:
        broker = MemoryBroker(SMALL + 1_000)
        broker.streams[FRAMES] = whole.streams[FRAMES][:cut]
        short = pull(broker, tmp_path / f"s{cut}")
        assert short.partial
        assert_prefix(tmp_path / f"s{cut}", journal.root)
        Mirror(broker, journal.days).push()
        pull(broker, tmp_path / f"s{cut}")
        assert_equal(tmp_path / f"s{cut}", journal.root)


def test_two_that_push_the_same_journal_store_every_frame_once(tmp_path: Path) -> None:
    journal = Grown(tmp_path / "j", FRAMES_OF_SAMPLE)
    broker = MemoryBroker()
    mirrors = [Mirror(broker, journal.days) for _ in range(2)]
    while journal.written < len(FRAMES_OF_SAMPLE):
        journal.grow(15)
        for mirror in mirrors:
            mirror.push()
    assert len(broker.streams[FRAMES]) == len(FRAMES_OF_SAMPLE)
    assert mirrors[0].seq == mirrors[1].seq == FRAMES_OF_SAMPLE[-1].last_seq


def test_a_journal_in_another_state_stands_down_and_another_journal_is_refused(tmp_path: Path) -> None:
    journal = Grown(tmp_path / "j", FRAMES_OF_SAMPLE)
    journal.grow(40)
    broker = MemoryBroker()
    mirror = Mirror(broker, journal.days)
    mirror.push()
    shutil.copytree(journal.root, tmp_path / "other")
    changed = [*FRAMES_OF_SAMPLE[:40]]
    odd = FRAMES_OF_SAMPLE[40]
    changed.append(type(odd)(odd.first_seq, odd.count, 2, odd.inputs, odd.derived, b"", "", 0))
    other = Grown(tmp_path / "other", [*changed, *FRAMES_OF_SAMPLE[41:]])
    other.written = 40
    replaced = Mirror(broker, other.days)
    replaced.push()
    other.grow(1)
    journal.grow(2)
    mirror.push()
    stored = len(broker.streams[FRAMES])
    replaced.push()
    with pytest.raises(MirrorOutOfStep, match="it was shortened"):
        replaced.check_end()
    other.grow(1)
    with pytest.raises(MirrorOutOfStep, match="another state of the journal"):
        replaced.push()
    foreign = Grown(tmp_path / "foreign", FRAMES_OF_SAMPLE, journal_id=b"another journal.")
    foreign.grow(5)
    with pytest.raises(MirrorOutOfStep, match="not this one"):
        Mirror(broker, foreign.days).push()
    assert len(broker.streams[FRAMES]) == stored


def test_a_journal_that_was_shortened_is_reported_and_sends_nothing(tmp_path: Path) -> None:
    journal = Grown(tmp_path / "j", FRAMES_OF_SAMPLE)
    journal.grow(30)
    shutil.copytree(journal.root, tmp_path / "short")
    journal.grow(30)
    broker = MemoryBroker()
    Mirror(broker, journal.days).push()
    short = Grown(tmp_path / "short", FRAMES_OF_SAMPLE)
    mirror = Mirror(broker, short.days)
    assert mirror.push() == FRAMES_OF_SAMPLE[29].last_seq
    with pytest.raises(MirrorOutOfStep, match=f"goes to seq {FRAMES_OF_SAMPLE[59].last_seq}"):
        mirror.check_end()
    assert len(broker.streams[FRAMES]) == 60


def test_a_stream_that_has_lost_its_head_says_where_it_begins(tmp_path: Path) -> None:
    journal = Grown(tmp_path / "j", FRAMES_OF_SAMPLE)
    journal.grow(30)
    broker = MemoryBroker()
    Mirror(broker, journal.days).push()
    pull(broker, tmp_path / "p")
    journal.grow(1_000)
    Mirror(broker, journal.days).push()
    broker.lost[FRAMES] = 30
    with pytest.raises(MirrorOutOfStep, match=f"begins at seq {FRAMES_OF_SAMPLE[30].first_seq} "):
        pull(broker, tmp_path / "new")
    pull(broker, tmp_path / "p")
    assert_equal(tmp_path / "p", journal.root)
    broker.lost[FRAMES] = len(FRAMES_OF_SAMPLE)
    with pytest.raises(MirrorOutOfStep, match="has lost all"):
        pull(broker, tmp_path / "new")


def test_a_pull_that_was_killed_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Grown(tmp_path / "j", FRAMES_OF_SAMPLE)
    journal.grow(1_000)
    broker = MemoryBroker()
    Mirror(broker, journal.days).push()
    pull(broker, tmp_path / "whole")
    sizes = contents(tmp_path / "whole")
    name, data = list(sizes.items())[len(sizes) // 2]
    for cut in (0, 50, 128, 140, 4_000, len(data) - 1):
        root = tmp_path / f"cut{cut}"
        shutil.copytree(tmp_path / "whole", root)
        for later in list(sizes)[list(sizes).index(name) + 1 :]:
            (root / later).unlink()
            if not any((root / later).parent.iterdir()):
                (root / later).parent.rmdir()
        (root / name).write_bytes(data[:cut])
        assert pull(broker, root).frames
        assert_equal(root, journal.root)
    monkeypatch.setattr(pulling, "READ", 7)
    assert pull(broker, tmp_path / "again").seq == FRAMES_OF_SAMPLE[-1].last_seq
    assert_equal(tmp_path / "again", journal.root)


def test_a_changed_message_is_never_written(tmp_path: Path) -> None:
    journal = Grown(tmp_path / "j", FRAMES_OF_SAMPLE)
    journal.grow(20)
    broker = MemoryBroker()
    Mirror(broker, journal.days).push()
    stream = broker.streams[FRAMES]
    odd = stream[9]
    for at in range(0, len(odd.data), len(odd.data) // 12):
        data = bytearray(odd.data)
        data[at] ^= 1
        stream[9] = type(odd)(odd.headers, bytes(data))
        shutil.rmtree(tmp_path / "p", ignore_errors=True)
        with pytest.raises(JournalDamaged):
            pull(broker, tmp_path / "p")
        assert_prefix(tmp_path / "p", journal.root)
        assert recover(tmp_path / "p").tail.seq == FRAMES_OF_SAMPLE[8].last_seq
    places = [place_of(one.headers, "") for one in stream]
    del stream[next(at for at, place in enumerate(places) if place.first_seq > place.segment)]
    shutil.rmtree(tmp_path / "p")
    with pytest.raises(JournalDamaged, match="expected seq"):
        pull(broker, tmp_path / "p")


@pytest.mark.parametrize(
    ("at", "header", "value"),
    [
        (0, "Retape-Journal", "66"),
        (5, "Retape-Done", f"10/{1 << 40}"),
        (5, "Retape-Done", "0/0"),
        (5, "Retape-Day", "9" * 5000),
        (5, "Retape-Day", "2024-12-06"),
    ],
)
def test_headers_that_no_engine_writes_are_refused_before_anything_is_kept_of_their_message(
    tmp_path: Path, at: int, header: str, value: str
) -> None:
    journal = Grown(tmp_path / "j", FRAMES_OF_SAMPLE)
    journal.grow(10)
    broker = MemoryBroker()
    Mirror(broker, journal.days).push()
    stream = broker.streams[FRAMES]
    stream[at] = type(stream[at])({**stream[at].headers, header: value}, stream[at].data)
    with pytest.raises((MirrorOutOfStep, JournalDamaged)):
        pull(broker, tmp_path / "p")
    if at:
        assert_prefix(tmp_path / "p", journal.root)


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    journal = Grown(tmp_path / "j", FRAMES_OF_SAMPLE)
    journal.grow(20)
    broker = MemoryBroker()
    Mirror(broker, journal.days).push()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match="is not empty"):
        pull(broker, tmp_path / "mine")
    foreign = Grown(tmp_path / "foreign", FRAMES_OF_SAMPLE, journal_id=b"another journal.")
    foreign.grow(5)
    before = contents(foreign.root)
    with pytest.raises(UsageError, match="give another folder"):
        pull(broker, foreign.root)
    assert contents(foreign.root) == before


def test_a_day_that_is_sealed_while_it_is_followed_is_continued(tmp_path: Path) -> None:
    journal = Grown(tmp_path / "j", FRAMES_OF_SAMPLE)
    journal.grow(40)
    shutil.copytree(journal.root, tmp_path / "k")
    broker = MemoryBroker()
    sealed: list[Path] = []
    mirror = Mirror(broker, lambda: sealed or [tmp_path / "k" / "2024-12-05"])
    mirror.push(until_seq=FRAMES_OF_SAMPLE[20].last_seq - 1)
    assert mirror.seq == FRAMES_OF_SAMPLE[19].last_seq
    seal_day(tmp_path / "k" / "2024-12-05", newest=True)
    mirror.push()
    pull(broker, tmp_path / "p")
    assert_equal(tmp_path / "p", journal.root)


def test_a_broker_that_takes_only_tiny_messages_is_refused_with_both_numbers(tmp_path: Path) -> None:
    journal = Grown(tmp_path / "j", FRAMES_OF_SAMPLE)
    journal.grow(5)
    with pytest.raises(MirrorUnfit, match=f"{SMALL - 1} bytes; a mirror needs {SMALL} "):
        Mirror(MemoryBroker(SMALL - 1), journal.days).push()


def test_the_sample_day_is_pulled_with_its_digest(tmp_path: Path) -> None:
    broker = MemoryBroker()
    Mirror(broker, lambda: [SAMPLE]).push()
    done = pull(broker, tmp_path / "p")
    reader = read_frames(SAMPLE)
    assert sum(1 for _ in reader) == done.frames
    assert done.digest == reader.digest
    assert json.loads(engine("replay", tmp_path / "p" / SAMPLE.name, "--json").out)["identical"]


def test_a_segment_is_synced_before_its_frames_are_sent_unless_they_are_known_to_be_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second sync of the file that a session writes would make the session's own wait."""
    journal, broker, done = Grown(tmp_path / "j", FRAMES_OF_SAMPLE), MemoryBroker(), list[str]()
    sync = FrameSource.sync

    def watched(source: FrameSource) -> None:
        done.append("sync")
        sync(source)

    def sent() -> bool:
        done.append("send")
        return False

    monkeypatch.setattr(FrameSource, "sync", watched)
    broker.before = sent
    mirror = Mirror(broker, journal.days)
    journal.grow(1)
    mirror.push()
    assert done == ["sync", "send"]
    journal.grow(1)
    mirror.push(FRAMES_OF_SAMPLE[1].last_seq)
    assert done == ["sync", "send", "send"]
