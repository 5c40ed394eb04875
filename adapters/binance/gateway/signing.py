"""Signatures: percent-encode first, then sign exactly the text that is sent.

Owns the text of a signed request and the two signatures of Binance: HMAC-SHA256 in lower-case hex, and
Ed25519 in base64. Promises: `signed_query` returns the query once, and nothing encodes or reorders it after
that. Source: the venue's request security, 2026-07, with its two known answers, and RFC 8032.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote

from engine.errors import SafetyRefusal, UsageError

__all__ = ["Sign", "ed25519_signer", "hmac_signer", "query_of", "signed_params", "signed_query"]

Sign = Callable[[str], str]
"""Returns the signature of a text."""

_BEGIN: Final = "-----BEGIN PRIVATE KEY-----"
_END: Final = "-----END PRIVATE KEY-----"


def query_of(params: Mapping[str, str | int]) -> str:
    """Return parameters as the text that is signed and sent, in their order."""
    return "&".join(f"{quote(name, safe='')}={quote(str(value), safe='')}" for name, value in params.items())


def signed_query(params: Mapping[str, str | int], sign: Sign) -> str:
    """Return the query of a request with its signature at the end."""
    payload = query_of(params)
    return f"{payload}&signature={quote(sign(payload), safe='')}"


def signed_params(params: Mapping[str, str | int], sign: Sign) -> dict[str, str | int]:
    """Return the parameters of a websocket request with their signature, which is over the sorted names."""
    payload = "&".join(f"{name}={value}" for name, value in sorted(params.items()))
    return {**params, "signature": sign(payload)}


def hmac_signer(secret: str) -> Sign:
    """Return the signer of an HMAC secret."""
    key = secret.encode()
    return lambda payload: hmac.new(key, payload.encode(), hashlib.sha256).hexdigest()


def ed25519_signer(pem: str) -> Sign:
    """Return the signer of an Ed25519 key in PEM (PKCS#8), whose lines may be joined by blanks.

    Raises UsageError, which does not show the key, and SafetyRefusal without the library.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_der_private_key
    except ModuleNotFoundError:
        raise SafetyRefusal("an Ed25519 key needs cryptography; install retape[binance]") from None
    text = "".join(pem.removeprefix(_BEGIN).removesuffix(_END).split())
    try:
        key = load_der_private_key(base64.b64decode(text, validate=True), None)
    except (ValueError, TypeError, binascii.Error):
        key = None
    except Exception:  # the library's own message could hold the key
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError("the private key is not an Ed25519 key")
    made = key
    return lambda payload: base64.b64encode(made.sign(payload.encode())).decode()
