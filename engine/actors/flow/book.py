"""Samples of the touch and the book: spread and imbalance at the end of each window.

A window is sampled by the engine's clock at its end, with the last touch and the last whole book that were
received by then; one in which nothing changed is sampled too, once there was a touch. A touch that both
sides lack counts as none.
"""

from __future__ import annotations

from engine.actors.base import Actor, Emit, SetTimer, State, handles
from engine.clock import window_end, window_start
from engine.config import FlowConfig
from engine.events import BookRead, BookSampled, FeedDown, Quote, SessionStarted, TimerFired
from engine.values import parse_interval

__all__ = ["BookSampler"]


class Touch(State):
    """The last touch of an instrument, and its last book's sizes on each side."""

    bid: int
    bid_size: int
    ask: int
    ask_size: int
    waits: list[int]  # the intervals whose end is waited for
    bids: int = 0
    asks: int = 0


class BookSampler(Actor):
    """State: per instrument, what was received last."""

    WIRING = Actor.WIRING | {"_spans_ns", "_depth"}

    def __init__(self, config: FlowConfig) -> None:
        super().__init__("book-sampler")
        self._spans_ns = sorted(parse_interval(name) for name in config.book)
        self._depth = config.depth
        self._touches: dict[int, Touch] = {}

    @handles(Quote)
    def note_touch(self, quote: Quote, emit: Emit) -> None:
        """Take the touch."""
        touch = self._touches.get(quote.instrument)
        if touch is None:
            touch = self._touches[quote.instrument] = Touch(0, 0, 0, 0, [])
        touch.bid, touch.bid_size = quote.bid, quote.bid_size
        touch.ask, touch.ask_size = quote.ask, quote.ask_size
        for span in self._spans_ns:
            if span not in touch.waits:
                touch.waits.append(span)
                self._ask(quote.instrument, span, quote.recv_ns, emit)

    @handles(BookRead)
    def note_book(self, book: BookRead, emit: Emit) -> None:
        """Take what rests on each side of a whole book, `depth` levels of it."""
        touch = self._touches.get(book.instrument)
        if touch is not None:
            touch.bids = sum(size for _, size, _ in book.bids[: self._depth])
            touch.asks = sum(size for _, size, _ in book.asks[: self._depth])

    @handles(FeedDown, SessionStarted)
    def forget(self, event: FeedDown | SessionStarted, emit: Emit) -> None:
        """A touch that nobody keeps up is none."""
        for touch in self._touches.values():
            touch.bid = touch.ask = touch.bid_size = touch.ask_size = touch.bids = touch.asks = 0

    @handles(TimerFired)
    def sample(self, timer: TimerFired, emit: Emit) -> None:
        """Tell what is known at the end of a window, and wait for the next; without a touch, for one."""
        instrument, span = map(int, timer.key.split())
        touch = self._touches[instrument]
        if not (touch.bid_size or touch.ask_size):
            touch.waits.remove(span)
            return
        depth = touch.bids + touch.asks
        emit(
            BookSampled(
                timer.at_ns,
                instrument,
                span,
                window_start(span, timer.at_ns - 1),
                touch.bid,
                touch.ask,
                (touch.bid_size - touch.ask_size) / (touch.bid_size + touch.ask_size),
                (touch.bids - touch.asks) / depth if depth else None,
            )
        )
        self._ask(instrument, span, timer.at_ns, emit)

    def _ask(self, instrument: int, span: int, now_ns: int, emit: Emit) -> None:
        due_ns = window_end(span, window_start(span, now_ns))
        emit(SetTimer(self.name, due_ns, f"{instrument} {span}"))
