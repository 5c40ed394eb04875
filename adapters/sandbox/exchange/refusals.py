"""What the venue says when it refuses: the texts, and where each of them goes.

`Refused` is one whole action refused (HTTP 200, status "err"); `Wrong` is one entry of it, with the name
that the order's status gets; `BadRequest` is no action at all. Sources: the venue's error responses page,
2026-08; live texts, which end in ` asset=<id>`; texts that traders report. Those nobody could confirm say so.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "AGENTS_MAX",
    "AGENT_EXPIRED",
    "AGENT_USED",
    "ALO",
    "ALREADY_EXPIRED",
    "BAD_TRIGGER",
    "BATCH_EMPTY",
    "CANCEL",
    "CANNOT_MODIFY",
    "CLOID_USED",
    "CROSS_SHORT",
    "FAR",
    "HALTED",
    "IOC",
    "ISOLATED_SHORT",
    "LEVERAGE",
    "MARGIN",
    "MARGIN_EMPTY",
    "MARGIN_MISSING",
    "MARGIN_NOT_ISOLATED",
    "MARGIN_NOT_LEFT",
    "MARGIN_ZERO",
    "MIN_VALUE",
    "MODIFY_FAILED",
    "MODIFY_KIND",
    "NO_ASSET",
    "NO_LIQUIDITY",
    "REDUCE_ONLY",
    "SCHEDULES_USED",
    "SCHEDULE_SOON",
    "SIZE",
    "SWITCH",
    "TICK",
    "TOO_MANY",
    "TPSL_MAIN",
    "TPSL_NUMBER",
    "TPSL_REDUCE_ONLY",
    "USER_SIGNED",
    "BadRequest",
    "Refusal",
    "Refused",
    "Wrong",
]

Refusal = tuple[str, str]
"""A text and the status of the order it is about."""

TICK: Final = ("Price must be divisible by tick size.", "tickRejected")
SIZE: Final = ("Order has invalid size.", "tickRejected")
MIN_VALUE: Final = ("Order must have minimum value of $10.", "minTradeNtlRejected")
MARGIN: Final = ("Insufficient margin to place order.", "perpMarginRejected")
REDUCE_ONLY: Final = ("Reduce only order would increase position.", "reduceOnlyRejected")
ALO: Final = ("Post only order would have immediately matched, bbo was {bbo}.", "badAloPxRejected")
IOC: Final = ("Order could not immediately match against any resting orders.", "iocCancelRejected")
NO_LIQUIDITY: Final = ("No liquidity available for market order.", "marketOrderNoLiquidityRejected")
BAD_TRIGGER: Final = ("Invalid TP/SL price.", "badTriggerPxRejected")
FAR: Final = ("Order price cannot be more than 95% away from the reference price", "oracleRejected")
# The words of the rest are not confirmed.
TOO_MANY: Final = ("Too many open orders.", "tooManyOpenOrdersRejected")
CLOID_USED: Final = ("Client order id was used before.", "rejected")
HALTED: Final = ("Trading is halted.", "rejected")
NO_ASSET: Final = ("Invalid asset.", "rejected")
MODIFY_KIND: Final = ("Modified order must be post only or a Gtc limit order.", "rejected")
TPSL_REDUCE_ONLY: Final = ("TP/SL orders must be reduce only.", "rejected")

CANCEL: Final = "Order was never placed, already canceled, or filled."
CANNOT_MODIFY: Final = "Cannot modify canceled or filled order"
MODIFY_FAILED: Final = "Error placing new order during modify: "
TPSL_MAIN: Final = "Main order cannot be trigger order."
TPSL_NUMBER: Final = "Unexpected number of trigger orders"
BATCH_EMPTY: Final = "Batch is empty."  # not confirmed
ALREADY_EXPIRED: Final = "Action already expired"
USER_SIGNED: Final = "User-signed actions take neither vaultAddress nor expiresAfter."  # not confirmed
LEVERAGE: Final = "Invalid leverage value"
SWITCH: Final = "Cannot switch leverage type with open position."
CROSS_SHORT: Final = (
    "Cross position does not have sufficient margin available to decrease leverage. "
    "To decrease leverage, deposit more collateral."
)
ISOLATED_SHORT: Final = (
    "Isolated position does not have sufficient margin available to decrease leverage. "
    "To decrease leverage, add margin to the position."
)
MARGIN_ZERO: Final = "Update to isolated margin cannot be zero."
MARGIN_EMPTY: Final = "Cannot update margin for empty position."
MARGIN_NOT_ISOLATED: Final = "Position does not use isolated margin."
MARGIN_MISSING: Final = "Account does not have sufficient margin available for increase."
MARGIN_NOT_LEFT: Final = "Position does not have sufficient margin for reduction."
AGENT_USED: Final = "Extra agent already used."
AGENT_EXPIRED: Final = "Agent valid_until already expired."
AGENTS_MAX: Final = "Too many extra agents for cumulative volume traded. Current limit is 3"
SCHEDULE_SOON: Final = "Scheduled cancel time must be at least 5 seconds in the future."  # not confirmed
SCHEDULES_USED: Final = "Scheduled cancels of today are used up."  # not confirmed


class Refused(Exception):
    """The whole action is refused; nothing of it was done."""


class Wrong(Exception):
    """One entry is refused. `status` names it in order statuses."""

    def __init__(self, refusal: Refusal, asset: int, **filled: str) -> None:
        text, self.status = refusal
        super().__init__(f"{text.format(**filled)} asset={asset}")


class BadRequest(Exception):
    """No action the venue could read."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
