"""Replaying a day from disk: identical, or the first event that differs, and why (R01, R02, R03)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.errors import JournalDamaged, ReplayDivergence
from engine.events import BarClosed, EquityMarked, Event, SignalRaised, Trade
from engine.events.codec import (
    Derived,
    decode_derived,
    decode_inputs,
    encode_derived,
    encode_inputs,
    schema_fingerprint,
)
from engine.journal import Draft, JournalWriter, Tail, day_name, day_start_ns, list_days, read_frames
from engine.records import JournalHistory, open_day, read_records, sessions_of
from engine.session import PYTHON
from replay.verification import DayReplay, Divergence, ReplayReport, replay_day, session_check
from tests.replay.kit import (
    BUSY,
    EVE,
    JOURNAL_ID,
    NOON,
    batches,
    config_of,
    opening,
    steady,
    stopped,
    use,
    write_journal,
)
from tests.strategies.fakes import CODE, Counter, builder

Change = Callable[[list[Event], list[Derived]], tuple[list[Event], list[Derived]]]


def record(root: Path, config: Any = BUSY, count: int = 200, at_ns: int = NOON) -> list[Path]:
    """Write a session's journal, several frames a day; return the folders of its days."""
    inputs = opening(config, at_ns) + steady(count, at_ns)
    inputs.append(stopped(inputs[-1].recv_ns))  # type: ignore[attr-defined]
    write_journal(root, batches(inputs, range(0, len(inputs), 20)))
    return [day.path for day in list_days(root)]


def verify(folder: Path, **options: Any) -> ReplayReport:
    check = session_check(options.pop("code", CODE), builder().strategy_hashes, options.pop("config", None))
    history = JournalHistory(folder.parent)
    return replay_day(
        open_day(folder), options.pop("build", builder()), history=history, check=check, **options
    )[0]


def rewrite(folder: Path, root: Path, change: Change) -> Path:
    """Write a day again with valid digests, with `change` applied to each frame's events."""
    root.mkdir(exist_ok=True)
    day = int(folder.name.replace("-", ""))
    frames = list(read_frames(folder))
    tail = Tail(journal_id=JOURNAL_ID, seq=frames[0].first_seq - 1)
    with JournalWriter(root, tail, salts=lambda: b"t" * 16, sync=False) as writer:
        for frame in frames:
            inputs, derived = change(decode_inputs(frame.inputs), decode_derived(frame.derived))
            count = len(inputs) + len(derived)
            draft = Draft(writer.seq + 1, count, encode_inputs(inputs), encode_derived(derived), frame.flags)
            writer.append(draft, day_start_ns(day))
    return root / day_name(day)


def changing(kind: type[Event], nth: int, **fields: Any) -> Change:
    """Change fields of the n-th derived event of a type."""
    count = [0]

    def change(inputs: list[Event], derived: list[Derived]) -> tuple[list[Event], list[Derived]]:
        changed: list[Derived] = []
        for seq, cause, event in derived:
            if isinstance(event, kind):
                count[0] += 1
                if count[0] == nth:
                    event = msgspec.structs.replace(event, **fields)
            changed.append((seq, cause, event))
        return inputs, changed

    return change


def seq_of(folder: Path, kind: type[Event], nth: int) -> int:
    return [seq for seq, _, event in read_records(folder) if isinstance(event, kind)][nth - 1]


def test_a_recorded_day_replays_identical_and_ends_in_the_recorded_digest(tmp_path: Path) -> None:
    (folder,) = record(tmp_path)
    report = verify(folder)
    records = list(read_records(folder))
    reader = read_frames(folder)
    for _ in reader:
        pass
    assert (report.identical, report.divergence, report.verdict) == (True, None, "identical")
    assert report.digest == reader.digest.hex()
    assert report.events == len(records) == report.inputs + report.derived
    assert report.inputs == sum(cause == 0 for _, cause, _ in records)
    assert (report.changes, report.torn_bytes) == ([], 0)


def test_every_day_of_a_session_over_midnight_replays_identical(tmp_path: Path) -> None:
    folders = record(tmp_path, at_ns=EVE)
    assert len(folders) == 2
    assert all(verify(folder).identical for folder in folders)


@pytest.mark.parametrize(
    ("kind", "nth", "fields"),
    [
        (BarClosed, 1, {"close": 1}),
        (BarClosed, 7, {"volume": 10**30}),
        (SignalRaised, 3, {"value": -0.0}),
        (SignalRaised, 40, {"value": float("nan")}),
    ],
)
def test_r01_one_changed_event_is_reported_with_seq_expected_and_actual(
    tmp_path: Path, kind: type[Event], nth: int, fields: dict[str, Any]
) -> None:
    (folder,) = record(tmp_path / "a")
    forged = rewrite(folder, tmp_path / "b", changing(kind, nth, **{k: _text(v) for k, v in fields.items()}))
    report = verify(forged)
    assert not report.identical
    assert isinstance(report.divergence, Divergence)
    assert report.divergence.seq == seq_of(folder, kind, nth)
    assert report.divergence.expected is not None
    assert report.divergence.actual is not None
    (field, value) = next(iter(fields.items()))
    assert repr(getattr(report.divergence.expected[2], field)) == repr(_text(value))
    assert report.divergence.actual == dict_of(folder)[report.divergence.seq]


def test_r04_values_are_compared_bit_for_bit(tmp_path: Path) -> None:
    """A NaN equals itself; 0.0 differs from -0.0."""
    (folder,) = record(tmp_path / "a", config_of(use("Nothings")))
    assert verify(folder).identical
    report = verify(rewrite(folder, tmp_path / "b", changing(SignalRaised, 8, value=-0.0)))
    assert report.divergence is not None
    assert report.divergence.seq == seq_of(folder, SignalRaised, 8)
    assert repr(report.divergence.expected[2].value) == "-0.0"  # type: ignore[index,attr-defined]
    assert repr(report.divergence.actual[2].value) == "0.0"  # type: ignore[index,attr-defined]


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and value > 2**63 else value


def dict_of(folder: Path) -> dict[int, Any]:
    return {record[0]: record for record in read_records(folder)}


def test_r01_a_changed_cause_is_a_divergence(tmp_path: Path) -> None:
    (folder,) = record(tmp_path / "a")
    seq = seq_of(folder, BarClosed, 2)

    def change(inputs: list[Event], derived: list[Derived]) -> tuple[list[Event], list[Derived]]:
        return inputs, [(s, 1 if s == seq else cause, event) for s, cause, event in derived]

    report = verify(rewrite(folder, tmp_path / "b", change))
    assert report.divergence is not None
    assert report.divergence.seq == seq


def test_r01_a_changed_input_is_found_at_the_first_event_that_differs(tmp_path: Path) -> None:
    """Inputs are not derived, so the first event that follows from the input differs."""
    (folder,) = record(tmp_path / "a")
    count = [0]

    def change(inputs: list[Event], derived: list[Derived]) -> tuple[list[Event], list[Derived]]:
        changed: list[Event] = []
        for event in inputs:
            count[0] += isinstance(event, Trade)
            if isinstance(event, Trade) and count[0] == 30:
                event = msgspec.structs.replace(event, size=event.size + 1)
            changed.append(event)
        return changed, derived

    report = verify(rewrite(folder, tmp_path / "b", change))
    assert report.divergence is not None
    assert isinstance(report.divergence.expected[2], BarClosed)  # type: ignore[index]


def test_a_missing_or_additional_derived_event_is_reported(tmp_path: Path) -> None:
    """The last event of the day is missing in the record; the replay derives it."""
    (folder,) = record(tmp_path / "a")
    last = max(seq for seq, _, _ in read_records(folder))

    def without(inputs: list[Event], derived: list[Derived]) -> tuple[list[Event], list[Derived]]:
        return inputs, [entry for entry in derived if entry[0] != last]

    report = verify(rewrite(folder, tmp_path / "b", without))
    assert report.divergence is not None
    assert (report.divergence.seq, report.divergence.expected) == (last, None)

    def with_one_more(inputs: list[Event], derived: list[Derived]) -> tuple[list[Event], list[Derived]]:
        more = [(last + 1, last, derived[-1][2])] if derived and derived[-1][0] == last else []
        return inputs, [*derived, *more]

    report = verify(rewrite(folder, tmp_path / "c", with_one_more))
    assert report.divergence is not None
    assert (report.divergence.seq, report.divergence.actual) == (last + 1, None)


# Verdicts.


def forged_day(tmp_path: Path) -> Path:
    (folder,) = record(tmp_path / "a")
    return rewrite(folder, tmp_path / "b", changing(BarClosed, 3, close=1))


def test_r02_a_difference_under_changed_code_is_reported_as_code_changed(tmp_path: Path) -> None:
    report = verify(forged_day(tmp_path), code="f" * 16)
    assert report.verdict == "code changed"
    assert report.changes == [f"code: recorded {CODE}, now {'f' * 16}"]


def test_r02_a_changed_strategy_source_or_schema_is_reported(tmp_path: Path) -> None:
    (folder,) = record(tmp_path)
    started = sessions_of(folder)[0]
    hashes = lambda _: (("Busy", "fakes:Busy", "0" * 16), builder().strategy_hashes(started)[1])  # noqa: E731
    check = session_check(CODE, hashes, None)
    (change,) = check(started)
    assert change.startswith("strategy Busy (fakes:Busy): recorded ")
    (change,) = session_check(CODE, builder().strategy_hashes, None)(
        msgspec.structs.replace(started, schema="0" * 16)
    )
    assert change == f"events: recorded {'0' * 16}, now {schema_fingerprint()}"


def test_r02_another_python_than_the_recorded_one_is_reported(tmp_path: Path) -> None:
    (folder,) = record(tmp_path)
    started = sessions_of(folder)[0]
    assert started.python == PYTHON
    check = session_check(CODE, builder().strategy_hashes, None)
    assert check(started) == []
    assert check(msgspec.structs.replace(started, python="")) == [], "older records do not hold the version"
    assert check(msgspec.structs.replace(started, python="3.1")) == [f"python: recorded 3.1, now {PYTHON}"]


def test_r02_changed_code_without_a_difference_is_identical_and_still_reported(tmp_path: Path) -> None:
    (folder,) = record(tmp_path)
    report = verify(folder, code="f" * 16)
    assert report.identical
    assert report.verdict == "identical"
    assert report.changes


def test_another_configuration_is_reported_as_configuration_changed(tmp_path: Path) -> None:
    (folder,) = record(tmp_path)
    other = config_of(use("Averages")).canonical()

    def build(started: Any) -> Sequence[Any]:
        return builder()(msgspec.structs.replace(started, config=other))

    report = verify(folder, build=build, config=other)
    assert report.verdict == "configuration changed"
    assert report.divergence is not None


def test_r06_a_strategy_with_a_global_counter_is_not_deterministic(tmp_path: Path) -> None:
    Counter.calls = 0
    (folder,) = record(tmp_path, config_of(use("Drifting")))
    report = verify(folder)
    assert report.verdict == "not deterministic"
    assert report.divergence is not None
    expected, actual = report.divergence.expected, report.divergence.actual
    assert expected is not None
    assert actual is not None
    assert isinstance(expected[2], SignalRaised)
    assert report.divergence.seq == seq_of(folder, SignalRaised, 1)


# Parts of a day.


def test_replay_until_a_seq_verifies_the_frames_up_to_it(tmp_path: Path) -> None:
    (folder,) = record(tmp_path)
    frames = list(read_frames(folder))
    report = verify(folder, until_seq=frames[3].first_seq)
    assert report.identical
    assert report.events == sum(frame.count for frame in frames[:4])
    assert report.digest == frames[3].digest.hex()


def test_a_torn_tail_is_reported_and_the_frames_before_it_are_verified(tmp_path: Path) -> None:
    """J01: for a reader an incomplete last frame is not damage; its bytes are counted."""
    (folder,) = record(tmp_path)
    segment = next(folder.glob("*.seg"))
    data = segment.read_bytes()
    frames = list(read_frames(folder))
    segment.write_bytes(data[: frames[-1].offset + 50])
    report = verify(folder)
    assert report.identical
    assert report.torn_bytes == 50
    assert report.digest == frames[-2].digest.hex()


def test_a_flipped_byte_is_damage_and_never_a_divergence(tmp_path: Path) -> None:
    (folder,) = record(tmp_path)
    segment = next(folder.glob("*.seg"))
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    with pytest.raises(JournalDamaged):
        verify(folder)


def test_progress_is_reported_by_rising_seqs(tmp_path: Path) -> None:
    (folder,) = record(tmp_path)
    seqs: list[int] = []
    report = verify(folder, progress=seqs.append)
    assert seqs == sorted(seqs)
    assert seqs[-1] == report.events


def test_j26_records_older_than_the_last_fields_of_an_event_replay_identical(tmp_path: Path) -> None:
    """Events gain fields with defaults; older journals have shorter records of the same meaning."""
    (day,) = record(tmp_path)
    replay = DayReplay(builder(), JournalHistory(tmp_path))
    shortened = 0
    for frame in open_day(day):
        records = msgspec.msgpack.decode(frame.derived)
        for _, _, event in records:
            if event[0] == "equity":
                event.pop()
                shortened += 1
        replay.feed(msgspec.structs.replace(frame, derived=msgspec.msgpack.encode(records)))
    assert shortened
    assert replay.report.identical
    # A present field whose value differs from the derived one is still a divergence.
    replay = DayReplay(builder(), JournalHistory(tmp_path))
    for frame in open_day(day):
        records = msgspec.msgpack.decode(frame.derived)
        marks = [event for _, _, event in records if event[0] == "equity"]
        for event in marks:
            event[1 + EquityMarked.__struct_fields__.index("funding")] = 1
        changed = msgspec.structs.replace(frame, derived=msgspec.msgpack.encode(records))
        if marks:
            with pytest.raises(ReplayDivergence):
                replay.feed(changed)
            break
        replay.feed(changed)
