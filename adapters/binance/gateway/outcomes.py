"""What an answer to an order request means: done, refused, or not known.

Promises: an answer that is not clearly an acceptance or a refusal is `Lost`, never a guess. Codes that say
that the outcome is not known, and server errors, are `Lost`. Refusals carry the venue's code and a text in
which the engine finds its own words (`REFUSALS`). Source: the venue's error codes, 2026-07.
"""

from __future__ import annotations

from typing import Final

import msgspec

from adapters.transport.outcomes import Done, Lost, Outcome, Refused
from adapters.transport.text import clip

__all__ = [
    "CANCEL_REJECTED",
    "LEVERAGE_SAME",
    "LISTEN_KEY_GONE",
    "NO_SUCH_ORDER",
    "REFUSALS",
    "VenueCode",
    "code_of",
    "outcome_of",
    "words_of",
]

NO_SUCH_ORDER: Final = -2013
CANCEL_REJECTED: Final = -2011
LEVERAGE_SAME: Final = -4046
LISTEN_KEY_GONE: Final = -1125

_UNKNOWN: Final = frozenset({-1000, -1001, -1006, -1007, -1008, -1016})
"""Codes with which the venue says that it does not know whether it did what was asked."""

_TEXT_MAX: Final = 200

REFUSALS: Final[dict[int, str]] = {
    -1013: "filter",
    -1015: "too many orders",
    -1003: "too many requests",
    -1021: "expired before it arrived",
    -1022: "api wallet: the signature is refused",
    -1102: "a parameter is missing",
    -1111: "precision",
    -1121: "unknown asset",
    -2014: "api wallet: the API key is refused",
    -2015: "api wallet: the API key, its address or its permissions are refused",
    -2018: "margin: the balance is insufficient",
    -2019: "margin: insufficient",
    -2021: "trigger price is reached already",
    -2022: "reduce only: nothing to reduce",
    -2023: "margin: the account is being liquidated",
    -2024: "margin: the position is not sufficient",
    -2025: "too many open orders",
    -2026: "reduce only is not supported for this type",
    -2027: "margin: the position exceeds what the leverage allows",
    -2028: "margin: the leverage is too small for the balance",
    -4003: "size: must be above zero",
    -4005: "size: above the largest",
    -4014: "tick: the price is not on the grid",
    -4023: "size: not on the grid",
    -4024: "price too low",
    -4015: "the client order id is refused",
    -4118: "reduce only: nothing to reduce",
    -4131: "the price is too far from the market",
    -4140: "unknown asset: the market is closed",
    -4164: "min value",
    -5021: "Fok: not filled",
    -5022: "post only: it would trade at once",
}
"""By the venue's code, the words that the engine looks for and people read; the venue's own text follows."""

_SPOT_WORDS: Final = (
    ("insufficient balance", "balance"),
    ("would immediately match", "post only"),
    ("would trigger immediately", "trigger price is reached already"),
    ("market is closed", "unknown asset"),
    ("filter failure: notional", "min value"),
)
"""Spot has one code for every refusal of an order, and says why in words: part of its text, our word."""

_TAKEN: Final = -4116
_TAKEN_WORDS: Final = "duplicate order"


class VenueCode(msgspec.Struct, frozen=True):
    """The venue's form of an error."""

    code: int
    msg: str = ""


_decode: Final = msgspec.json.Decoder(VenueCode).decode


def code_of(body: bytes) -> VenueCode | None:
    """Return the error in an answer, None if it has none."""
    try:
        return _decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def outcome_of(status: int, body: bytes) -> Outcome:
    """Return what an answer to an order request means."""
    if status == 200:
        return Done(body)
    error = code_of(body)
    if status >= 500 or error is None or error.code in _UNKNOWN:
        return Lost(f"HTTP {status}: {clip(body)}")
    if not 400 <= status < 500 or status == 403:
        return Lost(f"HTTP {status}: {clip(body)}")
    return Refused(error.code, words_of(error), _is_taken(error))


def words_of(error: VenueCode) -> str:
    """Return the text of a refusal: our words for it, the venue's own, and its code."""
    said = error.msg[:_TEXT_MAX]
    lowered = said.lower()
    ours = next((ours for theirs, ours in _SPOT_WORDS if theirs in lowered), REFUSALS.get(error.code, ""))
    return f"{ours}: {said} ({error.code})" if ours else f"{said} ({error.code})"


def _is_taken(error: VenueCode) -> bool:
    return error.code == _TAKEN or _TAKEN_WORDS in error.msg.lower()
