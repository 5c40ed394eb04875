"""Decodes the answer to an action into one outcome for each entry.

Owns the three levels of refusal: a whole action (`status` "err", the response a string), an entry (`error`
in its status), and an answer that cannot be decoded. Promises: an answer that is not clearly an acceptance
or a refusal is `Lost`, never a guess; one error for a whole batch counts for each entry; a number of statuses
that does not match the entries loses all of them. Source: the exchange endpoint's responses, 2026-08, and
live texts.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from engine.errors import VenueProtocolError

__all__ = ["Accepted", "Done", "Lost", "Outcome", "Refused", "read_outcomes"]

_BODY_BYTES_MAX: Final = 1 << 20
_ASSET: Final = re.compile(r"\s*asset=\d+\s*$")
_TEXT_MAX: Final = 300
_DECIMAL: Final = re.compile(r"[0-9]{1,40}(\.[0-9]{1,40})?")


class Accepted(msgspec.Struct, frozen=True):
    """The venue has the order. `oid` is 0 where it is not given: attached and waiting orders.

    `filled` is the decimal text of what was executed at once, "" when the order rests; an Ioc's may be less
    than what was ordered, and the rest of it is canceled without a message.
    """

    oid: int
    filled: str = ""


class Done(msgspec.Struct, frozen=True):
    """The venue carried out a cancel or a setting."""


class Refused(msgspec.Struct, frozen=True):
    """The venue refused, with this text. `whole`: the whole action was refused."""

    text: str
    whole: bool = False


class Lost(msgspec.Struct, frozen=True):
    """The outcome is not known. `unsent`: nothing can have reached the venue."""

    reason: str
    unsent: bool = False


Outcome = Accepted | Done | Refused | Lost


class _Answer(msgspec.Struct, frozen=True):
    status: str
    response: Any = None


_decode: Final = msgspec.json.Decoder(_Answer).decode


def read_outcomes(body: bytes | msgspec.Raw, entries: int) -> list[Outcome]:
    """Return one outcome for each of `entries`. Raises nothing: what cannot be read is lost."""
    try:
        answer = _read(body)
    except VenueProtocolError as error:
        return [Lost(str(error))] * entries
    if answer.status == "err":
        text = answer.response if isinstance(answer.response, str) else "no reason given"
        return [Refused(_clean(text), whole=True)] * entries
    if answer.status != "ok" or not isinstance(answer.response, dict):
        return [Lost(f"an answer of status {answer.status[:40]!r}")] * entries
    data = answer.response.get("data")
    if data is None:
        return [Done()] * entries
    statuses = data.get("statuses") if isinstance(data, dict) else None
    if not isinstance(statuses, list):
        return [Lost("an answer without statuses")] * entries
    outcomes = [_outcome(status) for status in statuses]
    if len(outcomes) == 1 and entries > 1 and isinstance(outcomes[0], Refused):
        return outcomes * entries
    if len(outcomes) != entries:
        return [Lost(f"{len(outcomes)} statuses for {entries} entries")] * entries
    return outcomes


def _read(body: bytes | msgspec.Raw) -> _Answer:
    data = bytes(body)
    if len(data) > _BODY_BYTES_MAX:
        raise VenueProtocolError(f"an answer of {len(data)} bytes")
    try:
        return _decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise VenueProtocolError(f"an answer that cannot be read: {data[:60]!a}") from None


def _outcome(status: Any) -> Outcome:
    if isinstance(status, str):
        if status == "success":
            return Done()
        if status in ("waitingForFill", "waitingForTrigger"):
            return Accepted(0)
    elif isinstance(status, dict):
        error = status.get("error")
        if isinstance(error, str):
            return Refused(_clean(error))
        if isinstance(status.get("resting"), dict) and (oid := _oid(status["resting"])):
            return Accepted(oid)
        filled = status.get("filled")
        if isinstance(filled, dict) and (oid := _oid(filled)):
            total = filled.get("totalSz")
            if isinstance(total, str) and _DECIMAL.fullmatch(total):
                return Accepted(oid, total)
    return Lost(f"a status that is not known: {str(status)[:60]!a}")


def _oid(entry: dict[str, Any]) -> int:
    """Return an order's number, 0 without one."""
    oid = entry.get("oid")
    return oid if isinstance(oid, int) and not isinstance(oid, bool) and 0 < oid < 2**63 else 0


def _clean(text: str) -> str:
    """Return a refusal without the asset's number that live texts end in.

    It is cut first: the search for that number takes the square of the length of blanks.
    """
    return _ASSET.sub("", text[:_TEXT_MAX])
