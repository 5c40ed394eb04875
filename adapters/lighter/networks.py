"""The addresses of Lighter's networks.

Promises no import of a network library: commands that only read a configuration need these too. Called by
`venue.py`, and by all that connects.
"""

from __future__ import annotations

from typing import Final

from adapters.transport.addresses import check_address

__all__ = ["MAINNET_URL", "URLS", "check_base_url", "websocket_url"]

MAINNET_URL: Final = "https://mainnet.zklighter.elliot.ai"
URLS: Final = {"mainnet": MAINNET_URL, "testnet": "https://testnet.zklighter.elliot.ai"}


def check_base_url(base_url: str) -> str:
    """Return the venue's base address without a slash at the end. Raises UsageError."""
    return check_address(base_url, MAINNET_URL)


def websocket_url(base_url: str, *, readonly: bool = False) -> str:
    """Return the websocket's address. `readonly`: the form for regions that may only read."""
    url = "ws" + check_base_url(base_url).removeprefix("http") + "/stream"
    return url + "?readonly=true" if readonly else url
