"""An order in its life cycle at the venue, as the execution actor keeps it."""

from __future__ import annotations

from engine.actors.base import State
from engine.values import InstrumentId, Price, Size

__all__ = ["Order"]


class Order(State):
    """An order. `state` follows FIX. `size` is the filled and the open size together, at the size scale.

    `canceling` is the reason of a cancel, `modifying` the new limit price of a change, that was requested and
    is not confirmed yet. `trigger` and `parent` are as in its terms. `filled_at_end`: the venue
    has ended the order, and this much of it is filled; 0 before. `filled_ns`: the venue's time of the first
    answer that called it filled while a part was not.
    """

    strategy: str
    instrument: InstrumentId
    side: int
    size: Size
    limit_price: Price
    tif: str
    reduce_only: bool
    expires_ns: int = 0
    state: str = "PendingNew"
    filled: Size = 0
    venue_order_id: int = 0
    canceling: str = ""
    modifying: Price = 0
    queries: int = 0
    role: str = ""
    trigger: str = ""
    parent: str = ""
    filled_at_end: Size = 0
    filled_ns: int = 0

    @property
    def working_state(self) -> str:
        """The state of the order while the venue works it."""
        if self.canceling:
            return "PendingCancel"
        if self.modifying:
            return "PendingReplace"
        return "PartiallyFilled" if self.filled else "New"
