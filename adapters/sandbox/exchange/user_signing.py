"""User-signed actions: recovers the address that signed one.

Such an action is signed by its members as typed data, not by a hash of the whole action. Source: the official
SDK's signing, 2026-04.
"""

from __future__ import annotations

from typing import Any, Final

from adapters.sandbox.exchange.actions import ApproveAgent, Signature, UsdSend, UserSigned, Withdraw
from engine.errors import UsageError

__all__ = ["recover_user_signer"]

_ZERO_ADDRESS: Final = "0x" + "0" * 40
_PAYMENT: Final = {
    "hyperliquidChain": "string",
    "destination": "string",
    "amount": "string",
    "time": "uint64",
}
_TYPES: Final[dict[type[UserSigned], tuple[str, dict[str, str]]]] = {
    ApproveAgent: (
        "ApproveAgent",
        {
            "hyperliquidChain": "string",
            "agentAddress": "address",
            "agentName": "string",
            "nonce": "uint64",
        },
    ),
    UsdSend: ("UsdSend", _PAYMENT),
    Withdraw: ("Withdraw", _PAYMENT),
}
"""The primary type and the signed members of each action."""


def recover_user_signer(action: UserSigned, signature: Signature) -> str:
    """Return the lower-case address that signed. Raises UsageError for an invalid signature."""
    from eth_account import Account as EthAccount
    from eth_account.messages import encode_typed_data

    name, members = _TYPES[type(action)]
    fields = [{"name": member, "type": kind} for member, kind in members.items()]
    message: dict[str, Any] = {member: getattr(action, member) or "" for member in members}
    domain = {
        "name": "HyperliquidSignTransaction",
        "version": "1",
        "chainId": int(action.signatureChainId, 16),
        "verifyingContract": _ZERO_ADDRESS,
    }
    try:
        signable = encode_typed_data(domain, {f"HyperliquidTransaction:{name}": fields}, message)
        vrs = (signature.v, int(signature.r, 16), int(signature.s, 16))
        recovered: str = EthAccount.recover_message(signable, vrs=vrs)
    except Exception as error:
        raise UsageError(f"invalid signature: {type(error).__name__}") from None
    return recovered.lower()
