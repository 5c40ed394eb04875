"""Probes of silent subscriptions: one HTTP request for each kind of channel.

Owns the request for each kind of subscription. Every channel sends its state on subscribing, so a probe
never replaces a first message. The venue gives no time with a book: best bid and ask are compared by their
prices only. Statistics have no probe. Made by `feed.py`, called by `adapters/transport/silence.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from adapters.apex.channels import BOOK, TRADES, symbol_of
from adapters.apex.decode import Decoder
from adapters.apex.info import ApexInfo
from adapters.apex.rules import INTERVALS
from adapters.apex.wire import Level, Topic
from adapters.transport.probing import Arrived, ProbeParts, VenueProbes, each_once
from adapters.transport.silence import Key, Probe
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


class Probes(VenueProbes[ApexInfo, Decoder]):
    """The probes of one feed. `named` are the instruments by symbol."""

    def __init__(
        self, info: ApexInfo, decoder: Decoder, parts: ProbeParts, named: Mapping[str, InstrumentListed]
    ) -> None:
        super().__init__(info, decoder, parts)
        self._named = named

    def of(self, topics: Iterable[Topic]) -> Iterator[tuple[Key, Probe]]:
        """Yield the probe of each topic that has one; candles of all intervals have one together."""
        for key, one in each_once(topics, lambda one: (one.kind, self._named[one.symbol].name)):
            if one.kind in (TRADES, BOOK, "candle"):
                yield key, self._probe(one)

    def _probe(self, topic: Topic) -> Probe:
        listed = self._named[topic.symbol]

        async def probe(_first: bool) -> Arrived:
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

    async def _trades_of(self, listed: InstrumentListed) -> Arrived:
        rows = await self._info.recent_trades(symbol_of(listed.name))
        pieces = self._decoder.trades([one for one in rows if one is not None], listed, self._now_ns())
        return self._trades(listed.name, pieces)

    async def _candle_of(self, topic: Topic, listed: InstrumentListed) -> Arrived:
        now_ns = self._now_ns()
        interval_ns = parse_interval(_OURS[topic.interval])
        start_s = (now_ns // interval_ns - 1) * interval_ns // SECOND_NS
        rows = await self._info.klines(topic.symbol, topic.interval, start_s, now_ns // SECOND_NS, 2)
        if not rows:
            return lambda: True
        row = max(rows, key=lambda one: int(one.t))
        return self._candle(self._decoder.candle(row, listed, interval_ns, self._now_ns(), "stream"))


def _levels(levels: Iterable[Level], listed: InstrumentListed) -> list[tuple[int, int]]:
    try:
        return [
            (positive(price, listed.price_scale, listed.name), parse_scaled(size, listed.size_scale))
            for price, size in levels
        ]
    except NumberError as error:
        raise VenueProtocolError(f"{listed.name}: {error}") from error
