"""What differs between the orders of spot and of USD-M futures: addresses, weights, words, spans.

Owns these as data, so that the gateway has one way for both. Source: the venue's references, 2026-07, and its
Python SDK of 2026-08.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import msgspec

__all__ = ["SPOT", "USDM", "Dialect", "stream_address"]

_DAY_MS: Final = 86_400_000


class Dialect(msgspec.Struct, frozen=True):
    """One of the two. `trades_span_ms` is the longest time that one request for own trades may span.

    `post_only` is the time in force of a post-only order, "" where it is an order type of its own. Weights
    are those of a request for one market.
    """

    venue: str
    spot: bool
    root: str
    trades: str
    trades_span_ms: int
    post_only: str
    open_weight: int
    order_weight: int
    trades_weight: int
    all_weight: int

    def path(self, name: str) -> str:
        """Return the path of a request."""
        return f"{self.root}/{name}"


SPOT: Final = Dialect("binance", True, "/api/v3", "myTrades", _DAY_MS, "", 6, 4, 20, 20)
USDM: Final = Dialect("binance-usdm", False, "/fapi/v1", "userTrades", 7 * _DAY_MS, "GTX", 1, 1, 5, 5)

_SPOT_STREAMS: Final = {
    "api.binance.com": "wss://ws-api.binance.com/ws-api/v3",
    "testnet.binance.vision": "wss://ws-api.testnet.binance.vision/ws-api/v3",
    "demo-api.binance.com": "wss://demo-ws-api.binance.com/ws-api/v3",
}
_USDM_STREAMS: Final = {
    "fapi.binance.com": "wss://fstream.binance.com/private/ws",
    "testnet.binancefuture.com": "wss://fstream.binancefuture.com/private/ws",
    "demo-fapi.binance.com": "wss://demo-fstream.binance.com/private/ws",
}


def stream_address(dialect: Dialect, base_url: str) -> str:
    """Return the websocket of the user data that belongs to a REST address; a sandbox has it beside that."""
    parts = urlsplit(base_url)
    known = _SPOT_STREAMS if dialect.spot else _USDM_STREAMS
    if (found := known.get(parts.hostname or "")) is not None:
        return found
    path = "/ws-api/v3" if dialect.spot else "/private/ws"
    return f"{'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}{path}"
