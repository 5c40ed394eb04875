"""The addresses of ApeX Omni's networks.

Promises no import of a network library: commands that only read a configuration need these too. Called by
`venue.py`, and by all that connects.
"""

from __future__ import annotations

from typing import Final

from adapters.transport.addresses import check_address

__all__ = ["MAINNET_URL", "URLS", "check_base_url", "websocket_url"]

MAINNET_URL: Final = "https://omni.apex.exchange"
_TESTNET_URL: Final = "https://qa.omni.apex.exchange"
URLS: Final = {"mainnet": MAINNET_URL, "testnet": _TESTNET_URL}
_STREAMS: Final = {
    MAINNET_URL: "wss://quote.omni.apex.exchange",
    _TESTNET_URL: "wss://qa-quote.omni.apex.exchange",
}


def check_base_url(base_url: str) -> str:
    """Return the venue's base address without a slash at the end. Raises UsageError."""
    return check_address(base_url, MAINNET_URL)


def websocket_url(base_url: str, now_ms: int) -> str:
    """Return the websocket's address, which holds the time; a sandbox has it on its own host."""
    url = check_base_url(base_url)
    stream = _STREAMS.get(url) or "ws" + url.removeprefix("http")
    return f"{stream}/realtime_public?v=2&timestamp={now_ms}"
