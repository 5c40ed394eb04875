"""Probes of silent subscriptions: one HTTP request for each kind of channel.

Owns the request for each kind of subscription. Promises: for a subscription that has not sent anything yet,
the answer is emitted as its first message. Made by `feed.py`, called by `adapters/transport/silence.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from adapters.hyperliquid.channels import Channel
from adapters.hyperliquid.decode import Decoder
from adapters.hyperliquid.info import MarketInfo
from adapters.hyperliquid.listing import dex_of
from adapters.transport.latest import Latest, Reading, quote_of
from adapters.transport.silence import Key, Probe
from adapters.transport.trades import TradeMemory
from engine.events import InstrumentListed
from engine.values import parse_interval

__all__ = ["Probes"]

_NS_PER_MS = 1_000_000


class Probes:
    """The probes of one feed. `emit` takes the reading of a channel that has not sent anything yet."""

    def __init__(
        self,
        info: MarketInfo,
        decoder: Decoder,
        now_ns: Callable[[], int],
        latest: Latest,
        memories: Mapping[str, TradeMemory],
        emit: Callable[[Reading], None],
    ) -> None:
        self._info = info
        self._decoder = decoder
        self._now_ns = now_ns
        self._latest = latest
        self._memories = memories  # by name of instrument
        self._emit = emit

    def of(
        self, channels: Iterable[Channel], instruments: tuple[InstrumentListed, ...]
    ) -> Iterator[tuple[Key, Probe]]:
        """Yield the probe of each channel of a connection that has one.

        An instrument has one probe for candles of all intervals. The context of a spot pair has none: it
        cannot be read over HTTP.
        """
        perps = {listed.name for listed in instruments if listed.kind == "perp"}
        covered: set[Key] = set()
        for one in channels:
            key = (one.kind, one.coin or one.dex)
            if key in covered or (one.kind == "activeAssetCtx" and one.coin not in perps):
                continue
            covered.add(key)
            yield key, self._probe(one)

    def _probe(self, channel: Channel) -> Probe:
        async def probe(first: bool) -> Callable[[], bool]:
            if channel.kind == "trades":
                return await self._trades_of(channel.coin)
            if channel.kind == "candle":
                return await self._candle_of(channel, first)
            reading = await self._reading_of(channel)
            if reading is None:
                return lambda: True
            if first:
                self._emit(reading)
                return lambda: True
            return lambda: self._latest.has(reading)

        return probe

    async def _trades_of(self, name: str) -> Callable[[], bool]:
        rows = await self._info.recent_trades(name)
        trades = self._decoder.trades(
            (row for row in rows if row is not None and row.coin == name), self._now_ns()
        )
        memory = self._memories[name]
        return lambda: all(memory.has(trade) for trade in trades)

    async def _candle_of(self, channel: Channel, first: bool) -> Callable[[], bool]:
        now_ns = self._now_ns()
        interval_ns = parse_interval(channel.interval)
        start_ms = (now_ns // interval_ns - 1) * interval_ns // _NS_PER_MS
        rows = await self._info.candles(channel.coin, channel.interval, start_ms, now_ns // _NS_PER_MS)
        candle = self._decoder.candle(rows[-1], self._now_ns(), "stream") if rows else None
        if candle is None:
            return lambda: True
        key = (candle.instrument, interval_ns)
        if first:
            self._latest.candles.setdefault(key, candle)

        def has_come() -> bool:
            known = self._latest.candles.get(key)
            return known is not None and (known.start_ns, known.trades) >= (candle.start_ns, candle.trades)

        return has_come

    async def _reading_of(self, channel: Channel) -> Reading | None:
        decoder = self._decoder
        if channel.kind == "allMids":
            mids = await self._info.all_mids(channel.dex)
            return decoder.mids(mids, self._now_ns())
        if channel.kind == "activeAssetCtx":
            rows = await self._info.contexts(dex_of(channel.coin))
            own = [row for row in rows if row.coin == channel.coin]
            return decoder.context(own[0], self._now_ns()) if own else None
        row = await self._info.book(channel.coin)
        book = decoder.book(row, self._now_ns())
        return book if book is None or channel.kind == "l2Book" else quote_of(book)
