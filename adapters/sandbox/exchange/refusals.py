"""What the venue says when it refuses: the texts, and where each of them goes.

`Refused` is one whole action refused (HTTP 200, status "err"); `Wrong` is one entry of it, with the name
that the order's status gets; `BadRequest` is no action at all. Source: the venue's error responses page,
2026-08, and live texts, which end in ` asset=<id>`.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "ALO",
    "BAD_TRIGGER",
    "CANCEL",
    "CANNOT_MODIFY",
    "FAR",
    "IOC",
    "MARGIN",
    "MIN_VALUE",
    "REDUCE_ONLY",
    "SIZE",
    "TICK",
    "TOO_MANY",
    "BadRequest",
    "Refused",
    "Wrong",
]

TICK: Final = ("Price must be divisible by tick size.", "tickRejected")
SIZE: Final = ("Order has invalid size.", "tickRejected")
MIN_VALUE: Final = ("Order must have minimum value of $10.", "minTradeNtlRejected")
MARGIN: Final = ("Insufficient margin to place order.", "perpMarginRejected")
REDUCE_ONLY: Final = ("Reduce only order would increase position.", "reduceOnlyRejected")
ALO: Final = ("Post only order would have immediately matched, bbo was {bbo}.", "badAloPxRejected")
IOC: Final = ("Order could not immediately match against any resting orders.", "iocCancelRejected")
BAD_TRIGGER: Final = ("Invalid TP/SL price.", "badTriggerPxRejected")
TOO_MANY: Final = ("Too many open orders.", "tooManyOpenOrdersRejected")
FAR: Final = ("Order price too far from oracle", "oracleRejected")
CANCEL: Final = "Order was never placed, already canceled, or filled."
CANNOT_MODIFY: Final = "Cannot modify canceled or filled order"


class Refused(Exception):
    """The whole action is refused; nothing of it was done."""


class Wrong(Exception):
    """One entry is refused. `status` names it in order statuses."""

    def __init__(self, refusal: tuple[str, str], asset: int, **filled: str) -> None:
        text, self.status = refusal
        super().__init__(f"{text.format(**filled)} asset={asset}")


class BadRequest(Exception):
    """No action the venue could read."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
