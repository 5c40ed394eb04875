"""The words of the venue about an account, and the one decoder for them.

Owns the shapes of the user channels and of the `/info` answers that name a user. Promises: bytes become one
of these structs or raise VenueProtocolError, and nothing else; members that are not known are ignored,
those that are needed must be there. Numbers stay decimal text, times stay ms: `reading.py` makes them
exact. Source: the websocket and info references, 2026-08, and captures of 2026.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

from adapters.hyperliquid.wire import FRAME_BYTES_MAX
from adapters.transport.text import clip
from engine.errors import VenueProtocolError

__all__ = [
    "AccountFrame",
    "AckFrame",
    "ErrorFrame",
    "EventsFrame",
    "FillsFrame",
    "OpenOrder",
    "OrderAnswer",
    "OtherFrame",
    "PostFrame",
    "UpdatesFrame",
    "WireFill",
    "WireFunding",
    "WireFundingRow",
    "WireState",
    "WireUpdate",
    "decode_account_message",
]

_Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Number = Annotated[str, msgspec.Meta(max_length=96)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_ROWS_MAX: Final = 10_000


class WireFill(msgspec.Struct, frozen=True, rename="camel"):
    """One execution. `side` is the account's; `crossed` means taker."""

    coin: _Name
    px: _Number
    sz: _Number
    side: Literal["A", "B"]
    time: _Id
    oid: _Id
    tid: _Id
    crossed: bool
    fee: _Number
    fee_token: _Name = "USDC"
    cloid: str | None = None


class OpenOrder(msgspec.Struct, frozen=True, rename="camel"):
    """An order as every message shows it; `sz` is what is open. `children` wait until it is filled."""

    coin: _Name
    side: Literal["A", "B"]
    limit_px: _Number
    sz: _Number
    oid: _Id
    timestamp: _Id
    orig_sz: _Number = ""
    cloid: str | None = None
    children: list[OpenOrder] = []


class WireUpdate(msgspec.Struct, frozen=True, rename="camel"):
    """A change of an order's status."""

    order: OpenOrder
    status: _Name
    status_timestamp: _Id


class OrderAnswer(msgspec.Struct, frozen=True):
    """The answer to `orderStatus`: "order" with one, or "unknownOid"."""

    status: _Name
    order: WireUpdate | None = None


class WireFunding(msgspec.Struct, frozen=True, rename="camel"):
    """A funding payment; `usdc` is negative when the account paid."""

    time: _Id
    coin: _Name
    usdc: _Number
    szi: _Number
    funding_rate: _Number


class _FundingDelta(msgspec.Struct, frozen=True, rename="camel"):
    coin: _Name
    usdc: _Number
    szi: _Number
    funding_rate: _Number


class WireFundingRow(msgspec.Struct, frozen=True):
    """A row of `userFunding`."""

    time: _Id
    delta: _FundingDelta


class WireLiquidation(msgspec.Struct, frozen=True):
    """A liquidation; the venue's own snake case."""

    lid: _Id
    liquidated_user: _Name
    liquidated_ntl_pos: _Number
    liquidated_account_value: _Number


class _CanceledBy(msgspec.Struct, frozen=True):
    coin: _Name
    oid: _Id


class Events(msgspec.Struct, frozen=True, rename="camel"):
    """The `user` channel: one member a frame. Fills are read from `userFills` instead."""

    funding: WireFunding | None = None
    liquidation: WireLiquidation | None = None
    non_user_cancel: list[_CanceledBy] = []


class Fills(msgspec.Struct, frozen=True, rename="camel"):
    """The `userFills` channel; a snapshot comes after every subscribe."""

    user: _Name
    fills: Annotated[list[WireFill], msgspec.Meta(max_length=_ROWS_MAX)]
    is_snapshot: bool = False


class _Position(msgspec.Struct, frozen=True, rename="camel"):
    coin: _Name
    szi: _Number
    entry_px: _Number | None = None


class _AssetPosition(msgspec.Struct, frozen=True):
    position: _Position


class _Summary(msgspec.Struct, frozen=True, rename="camel"):
    account_value: _Number


class WireState(msgspec.Struct, frozen=True, rename="camel"):
    """`clearinghouseState`: flat coins are absent."""

    asset_positions: Annotated[list[_AssetPosition], msgspec.Meta(max_length=_ROWS_MAX)]
    margin_summary: _Summary
    withdrawable: _Number
    time: _Id


class _Frame(msgspec.Struct, frozen=True, tag_field="channel"):
    """Base of the frames."""


class FillsFrame(_Frame, frozen=True, tag="userFills"):
    """Fills."""

    data: Fills


class UpdatesFrame(_Frame, frozen=True, tag="orderUpdates"):
    """Changes of orders: a bare array."""

    data: Annotated[list[WireUpdate], msgspec.Meta(max_length=_ROWS_MAX)]


class EventsFrame(_Frame, frozen=True, tag="user"):
    """Everything else that happens to the account."""

    data: Events


class _Subscription(msgspec.Struct, frozen=True):
    type: _Name
    user: str = ""


class _Ack(msgspec.Struct, frozen=True):
    method: _Name
    subscription: _Subscription


class AckFrame(_Frame, frozen=True, tag="subscriptionResponse"):
    """An acknowledgement; matched by type, since the venue adds members."""

    data: _Ack


class ErrorFrame(_Frame, frozen=True, tag="error"):
    """A complaint in the venue's own words."""

    data: str


class _PostResponse(msgspec.Struct, frozen=True):
    type: Literal["info", "action", "error"]
    payload: msgspec.Raw


class _Post(msgspec.Struct, frozen=True):
    id: _Id
    response: _PostResponse


class PostFrame(_Frame, frozen=True, tag="post"):
    """The answer to a post."""

    data: _Post


class PongFrame(_Frame, frozen=True, tag="pong"):
    """The answer to a ping."""


class OtherFrame(msgspec.Struct, frozen=True):
    """A channel that is not read. Not a wire shape."""

    channel: str


AccountFrame = (
    FillsFrame | UpdatesFrame | EventsFrame | AckFrame | ErrorFrame | PostFrame | PongFrame | OtherFrame
)


class _Envelope(msgspec.Struct, frozen=True):
    channel: _Name


_decode_frame: Final = msgspec.json.Decoder(
    FillsFrame | UpdatesFrame | EventsFrame | AckFrame | ErrorFrame | PostFrame | PongFrame
).decode
_decode_envelope: Final = msgspec.json.Decoder(_Envelope).decode
_READ: Final = frozenset(
    {"userFills", "orderUpdates", "user", "subscriptionResponse", "error", "post", "pong"}
)
_GREETING: Final = "Websocket connection established."
_BROKEN: Final[Any] = (msgspec.MsgspecError, UnicodeError, RecursionError)


def decode_account_message(message: str | bytes) -> AccountFrame:
    """Return one websocket message as a struct. Raises VenueProtocolError, and nothing else."""
    if len(message) > FRAME_BYTES_MAX:
        raise VenueProtocolError(f"a message of {len(message)} bytes is longer than {FRAME_BYTES_MAX}")
    try:
        text = message if isinstance(message, str) else message.decode()
        if text == _GREETING:
            return OtherFrame("greeting")
        frame: AccountFrame = _decode_frame(text)
    except _BROKEN as error:
        return _other(message, error)
    return frame


def _other(message: str | bytes, error: Exception) -> OtherFrame:
    try:
        channel = _decode_envelope(message).channel
    except _BROKEN:
        channel = None
    if channel is None or channel in _READ:
        words = "nested too deep" if isinstance(error, RecursionError) else clip(str(error))
        raise VenueProtocolError(f"{words} in {clip(message)}") from error
    return OtherFrame(channel)
