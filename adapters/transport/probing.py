"""Probes of silent subscriptions: what is the same for every venue.

Owns when what was read over HTTP has also come on the stream. A venue's probes derive from it and add the
requests. Called by `silence.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, NamedTuple, TypeVar

from adapters.transport.gaps import Pieces
from adapters.transport.latest import Latest, Reading
from adapters.transport.silence import Key
from adapters.transport.trades import TradeMemory
from engine.events import CandleRead

__all__ = ["Arrived", "ProbeParts", "VenueProbes", "each_once"]

Arrived = Callable[[], bool]
"""Returns whether the stream has sent it."""

_Channel = TypeVar("_Channel")
_Decoder = TypeVar("_Decoder")
_Info = TypeVar("_Info")


class ProbeParts(NamedTuple):
    """What the probes of a feed have of it.

    `memories` are those of trades, by name of instrument; `emit` takes the reading of a channel that has not
    sent anything yet.
    """

    now_ns: Callable[[], int]
    latest: Latest
    memories: Mapping[str, TradeMemory]
    emit: Callable[[Reading], None]


class VenueProbes(Generic[_Info, _Decoder]):
    """The probes of one feed."""

    def __init__(self, info: _Info, decoder: _Decoder, parts: ProbeParts) -> None:
        self._info = info
        self._decoder = decoder
        self._now_ns, self._latest, self._memories, self._emit = parts

    def _trades(self, name: str, pieces: Pieces) -> Arrived:
        memory = self._memories[name]
        return lambda: all(memory.has(trade) for piece in pieces for trade in piece)

    def _candle(self, candle: CandleRead | None, first: bool = False) -> Arrived:
        """Wait for a candle; if none has come yet (`first`), later ones are compared with it."""
        if candle is None:
            return lambda: True
        key = (candle.instrument, candle.interval_ns)
        if first:
            self._latest.candles.setdefault(key, candle)

        def has_come() -> bool:
            known = self._latest.candles.get(key)
            return known is not None and _age(known) >= _age(candle)

        return has_come

    def _reading(self, reading: Reading | None, first: bool) -> Arrived:
        """Wait for a reading; if none has come yet (`first`), it is emitted itself."""
        if reading is None:
            return lambda: True
        if first:
            self._emit(reading)
            return lambda: True
        return lambda: self._latest.has(reading)


def each_once(channels: Iterable[_Channel], key: Callable[[_Channel], Key]) -> Iterator[tuple[Key, _Channel]]:
    """Yield the first channel of each key: candles of all intervals have one probe together."""
    covered: set[Key] = set()
    for one in channels:
        if key(one) not in covered:
            covered.add(key(one))
            yield key(one), one


def _age(candle: CandleRead) -> tuple[int, int]:
    """Return what grows while trades are added to a candle. Some venues do not count trades."""
    return candle.start_ns, candle.trades or int(candle.volume)
