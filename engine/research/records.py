"""The rows of stores as structs: what `engine.research.data` gives.

Owns which columns of `engine.stores.rows.tables` are shown and the time that orders them. Prices, sizes and
money are exact decimal text in the instrument's units, times UTC nanoseconds, and each row has the `seq` of
its record, for `engine why DAY SEQ`. Averages are floats. A text that is not there is "", a number None.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

__all__ = [
    "RECORDS",
    "Bar",
    "Equity",
    "Exact",
    "Fill",
    "Funding",
    "Liquidation",
    "OpenInterest",
    "Order",
    "Signal",
    "Trade",
    "Trip",
]

Exact = Annotated[str, "exact decimal text"]
"""A price, a size or an amount of money."""


class Bar(msgspec.Struct, frozen=True):
    """A closed bar, the newest revision of it. `start_ns` is the beginning of its window."""

    start_ns: int
    instrument: str
    venue: str
    interval: str
    open: Exact | None
    high: Exact | None
    low: Exact | None
    close: Exact | None
    volume: Exact | None
    quote_volume: Exact | None
    vwap: float | None
    buy_volume: Exact | None
    sell_volume: Exact | None
    trades: int | None
    source: str
    incomplete: bool
    because: str
    revision: int
    seq: int


class Trade(msgspec.Struct, frozen=True):
    """A public trade. `side` is that of the aggressor, `venue_ns` the venue's time."""

    venue_ns: int
    at_ns: int
    instrument: str
    venue: str
    price: Exact | None
    size: Exact | None
    side: str
    trade_id: str
    seq: int


class Order(msgspec.Struct, frozen=True):
    """An order in its newest state."""

    submitted_ns: int | None
    updated_ns: int | None
    client_order_id: str
    strategy: str
    instrument: str
    venue: str
    side: str
    size: Exact | None
    kind: str
    limit_price: Exact | None
    tif: str
    role: str
    purpose: str
    reduce_only: bool
    trigger_price: Exact | None
    state: str
    filled: Exact | None
    remaining: Exact | None
    avg_price: float | None
    fees: Exact | None
    reason: str
    venue_order_id: str
    seq: int
    updated_seq: int | None


class Fill(msgspec.Struct, frozen=True):
    """A fill of an own order. `fee` is a cost if positive."""

    venue_ns: int
    at_ns: int
    client_order_id: str
    strategy: str
    instrument: str
    venue: str
    side: str
    price: Exact | None
    size: Exact | None
    value: Exact | None
    fee: Exact | None
    fee_asset: str
    liquidity: str
    trade_id: str
    role: str
    purpose: str
    seq: int


class Trip(msgspec.Struct, frozen=True):
    """A position from flat to flat. `net` is the profit after fees; prices are averages."""

    entered_ns: int
    exited_ns: int
    strategy: str
    instrument: str
    venue: str
    side: str
    size: Exact | None
    entry_price: float | None
    exit_price: float | None
    profit: Exact | None
    fees: Exact | None
    net: Exact | None
    seconds: float | None
    exit_by: str
    reason: str
    entry_seq: int
    seq: int


class Equity(msgspec.Struct, frozen=True):
    """A valuation of the account. `start` is what it began with."""

    at_ns: int
    equity: Exact | None
    realized: Exact | None
    unrealized: Exact | None
    fees: Exact | None
    funding: Exact | None
    start: Exact | None
    adjustments: Exact | None
    seq: int


class Signal(msgspec.Struct, frozen=True):
    """A value that a strategy emitted: a signal or an indicator."""

    at_ns: int
    strategy: str
    instrument: str
    venue: str
    name: str
    value: float | None
    seq: int


class Funding(msgspec.Struct, frozen=True):
    """A settled funding rate. `unit`: it is a "fraction", or "money" in quote currency for one unit."""

    time_ns: int
    instrument: str
    venue: str
    rate: Exact | None
    unit: str
    premium: Exact | None
    seq: int


class OpenInterest(msgspec.Struct, frozen=True):
    """The newest reading of a minute: open interest in base units, running rate of funding for one hour."""

    time_ns: int
    instrument: str
    venue: str
    open_interest: Exact | None
    funding: Exact | None
    premium: Exact | None
    mark: Exact | None
    oracle: Exact | None
    seq: int


class Liquidation(msgspec.Struct, frozen=True):
    """A forced close. `side` is that of the closing order; `sampled`: the venue does not publish all."""

    venue_ns: int
    at_ns: int
    instrument: str
    venue: str
    price: Exact | None
    size: Exact | None
    side: str
    trade_id: str
    sampled: bool
    seq: int


RECORDS: Final[dict[type[msgspec.Struct], str]] = {
    Bar: "bars",
    Trade: "trades",
    Order: "orders",
    Fill: "fills",
    Trip: "round_trips",
    Equity: "equity",
    Signal: "signals",
    Funding: "funding_rates",
    OpenInterest: "open_interest",
    Liquidation: "liquidations",
}
"""The tables of the structs."""
