"""The sandbox exchange as a venue: it speaks the Hyperliquid protocol, on this machine.

Without an address the command starts one of its own, which ends with the session.
"""

from __future__ import annotations

from adapters.hyperliquid.venue import HyperliquidVenue
from engine.config import Config

__all__ = ["SandboxVenue"]


class SandboxVenue(HyperliquidVenue):
    """See `engine.venue.Venue`."""

    name = "sandbox"

    def address(self, config: Config, base_url: str | None, *, real: bool) -> str | None:
        """See `Venue.address`: None is the embedded sandbox, which no real orders are sent to."""
        return super().address(config, base_url, real=real) if real or base_url else None
