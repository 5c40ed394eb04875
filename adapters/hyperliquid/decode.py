"""Hyperliquid's words into events: exact integers, nanoseconds, and only what was asked for.

Owns the judgement of values. A number that is not a plain positive decimal on the instrument's scale
refuses the whole message (VenueProtocolError). A print of a coin we do not follow, or with a time that
cannot be, is left out and counted. Called by `feed.py` with the time each message came in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from adapters.hyperliquid.wire import Bbo, BboFrame, Level, TradesFrame, WireTrade, clip, decode_message
from engine.clock import SECOND_NS
from engine.errors import NumberError, VenueProtocolError
from engine.events import Event, InstrumentListed, Quote, Trade
from engine.values import BUY, SELL, parse_scaled

__all__ = ["AHEAD_NS_MAX", "EARLIEST_NS", "Decoder", "by_time"]

EARLIEST_NS: Final = 1_420_070_400 * SECOND_NS
"""2015-01-01: the sandbox may play a day of years ago. An older time is a wrong unit or a broken clock."""

AHEAD_NS_MAX: Final = 86_400 * SECOND_NS
"""How far a venue's time may lie ahead of ours. A clock that is off still serves paper trading, and a sandbox
at many thousand times real time is minutes ahead of what it sent; a wrong unit is off by years."""

_NS_PER_MS: Final = 1_000_000
_SIDES: Final = {"B": BUY, "A": SELL}


class Decoder:
    """Decodes for a fixed set of instruments; `dropped` counts what was left out, by reason."""

    def __init__(self, instruments: Sequence[InstrumentListed], dropped: Counter[str] | None = None) -> None:
        self._by_coin = {listed.name: listed for listed in instruments}
        self.dropped: Counter[str] = Counter() if dropped is None else dropped

    def decode_frame(self, message: str | bytes, recv_ns: int) -> list[Event]:
        """Return the events of one websocket message; none for a message that is not market data.

        Prints are in the order of their times. Raises VenueProtocolError.
        """
        frame = decode_message(message)
        if isinstance(frame, TradesFrame):
            return list(self.trades(frame.data, recv_ns))
        if isinstance(frame, BboFrame):
            quote = self.quote(frame.data, recv_ns)
            return [] if quote is None else [quote]
        return []

    def trades(self, rows: Iterable[WireTrade], recv_ns: int) -> list[Trade]:
        """Return prints as events, in the order of their times. Raises VenueProtocolError."""
        trades = []
        for row in rows:
            listed = self._by_coin.get(row.coin)
            if listed is None:
                self.dropped["foreign"] += 1
                continue
            venue_ns = row.time * _NS_PER_MS
            if not EARLIEST_NS <= venue_ns <= recv_ns + AHEAD_NS_MAX:
                self.dropped["time"] += 1
                continue
            price = _positive(row.px, listed.price_scale, listed.name)
            size = _positive(row.sz, listed.size_scale, listed.name)
            trades.append(Trade(recv_ns, venue_ns, listed.instrument, price, size, _SIDES[row.side], row.tid))
        return by_time(trades)

    def quote(self, row: Bbo, recv_ns: int) -> Quote | None:
        """Return the touch as an event, None if it is left out. Raises VenueProtocolError."""
        listed = self._by_coin.get(row.coin)
        if listed is None:
            self.dropped["foreign"] += 1
            return None
        venue_ns = row.time * _NS_PER_MS
        if not EARLIEST_NS <= venue_ns <= recv_ns + AHEAD_NS_MAX:
            self.dropped["time"] += 1
            return None
        bid, bid_size = _level(row.bbo[0], listed)
        ask, ask_size = _level(row.bbo[1], listed)
        if bid and ask and bid >= ask:
            self.dropped["crossed"] += 1
            return None
        return Quote(recv_ns, venue_ns, listed.instrument, bid, bid_size, ask, ask_size)


def by_time(trades: list[Trade]) -> list[Trade]:
    """Return prints by rising venue time; equal times keep their order, which is the venue's."""
    last_ns = 0
    for trade in trades:
        if trade.venue_ns < last_ns:
            return sorted(trades, key=_venue_ns)
        last_ns = trade.venue_ns
    return trades


def _venue_ns(trade: Trade) -> int:
    return trade.venue_ns


def _positive(text: str, scale: int, coin: str) -> int:
    try:
        value = parse_scaled(text, scale)
    except NumberError as error:
        raise VenueProtocolError(f"{clip(coin)}: {error}") from error
    if not value:
        raise VenueProtocolError(f"{clip(coin)}: {clip(text)} is zero, which no price or size may be")
    return value


def _level(level: Level | None, listed: InstrumentListed) -> tuple[int, int]:
    if level is None:
        return 0, 0
    return (
        _positive(level.px, listed.price_scale, listed.name),
        _positive(level.sz, listed.size_scale, listed.name),
    )
