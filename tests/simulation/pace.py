"""How often the engine and the simulator look at what may have happened, in quiet and in busy stretches.

A year has long stretches in which a market trades once in minutes and nothing fails. In these a paced engine
pings, proves and looks once in minutes instead of once in seconds, so that they cost little; before anything
fails it has its usual periods again, and every task that sleeps looks at once. Only how long tasks sleep is
changed, and which age of a proof counts as late; never what they do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final
from unittest.mock import patch

import trio

from adapters.hyperliquid import client
from adapters.hyperliquid.gateway import gateway
from adapters.transport import connection, damage, polling, proof, silence, stream
from adapters.transport.health import FeedLimits
from engine.runtime import lag, live
from tests.simulation import readiness

__all__ = ["LOOK_S", "Pace", "paced"]

LOOK_S: Final = 600.0
"""How long a task sleeps at least in a quiet stretch, where it usually sleeps for less."""

READ_S: Final = 1800.0
"""The same for what reads the account, and what asks the venue about silent channels, over HTTP."""

SETTLE_S: Final = 4.0
"""How long after a quiet stretch the first proofs may take."""

_LIMITS: Final = {
    "ping_s": LOOK_S,
    "heard_s": LOOK_S,
    "damage_every_s": LOOK_S,
    "quiet_s": READ_S,
    "quiet_s_max": READ_S,
}
_PERIODS: Final = (
    (lag, "BEAT_S"),
    (live, "LOOK_S"),
    (proof, "_LOOK_S"),
    (proof, "_SLEEP_S_MAX"),
    (silence, "_LOOK_S"),
    (polling, "_LOOK_S"),
    (stream, "_LOOK_S"),
    (gateway, "FILLS_LATE_S"),
    (readiness, "LOOKS_EVERY_S"),
)
_SLEEPERS: Final = (connection, damage, polling, proof, silence, stream, gateway, lag, live, readiness)


class Pace:
    """Whether the stretch is quiet. What sleeps or waits for long is woken when that ends.

    `busy_at` is when the usual periods came back: what has been wrong before is found by them only.
    """

    def __init__(self) -> None:
        self.is_quiet = False
        self.busy_at = 0.0
        self._changed = trio.Event()
        self._periods = [(module, name, getattr(module, name)) for module, name in _PERIODS]
        self._limits: list[tuple[FeedLimits, dict[str, float]]] = []
        self._waits: dict[trio.CancelScope, None] = {}

    def quiet(self) -> None:
        """Begin a quiet stretch."""
        self._set(quiet=True)
        self._allow_lag(2 * LOOK_S)

    async def busy(self) -> None:
        """End it: wake every task, and wait for the first proofs."""
        if self.is_quiet:
            self.busy_at = trio.current_time()
            self._set(quiet=False)
            self._changed.set()
            self._changed = trio.Event()
            for scope in list(self._waits):
                scope.cancel()
            await trio.sleep(SETTLE_S)
            self._allow_lag(0.0)

    def limits(self, **named: Any) -> FeedLimits:
        """Return the limits of a feed, which follow the pace from now on."""
        made = FeedLimits(**named)
        usual = {name: getattr(made, name) for name in (*_LIMITS, "lag_s")}
        self._limits.append((made, usual))
        self._stretch(made, usual)
        if self.is_quiet:
            self._allow_lag(2 * LOOK_S)
        return made

    async def sleep(self, seconds: float) -> None:
        """Sleep, but not beyond the end of a quiet stretch."""
        await self.sleep_until(trio.current_time() + seconds)

    async def sleep_until(self, deadline: float) -> None:
        """Sleep, but not beyond the end of a quiet stretch."""
        if not self.is_quiet:
            await trio.sleep_until(deadline)
            return
        with trio.move_on_at(deadline):
            await self._changed.wait()

    @contextmanager
    def move_on_after(self, seconds: float) -> Iterator[trio.CancelScope]:
        """Wait for something; what is done once a minute waits for longer in a quiet stretch."""
        long_s = READ_S if self.is_quiet and seconds == gateway.RECONCILE_S else seconds
        with trio.move_on_after(long_s) as scope:
            if long_s < READ_S:
                yield scope
                return
            self._waits[scope] = None
            try:
                yield scope
            finally:
                del self._waits[scope]

    def _set(self, *, quiet: bool) -> None:
        self.is_quiet = quiet
        for module, name, usual_s in self._periods:
            setattr(module, name, max(usual_s, LOOK_S) if quiet else usual_s)
        del self._limits[1:-1]  # of the account's streams, and of the newest session's feed
        for limits, usual in self._limits:
            self._stretch(limits, usual)

    def _stretch(self, limits: FeedLimits, usual: dict[str, float]) -> None:
        for name, quiet_s in _LIMITS.items():
            if usual[name]:
                _change(limits, name, quiet_s if self.is_quiet else usual[name])

    def _allow_lag(self, seconds: float) -> None:
        for limits, usual in self._limits:
            _change(limits, "lag_s", max(usual["lag_s"], seconds))


def _change(limits: FeedLimits, name: str, value: float) -> None:
    object.__setattr__(limits, name, value)  # frozen, but for a pace


class _Trio:
    """Trio, as it is seen by modules whose tasks look at something from time to time."""

    def __init__(self, pace: Pace) -> None:
        self.sleep = pace.sleep
        self.sleep_until = pace.sleep_until
        self.move_on_after = pace.move_on_after

    def __getattr__(self, name: str) -> Any:
        return getattr(trio, name)


@contextmanager
def paced(pace: Pace) -> Iterator[None]:
    """Let the engine follow a pace."""
    seen = _Trio(pace)
    with ExitStack() as stack:
        for module in _SLEEPERS:
            stack.enter_context(patch.object(module, "trio", seen))
        for module, name in _PERIODS:
            stack.enter_context(patch.object(module, name, getattr(module, name)))
        usual = gateway._STREAM_LIMITS
        named = {name: getattr(usual, name) for name in FeedLimits.__slots__}
        stack.enter_context(patch.object(gateway, "_STREAM_LIMITS", pace.limits(**named)))
        stack.enter_context(patch.object(client, "FeedLimits", pace.limits))
        yield
