"""What has been played so far: each coin's touch, latest prints and candles; and the venue's `meta`.

Owns the state that both `/info` and the streams read. Memory is bounded whatever the tape's length. Times
are the sandbox's own. Called by the pump with every event, by `info.py` and `hub.py` to answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from adapters.sandbox.candles import CandleBook, OpenCandle, candle_end
from adapters.sandbox.grid import DEPTH, levels
from adapters.sandbox.wire import CoinWire, encode, wire_number
from engine.events import InstrumentListed, Quote, Trade

__all__ = ["FUNDING_RATE", "RECENT_MAX", "REPLAY_COUNT", "Coin", "PlayedMarket", "max_leverage"]

RECENT_MAX: Final = 500
"""Latest prints kept per coin: what `recentTrades` can tell."""

REPLAY_COUNT: Final = 30
"""Prints that the first frame of a trades subscription repeats."""

FUNDING_RATE: Final = "0.0000125"
"""What an hour costs, always: the venue's rate where there is no premium."""

_LEVERAGE: Final = {"BTC": 40, "ETH": 25, "SOL": 20, "XRP": 20}
_LEVERAGE_DEFAULT: Final = 10
_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS


class Coin:
    """One instrument and what has been played of it.

    `mark`, and the oracle, is the last mid of a touch with two sides, cut to the coin's decimals; while there
    is none the last print; 0 before anything was played.
    """

    def __init__(self, listed: InstrumentListed) -> None:
        self.listed = listed
        self.name = listed.name
        self.wire = CoinWire(listed)
        self.recent: deque[Trade] = deque(maxlen=RECENT_MAX)
        self.candles = CandleBook()
        self.touch: Quote | None = None
        self.mark = 0
        self._two_sided = False

    def add_trade(self, trade: Trade) -> None:
        """Take a print."""
        self.recent.append(trade)
        self.candles.add(trade.venue_ns // 1_000_000, trade.price, trade.size)
        if not self._two_sided:
            self.mark = trade.price

    def add_quote(self, quote: Quote) -> bool:
        """Take a touch; return whether it differs from the one before."""
        old = self.touch
        self.touch = quote
        self._two_sided = bool(quote.bid and quote.ask)
        if self._two_sided:
            self.mark = (quote.bid + quote.ask) // 2
        return old is None or (quote.bid, quote.bid_size, quote.ask, quote.ask_size) != (
            old.bid,
            old.bid_size,
            old.ask,
            old.ask_size,
        )

    def replay(self) -> str:
        """Return the latest prints, oldest first, as a subscription's first frame holds them."""
        return self.wire.trades(list(self.recent)[-REPLAY_COUNT:])

    def recent_trades(self) -> str:
        """Return the latest prints, newest first."""
        return self.wire.trades(reversed(self.recent))

    def book(
        self,
        time_ms: int,
        *,
        depth: int = DEPTH,
        figures: int | None = None,
        mantissa: int | None = None,
        fast: bool = False,
    ) -> str:
        """Return the book around the touch."""
        if self.touch is None:
            return self.wire.book(time_ms, [], [], fast=fast)
        bids, asks = levels(self.listed, self.touch, depth, figures=figures, mantissa=mantissa or 1)
        return self.wire.book(time_ms, bids, asks, aggregated=figures is not None, fast=fast)

    def mid(self) -> str | None:
        """Return the middle of the touch; the last print without one; None before the first."""
        touch, scale = self.touch, self.listed.price_scale
        if touch is not None and touch.bid and touch.ask:
            return wire_number((touch.bid + touch.ask) * 5, scale + 1)
        return wire_number(self.recent[-1].price, scale) if self.recent else None

    def candle(self, interval: str) -> str | None:
        """Return the open candle of an interval, or None before the first print."""
        candle = self.candles.current(interval)
        return None if candle is None else self._candle(interval, candle)

    def candle_rows(self, interval: str, start_ms: int, end_ms: int) -> str:
        """Return the candles that overlap a range (both ends inclusive), oldest first."""
        rows = [
            self._candle(interval, candle)
            for candle in self.candles.snapshot(interval)
            if candle.start_ms <= end_ms and candle_end(interval, candle.start_ms) > start_ms
        ]
        return f"[{','.join(rows)}]"

    def _candle(self, interval: str, candle: OpenCandle) -> str:
        return self.wire.candle(interval, candle_end(interval, candle.start_ms) - candle.start_ms, candle)

    def context(self, now_ms: int) -> str:
        """Return the asset context. Funding is a constant, open interest nil."""
        listed, touch = self.listed, self.touch
        hours = [c for c in self.candles.snapshot("1h") if c.start_ms > now_ms - _DAY_MS - _HOUR_MS]
        last = self.recent[-1].price if self.recent else 0
        mark = wire_number(self.mark, listed.price_scale)
        booked = touch is not None and touch.bid > 0 and touch.ask > 0
        return encode(
            {
                "funding": FUNDING_RATE,
                "openInterest": "0.0",
                "prevDayPx": wire_number(hours[0].open if hours else last, listed.price_scale),
                "dayNtlVlm": wire_number(sum(c.money for c in hours), listed.money_scale),
                "premium": "0.0" if booked else None,
                "oraclePx": mark,
                "markPx": mark,
                "midPx": self.mid() if booked else None,
                "impactPxs": [wire_number(price, listed.price_scale) for price in (touch.bid, touch.ask)]
                if touch is not None and booked
                else None,
                "dayBaseVlm": wire_number(sum(c.volume for c in hours), listed.size_scale),
            }
        ).decode()


class PlayedMarket:
    """All coins, by name and by the number that the tape's events carry."""

    def __init__(self, instruments: Sequence[InstrumentListed]) -> None:
        self.coins = [Coin(listed) for listed in instruments]
        self.by_name = {coin.name: coin for coin in self.coins}
        self.by_number = {coin.listed.instrument: coin for coin in self.coins}
        self.meta = encode(_meta(instruments)).decode()

    def mids(self) -> str:
        """Return the map of coin to mid."""
        pairs = [(coin, coin.mid()) for coin in self.coins]
        return "{" + ",".join(coin.wire.named(mid) for coin, mid in pairs if mid is not None) + "}"

    def contexts(self, now_ms: int) -> str:
        """Return `[meta, contexts]`, joined by position."""
        return f"[{self.meta},[{','.join(coin.context(now_ms) for coin in self.coins)}]]"


def max_leverage(coin: str) -> int:
    """Return the highest leverage of a coin."""
    return _LEVERAGE.get(coin, _LEVERAGE_DEFAULT)


def _meta(instruments: Sequence[InstrumentListed]) -> dict[str, Any]:
    """Return the venue's `meta`.

    On the venue a price has at most 6 - szDecimals decimals and 5 significant figures. An instrument of
    another grid (an imported Binance day, say) carries one member more, `pxDecimals`: its prices have that
    many decimals and any number of figures. No real venue sends it, and our feed honours it on loopback only.
    """
    universe = []
    leverages = {_LEVERAGE_DEFAULT}
    for listed in instruments:
        leverage = max_leverage(listed.name)
        leverages.add(leverage)
        entry = {
            "szDecimals": listed.size_scale,
            "name": listed.name,
            "maxLeverage": leverage,
            "marginTableId": leverage,
        }
        if listed.price_scale != 6 - listed.size_scale:
            entry["pxDecimals"] = listed.price_scale
        universe.append(entry)
    tables = [
        [leverage, {"description": "", "marginTiers": [{"lowerBound": "0.0", "maxLeverage": leverage}]}]
        for leverage in sorted(leverages)
    ]
    return {"universe": universe, "marginTables": tables, "collateralToken": 0}
