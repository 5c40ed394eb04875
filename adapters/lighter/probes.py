"""Probes of silent subscriptions: one HTTP request for each kind of channel.

Owns the request for each kind of subscription. Every channel sends its state on subscribing, so a probe never
replaces a first message. The venue gives no time with the orders of a book: best bid and ask are compared by
their prices only. Statistics have no probe: HTTP does not give them. Made by `feed.py`, called by
`adapters/transport/silence.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from adapters.lighter.decode import Decoder
from adapters.lighter.info import LighterInfo
from adapters.lighter.info_wire import WireOrder
from adapters.lighter.wire import Channel
from adapters.transport.probing import Arrived, ProbeParts, VenueProbes, each_once
from adapters.transport.silence import Key, Probe
from adapters.transport.values import positive
from engine.events import InstrumentListed, Quote
from engine.values import parse_interval, parse_scaled

__all__ = ["Probes", "read_quote"]

_NS_PER_MS = 1_000_000


async def read_quote(info: LighterInfo, market: int, listed: InstrumentListed, now_ns: int) -> Quote:
    """Return the best bid and ask, made of the best orders; the venue gives no time, `now_ns` stands for it.

    Raises VenueError.
    """
    orders = await info.best_orders(market)
    bid, bid_size = _best(orders.bids, listed)
    ask, ask_size = _best(orders.asks, listed)
    return Quote(now_ns, now_ns, listed.instrument, bid, bid_size, ask, ask_size)


class Probes(VenueProbes[LighterInfo, Decoder]):
    """The probes of one feed. `named` are the instruments by number of market."""

    def __init__(
        self, info: LighterInfo, decoder: Decoder, parts: ProbeParts, named: Mapping[int, InstrumentListed]
    ) -> None:
        super().__init__(info, decoder, parts)
        self._named = named

    def of(self, channels: Iterable[Channel]) -> Iterator[tuple[Key, Probe]]:
        """Yield the probe of each channel that has one; candles of all resolutions have one together."""
        for key, one in each_once(channels, lambda one: (one.kind, self._named[one.market].name)):
            if one.kind in ("trade", "candle", "ticker", "order_book"):
                yield key, self._probe(one)

    def _probe(self, channel: Channel) -> Probe:
        listed = self._named[channel.market]

        async def probe(_first: bool) -> Arrived:
            if channel.kind == "trade":
                return await self._trades_of(channel, listed)
            if channel.kind == "candle":
                return await self._candle_of(channel, listed)
            best = await read_quote(self._info, channel.market, listed, self._now_ns())
            return lambda: self._has_come(channel.kind, best)

        return probe

    def _has_come(self, kind: str, best: Quote) -> bool:
        if kind == "ticker":
            quote = self._latest.quotes.get(best.instrument)
            return quote is not None and (
                quote.recv_ns >= best.recv_ns or (quote.bid, quote.ask) == (best.bid, best.ask)
            )
        book = self._latest.books.get(best.instrument)
        if book is None:
            return False
        prices = tuple(side[0][0] if side else 0 for side in (book.bids, book.asks))
        return book.recv_ns >= best.recv_ns or prices == (best.bid, best.ask)

    async def _trades_of(self, channel: Channel, listed: InstrumentListed) -> Arrived:
        rows = [row for row in await self._info.recent_trades(channel.market) if row is not None]
        prints = self._decoder.trades(rows, channel.market, listed, self._now_ns())
        return self._trades(listed.name, prints.pieces)

    async def _candle_of(self, channel: Channel, listed: InstrumentListed) -> Arrived:
        now_ns = self._now_ns()
        interval_ns = parse_interval(channel.resolution)
        start_ms = (now_ns // interval_ns - 1) * interval_ns // _NS_PER_MS
        rows = await self._info.candles(channel.market, channel.resolution, start_ms, now_ns // _NS_PER_MS, 2)
        if not rows:
            return lambda: True
        row = max(rows, key=lambda one: one.t)
        return self._candle(self._decoder.candle(row, listed, interval_ns, self._now_ns(), "stream"))


def _best(orders: list[WireOrder] | None, listed: InstrumentListed) -> tuple[int, int]:
    """Return the best price of a side and the size at it."""
    best = size = 0
    for order in orders or []:
        price = positive(order.price, listed.price_scale, listed.name)
        if best and price != best:
            break
        best = price
        size += parse_scaled(order.remaining_base_amount, listed.size_scale)
    return best, size
