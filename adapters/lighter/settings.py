"""The keys of `[venues.lighter]`: the network, and the account that real orders are for.

Owns what only Lighter has; what every venue with real orders has stays in `[venue]`. Read by `venue.py`.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from engine.errors import ConfigError
from engine.venue import Settings

__all__ = ["NETWORKS", "LighterSettings", "check_settings"]

NETWORKS: Final = ("mainnet", "testnet", "sandbox")
KEY_INDEX_MIN: Final = 2
KEY_INDEX_MAX: Final = 254
"""Indices of API keys: lower ones belong to the venue's own pages, 255 stands for all of them."""


class LighterSettings(Settings, frozen=True, forbid_unknown_fields=True):
    """The network, and the account that real orders are for. Paper sessions read none of the account."""

    network: Annotated[
        str, Meta(description='"mainnet", "testnet" or "sandbox"; must match the address for real orders.')
    ] = "mainnet"
    readonly: Annotated[
        bool, Meta(description="Use the address for regions that may only read. Real orders need false.")
    ] = False
    account: Annotated[str, Meta(description="The number of the account, its index at the venue.")] = ""
    key_index: Annotated[
        int, Meta(description="The number of the API key, 2 to 254. Give the engine a key of its own.")
    ] = 4
    key_file: Annotated[
        str, Meta(description="File of mode 0600 with the private API key: 0x and 80 hex digits.")
    ] = ""
    key_env: Annotated[
        str, Meta(description="Without `key_file`: the environment variable that holds the same.")
    ] = "RETAPE_LIGHTER_KEY"
    key_ring: Annotated[str, Meta(description="Without either: the entry in the desktop's keyring.")] = ""


def check_settings(settings: LighterSettings, section: str) -> None:
    """Raise ConfigError for a network, an account or the number of a key that cannot be."""
    account = settings.account
    if settings.network not in NETWORKS:
        raise ConfigError(f"{section}.network: {settings.network!r} is not one of {', '.join(NETWORKS)}")
    if account and not (account.isascii() and account.isdigit() and len(account) <= 15):
        raise ConfigError(f"{section}.account: {account[:50]!r} is not the number of an account")
    if not KEY_INDEX_MIN <= settings.key_index <= KEY_INDEX_MAX:
        raise ConfigError(
            f"{section}.key_index: {settings.key_index} is not from {KEY_INDEX_MIN} to {KEY_INDEX_MAX}"
        )
