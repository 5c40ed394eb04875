"""Detects dead subscriptions: one that is silent for too long is checked with a probe over HTTP.

Owns a deadline for each subscription of each instrument: short for one that is busy, long for the others.
Promises: a subscription counts as dead only if the probe returned something that was not received, and still
is not `proof_s` later; it is then renewed by itself, and its connection is closed only if it is dead again
and has sent no more than one message since; a quiet one is probed less and less often, so that a quiet market
costs little and never a connection; one probe at a time. A connection that is dead as a whole is found by
`connection.py`.
After a message that cannot be used, a subscription that sends nothing more for `doubt_s` is probed for the
newest value.
What is specific to a venue are numbers of `FeedLimits` and the probes (`Probe`). Run by `feed.py`, which
reports what was received.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

import trio

from adapters.transport.connection import Loss
from adapters.transport.context import FeedContext
from adapters.transport.stream import Stream
from engine.errors import VenueError

__all__ = ["Key", "Probe", "Silences"]

Key = tuple[str, str]
"""Kind of subscription and name of its instrument, "" for one without an instrument."""

Probe = Callable[[bool], Awaitable[Callable[[], bool]]]
"""Reads the newest data of a subscription; returns a function that returns whether it has been received.

The argument is True for a subscription that has sent nothing on its connection yet: the data then counts as
its first message, since not every channel sends one on its own. Raises VenueError.
"""

_LOOK_S: Final = 1.0

_BUSY: Final = 5.0
"""A subscription is busy if it sends at least this many messages in `stale_s`. With 5 expected (Poisson), it
sends none by chance once in 150 times."""

_COUNT_MIN: Final = 10
"""Messages before a subscription's rate is known."""


@dataclass(slots=True)
class _Watch:
    """One subscription. Times are the engine's: of its confirmation, and of its last message since."""

    stream: Stream
    probe: Probe
    since_ns: int
    last_ns: int
    count: int = 0  # messages of this connection
    begun: bool = False  # a probe has returned its first message
    probed_at: float = -math.inf  # trio's clock
    probed_count: int = -1  # messages at the last probe
    wait_factor: float = 1.0  # doubled by each probe in a row that found nothing
    renewed_count: int | None = None  # messages when it was renewed
    damaged_ns: int = 0  # an unusable message came then, and none since


class Silences:
    """Watches a feed's live subscriptions.

    `renew` ends and requests those of a key again; it returns False if that is not possible. Missing `trades`
    are found by `gaps.py`.
    """

    def __init__(self, context: FeedContext, renew: Callable[[Stream, Key, str], bool], trades: str) -> None:
        self._context = context
        self._trades = trades
        self._renew = renew
        self._health = context.health
        self._limits = context.limits
        self._watches: dict[Key, _Watch] = {}

    def watch(self, stream: Stream, probes: Iterable[tuple[Key, Probe]], now_ns: int) -> None:
        """Watch the subscriptions of a stream that is now up."""
        for key, probe in probes:
            self._watches[key] = _Watch(stream, probe, now_ns, now_ns)

    def unwatch(self, stream: Stream) -> None:
        """Stop watching the subscriptions of a stream that is down."""
        self._watches = {key: watch for key, watch in self._watches.items() if watch.stream is not stream}

    def note_message(self, kind: str, name: str, recv_ns: int) -> None:
        """Note a message of a subscription."""
        watch = self._watches.get((kind, name))
        if watch is not None:
            watch.last_ns = recv_ns
            watch.count += 1
            watch.damaged_ns = 0

    def has(self, key: Key) -> bool:
        """Return whether a subscription is watched."""
        return key in self._watches

    def note_damage(self, stream: Stream, kind: str, name: str, recv_ns: int) -> None:
        """Note an unusable message of a subscription; "" stands for any kind or name."""
        for key, watch in self._watches.items():
            if watch.stream is stream and kind in ("", key[0]) and name in ("", key[1]):
                watch.last_ns = recv_ns
                if key[0] != self._trades:
                    watch.damaged_ns = recv_ns

    async def run(self) -> None:
        """Once a second, probe overdue subscriptions: busy ones at once, quiet ones at intervals.

        Paused while the engine is behind, since messages then wait on our side.
        """
        quiet_at = 0.0
        while True:
            await self._context.catch_up()
            await trio.sleep(_LOOK_S)
            overdue = [key for key, watch in self._watches.items() if self._is_overdue(watch)]
            busy = [key for key in overdue if self._is_busy(self._watches[key])]
            if not busy and trio.current_time() < quiet_at:
                continue
            if overdue:
                key = min(busy or overdue, key=lambda one: self._watches[one].probed_at)
                quiet_at = trio.current_time() + self._limits.probe_every_s
                await self._check(key, self._watches[key])

    def _is_busy(self, watch: _Watch) -> bool:
        active_s = self._context.seconds_since(watch.since_ns) - self._context.seconds_since(watch.last_ns)
        return watch.count >= _COUNT_MIN and watch.count * self._limits.stale_s >= _BUSY * active_s

    def _is_overdue(self, watch: _Watch) -> bool:
        limits = self._limits
        if watch.damaged_ns:
            return self._context.seconds_since(watch.damaged_ns) >= limits.doubt_s
        bound_s = limits.stale_s if self._is_busy(watch) else limits.quiet_s
        if watch.count == watch.probed_count:  # still silent since the last probe
            wait_s = min(bound_s * watch.wait_factor, limits.quiet_s_max)
            return trio.current_time() - watch.probed_at >= wait_s
        return self._context.seconds_since(watch.last_ns) >= bound_s

    async def _check(self, key: Key, watch: _Watch) -> None:
        """Probe one subscription; renew it, or close its connection, if it misses what the probe returned."""
        self._health.probes += 1
        count = watch.count
        watch.wait_factor = 2 * watch.wait_factor if count == watch.probed_count else 1.0
        watch.probed_at, watch.probed_count = trio.current_time(), count
        silent_s = self._context.seconds_since(watch.last_ns)
        has_come: Callable[[], bool] | None = None
        with trio.move_on_after(self._limits.probe_s):
            try:
                has_come = await watch.probe((not count and not watch.begun) or watch.damaged_ns > 0)
            except VenueError:
                self._health.venue_errors += 1
        watch.begun = watch.begun or has_come is not None
        watch.damaged_ns = 0
        if has_come is not None and not has_come() and watch.count == count:
            await trio.sleep(self._limits.proof_s)
            if not has_come() and watch.count == count and self._watches.get(key) is watch:
                self._health.silences += 1
                kind, name = key
                of = f" of {name}" if name else ""
                reason = f"{kind}{of} is silent for {silent_s:.0f} s, and the venue has more"
                # The first message after a renewal is what the venue sends on every subscribe.
                helped = watch.renewed_count is None or count > watch.renewed_count + 1
                if helped and self._renew(watch.stream, key, reason):
                    self._health.renewals += 1
                    watch.renewed_count = count
                    watch.wait_factor = 1.0
                    watch.since_ns = watch.last_ns = self._context.clock.now_ns()
                else:
                    watch.stream.lose(Loss(reason))
