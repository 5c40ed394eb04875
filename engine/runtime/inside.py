"""What a live session reads of its actors.

Base class of `Live`, which is its only user.
"""

from __future__ import annotations

from engine.actors import Books, Execution, OrderManager, SimulatedVenue
from engine.actors.orders.command_state import Answer
from engine.runtime.plan import LivePlan
from engine.sequencer import Sequencer

__all__ = ["Inside"]


class Inside:
    """See the module."""

    sequencer: Sequencer
    _plan: LivePlan

    def _execution(self) -> Execution:
        execution = self.sequencer.actor("execution")
        assert isinstance(execution, Execution)
        return execution

    def _books(self) -> Books:
        books = self.sequencer.actor("books")
        assert isinstance(books, Books)
        return books

    def _unfunded(self) -> list[str]:
        """Return the markets that paid no funding on paper."""
        venue = self._plan.config.mode == "paper" and self.sequencer.actor("venue")
        return venue.funding.without_rates() if isinstance(venue, SimulatedVenue) else []

    def _manager(self) -> OrderManager:
        manager = self.sequencer.actor("orders")
        assert isinstance(manager, OrderManager)
        return manager

    def _answer_of(self, nonce: str) -> Answer | None:
        return self._manager().commands.answer(nonce)

    def _halted(self) -> str:
        return self._manager().gates.halted

    def _now_ns(self) -> int:
        """Return the clock's time, never before the engine's."""
        return max(self._plan.clock.now_ns(), self.sequencer.now_ns)
