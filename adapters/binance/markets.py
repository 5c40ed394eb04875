"""Binance's two markets, spot and USD-M futures: their addresses, limits, and what requests weigh.

Owns what differs between the two on the wire. Promises no import of a network library. Source: the venue's
documentation of the spot API and of USD-M futures, 2026.

USD-M market data comes from two roots since 2026-03: books and best prices from `public`, everything else
from `market`. The root without them still accepts connections, and sends nothing. Whether the test networks
are split in the same way is not documented; the same addresses are used there.
"""

from __future__ import annotations

from typing import Final

import msgspec

from adapters.transport.addresses import check_address, is_loopback
from adapters.transport.governor import Limits, Rate
from engine.errors import UsageError

__all__ = ["SPOT", "STATISTICS", "USDM", "Market", "check_base_url", "websocket_root"]

STATISTICS: Final = "/futures/data"
"""The beginning of the paths of statistics of USD-M."""


class Market(msgspec.Struct, frozen=True):
    """One market. `networks` are (HTTP address, websocket address) by the name of the network.

    `api` is the beginning of the paths of REST, `roots` those of market data by channel ("": all others).
    `weights` are those of requests by their path behind `api`; `depth_levels` is how many levels of a side a
    snapshot is asked for, `klines_max` how many candles an answer has.
    """

    venue: str
    title: str
    kind: str
    api: str
    networks: dict[str, tuple[str, str]]
    roots: dict[str, str]
    channels: tuple[str, ...]
    intervals: tuple[str, ...]
    limits: Limits
    weights: dict[str, int]
    depth_levels: int
    klines_max: int


SPOT: Final = Market(
    venue="binance",
    title="Binance spot",
    kind="spot",
    api="/api/v3",
    networks={
        "mainnet": ("https://api.binance.com", "wss://stream.binance.com:9443"),
        "testnet": ("https://testnet.binance.vision", "wss://stream.testnet.binance.vision"),
        "demo": ("https://demo-api.binance.com", "wss://demo-stream.binance.com"),
    },
    roots={"": ""},
    channels=("depth", "kline"),
    intervals=("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "8h", "12h", "1d"),
    limits=Limits(
        weight=Rate(6000),
        messages=Rate(5, per_s=1),
        connections=Rate(300, per_s=300),
        connections_open=50,
        subscriptions=10_000,
        posts_in_flight=100,
        orders=(Rate(50, per_s=10), Rate(160_000, per_s=86_400)),
    ),
    weights={
        "time": 1,
        "exchangeInfo": 20,
        "depth": 50,
        "aggTrades": 4,
        "historicalTrades": 25,
        "trades": 25,
        "ticker/bookTicker": 2,
        "klines": 2,
    },
    depth_levels=1000,
    klines_max=1000,
)

USDM: Final = Market(
    venue="binance-usdm",
    title="Binance USD-M futures",
    kind="perp",
    api="/fapi/v1",
    networks={
        "mainnet": ("https://fapi.binance.com", "wss://fstream.binance.com"),
        "testnet": ("https://testnet.binancefuture.com", "wss://fstream.binancefuture.com"),
        "demo": ("https://demo-fapi.binance.com", "wss://demo-fstream.binance.com"),
    },
    roots={"": "/market", "bookTicker": "/public", "depth": "/public", "trade": "/public"},
    channels=("depth", "kline", "markPrice", "openInterest", "forceOrder"),
    intervals=("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "8h", "12h", "1d"),
    limits=Limits(
        weight=Rate(2400),
        messages=Rate(10, per_s=1),
        connections=Rate(300, per_s=300),
        connections_open=50,
        subscriptions=10_000,
        posts_in_flight=100,
        orders=(Rate(300, per_s=10), Rate(1200)),
    ),
    weights={
        "time": 1,
        "exchangeInfo": 1,
        "fundingInfo": 5,
        "depth": 20,
        "aggTrades": 20,
        "historicalTrades": 200,
        "trades": 5,
        "ticker/bookTicker": 2,
        "klines": 10,
        "premiumIndex": 1,
        "openInterest": 1,
        # Shares a limit of its own: 500 requests in five minutes.
        "fundingRate": 24,
        # Shares a limit of its own: 1000 requests in five minutes.
        "openInterestHist": 12,
    },
    depth_levels=1000,
    klines_max=1500,
)


def check_base_url(market: Market, base_url: str) -> str:
    """Return the market's base address without a slash at the end. Raises UsageError."""
    return check_address(base_url, market.networks["mainnet"][0])


def websocket_root(market: Market, base_url: str) -> str:
    """Return the websocket's address of an HTTP address. Raises UsageError for one that is not known."""
    url = check_base_url(market, base_url)
    for http, websocket in market.networks.values():
        if url == http:
            return websocket
    if is_loopback(url):
        return "ws" + url.removeprefix("http")
    known = ", ".join(http for http, _ in market.networks.values())
    raise UsageError(f"{url} is not an address of {market.title}; known: {known}, and this machine's own")
