"""Finds venues by name: the table of this project's own, then the entry points of installed packages.

A package brings a venue by an entry point of the group `retape.venues` that names a subclass of
`engine.venue.Venue`. A venue's module is imported only when the venue is used. Called by the commands.
"""

from __future__ import annotations

from typing import Final

import msgspec

from engine.config import Config, nearest
from engine.errors import ConfigError, UsageError
from engine.plugins import Plugins
from engine.venue import Venue

__all__ = ["ENTRY_POINTS", "HISTORY_DEFAULT", "VENUES", "check_sections", "find_venue", "venue_names"]

ENTRY_POINTS: Final = "retape.venues"
"""The group of entry points."""

VENUES: Final = {
    "sandbox": "adapters.sandbox.venue:SandboxVenue",
    "hyperliquid": "adapters.hyperliquid.venue:HyperliquidVenue",
    "kraken": "adapters.kraken.venue:KrakenVenue",
    "coinbase": "adapters.coinbase.venue:CoinbaseVenue",
    "binance": "adapters.binance.venue:BinanceVenue",
    "binance-usdm": "adapters.binance.venue:BinanceUsdmVenue",
    "lighter": "adapters.lighter.venue:LighterVenue",
    "apex": "adapters.apex.venue:ApexVenue",
}
"""The venues of this project: module:Class by name."""

HISTORY_DEFAULT: Final = "hyperliquid"
"""The venue whose history is read unless another is named."""

_VENUES: Final = Plugins("venue", VENUES, ENTRY_POINTS)


def venue_names() -> list[str]:
    """Return the names of all venues that can be found."""
    return _VENUES.names()


def find_venue(name: str) -> Venue:
    """Return the venue of this name. Raises UsageError with the nearest names."""
    return _made(name, _VENUES.find(name))


def check_sections(config: Config, venue: Venue) -> None:
    """Raise ConfigError for a section `[venues.NAME]` of a venue that does not exist; `venue` does."""
    known = [venue.name, *(name for name in venue_names() if name != venue.name)]
    for name in {} if config.venues is msgspec.UNSET else config.venues:
        if name not in known:
            raise ConfigError(f"venues.{name}: there is no venue {name!r}; {nearest(name, known)}")


def _made(name: str, cls: object) -> Venue:
    if not isinstance(cls, type) or not issubclass(cls, Venue):
        raise UsageError(f"the venue {name!r} is {cls!r}, which is not a subclass of engine.venue.Venue")
    if not isinstance(getattr(cls, "name", None), str):
        raise UsageError(f"the venue {name!r}: {cls.__name__} has no name; set it as name = {name!r}")
    try:
        return cls()
    except Exception as error:
        raise UsageError(f"the venue {name!r} cannot be made: {type(error).__name__}: {error}") from error
