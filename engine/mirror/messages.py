"""The messages of a mirror: frames of a journal in their bytes, and its records as JSON.

Owns the names of headers and the ids. `docs/mirror.md` describes them for other programs. Both kinds carry
the place in the journal: day, first and last seq and digest of the frame, and how much of the frame is
stored with this message (`Retape-Done: PART/WHOLE`, bytes of a frame or records of it). Called by `pushing`
and `pulling`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from engine.events import DayOpened, Event
from engine.events.render import Renderer
from engine.journal import FRAME_BYTES_MAX, Digest, Frame, day_name, parse_day
from engine.journal.segment import JOURNAL_ID_SIZE
from engine.mirror.broker import Message
from engine.mirror.errors import MirrorOutOfStep
from engine.mirror.source import Piece
from engine.records import records_of

__all__ = [
    "EVENTS",
    "FRAMES",
    "HEADERS_MAX",
    "PART_MIN",
    "EventMessages",
    "FrameMessages",
    "Place",
    "place_of",
]

FRAMES: Final = "frames"
EVENTS: Final = "events"
"""What a stream holds; also the last word of its subject."""

HEADERS_MAX: Final = 1024
"""Upper bound on the bytes of the headers of a message, which count towards the broker's limit."""
_WHOLE_MAX: Final = 2 * FRAME_BYTES_MAX
"""Upper bound on the bytes or records of a frame, with the headers before it."""
PART_MIN: Final = 4096
"""A broker that takes less data in a message is refused."""


class Place(msgspec.Struct, frozen=True):
    """The place of a message in the journal. `done` of `whole` bytes or records are stored up to it."""

    journal_id: bytes
    day: str
    segment: int
    first_seq: int
    last_seq: int
    digest: Digest
    done: int
    whole: int


def place_of(headers: Mapping[str, str], where: str) -> Place:
    """Return the place of a message. Raises MirrorOutOfStep if it is not one of ours.

    What it says of its length is bounded: the parts of a frame are kept until all are there.
    """
    try:
        done, _, whole = headers["Retape-Done"].partition("/")
        segment, first, last = (int(headers[f"Retape-{one}"]) for one in ("Segment", "First-Seq", "Last-Seq"))
        digest = bytes.fromhex(headers["Retape-Digest"])
        journal_id = bytes.fromhex(headers["Retape-Journal"])
        day = headers["Retape-Day"]
        place = Place(journal_id, day, segment, first, last, digest, int(done), int(whole))
        if len(journal_id) != JOURNAL_ID_SIZE or parse_day(day) is None or not 0 < place.whole <= _WHOLE_MAX:
            raise ValueError
    except (KeyError, ValueError):
        raise MirrorOutOfStep(f"{where}: holds a message that no engine wrote; give another stream") from None
    return place


class FrameMessages:
    """Frames as messages: one a frame, or several parts of one that is above the broker's limit."""

    kind = FRAMES

    def __init__(self, bytes_max: int) -> None:
        self._part = bytes_max - HEADERS_MAX

    def see(self, frame: Frame) -> None:
        """Do nothing: a frame does not depend on those before it."""

    def of(self, piece: Piece, done: int = 0) -> Iterator[Message]:
        """Yield the messages of a frame, without its first `done` bytes."""
        whole = len(piece.data)
        name = f"{piece.journal_id.hex()}:{day_name(piece.day)}:{piece.frame.first_seq}"
        while done < whole:
            part = piece.data[done : done + self._part]
            number = f":{done}" if len(part) < whole else ""
            done += len(part)
            yield Message(_headers(piece, name + number, done, whole), part)


class EventMessages:
    """Records as lines of JSON, the objects of `engine inspect --json`: one message a frame, or several."""

    kind = EVENTS

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max - HEADERS_MAX
        self._renderer = Renderer()
        self._day = 0

    def see(self, frame: Frame) -> None:
        """Learn the instruments of a frame of the day that is not sent."""
        for _, _, event in records_of(frame):
            self._learn(event)

    def of(self, piece: Piece, done: int = 0) -> Iterator[Message]:
        """Yield the messages of the records of a frame, without its first `done`."""
        if self._day not in (0, piece.day):
            self._renderer = Renderer()
        self._day = piece.day
        first = piece.frame.first_seq
        lines: list[bytes] = []
        size, stored = 0, done
        for seq, cause, event in records_of(piece.frame):
            self._learn(event)
            if seq - first < done:
                continue
            line = self._line(seq, cause, event)
            if lines and size + len(line) > self._bytes_max:
                yield self._message(piece, stored, lines)
                stored += len(lines)
                lines, size = [], 0
            lines.append(line)
            size += len(line)
        if lines:
            yield self._message(piece, stored, lines)

    def _learn(self, event: Event) -> None:
        if isinstance(event, DayOpened):
            self._renderer.learn(event.instruments)
        self._renderer.see(event)

    def _line(self, seq: int, cause: int, event: Event) -> bytes:
        record = self._renderer.as_json(seq, cause, event)
        line = msgspec.json.encode(record) + b"\n"
        if len(line) > self._bytes_max:  # a state, of which other programs can use nothing
            kept = {key: record[key] for key in ("seq", "cause", "type", "at", "at_ns")}
            line = msgspec.json.encode({**kept, "left_out_bytes": len(line)}) + b"\n"
        return line

    def _message(self, piece: Piece, stored: int, lines: list[bytes]) -> Message:
        name = f"{piece.journal_id.hex()}:{day_name(piece.day)}:{piece.frame.first_seq + stored}"
        headers = _headers(piece, name, stored + len(lines), piece.frame.count)
        return Message(headers, b"".join(lines))


def _headers(piece: Piece, name: str, done: int, whole: int) -> dict[str, str]:
    return {
        "Nats-Msg-Id": name,
        "Retape-Journal": piece.journal_id.hex(),
        "Retape-Day": day_name(piece.day),
        "Retape-Segment": str(piece.segment),
        "Retape-First-Seq": str(piece.frame.first_seq),
        "Retape-Last-Seq": str(piece.frame.last_seq),
        "Retape-Digest": piece.frame.digest.hex(),
        "Retape-Done": f"{done}/{whole}",
    }
