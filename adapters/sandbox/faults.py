"""Faults on demand: what a network and a venue do to messages, drawn from a seed or armed one by one.

Owns the switch. A specification is a list of `kind:chance[/ms][@scope]`, such as
`lost-reply:0.05@exchange,cut:0.001`: the chance (0 to 1) is drawn at each occurrence the kind can hit; the
milliseconds (real time) are for the kinds that last. Given the same seed and the same occurrences, the same
faults fire. `arm` makes the next ones fire for sure.

Of a request (`/info`, `/exchange` or a post; scopes info, exchange):
    429          refused before anything is done
    5xx          HTTP 500, 502, 503 or 504 before anything is done, with HTML or nothing in it
    swallow      the connection is cut, and nothing was done
    lost-reply   it is done, and the connection is cut
    late-reply   it is done, and the answer comes after /ms (default 6000)
Of a frame to a client (scopes market, user):
    drop         the frame is lost
    duplicate    the frame comes twice
    reorder      the frame comes after the next one
    delay        the frame, and what follows it, comes /ms later (default 500)
    silent       its channel is mute on that connection from here on
    half-open    the connection is mute from here on, and stays open
    cut          the connection ends abruptly (1006)
"""

from __future__ import annotations

import re
from collections import Counter
from random import Random
from typing import Final

import msgspec

from engine.errors import UsageError

__all__ = ["FRAME_KINDS", "REQUEST_KINDS", "Faults", "channel_of", "scope_of"]

REQUEST_KINDS: Final = ("429", "5xx", "swallow", "lost-reply", "late-reply")
FRAME_KINDS: Final = ("drop", "duplicate", "reorder", "delay", "silent", "half-open", "cut")
SCOPES: Final = ("info", "exchange", "market", "user")

_ENTRY: Final = re.compile(r"([a-z0-9-]+):([0-9.]+)(?:/([0-9]+))?(?:@([a-z]+))?")
_MS: Final = {"late-reply": 6000, "delay": 500}
_USER_CHANNELS: Final = frozenset(
    {"userFills", "orderUpdates", "user", "userFundings", "clearinghouseState", "openOrders"}
)
_CHANCES: Final = 1 << 30


class _Rule(msgspec.Struct):
    kind: str
    chance: int
    ms: int
    scope: str
    armed: int = 0


class Faults:
    """The rules, and how often each kind has fired."""

    def __init__(self, spec: str = "", seed: int = 1) -> None:
        self.fired: Counter[str] = Counter()
        self._random = Random(seed)
        self._rules = [_rule(part.strip()) for part in spec.split(",") if part.strip()]

    def arm(self, kind: str, count: int = 1, *, scope: str = "", ms: int | None = None) -> None:
        """Have the next `count` occurrences of a kind fire. Raises UsageError for a kind there is not."""
        _check(kind, scope)
        self._rules.append(_Rule(kind, 0, _MS.get(kind, 0) if ms is None else ms, scope, count))

    def disarm(self) -> None:
        """Let nothing fire from here on."""
        self._rules.clear()

    def of_request(self, scope: str) -> tuple[str, int]:
        """Return (kind, ms) of the fault that hits a request, ("", 0) for none."""
        return self._draw(REQUEST_KINDS, scope)

    def of_frame(self, scope: str) -> tuple[str, int]:
        """Return (kind, ms) of the fault that hits a frame, ("", 0) for none."""
        return self._draw(FRAME_KINDS, scope)

    def _draw(self, kinds: tuple[str, ...], scope: str) -> tuple[str, int]:
        for rule in self._rules:
            if rule.kind not in kinds or rule.scope not in ("", scope):
                continue
            if rule.armed:
                rule.armed -= 1
            elif not rule.chance or self._random.getrandbits(30) >= rule.chance:
                continue
            self.fired[rule.kind] += 1
            return rule.kind, rule.ms
        return "", 0

    def status(self) -> int:
        """Return one of the venue's ways to fail."""
        return (500, 502, 503, 504)[self._random.getrandbits(2)]


def channel_of(text: str) -> str:
    """Return the channel of a frame of ours."""
    return text[12 : text.index('"', 12)]


def scope_of(channel: str) -> str:
    """Return which scope a channel belongs to; "" for answers, which frames' faults leave alone."""
    if channel in _USER_CHANNELS:
        return "user"
    return "" if channel in ("subscriptionResponse", "pong", "error", "post") else "market"


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
    return _Rule(kind, int(share * _CHANCES), int(ms) if ms else _MS.get(kind, 0), scope or "")


def _check(kind: str, scope: str) -> None:
    if kind not in (*REQUEST_KINDS, *FRAME_KINDS):
        raise UsageError(f"there is no fault {kind!r}; known: {', '.join((*REQUEST_KINDS, *FRAME_KINDS))}")
    if scope and scope not in SCOPES:
        raise UsageError(f"there is no scope {scope!r}; known: {', '.join(SCOPES)}")
