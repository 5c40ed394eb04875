"""The shapes of Hyperliquid's messages about an account, and the decoder of its stream.

Owns the shapes of the user channels and of the `/info` answers that name a user. Promises: those of
`envelope.py`. Numbers stay decimal text, times stay ms: `reading.py` makes them exact. Source: the websocket
and info references, 2026-08, and captures of 2026.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

import msgspec

from adapters.hyperliquid.envelope import ControlFrame, Id, Millis, Name, Number, OtherFrame, frame_decoder

__all__ = [
    "ROWS_MAX",
    "AccountFrame",
    "EventsFrame",
    "FillsFrame",
    "LedgerFrame",
    "OpenOrder",
    "OrderAnswer",
    "PostFrame",
    "UpdatesFrame",
    "WireFill",
    "WireFunding",
    "WireFundingRow",
    "WireLedgerRow",
    "WireState",
    "WireUpdate",
    "decode_account_message",
]

ROWS_MAX: Final = 10_000
"""Most rows of an answer about an account: the venue returns 2,000 fills and allows 5,000 open orders."""

_CANCELS_MAX: Final = 1000

Text = Annotated[str, msgspec.Meta(max_length=96)]


class _FillLiquidation(msgspec.Struct, frozen=True, rename="camel"):
    """Says whose liquidation a fill belongs to: the account's own, or the counterparty's."""

    liquidated_user: Text | None = None


class WireFill(msgspec.Struct, frozen=True, rename="camel"):
    """One execution. `side` is the account's; `crossed` means taker; `dir` is the venue's term for it.

    `start_position` is the account's position before it.
    """

    coin: Name
    px: Number
    sz: Number
    side: Literal["A", "B"]
    time: Millis
    oid: Id
    tid: Id
    crossed: bool
    fee: Number
    fee_token: Name = "USDC"
    cloid: Text | None = None
    dir: Text = ""
    start_position: Number | None = None
    liquidation: _FillLiquidation | None = None


class OpenOrder(msgspec.Struct, frozen=True, rename="camel"):
    """An order as every message shows it; `sz` is the open size. `children` wait until it is filled.

    `trigger_condition` is "Triggered" once the price has reached the trigger.
    """

    coin: Name
    side: Literal["A", "B"]
    limit_px: Number
    sz: Number
    oid: Id
    timestamp: Millis
    orig_sz: Number = ""
    cloid: Text | None = None
    children: Annotated[list[OpenOrder], msgspec.Meta(max_length=100)] = []
    trigger_condition: Text | None = None


class WireUpdate(msgspec.Struct, frozen=True, rename="camel"):
    """A change of an order's status."""

    order: OpenOrder
    status: Name
    status_timestamp: Millis


class OrderAnswer(msgspec.Struct, frozen=True):
    """The answer to `orderStatus`: "order" with one, or "unknownOid"."""

    status: Name
    order: WireUpdate | None = None


class WireFunding(msgspec.Struct, frozen=True, rename="camel"):
    """A funding payment; `usdc` is negative when the account paid."""

    time: Millis
    coin: Name
    usdc: Number
    szi: Number
    funding_rate: Number


class _FundingDelta(msgspec.Struct, frozen=True, rename="camel"):
    coin: Name
    usdc: Number
    szi: Number
    funding_rate: Number


class WireFundingRow(msgspec.Struct, frozen=True):
    """A row of `userFunding`."""

    time: Millis
    delta: _FundingDelta


class WireLedgerRow(msgspec.Struct, frozen=True):
    """A row of `userNonFundingLedgerUpdates`. The members of `delta` depend on its type."""

    time: Millis
    hash: Text
    delta: dict[str, Any]


class WireLiquidation(msgspec.Struct, frozen=True):
    """A liquidation; the venue's own snake case."""

    lid: Id
    liquidated_user: Name
    liquidated_ntl_pos: Number
    liquidated_account_value: Number


class _CanceledBy(msgspec.Struct, frozen=True):
    coin: Name
    oid: Id


class Events(msgspec.Struct, frozen=True, rename="camel"):
    """The `user` channel: one member a frame. Fills are read from `userFills` instead."""

    funding: WireFunding | None = None
    liquidation: WireLiquidation | None = None
    non_user_cancel: Annotated[list[_CanceledBy], msgspec.Meta(max_length=_CANCELS_MAX)] = []


class Fills(msgspec.Struct, frozen=True, rename="camel"):
    """The `userFills` channel; a snapshot comes after every subscribe."""

    user: Name
    fills: Annotated[list[WireFill], msgspec.Meta(max_length=ROWS_MAX)]
    is_snapshot: bool = False


class Ledger(msgspec.Struct, frozen=True, rename="camel"):
    """The `userNonFundingLedgerUpdates` channel; a snapshot comes after every subscribe."""

    non_funding_ledger_updates: Annotated[list[WireLedgerRow], msgspec.Meta(max_length=ROWS_MAX)]


class _Position(msgspec.Struct, frozen=True, rename="camel"):
    coin: Name
    szi: Number
    entry_px: Number | None = None
    unrealized_pnl: Number | None = None


class _AssetPosition(msgspec.Struct, frozen=True):
    position: _Position


class _Summary(msgspec.Struct, frozen=True, rename="camel"):
    account_value: Number


class WireState(msgspec.Struct, frozen=True, rename="camel"):
    """`clearinghouseState`: instruments without a position are absent."""

    asset_positions: Annotated[list[_AssetPosition], msgspec.Meta(max_length=ROWS_MAX)]
    margin_summary: _Summary
    withdrawable: Number
    time: Millis


class _Frame(msgspec.Struct, frozen=True, tag_field="channel"):
    """Base of the frames."""


class FillsFrame(_Frame, frozen=True, tag="userFills"):
    """Fills."""

    data: Fills


class UpdatesFrame(_Frame, frozen=True, tag="orderUpdates"):
    """Changes of orders: a bare array."""

    data: Annotated[list[WireUpdate], msgspec.Meta(max_length=ROWS_MAX)]


class EventsFrame(_Frame, frozen=True, tag="user"):
    """Everything else that happens to the account."""

    data: Events


class LedgerFrame(_Frame, frozen=True, tag="userNonFundingLedgerUpdates"):
    """Deposits, withdrawals and transfers."""

    data: Ledger


class _PostResponse(msgspec.Struct, frozen=True):
    type: Literal["info", "action", "error"]
    payload: msgspec.Raw


class _Post(msgspec.Struct, frozen=True):
    id: Id
    response: _PostResponse


class PostFrame(_Frame, frozen=True, tag="post"):
    """The answer to a post."""

    data: _Post


AccountFrame = FillsFrame | UpdatesFrame | EventsFrame | LedgerFrame | PostFrame | ControlFrame | OtherFrame

decode_account_message: Callable[[str | bytes], AccountFrame] = frame_decoder(
    FillsFrame | UpdatesFrame | EventsFrame | LedgerFrame | PostFrame | ControlFrame
)
"""Returns one websocket message as a struct. Raises VenueProtocolError, and nothing else."""
