"""The newest price of each instrument, and what the prices do to open round trips.

Prices come one record at a time, or many at once as a run of inputs with nothing between them that reads
prices (`take`). Promises the same state either way; a run of trades costs a look at its newest ones, and the
lowest and the highest only of markets in which a round trip is open. Called by the collector.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Final

from engine.analysis.excursions import Excursions
from engine.events import BarClosed, Candle, Event, PathReached, Quote, Trade
from engine.instruments import Instruments
from engine.values import power_of_ten

__all__ = ["PRICED", "Prices"]

PRICED: Final = frozenset({Trade, Quote, Candle})
"""The inputs with prices, which come as runs."""


_LASTS: Final = frozenset({Trade, Candle})


class Prices:
    """State: twice the newest price of each instrument in this session, and the open round trips.

    Twice, since the middle of a quote may lie between two prices. `lasts` are the newest trades and closes of
    candles, in the order of receipt: what the account values positions at. `printed` are the instruments that
    had a trade, whose quotes say nothing more about open trips; `candled` those that had a candle. The bar of
    a candle shows open trips its prices, unless the books were led along it (`path`).
    """

    def __init__(self, instruments: Instruments) -> None:
        self.excursions = Excursions()
        self.twice: dict[int, int] = {}
        self.lasts: dict[int, int] = {}
        self.printed: set[int] = set()
        self.candled: set[int] = set()
        self._led: set[int] = set()
        self._done_ns: dict[int, int] = {}
        self._instruments = instruments

    def trade(self, _seq: int, trade: Trade) -> None:
        """Note a trade."""
        number = trade.instrument
        self.twice[number] = 2 * trade.price
        self.lasts[number] = trade.price
        self.printed.add(number)
        if number in self.excursions.markets:
            self.excursions.see(number, trade.price)

    def quote(self, _seq: int, quote: Quote) -> None:
        """Note a quote."""
        number = quote.instrument
        if quote.bid and quote.ask:
            self.twice[number] = quote.bid + quote.ask
        if number in self.excursions.markets and number not in self.printed:
            self.excursions.see_quote(number, quote.bid, quote.ask)

    def candle(self, _seq: int, candle: Candle) -> None:
        """Note a candle; the path along it comes as records of its own, its bar in any case."""
        self.candled.add(candle.instrument)
        self.twice[candle.instrument] = 2 * candle.close
        self.lasts[candle.instrument] = candle.close

    def path(self, _seq: int, reached: PathReached) -> None:
        """Note a price that a book was led to along a candle."""
        self._led.add(reached.instrument)
        self.twice[reached.instrument] = 2 * reached.price
        self.excursions.see_one((reached.instrument, reached.owner), reached.price)

    def bar(self, bar: BarClosed) -> None:
        """Note the end of a candle; longer bars that end with it began before."""
        number = bar.instrument
        if bar.closed_by != "candle" or number not in self.candled:
            return
        if bar.start_ns < self._done_ns.get(number, 0):
            return
        self._done_ns[number] = bar.start_ns + 1
        if number in self._led:
            self._led.discard(number)
        elif number in self.excursions.markets:
            prices = bar.open, bar.high, bar.low, bar.close
            self.excursions.see(number, min(prices))
            self.excursions.see(number, max(prices))

    def begin_session(self) -> None:
        """Prices of an earlier session are no reference for orders of this one."""
        self.twice.clear()

    def refine(self, number: int, finer: int) -> None:
        """Move the newest price of an instrument to a scale with so many more decimals."""
        for prices in (self.twice, self.lasts):
            if number in prices:
                prices[number] *= power_of_ten(finer)

    def take(self, inputs: Sequence[Event], begin: int, end: int, kinds: Set[type[Event]]) -> None:
        """Note the prices of the inputs from `begin` to before `end`.

        `kinds` are the types of all inputs of their frame. All instruments are listed.
        """
        if len(self.printed) < len(self._instruments):
            mixed = len(kinds & PRICED) > 1
            if mixed or (Quote in kinds and self.excursions.markets):
                self._one_by_one(inputs[begin:end])
                return
        if self.excursions.markets and Trade in kinds:
            self._see(inputs[begin:end])
        self._note_newest(inputs, begin, end, len(self._instruments) if kinds & _LASTS else 0)

    def _one_by_one(self, inputs: Sequence[Event]) -> None:
        for event in inputs:
            if isinstance(event, Trade):
                self.trade(0, event)
            elif isinstance(event, Quote):
                self.quote(0, event)
            elif isinstance(event, Candle):
                self.candle(0, event)

    def _see(self, inputs: Sequence[Event]) -> None:
        """Show open round trips the lowest and the highest trade of their market."""
        prices: dict[int, list[int]] = {number: [] for number in self.excursions.markets}
        for event in inputs:
            if event.__class__ is Trade:
                found = prices.get(event.instrument)
                if found is not None:
                    found.append(event.price)
        for number, seen in prices.items():
            if seen:
                self.excursions.see(number, min(seen))
                self.excursions.see(number, max(seen))

    def _note_newest(self, inputs: Sequence[Event], begin: int, end: int, traded: int) -> None:
        """Note the newest price of each instrument, found from the end; of `traded` the newest trade too."""
        newest: dict[int, int] = {}
        lasts: dict[int, int] = {}
        wanted = len(self._instruments)
        for at in range(end - 1, begin - 1, -1):
            event = inputs[at]
            if isinstance(event, Trade):
                self.printed.add(event.instrument)
                newest.setdefault(event.instrument, 2 * event.price)
                lasts.setdefault(event.instrument, event.price)
            elif isinstance(event, Quote) and event.bid and event.ask:
                newest.setdefault(event.instrument, event.bid + event.ask)
            elif isinstance(event, Candle):
                newest.setdefault(event.instrument, 2 * event.close)
                lasts.setdefault(event.instrument, event.close)
            if len(newest) >= wanted and len(lasts) >= traded:
                break
        self.twice |= newest
        self.lasts |= lasts
