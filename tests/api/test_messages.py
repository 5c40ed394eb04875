"""The ring of messages: every reader sees what a list of all messages says, or a resync."""

from __future__ import annotations

import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from engine.api import stream
from engine.api.stream import BEAT_S, Messages, frame_of
from tests.profiles import examples


def frames(data: bytes) -> list[tuple[str, int | None, bytes]]:
    """Return (event, id, data) of each message; a comment is ("", None, b"")."""
    found = []
    for text in data.decode().split("\n\n"):
        if not text:
            continue
        fields = dict(line.split(": ", 1) for line in text.split("\n") if not line.startswith(":"))
        number = int(fields["id"]) if "id" in fields else None
        found.append((fields.get("event", ""), number, fields.get("data", "").encode()))
    return found


class Reader:
    """Reads a ring until it is told to stop, and keeps what it got."""

    def __init__(self, messages: Messages, last_id: int | None = None) -> None:
        self.got = bytearray()
        self.messages = messages
        self._parts = messages.read(last_id, lambda: b"{}", lambda _reason: b"{}", lambda: True)

    async def step(self) -> bytes:
        part = await anext(self._parts)
        self.got += part
        return part

    async def drain(self) -> None:
        """Read until there is nothing but comments."""
        while await self.step() != b": \n\n":
            pass

    async def aclose(self) -> None:
        await self._parts.aclose()  # type: ignore[attr-defined]


async def test_a_reader_gets_a_greeting_then_every_message_with_its_seq(autojump_clock: MockClock) -> None:
    messages = Messages(7)
    reader = Reader(messages)
    await reader.step()
    messages.add([(8, frame_of("fill", b'{"a":1}', 8)), (9, frame_of("order", b"{}", 9))], 10)
    await reader.drain()
    assert frames(reader.got) == [
        ("hello", 7, b"{}"),
        ("fill", 8, b'{"a":1}'),
        ("order", 9, b"{}"),
        ("", None, b""),
    ]
    await reader.aclose()


async def test_something_is_sent_at_least_every_half_second(autojump_clock: MockClock) -> None:
    reader = Reader(Messages(1))
    await reader.step()
    began = trio.current_time()
    for _ in range(10):
        assert await reader.step() == b": \n\n"
    assert trio.current_time() - began <= 10 * BEAT_S + 0.001
    await reader.aclose()


async def test_a_slow_reader_is_resynchronised_and_never_waited_for(autojump_clock: MockClock) -> None:
    messages = Messages(0)
    slow, quick = Reader(messages), Reader(messages)
    await slow.step()
    await quick.step()
    count = stream.MESSAGES_MAX * 2
    for seq in range(1, count + 1):
        messages.add([(seq, frame_of("fill", b"{}", seq))], seq)
        if seq % 100 == 0:
            await quick.step()
    assert len(messages._frames) <= stream.MESSAGES_MAX
    await slow.drain()
    await quick.drain()
    assert frames(slow.got) == [("hello", 0, b"{}"), ("resync", count, b"{}"), ("", None, b"")]
    assert [number for kind, number, _ in frames(quick.got) if kind == "fill"] == [*range(1, count + 1)]
    await slow.aclose()
    await quick.aclose()


async def test_the_bytes_of_the_ring_are_bounded() -> None:
    messages = Messages(0)
    for seq in range(1, 200):
        messages.add([(seq, frame_of("book", b"x" * 100_000, seq))], seq)
        assert sum(map(len, messages._frames)) == messages._bytes <= stream.BYTES_MAX


async def test_streams_end_when_the_ring_is_closed_and_when_the_session_has_ended() -> None:
    messages = Messages(0)
    allowed = True
    parts = messages.read(None, lambda: b"{}", lambda _reason: b"{}", lambda: allowed)
    await anext(parts)
    allowed = False
    assert [part async for part in parts] == []
    reader = Reader(messages)
    await reader.step()
    messages.close()
    assert [part async for part in reader._parts] == []


@examples(1.0)
@given(
    seqs=st.lists(st.integers(0, 3), max_size=40),
    cut=st.integers(0, 60),
    small=st.booleans(),
)
def test_who_comes_back_misses_nothing_or_is_told(seqs: list[int], cut: int, small: bool) -> None:
    """Whatever the place at which a connection broke: all later messages arrive, or a resync."""

    async def run() -> None:
        messages = Messages(5)
        most, stream.MESSAGES_MAX = stream.MESSAGES_MAX, 8 if small else 100
        try:
            seq, sent = 5, []
            for number, step in enumerate(seqs):
                seq += step if number else max(step, 1)
                sent.append((seq, number))
                messages.add([(seq, frame_of("fill", b"%d" % number, seq))], seq)
            reader = Reader(messages, last_id=cut)
            await reader.drain()
            got = frames(reader.got)
            assert got[0][0] == "hello"
            assert got[0][1] is None, "an id here would hide what follows from the next resume"
            assert got[-1][0] == ""
            if got[1][0] == "resync":
                assert got[1][1] == seq
                assert len(got) == 3
            else:
                assert got[1:-1] == [("fill", one, b"%d" % number) for one, number in sent if one >= cut]
            if cut > seq or cut < 5:
                assert got[1][0] == "resync", "an id of another journal, or of before this server"
            await reader.aclose()
        finally:
            stream.MESSAGES_MAX = most

    trio.run(run, clock=MockClock(autojump_threshold=0))


async def test_after_a_reset_every_reader_is_resynchronised(autojump_clock: MockClock) -> None:
    messages = Messages(0)
    reader = Reader(messages)
    await reader.step()
    messages.add([(1, frame_of("fill", b"{}", 1))], 1)
    await reader.drain()
    messages.reset(50)
    assert frames(await reader.step()) == [("resync", 50, b"{}")]
    messages.add([(51, frame_of("fill", b"{}", 51))], 51)
    assert frames(await reader.step()) == [("fill", 51, b"{}")]
    again = Reader(messages, last_id=1)
    await again.drain()
    assert [kind for kind, _, _ in frames(again.got)] == ["hello", "resync", ""]
    await reader.aclose()
    await again.aclose()
