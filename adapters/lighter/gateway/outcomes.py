"""What an answer to a transaction means: taken, refused, or not known.

Promises: an answer that is not clearly one of the first two is `Lost`, never a guess. A refusal carries the
venue's code and a text in which the engine finds its own words. Code 200 says that the venue took the
transaction, not that an order exists: that shows on the account's stream. Source: the venue's page "data
structures, constants and errors" and threads of its client, 2025-12 to 2026.
"""

from __future__ import annotations

from typing import Final

import msgspec

from adapters.lighter.gateway.account_wire import SentAnswer
from adapters.transport.http import Answer
from adapters.transport.outcomes import Done, Lost, Outcome, Refused
from adapters.transport.text import clip

__all__ = ["NONCES", "REFUSALS", "outcome_of", "words_of"]

NONCES: Final = frozenset({21104, 21105})
"""The number of the transaction is not the next one of its key."""

_TAKEN: Final = 21728
_PACE: Final = frozenset({23000, 21506})
_TEXT_MAX: Final = 200

REFUSALS: Final[dict[int, str]] = {
    21104: "nonce",
    21105: "nonce",
    21120: "api wallet: the signature is refused",
    21501: "invalid transaction",
    21506: "too many requests",
    21507: "margin: below the maintenance margin",
    21508: "margin: insufficient",
    21600: "does not work any more",
    21601: "the book is full",
    21602: "unknown asset: no such market",
    21605: "unknown asset: the market is closed",
    21701: "size",
    21702: "tick",
    21706: "min value",
    21711: "expired before it arrived",
    21717: "too many open orders",
    21718: "too many open orders",
    21719: "too many open orders",
    21720: "too many open orders",
    21722: "too many open orders",
    21723: "margin: the account's health",
    21727: "the client order id is refused",
    21728: "the client order id exists",
    21729: "trigger price is invalid",
    21732: "reduce only: nothing to reduce",
    21733: "the price is too far from the market",
    21734: "the price is too far from the market",
    21735: "the price is too far from the trigger",
    21738: "reduce only: nothing to reduce",
    21739: "margin: insufficient",
    21740: "reduce only: not possible",
    23000: "too many requests",
}
"""By the venue's code, the words that the engine looks for and people read; the venue's own text follows."""

_decode: Final = msgspec.json.Decoder(SentAnswer).decode


def outcome_of(answer: Answer) -> Outcome:
    """Return what an answer to a transaction means."""
    try:
        found = _decode(answer.body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return Lost(f"HTTP {answer.status}: {clip(answer.body)}")
    if answer.status == 200 and found.code == 200:
        # An answer without a hash is of no transaction.
        return Done(answer.body) if found.tx_hash else Lost(f"no hash in {clip(answer.body)}")
    known = found.code in REFUSALS or 20_000 <= found.code < 30_000
    if answer.status not in (200, 400, 429) or not known:
        return Lost(f"HTTP {answer.status}: {clip(answer.body)}")
    return Refused(found.code, words_of(found.code, found.message or ""), found.code == _TAKEN)


def words_of(code: int, said: str) -> str:
    """Return the text of a refusal: our words for it, the venue's own, and its code."""
    ours = REFUSALS.get(code, "")
    return f"{ours}: {said[:_TEXT_MAX]} ({code})" if ours else f"{said[:_TEXT_MAX]} ({code})"
