"""The network: the only calls through which an adapter reaches a venue.

`Network` opens connections of the operating system. The simulation (`tests/simulation/`) replaces it with
pipes in memory that delay, cut and lose. Passed from a venue to its client, and from there to feed, gateway
and HTTP clients.
"""

from __future__ import annotations

from typing import Final

import httpx

from adapters.transport.connection import Dial, dial_url

__all__ = ["NETWORK", "Network"]


class Network:
    """Streams and HTTP of the operating system."""

    def dial(self, url: str) -> Dial:
        """Return a function that opens the byte stream to a websocket's address, TLS included."""
        return dial_url(url)

    def http(self) -> httpx.AsyncBaseTransport | None:
        """Return what carries the requests of one HTTP client; None for httpx's own."""
        return None


NETWORK: Final = Network()
