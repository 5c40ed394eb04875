"""What a market says: instruments, trades, quotes, candles, and whether the feed can be believed.

All are inputs (cause 0). Emitted by feeds and importers, consumed by the aggregator, the simulated venue
and strategies. Times are UTC nanoseconds; prices and sizes are exact integers at the instrument's scales.
"""

from __future__ import annotations

from engine.events.base import Event
from engine.values import BUY, InstrumentId, Price, Side, Size, Volume, grid_step, to_grid

__all__ = ["Candle", "FeedDown", "FeedGap", "FeedUp", "InstrumentListed", "Quote", "Trade"]


class InstrumentListed(Event, frozen=True, tag="instrument"):
    """An instrument and its grid; a journal explains itself because this comes before its first price.

    `price_scale` and `size_scale` are decimal places. `price_step` and `size_step` are the grid's steps at
    those scales. `price_figures` bounds significant figures (0: no bound; integers are always allowed).
    Listed again with the same number when the venue changes its grid. The venue's customs: `silence` is
    "flat" where it has a candle for a window without prints (at the last close, volume 0; Hyperliquid,
    Kraken), "none" where it has no such candle (Binance's archives, Coinbase). `ids` is "sequence" where
    trade ids count up in the order of execution, which then orders prints of one time stamp; "arrival"
    where they do not and the order of sending does.
    """

    recv_ns: int
    instrument: int
    venue: str
    name: str
    price_scale: int
    size_scale: int
    price_step: int = 1
    size_step: int = 1
    price_figures: int = 0
    kind: str = "perp"
    silence: str = "flat"
    ids: str = "arrival"

    @property
    def money_scale(self) -> int:
        """Decimal places of price * size."""
        return self.price_scale + self.size_scale

    def price_on_grid(self, value: object, side: int) -> int:
        """Put a limit price on the grid: down for a buy, up for a sell. Raises NumberError."""
        return to_grid(
            value,  # type: ignore[arg-type]
            scale=self.price_scale,
            step=self.price_step,
            figures=self.price_figures,
            up=side != BUY,
        )

    def price_step_at(self, price: int) -> int:
        """Return the step of the price grid at `price`."""
        return grid_step(price, scale=self.price_scale, step=self.price_step, figures=self.price_figures)

    def bounded_price(
        self, price: int, side: int, slippage_bps: int, *, up: bool, step: int | None = None
    ) -> int:
        """Return `price` made worse for an order of `side` by `slippage_bps`, on the grid.

        Rounds up or down, as `up` says: a bound rounds towards `price`, a simulated fill away from it. `step`
        is the grid's step; without it, the step at the result. A buy's price is never below `price`, and a
        sell's never below one step.
        """
        raw = price * (10_000 + side * slippage_bps)
        step = step or self.price_step_at(raw // 10_000)
        steps = -(-raw // (10_000 * step)) if up else raw // (10_000 * step)
        return max(steps * step, price if side == BUY else step)

    def size_on_grid(self, value: object) -> int:
        """Put a size on the grid, rounding towards zero. Raises NumberError. May return 0."""
        return to_grid(value, scale=self.size_scale, step=self.size_step)  # type: ignore[arg-type]


class Trade(Event, frozen=True, tag="trade"):
    """One public trade print.

    `aggressor` is the taker's side, 0 where the source does not tell. `trade_id` is the venue's own, 0 or
    "" where it has none. Source: the venue's trade stream, or a file.
    """

    recv_ns: int
    venue_ns: int
    instrument: InstrumentId
    price: Price
    size: Size
    aggressor: Side
    trade_id: int | str = 0


class Quote(Event, frozen=True, tag="quote"):
    """Best bid and ask; price and size are 0 on a side that is empty."""

    recv_ns: int
    venue_ns: int
    instrument: InstrumentId
    bid: Price
    bid_size: Size
    ask: Price
    ask_size: Size


class Candle(Event, frozen=True, tag="candle"):
    """A closed candle made elsewhere: bars-only data. `venue_ns` is its end; `trades` is 0 if unknown."""

    recv_ns: int
    venue_ns: int
    instrument: InstrumentId
    interval_ns: int
    start_ns: int
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Volume
    trades: int = 0


class FeedUp(Event, frozen=True, tag="feed-up"):
    """A feed is connected and every subscription is confirmed."""

    recv_ns: int
    feed: str
    subscriptions: int
    attempt: int = 1


class FeedDown(Event, frozen=True, tag="feed-down"):
    """A feed has lost its connection or is stale; it reconnects after `backoff_ms`."""

    recv_ns: int
    feed: str
    reason: str
    backoff_ms: int = 0


class FeedGap(Event, frozen=True, tag="feed-gap"):
    """Prints between two venue times may be missing; `closed` when the venue's backlog proved none are."""

    recv_ns: int
    feed: str
    instrument: InstrumentId
    from_ns: int
    to_ns: int
    closed: bool = False
