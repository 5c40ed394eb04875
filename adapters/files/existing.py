"""A day that an import is about to extend: what is in it, and its events with other numbers and scales.

Owns what may be extended: days that imports of this version wrote. Any other is a UsageError that says what
it is. Promises exact values: a scale only grows. Called by the days.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from adapters.files.merging import MarketEvent, series_of
from engine.clock import DAY_NS
from engine.errors import UsageError
from engine.events import (
    BookRead,
    Candle,
    Event,
    InstrumentListed,
    Quote,
    SessionStarted,
    Trade,
)
from engine.journal import Digest
from engine.records import derived_of, inputs_of, open_day
from engine.values import INT64_MAX, power_of_ten, wide

__all__ = ["ExistingDay", "converter"]

_ELSEWHERE: Final = "import into another journal folder"


class ExistingDay:
    """The content of a day's folder. `name` is for people, `first_ns` the time of its first event.

    Raises UsageError for a day that no import wrote, JournalError for one that cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.name = f"{path}, which exists already,"
        self._path = path
        self._reader = open_day(path)
        self._frames = self._read()
        self._first = next(self._frames, [])
        self.listed: list[InstrumentListed] = []
        for event in self._first:
            if not isinstance(event, InstrumentListed):
                break
            self.listed.append(event)
        del self._first[: len(self.listed)]
        if not self.listed or not self._first:
            raise _not_imported(path, self._first)
        self.first_ns = self.listed[0].recv_ns

    @property
    def digest(self) -> Digest:
        """The day's digest, after all of it was read."""
        return self._reader.digest

    def joined(self, listed: Sequence[InstrumentListed]) -> list[InstrumentListed]:
        """Return the instruments of the day and `listed`, each at the larger of its scales.

        Raises UsageError when an instrument is listed with other properties than the day has.
        """
        found = {(one.venue, one.name): one for one in self.listed}
        for one in listed:
            held = found.setdefault((one.venue, one.name), one)
            scales = (max(one.price_scale, held.price_scale), max(one.size_scale, held.size_scale))
            # What has neither trades nor candles says nothing of windows without trades.
            silence = one.silence or held.silence
            one = msgspec.structs.replace(one, silence=silence)
            held = msgspec.structs.replace(held, silence=held.silence or silence)
            if _at_scales(one, *scales) != _at_scales(held, *scales):
                raise UsageError(
                    f"{self._path}: has {one.venue}:{one.name} as {held.kind}, silence {held.silence}, "
                    f"not {one.kind}, silence {one.silence}; give the same --kind and --silence, "
                    f"or {_ELSEWHERE}"
                )
            found[one.venue, one.name] = _at_scales(held, *scales)
        return list(found.values())

    def groups(
        self, listed: Sequence[InstrumentListed]
    ) -> Iterator[tuple[int, dict[tuple[int, int], list[MarketEvent]]]]:
        """Yield the events of each time stamp by instrument and series, as `listed` numbers and scales
        them."""
        by_key = {(one.venue, one.name): one for one in listed}
        converters = {one.instrument: converter(one, by_key[one.venue, one.name]) for one in self.listed}
        ns = -1
        group: dict[tuple[int, int], list[MarketEvent]] = {}
        for event in self._events():
            if event.recv_ns != ns and group:
                yield ns, group
                group = {}
            ns = event.recv_ns
            convert = converters[event.instrument]
            event = event if convert is None else convert(event)
            group.setdefault((event.instrument, series_of(event)), []).append(event)
        yield ns, group

    def _events(self) -> Iterator[MarketEvent]:
        yield from self._checked(self._first)
        for events in self._frames:
            yield from self._checked(events)

    def _checked(self, events: Sequence[Event]) -> Iterator[MarketEvent]:
        for event in events:
            if not isinstance(event, MarketEvent):
                raise _not_imported(self._path, events)
            if isinstance(event, Candle) and event.recv_ns % DAY_NS == 0:
                raise UsageError(
                    f"{self._path}: an earlier version imported it, with the last candle of the day before; "
                    f"{_ELSEWHERE}"
                )
            yield event

    def _read(self) -> Iterator[list[Event]]:
        for frame in self._reader:
            if derived_of(frame):
                raise _not_imported(self._path, inputs_of(frame))
            yield inputs_of(frame)


def _not_imported(path: Path, events: Sequence[Event]) -> UsageError:
    what = "what no import writes"
    if any(isinstance(event, SessionStarted) for event in events):
        what = "what a session recorded"
    return UsageError(f"{path}: exists already and holds {what}; {_ELSEWHERE}")


def converter(
    before: InstrumentListed, after: InstrumentListed
) -> Callable[[MarketEvent], MarketEvent] | None:
    """Return what gives an event of `before` the number and scales of `after`; None if they are the same."""
    number = after.instrument
    price = power_of_ten(after.price_scale - before.price_scale)
    size = power_of_ten(after.size_scale - before.size_scale)
    if number == before.instrument and price == size == 1:
        return None

    def convert(event: MarketEvent) -> MarketEvent:
        changed, largest = _rescaled(event, number, price, size)
        if largest > INT64_MAX:
            raise UsageError(
                f"{after.name}: a value does not fit 64 bits at {after.price_scale} decimals of price and "
                f"{after.size_scale} of size, which the journal needs; {_ELSEWHERE}"
            )
        return changed

    return convert


def _rescaled(event: MarketEvent, number: int, price: int, size: int) -> tuple[MarketEvent, int]:
    """Return an event with another number, prices and sizes times a factor; and the largest of these."""
    if isinstance(event, Trade):
        trade = Trade(
            event.recv_ns,
            event.venue_ns,
            number,
            event.price * price,
            event.size * size,
            event.aggressor,
            event.trade_id,
        )
        return trade, max(trade.price, trade.size)
    if isinstance(event, Candle):
        candle = Candle(
            event.recv_ns,
            event.venue_ns,
            number,
            event.interval_ns,
            event.start_ns,
            event.open * price,
            event.high * price,
            event.low * price,
            event.close * price,
            wide(int(event.volume) * size),
            event.trades,
        )
        return candle, candle.high
    if isinstance(event, Quote):
        quote = Quote(
            event.recv_ns,
            event.venue_ns,
            number,
            event.bid * price,
            event.bid_size * size,
            event.ask * price,
            event.ask_size * size,
        )
        return quote, max(quote.bid, quote.ask, quote.bid_size, quote.ask_size)
    if isinstance(event, BookRead):
        bids, asks = (
            tuple((at * price, shown * size, count) for at, shown, count in side)
            for side in (event.bids, event.asks)
        )
        book = BookRead(event.recv_ns, event.venue_ns, number, bids, asks, event.fast)
        return book, max((max(at, shown) for at, shown, _ in (*bids, *asks)), default=0)
    # Damage, contexts and rates have no value at the instrument's scales.
    return msgspec.structs.replace(event, instrument=number), 0


def _at_scales(listed: InstrumentListed, price_scale: int, size_scale: int) -> InstrumentListed:
    """Return the listing at other scales, without its number and time."""
    return msgspec.structs.replace(
        listed, recv_ns=0, instrument=0, price_scale=price_scale, size_scale=size_scale
    )
