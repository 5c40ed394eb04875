"""Samples the best bid and ask and the book: spread and imbalance at the end of each window.

A window is sampled at its end by the engine's clock, with the last quote and the last complete book
received by then. A window without changes is sampled too, once there has been a quote. A quote with two
empty sides counts as no quote.
"""

from __future__ import annotations

from engine.actors.base import Actor, Emit, SetTimer, State, handles
from engine.clock import window_end, window_start
from engine.config import FlowConfig
from engine.events import BookRead, BookSampled, ClockJumped, FeedDown, Quote, SessionStarted, TimerFired
from engine.instruments import of_feed
from engine.values import InstrumentId, Price, Size, parse_interval

__all__ = ["BookSampler"]


class Touch(State):
    """An instrument's last best bid and ask, and the sizes on each side of its last book."""

    bid: Price
    bid_size: Size
    ask: Price
    ask_size: Size
    waits: list[int]  # the intervals that have a timer
    bids: Size = 0
    asks: Size = 0


class BookSampler(Actor):
    """State: per instrument, the latest quote and book."""

    WIRING = Actor.WIRING | {"_spans_ns", "_depth"}
    _touches: dict[InstrumentId, Touch]

    def __init__(self, config: FlowConfig) -> None:
        super().__init__("book-sampler")
        self._spans_ns = sorted(parse_interval(name) for name in config.book)
        self._depth = config.depth
        self._touches = {}

    @handles(Quote)
    def note_quote(self, quote: Quote, emit: Emit) -> None:
        """Keep the quote, and set the timers of the instrument's windows."""
        last = self._touches.get(quote.instrument)
        if last is None:
            last = self._touches[quote.instrument] = Touch(0, 0, 0, 0, [])
        last.bid, last.bid_size = quote.bid, quote.bid_size
        last.ask, last.ask_size = quote.ask, quote.ask_size
        for span in self._spans_ns:
            if span not in last.waits:
                last.waits.append(span)
                self._set_timer(quote.instrument, span, quote.recv_ns, emit)

    @handles(BookRead)
    def note_book(self, book: BookRead, emit: Emit) -> None:
        """Sum the sizes on each side of a complete book, over `depth` levels."""
        last = self._touches.get(book.instrument)
        if last is not None:
            last.bids = sum(size for _, size, _ in book.bids[: self._depth])
            last.asks = sum(size for _, size, _ in book.asks[: self._depth])

    @handles(FeedDown, ClockJumped, SessionStarted)
    def discard(self, event: FeedDown | ClockJumped | SessionStarted, emit: Emit) -> None:
        """Discard the quotes while the feed is down, and those from before a jump of the clock."""
        numbers = of_feed(event.feed, self.instruments) if isinstance(event, FeedDown) else None
        for number, last in self._touches.items():
            if numbers is not None and number not in numbers:
                continue
            last.bid = last.ask = last.bid_size = last.ask_size = last.bids = last.asks = 0

    @handles(TimerFired)
    def sample(self, timer: TimerFired, emit: Emit) -> None:
        """Emit a sample at the end of a window and set the next timer. Without a quote, wait for one."""
        instrument, span = map(int, timer.key.split())
        last = self._touches[instrument]
        if not (last.bid_size or last.ask_size):
            last.waits.remove(span)
            return
        depth = last.bids + last.asks
        emit(
            BookSampled(
                timer.at_ns,
                instrument,
                span,
                window_start(span, timer.at_ns - 1),
                last.bid,
                last.ask,
                (last.bid_size - last.ask_size) / (last.bid_size + last.ask_size),
                (last.bids - last.asks) / depth if depth else None,
            )
        )
        self._set_timer(instrument, span, timer.at_ns, emit)

    def _set_timer(self, instrument: int, span: int, now_ns: int, emit: Emit) -> None:
        due_ns = window_end(span, window_start(span, now_ns))
        emit(SetTimer(self.name, due_ns, f"{instrument} {span}"))
