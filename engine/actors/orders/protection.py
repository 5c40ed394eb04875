"""Protection: stops, brackets and trailing stops of every book.

Owns where each stop is held (at the venue or in the engine), how much it protects, and when it fires. A stop
that fires in the engine becomes a protective exit (`exits.owe`). Its state is in attributes of the manager.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.actors.base import Emit
from engine.actors.orders.state import Live
from engine.events import (
    FillBooked,
    ModifyRequested,
    OrderCanceled,
    OrderRejected,
    OrderTerms,
    PathReached,
    SessionStarted,
    StopRequested,
    SubmitOrder,
    Trade,
    TrailRequested,
)

if TYPE_CHECKING:
    from engine.actors.orders.actor import OrderManager

__all__ = ["Protection"]


class Protection:
    """See the module."""

    def __init__(self, manager: OrderManager) -> None:
        self.m = manager

    def follows(self) -> bool:
        """Return whether a stop or trail in the engine needs trades and quotes now."""
        return False

    def begin(self, started: SessionStarted, emit: Emit) -> None:
        """Begin a session: stops at the venue are asked about, those in the engine wait for a fresh price."""

    def stop(self, request: StopRequested, emit: Emit) -> None:
        """Protect a position with a stop, or refuse (`nothing_to_close`, `trigger_side`)."""

    def trail(self, request: TrailRequested, emit: Emit) -> None:
        """Protect a position with a trailing stop; a size of 0 drops it."""

    def attach(
        self,
        at_ns: int,
        owner: str,
        instrument: int,
        terms: OrderTerms,
        children: tuple[tuple[str, int, int], ...],
        emit: Emit,
    ) -> None:
        """Note the bracket of an opening part that was just approved; `terms.handle` names its parent."""

    def submitted(self, order: SubmitOrder, emit: Emit) -> None:
        """Note the client order id of a parent or of a stop at the venue."""

    def traded(self, trade: Trade, emit: Emit) -> None:
        """Move and fire trails, and fire stops in the engine, on a trade."""

    def priced(self, instrument: int, at_ns: int, emit: Emit) -> None:
        """Fire stops in the engine after a quote, a book or a mark."""

    def path(self, reached: PathReached, emit: Emit) -> None:
        """Move and fire the trail, and fire the stops in the engine, of a book that is led along a candle.

        What fires asks for an exit with its trigger price: it takes part in the rest of the path.
        """

    def filled(self, fill: FillBooked, before: int, emit: Emit) -> None:
        """Follow a book, which was `before`: brackets, sizes, what is dropped."""

    def ended(self, at_ns: int, client_order_id: str, order: Live, emit: Emit) -> None:
        """Follow the end of an order: of a parent, or of a stop at the venue."""

    def ended_by_venue(self, report: OrderCanceled | OrderRejected, order: Live, emit: Emit) -> None:
        """Note why the venue ended a stop, before `ended` is called for it."""

    def settle(self, at_ns: int, owner: str, instrument: int, emit: Emit) -> None:
        """Look again at a book after anything changed in it: place, resize, drop stops."""

    def cancel(self, at_ns: int, owner: str, handle: str, reason: str, emit: Emit) -> bool:
        """Drop the stops of a handle, waiting or at the venue. Return whether there was one."""
        return False

    def modify(self, request: ModifyRequested, emit: Emit) -> bool:
        """Change the trigger or size of a stop; return whether the handle is a stop's."""
        return False

    def account_read(self, at_ns: int, emit: Emit) -> None:
        """Place again what ended while the engine was down."""

    def due(self, at_ns: int, key: str, emit: Emit) -> None:
        """Handle a timer "protection KEY"."""
