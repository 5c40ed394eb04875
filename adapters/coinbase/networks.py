"""The addresses of Coinbase's Advanced Trade market data.

Promises no import of a network library. Called by `venue.py`, and by all that connects.
"""

from __future__ import annotations

from typing import Final

from adapters.transport.addresses import check_address

__all__ = ["MAINNET_URL", "check_base_url", "websocket_url"]

MAINNET_URL: Final = "https://api.coinbase.com"
_WEBSOCKET_URL: Final = "wss://advanced-trade-ws.coinbase.com"


def check_base_url(base_url: str) -> str:
    """Return the venue's base address without a slash at the end. Raises UsageError."""
    return check_address(base_url, MAINNET_URL)


def websocket_url(base_url: str) -> str:
    """Return the websocket's address: a host of its own at the venue, a path at a sandbox."""
    base = check_base_url(base_url)
    return _WEBSOCKET_URL if base == MAINNET_URL else f"ws{base.removeprefix('http')}/ws"
