"""Lighter's messages and answers about an account, as bytes that anybody may have changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from adapters.lighter.gateway.account_wire import (
    AccountsAnswer,
    FundingsAnswer,
    OrdersAnswer,
    SentAnswer,
    TradesAnswer,
    TransfersAnswer,
    decode_account_message,
)
from adapters.lighter.gateway.memory import Orders, client_index
from adapters.lighter.gateway.outcomes import outcome_of
from adapters.lighter.gateway.reading import Reading
from adapters.lighter.gateway.updates import Updates
from adapters.transport.decoding import decode_body
from adapters.transport.http import Answer
from engine.events import InstrumentListed

__all__ = ["lighter_account", "seeds"]

_AT_NS: Final = 1_790_000_043_000_000_000
_AT_MS: Final = _AT_NS // 1_000_000
_ETH: Final = InstrumentListed(0, 1, "lighter", "ETH", 2, 4, silence="none", ids="sequence")
_NAME: Final = "0xa"
_ACCOUNT: Final = 1234


def lighter_account(data: bytes) -> None:
    """A message of the account's channels, or an answer about it; the first byte chooses."""
    kind, body = data[:1], data[1:]
    orders = Orders(lambda: [_NAME])
    reading = Reading([_ETH], {"ETH": 0}, _ACCOUNT, orders.named)
    events: list[Any] = []
    if kind == b"w":
        updates = Updates(reading, orders, lambda: _AT_NS, lambda: 0.0)
        events += updates.frame(decode_account_message(body))
    elif kind == b"o":
        for row in decode_body(body, OrdersAnswer).orders or []:
            events.append(reading.foreign(row, _AT_NS, _AT_NS))
            events.append(reading.answer(row, _NAME, _AT_NS, _AT_NS, 1))
    elif kind == b"t":
        for trade in decode_body(body, TradesAnswer).trades or []:
            events += reading.fills(trade, _AT_NS)
    elif kind == b"a":
        for account in decode_body(body, AccountsAnswer).accounts or []:
            events += reading.positions(account, _AT_NS, _AT_NS)
            reading.money(account)
    elif kind == b"f":
        events += [
            reading.funding(row, _AT_NS) for row in decode_body(body, FundingsAnswer).position_fundings or []
        ]
    elif kind == b"m":
        events += [
            reading.transfer(row, _AT_NS) for row in decode_body(body, TransfersAnswer).transfers or []
        ]
    elif kind == b"s":
        outcome_of(Answer(200, {}, body))  # type: ignore[arg-type]
        decode_body(body, SentAnswer)
    msgspec.msgpack.encode([event for event in events if event is not None])


def seeds() -> Iterator[bytes]:
    """Return one message of each kind, as the venue sends it."""
    order = {
        "order_index": 1 << 48,
        "client_order_index": client_index(_NAME),
        "market_index": 0,
        "initial_base_amount": "0.0050",
        "remaining_base_amount": "0.0030",
        "filled_base_amount": "0.0020",
        "price": "2352.74",
        "is_ask": True,
        "type": "stop-loss-limit",
        "time_in_force": "good-till-time",
        "reduce_only": False,
        "status": "canceled-self-trade",
        "trigger_status": "na",
        "updated_at": _AT_MS,
    }
    trade = {
        "trade_id": 9,
        "type": "trade",
        "market_id": 0,
        "size": "0.1336",
        "price": "2352.73",
        "usd_amount": "314.324728",
        "ask_id": 1,
        "bid_id": 2,
        "ask_account_id": 7,
        "bid_account_id": _ACCOUNT,
        "bid_client_id": client_index(_NAME),
        "is_maker_ask": True,
        "timestamp": _AT_MS,
        "transaction_time": _AT_MS * 1000,
        "taker_fee": 196,
    }
    channel = {"type": "update/account_all_orders", "channel": f"account_all_orders:{_ACCOUNT}"}
    for status in ("open", "pending", "filled", "canceled"):
        yield b"w" + _json({**channel, "orders": {"0": [{**order, "status": status}]}})
    yield b"w" + _json({"type": "update/account_all_trades", "trades": {"0": [trade], "1": None}})
    yield b"w" + _json({"error": {"code": 20013, "message": "invalid auth"}})
    yield b"o" + _json({"code": 200, "orders": [order]})
    yield b"t" + _json({"code": 200, "trades": [trade]})
    position = {"market_id": 0, "sign": -1, "position": "0.5", "avg_entry_price": "2000.00"}
    account = {
        "account_index": _ACCOUNT,
        "collateral": "10.5",
        "available_balance": "9",
        "positions": [position],
    }
    yield b"a" + _json({"code": 200, "accounts": [account]})
    payment = {"timestamp": _AT_MS // 1000, "market_id": 0, "funding_id": 3, "change": "-0.02"}
    payment |= {"rate": "0.0001", "position_size": "2", "position_side": "long"}
    yield b"f" + _json({"code": 200, "position_fundings": [payment]})
    moved = {"id": "1", "amount": "2.5", "timestamp": _AT_MS, "type": "L2TransferInflow", "asset_id": 3}
    yield b"m" + _json({"transfers": [{**moved, "from_account_index": 1, "to_account_index": _ACCOUNT}]})
    yield b"s" + _json({"code": 200, "tx_hash": "ab", "predicted_execution_time_ms": _AT_MS})
    yield b"s" + _json({"code": 21104, "message": "invalid nonce"})


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
