"""What a feed did according to the journal: when it was down, what it had emitted, which trades it doubted.

Answers whether the feed had a reason to leave a decoded event out, and whether it may have read a recorded
one over HTTP. A feed with several connections names the instruments of one that it lost (`FeedDown.
instruments`): the others go on, so only those have the loss as a reason. Called by `redecode.py`.
"""

from __future__ import annotations

from typing import Any, Final

from engine.events import BookRead, Event, FeedDamaged, FeedDown, FeedGap, FeedPolling, FeedUp, Quote, Trade
from replay.event_keys import Key, content_of, key_of, series_of

__all__ = ["TRADES_MAX", "RecordedFeed"]

TRADES_MAX: Final = 4096
"""Trades remembered per instrument, as the feed does."""


class RecordedFeed:
    """State: see the module. It ends with a session, or with the day."""

    def __init__(self) -> None:
        self.last_emitted_ns = 0
        self._trades: dict[int, dict[Key, None]] = {}
        self._newest_ns: dict[Key, int] = {}
        self._last: dict[Key, Any] = {}
        self._gap_ns: dict[int, int] = {}
        self._doubted: set[int] = set()  # instruments whose missing trades the feed may read over HTTP
        self._first_ns: dict[Key, int] = {}  # the first message of each series since the feed was down
        self._down = True  # all of it
        self._lost: set[int] = set()  # instruments of connections that are down
        self._polling = False
        self._floor_ns: int | None = None  # older trades are not emitted; None: not known yet

    def open_day(self, at_ns: int) -> None:
        """Continue over midnight."""
        self._down = False
        self._floor_ns = at_ns

    def begin(self) -> None:
        """Begin a session: the feed is not up yet."""
        self._down, self._polling, self._floor_ns = True, False, None
        self._lost.clear()
        self._doubted.clear()

    def end(self) -> None:
        """End a session."""
        self._trades.clear()
        self._newest_ns.clear()
        self._last.clear()
        self._first_ns.clear()

    def note(self, event: FeedUp | FeedDown | FeedDamaged | FeedPolling | FeedGap) -> None:
        """Take note of what the feed reported of itself."""
        self.last_emitted_ns = event.recv_ns
        if isinstance(event, FeedGap):
            self._gap_ns[event.instrument] = event.recv_ns
            self._doubted.discard(event.instrument)
        elif isinstance(event, FeedDamaged):
            if event.in_doubt:
                self._doubted.add(event.instrument)
        elif isinstance(event, FeedPolling):
            self._polling = event.active
        elif isinstance(event, FeedUp):
            self._down = False
            self._lost.clear()
            if self._floor_ns is None:
                self._floor_ns = event.recv_ns
        elif event.instruments:
            self._lost.update(event.instruments)
            for series in [series for series in self._first_ns if self._lost.intersection(series[1:2])]:
                del self._first_ns[series]
        else:
            self._down = True
            self._first_ns.clear()

    def note_message(self, event: Any, recv_ns: int) -> None:
        """Take note of a decoded event: the first one of its series may be recorded already, over HTTP."""
        self._first_ns.setdefault(series_of(event), recv_ns)

    def remember(self, event: Any) -> None:
        """Take note of a record."""
        if isinstance(event, Trade):
            trades = self._trades.setdefault(event.instrument, {})
            trades[key_of(event)] = None
            if len(trades) > TRADES_MAX:
                del trades[next(iter(trades))]
        elif isinstance(event, Quote | BookRead):
            newest_ns = self._newest_ns.get(series_of(event), 0)
            self._newest_ns[series_of(event)] = max(event.venue_ns, newest_ns)
        else:
            self._last[series_of(event)] = content_of(event)

    def is_down(self, event: Event) -> bool:
        """Return whether the connection of a decoded event is down."""
        return self._down or getattr(event, "instrument", 0) in self._lost

    def is_known(self, event: Any, *, waiting: bool) -> bool:
        """Return whether a decoded event repeats what was emitted; `waiting`: or what was decoded before."""
        if isinstance(event, Trade):
            return waiting or key_of(event) in self._trades.get(event.instrument, ())
        if isinstance(event, Quote | BookRead):
            return event.venue_ns < self._newest_ns.get(series_of(event), 0)
        return bool(self._last.get(series_of(event)) == content_of(event))

    def leaves_out(self, event: Any) -> bool:
        """Return whether a decoded trade was emitted since, or is older than what the feed emits."""
        if not isinstance(event, Trade):
            return False
        old = self._floor_ns is None or event.venue_ns <= self._floor_ns
        return old or key_of(event) in self._trades.get(event.instrument, ())

    def may_be_over_rest(self, event: Any, within_ns: int) -> bool:
        """Return whether the feed may have read this event over HTTP, soon after a series began or at all."""
        if isinstance(event, Trade):
            return event.instrument in self._doubted or self._gap_ns.get(event.instrument) == event.recv_ns
        if isinstance(event, Quote | BookRead) and (self.is_down(event) or self._polling):
            return True
        first_ns = self._first_ns.get(series_of(event))
        return first_ns is None or event.recv_ns - first_ns <= within_ns
