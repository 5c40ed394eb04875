"""What a client may sign: the venue's actions, decoded, and encoded again as they enter the hash.

Owns the shapes of `/exchange`. The venue recovers the signer over its own rebuild of an action, members in
its own order and unused ones left out, so a client that sends `"f": false` signs something else.
`canonical` is that rebuild. Source: reference of the exchange endpoint, 2026-08.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from adapters.sandbox.exchange.refusals import BadRequest

__all__ = [
    "Action",
    "ApproveAgent",
    "BatchModify",
    "Cancel",
    "CancelByCloid",
    "Limit",
    "Modify",
    "Noop",
    "OrderAction",
    "OrderWire",
    "Request",
    "ScheduleCancel",
    "Trigger",
    "UpdateIsolatedMargin",
    "UpdateLeverage",
    "canonical",
    "parse_request",
]


class _Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """Base of the parts of an action; members in signing order, unused ones left out."""


class Limit(_Part, frozen=True):
    """How long a limit order works."""

    tif: Literal["Gtc", "Ioc", "Alo", "FrontendMarket"]


class Trigger(_Part, frozen=True):
    """What a trigger order waits for."""

    isMarket: bool  # noqa: N815  the venue's own names
    triggerPx: str  # noqa: N815
    tpsl: Literal["tp", "sl"]


class Kind(_Part, frozen=True):
    """One of the two."""

    limit: Limit | None = None
    trigger: Trigger | None = None


class OrderWire(_Part, frozen=True):
    """One order: asset, is buy, price, size, reduce only, type, client id."""

    a: int
    b: bool
    p: str
    s: str
    r: bool
    t: Kind
    c: str | None = None


class Builder(_Part, frozen=True):
    """Who gets a builder's fee, in tenths of a basis point; taken note of, never charged."""

    b: str
    f: int


class CancelWire(_Part, frozen=True):
    """One cancel by order id."""

    a: int
    o: int


class CancelCloidWire(_Part, frozen=True):
    """One cancel by client id."""

    asset: int
    cloid: str


class ModifyWire(_Part, frozen=True):
    """One change of an order."""

    oid: int | str
    order: OrderWire


class _Action(msgspec.Struct, frozen=True, tag_field="type", rename=None, omit_defaults=True):
    """Base of the actions."""


class OrderAction(_Action, frozen=True, tag="order"):
    """Place orders."""

    orders: list[OrderWire]
    grouping: Literal["na", "normalTpsl", "positionTpsl"] | dict[str, int]
    builder: Builder | None = None


class Cancel(_Action, frozen=True, tag="cancel"):
    """Cancel by order id; `f` is the fast way, and never false."""

    cancels: list[CancelWire]
    f: bool = False


class CancelByCloid(_Action, frozen=True, tag="cancelByCloid"):
    """Cancel by client id."""

    cancels: list[CancelCloidWire]
    f: bool = False


class Modify(_Action, frozen=True, tag="modify"):
    """Change one order; `a` places the new one whatever becomes of the old."""

    oid: int | str
    order: OrderWire
    a: bool = False


class BatchModify(_Action, frozen=True, tag="batchModify"):
    """Change several orders."""

    modifies: list[ModifyWire]
    a: bool = False


class ScheduleCancel(_Action, frozen=True, tag="scheduleCancel"):
    """Cancel everything at a time, or take that back."""

    time: int | None = None


class UpdateLeverage(_Action, frozen=True, tag="updateLeverage"):
    """Set the leverage of a coin."""

    asset: int
    isCross: bool  # noqa: N815
    leverage: int


class UpdateIsolatedMargin(_Action, frozen=True, tag="updateIsolatedMargin"):
    """Move margin to an isolated position; `ntli` in millionths of a dollar."""

    asset: int
    isBuy: bool  # noqa: N815
    ntli: int


class Noop(_Action, frozen=True, tag="noop"):
    """Use a nonce up."""


class ReserveRequestWeight(_Action, frozen=True, tag="reserveRequestWeight"):
    """Buy requests."""

    weight: int


class ApproveAgent(msgspec.Struct, frozen=True, tag_field="type", tag="approveAgent"):
    """Let another address trade for the account; signed by the user, not as an L1 action."""

    signatureChainId: str  # noqa: N815
    hyperliquidChain: str  # noqa: N815
    agentAddress: str  # noqa: N815
    nonce: int
    agentName: str | None = None  # noqa: N815


Action = (
    OrderAction
    | Cancel
    | CancelByCloid
    | Modify
    | BatchModify
    | ScheduleCancel
    | UpdateLeverage
    | UpdateIsolatedMargin
    | Noop
    | ReserveRequestWeight
    | ApproveAgent
)


class Signature(msgspec.Struct, frozen=True):
    """As the client sends it; leading zeros may be missing."""

    r: str
    s: str
    v: int


class Request(msgspec.Struct, frozen=True, rename="camel"):
    """The body of `/exchange`."""

    action: Action
    nonce: int
    signature: Signature
    vault_address: str | None = None
    expires_after: int | None = None


_decode: Final = msgspec.json.Decoder(Request).decode


def parse_request(body: bytes | msgspec.Raw) -> Request:
    """Return a request. Raises BadRequest with the status and text the venue answers with."""
    try:
        return _decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        pass
    try:
        msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise BadRequest(400, "Failed to parse the request body as JSON") from None
    raise BadRequest(422, "Failed to deserialize the JSON body into the target type")


def canonical(action: Action) -> dict[str, Any]:
    """Return an action as it enters the hash: members in the venue's order, unused ones left out."""
    built: dict[str, Any] = msgspec.to_builtins(action)
    return built
