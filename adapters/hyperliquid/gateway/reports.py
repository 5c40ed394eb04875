"""The reports for each command of an action, by its outcome."""

from __future__ import annotations

from adapters.hyperliquid.gateway.outcomes import Accepted, Lost, Outcome, Refused
from engine.events import (
    CancelOrder,
    CancelRejected,
    Event,
    LeverageAnswered,
    ModifyOrder,
    ModifyRejected,
    OrderAccepted,
    OrderModified,
    OrderRejected,
    OrderUnknown,
    ScheduleAnswered,
    ScheduleCancel,
    SetLeverage,
    SubmitOrder,
)

__all__ = ["report"]


def report(command: Event, outcome: Outcome, recv_ns: int) -> list[Event]:
    """Return the reports of a command's outcome; none where the account's stream reports it better.

    An order that was not sent is rejected. If the venue already has its client id, the order exists there and
    is reported as Unknown, so that it is queried.
    """
    words = outcome.text if isinstance(outcome, Refused) else ""
    if isinstance(outcome, Lost):
        words = outcome.reason
    lost = isinstance(outcome, Lost) and not outcome.unsent
    failed = isinstance(outcome, Refused | Lost)
    if isinstance(outcome, Lost) and outcome.unsent:
        words = f"not sent: {words}"
    match command:
        case SubmitOrder():
            name = command.client_order_id
            if isinstance(outcome, Accepted):
                return [OrderAccepted(recv_ns, recv_ns, name, outcome.oid)]
            if lost or not failed or _is_taken(words):
                return [OrderUnknown(recv_ns, name, words or "an answer without an order")]
            return [OrderRejected(recv_ns, recv_ns, name, words)]
        case CancelOrder():
            name = command.client_order_id
            if lost:
                return [OrderUnknown(recv_ns, name, words)]
            return [CancelRejected(recv_ns, recv_ns, name, words)] if failed else []
        case ModifyOrder():
            name = command.client_order_id
            if isinstance(outcome, Accepted):
                return [
                    OrderModified(
                        recv_ns,
                        recv_ns,
                        name,
                        command.instrument,
                        outcome.oid,
                        command.size,
                        command.limit_price,
                    )
                ]
            if failed and not lost:
                return [ModifyRejected(recv_ns, recv_ns, name, words)]
            return [OrderUnknown(recv_ns, name, words or "an answer without an order")]
        case SetLeverage():
            return [
                LeverageAnswered(
                    recv_ns, command.instrument, command.leverage, command.cross, not failed, words
                )
            ]
        case ScheduleCancel():
            return [ScheduleAnswered(recv_ns, command.cancel_at_ns, not failed, words)]
        case _:
            return []


def _is_taken(words: str) -> bool:
    """Return whether the venue refuses a client id that it has already. Its text is not documented."""
    lowered = words.lower()
    return ("cloid" in lowered or "client order id" in lowered) and (
        any(word in lowered for word in ("duplicate", "already", "exists", "used"))
    )
