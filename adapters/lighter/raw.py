"""Decodes recorded messages of Lighter's stream, for `engine replay --from-raw`.

Promises: every event that the feed could emit of a message, candles before they are closed too. The messages
of trades and books name a market by its number only; the number's name is learned from the quotes, which
every session subscribes to first. What comes before its market is named waits for that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from adapters.lighter.decode import Decoder
from adapters.lighter.salvage import Reader, Subscribed
from adapters.lighter.wire import (
    BookFrame,
    CandlesFrame,
    Channel,
    SpotStatsFrame,
    StatsFrame,
    TickerFrame,
    TradesFrame,
)
from adapters.transport.protocol import Salvaged
from adapters.transport.sequence import CHAINED, Snapshot
from adapters.transport.synced import EVERY_NS, SyncedBook
from engine.errors import VenueProtocolError
from engine.events import Event, InstrumentListed

__all__ = ["LighterRawDecoder"]

_WAITING_MAX: Final = 10_000


class LighterRawDecoder:
    """See `engine.venue.RawDecoder`. `names` are those of markets by number, as far as they are known."""

    books_every_ns = EVERY_NS

    def __init__(
        self, instruments: Sequence[InstrumentListed], names: Mapping[int, str] | None = None
    ) -> None:
        self._names = dict(names or {})
        self._known = {listed.name for listed in instruments}
        self._reader = Reader(self._names)
        self._decoder = Decoder(instruments, self._names)
        self._books = {listed.instrument: SyncedBook(listed, CHAINED, pulled=False) for listed in instruments}
        self._waiting: list[tuple[int, Any, int, bool]] = []  # market, frame, receipt, whether it is whole

    def decode(self, message: str | bytes, recv_ns: int) -> Sequence[Event]:
        """See `RawDecoder`."""
        frame: Any = self._reader.decode(message)
        if isinstance(frame, Subscribed):
            frame = frame.data
        whole = True
        if isinstance(frame, Salvaged):
            if frame.frame is None:
                raise VenueProtocolError(frame.damages[0].reason)
            frame, whole = frame.frame, False
        if not hasattr(frame, "channel") or not frame.channel:
            return []
        market = Channel.of(frame.channel).market
        learned = self._learn(market, frame)
        if market not in self._names:
            if len(self._waiting) < _WAITING_MAX:
                self._waiting.append((market, frame, recv_ns, whole))
            return []
        events = self._release(market) if learned else []
        return [*events, *self._events(frame, recv_ns, whole=whole)]

    def _learn(self, market: int, frame: Any) -> bool:
        """Learn the name of a market from a message that has both; return whether it is new."""
        name = frame.ticker.s if isinstance(frame, TickerFrame) else ""
        if isinstance(frame, StatsFrame):
            name = frame.market_stats.symbol
        if market in self._names or name not in self._known:
            return False
        self._names[market] = name
        return True

    def _release(self, market: int) -> list[Event]:
        """Return the events of the messages that waited for the name of a market."""
        events: list[Event] = []
        for _, frame, recv_ns, whole in [one for one in self._waiting if one[0] == market]:
            events += self._events(frame, recv_ns, whole=whole)
        self._waiting = [one for one in self._waiting if one[0] != market]
        return events

    def _events(self, frame: Any, recv_ns: int, *, whole: bool) -> list[Event]:
        if isinstance(frame, TradesFrame):
            pieces, liquidations = self._decoder.prints(frame, recv_ns, whole=whole)
            return [*(trade for piece in pieces for trade in piece), *liquidations]
        if isinstance(frame, CandlesFrame):
            return list(self._decoder.candles(frame, recv_ns))
        reading: Event | None = None
        if isinstance(frame, TickerFrame):
            reading = self._decoder.quote(frame, recv_ns)
        elif isinstance(frame, StatsFrame | SpotStatsFrame):
            reading = self._decoder.context(frame, recv_ns)
        elif isinstance(frame, BookFrame):
            return self._books_of(frame, recv_ns)
        return [] if reading is None else [reading]

    def _books_of(self, frame: BookFrame, recv_ns: int) -> list[Event]:
        """Return the state of a book after a message."""
        found = self._decoder.book(frame, recv_ns)
        if found is None:
            return []
        listed, content = found
        book = self._books[listed.instrument]
        if isinstance(content, Snapshot):
            book.take_snapshot(content)
        else:
            book.take_diff(content)
        now = book.now(recv_ns)
        return [] if now is None else [now]
