"""Notices time that passed without the engine: a paused process, a suspended machine, a clock that was set.

Owns the readings of the last look at the clocks. Promises: a look that comes more than `JUMP_NS` of real time
after the one before, beyond what this thread computed in between, is a jump; so is a difference of more than
`JUMP_NS` between the clocks. Called by the live session, which looks before every batch of inputs and at
least every `LOOK_S`, and records the event before anything else that is due or has arrived.

What a handler takes to compute is no jump: the loop works, it is late, and that is measured elsewhere.
"""

from __future__ import annotations

from typing import Final

from engine.clock import SECOND_NS
from engine.events import ClockJumped
from engine.ports import Clock

__all__ = ["JUMP_NS", "LOOK_S", "JumpWatch"]

JUMP_NS: Final = 2 * SECOND_NS
"""Lower bound of a jump, in real time also on a clock that runs faster."""

LOOK_S: Final = 1.0
"""The longest wait between two looks, in real seconds."""


class JumpWatch:
    """Compares the clocks with their last readings."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = clock.readings()

    def look(self, reached_ns: int) -> list[ClockJumped]:
        """Return the jumps since the last look. `reached_ns` is the engine's time, which never goes back."""
        before, now = self._last, self._clock.readings()
        self._last = now
        elapsed_ns = now.monotonic_ns - before.monotonic_ns
        passed_ns = now.boot_ns - before.boot_ns
        stepped_ns = now.wall_ns - before.wall_ns - passed_ns
        skipped = {
            "stepped": stepped_ns,
            "suspended": passed_ns - elapsed_ns,
            "paused": elapsed_ns - (now.busy_ns - before.busy_ns),
        }
        at_ns = max(now.engine_ns, reached_ns)
        jumps = []
        cause = max(skipped, key=lambda one: skipped[one])
        if skipped[cause] > JUMP_NS:
            from_ns = min(max(before.engine_ns, reached_ns), at_ns)  # the clock may have been set back
            jumps.append(ClockJumped(at_ns, from_ns, at_ns, cause))
        if stepped_ns < -JUMP_NS:
            jumps.append(ClockJumped(at_ns, before.wall_ns + passed_ns, now.wall_ns, "stepped"))
        return jumps
