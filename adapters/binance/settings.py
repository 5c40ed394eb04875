"""The keys of `[venues.binance]` and `[venues.binance-usdm]`.

Owns what only Binance has; what every venue with real orders has stays in `[venue]`. Read by `venue.py`.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from msgspec import Meta

from engine.errors import ConfigError
from engine.venue import Settings

__all__ = ["NETWORKS", "BinanceSettings", "check_settings"]

NETWORKS: Final = ("mainnet", "testnet", "demo", "sandbox")
TRADES: Final = ("aggregate", "raw")
_ACCOUNT: Final = re.compile(r"[A-Za-z0-9_.-]{1,40}")


class BinanceSettings(Settings, frozen=True, forbid_unknown_fields=True):
    """The account that real orders are for. Paper sessions read none of it."""

    network: Annotated[
        str, Meta(description='"mainnet", "testnet", "demo" or "sandbox"; must match the address.')
    ] = "sandbox"
    account: Annotated[
        str, Meta(description="Your name for the account, which the engine's state is kept under.")
    ] = ""
    key_file: Annotated[
        str,
        Meta(
            description="File of mode 0600: the API key, white space, then its secret or Ed25519 key (PEM)."
        ),
    ] = ""
    key_env: Annotated[
        str, Meta(description="Without `key_file`: the environment variable that holds the same.")
    ] = "RETAPE_BINANCE_KEY"
    key_ring: Annotated[str, Meta(description="Without either: the entry in the desktop's keyring.")] = ""
    trades: Annotated[
        str, Meta(description='"aggregate", or "raw" for every single trade (more messages, dearer gaps).')
    ] = "aggregate"


def check_settings(settings: BinanceSettings, section: str) -> None:
    """Raise ConfigError for a network or an account that cannot be."""
    if settings.network not in NETWORKS:
        raise ConfigError(f"{section}.network: {settings.network!r} is not one of {', '.join(NETWORKS)}")
    if settings.trades not in TRADES:
        raise ConfigError(f"{section}.trades: {settings.trades!r} is not one of {', '.join(TRADES)}")
    if settings.account and not _ACCOUNT.fullmatch(settings.account):
        raise ConfigError(
            f"{section}.account: {settings.account[:50]!r} is not a name of at most 40 letters, digits, _ . -"
        )
