"""The venue's error texts, and the exceptions that carry them.

`ActionRefused`: the whole action is refused (HTTP 200, status "err"). `EntryRefused`: one entry of a batch is
refused; it also carries the order's status. `BadRequest`: the request cannot be decoded. Sources: the venue's
error responses page, 2026-08; texts seen on the live venue, which end in ` asset=<id>`; texts reported by
traders. Texts that are not confirmed are marked.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "AGENTS_MAX",
    "AGENT_EXPIRED",
    "AGENT_USED",
    "ALO",
    "ALREADY_EXPIRED",
    "AMOUNT",
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
    "NO_DESTINATION",
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
    "ActionRefused",
    "BadRequest",
    "EntryRefused",
    "Refusal",
]

Refusal = tuple[str, str]
"""An error text and the order status that goes with it."""

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
# The following texts are not confirmed.
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
AMOUNT: Final = "Insufficient balance for withdrawal."  # not confirmed
NO_DESTINATION: Final = "Destination does not exist."  # not confirmed
SCHEDULE_SOON: Final = "Scheduled cancel time must be at least 5 seconds in the future."  # not confirmed
SCHEDULES_USED: Final = "Scheduled cancels of today are used up."  # not confirmed


class ActionRefused(Exception):
    """The whole action is refused and has no effect."""


class EntryRefused(Exception):
    """One entry of a batch is refused. `status` is the resulting order status."""

    def __init__(self, refusal: Refusal, asset: int, **filled: str) -> None:
        text, self.status = refusal
        super().__init__(f"{text.format(**filled)} asset={asset}")


class BadRequest(Exception):
    """The request cannot be decoded."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
