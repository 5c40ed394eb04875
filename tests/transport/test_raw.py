"""Raw messages: stored as received, within bounds, and readable up to the last complete one."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from adapters.transport import raw
from adapters.transport.raw import RawMessage, RawReader, RawRecorder
from engine.clock import DAY_NS, SECOND_NS, ClockReadings
from engine.errors import JournalError

DAY = "2024-12-05"
T = 1_733_356_800_000_000_000  # its midnight


class Clock:
    """A clock that a test sets."""

    def __init__(self, now_ns: int = T) -> None:
        self.ns = now_ns

    def now_ns(self) -> int:
        return self.ns

    def monotonic_ns(self) -> int:
        return self.ns

    def real_seconds_until(self, engine_ns: int) -> float:
        return (engine_ns - self.ns) / 1e9

    def readings(self) -> ClockReadings:
        now_ns, monotonic_ns = self.now_ns(), self.monotonic_ns()
        return ClockReadings(now_ns, now_ns, monotonic_ns, monotonic_ns)


async def recorded(
    folder: Path,
    messages: list[tuple[int, str | bytes]],
    run: str = "a1",
    between: Callable[[int], None] = lambda _: None,
    clock: Clock | None = None,
    **options: Any,
) -> RawRecorder:
    """Record messages, each flushed on its own, and stop in order."""
    clock = clock or Clock()
    recorder = RawRecorder(folder, clock, run, **options)
    for number, (recv_ns, message) in enumerate(messages):
        clock.ns = max(clock.ns, recv_ns)
        recorder.record(recv_ns, message)
        await recorder.flush()
        between(number)
    await stopped(recorder)
    return recorder


async def stopped(recorder: RawRecorder) -> None:
    """Run the recorder as in a session that stops at once."""
    with trio.CancelScope() as scope:
        scope.cancel()
        await recorder.run()


def files_under(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.zst"))


def read(folder: Path) -> tuple[list[RawMessage], RawReader]:
    reader = RawReader(folder)
    return list(reader), reader


async def test_messages_round_trip_with_any_content(tmp_path: Path) -> None:
    messages: list[tuple[int, str | bytes]] = [
        (T + 1, '{"channel":"pong"}'),
        (T + 1, ""),
        (T + 2, "Websocket connection established."),
        (T + 3, '{"a":\n"b\r\n"}'),
        (T + 4, "~tilde"),
        (T + 5, b"\x00\xff\n~"),
        (T + 6, "# no note"),
        (T + 7, "\u2028 \U0001f600"),
        (T + 8, "x" * 500_000),
    ]
    await recorded(tmp_path, messages)
    found, reader = read(tmp_path / DAY)
    assert [(one.recv_ns, one.message) for one in found] == messages
    assert [one.number for one in found] == list(range(1, len(messages) + 1))
    assert reader.notes == []
    assert reader.holes == [(0, T), (T + 8, None)]


@given(st.lists(st.one_of(st.text(), st.binary()), max_size=20))
def test_every_message_round_trips_in_one_line(messages: list[str | bytes]) -> None:
    for message in messages:
        line = raw._line(T, message)
        assert line.count(b"\n") == 1
        assert raw._message(line[:-1]) == (T, message)


async def test_each_day_has_a_folder_and_each_run_a_file(tmp_path: Path) -> None:
    await recorded(tmp_path, [(T + 1, "one"), (T + DAY_NS, "two"), (T + DAY_NS + 1, "three")])
    later = Clock(T + DAY_NS + 60 * SECOND_NS)
    await recorded(tmp_path, [(later.ns + 5, "four")], run="b2", clock=later)
    assert [one.message for one in read(tmp_path / DAY)[0]] == ["one"]
    found, reader = read(tmp_path / "2024-12-06")
    assert [(one.file, one.message) for one in found] == [
        ("000001.zst", "two"),
        ("000001.zst", "three"),
        ("000002.zst", "four"),
    ]
    assert reader.continued, "the first run began the day before"
    assert reader.holes[1] == (T + DAY_NS + 1, T + DAY_NS + 60 * SECOND_NS)


async def test_after_any_cut_the_whole_messages_before_it_are_read_and_the_cut_is_noted(
    tmp_path: Path,
) -> None:
    messages: list[tuple[int, str | bytes]] = [(T + number, f"message {number} " * 9) for number in range(12)]
    await recorded(tmp_path, messages)
    path = tmp_path / DAY / "000001.zst"
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        found, reader = read(tmp_path / DAY)
        kept = [(one.recv_ns, one.message) for one in found]
        assert kept == messages[: len(kept)]
        if length:
            assert len(reader.notes) == 1, "a torn end is noted"
            assert "torn" in reader.notes[0]
            assert reader.holes[-1] == (kept[-1][0] if kept else reader.holes[-1][0], None)


async def test_flushed_messages_are_readable_without_a_graceful_stop(tmp_path: Path) -> None:
    """A kill loses only the messages since the last flush."""
    sizes: list[int] = []
    path = tmp_path / DAY / "000001.zst"
    messages: list[tuple[int, str | bytes]] = [(T + number, f"message {number}") for number in range(4)]
    await recorded(tmp_path, messages, between=lambda _: sizes.append(path.stat().st_size))
    whole = path.read_bytes()
    for number, size in enumerate(sizes, 1):
        path.write_bytes(whole[:size])
        assert [one.message for one in read(tmp_path / DAY)[0]] == [text for _, text in messages[:number]]


async def test_damage_is_noted_and_the_next_file_is_read(tmp_path: Path) -> None:
    for run in ("a1", "b2"):
        await recorded(tmp_path, [(T + number, f"{run} message {number} " * 30) for number in range(5)], run)
    path = tmp_path / DAY / "000001.zst"
    whole = path.read_bytes()
    for offset in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[offset] ^= 0x41
        path.write_bytes(damaged)
        found, reader = read(tmp_path / DAY)
        assert [one.number for one in found if one.file == "000002.zst"] == [1, 2, 3, 4, 5]
        assert reader.notes, f"a changed byte at {offset} went unnoticed"
    path.write_bytes(b"not zstd")
    assert len(read(tmp_path / DAY)[0]) == 5


async def test_the_oldest_files_are_removed_at_the_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw, "FILE_BYTES_MAX", 100)
    messages: list[tuple[int, str | bytes]] = [
        (T + number * DAY_NS // 4, "".join(chr(33 + (number * 7 + at * at) % 90) for at in range(200)))
        for number in range(20)
    ]
    recorder = await recorded(tmp_path, messages, bytes_max=1000)
    files = files_under(tmp_path)
    assert recorder.health.files == len(files) + recorder.health.files_removed
    assert recorder.health.files_removed > 10
    assert sum(path.stat().st_size for path in files) <= 1000 + 300, "the last file is closed when it is full"
    assert not (tmp_path / DAY).exists(), "an empty day's folder goes too"
    left = [one.message for day in sorted({path.parent for path in files}) for one in RawReader(day)]
    assert left == [text for _, text in messages][-len(left) :]


async def test_a_slow_disk_does_not_delay_the_feed_and_losses_are_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw, "WAITING_BYTES_MAX", 1000)
    clock = Clock()
    recorder = RawRecorder(tmp_path, clock, "a1")
    for number in range(100):  # nothing is written
        recorder.record(T + number, "x" * 80)
    assert recorder.health.waiting_high <= 1000
    assert recorder.health.lost == 91
    await stopped(recorder)
    found, reader = read(tmp_path / DAY)
    assert len(found) == 9
    assert (T + 9, T + 99) in reader.holes
    assert any("lost 91" in note for note in reader.notes)


async def test_waiting_messages_are_written_periodically(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw, "FLUSH_S", 0.01)
    recorder = RawRecorder(tmp_path, Clock(), "a1")
    written = trio.Event()
    write = recorder._write

    def watched(lines: list[tuple[int, bytes]], last: bool) -> None:
        write(lines, last)
        if lines:
            trio.from_thread.run_sync(written.set)

    monkeypatch.setattr(recorder, "_write", watched)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(recorder.run)
        recorder.record(T + 1, "first")
        with trio.fail_after(120):
            await written.wait()
        assert [one.message for one in read(tmp_path / DAY)[0]] == ["first"]
        nursery.cancel_scope.cancel()


async def test_a_full_disk_is_an_error_and_the_next_run_starts_a_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = RawRecorder(tmp_path, Clock(), "a1")
    recorder.record(T + 1, "kept")
    await stopped(recorder)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(raw._RawFile, "write", full)
        recorder.record(T + 2, "lost")
        with pytest.raises(JournalError, match="No space left"):
            await recorder.run()
    recorder.record(T + 3, "kept again")
    await stopped(recorder)
    found, reader = read(tmp_path / DAY)
    assert [one.message for one in found] == ["kept", "kept again"]
    assert (T + 2, T + 2) in reader.holes
    assert recorder.health.lost == 1
