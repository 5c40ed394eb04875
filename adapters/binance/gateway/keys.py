"""The API key of an account and its secret: a signer that shows neither.

A file, variable or keyring entry holds the API key, white space, then the secret: the text of an HMAC secret,
or the private key of an Ed25519 pair in PEM. Anything else is refused by its shape. Where it is read from,
and that it is never shown, see `adapters/transport/secrets.py`. Called by the command line for an armed
session only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, MutableMapping
from typing import Final, NoReturn, TypeVar

from adapters.binance.gateway.signing import (
    Sign,
    ed25519_signer,
    hmac_signer,
    signed_params,
    signed_query,
)
from adapters.binance.settings import BinanceSettings
from adapters.transport.secrets import Secret, read_secret
from engine.errors import SafetyRefusal, UsageError

__all__ = ["Signer", "load_key"]

_Form = TypeVar("_Form")
_Params = Mapping[str, str | int]
_API_KEY: Final = re.compile(r"[A-Za-z0-9]{64}")
_HMAC: Final = re.compile(r"[A-Za-z0-9]{64}")
_PEM: Final = re.compile(r"-----BEGIN PRIVATE KEY-----[A-Za-z0-9+/=\s]{40,400}-----END PRIVATE KEY-----")


class Signer:
    """Signs for one account, which `address` names. Never shows its key; cannot be copied to bytes."""

    __slots__ = ("_api_key", "_secret", "address", "kind")

    def __init__(self, key: str | Secret, account: str = "") -> None:
        given = key if isinstance(key, Secret) else Secret(key)
        del key
        self.address = account
        self._api_key, self._secret, self.kind = given.use(_divided)

    def query(self, params: Mapping[str, str | int]) -> str:
        """Return the signed query of a request."""
        text: str = self._secret.use(_signed, self.kind, signed_query, params)
        return text

    def params(self, params: Mapping[str, str | int]) -> dict[str, str | int]:
        """Return the signed parameters of a websocket request, with the API key."""
        return self._api_key.use(self._with_key, params)

    def headers(self) -> dict[str, str]:
        """Return the headers of a request."""
        return self._api_key.use(_headers)

    def _with_key(self, api_key: str, params: Mapping[str, str | int]) -> dict[str, str | int]:
        return self._secret.use(_signed, self.kind, signed_params, {"apiKey": api_key, **params})

    def __repr__(self) -> str:
        return f"Signer({self.address})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a signer cannot be copied out of its process")


def load_key(
    settings: BinanceSettings, environ: MutableMapping[str, str] = os.environ, section: str = "venues.binance"
) -> Signer:
    """Return the signer of the configured key: file, else variable, else keyring. Raises SafetyRefusal."""
    if not settings.account:
        raise SafetyRefusal(f'no account is configured; set account = "a name for it" under [{section}]')
    secret, where = read_secret(settings, environ, section, "binance")
    try:
        return Signer(secret, settings.account)
    except UsageError:
        raise SafetyRefusal(
            f"{where} holds no API key with its secret (64 letters and digits, white space, then the HMAC "
            "secret of 64 letters and digits or an Ed25519 private key in PEM)"
        ) from None


def _divided(text: str) -> tuple[Secret, Secret, str]:
    """Return API key, secret and its kind. Raises UsageError, which shows nothing of them."""
    api_key, *rest = text.split(None, 1) or [""]
    secret = rest[0].strip() if rest else ""
    if not _API_KEY.fullmatch(api_key):
        raise UsageError("no API key")
    if _HMAC.fullmatch(secret):
        return Secret(api_key), Secret(secret), "hmac"
    if _PEM.fullmatch(secret):
        ed25519_signer(secret)
        return Secret(api_key), Secret(secret), "ed25519"
    raise UsageError("no secret")


def _signed(secret: str, kind: str, form: Callable[[_Params, Sign], _Form], params: _Params) -> _Form:
    return form(params, hmac_signer(secret) if kind == "hmac" else ed25519_signer(secret))


def _headers(api_key: str) -> dict[str, str]:
    return {"X-MBX-APIKEY": api_key}
