"""The addresses of Hyperliquid's networks.

Promises no import of a network library: commands that only read a configuration need these too. Called by
`venue.py`, and by all that connects.
"""

from __future__ import annotations

from typing import Final

from adapters.transport.addresses import check_address

__all__ = ["MAINNET_URL", "TESTNET_URL", "check_base_url", "websocket_url"]

MAINNET_URL: Final = "https://api.hyperliquid.xyz"
TESTNET_URL: Final = "https://api.hyperliquid-testnet.xyz"


def check_base_url(base_url: str) -> str:
    """Return the venue's base address without a slash at the end. Raises UsageError."""
    return check_address(base_url, MAINNET_URL)


def websocket_url(base_url: str) -> str:
    """Return the websocket's address: the base with ws for http and /ws behind it."""
    return "ws" + check_base_url(base_url).removeprefix("http") + "/ws"
