"""How the venue is asked whether a silent subscription is only quiet: one request for each kind.

Owns which request settles which subscription. Promises: for a subscription that has sent nothing yet, what
the venue shows is taken for its beginning, and emitted. Made by `feed.py`, asked by
`adapters/transport/silence.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from adapters.hyperliquid.channels import Channel
from adapters.hyperliquid.decode import Decoder, quote_of
from adapters.hyperliquid.info import MarketInfo
from adapters.hyperliquid.listing import dex_of
from adapters.transport.latest import Latest, Reading
from adapters.transport.silence import Ask, Key
from adapters.transport.trades import TradeMemory
from engine.events import InstrumentListed
from engine.values import parse_interval

__all__ = ["Questions"]

_NS_PER_MS = 1_000_000


class Questions:
    """The questions of one feed. `emit` takes a reading that stands for a channel that never began."""

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
        self._memories = memories  # by coin
        self._emit = emit

    def of(
        self, channels: Iterable[Channel], instruments: tuple[InstrumentListed, ...]
    ) -> Iterator[tuple[Key, Ask]]:
        """Yield the question of each channel of a connection that can be asked about.

        Candles of several intervals come together, so an instrument has one question for them. A spot pair's
        context cannot be asked for.
        """
        perps = {listed.name for listed in instruments if listed.kind == "perp"}
        asked: set[Key] = set()
        for one in channels:
            key = (one.kind, one.coin or one.dex)
            if key in asked or (one.kind == "activeAssetCtx" and one.coin not in perps):
                continue
            asked.add(key)
            yield key, self._ask(one)

    def _ask(self, channel: Channel) -> Ask:
        async def ask(first: bool) -> Callable[[], bool]:
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

        return ask

    async def _trades_of(self, coin: str) -> Callable[[], bool]:
        rows = await self._info.recent_trades(coin)
        trades = self._decoder.trades((row for row in rows if row.coin == coin), self._now_ns())
        memory = self._memories[coin]
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
