"""Probes of silent subscriptions: one HTTP request for each kind of channel.

Owns the request for each kind of subscription. Every channel sends its state on subscribing, so a probe
never replaces a first message. The venue gives no time with a book: best bid and ask are compared by their
prices only. Statistics have no probe. Made by `feed.py`, called by `adapters/transport/silence.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from adapters.apex.channels import BOOK, TRADES, symbol_of
from adapters.apex.decode import Decoder
from adapters.apex.info import ApexInfo
from adapters.apex.rules import INTERVALS
from adapters.apex.wire import Level, Topic
from adapters.transport.latest import Latest
from adapters.transport.silence import Key, Probe
from adapters.transport.trades import TradeMemory
from adapters.transport.values import positive
from engine.clock import SECOND_NS
from engine.errors import NumberError, VenueProtocolError
from engine.events import InstrumentListed, Quote
from engine.values import parse_interval, parse_scaled

__all__ = ["Probes", "read_quote"]

_OURS: Final = {theirs: ours for ours, theirs in INTERVALS.items()}


async def read_quote(info: ApexInfo, listed: InstrumentListed, now_ns: int) -> Quote:
    """Return the best bid and ask of the book; the venue gives no time, `now_ns` stands for it.

    Raises VenueError.
    """
    depth = await info.depth(symbol_of(listed.name))
    bid, bid_size = max(_levels(depth.b, listed), default=(0, 0))
    ask, ask_size = min(_levels(depth.a, listed), default=(0, 0))
    return Quote(now_ns, now_ns, listed.instrument, bid, bid_size, ask, ask_size)


class Probes:
    """The probes of one feed."""

    def __init__(
        self,
        info: ApexInfo,
        decoder: Decoder,
        now_ns: Callable[[], int],
        latest: Latest,
        memories: Mapping[str, TradeMemory],
        named: Mapping[str, InstrumentListed],
    ) -> None:
        self._info = info
        self._decoder = decoder
        self._now_ns = now_ns
        self._latest = latest
        self._memories = memories  # by name of instrument
        self._named = named  # by symbol

    def of(self, topics: Iterable[Topic]) -> Iterator[tuple[Key, Probe]]:
        """Yield the probe of each topic that has one; candles of all intervals have one together."""
        covered: set[Key] = set()
        for one in topics:
            key = (one.kind, self._named[one.symbol].name)
            if key not in covered and one.kind in (TRADES, BOOK, "candle"):
                covered.add(key)
                yield key, self._probe(one)

    def _probe(self, topic: Topic) -> Probe:
        listed = self._named[topic.symbol]

        async def probe(_first: bool) -> Callable[[], bool]:
            if topic.kind == TRADES:
                return await self._trades_of(listed)
            if topic.kind == "candle":
                return await self._candle_of(topic, listed)
            best = await read_quote(self._info, listed, self._now_ns())
            return lambda: self._has_come(best)

        return probe

    def _has_come(self, best: Quote) -> bool:
        quote = self._latest.quotes.get(best.instrument)
        return quote is not None and (
            quote.recv_ns >= best.recv_ns or (quote.bid, quote.ask) == (best.bid, best.ask)
        )

    async def _trades_of(self, listed: InstrumentListed) -> Callable[[], bool]:
        rows = await self._info.recent_trades(symbol_of(listed.name))
        pieces = self._decoder.trades([one for one in rows if one is not None], listed, self._now_ns())
        memory = self._memories[listed.name]
        return lambda: all(memory.has(trade) for piece in pieces for trade in piece)

    async def _candle_of(self, topic: Topic, listed: InstrumentListed) -> Callable[[], bool]:
        now_ns = self._now_ns()
        interval_ns = parse_interval(_OURS[topic.interval])
        start_s = (now_ns // interval_ns - 1) * interval_ns // SECOND_NS
        rows = await self._info.klines(topic.symbol, topic.interval, start_s, now_ns // SECOND_NS, 2)
        if not rows:
            return lambda: True
        row = max(rows, key=lambda one: int(one.t))
        candle = self._decoder.candle(row, listed, interval_ns, self._now_ns(), "stream")
        if candle is None:
            return lambda: True

        def has_come() -> bool:
            known = self._latest.candles.get((listed.instrument, interval_ns))
            return known is not None and (known.start_ns, int(known.volume)) >= (
                candle.start_ns,
                int(candle.volume),
            )

        return has_come


def _levels(levels: Iterable[Level], listed: InstrumentListed) -> list[tuple[int, int]]:
    try:
        return [
            (positive(price, listed.price_scale, listed.name), parse_scaled(size, listed.size_scale))
            for price, size in levels
        ]
    except NumberError as error:
        raise VenueProtocolError(f"{listed.name}: {error}") from error
