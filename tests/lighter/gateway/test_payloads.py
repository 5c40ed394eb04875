"""The venue's payloads about an account, read as the gateway reads them."""

from __future__ import annotations

import pytest

from adapters.lighter.gateway.account_wire import (
    NonceAnswer,
    OrdersAnswer,
    decode_account_message,
)
from adapters.lighter.gateway.memory import Orders
from adapters.lighter.gateway.outcomes import outcome_of
from adapters.lighter.gateway.reading import Reading, end_reason, is_ended, is_fired
from adapters.lighter.gateway.updates import Updates
from adapters.transport.decoding import decode_body
from adapters.transport.http import Answer
from adapters.transport.outcomes import Done, Lost, Refused
from engine.errors import VenueProtocolError
from engine.events import OrderAccepted, OrderFilled, OrderRead
from engine.values import BUY, SELL
from tests.lighter.examples import ETH, LATER_NS, example

NAME = "0xa"


def reading_of(account: int, index: int) -> tuple[Reading, Orders]:
    """Return what reads an account whose order `NAME` has a client index."""
    orders = Orders(list)
    orders._by_index[index] = NAME
    return Reading([ETH], {"ETH": 0}, account, orders.named), orders


def test_an_execution_of_the_account_is_its_fill() -> None:
    reading, orders = reading_of(1234, 7001011966)
    frame = decode_account_message(example("ws_account_all_trades_update"))
    (fill,) = Updates(reading, orders, lambda: LATER_NS, lambda: 0.0).frame(frame)
    assert isinstance(fill, OrderFilled)
    assert (fill.client_order_id, fill.side, fill.price, fill.size) == (NAME, BUY, 235_273, 1_336)
    assert (fill.liquidity, fill.trade_id, fill.venue_order_id) == ("taker", 19209006902, 562947905631053)
    # 314.324728 at 196 millionths, rounded up to six decimals.
    assert fill.fee == 61_608
    assert fill.venue_ns == 1_777_941_384_181_586_902


def test_the_same_execution_from_the_other_side_is_made_at_its_fee() -> None:
    reading, orders = reading_of(91249, 5)
    frame = decode_account_message(example("ws_account_all_trades_update"))
    (fill,) = Updates(reading, orders, lambda: LATER_NS, lambda: 0.0).frame(frame)
    assert isinstance(fill, OrderFilled)
    assert (fill.client_order_id, fill.side, fill.liquidity, fill.fee) == ("", SELL, "maker", 8_802)


def test_an_order_of_the_stream_is_accepted_and_in_part_filled() -> None:
    reading, orders = reading_of(1234, 42)
    frame = decode_account_message(example("ws_account_orders_update"))
    (accepted,) = Updates(reading, orders, lambda: LATER_NS, lambda: 0.0).frame(frame)
    assert isinstance(accepted, OrderAccepted)
    assert (accepted.client_order_id, accepted.venue_order_id) == (NAME, 281476929510110)
    assert orders.number_of(NAME) == 281476929510110


def test_an_order_that_is_read_is_open() -> None:
    reading, _ = reading_of(712440, 42)
    (row,) = decode_body(example("http_orders").encode(), OrdersAnswer).orders or []
    assert reading.answer(row, NAME, 1, 2, 1) == OrderRead(
        2, 1, NAME, 1, "open", 281476929510110, 50, 235_274
    )
    foreign = reading.foreign(row, 1, 2)
    assert foreign is not None
    assert (foreign.client_order_id, foreign.side, foreign.size) == ("42", SELL, 50)


def test_the_next_number_and_a_message_that_is_no_channel_of_ours() -> None:
    assert decode_body(example("http_next_nonce").encode(), NonceAnswer).nonce == 1234567890
    frame = decode_account_message(example("ws_account_all_assets_update"))
    assert (frame.orders, frame.trades, frame.error) == (None, None, None)


@pytest.mark.parametrize(
    ("status", "kind", "trigger", "ended", "fired", "reason"),
    [
        ("pending", "stop-loss", "mark-price", False, False, ""),
        ("open", "stop-loss", "na", False, True, ""),
        ("filled", "take-profit-limit", "na", True, True, ""),
        ("canceled", "stop-loss", "mark-price", True, False, "canceled"),
        ("canceled-reduce-only", "limit", "na", True, False, "reduceOnlyCanceled"),
        ("canceled-self-trade", "limit", "na", True, False, "selfTradeCanceled"),
        ("canceled-oco", "limit", "na", True, False, "ocoCanceled"),
        ("canceled-not-enough-liquidity", "market", "na", True, False, "Ioc: the rest found no liquidity"),
    ],
)
def test_statuses_have_the_engines_words(
    status: str, kind: str, trigger: str, ended: bool, fired: bool, reason: str
) -> None:
    text = example("http_orders").replace('"open"', f'"{status}"').replace('"limit"', f'"{kind}"')
    text = text.replace('"trigger_status": "na"', f'"trigger_status": "{trigger}"')
    (row,) = decode_body(text.encode(), OrdersAnswer).orders or []
    assert (is_ended(row), is_fired(row), end_reason(row)) == (ended, fired, reason)


def test_an_unknown_status_is_an_error() -> None:
    text = example("http_orders").replace('"open"', '"frozen"')
    (row,) = decode_body(text.encode(), OrdersAnswer).orders or []
    with pytest.raises(VenueProtocolError, match="is not a known status"):
        is_ended(row)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b'{"code":200,"tx_hash":"ab"}', Done),
        (200, b'{"code":200}', Lost),
        (200, b'{"code":21104,"message":"invalid nonce"}', Refused),
        (400, b'{"code":21739,"message":"not enough margin to create the order"}', Refused),
        (429, b'{"code":23000,"message":"Too Many Requests!"}', Refused),
        (400, b'{"code":400,"message":"invalid nonce"}', Lost),
        (500, b'{"code":21739,"message":"not enough margin"}', Lost),
        (502, b"<html></html>", Lost),
        (200, b"", Lost),
    ],
)
def test_only_a_clear_answer_is_one(status: int, body: bytes, kind: type) -> None:
    assert isinstance(outcome_of(Answer(status, {}, body)), kind)  # type: ignore[arg-type]
