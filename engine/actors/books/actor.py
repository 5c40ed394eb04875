"""Books every fill once, with its owner, and values the account.

Owns the books. A placeholder for the time being: fills of own orders only.
"""

from __future__ import annotations

from engine.actors.base import Actor, Emit, Once, handles
from engine.config import AccountConfig, VenueConfig
from engine.events import FillBooked, OrderFilled, PositionChanged, SubmitOrder
from engine.events.terms import CLOSE, OPEN

__all__ = ["Books"]


class Books(Actor):
    """State: books by owner and instrument, owners of orders."""

    def __init__(self, config: AccountConfig, venue: VenueConfig | None = None) -> None:
        super().__init__("books")
        self._fills = Once()
        self._orders: dict[str, SubmitOrder] = {}
        self._sizes: dict[str, dict[int, int]] = {}

    @handles(SubmitOrder)
    def note_order(self, order: SubmitOrder, emit: Emit) -> None:
        """Remember the owner of an order."""
        self._orders[order.client_order_id] = order

    @handles(OrderFilled)
    def book(self, fill: OrderFilled, emit: Emit) -> None:
        """Book a fill."""
        if not self._fills.first(fill):
            return
        order = self._orders.get(fill.client_order_id)
        owner = order.strategy if order else "external"
        held = self._sizes.setdefault(owner, {}).get(fill.instrument, 0)
        closes = min(fill.size, abs(held)) if held * fill.side < 0 else 0
        over = order is not None and order.terms.role == CLOSE
        for size, role in ((closes, CLOSE), (fill.size - closes, OPEN)):
            if size:
                emit(
                    FillBooked(
                        fill.recv_ns,
                        owner,
                        fill.instrument,
                        fill.side,
                        fill.price,
                        size,
                        0,
                        fill.finer,
                        fill.client_order_id,
                        fill.trade_id,
                        fill.liquidity,
                        role,
                        order.terms.purpose if order else "own",
                        not order,
                        over and role == OPEN,
                        handle=order.terms.handle if order else "",
                    )
                )
        self._sizes[owner][fill.instrument] = held + fill.side * fill.size
        emit(PositionChanged(fill.recv_ns, owner, fill.instrument, held + fill.side * fill.size, 0, 0, 0))
