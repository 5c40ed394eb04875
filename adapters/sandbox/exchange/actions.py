"""What a client may sign: the venue's actions, decoded, and encoded again as they enter the hash.

Owns the shapes of `/exchange`. The venue recovers the signer over its own rebuild of an action: members in
its own order, unused ones left out, numbers without trailing zeros, ids and addresses in lower case. So a
client that signs `"f": false` or `"100.0"` has signed something else, and is told that some address nobody
knows does not exist. `canonical` is that rebuild. Source: the venue's exchange endpoint page, 2026-08.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec.structs import force_setattr

from adapters.sandbox.exchange.refusals import BadRequest
from adapters.sandbox.wire import NOT_DESERIALIZED, NOT_JSON, Address, Cloid, Natural, plain_cloid

__all__ = [
    "Action",
    "ApproveAgent",
    "BatchModify",
    "Cancel",
    "CancelByCloid",
    "Limit",
    "Modify",
    "ModifyWire",
    "Noop",
    "OrderAction",
    "OrderWire",
    "Request",
    "ReserveRequestWeight",
    "ScheduleCancel",
    "Trigger",
    "UpdateIsolatedMargin",
    "UpdateLeverage",
    "canonical",
    "entries",
    "parse_request",
]

_INT64_MAX: Final = 2**63 - 1
_Whole = Annotated[int, msgspec.Meta(ge=-_INT64_MAX, le=_INT64_MAX)]
_Number = Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{1,30}(\.[0-9]{1,30})?\Z")]
_Hex = Annotated[str, msgspec.Meta(pattern=r"\A0x[0-9a-fA-F]{1,64}\Z")]


class _Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """Base of the parts of an action; members in signing order, unused ones left out."""


class Limit(_Part, frozen=True):
    """How long a limit order works."""

    tif: Literal["Gtc", "Ioc", "Alo", "FrontendMarket"]


class Trigger(_Part, frozen=True):
    """What a trigger order waits for."""

    isMarket: bool  # noqa: N815  the venue's own names
    triggerPx: _Number  # noqa: N815
    tpsl: Literal["tp", "sl"]

    def __post_init__(self) -> None:
        force_setattr(self, "triggerPx", _plain(self.triggerPx))


class Kind(_Part, frozen=True):
    """One of the two."""

    limit: Limit | None = None
    trigger: Trigger | None = None

    def __post_init__(self) -> None:
        if (self.limit is None) == (self.trigger is None):
            raise ValueError("an order is a limit or a trigger order")


class OrderWire(_Part, frozen=True):
    """One order: asset, is buy, price, size, reduce only, type, client id."""

    a: Natural
    b: bool
    p: _Number
    s: _Number
    r: bool
    t: Kind
    c: Cloid | None = None

    def __post_init__(self) -> None:
        force_setattr(self, "p", _plain(self.p))
        force_setattr(self, "s", _plain(self.s))
        if self.c is not None:
            force_setattr(self, "c", plain_cloid(self.c))


class Builder(_Part, frozen=True):
    """Who gets a builder's fee, in tenths of a basis point; signed, and never charged here."""

    b: Address
    f: Natural

    def __post_init__(self) -> None:
        force_setattr(self, "b", self.b.lower())


class Priority(_Part, frozen=True):
    """Instead of a grouping: what is paid to be first, in 1e-8; signed, and never charged here."""

    p: Natural


class CancelWire(_Part, frozen=True):
    """One cancel by order id."""

    a: Natural
    o: Natural


class CancelCloidWire(_Part, frozen=True):
    """One cancel by client id."""

    asset: Natural
    cloid: Cloid

    def __post_init__(self) -> None:
        force_setattr(self, "cloid", plain_cloid(self.cloid))


class ModifyWire(_Part, frozen=True):
    """One change of an order."""

    oid: Natural | Cloid
    order: OrderWire

    def __post_init__(self) -> None:
        if isinstance(self.oid, str):
            force_setattr(self, "oid", plain_cloid(self.oid))


class _Action(msgspec.Struct, frozen=True, tag_field="type", omit_defaults=True):
    """Base of the actions."""


class OrderAction(_Action, frozen=True, tag="order"):
    """Place orders."""

    orders: list[OrderWire]
    grouping: Literal["na", "normalTpsl", "positionTpsl"] | Priority
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

    oid: Natural | Cloid
    order: OrderWire
    a: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.oid, str):
            force_setattr(self, "oid", plain_cloid(self.oid))


class BatchModify(_Action, frozen=True, tag="batchModify"):
    """Change several orders."""

    modifies: list[ModifyWire]
    a: bool = False


class ScheduleCancel(_Action, frozen=True, tag="scheduleCancel"):
    """Cancel everything at a time, or take that back."""

    time: Natural | None = None


class UpdateLeverage(_Action, frozen=True, tag="updateLeverage"):
    """Set the leverage of a coin."""

    asset: Natural
    isCross: bool  # noqa: N815
    leverage: Natural


class UpdateIsolatedMargin(_Action, frozen=True, tag="updateIsolatedMargin"):
    """Move margin to or from an isolated position; `ntli` in millionths of a dollar."""

    asset: Natural
    isBuy: bool  # noqa: N815
    ntli: _Whole


class Noop(_Action, frozen=True, tag="noop"):
    """Use a nonce up."""


class ReserveRequestWeight(_Action, frozen=True, tag="reserveRequestWeight"):
    """Buy requests."""

    weight: Natural


class ApproveAgent(_Action, frozen=True, tag="approveAgent"):
    """Let another address trade for the account; signed by the user, not as an L1 action."""

    signatureChainId: _Hex  # noqa: N815
    hyperliquidChain: Literal["Mainnet", "Testnet"]  # noqa: N815
    agentAddress: Address  # noqa: N815
    nonce: Natural
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

    r: _Hex
    s: _Hex
    v: Natural


class Request(msgspec.Struct, frozen=True, rename="camel"):
    """The body of `/exchange`."""

    action: Action
    nonce: Natural
    signature: Signature
    vault_address: Address | None = None
    expires_after: Natural | None = None


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
        raise BadRequest(400, NOT_JSON) from None
    raise BadRequest(422, NOT_DESERIALIZED)


def canonical(action: Action) -> dict[str, Any]:
    """Return an action as it enters the hash: members in the venue's order, unused ones left out."""
    built: dict[str, Any] = msgspec.to_builtins(action)
    return built


def entries(action: Action) -> int:
    """Return how many orders or cancels an action holds; 1 for one that is no batch."""
    match action:
        case OrderAction():
            return len(action.orders)
        case Cancel() | CancelByCloid():
            return len(action.cancels)
        case BatchModify():
            return len(action.modifies)
    return 1


def _plain(number: str) -> str:
    """Return a number as the venue writes it into the hash: no leading or trailing zeros."""
    whole, _, fraction = number.partition(".")
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole
