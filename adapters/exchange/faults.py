"""Fault injection: network and venue faults, drawn from a seed or armed one at a time.

Decides which fault hits which request or frame; `requests.py` and `sender.py` apply it.

A specification is a comma-separated list of `kind:chance[/ms][@scope]`, such as
`lost-reply:0.05@exchange,cut:0.001`. The chance (0 to 1) is drawn for every request or frame that the kind
applies to. `ms`, in real milliseconds, sets the duration of the kinds that have one. The same seed and the
same sequence of requests and frames give the same faults. `arm` makes a fault hit the next request or frame
regardless of chance. At most one fault hits each: an armed one, otherwise the first of the list that fires.

Requests (over HTTP or as a websocket post; scopes info, exchange):
    429          refused before it is processed; with /ms the answer has `Retry-After`, in seconds, rounded up
    5xx          500, 502, 503 or 504 before it is processed; the body is HTML or empty
    swallow      not processed; the connection is cut
    lost-reply   processed; the connection is cut before the answer
    late-reply   processed; the answer is sent after /ms (default 6000)
Stream frames sent to a client (scopes market, user, or ws for both; answers are never hit):
    drop         the frame is lost
    duplicate    the frame is sent twice
    reorder      the frame is sent after one to nine later frames, or after /ms (default 500)
    delay        the frame and all after it are late by up to /ms (default 500); if armed, by exactly /ms
    silent       the channel sends nothing more on this connection; other channels continue
    half-open    nothing passes in either direction any more; the server never closes the connection
    cut          the connection ends abruptly (code 1006)
    damage       the frame is cut short, or the first size in it is 0, which no size may be
Requests and frames:
    restart      all connections are cut, and new ones are cut for /ms (default 3000); accounts, orders and
                 the tape continue
"""

from __future__ import annotations

import re
from collections import Counter
from random import Random
from typing import Final

import msgspec

from engine.errors import UsageError

__all__ = ["FRAME_KINDS", "REQUEST_KINDS", "Fault", "Faults"]

REQUEST_KINDS: Final = ("429", "5xx", "swallow", "lost-reply", "late-reply", "restart")
FRAME_KINDS: Final = (
    "drop",
    "duplicate",
    "reorder",
    "delay",
    "silent",
    "half-open",
    "cut",
    "damage",
    "restart",
)
_KINDS: Final = tuple(dict.fromkeys((*REQUEST_KINDS, *FRAME_KINDS)))

_REQUEST_SCOPES: Final = ("info", "exchange")
_FRAME_SCOPES: Final = ("market", "user", "ws")

_ENTRY: Final = re.compile(r"([a-z0-9-]+):([0-9.]+)(?:/([0-9]{1,7}))?(?:@([a-z]+))?")
_MS: Final = {"late-reply": 6000, "delay": 500, "reorder": 500, "restart": 3000}
_STATUSES: Final = (500, 502, 503, 504)
_WINDOW: Final = 9
_DRAW_BITS: Final = 30


class Fault(msgspec.Struct, frozen=True):
    """A fault to apply now. `ms` is 0 for kinds without a duration."""

    kind: str
    ms: int = 0


class _Rule(msgspec.Struct):
    """When a kind fires: with a chance of `chance` / 2**30, or the next `armed` times."""

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
    """The rules of one exchange. `fired` counts faults by kind. `sizes`: see `VenueProtocol.sizes`."""

    def __init__(self, spec: str = "", seed: int = 1, sizes: tuple[str, str] | None = None) -> None:
        """Parse the specification. Raises UsageError if it is invalid."""
        self.fired: Counter[str] = Counter()
        self._random = Random(seed)
        self._sizes = sizes
        self._rules = [_rule(part.strip()) for part in spec.split(",") if part.strip()]
        self._armed: list[_Rule] = []

    def arm(self, kind: str, count: int = 1, *, scope: str = "", ms: int | None = None) -> None:
        """Make a kind hit the next `count` requests or frames that it applies to. Raises UsageError."""
        _check(kind, scope)
        wait_ms = _MS.get(kind, 0) if ms is None else ms
        self._armed.append(_Rule(kind, scope, wait_ms, armed=count))

    def disarm(self) -> None:
        """Remove all rules, so that no further fault fires."""
        self._rules.clear()
        self._armed.clear()

    def for_request(self, scope: str) -> Fault | None:
        """Return the fault that hits a request, if any."""
        return self._draw(REQUEST_KINDS, scope)

    def for_frame(self, scope: str) -> Fault | None:
        """Return the fault that hits a frame, if any."""
        return self._draw(FRAME_KINDS, scope)

    def failure(self) -> tuple[int, str]:
        """Return the status and the body of a 5xx."""
        status = _STATUSES[self._random.getrandbits(2)]
        body = f"<html><body><h1>{status}</h1></body></html>" if self._random.getrandbits(1) else ""
        return status, body

    def damaged(self, text: str) -> str:
        """Return a frame that cannot be used, or of which a part cannot."""
        spoiled = re.sub(*self._sizes, text, count=1) if self._sizes else text
        if spoiled != text and self._random.getrandbits(1):
            return spoiled
        return text[: 1 + self._random.getrandbits(30) % (len(text) - 1)]

    def reorder_distance(self) -> int:
        """Return how many later frames overtake a reordered frame, 1 to 9."""
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
        raise UsageError(f"--faults {text[:60]!r}: the chance must be between 0 and 1, not {chance}")
    wait_ms = int(ms) if ms else _MS.get(kind, 0)
    return _Rule(kind, scope or "", wait_ms, chance=int(share * 2**_DRAW_BITS))


def _check(kind: str, scope: str) -> None:
    """Raise UsageError for an unknown kind, or a scope that the kind does not apply to."""
    if kind not in _KINDS:
        raise UsageError(f"unknown fault {kind!r}; choose one of: {', '.join(_KINDS)}")
    scopes = (*_REQUEST_SCOPES * (kind in REQUEST_KINDS), *_FRAME_SCOPES * (kind in FRAME_KINDS))
    if scope and scope not in scopes:
        raise UsageError(
            f"fault {kind} does not apply to scope {scope!r}; choose one of: {', '.join(scopes)}"
        )
