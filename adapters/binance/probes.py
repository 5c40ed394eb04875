"""Probes of silent subscriptions: one request of REST for each kind of stream that has one.

A venue that accepts the name of any stream, and whose roots carry only some of them, shows by nothing but
such a probe that a stream is dead. Liquidations have none: they cannot be read over REST. Nor has a book: its
first diff asks for a snapshot, and it is compared with the best bid and ask by its own sequence. Made by
`feed.py`, called by `adapters/transport/silence.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from adapters.binance.channels import Channel
from adapters.binance.decode import NS_PER_MS, Decoder
from adapters.binance.history import read_trades
from adapters.binance.rest import BinanceRest
from adapters.transport.latest import Reading
from adapters.transport.probing import Arrived, ProbeParts, VenueProbes, each_once
from adapters.transport.silence import Key, Probe
from engine.events import InstrumentListed
from engine.values import parse_interval

__all__ = ["Probes"]


class Probes(VenueProbes[BinanceRest, Decoder]):
    """The probes of one feed. `named` are the instruments by their names."""

    def __init__(
        self, info: BinanceRest, decoder: Decoder, parts: ProbeParts, named: Mapping[str, InstrumentListed]
    ) -> None:
        super().__init__(info, decoder, parts)
        self._named = named

    def of(self, channels: Iterable[Channel]) -> Iterator[tuple[Key, Probe]]:
        """Yield the probe of each channel that has one; an instrument has one for candles of all
        intervals."""
        for key, one in each_once(channels, lambda one: (one.kind, one.name)):
            if one.kind in ("aggTrade", "trade", "kline", "bookTicker", "markPrice"):
                yield key, self._probe(one)

    def _probe(self, channel: Channel) -> Probe:
        listed = self._named[channel.name]

        async def probe(first: bool) -> Arrived:
            if channel.kind in ("aggTrade", "trade"):
                return await self._trades_of(channel, listed)
            if channel.kind == "kline":
                return await self._candle_of(channel, listed, first)
            return self._reading(await self._reading_of(channel, listed), first)

        return probe

    async def _trades_of(self, channel: Channel, listed: InstrumentListed) -> Arrived:
        pieces = await read_trades(
            self._info, self._decoder, listed, channel.kind, None, self._now_ns(), pages_max=1
        )
        return self._trades(listed.name, pieces)

    async def _candle_of(self, channel: Channel, listed: InstrumentListed, first: bool) -> Arrived:
        now_ns = self._now_ns()
        interval_ns = parse_interval(channel.interval)
        start_ms = (now_ns // interval_ns - 1) * interval_ns // NS_PER_MS
        rows = await self._info.klines(listed.name, channel.interval, start_ms, now_ns // NS_PER_MS)
        candle = (
            self._decoder.answered_candle(listed, channel.interval, rows[-1], self._now_ns(), "stream")
            if rows
            else None
        )
        return self._candle(candle, first)

    async def _reading_of(self, channel: Channel, listed: InstrumentListed) -> Reading | None:
        if channel.kind == "markPrice":
            row = await self._info.premium_index(listed.name)
            return self._decoder.context(row, self._now_ns())
        return self._decoder.answered_quote(listed, await self._info.ticker(listed.name), self._now_ns())
