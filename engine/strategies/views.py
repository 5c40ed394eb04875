"""The arguments of the hooks about the market: bars, trades, quotes, books, contexts, in decimal numbers.

A view is made from an event and its instrument, for one call. Prices and sizes are float64 (the nearest to
the exact value); `event` is the exact record. Strategies need no scale arithmetic.
"""

from __future__ import annotations

import msgspec

from engine.events import (
    ActivityBarClosed,
    BarClosed,
    BookRead,
    CandleRead,
    ContextRead,
    InstrumentListed,
    LiquidationRead,
    Quote,
    Trade,
)
from engine.events.readings import BookLevels
from engine.strategies.literals import Side, TakerSide, order_side
from engine.values import Amount, format_interval, power_of_ten, side_name

__all__ = [
    "Bar",
    "Book",
    "Context",
    "Liquidation",
    "Market",
    "Tick",
    "Touch",
    "history_bar",
    "market_of",
    "view_bar",
]


class Bar(msgspec.Struct, frozen=True):
    """A closed bar. `market` is the instrument's label, `start_ns` UTC.

    `interval` is text such as "1m", or "volume:50" for an activity bar. `warmup`: the bar is history, passed
    to warm up indicators; verbs do nothing on it.
    """

    event: BarClosed | ActivityBarClosed
    listed: InstrumentListed
    market: str
    interval: str
    open: float
    high: float
    low: float
    close: float
    volume: float
    warmup: bool = False

    @property
    def start_ns(self) -> int:
        """The start of the bar's window."""
        return self.event.start_ns

    @property
    def trades(self) -> int:
        """The number of trades; 0 in a window without trades."""
        return self.event.trades

    @property
    def complete(self) -> bool:
        """Whether all trades of the window are known to be in the bar."""
        return not self.event.incomplete

    @property
    def quote_volume(self) -> float | None:
        """The volume in quote currency; None if the bar comes from a candle."""
        money = self.event.quote_volume
        return None if money is None else int(money) / power_of_ten(self.listed.money_scale)

    @property
    def vwap(self) -> float | None:
        """The volume-weighted average price; None without volume, or if the bar comes from a candle."""
        event = self.event
        if event.quote_volume is None or not int(event.volume):
            return None
        return int(event.quote_volume) / (int(event.volume) * power_of_ten(self.listed.price_scale))

    @property
    def buy_volume(self) -> float | None:
        """The volume that takers bought, in base units; None if the bar comes from a candle."""
        return self._size(self.event.buy_volume)

    @property
    def sell_volume(self) -> float | None:
        """The volume that takers sold, in base units; None if the bar comes from a candle."""
        return self._size(self.event.sell_volume)

    def _size(self, value: Amount | None) -> float | None:
        return None if value is None else int(value) / power_of_ten(self.listed.size_scale)


class Market(msgspec.Struct, frozen=True):
    """The listing of an instrument, its label, and the divisors of its integers."""

    listed: InstrumentListed
    label: str
    price_unit: int
    size_unit: int


class Tick(msgspec.Struct, frozen=True, gc=False):
    """A public trade. `price` is in quote currency. The other properties are computed on access."""

    event: Trade
    scales: Market
    price: float

    @property
    def market(self) -> str:
        """The instrument's label."""
        return self.scales.label

    @property
    def size(self) -> float:
        """Size in base units."""
        return self.event.size / self.scales.size_unit

    @property
    def side(self) -> TakerSide:
        """The taker's side: "buy", "sell", or "" where the source does not say."""
        return side_name(self.event.aggressor)


class Touch(msgspec.Struct, frozen=True, gc=False):
    """The best bid and ask; None for an empty side. `market` is the instrument's label."""

    event: Quote
    listed: InstrumentListed
    market: str

    @property
    def bid(self) -> float | None:
        """Best bid price."""
        return self.event.bid / power_of_ten(self.listed.price_scale) if self.event.bid else None

    @property
    def ask(self) -> float | None:
        """Best ask price."""
        return self.event.ask / power_of_ten(self.listed.price_scale) if self.event.ask else None

    @property
    def bid_size(self) -> float:
        """Size at the best bid, in base units; 0 for an empty side."""
        return self.event.bid_size / power_of_ten(self.listed.size_scale)

    @property
    def ask_size(self) -> float:
        """Size at the best ask, in base units; 0 for an empty side."""
        return self.event.ask_size / power_of_ten(self.listed.size_scale)


class Book(msgspec.Struct, frozen=True, gc=False):
    """A full order book, which replaces the one before. `fast` books have 5 levels.

    `market` is the instrument's label.
    """

    event: BookRead
    listed: InstrumentListed
    market: str

    @property
    def fast(self) -> bool:
        """Whether this is the short book, which comes more often."""
        return self.event.fast

    @property
    def bids(self) -> list[tuple[float, float]]:
        """(price, size in base units) of each level, best first."""
        return _levels(self.event.bids, self.listed)

    @property
    def asks(self) -> list[tuple[float, float]]:
        """(price, size in base units) of each level, best first."""
        return _levels(self.event.asks, self.listed)


class Context(msgspec.Struct, frozen=True, gc=False):
    """The context of an instrument; None for values that the venue does not send.

    `market` is the instrument's label.
    """

    event: ContextRead
    listed: InstrumentListed
    market: str

    @property
    def mark(self) -> float | None:
        """The mark price."""
        return self._of(self.event.mark)

    @property
    def oracle(self) -> float | None:
        """The oracle price."""
        return self._of(self.event.oracle)

    @property
    def mid(self) -> float | None:
        """The price between the best bid and ask."""
        return self._of(self.event.mid)

    @property
    def funding(self) -> float | None:
        """The funding rate for one hour, a fraction."""
        return self._of(self.event.funding)

    @property
    def premium(self) -> float | None:
        """The premium, a fraction."""
        return self._of(self.event.premium)

    @property
    def open_interest(self) -> float | None:
        """Open interest in base units."""
        return self._of(self.event.open_interest)

    def _of(self, value: Amount | None) -> float | None:
        return None if value is None else int(value) / power_of_ten(self.event.scale)


class Liquidation(msgspec.Struct, frozen=True, gc=False):
    """A position of somebody that was closed by force. `market` is the instrument's label."""

    event: LiquidationRead
    listed: InstrumentListed
    market: str

    @property
    def side(self) -> Side:
        """The side of the closing order: "sell" closed a long, "buy" a short."""
        return order_side(self.event.side)

    @property
    def price(self) -> float:
        """The price of the fill where the venue shows it, else of the order."""
        return self.event.price / power_of_ten(self.listed.price_scale)

    @property
    def size(self) -> float:
        """The size, in base units."""
        return self.event.size / power_of_ten(self.listed.size_scale)

    @property
    def sampled(self) -> bool:
        """Whether the venue shows only some of its liquidations."""
        return self.event.sampled


def _levels(side: BookLevels, listed: InstrumentListed) -> list[tuple[float, float]]:
    price_unit, size_unit = power_of_ten(listed.price_scale), power_of_ten(listed.size_scale)
    return [(price / price_unit, size / size_unit) for price, size, _ in side]


def market_of(listed: InstrumentListed, label: str) -> Market:
    """Return the listing, label and divisors of an instrument."""
    return Market(listed, label, power_of_ten(listed.price_scale), power_of_ten(listed.size_scale))


def history_bar(candle: CandleRead) -> BarClosed:
    """Return a candle of the venue's history as a bar."""
    return BarClosed(
        candle.recv_ns,
        candle.instrument,
        candle.interval_ns,
        candle.start_ns,
        candle.open,
        candle.high,
        candle.low,
        candle.close,
        candle.volume,
        candle.trades,
        "candle",
        source="venue",
    )


def view_bar(event: BarClosed | ActivityBarClosed, market: Market, *, warmup: bool = False) -> Bar:
    """Return the view of a closed bar."""
    unit = market.price_unit
    return Bar(
        event,
        market.listed,
        market.label,
        format_interval(event.interval_ns) if isinstance(event, BarClosed) else event.kind,
        event.open / unit,
        event.high / unit,
        event.low / unit,
        event.close / unit,
        int(event.volume) / market.size_unit,
        warmup,
    )
