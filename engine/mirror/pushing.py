"""Brings a stream to the end of a journal, from wherever the stream ends.

The stream itself holds the cursor: its last message names a frame and its digest. It is read at the start
and after every error, and compared with the journal, so a lost answer needs no rule of its own: what was
stored is found there, and sending continues behind it. Every message is stored only behind the one that was
last when it was sent (the fence), so two writers of the same journal cannot interleave, and one of another
state of the journal stands down. Called by `engine mirror push` and by the mirror of a session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from engine.mirror.broker import Broker, Fenced, Message
from engine.mirror.errors import MirrorOutOfStep, MirrorUnfit
from engine.mirror.messages import (
    EVENTS,
    FRAMES,
    HEADERS_MAX,
    PART_MIN,
    EventMessages,
    FrameMessages,
    Place,
    place_of,
)
from engine.mirror.source import FrameSource

__all__ = ["Lane", "Mirror"]

BATCH_BYTES: Final = 4 * 1024 * 1024
BATCH_MESSAGES: Final = 500
"""A batch is sent before its first answer is awaited; beyond these bounds it is sent."""
FENCED_MAX: Final = 5
"""So often in a row another writer may be faster before this one gives way for a while."""


class Lane:
    """One stream of a mirror: the frames, or the records as JSON."""

    def __init__(self, kind: str, broker: Broker, days: Callable[[], Sequence[Path]]) -> None:
        self._kind = kind
        self._broker = broker
        self._source = FrameSource(days)
        self._messages: FrameMessages | EventMessages | None = None
        self._end = 0  # number of the last message of the stream
        self._done = 0  # bytes or records of the next frame that are stored
        self._ahead: Place | None = None  # the end of the stream, if the journal has not reached it
        self.seq = 0
        """Seq of the last record of the last frame that is wholly in the stream, as far as is known."""

    def push(self, until_seq: int | None = None, progress: Callable[[int], None] | None = None) -> None:
        """Send what the stream lacks. Raises MirrorError; the next call reads the end of the stream again.

        With `until_seq`, what goes up to it is durable; else the segment is synced before it is sent.
        """
        for attempt in range(FENCED_MAX):
            try:
                self._push(until_seq, progress)
                return
            except Fenced:
                self._messages = None
                if attempt == FENCED_MAX - 1:
                    raise
            except BaseException:
                self._messages = None
                raise

    def behind(self) -> MirrorOutOfStep | None:
        """Return the error for a stream that holds more than the journal, None if it does not."""
        if self._ahead is None:
            return None
        return MirrorOutOfStep(
            f"{self._broker.place}: the stream goes to seq {self._ahead.last_seq}, but the journal ends at "
            f"{self._source.seq}; it was shortened: `engine mirror pull` makes it again from the stream"
        )

    def _push(self, until_seq: int | None, progress: Callable[[int], None] | None) -> None:
        if self._messages is None or self._ahead is not None:
            self._resume()
        if self._ahead is not None:
            return
        for batch, seq in self._batches(until_seq):
            if until_seq is None:
                self._source.sync()
            self._broker.append(self._kind, batch, self._end)
            self._end += len(batch)
            self.seq = seq
            if progress is not None:
                progress(seq)

    def _batches(self, until_seq: int | None) -> Iterator[tuple[list[Message], int]]:
        """Yield messages, and the seq up to which the stream is complete with them."""
        assert self._messages is not None
        batch: list[Message] = []
        size, seq = 0, self.seq
        for piece in self._source.read(until_seq):
            done, self._done = self._done, 0
            for message in self._messages.of(piece, done):
                if batch and (size + len(message.data) > BATCH_BYTES or len(batch) >= BATCH_MESSAGES):
                    yield batch, seq
                    batch, size = [], 0
                batch.append(message)
                size += len(message.data)
            seq = piece.frame.last_seq
        if batch:
            yield batch, seq

    def _resume(self) -> None:
        """Read the end of the stream, and go behind it in the journal."""
        place, source = self._broker.place, self._source
        state = self._broker.open(self._kind)
        if state.bytes_max < HEADERS_MAX + PART_MIN:
            raise MirrorUnfit(
                f"{place}: the broker takes messages of {state.bytes_max} bytes; a mirror needs "
                f"{HEADERS_MAX + PART_MIN} (larger frames go in parts)"
            )
        make = FrameMessages if self._kind == FRAMES else EventMessages
        messages: FrameMessages | EventMessages = make(state.bytes_max)
        self._end, self._done, self._ahead = state.last, 0, None
        source.rewind()
        if state.last:
            (last,) = self._broker.read(self._kind, state.last, 1)
            self._go_behind(place_of(last.headers, place), messages)
        self._messages = messages

    def _go_behind(self, end: Place, messages: FrameMessages | EventMessages) -> None:
        place, source = self._broker.place, self._source
        identity = source.identity()
        if identity not in (None, end.journal_id):
            raise MirrorOutOfStep(
                f"{place}: the stream holds journal {end.journal_id.hex()}, not this one; give another stream"
            )
        frame = source.seek(end.first_seq, messages.see if self._kind == EVENTS else None)
        if frame is None:
            if identity is not None and source.seq == 0:
                raise MirrorOutOfStep(
                    f"{place}: the stream ends at seq {end.last_seq}, before the first day given; give the "
                    "days before it too"
                )
            self._ahead, self.seq = end, source.seq
            return
        if (frame.first_seq, frame.last_seq, frame.digest) != (end.first_seq, end.last_seq, end.digest):
            raise MirrorOutOfStep(
                f"{place}: at seq {end.first_seq} the stream holds another state of the journal; this one "
                "sends nothing to it. Give another stream, or pull the journal from this one"
            )
        self.seq = end.last_seq
        if end.done < end.whole:
            source.step_back(frame)
            self._done, self.seq = end.done, end.first_seq - 1


class Mirror:
    """The streams of one journal. `seq` is what all of them hold."""

    def __init__(self, broker: Broker, days: Callable[[], Sequence[Path]], *, events: bool = False) -> None:
        self.broker = broker
        self._lanes = [Lane(kind, broker, days) for kind in (FRAMES, EVENTS)[: 1 + events]]

    @property
    def seq(self) -> int:
        """Seq of the last record that every stream holds."""
        return min(lane.seq for lane in self._lanes)

    def push(self, until_seq: int | None = None, progress: Callable[[int], None] | None = None) -> int:
        """Send what the streams lack, and return the seq reached. Raises MirrorError, JournalError."""
        for lane in self._lanes:
            lane.push(until_seq, progress)
        return self.seq

    def check_end(self) -> None:
        """Raise MirrorOutOfStep if a stream holds more than the journal."""
        for lane in self._lanes:
            if (error := lane.behind()) is not None:
                raise error

    def close(self) -> None:
        """Close the connection."""
        self.broker.close()
