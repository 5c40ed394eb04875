"""The moments of a day that a person looks for: fills, refusals, gaps, halts, commands, failures, sessions.

Owns which records are marks, and their words. A recorded day is searched with them; a live view has those
that it remembers. Called by `View` and `Recorded`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from engine.events import (
    ActorFailed,
    ClockJumped,
    EngineHalted,
    Event,
    FeedDown,
    FeedGap,
    FillBooked,
    Liquidated,
    MarketHalted,
    OperatorCommand,
    OrderRefused,
    SessionStarted,
    SessionStopped,
    TailRepaired,
    engine_time,
)
from engine.values import format_scaled, side_name
from engine.views.projection import Projection
from engine.views.shapes import MarkRow
from engine.views.units import ms

__all__ = ["KINDS", "MARKED", "mark_of"]

KINDS: Final = ("fill", "refusal", "gap", "halt", "command", "failure", "session", "divergence")
"""The kinds of marks. A divergence is found by replaying the day, not in a record."""


def mark_of(view: Projection, seq: int, event: Event) -> MarkRow | None:
    """Return the mark of a record, None if it is none. The view has the instruments."""
    found = MARKED.get(event.__class__)
    if found is None:
        return None
    kind, words = found
    return MarkRow(seq, ms(engine_time(event)), kind, words(view, event))


def _fill(view: Projection, fill: FillBooked) -> str:
    market = view.markets.by_number.get(fill.instrument)
    side, label = side_name(fill.side), view.label(fill.instrument)
    if market is None:
        return f"{fill.owner}: {side} {label}"
    listed = market.listed
    size = format_scaled(fill.size, listed.size_scale)
    return (
        f"{fill.owner}: {side} {size} {label} at {format_scaled(fill.price, listed.price_scale + fill.finer)}"
    )


def _refusal(view: Projection, refused: OrderRefused) -> str:
    side, label = side_name(refused.side), view.label(refused.instrument)
    return f"{refused.strategy}: {side} {label}: {refused.limit}, {refused.reason}"


def _gap(view: Projection, gap: FeedGap) -> str:
    closed = "nothing is missing" if gap.closed else "trades may be missing"
    return f"{gap.feed}: {view.label(gap.instrument)}: {closed}"


MARKED: Final[dict[type[Event], tuple[str, Callable[[Projection, Any], str]]]] = {
    FillBooked: ("fill", _fill),
    OrderRefused: ("refusal", _refusal),
    FeedGap: ("gap", _gap),
    FeedDown: ("gap", lambda _, down: f"{down.feed} is down: {down.reason}"),
    ClockJumped: ("gap", lambda _, jumped: f"the clock: {jumped.cause}"),
    TailRepaired: ("gap", lambda _, repaired: f"{repaired.length} bytes of the journal's tail were cut"),
    EngineHalted: ("halt", lambda _, halted: halted.reason),
    MarketHalted: ("halt", lambda view, halted: f"{view.label(halted.instrument)}: {halted.reason}"),
    Liquidated: ("halt", lambda _, __: "liquidated"),
    OperatorCommand: ("command", lambda _, one: f"{one.command} {one.target}".rstrip()),
    ActorFailed: ("failure", lambda _, failed: f"{failed.actor}: {failed.error}"),
    SessionStarted: ("session", lambda _, started: f"a session starts ({started.mode})"),
    SessionStopped: ("session", lambda _, stopped: f"the session stops: {stopped.reason}"),
}
"""By type of record: the kind of its mark, and its words."""
