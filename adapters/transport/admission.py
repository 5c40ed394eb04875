"""Decides which subscriptions a connection asks for: those that are accepted, suspects, and those set aside.

Owns the suspicion that a subscription makes the venue close the connection, and the list of those that are
set aside. Promises: after two losses in a row before a connection was up, or a minute in which none lived
long, the subscriptions that may be the reason are tried in halves, each on a connection that carries the
accepted ones, until the reason is one subscription; it is set aside once it ended two connections alone. A
subscription that is not confirmed is set aside at once. What is set aside is tried again after `aside_s`,
alone, and each time that fails twice as late, at most `aside_s_max`. Pure: the caller passes the time. Called
by `stream.py`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from adapters.transport.health import FeedLimits
from adapters.transport.protocol import Subscription

__all__ = ["Admission"]

_LOSSES_BEFORE_UP = 2
_LOSSES_ALONE = 2
_LOSSES_SOON = 5  # within `soon_s`: a bad network also ends connections that are up


@dataclass(slots=True)
class _Aside:
    subscription: Subscription
    wait_s: float
    retry_at: float


class Admission:
    """The subscriptions of one stream, by how they are asked for."""

    def __init__(self, subscriptions: Sequence[Subscription], limits: FeedLimits) -> None:
        self._all = tuple(subscriptions)
        self._limits = limits
        self._suspects: list[list[Subscription]] = []  # tried one group after the other
        self._aside: dict[Hashable, _Aside] = {}
        self._trying: list[Subscription] = []
        # Losses in a row that may have been closed for a subscription: all and since when, those before the
        # connection was up, and those by the single suspect that is tried.
        self._losses = 0
        self._failing_since = math.inf
        self._before_up = 0
        self._alone = 0

    @property
    def aside(self) -> tuple[Subscription, ...]:
        """The subscriptions that are set aside."""
        return tuple(one.subscription for one in self._aside.values())

    @property
    def trying(self) -> bool:
        """Whether suspects, or one that was set aside, are tried now."""
        return bool(self._trying)

    def first(self) -> list[Subscription]:
        """Return what a new connection asks for: all that is accepted, or the first suspects without any."""
        self._trying = []
        held = {one.key for group in self._suspects for one in group}
        accepted = [one for one in self._all if one.key not in held and one.key not in self._aside]
        if accepted:
            return accepted
        if self._suspects:
            self._trying = self._suspects[0]
            return list(self._trying)
        self._aside.clear()  # none is accepted, so it is not a single one that is the reason
        return list(self._all)

    def next_try(self, now: float) -> list[Subscription]:
        """Return the suspects, or the one set aside, to ask for now; nothing if none is due."""
        self._trying = []
        if self._suspects:
            self._trying = self._suspects[0]
        else:
            due = [one for one in self._aside.values() if one.retry_at <= now]
            self._trying = [min(due, key=lambda one: one.retry_at).subscription] if due else []
        return list(self._trying)

    def wait_s(self, now: float) -> float:
        """Return the seconds until the next one that is set aside is due; 0 with suspects."""
        if self._suspects:
            return 0.0
        return max(0.0, min((one.retry_at for one in self._aside.values()), default=now + 3600.0) - now)

    def accept(self) -> None:
        """Note that what was tried is confirmed, and the connection lives."""
        self._clear()
        if self._suspects and self._trying == self._suspects[0]:
            del self._suspects[0]
        for one in self._trying:
            self._aside.pop(one.key, None)
        self._trying = []

    def release(self, subscription: Subscription) -> None:
        """Note that one that was set aside is confirmed late."""
        self._aside.pop(subscription.key, None)

    def set_aside(self, found: Iterable[Subscription], now: float) -> None:
        """Set subscriptions aside, each for twice as long as the last time."""
        for one in found:
            before = self._aside.get(one.key)
            wait_s = self._limits.aside_s if before is None else 2 * before.wait_s
            wait_s = min(wait_s, self._limits.aside_s_max)
            self._aside[one.key] = _Aside(one, wait_s, now + wait_s)
            self._suspects = [rest for group in self._suspects if (rest := [s for s in group if s != one])]
            self._trying = [other for other in self._trying if other != one]

    def note_loss(
        self, unconfirmed: Sequence[Subscription], up_s: float | None, now: float
    ) -> Subscription | None:
        """Note that the venue ended the connection; `up_s` is how long it was up, None if it was not.

        Return the subscription that is found to be the reason and set aside, if one is.
        """
        tried, self._trying = self._trying, []
        if tried:
            return self._note_failed(tried, now)
        if up_s is not None and up_s >= self._limits.early_s:
            self._clear()
            return None
        self._losses += 1
        self._before_up = self._before_up + 1 if up_s is None else 0
        self._failing_since = min(self._failing_since, now)
        lasts = self._losses >= _LOSSES_SOON and now - self._failing_since >= self._limits.soon_s
        if self._before_up < _LOSSES_BEFORE_UP and not lasts:
            return None
        self._clear()
        aside = {one.key for one in self.aside}
        asked = [one for one in self._all if one.key not in aside]
        # What was not confirmed is the reason, if it closes before confirming; otherwise it can be any.
        suspects = [one for one in unconfirmed if one.key not in aside]
        if up_s is not None or not suspects:
            suspects = asked
        self._suspects = _halves(suspects)
        return None

    def _clear(self) -> None:
        self._losses = self._before_up = self._alone = 0
        self._failing_since = math.inf

    def _note_failed(self, tried: list[Subscription], now: float) -> Subscription | None:
        if tried[0].key in self._aside:
            self.set_aside(tried, now)
            return tried[0]
        if len(tried) > 1:
            self._alone = 0
            self._suspects = [*_halves(tried), *self._suspects[1:]]
            return None
        self._alone += 1
        if self._alone < _LOSSES_ALONE:
            return None
        self._alone = 0
        self.set_aside(tried, now)
        return tried[0]


def _halves(subscriptions: Sequence[Subscription]) -> list[list[Subscription]]:
    middle = len(subscriptions) // 2
    return [list(subscriptions[:middle]), list(subscriptions[middle:])] if middle else [list(subscriptions)]
