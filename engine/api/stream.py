"""Server-sent events: messages are encoded once, kept in one bounded ring, and read by any number of streams.

    event: hello                          the first one: whose journal, and where it stands
    id: 1042 / event: fill / data: {...}  a message; its id is the seq of its record
    event: resync                         messages were dropped: read everything again with GET
    : (comment)                           nothing happened for BEAT_S

A reader has a place in the ring and no queue. One that falls behind the oldest message kept gets `resync` and
goes on at the newest; it is never waited for. One that comes back with `Last-Event-ID` continues there: it
gets every kept message from that seq on, also those of the same seq, since messages are whole states.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Final

import trio

__all__ = ["BEAT_S", "STREAMS_MAX", "Messages", "frame_of"]

BEAT_S: Final = 0.5
"""Within this time something is sent, so that a page notices soon that nothing arrives."""
STREAMS_MAX: Final = 32
"""Open streams of the page, and as many of the Unix socket; a further one is refused."""
MESSAGES_MAX: Final = 8192
BYTES_MAX: Final = 4 << 20
"""Bounds of the ring. A second has some hundred messages at most, since prices are coalesced."""
CHUNK_MESSAGES_MAX: Final = 512
"""Messages written at once, so that one reader does not hold up the others."""

_COMMENT: Final = b": \n\n"


def frame_of(kind: str, data: bytes, seq: int | None = None) -> bytes:
    """Return one message as it is sent. `data` is JSON, so it has no line breaks."""
    head = b"" if seq is None else b"id: %d\n" % seq
    return b"%sevent: %s\ndata: %s\n\n" % (head, kind.encode(), data)


class Messages:
    """The ring. `seq` is where the journal stands; messages are added by rising seq.

    `readers` is the number of streams, which whoever reads counts: without any, nothing need be added.
    """

    def __init__(self, seq: int) -> None:
        self.seq = seq
        self.closed = False
        self.readers = 0
        self._seqs: list[int] = []
        self._frames: list[bytes] = []
        self._first = 0  # number of messages before the oldest kept
        self._lost_seq = seq  # messages up to this seq are not kept, or never were
        self._bytes = 0
        self._changed = trio.Event()
        self._chunk: tuple[int, int, bytes] = (0, 0, b"")

    @property
    def end(self) -> int:
        """The place behind the newest message."""
        return self._first + len(self._seqs)

    def add(self, messages: Iterable[tuple[int, bytes]], seq: int) -> None:
        """Add (seq, frame) by rising seq; the journal stands at `seq` now."""
        before = self.end
        for one, frame in messages:
            self._seqs.append(one)
            self._frames.append(frame)
            self._bytes += len(frame)
        self.seq = max(self.seq, seq)
        if self.end == before:
            return
        if len(self._seqs) > MESSAGES_MAX or self._bytes > BYTES_MAX:
            self._drop()
        self._wake()

    def reset(self, seq: int) -> None:
        """Drop everything: what comes next does not follow what was sent."""
        self._first = self.end + 1  # every reader is behind it
        self._seqs, self._frames, self._bytes = [], [], 0
        self.seq = self._lost_seq = seq
        self._wake()

    def close(self) -> None:
        """End all streams."""
        self.closed = True
        self._wake()

    def resume(self, seq: int) -> int | None:
        """Return the place of the first message from `seq` on, None if some of them are not kept."""
        if not self._lost_seq < seq <= self.seq and not seq == self._lost_seq == self.seq:
            return None
        return self._first + bisect_left(self._seqs, seq)

    async def read(
        self,
        last_id: int | None,
        hello: Callable[[], bytes],
        resync: Callable[[str], bytes],
        allowed: Callable[[], bool],
    ) -> AsyncGenerator[bytes, None]:
        """Yield what one reader gets, until it may not read on or the ring is closed.

        `hello` and `resync` return the data of these messages.
        """
        place = self.end
        if last_id is None:
            yield frame_of("hello", hello(), self.seq)
        else:
            yield frame_of("hello", hello())
            found = self.resume(last_id)
            if found is None:
                yield frame_of("resync", resync("the messages since then are not kept"), self.seq)
            else:
                place = found
        while not self.closed and allowed():
            if place < self._first:
                place = self.end
                yield frame_of("resync", resync("this reader is too slow"), self.seq)
            elif place < self.end:
                place, chunk = self._chunk_from(place)
                yield chunk
            else:
                changed = self._changed
                with trio.move_on_after(BEAT_S):
                    await changed.wait()
                    continue
                yield _COMMENT

    def _chunk_from(self, place: int) -> tuple[int, bytes]:
        """Return messages from a place on, and the place behind them. Readers mostly ask for the same."""
        end = min(self.end, place + CHUNK_MESSAGES_MAX)
        if self._chunk[:2] != (place, end):
            at = place - self._first
            self._chunk = (place, end, b"".join(self._frames[at : at + end - place]))
        return end, self._chunk[2]

    def _drop(self) -> None:
        """Drop the older half, so that the cost of dropping is spread over many messages."""
        count = 0
        while len(self._seqs) - count > MESSAGES_MAX // 2 or self._bytes > BYTES_MAX // 2:
            self._bytes -= len(self._frames[count])
            count += 1
        self._lost_seq = self._seqs[count - 1]
        del self._seqs[:count], self._frames[:count]
        self._first += count

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
