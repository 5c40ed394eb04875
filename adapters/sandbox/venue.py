"""The sandbox exchange as a venue: the Hyperliquid protocol, served on this machine.

Without an address, the command starts an embedded sandbox that stops with the session.
"""

from __future__ import annotations

from adapters.hyperliquid.venue import HyperliquidVenue
from engine.config import Config

__all__ = ["SandboxVenue"]


class SandboxVenue(HyperliquidVenue):
    """See `engine.venue.Venue`."""

    name = "sandbox"
    lists_as = HyperliquidVenue.name

    def address(self, config: Config, base_url: str | None, *, real: bool) -> str | None:
        """See `Venue.address`. The embedded sandbox (None) never receives real orders."""
        return super().address(config, base_url, real=real) if real or base_url else None
