"""The private key of Hyperliquid's account, or of its agent: a signer made of a secret.

Where it is read from, and that it is never shown, see `adapters/transport/secrets.py`. Called by the command
line for an armed session only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from typing import Any, NoReturn

from adapters.hyperliquid.signing import Signature, address_of, sign_l1_action
from adapters.transport.secrets import Secret, read_secret
from engine.config import VenueConfig
from engine.errors import SafetyRefusal, UsageError

__all__ = ["Secret", "Signer", "load_key"]


class Signer:
    """Signs for one address. Shows its address, never its key; cannot be copied to bytes."""

    __slots__ = ("_secret", "address", "mainnet")

    def __init__(self, key: str | Secret, *, mainnet: bool = False) -> None:
        self._secret = key if isinstance(key, Secret) else Secret(key)
        del key
        self.address = ""
        self.address = self._secret.use(address_of)
        self.mainnet = mainnet

    def sign(
        self, action: Mapping[str, Any], nonce: int, vault: str | None, expires_after: int | None
    ) -> Signature:
        """Return the signature of an action; times in ms."""
        return self._secret.use(sign_l1_action, action, nonce, vault, expires_after, self.mainnet)

    def __repr__(self) -> str:
        return f"Signer({self.address})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a signer cannot be copied out of its process")


def load_key(venue: VenueConfig, environ: MutableMapping[str, str] = os.environ) -> Signer:
    """Return the signer of the configured key: file, else variable, else keyring. Raises SafetyRefusal."""
    secret, where = read_secret(venue, environ, "venue", "hyperliquid")
    try:
        return Signer(secret, mainnet=venue.network == "mainnet")
    except UsageError:
        raise SafetyRefusal(f"{where} holds no private key (0x and 64 hex digits)") from None
