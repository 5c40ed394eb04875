"""The gates: the conditions and limits that a part of a request has to pass.

Owns the rules by role. A closing part is refused only where nothing can be closed or nothing can be sent; an
opening part has to pass every limit. Called by `requests` for each part, and by the manager for what changes
the conditions. Its state is the manager's attribute `gate`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from engine.actors.base import Emit
from engine.actors.orders.state import Live
from engine.events import (
    ActorFailed,
    ActorRestarted,
    ClockChecked,
    EquityMarked,
    Event,
    FeedDown,
    FeedPolling,
    FeedUp,
    GatewayDown,
    OperatorCommand,
    OrderChanged,
    OrderTerms,
    PositionChanged,
    SessionStarted,
)

if TYPE_CHECKING:
    from engine.actors.orders.actor import OrderManager

__all__ = ["Gates"]


class Gates:
    """See the module."""

    WATCHES: ClassVar[tuple[type[Event], ...]] = (FeedUp, FeedDown, FeedPolling, GatewayDown, ClockChecked)

    def __init__(self, manager: OrderManager) -> None:
        self.m = manager

    @property
    def halted(self) -> str:
        """The reason of the current halt, "" if there is none."""
        return ""

    def refusal(self, at_ns: int, owner: str, instrument: int, terms: OrderTerms) -> tuple[str, str] | None:
        """Return the (limit, reason) that refuses a part with a role, or None if it passes."""
        if terms.size <= 0:
            return "size", "the size is 0 on the venue's grid"
        return None

    def refusal_of_change(self, at_ns: int, order: Live, changed: OrderTerms) -> tuple[str, str] | None:
        """Return the (limit, reason) that refuses a change of an opening; `changed.size` is added."""
        return None

    def flags_exits(self, instrument: int) -> bool:
        """Return whether the venue has a reduce-only flag for this market."""
        return True

    def largest_order(self, instrument: int) -> int:
        """Return the largest size of one order at the venue; 0 for no bound."""
        return 0

    def note_approval(self, at_ns: int, terms: OrderTerms) -> None:
        """Count an approval."""

    def begin(self, started: SessionStarted, emit: Emit) -> None:
        """Begin a session."""

    def watch(self, event: Event) -> None:
        """Update the conditions for openings."""

    def note_order(self, changed: OrderChanged) -> None:
        """Count the Unknown orders."""

    def note_position(self, changed: PositionChanged) -> None:
        """Note the cost of a book, for margin."""

    def note_equity(self, marked: EquityMarked, emit: Emit) -> None:
        """Compare the equity with the loss limits."""

    def command(self, command: OperatorCommand, emit: Emit) -> None:
        """Apply an operator's command."""

    def failed(self, failed: ActorFailed, emit: Emit) -> None:
        """Halt, or quarantine the strategy."""

    def restarted(self, restarted: ActorRestarted) -> None:
        """End a quarantine."""

    def due(self, at_ns: int, key: str, emit: Emit) -> None:
        """Handle a timer of the gates."""
