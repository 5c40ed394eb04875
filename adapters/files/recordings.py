"""Recordings of websocket messages: which series of which instruments they hold, and their events.

A line is the time of receipt and the message: nanoseconds and a space, as hftbacktest records, or seconds and
a colon, as cryptofeed does; its lines about what was opened and sent are not read. Promises: events keep
their times, `recv_ns` of receipt and `venue_ns` of the venue; numbers are exact; memory does not grow with
the file, which is read once for each series. If the recorder's clock was behind the venue's, so that messages
seem to arrive before they were sent, the times of receipt are moved by what is missing, and the notes say so.
A trade that comes again with its id, as after every subscribe, counts once; one that is older than the
recording is left out. Where the ids of Binance's trades leave some out, the gap is an event (`FeedGap`).
Called by the importer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import msgspec

from adapters.files.kinds import BOOKS, QUOTES, TRADES
from adapters.files.messages import AGGREGATED, LAYOUTS, MARKERS, Piece
from adapters.files.noise import Column
from adapters.files.numbers import DECIMALS_MAX
from adapters.files.packed import open_packed
from adapters.files.survey import Survey
from adapters.files.tables import Lines
from engine.clock import SECOND_NS
from engine.errors import ImportRefused, NumberError, UsageError
from engine.values import INT64_MAX, format_scaled, parse_scaled

__all__ = ["RecordedSeries", "Recording", "is_recording"]

_LINE: Final = re.compile(r"(?:([0-9]{13}|[0-9]{16}|[0-9]{19}) |([0-9]{9,10}(?:\.[0-9]{1,9})?): )(?=[\[{])")
_ABOUT: Final = re.compile(r"(?:wss?|https?)://\S* <->? [0-9.]+")
_SNIFFED: Final = 100
_LINES_PER_REPORT: Final = 16_384


class RecordedSeries(msgspec.Struct):
    """One kind of data of one instrument in a recording, and what a first pass found of it."""

    symbol: str
    kind: str
    found: Survey
    count: int = 0


def is_recording(path: Path) -> bool:
    """Return whether a file is a recording of messages, by its first line. Raises as `open_table`."""
    with closing(open_packed(path)) as packed:
        if packed.raw.read(4) == b"PAR1":
            return False
        packed.raw.seek(0)
        try:
            first = Lines(packed).peek()
        except ImportRefused:
            return False  # whoever reads it as rows refuses it, with the reason
        return bool(_LINE.match(first) or _ABOUT.match(first))


class Recording:
    """A recording. `layout` is the name of its messages' layout, `behind_ns` how far its clock was behind.

    Raises UsageError for messages of no venue that is known.
    """

    def __init__(self, path: Path, layout: str | None = None) -> None:
        self.path = path
        self.behind_ns = 0
        self.begin_ns = 0
        self.notes: list[str] = []
        self.layout = layout or self._recognise()
        if self.layout not in LAYOUTS:
            raise UsageError(
                f"{path}: --layout {self.layout}: it is a recording of messages; known: {' '.join(LAYOUTS)}"
            )
        self._read_message = LAYOUTS[self.layout]
        self._only = ""  # the symbol of snapshots that name none

    def survey(self, report: Callable[[Any, int], None] | None = None) -> list[RecordedSeries]:
        """Read the recording once and return its series; trades before quotes, and so on, by symbol.

        Raises ImportRefused for a message that cannot be read: the import would refuse it, too.
        """
        reader = _Reader(self)
        series: dict[tuple[str, str], RecordedSeries] = {}
        columns: dict[str, tuple[Column, Column]] = {}
        unread: dict[str, int] = {}
        behind_ns = nameless = rows = 0
        with closing(reader):
            for recv_ns, message in reader.messages(()):
                rows += 1
                if report is not None and not rows % _LINES_PER_REPORT:
                    report(reader, rows)
                self.begin_ns = self.begin_ns or recv_ns
                pieces = reader.pieces(message)
                if not pieces:
                    name = _channel(message)
                    unread[name] = unread.get(name, 0) + 1
                for piece in pieces:
                    behind_ns = max(behind_ns, piece.venue_ns - recv_ns)
                    nameless += not piece.symbol
                    one = series.setdefault(
                        (piece.symbol, piece.kind),
                        RecordedSeries(piece.symbol, piece.kind, Survey(0, 0, first_ns=recv_ns, notes=[])),
                    )
                    one.count += 1
                    one.found.rows += 1
                    one.found.last_ns = recv_ns
                    _measure(piece, columns.setdefault(piece.symbol, (Column(), Column())))
        self.behind_ns = behind_ns
        self.begin_ns += behind_ns
        self._note(behind_ns, unread)
        found = self._named(series, columns, nameless)
        for one in found:
            prices, sizes = columns[one.symbol]
            one.found.price_decimals = min(prices.settle(DECIMALS_MAX)[0], DECIMALS_MAX)
            one.found.size_decimals = min(sizes.settle(DECIMALS_MAX)[0], DECIMALS_MAX)
            if min(one.found.price_decimals, one.found.size_decimals) < 0:
                raise UsageError(
                    f"{self.path}: prices or sizes of {one.symbol} were computed and lie on no step; give "
                    "--price-decimals and --size-decimals"
                )
            one.found.measured = ("price_decimals", "size_decimals")
            one.found.first_ns += behind_ns
            one.found.last_ns += behind_ns
        return found

    def open(self, series: RecordedSeries) -> _Reader:
        """Open the recording to read the pieces of one series; the caller closes the reader."""
        return _Reader(self, series)

    def is_of(self, piece: Piece, series: RecordedSeries) -> bool:
        """Return whether a piece belongs to a series."""
        return piece.kind == series.kind and (piece.symbol or self._only) == series.symbol

    def read(self, message: Any) -> list[Piece]:
        """Return what a message says."""
        return list(self._read_message(message))

    def _named(
        self,
        series: dict[tuple[str, str], RecordedSeries],
        columns: dict[str, tuple[Column, Column]],
        nameless: int,
    ) -> list[RecordedSeries]:
        """Return the series that can be imported: with a symbol, and one kind of trades for each."""
        symbols = sorted({symbol for symbol, _ in series if symbol})
        lost = series.pop(("", BOOKS), None)
        if lost is not None and len(symbols) == 1:
            self._only = symbols[0]
            for own, other in zip(columns[self._only], columns[""], strict=True):
                own.plain = max(own.plain, other.plain)
            one = series.setdefault((self._only, BOOKS), msgspec.structs.replace(lost, symbol=self._only))
            one.found.first_ns = min(one.found.first_ns, lost.found.first_ns)
        elif lost is not None:
            self.notes.append(f"{nameless:,} snapshots of books name no instrument and are not read")
        for symbol in symbols:
            if (symbol, TRADES) in series and (symbol, AGGREGATED) in series:
                both = series.pop((symbol, AGGREGATED))
                count = f"{both.count:,} aggregated trades"
                self.notes.append(f"{symbol}: {count} are not read beside its trades")
        order = [TRADES, AGGREGATED, QUOTES, BOOKS]
        return sorted(
            series.values(), key=lambda one: (one.symbol, order.index(one.kind) if one.kind in order else 9)
        )

    def _note(self, behind_ns: int, unread: dict[str, int]) -> None:
        self.notes.insert(0, f"recognised as a recording of messages ({self.layout})")
        if behind_ns:
            self.notes.append(
                f"the recorder's clock was at least {format_scaled(behind_ns, 9)} s behind the venue's: the "
                "times of receipt are moved by that"
            )
        if unread:
            names = ", ".join(f"{count:,} of {name}" for name, count in sorted(unread.items())[:8])
            self.notes.append(f"messages that are not market data of a known kind are not read: {names}")

    def _recognise(self) -> str:
        """Return the layout of the first messages that any venue knows."""
        with closing(_Reader(self)) as reader:
            for at, (_, message) in enumerate(reader.messages(())):
                for name, read in LAYOUTS.items():
                    try:
                        if any(True for _ in read(message)):
                            return name
                    except NumberError:
                        continue
                if at >= _SNIFFED:
                    break
        raise UsageError(
            f"{self.path}: a recording of messages of no venue that is known: {', '.join(LAYOUTS)}"
        )


class _Reader:
    """One pass over a recording; of all its messages, or of the pieces of one series."""

    def __init__(self, recording: Recording, series: RecordedSeries | None = None) -> None:
        self._recording = recording
        self._series = series
        self._packed = open_packed(recording.path)
        self._lines = Lines(self._packed)
        self._decode = msgspec.json.Decoder(float_hook=str).decode
        self.line = 0
        self.at_ns = -1

    def messages(self, markers: tuple[str, ...]) -> Iterator[tuple[int, Any]]:
        """Yield the time of receipt and the message of each line that has one of the texts, if any are given.

        Raises ImportRefused.
        """
        last_ns = -1
        for text in self._lines:
            self.line += 1
            start = _LINE.match(text)
            if start is None:
                if not text.strip() or _ABOUT.match(text):
                    continue
                raise self.refused("the line does not begin with a time of receipt and a message")
            whole, seconds = start[1], start[2]
            recv_ns = int(whole) * 10 ** (19 - len(whole)) if whole else parse_scaled(seconds, 9)
            if recv_ns < last_ns:
                raise self.refused("the time of receipt goes back; the lines must be in order of arrival")
            if recv_ns > INT64_MAX - self._recording.behind_ns:
                raise self.refused("the time of receipt lies after 2262")
            last_ns = self.at_ns = recv_ns
            if markers and not any(marker in text for marker in markers):
                continue
            try:
                message = self._decode(text[start.end() :])
            except msgspec.DecodeError as error:
                raise self.refused(f"not JSON: {error}") from None
            except RecursionError:
                raise self.refused("JSON nested too deep") from None
            if isinstance(message, dict):
                yield recv_ns, message

    def pieces(self, message: Any) -> list[Piece]:
        """Return what a message says. Raises ImportRefused."""
        try:
            return self._recording.read(message)
        except NumberError as error:
            raise self.refused(str(error)) from None

    def of_series(self) -> Iterator[tuple[int, Piece]]:
        """Yield the pieces of the series with their times of receipt."""
        recording, series = self._recording, self._series
        assert series is not None, "the reader is of one series"
        for recv_ns, message in self.messages(MARKERS[series.kind]):
            for piece in self.pieces(message):
                if recording.is_of(piece, series):
                    yield recv_ns + recording.behind_ns, piece

    def refused(self, reason: str) -> ImportRefused:
        """Return the error for the line that is being read."""
        at_ns = self.at_ns + self._recording.behind_ns
        return ImportRefused(str(self._recording.path), max(1, self.line), reason, at_ns=at_ns)

    def bytes_read(self) -> int:
        """Return how far the file was read, in its own bytes."""
        return self._lines.bytes_read()

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


def _measure(piece: Piece, columns: tuple[Column, Column]) -> None:
    """Note the decimals of a piece."""
    prices, sizes = columns
    if piece.kind in (TRADES, AGGREGATED):
        prices.add(piece.data[0])
        sizes.add(piece.data[1])
    elif piece.kind == QUOTES:
        bid, bid_size, ask, ask_size = piece.data
        for cell in (bid, ask):
            prices.add(cell)
        for cell in (bid_size, ask_size):
            sizes.add(cell)
    elif piece.kind == BOOKS:
        for price, size, _ in (*piece.data.bids, *piece.data.asks):
            prices.add(price)
            sizes.add(size)


def _channel(message: Any) -> str:
    """Return what a message that is not read is called, for people."""
    data = message.get("data")
    inner = data.get("e") if isinstance(data, dict) else None
    name = message.get("channel") or inner or message.get("e") or message.get("topic") or "another kind"
    return str(name)[:40]


BACKLOG_NS: Final = 5 * SECOND_NS
"""A trade that is this much older than the first message was sent again on subscribing."""
