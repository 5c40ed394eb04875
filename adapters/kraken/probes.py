"""Probes of silent subscriptions: one HTTP request for each kind of channel.

Promises: the best bid and ask of a subscription that has not sent anything yet are emitted as its first
message; an interval without trades, for which the websocket sends nothing, does not count as missing. Made by
`feed.py`, called by `adapters/transport/silence.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from adapters.kraken.channels import Channel
from adapters.kraken.decode import Decoder
from adapters.kraken.info import KrakenInfo
from adapters.transport.latest import Reading, quote_of
from adapters.transport.probing import Arrived, ProbeParts, VenueProbes, each_once
from adapters.transport.silence import Key, Probe
from engine.clock import SECOND_NS
from engine.events import InstrumentListed

__all__ = ["COMPARED", "Probes"]

COMPARED: Final = 5
"""Levels of a book that are compared."""

_MINUTE_NS: Final = 60 * SECOND_NS


class Probes(VenueProbes[KrakenInfo, Decoder]):
    """The probes of one feed. `rest_names` are the names that REST takes of the pairs."""

    def __init__(
        self, info: KrakenInfo, decoder: Decoder, parts: ProbeParts, rest_names: Mapping[str, str]
    ) -> None:
        super().__init__(info, decoder, parts)
        self._rest_names = rest_names

    def of(
        self, channels: Iterable[Channel], instruments: tuple[InstrumentListed, ...]
    ) -> Iterator[tuple[Key, Probe]]:
        """Yield the probe of each channel of a connection; a pair has one for candles of all intervals."""
        listed = {one.name: one for one in instruments}
        for key, channel in each_once(channels, lambda one: (one.kind, one.name)):
            yield key, self._probe(channel, listed[channel.name])

    def _probe(self, channel: Channel, listed: InstrumentListed) -> Probe:
        async def probe(first: bool) -> Arrived:
            if channel.kind == "trade":
                return await self._trades_of(listed)
            if channel.kind == "ohlc":
                return await self._candle_of(channel, listed, first)
            return await self._levels_of(channel, listed, first)

        return probe

    async def _trades_of(self, listed: InstrumentListed) -> Arrived:
        rows = await self._info.trades(self._rest_names[listed.name])
        pieces = self._decoder.rest_pieces(rows, listed, self._now_ns())
        return self._trades(listed.name, pieces)

    async def _candle_of(self, channel: Channel, listed: InstrumentListed, first: bool) -> Arrived:
        now_ns, interval_ns = self._now_ns(), channel.interval * _MINUTE_NS
        start_ns = (now_ns // interval_ns - 1) * interval_ns
        answer = await self._info.candles(
            self._rest_names[listed.name], channel.interval, start_ns // SECOND_NS
        )
        traded = [row for row in answer.rows if row.count]
        if not traded:
            return lambda: True
        candle = self._decoder.rest_candle(traded[-1], listed, interval_ns, self._now_ns(), "stream")
        return self._candle(candle, first)

    async def _levels_of(self, channel: Channel, listed: InstrumentListed, first: bool) -> Arrived:
        row = await self._info.depth(self._rest_names[listed.name], COMPARED)
        book = self._decoder.rest_book(row, listed, self._now_ns())
        reading: Reading = book if channel.kind == "book" else quote_of(book)
        return self._reading(reading, first and channel.kind == "ticker")
