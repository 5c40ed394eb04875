"""Answers a GET by its path and its query, with the checks of its parameters.

Owns the names of the parameters: `PARAMETERS` maps each path to them. What a view does not remember is
answered from the journal by `older.py`; `answer` then returns None. Called by the server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from engine.errors import UsageError
from engine.views.answers import ANSWERS, Answer, Bars, Fills
from engine.views.view import View

__all__ = ["PARAMETERS", "REQUIRED", "answer", "is_short", "parsed"]

PARAMETERS: Final[dict[str, dict[str, type]]] = {
    "status": {},
    "instruments": {},
    "bars": {"instrument": str, "interval": str, "before_ms": int, "limit": int},
    "book": {"instrument": str},
    "positions": {},
    "orders": {"limit": int},
    "fills": {"after": int, "before": int, "limit": int},
    "trades": {"instrument": str, "limit": int},
    "equity": {},
    "strategies": {},
    "signals": {},
    "flow": {"instrument": str, "interval": str, "limit": int},
    "liquidations": {"instrument": str, "interval": str, "limit": int},
    "contexts": {"instrument": str, "limit": int},
    "health": {},
    "gaps": {"limit": int},
    "why": {"seq": int},
    "marks": {},
    "events": {"after": int, "limit": int, "kinds": list, "fields": bool},
}
"""The parameters of each path. `kinds` is a list of event types, separated by commas."""

REQUIRED: Final[dict[str, tuple[str, ...]]] = {
    "bars": ("instrument", "interval"),
    "book": ("instrument",),
    "trades": ("instrument",),
    "flow": ("instrument",),
    "liquidations": ("instrument",),
    "contexts": ("instrument",),
    "why": ("seq",),
}

_INT_MAX: Final = 2**63 - 1
_TEXT_MAX: Final = 200
_TRUTHS: Final = {"true": True, "1": True, "false": False, "0": False}


def answer(view: View, name: str, query: Mapping[str, str]) -> Answer | None:
    """Return the answer of a path of `ANSWERS`; None if it has to be read from the journal.

    Raises UsageError for an unknown path, an unknown, missing or impossible parameter, an instrument or an
    interval that is not there.
    """
    given = parsed(name, query)
    if name == "why":
        return None
    found: Answer | None = getattr(view, name)(**given)
    return found


def is_short(answer: Answer, query: Mapping[str, str]) -> bool:
    """Return whether somebody pages back beyond what a view remembers: the journal has more rows."""
    if isinstance(answer, Fills):
        return answer.more and "before" in query and len(answer.fills) < int(query.get("limit", 200))
    if isinstance(answer, Bars):
        return answer.more and "before_ms" in query and len(answer.bars) < int(query.get("limit", 500))
    return False


def parsed(name: str, query: Mapping[str, str]) -> dict[str, Any]:
    """Return the parameters of a query by name. Raises UsageError."""
    if name not in ANSWERS:
        raise UsageError(f"there is no /api/{name[:40]}; there are {', '.join(ANSWERS)}")
    known = PARAMETERS[name]
    for key in query:
        if key not in known:
            allowed = ", ".join(known) or "none"
            raise UsageError(f"{name} has no parameter {key[:40]!r}; it has {allowed}")
    for key in REQUIRED.get(name, ()):
        if not query.get(key):
            raise UsageError(f"{name} needs the parameter {key!r}")
    return {key: _value(key, text, known[key]) for key, text in query.items()}


def _value(key: str, text: str, kind: type) -> Any:
    if len(text) > _TEXT_MAX:
        raise UsageError(f"{key} has more than {_TEXT_MAX} characters")
    if kind is int:
        if not (text.isascii() and text.isdigit()) or int(text) > _INT_MAX:
            raise UsageError(f"{key} is {text[:40]!r}; it is a whole number that is not negative")
        return int(text)
    if kind is bool:
        if text not in _TRUTHS:
            raise UsageError(f"{key} is {text[:40]!r}; it is true or false")
        return _TRUTHS[text]
    if kind is list:
        return [one for one in text.split(",") if one]
    return text
