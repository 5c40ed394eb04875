"""How the venue is asked whether a silent subscription is only quiet: one question for each kind.

Owns which request settles which subscription. Promises: a question of a subscription that has never spoken
takes what the venue shows for its beginning, and tells it. Made by `feed.py`, asked by `silence.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from adapters.hyperliquid.channels import Wanted
from adapters.hyperliquid.decode import touch_of
from adapters.hyperliquid.listing import dex_of
from adapters.transport.context import Desk, MarketInfo
from adapters.transport.latest import Latest, Reading
from adapters.transport.silence import Ask, Key
from adapters.transport.trades import Prints
from engine.events import InstrumentListed
from engine.values import parse_interval

__all__ = ["Questions"]

_NS_PER_MS = 1_000_000


class Questions:
    """The questions of one feed. `tell` takes a reading that stands for a stream that never began."""

    def __init__(
        self,
        desk: Desk,
        info: MarketInfo,
        latest: Latest,
        prints: Mapping[str, Prints],
        tell: Callable[[Reading], None],
    ) -> None:
        self._desk = desk
        self._info = info
        self._latest = latest
        self._prints = prints  # by coin
        self._tell = tell

    def of(
        self, wanted: tuple[Wanted, ...], instruments: tuple[InstrumentListed, ...]
    ) -> Iterator[tuple[Key, Ask]]:
        """Yield the question of each subscription of a connection that can be asked about.

        Candles of several intervals speak together, so a coin has one question for them. A spot pair's
        context cannot be asked for.
        """
        perps = {listed.name for listed in instruments if listed.kind == "perp"}
        asked: set[Key] = set()
        for one in wanted:
            key = (one.kind, one.coin or one.dex)
            if key in asked or (one.kind == "activeAssetCtx" and one.coin not in perps):
                continue
            asked.add(key)
            yield key, self._ask(one)

    def _ask(self, wanted: Wanted) -> Ask:
        async def ask(first: bool) -> Callable[[], bool]:
            if wanted.kind == "trades":
                return await self._prints_of(wanted.coin)
            if wanted.kind == "candle":
                return await self._candle_of(wanted, first)
            reading = await self._reading_of(wanted)
            if reading is None:
                return lambda: True
            if first:
                self._tell(reading)
                return lambda: True
            return lambda: self._latest.has(reading)

        return ask

    async def _prints_of(self, coin: str) -> Callable[[], bool]:
        rows = await self._info.recent_trades(coin)
        trades = self._desk.decoder.trades((row for row in rows if row.coin == coin), self._now_ns())
        prints = self._prints[coin]
        return lambda: all(prints.has(trade) for trade in trades)

    async def _candle_of(self, wanted: Wanted, first: bool) -> Callable[[], bool]:
        now_ns = self._now_ns()
        interval_ns = parse_interval(wanted.interval)
        start_ms = (now_ns // interval_ns - 1) * interval_ns // _NS_PER_MS
        rows = await self._info.candles(wanted.coin, wanted.interval, start_ms, now_ns // _NS_PER_MS)
        candle = self._desk.decoder.candle(rows[-1], self._now_ns(), "stream") if rows else None
        if candle is None:
            return lambda: True
        key = (candle.instrument, interval_ns)
        if first:
            self._latest.candles.setdefault(key, candle)

        def has_come() -> bool:
            known = self._latest.candles.get(key)
            return known is not None and (known.start_ns, known.trades) >= (candle.start_ns, candle.trades)

        return has_come

    async def _reading_of(self, wanted: Wanted) -> Reading | None:
        decoder = self._desk.decoder
        if wanted.kind == "allMids":
            mids = await self._info.all_mids(wanted.dex)
            return decoder.mids(mids, self._now_ns())
        if wanted.kind == "activeAssetCtx":
            rows = await self._info.contexts(dex_of(wanted.coin))
            own = [row for row in rows if row.coin == wanted.coin]
            return decoder.context(own[0], self._now_ns()) if own else None
        row = await self._info.book(wanted.coin)
        book = decoder.book(row, self._now_ns())
        return book if book is None or wanted.kind == "l2Book" else touch_of(book)

    def _now_ns(self) -> int:
        return self._desk.clock.now_ns()
