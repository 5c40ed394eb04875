"""Signs Hyperliquid's L1 actions, and recovers the signer of an action.

Owns the bytes that are signed; keys are held elsewhere (`keys.py`). Promises: the same action, nonce and
options give the same signature on every machine, equal to the venue's vectors. Called by the gateway with
its key, and by the sandbox exchange, which recovers the signer over its own rebuild of the action.

What is signed: MessagePack of the action in member order, then nonce, vault and expiry, hashed with keccak;
that hash is the `connectionId` of the EIP-712 message `Agent(string source,bytes32 connectionId)`. Source:
the venue's API documentation ("Signing", 2026-08) and the vectors of its own SDKs.

Needs the extra `hyperliquid`; nothing imports it before real orders, or the sandbox, do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypedDict

import msgspec
from eth_account import Account
from eth_utils.crypto import keccak

from engine.errors import UsageError

__all__ = ["Signature", "action_hash", "address_of", "agent_digest", "recover_l1_signer", "sign_l1_action"]

MAINNET_SOURCE: Final = "a"
TESTNET_SOURCE: Final = "b"

_WORD: Final = 32
_ADDRESS_BYTES: Final = 20
_DOMAIN: Final = keccak(
    keccak(text="EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
    + keccak(text="Exchange")
    + keccak(text="1")
    + (1337).to_bytes(_WORD, "big")
    + bytes(_WORD)
)
_AGENT_TYPE: Final = keccak(text="Agent(string source,bytes32 connectionId)")
_SOURCES: Final = {True: keccak(text=MAINNET_SOURCE), False: keccak(text=TESTNET_SOURCE)}
_pack = msgspec.msgpack.Encoder().encode


class Signature(TypedDict):
    """`r` and `s` as 0x and 64 hex digits, `v` 27 or 28."""

    r: str
    s: str
    v: int


def sign_l1_action(
    private_key: str | bytes,
    action: Mapping[str, Any],
    nonce: int,
    vault_address: str | None,
    expires_after: int | None,
    is_mainnet: bool,
) -> Signature:
    """Return the signature of an action whose members stand in signing order.

    `nonce` and `expires_after` in ms. Raises UsageError for an invalid key or address.
    """
    digest = agent_digest(action_hash(action, nonce, vault_address, expires_after), is_mainnet)
    try:
        signed = Account.unsafe_sign_hash(digest, private_key)
    except Exception:
        # The library's own message could hold the key.
        raise UsageError("the private key is not 32 bytes of a secp256k1 key") from None
    return {"r": f"0x{signed.r:064x}", "s": f"0x{signed.s:064x}", "v": int(signed.v)}


def recover_l1_signer(
    action: Mapping[str, Any],
    signature: Mapping[str, Any],
    nonce: int,
    vault_address: str | None,
    expires_after: int | None,
    is_mainnet: bool,
) -> str:
    """Return the lower-case address that made a signature; `r` and `s` may lack leading zeros.

    A signature over anything else gives some other address; only the caller can notice.
    Raises UsageError for a malformed signature.
    """
    digest = agent_digest(action_hash(action, nonce, vault_address, expires_after), is_mainnet)
    try:
        vrs = (int(signature["v"]), int(signature["r"], 16), int(signature["s"], 16))
        recovered: str = Account._recover_hash(digest, vrs=vrs)
    except Exception as error:
        raise UsageError(f"not a signature: {type(error).__name__}") from None
    return recovered.lower()


def action_hash(
    action: Mapping[str, Any], nonce: int, vault_address: str | None, expires_after: int | None
) -> bytes:
    """Return the 32 bytes that stand for an action. Raises UsageError for an invalid address."""
    data = bytearray(_pack(action))
    data += nonce.to_bytes(8, "big")
    data += b"\0" if vault_address is None else b"\1" + _address_bytes(vault_address)
    if expires_after is not None:
        data += b"\0" + expires_after.to_bytes(8, "big")
    return bytes(keccak(bytes(data)))


def agent_digest(connection_id: bytes, is_mainnet: bool) -> bytes:
    """Return the EIP-712 digest of the agent message for an action's hash."""
    message = keccak(_AGENT_TYPE + _SOURCES[is_mainnet] + connection_id)
    return bytes(keccak(b"\x19\x01" + _DOMAIN + message))


def address_of(private_key: str | bytes) -> str:
    """Return the lower-case address of a key. Raises UsageError, which does not show the key."""
    try:
        return str(Account.from_key(private_key).address).lower()
    except Exception:
        raise UsageError("the private key is not 32 bytes of a secp256k1 key") from None


def _address_bytes(address: str) -> bytes:
    try:
        data = bytes.fromhex(address.removeprefix("0x"))
    except ValueError:
        data = b""
    if len(data) != _ADDRESS_BYTES:
        raise UsageError(f"{address[:50]!r} is not an address of 0x and 40 hex digits")
    return data
