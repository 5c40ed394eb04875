"""Faults on demand: what a network and a venue do to messages, drawn from a seed or armed one by one.

Owns the switch: which faults there are, and when one fires; `requests.py` and `outlet.py` carry them out.
A specification is a list of `kind:chance[/ms][@scope]`, such as `lost-reply:0.05@exchange,cut:0.001`. The
chance is drawn at each occurrence that the kind can hit; the milliseconds (real) are for kinds that last.
Given the same seed and the same occurrences in the same order, the same faults fire. `arm` makes the next
ones fire for sure. At most one fault hits an occurrence: an armed one, else the first of the list.

Of a request (over HTTP or as a post; scopes info, exchange):
    429          refused before anything is done; with /ms a `Retry-After` of as many seconds, rounded up
    5xx          500, 502, 503 or 504 before anything is done, with HTML or nothing in it
    swallow      the connection is cut, and nothing was done
    lost-reply   it is done, and the connection is cut
    late-reply   it is done, and the answer comes after /ms (default 6000)
Of a frame of a stream to a client (scopes market, user, or ws for both; answers are not hit):
    drop         the frame is lost
    duplicate    the frame comes twice
    reorder      the frame comes after one to nine later ones, or after /ms (default 500)
    delay        the frame, and what follows it, comes up to /ms late (default 500; armed: exactly)
    silent       its channel is mute on that connection from here on; the rest goes on
    half-open    the connection is mute both ways from here on and is never closed by us
    cut          the connection ends abruptly (1006)
Of either:
    restart      every connection is cut, and so is whoever comes within /ms (default 3000); accounts,
                 orders and the tape go on
"""

from __future__ import annotations

import re
from collections import Counter
from random import Random
from typing import Final

import msgspec

from engine.errors import UsageError

__all__ = ["FRAME_KINDS", "REQUEST_KINDS", "Fault", "Faults", "channel_of", "scope_of"]

REQUEST_KINDS: Final = ("429", "5xx", "swallow", "lost-reply", "late-reply", "restart")
FRAME_KINDS: Final = ("drop", "duplicate", "reorder", "delay", "silent", "half-open", "cut", "restart")
_KINDS: Final = tuple(dict.fromkeys((*REQUEST_KINDS, *FRAME_KINDS)))

_REQUEST_SCOPES: Final = ("info", "exchange")
_FRAME_SCOPES: Final = ("market", "user", "ws")

_ENTRY: Final = re.compile(r"([a-z0-9-]+):([0-9.]+)(?:/([0-9]{1,7}))?(?:@([a-z]+))?")
_MS: Final = {"late-reply": 6000, "delay": 500, "reorder": 500, "restart": 3000}
_STATUSES: Final = (500, 502, 503, 504)
_WINDOW: Final = 9

_MARKET_CHANNELS: Final = frozenset({"trades", "bbo", "l2Book", "candle", "activeAssetCtx", "allMids"})
_ANSWER_CHANNELS: Final = frozenset({"subscriptionResponse", "pong", "error", "post"})
_DRAW_BITS: Final = 30


class Fault(msgspec.Struct, frozen=True):
    """A fault that hits an occurrence now. `ms` is 0 for the kinds that do not last."""

    kind: str
    ms: int = 0


class _Rule(msgspec.Struct):
    """When a kind fires: by chance (of 2**30), or the next `armed` times."""

    kind: str
    scope: str
    ms: int
    chance: int = 0
    armed: int = 0

    def hits(self, kinds: tuple[str, ...], scope: str) -> bool:
        if self.kind not in kinds:
            return False
        return self.scope in ("", scope) or (self.scope == "ws" and scope in _FRAME_SCOPES)


class Faults:
    """The rules, and how often each kind has `fired`."""

    def __init__(self, spec: str = "", seed: int = 1) -> None:
        """Raise UsageError for a specification that cannot be."""
        self.fired: Counter[str] = Counter()
        self._random = Random(seed)
        self._rules = [_rule(part.strip()) for part in spec.split(",") if part.strip()]
        self._armed: list[_Rule] = []

    def arm(self, kind: str, count: int = 1, *, scope: str = "", ms: int | None = None) -> None:
        """Have the next `count` occurrences that a kind can hit be hit. Raises UsageError."""
        _check(kind, scope)
        wait_ms = _MS.get(kind, 0) if ms is None else ms
        self._armed.append(_Rule(kind, scope, wait_ms, armed=count))

    def disarm(self) -> None:
        """Let nothing fire from here on."""
        self._rules.clear()
        self._armed.clear()

    def of_request(self, scope: str) -> Fault | None:
        """Return the fault that hits a request, if any."""
        return self._draw(REQUEST_KINDS, scope)

    def of_frame(self, scope: str) -> Fault | None:
        """Return the fault that hits a frame, if any."""
        return self._draw(FRAME_KINDS, scope)

    def failure(self) -> tuple[int, str]:
        """Return the status and the body of a 5xx."""
        status = _STATUSES[self._random.getrandbits(2)]
        body = f"<html><body><h1>{status}</h1></body></html>" if self._random.getrandbits(1) else ""
        return status, body

    def later(self) -> int:
        """Return behind how many frames one is put that loses its place, 1 to 9."""
        return 1 + self._random.getrandbits(16) % _WINDOW

    def _draw(self, kinds: tuple[str, ...], scope: str) -> Fault | None:
        for rule in self._armed:
            if rule.hits(kinds, scope):
                rule.armed -= 1
                if not rule.armed:
                    self._armed.remove(rule)
                self.fired[rule.kind] += 1
                return Fault(rule.kind, rule.ms)
        for rule in self._rules:
            if rule.hits(kinds, scope) and self._random.getrandbits(_DRAW_BITS) < rule.chance:
                self.fired[rule.kind] += 1
                ms = rule.ms
                if rule.kind == "delay":
                    ms = ms * self._random.getrandbits(16) >> 16
                return Fault(rule.kind, ms)
        return None


def channel_of(text: str) -> str:
    """Return the channel of a frame of ours."""
    return text[12 : text.index('"', 12)]


def scope_of(channel: str) -> str:
    """Return which scope a channel belongs to; "" for answers."""
    if channel in _MARKET_CHANNELS:
        return "market"
    return "" if channel in _ANSWER_CHANNELS else "user"


def _rule(text: str) -> _Rule:
    match = _ENTRY.fullmatch(text)
    if match is None:
        raise UsageError(f"--faults {text[:60]!r}: write it as kind:chance[/ms][@scope], such as cut:0.001")
    kind, chance, ms, scope = match.groups()
    _check(kind, scope or "")
    try:
        share = float(chance)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UsageError(f"--faults {text[:60]!r}: {chance} is no chance between 0 and 1")
    wait_ms = int(ms) if ms else _MS.get(kind, 0)
    return _Rule(kind, scope or "", wait_ms, chance=int(share * 2**_DRAW_BITS))


def _check(kind: str, scope: str) -> None:
    """Raise UsageError for a kind that there is not, or that cannot happen in a scope."""
    if kind not in _KINDS:
        raise UsageError(f"there is no fault {kind!r}; known: {', '.join(_KINDS)}")
    scopes = (*_REQUEST_SCOPES * (kind in REQUEST_KINDS), *_FRAME_SCOPES * (kind in FRAME_KINDS))
    if scope and scope not in scopes:
        raise UsageError(f"{kind} does not happen to {scope!r}; its scopes are {', '.join(scopes)}")
