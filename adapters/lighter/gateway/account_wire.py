"""The shapes of Lighter's messages about an account, and the decoder of its private channels.

Owns the shapes of answers and of channel messages. Unknown members are ignored, since new ones appear without
notice; a list may be null. Numbers stay decimal text, times stay as sent: `reading.py` makes them exact.
Source: payloads of 2026 and the models of the venue's client (lighter-sdk 1.1.8).
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from adapters.lighter.info_wire import Answer
from adapters.lighter.wire import Id, Market, Number
from adapters.transport.decoding import BROKEN, message_text, reason_of
from adapters.transport.text import clip
from engine.errors import VenueProtocolError

__all__ = [
    "MESSAGE_BYTES_MAX",
    "AccountFrame",
    "AccountRow",
    "AccountsAnswer",
    "FundingRow",
    "FundingsAnswer",
    "KeysAnswer",
    "NonceAnswer",
    "OrderRow",
    "OrdersAnswer",
    "PositionRow",
    "SentAnswer",
    "TradeRow",
    "TradesAnswer",
    "TransferRow",
    "TransfersAnswer",
    "decode_account_message",
]

ROWS_MAX: Final = 10_000
MESSAGE_BYTES_MAX: Final = 8 << 20

_Text = Annotated[str, msgspec.Meta(max_length=100)]
_Cursor = Annotated[str, msgspec.Meta(max_length=2000)]
_Rows = msgspec.Meta(max_length=ROWS_MAX)
_Fee = Annotated[int, msgspec.Meta(ge=-1_000_000, le=1_000_000)]


class OrderRow(msgspec.Struct, frozen=True):
    """An order. `client_order_index` is 0 without one. `initial_base_amount` counts what is filled too."""

    order_index: Id
    client_order_index: Id
    market_index: Market
    initial_base_amount: Number
    remaining_base_amount: Number
    filled_base_amount: Number
    price: Number
    is_ask: bool
    type: _Text
    status: _Text
    time_in_force: _Text = ""
    reduce_only: bool = False
    trigger_status: _Text = "na"
    updated_at: Id = 0
    timestamp: Id = 0


class TradeRow(msgspec.Struct, frozen=True):
    """An execution. Fees are millionths of `usd_amount`, those of each role; none where there is no fee."""

    trade_id: Id
    market_id: Market
    type: _Text
    size: Number
    price: Number
    usd_amount: Number
    ask_id: Id
    bid_id: Id
    ask_account_id: Id
    bid_account_id: Id
    is_maker_ask: bool
    timestamp: Id
    ask_client_id: Id = 0
    bid_client_id: Id = 0
    transaction_time: Id = 0
    taker_fee: _Fee | None = None
    maker_fee: _Fee | None = None


class PositionRow(msgspec.Struct, frozen=True):
    """A position: `sign` 1 is long, -1 short. `margin_mode` 0 is cross."""

    market_id: Market
    sign: Annotated[int, msgspec.Meta(ge=-1, le=1)]
    position: Number
    avg_entry_price: Number
    unrealized_pnl: Number = "0"
    margin_mode: int = 0


class AccountRow(msgspec.Struct, frozen=True):
    """An account. `account_trading_mode` 1 is "unified": its spot assets are collateral too."""

    account_index: Id
    collateral: Number
    available_balance: Number
    positions: Annotated[list[PositionRow], _Rows] | None = None
    account_trading_mode: int | None = 0


class AccountsAnswer(Answer, frozen=True):
    """The account that was asked for."""

    accounts: Annotated[list[AccountRow], _Rows] | None = None


class OrdersAnswer(Answer, frozen=True):
    """Orders; `next_cursor` for the next page."""

    orders: Annotated[list[OrderRow], _Rows] | None = None
    next_cursor: _Cursor | None = None


class TradesAnswer(Answer, frozen=True):
    """Executions; `next_cursor` for the next page."""

    trades: Annotated[list[TradeRow], _Rows] | None = None
    next_cursor: _Cursor | None = None


class FundingRow(msgspec.Struct, frozen=True):
    """A funding payment: `change` is what the collateral changed by, `rate` a fraction."""

    timestamp: Id
    market_id: Market
    funding_id: Id
    change: Number
    rate: Number
    position_size: Number
    position_side: _Text


class FundingsAnswer(Answer, frozen=True):
    """Funding payments."""

    position_fundings: Annotated[list[FundingRow], _Rows] | None = None
    next_cursor: _Cursor | None = None


class TransferRow(msgspec.Struct, frozen=True):
    """Money that went from one account to another."""

    id: _Text
    amount: Number
    timestamp: Id
    type: _Text
    from_account_index: int
    to_account_index: int
    asset_id: int


class TransfersAnswer(Answer, frozen=True):
    """Transfers."""

    transfers: Annotated[list[TransferRow], _Rows] | None = None
    cursor: _Cursor | None = None


class KeyRow(msgspec.Struct, frozen=True):
    """An API key of an account."""

    api_key_index: int
    public_key: _Text


class KeysAnswer(Answer, frozen=True):
    """API keys."""

    api_keys: Annotated[list[KeyRow], _Rows] | None = None


class NonceAnswer(Answer, frozen=True, kw_only=True):
    """The number that the next transaction of a key has to have."""

    nonce: Id


class SentAnswer(Answer, frozen=True):
    """The venue took a transaction, which says nothing of what becomes of it."""

    tx_hash: _Text = ""


class AccountFrame(msgspec.Struct, frozen=True):
    """A message of the account's stream, by the numbers of markets. `error` is set in one about a request."""

    type: _Text = ""
    channel: _Text = ""
    orders: dict[str, Annotated[list[OrderRow], _Rows] | None] | None = None
    trades: dict[str, Annotated[list[TradeRow], _Rows] | None] | None = None
    error: Any = None


_decode: Final = msgspec.json.Decoder(AccountFrame).decode


def decode_account_message(message: str | bytes) -> AccountFrame:
    """Return a message of the account's stream. Raises VenueProtocolError."""
    text = message_text(message, MESSAGE_BYTES_MAX)
    try:
        return _decode(text)
    except BROKEN as error:
        raise VenueProtocolError(f"{reason_of(error)} in {clip(text)}") from None
