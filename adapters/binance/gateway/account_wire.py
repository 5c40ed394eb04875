"""The shapes of Binance's messages about an account, spot and USD-M, and the decoder of its user data.

Owns the shapes of answers and of user data events. Unknown members are ignored, since new ones appear without
notice. Numbers stay decimal text, times stay ms: `reading.py` makes them exact. Source: the venue's user data
and account references, 2026-07, its Python SDK of 2026-08, and captures.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from engine.errors import VenueProtocolError

__all__ = [
    "ROWS_MAX",
    "AccountUpdate",
    "AlgoEvent",
    "AlgoRow",
    "BalanceUpdate",
    "Ended",
    "ExecutionReport",
    "FuturesAccount",
    "Income",
    "ListenKey",
    "OrderEvent",
    "OrderRow",
    "OtherEvent",
    "PositionMode",
    "PositionRow",
    "SpotAccount",
    "TradeRow",
    "UserEvent",
    "VenueTime",
    "WsAnswer",
    "decode_user_message",
]

ROWS_MAX: Final = 10_000
MESSAGE_BYTES_MAX: Final = 1 << 20

Text = Annotated[str, msgspec.Meta(max_length=100)]
Number = Annotated[str, msgspec.Meta(max_length=64)]
Id = Annotated[int, msgspec.Meta(ge=-1, le=2**62)]
Millis = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class VenueTime(msgspec.Struct, frozen=True, rename="camel"):
    """The venue's clock, and of a sandbox its speed."""

    server_time: Millis
    speed: float | None = None


class ListenKey(msgspec.Struct, frozen=True, rename="camel"):
    """The key of a futures account's stream."""

    listen_key: Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"\A[A-Za-z0-9]+\Z")]


class PositionMode(msgspec.Struct, frozen=True, rename="camel"):
    """Whether a futures account is in hedge mode."""

    dual_side_position: bool


class OrderRow(msgspec.Struct, frozen=True, rename="camel"):
    """An order in an answer. Futures leave out what spot says, and the other way round."""

    symbol: Text
    order_id: Id
    client_order_id: Text
    status: Text
    orig_qty: Number
    executed_qty: Number
    side: Text
    price: Number = "0"
    stop_price: Number = "0"
    time_in_force: Text = "GTC"
    type: Text = ""
    reduce_only: bool = False
    update_time: Millis = 0
    transact_time: Millis = 0
    time: Millis = 0
    orig_client_order_id: Text = ""


class AlgoRow(msgspec.Struct, frozen=True, rename="camel"):
    """A conditional order of futures. `actual_order_id` is the number of the order that it fired."""

    algo_id: Id
    client_algo_id: Text
    algo_status: Text = "NEW"
    symbol: Text = ""
    side: Text = ""
    quantity: Number = "0"
    price: Number = "0"
    trigger_price: Number = "0"
    reduce_only: bool = False
    actual_order_id: int | Text | None = None
    update_time: Millis = 0

    @property
    def fired(self) -> int:
        """The number of the order that it fired, 0 before."""
        return _number(self.actual_order_id)


class TradeRow(msgspec.Struct, frozen=True, rename="camel"):
    """An execution of the account. It does not say the client id of its order."""

    symbol: Text
    id: Id
    order_id: Id
    price: Number
    qty: Number
    commission: Number
    commission_asset: Text
    time: Millis
    is_buyer: bool | None = None
    is_maker: bool | None = None
    buyer: bool | None = None
    maker: bool | None = None


class PositionRow(msgspec.Struct, frozen=True, rename="camel"):
    """A position of a futures account."""

    symbol: Text
    position_amt: Number
    entry_price: Number = "0"
    position_side: Text = "BOTH"
    update_time: Millis = 0


class _FuturesAsset(msgspec.Struct, frozen=True, rename="camel"):
    asset: Text
    wallet_balance: Number
    unrealized_profit: Number = "0"
    available_balance: Number = "0"


class FuturesAccount(msgspec.Struct, frozen=True, rename="camel"):
    """The balances of a futures account."""

    assets: Annotated[list[_FuturesAsset], msgspec.Meta(max_length=ROWS_MAX)]


class _Balance(msgspec.Struct, frozen=True):
    asset: Text
    free: Number
    locked: Number


class SpotAccount(msgspec.Struct, frozen=True, rename="camel"):
    """The balances of a spot account."""

    balances: Annotated[list[_Balance], msgspec.Meta(max_length=ROWS_MAX)]
    can_trade: bool = True
    update_time: Millis = 0


class Income(msgspec.Struct, frozen=True, rename="camel"):
    """A change of a futures account's balance that is no fill: funding, transfers and the like."""

    income_type: Text
    income: Number
    asset: Text
    time: Millis
    tran_id: int | Text
    symbol: Text = ""


# User data.


class ExecutionReport(msgspec.Struct, frozen=True, tag_field="e", tag="executionReport"):
    """An order of a spot account. `original` is set on cancels, whose own id is in `client_id` then."""

    symbol: Text = msgspec.field(name="s")
    client_id: Text = msgspec.field(name="c")
    side: Text = msgspec.field(name="S")
    what: Text = msgspec.field(name="x")
    status: Text = msgspec.field(name="X")
    order_id: Id = msgspec.field(name="i")
    quantity: Number = msgspec.field(name="q")
    executed: Number = msgspec.field(name="z")
    last_size: Number = msgspec.field(name="l")
    last_price: Number = msgspec.field(name="L")
    time: Millis = msgspec.field(name="T")
    trade_id: Id = msgspec.field(name="t", default=-1)
    fee: Number | None = msgspec.field(name="n", default=None)
    fee_asset: Text | None = msgspec.field(name="N", default=None)
    maker: bool = msgspec.field(name="m", default=False)
    reason: Text = msgspec.field(name="r", default="NONE")
    original: Text = msgspec.field(name="C", default="")
    tif: Text = msgspec.field(name="f", default="GTC")
    type: Text = msgspec.field(name="o", default="")


class _Order(msgspec.Struct, frozen=True):
    symbol: Text = msgspec.field(name="s")
    client_id: Text = msgspec.field(name="c")
    side: Text = msgspec.field(name="S")
    what: Text = msgspec.field(name="x")
    status: Text = msgspec.field(name="X")
    order_id: Id = msgspec.field(name="i")
    quantity: Number = msgspec.field(name="q")
    executed: Number = msgspec.field(name="z")
    last_size: Number = msgspec.field(name="l")
    last_price: Number = msgspec.field(name="L")
    time: Millis = msgspec.field(name="T")
    trade_id: Id = msgspec.field(name="t", default=0)
    fee: Number | None = msgspec.field(name="n", default=None)
    fee_asset: Text | None = msgspec.field(name="N", default=None)
    maker: bool = msgspec.field(name="m", default=False)
    reduce_only: bool = msgspec.field(name="R", default=False)
    expiry: Text | int | None = msgspec.field(name="er", default=None)
    tif: Text = msgspec.field(name="f", default="GTC")
    type: Text = msgspec.field(name="o", default="")


class OrderEvent(msgspec.Struct, frozen=True, tag_field="e", tag="ORDER_TRADE_UPDATE"):
    """An order of a futures account."""

    order: _Order = msgspec.field(name="o")


class _Algo(msgspec.Struct, frozen=True):
    client_id: Text = msgspec.field(name="caid")
    algo_id: Id = msgspec.field(name="aid")
    symbol: Text = msgspec.field(name="s")
    status: Text = msgspec.field(name="X")
    order: int | Text | None = msgspec.field(name="ai", default=None)
    quantity: Number = msgspec.field(name="q", default="0")
    reason: Annotated[str, msgspec.Meta(max_length=400)] | None = msgspec.field(name="rm", default=None)

    @property
    def fired(self) -> int:
        """The number of the order that it fired, 0 before."""
        return _number(self.order)


class AlgoEvent(msgspec.Struct, frozen=True, tag_field="e", tag="ALGO_UPDATE"):
    """A conditional order of a futures account."""

    algo: _Algo = msgspec.field(name="o")
    time: Millis = msgspec.field(name="T", default=0)


class _Changes(msgspec.Struct, frozen=True):
    reason: Text = msgspec.field(name="m", default="")


class AccountUpdate(msgspec.Struct, frozen=True, tag_field="e", tag="ACCOUNT_UPDATE"):
    """Balances and positions of a futures account changed. Only why is used: the rest is read."""

    changes: _Changes = msgspec.field(name="a")
    time: Millis = msgspec.field(name="T", default=0)


class BalanceUpdate(msgspec.Struct, frozen=True, tag_field="e", tag="balanceUpdate"):
    """A deposit, withdrawal or transfer of a spot account."""

    asset: Text = msgspec.field(name="a")
    delta: Number = msgspec.field(name="d")
    time: Millis = msgspec.field(name="T")


class Ended(msgspec.Struct, frozen=True):
    """The stream ends: its key or its subscription is no longer valid."""

    what: str


class OtherEvent(msgspec.Struct, frozen=True):
    """An event that nothing here uses."""

    what: str


class WsAnswer(msgspec.Struct, frozen=True):
    """The answer to a request over the websocket."""

    id: str | int | None
    status: int
    error: Any = None


UserEvent = (
    ExecutionReport | OrderEvent | AlgoEvent | AccountUpdate | BalanceUpdate | Ended | OtherEvent | WsAnswer
)

_ENDS: Final = frozenset({"listenKeyExpired", "eventStreamTerminated", "serverShutdown"})


class _Envelope(msgspec.Struct, frozen=True):
    """What a message can be: an event, an event of a subscription, of a combined stream, or an answer."""

    e: Text | msgspec.UnsetType = msgspec.UNSET
    event: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    status: int | msgspec.UnsetType = msgspec.UNSET
    id: str | int | None = None
    error: Any = None


_SHAPES: Final = {
    "executionReport": ExecutionReport,
    "ORDER_TRADE_UPDATE": OrderEvent,
    "ALGO_UPDATE": AlgoEvent,
    "ACCOUNT_UPDATE": AccountUpdate,
    "balanceUpdate": BalanceUpdate,
}
_envelope: Final = msgspec.json.Decoder(_Envelope).decode
_decoders: Final = {name: msgspec.json.Decoder(shape).decode for name, shape in _SHAPES.items()}


def decode_user_message(message: str | bytes) -> UserEvent:
    """Return a message of the user data as a struct. Raises VenueProtocolError, and nothing else."""
    try:
        found = _envelope(message)
        for inner in (found.event, found.data):
            if isinstance(inner, msgspec.Raw):
                message = bytes(inner)
                found = _envelope(message)
        if isinstance(found.e, str):
            decode = _decoders.get(found.e)
            if decode is not None:
                event: UserEvent = decode(message)
                return event
            return Ended(found.e) if found.e in _ENDS else OtherEvent(found.e)
        if isinstance(found.status, int):
            return WsAnswer(found.id, found.status, found.error)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise VenueProtocolError(f"user data that cannot be read: {error}") from None
    raise VenueProtocolError("user data without an event type")


def _number(value: int | str | None) -> int:
    """Return an order's number, which is text or a number; 0 for none."""
    if isinstance(value, int):
        return max(0, value)
    return int(value) if value and value.isascii() and value.isdigit() and len(value) < 19 else 0
