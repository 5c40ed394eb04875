"""The part of a strategy's actor that knows the newest prices of markets.

Owns the newest trade, quote, mark and bar of each market, of which a trade and a quote are followed once a
reading has asked for them. Called by the verbs and readings. Base class of `StrategyActor`.
"""

from __future__ import annotations

from engine.actors.base import RoutesChanged
from engine.clock import window_end
from engine.events import BarClosed, ContextRead, Event, Quote, Trade
from engine.strategies.following import Following
from engine.strategies.placing import drops
from engine.strategies.windows import Closed
from engine.values import InstrumentId, Price

__all__ = ["NewestPrices"]


class NewestPrices(Following):
    """State: the newest `trades`, `closes`, `marks` and `quotes` by market; which of them are followed.

    `contexts` are in the state only once they are followed.
    """

    trades: dict[InstrumentId, Trade]
    closes: dict[InstrumentId, Closed]
    marks: dict[InstrumentId, Price]
    quotes: dict[InstrumentId, Quote]
    follows_trades: bool
    follows_quotes: bool
    contexts: dict[InstrumentId, ContextRead]
    follows_contexts = False

    def forget(self) -> None:
        """Forget all: another session begins."""
        for kept in (self.trades, self.closes, self.marks, self.quotes):
            kept.clear()
        if self.follows_contexts:
            self.contexts.clear()

    def note_context(self, context: ContextRead) -> None:
        """Keep the mark of a context, and the context itself if it is followed."""
        if context.mark is not None:
            listed = self.instruments[context.instrument]
            self.marks[context.instrument] = listed.nearest_price(int(context.mark), context.scale)
        if self.follows_contexts:
            self.contexts[context.instrument] = context

    def follow_contexts(self) -> None:
        """Follow market contexts from now on."""
        if not self.follows_contexts and not drops(self.emit):
            self.follows_contexts = True
            self.contexts = {}

    def follow(self, event_type: type[Event]) -> None:
        """Follow trades or quotes from now on."""
        name = "follows_trades" if event_type is Trade else "follows_quotes"
        if not getattr(self, name) and not drops(self.emit):
            setattr(self, name, True)
            self.emit(RoutesChanged())

    def last_price(self, instrument: int) -> int:
        """Return the newest price of a market that is known here; 0 for none."""
        event = self.event
        if isinstance(event, Trade) and event.instrument == instrument:
            return event.price
        trade, bar = self.trades.get(instrument), self.closes.get(instrument)
        if trade is not None and (bar is None or trade.venue_ns >= _end_ns(bar)):
            return trade.price
        if bar is not None:
            return bar.close
        quote = self.quotes.get(instrument)
        if quote is not None and quote.bid and quote.ask:
            return (quote.bid + quote.ask) // 2
        return self.marks.get(instrument, 0)

    def price(self, instrument: int) -> int:
        """Return the price at which a position is valued: the mark, else the newest; 0 for none."""
        return self.marks.get(instrument, 0) or self.last_price(instrument)


def _end_ns(bar: Closed) -> int:
    """Return the venue's time up to which a bar has trades."""
    return window_end(bar.interval_ns, bar.start_ns) if isinstance(bar, BarClosed) else bar.end_ns
