"""Signs requests about an account of ApeX Omni: HMAC-SHA256 with the secret of an API key.

Owns the text that is signed and the body that is sent. Promises: both are the same text, members sorted by
name, and the signature is that of the venue's own client (apexomni 3.4.2, 2026-11), which vectors prove. The
key of the HMAC is the base64 text of the secret, not what that text encodes. An order needs a second
signature, of the venue's circuit, which is not made here: docs/apex.md says why. Nothing calls this yet.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping

__all__ = ["body_of", "sign_request"]


def body_of(form: Mapping[str, str]) -> str:
    """Return a form as it is signed and sent."""
    return "&".join(f"{name}={value}" for name, value in sorted(form.items()))


def sign_request(secret: str, time_ms: int, method: str, path: str, form: Mapping[str, str]) -> str:
    """Return the header `APEX-SIGNATURE`. `path` begins with /api/v3 and has the query of a GET."""
    key = base64.b64encode(secret.encode())
    text = f"{time_ms}{method}{path}{body_of(form)}"
    return base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()
