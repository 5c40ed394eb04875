"""The fixed texts that strategies see and pass: sides, order states, time in force, kinds of trigger.

Owns their types, so that an editor completes the texts and a type checker finds a misspelled one. Used by the
views (`views.py`, `flow_views.py`) and by the verbs (`verbs.py`). Nothing is checked at run time here: the
verbs check what they are given.
"""

from __future__ import annotations

from typing import Final, Literal

from engine.values import BUY, SELL

__all__ = ["OrderState", "Side", "TakerSide", "Tif", "TriggerKind", "order_side"]

Side = Literal["buy", "sell"]
"""The side of an order or a fill."""

TakerSide = Literal["buy", "sell", ""]
"""The taker's side of a trade: "" where the source does not say."""

Tif = Literal["Gtc", "Ioc", "Alo"]
"""Time in force: rest until canceled, fill at once or cancel, or add liquidity only (post only)."""

TriggerKind = Literal["sl", "tp"]
"""What a trigger order is: a stop-loss or a take-profit."""

OrderState = Literal[
    "PendingNew",
    "New",
    "PartiallyFilled",
    "Filled",
    "PendingReplace",
    "PendingCancel",
    "Canceled",
    "Rejected",
    "Unknown",
]
"""An order's state in FIX spelling. Unknown: the venue has not confirmed what became of the order."""

_ORDER_SIDES: Final[dict[int, Side]] = {BUY: "buy", SELL: "sell"}


def order_side(side: int) -> Side:
    """Return "buy" or "sell" for BUY or SELL."""
    return _ORDER_SIDES[side]
