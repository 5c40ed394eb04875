"""Current market data: quotes, recent trades and candles of each instrument, and the venue's `meta`.

`/info` and the streams read this state; the hub adds every event of the tape. Memory is bounded for tapes of
any length. Times are the sandbox's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from adapters.exchange.candles import OpenCandle, candle_end
from adapters.exchange.grid import DEPTH, levels
from adapters.exchange.instruments import InstrumentMarket
from adapters.sandbox.market import LEVERAGE_DEFAULT, max_leverage
from adapters.sandbox.wire import InstrumentEncoder, encode, wire_number
from engine.events import InstrumentListed

__all__ = ["FUNDING_RATE", "REPLAY_COUNT", "InstrumentState", "MarketState"]

REPLAY_COUNT: Final = 30
"""Recent trades in the first frame of a trades subscription."""

FUNDING_RATE: Final = "0.0000125"
"""The hourly funding rate. Constant: the venue's rate without a premium."""

_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS


class InstrumentState(InstrumentMarket):
    """The market data of one instrument, and its JSON. `mark` is also the oracle price."""

    def __init__(self, listed: InstrumentListed) -> None:
        super().__init__(listed)
        self.wire = InstrumentEncoder(listed)

    def replay(self) -> str:
        """Return the recent trades for the first frame of a subscription, oldest first."""
        return self.wire.trades(list(self.recent)[-REPLAY_COUNT:])

    def recent_trades(self) -> str:
        """Return the recent trades, newest first."""
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
        """Return the order book around the current quote."""
        if self.quote is None:
            return self.wire.book(time_ms, [], [], fast=fast)
        bids, asks = levels(self.listed, self.quote, depth, figures=figures, mantissa=mantissa or 1)
        return self.wire.book(time_ms, bids, asks, aggregated=figures is not None, fast=fast)

    def mid(self) -> str | None:
        """Return the mid of the quote, or the last trade's price without a two-sided quote, or None."""
        quote, scale = self.quote, self.listed.price_scale
        if quote is not None and quote.bid and quote.ask:
            return wire_number((quote.bid + quote.ask) * 5, scale + 1)
        return wire_number(self.recent[-1].price, scale) if self.recent else None

    def candle(self, interval: str) -> str | None:
        """Return the open candle of an interval, or None before the first trade."""
        candle = self.candles.current(interval)
        return None if candle is None else self._candle(interval, candle)

    def candle_rows(self, interval: str, start_ms: int, end_ms: int, now_ms: int) -> str:
        """Return the candles that overlap a time range (both ends inclusive), oldest first."""
        rows = [
            self._candle(interval, candle)
            for candle in self.candles.history(interval, now_ms)
            if candle.start_ms <= end_ms and candle_end(interval, candle.start_ms) > start_ms
        ]
        return f"[{','.join(rows)}]"

    def _candle(self, interval: str, candle: OpenCandle) -> str:
        return self.wire.candle(interval, candle_end(interval, candle.start_ms) - candle.start_ms, candle)

    def context_row(self, now_ms: int) -> str:
        """Return the asset context. Funding is constant and open interest is zero."""
        listed, quote = self.listed, self.quote
        hours = [c for c in self.candles.snapshot("1h") if c.start_ms > now_ms - _DAY_MS - _HOUR_MS]
        last = self.recent[-1].price if self.recent else 0
        mark = wire_number(self.mark, listed.price_scale)
        booked = quote is not None and quote.bid > 0 and quote.ask > 0
        return encode(
            {
                "funding": FUNDING_RATE,
                "openInterest": "0.0",
                "prevDayPx": wire_number(hours[0].open if hours else last, listed.price_scale),
                "dayNtlVlm": wire_number(sum(c.notional for c in hours), listed.money_scale),
                "premium": "0.0" if booked else None,
                "oraclePx": mark,
                "markPx": mark,
                "midPx": self.mid() if booked else None,
                "impactPxs": [wire_number(price, listed.price_scale) for price in (quote.bid, quote.ask)]
                if quote is not None and booked
                else None,
                "dayBaseVlm": wire_number(sum(c.volume for c in hours), listed.size_scale),
            }
        ).decode()


class MarketState:
    """All instruments, by name and by the instrument number of the tape's events."""

    def __init__(self, instruments: Sequence[InstrumentListed]) -> None:
        self.instruments = [InstrumentState(listed) for listed in instruments]
        self.by_name = {instrument.name: instrument for instrument in self.instruments}
        self.by_number = {instrument.listed.instrument: instrument for instrument in self.instruments}
        self.meta = encode(_meta(instruments)).decode()

    def mids(self) -> str:
        """Return the mids as a JSON object, by instrument name."""
        pairs = [(instrument, instrument.mid()) for instrument in self.instruments]
        return (
            "{"
            + ",".join(instrument.wire.map_member(mid) for instrument, mid in pairs if mid is not None)
            + "}"
        )

    def contexts(self, now_ms: int) -> str:
        """Return `[meta, contexts]`. Contexts are in the order of the instruments in `meta`."""
        return (
            f"[{self.meta},[{','.join(instrument.context_row(now_ms) for instrument in self.instruments)}]]"
        )


def _meta(instruments: Sequence[InstrumentListed]) -> dict[str, Any]:
    """Return the venue's `meta`.

    On the venue a price has at most 6 - szDecimals decimals and 5 significant figures. An instrument with
    another grid, for example from an imported Binance day, has the extra member `pxDecimals`: its prices have
    that many decimals and any number of figures. The real venue never sends it, and the feed accepts it from
    loopback addresses only.
    """
    universe = []
    leverages = {LEVERAGE_DEFAULT}
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
