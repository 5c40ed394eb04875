"""The fixed texts in views and verbs: sides, order states, time in force, kinds of trigger.

Owns their types, so that an editor completes them and a type checker finds a misspelled one. Used by the
views (`views.py`, `flow_views.py`) and the verbs (`verbs.py`). The verbs check their arguments at run time.
"""

from __future__ import annotations

from typing import Final, Literal

from engine.values import BUY, SELL

__all__ = ["OrderState", "Purpose", "Side", "TakerSide", "Tif", "TriggerKind", "order_side"]

Side = Literal["buy", "sell"]
"""The side of an order or a fill."""

TakerSide = Literal["buy", "sell", ""]
"""The taker's side of a trade: "" where the source does not say."""

Tif = Literal["Gtc", "Ioc", "Alo"]
"""Time in force: rest until canceled, fill at once or cancel, or add liquidity only (post only)."""

TriggerKind = Literal["sl", "tp"]
"""The kind of a trigger order: stop-loss or take-profit."""

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
    "Waiting",
    "Triggered",
    "Refused",
]
"""The state of an order, in FIX spelling. Unknown: the venue has not confirmed the state yet. Waiting: a stop
waits for its price or for a position. Triggered: its price was reached, and its exit is owed. Refused: the
engine did not send it."""

Purpose = Literal["own", "target", "stop", "take", "trail", "flatten", "correct"]
"""What an order is for: see `engine.events.terms.Purpose`."""

_ORDER_SIDES: Final[dict[int, Side]] = {BUY: "buy", SELL: "sell"}


def order_side(side: int) -> Side:
    """Return "buy" or "sell" for BUY or SELL."""
    return _ORDER_SIDES[side]
