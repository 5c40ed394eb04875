"""Probes of silent subscriptions: one HTTP request for each kind of channel.

Owns the request for each kind of subscription. Promises: for a subscription that has not sent anything yet,
the answer is emitted as its first message. Made by `feed.py`, called by `adapters/transport/silence.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from adapters.hyperliquid.channels import Channel
from adapters.hyperliquid.decode import Decoder
from adapters.hyperliquid.info import MarketInfo
from adapters.hyperliquid.listing import dex_of
from adapters.transport.latest import Reading, quote_of
from adapters.transport.probing import Arrived, VenueProbes, each_once
from adapters.transport.silence import Key, Probe
from engine.events import InstrumentListed
from engine.values import parse_interval

__all__ = ["Probes"]

_NS_PER_MS = 1_000_000


class Probes(VenueProbes[MarketInfo, Decoder]):
    """The probes of one feed."""

    def of(
        self, channels: Iterable[Channel], instruments: tuple[InstrumentListed, ...]
    ) -> Iterator[tuple[Key, Probe]]:
        """Yield the probe of each channel of a connection that has one.

        An instrument has one probe for candles of all intervals. The context of a spot pair has none: it
        cannot be read over HTTP.
        """
        perps = {listed.name for listed in instruments if listed.kind == "perp"}
        for key, one in each_once(channels, lambda one: (one.kind, one.coin or one.dex)):
            if one.kind != "activeAssetCtx" or one.coin in perps:
                yield key, self._probe(one)

    def _probe(self, channel: Channel) -> Probe:
        async def probe(first: bool) -> Arrived:
            if channel.kind == "trades":
                return await self._trades_of(channel.coin)
            if channel.kind == "candle":
                return await self._candle_of(channel, first)
            return self._reading(await self._reading_of(channel), first)

        return probe

    async def _trades_of(self, name: str) -> Arrived:
        rows = await self._info.recent_trades(name)
        trades = self._decoder.trades(
            (row for row in rows if row is not None and row.coin == name), self._now_ns()
        )
        return self._trades(name, [trades])

    async def _candle_of(self, channel: Channel, first: bool) -> Arrived:
        now_ns = self._now_ns()
        interval_ns = parse_interval(channel.interval)
        start_ms = (now_ns // interval_ns - 1) * interval_ns // _NS_PER_MS
        rows = await self._info.candles(channel.coin, channel.interval, start_ms, now_ns // _NS_PER_MS)
        candle = self._decoder.candle(rows[-1], self._now_ns(), "stream") if rows else None
        return self._candle(candle, first)

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
