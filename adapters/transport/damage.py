"""Reports what a feed cannot use, as `FeedDamaged`: bounded, so that a flood cannot fill the journal.

Owns the budget of these events. Promises: an event that begins a doubt about an instrument's trades is
always emitted; of all others at most `damages_at_once` at once, and then one every `damage_every_s`. Only
these carry the message, at most RAW_MAX characters of it. What is not emitted is counted, and the count is
in the next event of the same channel and instrument. How often doubts begin is bounded by `doubts.py`. Called
by `feed.py`.
"""

from __future__ import annotations

from typing import Final

import trio

from adapters.transport.context import FeedContext
from engine.events import FeedDamaged

__all__ = ["RAW_MAX", "REASON_MAX", "Damages"]

RAW_MAX: Final = 400
"""Characters of a message that are recorded."""

REASON_MAX: Final = 300

_KEYS_MAX: Final = 10_000


class Damages:
    """The events that are allowed now, and what waits to be counted."""

    def __init__(self, context: FeedContext) -> None:
        self._context = context
        self._limits = context.limits
        self._allowed = float(context.limits.damages_at_once)
        self._counted_at = trio_time()
        self._waiting: dict[tuple[str, int], tuple[int, str]] = {}  # count and newest reason

    def note(
        self,
        channel: str,
        instrument: int,
        reason: str,
        message: str | bytes = "",
        *,
        in_doubt: bool = False,
        always: bool = False,
    ) -> None:
        """Emit a damage, or count it. `in_doubt`: trades may be missing; `always`: that begins with it."""
        key = (channel, instrument)
        count = self._waiting.pop(key, (0, ""))[0] + 1
        allowed = self._take()
        if allowed or always:
            self._emit(key, reason, count, message if allowed else "", in_doubt=in_doubt)
        elif len(self._waiting) < _KEYS_MAX:
            self._waiting[key] = count, reason

    async def run(self) -> None:
        """Emit what waits as the budget allows, until cancelled."""
        while True:
            await trio.sleep(self._limits.damage_every_s)
            while self._waiting and self._take():
                key = next(iter(self._waiting))
                count, reason = self._waiting.pop(key)
                self._emit(key, reason, count, "", in_doubt=False)

    def _take(self) -> bool:
        now = trio_time()
        gained = (now - self._counted_at) / self._limits.damage_every_s
        self._counted_at = now
        self._allowed = min(self._allowed + gained, float(self._limits.damages_at_once))
        if self._allowed < 1:
            return False
        self._allowed -= 1
        return True

    def _emit(
        self, key: tuple[str, int], reason: str, count: int, message: str | bytes, *, in_doubt: bool
    ) -> None:
        raw = message[: 4 * RAW_MAX]
        text = (raw if isinstance(raw, str) else raw.decode("utf-8", "backslashreplace"))[:RAW_MAX]
        context = self._context
        context.emit(
            FeedDamaged(
                context.clock.now_ns(),
                context.name,
                *key,
                reason[:REASON_MAX],
                count,
                in_doubt,
                _encodable(text),
            )
        )


def trio_time() -> float:
    """Return trio's clock, 0 before it runs."""
    try:
        return trio.current_time()
    except RuntimeError:
        return 0.0


def _encodable(text: str) -> str:
    """Return text that UTF-8 can encode."""
    return text.encode("utf-8", "backslashreplace").decode()
