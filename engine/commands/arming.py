"""Arming: real orders need the configuration, the account's key and a person, all at once.

Called by `engine live` before anything is written or dialed. Whatever is missing ends the command with exit
code 6 and says what. In paper mode nothing here looks at a key.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from typing import TYPE_CHECKING

from adapters.hyperliquid.info import MAINNET_URL, TESTNET_URL, check_base_url, is_loopback
from engine.config import VenueConfig
from engine.errors import SafetyRefusal

if TYPE_CHECKING:
    from adapters.hyperliquid.gateway.keys import Signer

__all__ = ["address_of_network", "arm", "check_armed"]

_URLS = {"mainnet": MAINNET_URL, "testnet": TESTNET_URL}


def check_armed(mode: str, armed: bool) -> bool:
    """Return whether orders are to be real. Raises SafetyRefusal when mode and `--arm` do not agree."""
    if mode == "live" and not armed:
        raise SafetyRefusal("the mode is live, which sends real orders, but it is not armed; add --arm")
    if armed and mode != "live":
        raise SafetyRefusal("--arm is given, but the mode is paper; add --mode live")
    return armed


def address_of_network(venue: VenueConfig, base_url: str | None) -> str:
    """Return the venue's address for an account's network. Raises SafetyRefusal where they differ.

    Mainnet and testnet have one address each; the sandbox is on this machine.
    """
    known = _URLS.get(venue.network)
    if base_url is None:
        if known is None:
            raise SafetyRefusal(
                "real orders on a sandbox need its --base-url; start one with "
                f"`engine sandbox --account {venue.account or 'ADDRESS'}:10000`"
            )
        return known
    url = check_base_url(base_url)
    right = url == known if known is not None else is_loopback(url)
    if not right:
        raise SafetyRefusal(
            f"venue.network is {venue.network!r}, but {url} is not {known or 'on this machine'}; "
            "set both to the network you mean"
        )
    return url


def arm(venue: VenueConfig, environ: MutableMapping[str, str] = os.environ) -> Signer:
    """Return the signer of the configured account. Raises SafetyRefusal, and never tells the key."""
    if not venue.account:
        raise SafetyRefusal('no account is configured; set account = "0x..." under [venue]')
    try:
        from adapters.hyperliquid.gateway.keys import load_key
    except ModuleNotFoundError as error:
        raise SafetyRefusal(
            f"real orders need {error.name}, which is not installed; install retape[hyperliquid]"
        ) from None
    return load_key(venue, environ)
