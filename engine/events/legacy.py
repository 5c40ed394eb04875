"""Events of earlier versions, upgraded to today's when a frame is read.

An order's terms were fields of three events; today they are one struct (`terms.py`). Old tags stay reserved,
so every recorded day stays readable. A replay of such a day derives today's events, and the first of them is
the first difference. Called by the codec only.
"""

from __future__ import annotations

from typing import Final

from engine.events.base import Event
from engine.events.orders import OrderApproved, OrderRequested, SubmitOrder
from engine.events.terms import OrderTerms

__all__ = ["OLD_TAGS", "OLD_TYPES", "upgraded"]


class _Requested(Event, frozen=True, tag="order-requested"):
    at_ns: int
    strategy: str
    instrument: int
    side: int
    size: int
    limit_price: int = 0
    tif: str = "Gtc"
    reduce_only: bool = False
    reason: str = ""
    for_target: bool = False
    trigger: str = ""
    trigger_price: int = 0
    stop_loss: int = 0
    take_profit: int = 0


class _Approved(Event, frozen=True, tag="order-approved"):
    at_ns: int
    request_seq: int
    strategy: str
    instrument: int
    side: int
    size: int
    limit_price: int
    tif: str
    reduce_only: bool
    trigger: str = ""
    trigger_price: int = 0
    stop_loss: int = 0
    take_profit: int = 0


class _Submitted(Event, frozen=True, tag="submit"):
    at_ns: int
    client_order_id: str
    strategy: str
    instrument: int
    side: int
    size: int
    limit_price: int
    tif: str
    reduce_only: bool
    trigger: str = ""
    trigger_price: int = 0
    parent: str = ""
    expires_ns: int = 0


OLD_TYPES: Final = (_Requested, _Approved, _Submitted)

OLD_TAGS: Final = tuple(str(cls.__struct_config__.tag).encode() for cls in OLD_TYPES)


def upgraded(event: Event) -> Event:
    """Return an event of an earlier version as today's; any other event as it is."""
    match event:
        case _Requested():
            purpose = "target" if event.for_target else "own"
            children = tuple(
                (kind, price, event.size)
                for kind, price in (("sl", event.stop_loss), ("tp", event.take_profit))
                if price
            )
            terms = OrderTerms(
                event.side,
                event.size,
                event.limit_price,
                event.tif,
                purpose=purpose,
                reduce_only=event.reduce_only,
                trigger=event.trigger,
                trigger_price=event.trigger_price,
            )
            return OrderRequested(
                event.at_ns, event.strategy, event.instrument, terms, event.reason, children
            )
        case _Approved():
            terms = OrderTerms(
                event.side,
                event.size,
                event.limit_price,
                event.tif,
                reduce_only=event.reduce_only,
                trigger=event.trigger,
                trigger_price=event.trigger_price,
            )
            return OrderApproved(event.at_ns, event.request_seq, event.strategy, event.instrument, terms)
        case _Submitted():
            terms = OrderTerms(
                event.side,
                event.size,
                event.limit_price,
                event.tif,
                reduce_only=event.reduce_only,
                trigger=event.trigger,
                trigger_price=event.trigger_price,
                parent=event.parent,
            )
            return SubmitOrder(
                event.at_ns,
                event.client_order_id,
                event.strategy,
                event.instrument,
                terms,
                event.expires_ns,
            )
        case _:
            return event
