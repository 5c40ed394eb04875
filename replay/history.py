"""History that `engine backfill` fetched, as market data of a backtest. Called by `replay.joining`.

A backfill records candles and funding rates when it reads them, long after their time. Candles are played for
instruments of which the days have neither trades nor candles: those of the shortest interval, each once (the
newest reading counts), received at their end like candles of a file. Funding rates count at the time they are
for. What a live session reads to warm up its strategies is not played. Memory holds what is played.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from engine.clock import DAY_NS
from engine.events import Candle, CandleRead, Event, FundingRead, InstrumentListed, SessionStarted, Trade
from engine.records import inputs_of, open_day
from engine.values import format_interval
from replay.days import RecordedDay, is_fetching, opening_listings, opening_of
from replay.mapping import Converter, Joint
from replay.merging import Batch

__all__ = ["FetchedHistory", "without_fetched"]

_BATCH = 2048

_Candles = dict[int, dict[int, Candle]]
"""Candles of one instrument by interval and start."""


class FetchedHistory:
    """The fetched history that is played. `candles` are in order of their end, `rates` of their time.

    `names` are the labels of the instruments. `notes` say by number what is played, for people.
    """

    def __init__(
        self, days: Sequence[RecordedDay], joints: Mapping[str, Joint], names: Mapping[int, str]
    ) -> None:
        self.candles: list[Candle] = []
        self.rates: list[FundingRead] = []
        self.notes: dict[int, str] = {}
        fetched = [day for day in days if day.fetched]
        if not fetched:
            return
        candles: dict[str, _Candles] = {}
        rates: dict[tuple[str, int], FundingRead] = {}
        for day in fetched:
            _read(day, joints, candles, rates)
        for key in sorted(candles.keys() - _played(days, set(candles)), key=lambda key: joints[key].number):
            by_interval = candles[key]
            shortest = min(by_interval)
            self.candles += by_interval[shortest].values()
            others = " ".join(format_interval(one) for one in sorted(by_interval) if one != shortest)
            beside = f" (not its {others})" if others else ""
            number = joints[key].number
            self.notes[number] = (
                f"{names[number]}: the days have no trades or candles of it; played are the "
                f"{len(by_interval[shortest]):,} candles of {format_interval(shortest)} that "
                f"`engine backfill` fetched{beside}"
            )
        self.candles.sort(key=lambda one: (one.recv_ns, one.instrument))
        self.rates = sorted(rates.values(), key=lambda one: (one.recv_ns, one.instrument))

    def batches(self) -> Iterator[Batch]:
        """Yield the candles."""
        for at in range(0, len(self.candles), _BATCH):
            yield list(self.candles[at : at + _BATCH]), False


def _read(
    day: RecordedDay,
    joints: Mapping[str, Joint],
    candles: dict[str, _Candles],
    rates: dict[tuple[str, int], FundingRead],
) -> None:
    """Add the history that the sessions of a day fetched, in joint numbers and scales."""
    converter = Converter(joints, str(day.folder))
    fetching = False
    for index, frame in enumerate(open_day(day.folder, day.disk)):
        opened = opening_of(frame) if index == 0 else None
        if opened is not None:
            converter.convert(opening_listings(opened), lists=True)
            fetching = is_fetching(opened.started)
        for event in inputs_of(frame):
            if isinstance(event, InstrumentListed):
                converter.convert([event], lists=True)
            elif isinstance(event, SessionStarted):
                fetching = is_fetching(event)
            elif fetching and isinstance(event, CandleRead | FundingRead):
                key = converter.key(event.instrument)
                (same,) = converter.convert([event], lists=False)
                if isinstance(same, FundingRead):
                    rates[key, same.venue_ns] = msgspec.structs.replace(same, recv_ns=same.venue_ns)
                elif isinstance(same, CandleRead) and same.purpose == "history":
                    by_interval = candles.setdefault(key, {})
                    by_interval.setdefault(same.interval_ns, {})[same.start_ns] = _candle(same)


def _candle(read: CandleRead) -> Candle:
    """Return a candle of the history as an import of it would have it: received at its end.

    One that ends at midnight belongs to the day that ends.
    """
    end_ns = read.venue_ns
    return Candle(
        end_ns if end_ns % DAY_NS else end_ns - 1,
        end_ns,
        read.instrument,
        read.interval_ns,
        read.start_ns,
        read.open,
        read.high,
        read.low,
        read.close,
        read.volume,
        read.trades,
    )


def _played(days: Sequence[RecordedDay], among: set[str]) -> set[str]:
    """Return which of the instruments have trades or candles in the days. Reads no further than needed."""
    found: set[str] = set()
    for day in days:
        missing = (among & day.keys) - found
        keys: dict[int, str] = {}
        for index, frame in enumerate(open_day(day.folder, day.disk) if missing else ()):
            opened = opening_of(frame) if index == 0 else None
            for event in [*(opened.instruments if opened is not None else ()), *inputs_of(frame)]:
                if isinstance(event, InstrumentListed):
                    keys[event.instrument] = event.key
                elif isinstance(event, Trade | Candle):
                    found.add(keys.get(event.instrument, ""))
            if missing <= found:
                break
    return found


def without_fetched(inputs: list[Event], fetching: bool) -> tuple[list[Event], bool]:
    """Return the inputs without rates that a backfill fetched, and whether it is under way after them."""
    kept: list[Event] = []
    for event in inputs:
        if isinstance(event, SessionStarted):
            fetching = is_fetching(event)
        if not (fetching and isinstance(event, FundingRead)):
            kept.append(event)
    return kept, fetching
