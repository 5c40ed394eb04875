"""The actions that clients sign for `/exchange`: decoding, and encoding in the canonical form that is hashed.

The venue does not hash the JSON as sent. It decodes an action and encodes it again: members in its own order,
unused ones left out, numbers without trailing zeros, ids and addresses in lower case. A client that signed
`"f": false` or `"100.0"` signed a different hash: the recovered signer is an unknown address, and the venue
answers that this address does not exist. `canonical` returns this form. Source: the venue's exchange endpoint
page, 2026-08.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec.structs import force_setattr

from adapters.sandbox.exchange.refusals import BadRequest
from adapters.sandbox.wire import NOT_DESERIALIZED, NOT_JSON, Address, Cloid, Natural, normalize_cloid

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
    "UsdSend",
    "UserSigned",
    "Withdraw",
    "canonical",
    "entries",
    "parse_request",
]

_INT64_MAX: Final = 2**63 - 1
_Whole = Annotated[int, msgspec.Meta(ge=-_INT64_MAX, le=_INT64_MAX)]
_Number = Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{1,30}(\.[0-9]{1,30})?\Z")]
_Hex = Annotated[str, msgspec.Meta(pattern=r"\A0x[0-9a-fA-F]{1,64}\Z")]


class _Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """Base of the parts of an action. Members are in signing order; unused ones are left out."""


class Limit(_Part, frozen=True):
    """The time in force of a limit order."""

    tif: Literal["Gtc", "Ioc", "Alo", "FrontendMarket"]


class Trigger(_Part, frozen=True):
    """The trigger of a trigger order."""

    isMarket: bool  # noqa: N815  the venue's own names
    triggerPx: _Number  # noqa: N815
    tpsl: Literal["tp", "sl"]

    def __post_init__(self) -> None:
        force_setattr(self, "triggerPx", _plain(self.triggerPx))


class Kind(_Part, frozen=True):
    """The kind of an order: exactly one of the two is set."""

    limit: Limit | None = None
    trigger: Trigger | None = None

    def __post_init__(self) -> None:
        if (self.limit is None) == (self.trigger is None):
            raise ValueError("an order must have either limit or trigger")


class OrderWire(_Part, frozen=True):
    """One order: asset, is buy, price, size, reduce only, type, client order id."""

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
            force_setattr(self, "c", normalize_cloid(self.c))


class Builder(_Part, frozen=True):
    """The receiver of a builder fee, in tenths of a basis point. Part of the signature; not charged here."""

    b: Address
    f: Natural

    def __post_init__(self) -> None:
        force_setattr(self, "b", self.b.lower())


class Priority(_Part, frozen=True):
    """A priority fee (1e-8), in place of a grouping. Part of the signature; not charged here."""

    p: Natural


class CancelWire(_Part, frozen=True):
    """One cancel by order id."""

    a: Natural
    o: Natural


class CancelCloidWire(_Part, frozen=True):
    """One cancel by client order id."""

    asset: Natural
    cloid: Cloid

    def __post_init__(self) -> None:
        force_setattr(self, "cloid", normalize_cloid(self.cloid))


class ModifyWire(_Part, frozen=True):
    """One modification of an order."""

    oid: Natural | Cloid
    order: OrderWire

    def __post_init__(self) -> None:
        if isinstance(self.oid, str):
            force_setattr(self, "oid", normalize_cloid(self.oid))


class _Action(msgspec.Struct, frozen=True, tag_field="type", omit_defaults=True):
    """Base class of the actions."""


class OrderAction(_Action, frozen=True, tag="order"):
    """Place orders."""

    orders: list[OrderWire]
    grouping: Literal["na", "normalTpsl", "positionTpsl"] | Priority
    builder: Builder | None = None


class Cancel(_Action, frozen=True, tag="cancel"):
    """Cancel by order id. `f` requests a fast cancel; a false value is left out."""

    cancels: list[CancelWire]
    f: bool = False


class CancelByCloid(_Action, frozen=True, tag="cancelByCloid"):
    """Cancel by client order id."""

    cancels: list[CancelCloidWire]
    f: bool = False


class Modify(_Action, frozen=True, tag="modify"):
    """Modify one order. `a`: place the new order even if the old one is no longer open."""

    oid: Natural | Cloid
    order: OrderWire
    a: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.oid, str):
            force_setattr(self, "oid", normalize_cloid(self.oid))


class BatchModify(_Action, frozen=True, tag="batchModify"):
    """Modify several orders."""

    modifies: list[ModifyWire]
    a: bool = False


class ScheduleCancel(_Action, frozen=True, tag="scheduleCancel"):
    """Schedule a cancel of all orders, or clear the schedule."""

    time: Natural | None = None


class UpdateLeverage(_Action, frozen=True, tag="updateLeverage"):
    """Set the leverage of an instrument."""

    asset: Natural
    isCross: bool  # noqa: N815
    leverage: Natural


class UpdateIsolatedMargin(_Action, frozen=True, tag="updateIsolatedMargin"):
    """Add or remove margin of an isolated position. `ntli` is in millionths of a dollar."""

    asset: Natural
    isBuy: bool  # noqa: N815
    ntli: _Whole


class Noop(_Action, frozen=True, tag="noop"):
    """Do nothing except use up the nonce."""


class ReserveRequestWeight(_Action, frozen=True, tag="reserveRequestWeight"):
    """Buy requests."""

    weight: Natural


class ApproveAgent(_Action, frozen=True, tag="approveAgent"):
    """Allow another address to sign for the account. A user-signed action, not an L1 action."""

    signatureChainId: _Hex  # noqa: N815
    hyperliquidChain: Literal["Mainnet", "Testnet"]  # noqa: N815
    agentAddress: Address  # noqa: N815
    nonce: Natural
    agentName: str | None = None  # noqa: N815


class _Payment(_Action, frozen=True):
    """A user-signed action that moves USDC to another address."""

    signatureChainId: _Hex  # noqa: N815
    hyperliquidChain: Literal["Mainnet", "Testnet"]  # noqa: N815
    destination: Address
    amount: _Number
    time: Natural

    @property
    def nonce(self) -> int:
        """The signed nonce."""
        return self.time


class UsdSend(_Payment, frozen=True, tag="usdSend"):
    """Send USDC to another account of the venue."""


class Withdraw(_Payment, frozen=True, tag="withdraw3"):
    """Withdraw USDC from the venue."""


UserSigned = ApproveAgent | UsdSend | Withdraw
"""Actions that a wallet signs by their members, not by the hash of an L1 action."""

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
    | UsdSend
    | Withdraw
)


class Signature(msgspec.Struct, frozen=True):
    """A signature as the client sends it. Leading zeros may be missing."""

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
    """Decode a request. Raises BadRequest with the venue's status and text."""
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
    """Return the form of an action that is hashed: members in the venue's order, unused ones left out."""
    built: dict[str, Any] = msgspec.to_builtins(action)
    return built


def entries(action: Action) -> int:
    """Return the number of orders or cancels in a batch; 1 for any other action."""
    match action:
        case OrderAction():
            return len(action.orders)
        case Cancel() | CancelByCloid():
            return len(action.cancels)
        case BatchModify():
            return len(action.modifies)
    return 1


def _plain(number: str) -> str:
    """Return a number as it is hashed: without leading or trailing zeros."""
    whole, _, fraction = number.partition(".")
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole
