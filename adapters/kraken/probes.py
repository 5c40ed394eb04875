"""Probes of silent subscriptions: one HTTP request for each kind of channel.

Promises: the best bid and ask of a subscription that has not sent anything yet are emitted as its first
message; an interval without trades, for which the websocket sends nothing, does not count as missing. Made by
`feed.py`, called by `adapters/transport/silence.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from adapters.kraken.channels import Channel
from adapters.kraken.decode import Decoder
from adapters.kraken.info import KrakenInfo
from adapters.transport.latest import Latest, Reading, quote_of
from adapters.transport.silence import Key, Probe
from adapters.transport.trades import TradeMemory
from engine.clock import SECOND_NS
from engine.events import InstrumentListed

__all__ = ["COMPARED", "Probes"]

COMPARED: Final = 5
"""Levels of a book that are compared."""

_MINUTE_NS: Final = 60 * SECOND_NS


class Probes:
    """The probes of one feed. `emit` takes the reading of a channel that has not sent anything yet."""

    def __init__(
        self,
        info: KrakenInfo,
        rest_names: Mapping[str, str],
        decoder: Decoder,
        now_ns: Callable[[], int],
        latest: Latest,
        memories: Mapping[str, TradeMemory],
        emit: Callable[[Reading], None],
    ) -> None:
        self._info = info
        self._rest_names = rest_names
        self._decoder = decoder
        self._now_ns = now_ns
        self._latest = latest
        self._memories = memories  # by name of instrument
        self._emit = emit

    def of(
        self, channels: Iterable[Channel], instruments: tuple[InstrumentListed, ...]
    ) -> Iterator[tuple[Key, Probe]]:
        """Yield the probe of each channel of a connection; a pair has one for candles of all intervals."""
        listed = {one.name: one for one in instruments}
        covered: set[Key] = set()
        for channel in channels:
            key = (channel.kind, channel.name)
            if key not in covered:
                covered.add(key)
                yield key, self._probe(channel, listed[channel.name])

    def _probe(self, channel: Channel, listed: InstrumentListed) -> Probe:
        async def probe(first: bool) -> Callable[[], bool]:
            if channel.kind == "trade":
                return await self._trades_of(listed)
            if channel.kind == "ohlc":
                return await self._candle_of(channel, listed, first)
            return await self._levels_of(channel, listed, first)

        return probe

    async def _trades_of(self, listed: InstrumentListed) -> Callable[[], bool]:
        rows = await self._info.trades(self._rest_names[listed.name])
        pieces = self._decoder.rest_pieces(rows, listed, self._now_ns())
        memory = self._memories[listed.name]
        return lambda: all(memory.has(trade) for piece in pieces for trade in piece)

    async def _candle_of(self, channel: Channel, listed: InstrumentListed, first: bool) -> Callable[[], bool]:
        now_ns, interval_ns = self._now_ns(), channel.interval * _MINUTE_NS
        start_ns = (now_ns // interval_ns - 1) * interval_ns
        answer = await self._info.candles(
            self._rest_names[listed.name], channel.interval, start_ns // SECOND_NS
        )
        traded = [row for row in answer.rows if row.count]
        if not traded:
            return lambda: True
        candle = self._decoder.rest_candle(traded[-1], listed, interval_ns, self._now_ns(), "stream")
        key = (candle.instrument, interval_ns)
        if first:
            self._latest.candles.setdefault(key, candle)

        def has_come() -> bool:
            known = self._latest.candles.get(key)
            return known is not None and (known.start_ns, known.trades) >= (candle.start_ns, candle.trades)

        return has_come

    async def _levels_of(self, channel: Channel, listed: InstrumentListed, first: bool) -> Callable[[], bool]:
        row = await self._info.depth(self._rest_names[listed.name], COMPARED)
        book = self._decoder.rest_book(row, listed, self._now_ns())
        reading: Reading = book if channel.kind == "book" else quote_of(book)
        if first and channel.kind == "ticker":
            self._emit(reading)
            return lambda: True
        return lambda: self._latest.has(reading)
