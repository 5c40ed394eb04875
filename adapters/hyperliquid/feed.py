"""The Hyperliquid market data feed: what is printed, quoted and shown of some coins, all through a session.

Owns what is believed of the market, and its way to the engine. Promises: run() ends only by cancellation or
when the engine no longer takes events; each print is told once, in batches, with `recv_ns` never going back
(as long as the clock does not); FeedUp comes when every subscription is confirmed; every loss of a
connection is a FeedDown with the reason and the wait; every return gives each instrument a FeedGap that says
whether prints are missing. Called by the runtime, which supervises it and reads `health`.

The coins are shared out over as few connections as `FeedLimits.subscriptions_max` allows (`line.py`). They
are one feed to the engine, not several: bars are in doubt while any part is down, so a FeedDown names the
coins of the lost connection, FeedUp waits for all, and then the coins of the others get a closed gap.

Beside the connections run, if there is an `info` to ask: the watch over silent subscriptions (`silence.py`),
the repair of windows with prints missing and the comparison of closed bars (`repair.py`), and polling while
a connection stays down (`polling.py`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import trio

from adapters.hyperliquid.channels import check_channels, share_out, venue_intervals
from adapters.hyperliquid.decode import Decoder, touch_of
from adapters.hyperliquid.info import websocket_url
from adapters.hyperliquid.limits import LIMITS
from adapters.hyperliquid.questions import Questions
from adapters.hyperliquid.wire import (
    BboFrame,
    BookFrame,
    CandleFrame,
    ContextFrame,
    Frame,
    MidsFrame,
    SpotContextFrame,
    TradesFrame,
    WireBook,
    WireCandle,
)
from adapters.transport.candles import PushedCandles
from adapters.transport.connection import Dial, Loss, dial_url
from adapters.transport.context import Desk, MarketInfo, Recent
from adapters.transport.gaps import Tape
from adapters.transport.governor import Governor
from adapters.transport.health import FeedHealth, FeedLimits
from adapters.transport.latest import Latest, Reading
from adapters.transport.polling import Polling
from adapters.transport.repair import Checks, Repairs
from adapters.transport.silence import Silences
from adapters.transport.stream import Line, Tap
from adapters.transport.trades import LastTrade, Prints
from engine.config import DataConfig
from engine.errors import UsageError
from engine.events import Event, FeedDown, FeedGap, FeedUp, InstrumentListed
from engine.ports import Clock

__all__ = ["HyperliquidFeed"]

_COINS_NAMED_MAX = 3


class HyperliquidFeed:
    """A feed of `instruments` (at least one) from the venue at `base_url`.

    `send` takes a batch of events and may wait: that is the backpressure. `offer`, if given, takes one at
    once or says no; it saves the way through a task when nothing waits. `jitter` returns 0 to 1.

    `since_ns` is when the session started, in the venue's time: a print from before is never told, since a
    bar must not be built from part of its prints, and the venue replays prints of minutes ago on subscribing.
    `last_seen` gives, by instrument number, the last print in the journal: for these the limit is that
    print, and the first replay tells whether prints are missing since, as after a loss.

    `data` says what is read beside prints and the touch, and how it is watched; `intervals` are the session's
    bars. `info` is asked for what a stream cannot prove; without one, only `recent` is, for missed prints.
    `governor` is the account of this address's limits, shared with `info` and a gateway. `tap` takes every
    message as it came. Raises UsageError for channels, or more coins, than can be had.
    """

    def __init__(
        self,
        *,
        name: str,
        base_url: str,
        instruments: Sequence[InstrumentListed],
        clock: Clock,
        jitter: Callable[[], float],
        send: Callable[[list[Event]], Awaitable[None]],
        offer: Callable[[list[Event]], bool] | None = None,
        since_ns: int,
        last_seen: Mapping[int, LastTrade] | None = None,
        recent: Recent | None = None,
        limits: FeedLimits | None = None,
        dial: Dial | None = None,
        info: MarketInfo | None = None,
        data: DataConfig | None = None,
        intervals: Sequence[str] = (),
        governor: Governor | None = None,
        tap: Tap | None = None,
    ) -> None:
        assert instruments, "a feed without instruments would never be confirmed"
        data = data or DataConfig()
        check_channels(data.channels)
        self._name = name
        self._clock = clock
        self._send = send
        self._offer = offer
        self._limits = limits = limits or FeedLimits()
        self.governor = governor or Governor(LIMITS)
        self.health = FeedHealth()
        self._decoder = Decoder(instruments, self.health.dropped)
        self._desk = desk = Desk(
            name, clock, jitter, limits, self.health, self.governor, self._decoder, self._emit, self.room
        )
        self._delivering = False
        # Filled by decoding, emptied by `_deliver`; at most pending_max and one frame's events.
        self._pending: list[Event] = []
        self._filled = trio.Event()
        self._emptied = trio.Event()
        self._interrupted: dict[int, int] = {}  # by instrument, its last print when the feed went down
        self._started = False
        self._fast = "l2BookFast" in data.channels
        self._books = self._fast or "l2Book" in data.channels
        self._latest = Latest(self.health)
        self._candles = PushedCandles(lambda end_ns: desk.seconds_since(end_ns) >= limits.grace_s)
        url = websocket_url(base_url)
        dial = dial or dial_url(url)
        shares = share_out(instruments, data.channels, intervals, limits.subscriptions_max)
        self._lines = [Line(desk, self, coins, wanted, url, dial, tap) for coins, wanted in shares]
        asked = sum(len(wanted) for _, wanted in shares)
        if asked > self.governor.limits.subscriptions:
            raise UsageError(
                f"{asked} subscriptions are more than the {self.governor.limits.subscriptions} "
                "that the venue allows; choose fewer coins or channels"
            )
        seen = last_seen or {}
        recent = info.recent_trades if recent is None and info is not None else recent
        self._tapes = {
            listed.instrument: Tape(
                desk,
                listed,
                Prints(self.health, since_ns, seen.get(listed.instrument)),
                recent,
                self._interrupt_bars,
            )
            for listed in instruments
        }
        # Run beside the lines, if there is somebody to ask.
        self._watchers: list[Callable[[], Awaitable[None]]] = []
        self._silences = Silences(desk)
        self._questions: Questions | None = None
        self._repairs: Repairs | None = None
        self._polling: Polling | None = None
        if info is not None:
            self._watch_with(info, instruments, intervals, data, since_ns)

    def _watch_with(
        self,
        info: MarketInfo,
        instruments: Sequence[InstrumentListed],
        intervals: Sequence[str],
        data: DataConfig,
        since_ns: int,
    ) -> None:
        desk = self._desk
        prints = {listed.name: self._tapes[listed.instrument].prints for listed in instruments}
        self._questions = Questions(desk, info, self._latest, prints, self._tell_reading)
        self._repairs = Repairs(desk, info, instruments, intervals)
        self._watchers += [self._silences.run, self._repairs.run]
        if data.check_minutes and venue_intervals(intervals):
            every_s = data.check_minutes * 60.0
            self._watchers.append(Checks(desk, info, instruments, intervals, every_s, since_ns).run)
        if data.poll_after_s:
            self._polling = Polling(
                desk,
                info,
                self._lines,
                intervals,
                data.poll_after_s,
                self._tell_polled_book,
                self._interrupt_bars,
            )
            self._watchers.append(self._polling.run)

    async def run(self) -> None:
        """Keep the feed up until cancelled. Raises what `send` raises, and nothing of the network's.

        May be called again after it raised: it goes on with what the engine has not taken.
        """
        self._delivering = False
        if self._started:
            for tape in self._tapes.values():
                tape.prints.lose()
            for line in self._lines:
                self._silences.forget(line)
        self._started = True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._deliver)
            for watcher in self._watchers:
                nursery.start_soon(watcher)
            for line in self._lines:
                nursery.start_soon(line.run)

    # ---- what lines say

    def line_up(self, line: Line, recv_ns: int) -> None:
        """Take that a connection's subscriptions are confirmed; the feed is up once those of all are."""
        if self._questions is not None:
            self._silences.watch(line, self._questions.of(line.wanted, line.instruments), recv_ns)
        if self._resuming(line):
            line.start_soon(self._ask_about_silent, line)
        if not all(one.live for one in self._lines):
            # Its own gap is told next: what is still in doubt begins here.
            self._interrupted |= {listed.instrument: recv_ns for listed in line.instruments}
            return
        self.health.live = True
        subscriptions = sum(len(one.wanted) for one in self._lines)
        attempts = sum(one.take_attempts() for one in self._lines)
        self._emit(FeedUp(recv_ns, self._name, subscriptions, attempts))
        if self._polling is not None:
            self._polling.line_up()
        for number, from_ns in self._interrupted.items():
            if not self._tapes[number].prints.resuming:
                self._emit(FeedGap(recv_ns, self._name, number, from_ns, recv_ns, True))
        self._interrupted.clear()

    def line_down(self, line: Line, loss: Loss, backoff_ms: int) -> None:
        """Take that a connection is lost, and dials again after the backoff."""
        for number, tape in self._tapes.items():
            self._interrupted.setdefault(number, tape.prints.last_ns)
        for listed in line.instruments:
            self._tapes[listed.instrument].prints.lose()
        self._candles.lose(listed.instrument for listed in line.instruments)
        self._silences.forget(line)
        self.health.live = False
        reason = loss.reason
        if len(self._lines) > 1:
            names = [listed.name for listed in line.instruments]
            more = f" and {len(names) - _COINS_NAMED_MAX} more" if len(names) > _COINS_NAMED_MAX else ""
            reason = f"{', '.join(names[:_COINS_NAMED_MAX])}{more}: {reason}"
        self._emit(FeedDown(self._clock.now_ns(), self._name, reason, backoff_ms))

    def tell(self, line: Line, frame: Frame, recv_ns: int) -> None:
        """Tell what a message says, as far as it is news. Raises VenueProtocolError."""
        if isinstance(frame, BboFrame):
            self._silences.hear("bbo", frame.data.coin, recv_ns)
            quote = self._decoder.quote(frame.data, recv_ns)
            if quote is not None:
                self._tell_reading(quote)
        elif isinstance(frame, TradesFrame):
            trades = self._decoder.trades(frame.data, recv_ns)
            if frame.data:
                self._silences.hear("trades", frame.data[0].coin, recv_ns)
            if len(trades) == 1:
                self._tapes[trades[0].instrument].tell(trades, recv_ns, line)
                return
            for instrument in dict.fromkeys(trade.instrument for trade in trades):
                own = [trade for trade in trades if trade.instrument == instrument]
                self._tapes[instrument].tell(own, recv_ns, line)
        elif isinstance(frame, BookFrame):
            self._tell_book(frame.data, recv_ns)
        elif isinstance(frame, ContextFrame | SpotContextFrame):
            self._silences.hear("activeAssetCtx", frame.data.coin, recv_ns)
            context = self._decoder.context(frame.data, recv_ns)
            if context is not None:
                self._tell_reading(context)
        elif isinstance(frame, MidsFrame):
            self._silences.hear("allMids", frame.data.dex or "", recv_ns)
            mids = self._decoder.mids(frame.data.mids, recv_ns)
            if mids is not None:
                self._tell_reading(mids)
        elif isinstance(frame, CandleFrame):
            rows = frame.data if isinstance(frame.data, list) else [frame.data]
            for row in rows:
                self._tell_candle(row, recv_ns)

    @property
    def crowded(self) -> bool:
        """Whether the engine is behind."""
        return len(self._pending) >= self._limits.pending_max

    async def room(self) -> None:
        """Wait while the engine is behind."""
        while self.crowded:
            await self._emptied.wait()

    # ---- what is told

    def _tell_reading(self, reading: Reading) -> None:
        if self._latest.is_news(reading):
            self._emit(reading)

    def _tell_book(self, row: WireBook, recv_ns: int) -> None:
        if bool(row.fast) != self._fast:
            self.health.dropped["channel"] += 1
            return
        self._silences.hear("l2Book", row.coin, recv_ns)
        book = self._decoder.book(row, recv_ns)
        if book is not None:
            self._tell_reading(book)

    def _tell_polled_book(self, row: WireBook, recv_ns: int) -> None:
        """Tell the touch of a book read over HTTP, and the book where books are asked for."""
        book = self._decoder.book(row, recv_ns)
        if book is not None:
            self._tell_reading(touch_of(book))
            if self._books:
                self._tell_reading(book)

    def _tell_candle(self, row: WireCandle, recv_ns: int) -> None:
        self._silences.hear("candle", row.coin, recv_ns)
        candle = self._decoder.candle(row, recv_ns, "stream")
        if candle is not None:
            self._latest.candles[candle.instrument, candle.interval_ns] = candle
            self._emit(*self._candles.take(candle))

    def _interrupt_bars(self, instrument: int, from_ns: int, to_ns: int) -> None:
        if self._repairs is not None:
            self._repairs.touch(instrument, from_ns, to_ns)

    def _resuming(self, line: Line) -> list[InstrumentListed]:
        return [listed for listed in line.instruments if self._tapes[listed.instrument].prints.resuming]

    async def _ask_about_silent(self, line: Line) -> None:
        """Ask about the coins that have said nothing since a reconnect: quiet, or with prints we missed."""
        await trio.sleep(self._limits.replay_s)
        for listed in self._resuming(line):
            await self._tapes[listed.instrument].ask_if_silent(line)

    # ---- to the engine

    def _emit(self, *events: Event) -> None:
        if not events:
            return
        idle = not self._pending and not self._delivering
        if self._offer is not None and idle and self._offer(list(events)):
            self.health.batches += 1
            return
        self._pending += events
        self.health.events += len(events)
        self.health.pending_high = max(self.health.pending_high, len(self._pending))
        self._filled.set()

    async def _deliver(self) -> None:
        """Hand over what is decoded, as much as there is at a time."""
        while True:
            if not self._pending:
                self._filled = trio.Event()
                await self._filled.wait()
            batch, self._pending = self._pending, []
            self._emptied.set()
            self._emptied = trio.Event()
            self.health.batches += 1
            self._delivering = True
            try:
                await self._send(batch)
            except BaseException:
                self._pending = batch + self._pending  # taken whole or not at all: told by the next run
                raise
            self._delivering = False
