"""The API key of an account: signs transactions and tokens, and is never shown.

A file, variable or keyring entry holds the private part, 0x and 80 hex digits; account and number of the key
are settings. Where it is read from, and that it is never shown, see `adapters/transport/secrets.py`. Called
by the command line for an armed session only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, MutableMapping
from typing import Final, NoReturn, TypeVar

from adapters.lighter.settings import LighterSettings
from adapters.lighter.signing import LighterKey, SignedTransaction, Transaction
from adapters.transport.secrets import Secret, read_secret
from engine.errors import SafetyRefusal, UsageError

__all__ = ["Signer", "load_key"]

TOKEN_S: Final = 7 * 3600
"""How long a token is valid; the venue allows 8 h."""

TOKEN_RENEW_S: Final = 3600
"""A token with less time left is made anew."""

_Result = TypeVar("_Result")


class Signer:
    """Signs for one account, whose number is `address`. Never shows its key; cannot be copied to bytes."""

    __slots__ = ("_key", "_token", "_until_s", "account", "address", "index", "public")

    def __init__(self, key: str | Secret, account: int, index: int) -> None:
        given = key if isinstance(key, Secret) else Secret(key)
        del key
        self._key: LighterKey = given.use(LighterKey, account, index)
        self.account = account
        self.address = str(account)
        self.index = index
        self.public = self._key.public
        self._token = ""
        self._until_s = 0

    def sign(self, transaction: Transaction, chain: int) -> SignedTransaction:
        """Return a signed transaction. Takes 5 ms."""
        return _quietly(self._key.sign, transaction, chain)

    def token(self, venue_s: int) -> str:
        """Return a token for private requests and channels, valid for at least an hour of the venue's
        time."""
        left_s = self._until_s - venue_s
        if not TOKEN_RENEW_S < left_s <= TOKEN_S:
            self._until_s = venue_s + TOKEN_S
            self._token = _quietly(self._key.token, self._until_s)
        return self._token

    @property
    def until_s(self) -> int:
        """The venue's time at which the token that was returned last ends; 0 before the first."""
        return self._until_s

    def __repr__(self) -> str:
        return f"Signer({self.address})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a signer cannot be copied out of its process")


def load_key(
    settings: LighterSettings, environ: MutableMapping[str, str] = os.environ, section: str = "venues.lighter"
) -> Signer:
    """Return the signer of the configured key: file, else variable, else keyring. Raises SafetyRefusal."""
    if not settings.account:
        raise SafetyRefusal(f'no account is configured; set account = "its number" under [{section}]')
    secret, where = read_secret(settings, environ, section, "lighter")
    try:
        return Signer(secret, int(settings.account), settings.key_index)
    except UsageError:
        raise SafetyRefusal(f"{where} holds no private API key of lighter (0x and 80 hex digits)") from None


def _quietly(function: Callable[..., _Result], *arguments: object) -> _Result:
    """Return function(*arguments). An error leaves without the frames that saw the key."""
    try:
        return function(*arguments)
    except BaseException as error:
        error.__traceback__ = error.__context__ = error.__cause__ = None
        raise
