"""Signs Lighter's transactions and tokens.

Owns the numbers that are hashed, in their order; `poseidon.py` hashes and `schnorr.py` signs. Promises: the
hash of a transaction, and the public part of a key, are those of the venue's own client (lighter-sdk 1.1.8,
2026-11), which vectors prove; the key is shown by no text of this program. A kind of transaction that no
vector proves cannot be signed. Called by the gateway; the sandbox checks signatures by the same hashes.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Final

import msgspec

from adapters.lighter.poseidon import Element, P, hash_to_element
from adapters.lighter.schnorr import ORDER, public_key, sign, to_bytes
from engine.errors import UsageError

__all__ = [
    "CHAINS",
    "KINDS",
    "MARKET",
    "SKIPS_NONCE",
    "LighterKey",
    "SignedTransaction",
    "Transaction",
    "hash_text",
    "hash_transaction",
]

CHAINS: Final = {"mainnet": 304, "testnet": 300, "sandbox": 304}
"""What a transaction is signed for; the venue's client takes 304 for an address that it does not know."""

_ACCOUNT: Final = ("AccountIndex", "ApiKeyIndex")
_ORDER: Final = (
    *("MarketIndex", "ClientOrderIndex", "BaseAmount", "Price", "IsAsk", "Type", "TimeInForce"),
    *("ReduceOnly", "TriggerPrice", "OrderExpiry"),
)
KINDS: Final = {
    "create": (14, _ORDER),
    "cancel": (15, ("MarketIndex", "Index")),
    "cancel-all": (16, ("TimeInForce", "Time")),
    "modify": (17, ("MarketIndex", "Index", "BaseAmount", "Price", "TriggerPrice")),
    "leverage": (20, ("MarketIndex", "InitialMarginFraction", "MarginMode")),
}
"""Number and members of each kind."""

SKIPS_NONCE: Final = 4
MARKET: Final = 5
"""Attributes: the nonce may leave a gap; the market of "cancel-all", which counts though it is 0."""

_PROVED: Final = frozenset({SKIPS_NONCE, MARKET, 6, 7, 8})
"""Attributes that vectors have: also the two modes of trades with oneself, and the version of an order."""

_ATTRIBUTES: Final = 4
"""Attributes of a transaction at most."""


class Transaction(msgspec.Struct, frozen=True):
    """What is signed: `members` by the venue's names, prices and sizes as integers of the market's decimals.

    `kind` is "create", "cancel", "cancel-all", "modify" or "leverage". `expires_ms` is when the venue stops
    taking it. `attributes` are its options by their numbers, such as `SKIPS_NONCE`. Raises UsageError for a
    kind or an option that no vector proves.
    """

    kind: str
    members: Mapping[str, int]
    nonce: int
    expires_ms: int
    attributes: Mapping[int, int] = {}

    def __post_init__(self) -> None:
        if self.kind not in KINDS or not _PROVED.issuperset(self.attributes):
            raise UsageError(
                f"a transaction {self.kind!r} with attributes {sorted(self.attributes)} is not known"
            )
        if len(self.attributes) > _ATTRIBUTES:
            raise UsageError(
                f"a transaction has {_ATTRIBUTES} attributes at most, not {len(self.attributes)}"
            )


class SignedTransaction(msgspec.Struct, frozen=True):
    """A form of `sendTx`: `tx_type`, the text `tx_info`, and the hash under which the venue reports it."""

    tx_type: int
    tx_info: str
    hash: str


class LighterKey:
    """An API key of an account: 0x and 80 hex digits. Raises UsageError, which does not show it."""

    __slots__ = ("__key", "account", "index", "public")

    def __init__(self, text: str, account: int, index: int) -> None:
        digits = text.strip().removeprefix("0x")
        try:
            key = int.from_bytes(bytes.fromhex(digits), "little")
        except ValueError:
            key = 0
        if len(digits) != 80 or not 0 < key < ORDER:
            raise UsageError("the API key of lighter is 0x and 80 hex digits")
        self.__key = key
        self.account = account
        self.index = index
        self.public = "0x" + to_bytes(public_key(key)).hex()

    def __repr__(self) -> str:
        """Return the account and the public part."""
        return f"LighterKey({self.account}, {self.index}, {self.public})"

    def __reduce__(self) -> str:
        raise TypeError("a key is not copied")

    def sign(self, transaction: Transaction, chain: int) -> SignedTransaction:
        """Sign a transaction of this key's account."""
        members = {"AccountIndex": self.account, "ApiKeyIndex": self.index, **transaction.members}
        number, names = KINDS[transaction.kind]
        digest = hash_transaction(msgspec.structs.replace(transaction, members=members), chain)
        info: dict[str, object] = {name: members[name] for name in (*_ACCOUNT, *names)}
        info |= {"ExpiredAt": transaction.expires_ms, "Nonce": transaction.nonce}
        info["Sig"] = base64.b64encode(sign(self.__key, digest).to_bytes()).decode()
        info["L2TxAttributes"] = {str(kind): value for kind, value in transaction.attributes.items()} or None
        return SignedTransaction(number, msgspec.json.encode(info).decode(), to_bytes(digest).hex())

    def token(self, until_s: int) -> str:
        """Return a token for private channels and requests, valid until a time in seconds: 8 h at most."""
        text = f"{until_s}:{self.account}:{self.index}"
        return f"{text}:{sign(self.__key, hash_text(text)).to_bytes().hex()}"


def hash_transaction(transaction: Transaction, chain: int) -> Element:
    """Return the hash of a transaction whose members have its account. Raises KeyError for a missing one."""
    number, names = KINDS[transaction.kind]
    given = [transaction.members[name] for name in (*_ACCOUNT, *names)]
    found = hash_to_element([chain, number, transaction.nonce, transaction.expires_ms, *given])
    options = sorted(
        (kind, value) for kind, value in transaction.attributes.items() if value or kind == MARKET
    )
    if not options:
        return found
    options += [(0, 0)] * (_ATTRIBUTES - len(options))
    hashed = hash_to_element([number for option in options for number in option])
    return hash_to_element([*found, *hashed])


def hash_text(text: str) -> Element:
    """Return the hash of a text: eight bytes a number, the last one filled with zeros."""
    data = text.encode()
    return hash_to_element([int.from_bytes(data[at : at + 8], "little") % P for at in range(0, len(data), 8)])
