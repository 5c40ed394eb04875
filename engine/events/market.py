"""Market data: instruments, trades, quotes, candles, and the state of feeds.

All are inputs (cause 0). Emitted by feeds and importers, consumed by the aggregator, the simulated venue
and strategies. Times are UTC nanoseconds; prices and sizes are exact integers at the instrument's scales.
"""

from __future__ import annotations

from engine.events.base import Event
from engine.events.rules import MarketRules
from engine.values import BUY, InstrumentId, Price, Side, Size, Volume, grid_step, power_of_ten, to_grid

__all__ = [
    "Candle",
    "FeedDamaged",
    "FeedDown",
    "FeedGap",
    "FeedHeard",
    "FeedLagging",
    "FeedUp",
    "InstrumentListed",
    "Quote",
    "Trade",
]


class InstrumentListed(Event, frozen=True, tag="instrument"):
    """An instrument and its grid. Recorded before the instrument's first price, so a journal is
    self-contained.

    Its identity is `venue:NAME` (`key`); `instrument` is its number in one journal only. `price_scale` and
    `size_scale` are decimal places. `price_step` and `size_step` are the steps of the grid at those scales.
    `price_figures` bounds significant figures (0: no bound; integers are always allowed). Listed again with
    the same number when the venue changes its grid; its scales never become coarser.

    `silence` is "flat" if the venue has candles for windows without trades (at the last close, volume 0;
    Hyperliquid, Kraken), or "none" if it does not (Binance's archives, Coinbase). `ids` is "sequence" if
    trade ids count up in order of execution; trades with equal time stamps are then ordered by id.
    Otherwise it is "arrival", and they are ordered by arrival.

    `kind` is "perp", "spot" or "stock". `rules` are the venue's trading rules for this market.
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
    rules: MarketRules = MarketRules()

    @property
    def key(self) -> str:
        """The identity of the instrument: `venue:NAME`. The first colon separates."""
        return f"{self.venue}:{self.name}"

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

    def nearest_price(self, value: int, scale: int) -> int:
        """Return a price given at another scale at the instrument's, rounded down; at least 1."""
        if scale <= self.price_scale:
            return value * power_of_ten(self.price_scale - scale)
        return max(1, value // power_of_ten(scale - self.price_scale))

    def price_to_grid(self, price: int, side: int) -> int:
        """Return an exact price on the grid: down for a buy, up for a sell; at least one step."""
        step = self.price_step_at(price)
        steps = price // step if side == BUY else -(-price // step)
        return max(steps, 1) * step

    def size_to_grid(self, size: int) -> int:
        """Return an exact size on the grid, rounded down."""
        return size // self.size_step * self.size_step

    def size_on_grid(self, value: object) -> int:
        """Put a size on the grid, rounding towards zero. Raises NumberError. May return 0."""
        return to_grid(value, scale=self.size_scale, step=self.size_step)  # type: ignore[arg-type]


class Trade(Event, frozen=True, tag="trade"):
    """One public trade.

    `aggressor` is the taker's side, 0 if the source does not give it. `trade_id` is the venue's id, 0 or ""
    if it has none. Source: the venue's trade stream, or a file.
    """

    recv_ns: int
    venue_ns: int
    instrument: InstrumentId
    price: Price
    size: Size
    aggressor: Side
    trade_id: int | str = 0


class Quote(Event, frozen=True, tag="quote"):
    """Best bid and ask. Price and size of an empty side are 0."""

    recv_ns: int
    venue_ns: int
    instrument: InstrumentId
    bid: Price
    bid_size: Size
    ask: Price
    ask_size: Size


class Candle(Event, frozen=True, tag="candle"):
    """A closed candle of data that has candles only. `venue_ns` is its end; `trades` is 0 if unknown."""

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
    """A feed is connected and every subscription is confirmed.

    From then on `FeedHeard` proves about every `heard_ms` of real time that it is alive; 0: it has no such
    proof, and only a `FeedDown` says that it is not. `proves`: it also proves how far it has delivered what
    the venue sent (`FeedHeard.proved_ns`), and a window is complete only when its end is proved.
    """

    recv_ns: int
    feed: str
    subscriptions: int
    attempt: int = 1
    heard_ms: int = 0
    proves: bool = False


class FeedHeard(Event, frozen=True, tag="feed-heard"):
    """Every connection of a feed has received something, if only the answer to a ping, since `heard_ns`.

    `proved_ns`: every connection has delivered all trades that the venue made until this time of its own
    clock, and they were recorded before this event. 0: nothing is proved.
    """

    recv_ns: int
    feed: str
    heard_ns: int
    proved_ns: int = 0


class FeedLagging(Event, frozen=True, tag="feed-lagging"):
    """What a feed delivers is late: the newest proof of a connection is `lag_ms` of real time old.

    Emitted when that is above a bound, and with `lag_ms` 0 when it is not any more.
    """

    recv_ns: int
    feed: str
    lag_ms: int


class FeedDown(Event, frozen=True, tag="feed-down"):
    """A feed has lost a connection or receives no data. It reconnects after `backoff_ms`.

    `instruments` are those of the connection, if the feed has several; () stands for all of the feed.
    """

    recv_ns: int
    feed: str
    reason: str
    backoff_ms: int = 0
    instruments: tuple[InstrumentId, ...] = ()


class FeedDamaged(Event, frozen=True, tag="feed-damaged"):
    """Something of a feed cannot be used, or an instrument's subscription gives nothing. The feed goes on.

    `channel` is the venue's name of the channel, "" if unknown. `in_doubt`: trades may be missing, until a
    `FeedGap` of this instrument settles it. `count` is how many damages of this channel and instrument this
    event stands for. `raw` is the beginning of the message, "" if it is not kept. `instrument` is 0 for a
    channel without one.
    """

    recv_ns: int
    feed: str
    channel: str
    instrument: InstrumentId
    reason: str
    count: int = 1
    in_doubt: bool = False
    raw: str = ""


class FeedGap(Event, frozen=True, tag="feed-gap"):
    """Trades between two venue times may be missing. `closed`: the venue's backlog shows that none are.

    A gap that is not closed is as tight as can be stated: from the last trade known before it to the first
    one known after it. Several gaps may settle one interruption; together they begin at the last trade known
    before it, since what precedes them stays in doubt.
    """

    recv_ns: int
    feed: str
    instrument: InstrumentId
    from_ns: int
    to_ns: int
    closed: bool = False
