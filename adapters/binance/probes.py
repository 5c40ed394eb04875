"""Probes of silent subscriptions: one request of REST for each kind of stream that has one.

A venue that accepts the name of any stream, and whose roots carry only some of them, shows by nothing but
such a probe that a stream is dead. Liquidations have none: they cannot be read over REST. Nor has a book: its
first diff asks for a snapshot, and it is compared with the best bid and ask by its own sequence. Made by
`feed.py`, called by `adapters/transport/silence.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from adapters.binance.channels import Channel
from adapters.binance.decode import NS_PER_MS, Decoder
from adapters.binance.history import read_trades
from adapters.binance.rest import BinanceRest
from adapters.transport.latest import Latest, Reading
from adapters.transport.silence import Key, Probe
from adapters.transport.trades import TradeMemory
from engine.events import InstrumentListed
from engine.values import parse_interval

__all__ = ["Probes"]


class Probes:
    """The probes of one feed. `emit` takes the reading of a stream that has not sent anything yet."""

    def __init__(
        self,
        rest: BinanceRest,
        decoder: Decoder,
        instruments: Mapping[str, InstrumentListed],
        now_ns: Callable[[], int],
        latest: Latest,
        memories: Mapping[str, TradeMemory],
        emit: Callable[[Reading], None],
    ) -> None:
        self._rest = rest
        self._decoder = decoder
        self._instruments = instruments
        self._now_ns = now_ns
        self._latest = latest
        self._memories = memories  # by name of instrument
        self._emit = emit

    def of(self, channels: Iterable[Channel]) -> Iterator[tuple[Key, Probe]]:
        """Yield the probe of each channel that has one; an instrument has one for candles of all
        intervals."""
        covered: set[Key] = set()
        for one in channels:
            key = (one.kind, one.name)
            if key not in covered and one.kind in ("aggTrade", "trade", "kline", "bookTicker", "markPrice"):
                covered.add(key)
                yield key, self._probe(one)

    def _probe(self, channel: Channel) -> Probe:
        listed = self._instruments[channel.name]

        async def probe(first: bool) -> Callable[[], bool]:
            if channel.kind in ("aggTrade", "trade"):
                return await self._trades_of(channel, listed)
            if channel.kind == "kline":
                return await self._candle_of(channel, listed, first)
            reading = await self._reading_of(channel, listed)
            if reading is None:
                return lambda: True
            if first:
                self._emit(reading)
                return lambda: True
            return lambda: self._latest.has(reading)

        return probe

    async def _trades_of(self, channel: Channel, listed: InstrumentListed) -> Callable[[], bool]:
        pieces = await read_trades(
            self._rest, self._decoder, listed, channel.kind, None, self._now_ns(), pages_max=1
        )
        memory = self._memories[listed.name]
        return lambda: all(memory.has(trade) for piece in pieces for trade in piece)

    async def _candle_of(self, channel: Channel, listed: InstrumentListed, first: bool) -> Callable[[], bool]:
        now_ns = self._now_ns()
        interval_ns = parse_interval(channel.interval)
        start_ms = (now_ns // interval_ns - 1) * interval_ns // NS_PER_MS
        rows = await self._rest.klines(listed.name, channel.interval, start_ms, now_ns // NS_PER_MS)
        candle = (
            self._decoder.answered_candle(listed, channel.interval, rows[-1], self._now_ns(), "stream")
            if rows
            else None
        )
        if candle is None:
            return lambda: True
        key = (candle.instrument, interval_ns)
        if first:
            self._latest.candles.setdefault(key, candle)

        def has_come() -> bool:
            known = self._latest.candles.get(key)
            return known is not None and (
                known.start_ns > candle.start_ns
                or (known.start_ns == candle.start_ns and int(known.volume) >= int(candle.volume))
            )

        return has_come

    async def _reading_of(self, channel: Channel, listed: InstrumentListed) -> Reading | None:
        if channel.kind == "markPrice":
            row = await self._rest.premium_index(listed.name)
            return self._decoder.context(row, self._now_ns())
        return self._decoder.answered_quote(listed, await self._rest.ticker(listed.name), self._now_ns())
