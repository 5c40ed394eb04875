"""User data and answers of the venue's examples become the right events; damaged ones cost themselves."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from adapters.binance.gateway.account_wire import (
    AccountUpdate,
    AlgoEvent,
    BalanceUpdate,
    Ended,
    ExecutionReport,
    Income,
    OrderEvent,
    OrderRow,
    OtherEvent,
    SpotAccount,
    TradeRow,
    WsAnswer,
    decode_user_message,
)
from adapters.binance.gateway.outcomes import outcome_of
from adapters.binance.gateway.reading import Found, Reading, end_reason
from adapters.transport.outcomes import Done, Lost, Refused
from engine.errors import VenueProtocolError
from engine.values import BUY, SELL
from tests.binance.gateway.venue import listed_perp, listed_spot
from tests.profiles import pick

EXAMPLES = Path(__file__).parents[4] / "shared" / "exchanges" / "binance"
NOW = 1_800_000_000_000_000_000


def example(name: str) -> str:
    path = EXAMPLES / f"{name}.json"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path.read_text(encoding="utf-8")


def fill_of(event: Any, reading: Reading, own: str = "") -> Any:
    row = event if isinstance(event, ExecutionReport) else event.order
    return reading.fill(
        row.symbol,
        BUY if row.side == "BUY" else SELL,
        row.last_price,
        row.last_size,
        (row.fee or "0", row.fee_asset or ""),
        row.maker,
        (row.trade_id, row.order_id),
        row.time,
        row.client_id,
        own,
        NOW,
    )


def test_a_spot_execution() -> None:
    event = decode_user_message(example("user_spot_execution_report_trade"))
    assert isinstance(event, ExecutionReport)
    fill = fill_of(event, Reading([listed_spot(7, "ETHUSDT", 2, 4)]))
    assert (fill.instrument, fill.side, fill.price, fill.size) == (7, BUY, 250_000, 10_000)
    assert (fill.fee, fill.fee_asset, fill.liquidity) == (1000, "ETH", "maker")  # 0.001 at 6 decimals
    assert (fill.trade_id, fill.venue_order_id, fill.venue_ns) == (
        98765432,
        12345678,
        1709654401 * 10**9 + 765432,
    )


def test_a_spot_cancel_names_the_order_in_another_member() -> None:
    event = decode_user_message(example("user_spot_execution_report_canceled"))
    assert isinstance(event, ExecutionReport)
    assert (event.what, event.status, event.original, event.order_id) == (
        "CANCELED",
        "CANCELED",
        "",
        12345678,
    )
    assert end_reason(event.status, event.tif) == "canceled"


def test_a_futures_execution() -> None:
    event = decode_user_message(example("user_futures_order_update_trade"))
    assert isinstance(event, OrderEvent)
    fill = fill_of(event, Reading([listed_perp(1, "BTCUSDT", 2, 3)]))
    assert (fill.price, fill.size, fill.fee, fill.fee_asset) == (710_050, 1, 1000, "")  # 0.01 at 5 decimals
    assert (fill.trade_id, fill.venue_order_id, fill.liquidity) == (12345678, 8886774, "maker")


def test_a_fee_in_another_asset_is_named_and_exact() -> None:
    reading = Reading([listed_perp(1, "BTCUSDT", 2, 3)])
    common = ("BTCUSDT", BUY, "100.00", "1.000")
    fill = reading.fill(*common, ("0.000010001", "BNB"), False, (1, 2), 1_700_000_000_000, "x", "", NOW)
    assert fill is not None
    assert (fill.fee, fill.fee_asset, fill.price, fill.finer) == (10_001, "BNB", 100_000_000, 4)


def test_a_fee_in_the_bought_coin_is_exact() -> None:
    reading = Reading([listed_spot(1, "BTCUSDT", 2, 4)])
    common = ("BTCUSDT", BUY, "100.01", "1.5000")
    base = listed_spot(1, "BTCUSDT", 2, 4).rules.base
    fill = reading.fill(*common, ("0.00010001", base), False, (1, 2), 1_700_000_000_000, "x", "", NOW)
    assert fill is not None
    assert (fill.fee, fill.fee_asset, fill.price, fill.size, fill.finer) == (10001, base, 1000100, 15000, 2)


def test_a_spot_balance_is_whole_steps_and_a_rest() -> None:
    listed = msgspec.structs.replace(listed_spot(1, "BTCUSDT", 2, 4), size_step=5)
    reading = Reading([listed])
    row = {"asset": listed.rules.base, "free": "0.00109999", "locked": "0.0002"}
    account = msgspec.json.decode(json.dumps({"balances": [row]}), type=SpotAccount, strict=False)
    (read,) = reading.balances(account, NOW, NOW)
    assert (read.size, read.scale, read.rest) == (10, 8, 29_999)


@pytest.mark.parametrize(
    ("client_id", "cause"),
    [
        ("autoclose-123", "liquidation"),
        ("adl_autoclose", "adl"),
        ("settlement_autoclose-1", ""),
        ("web_1", ""),
    ],
)
def test_the_venues_own_orders_on_the_account_have_a_cause(client_id: str, cause: str) -> None:
    reading = Reading([listed_perp(1, "BTCUSDT", 2, 3)])
    common = ("BTCUSDT", SELL, "100.00", "1.000", ("0", "USDT"))
    fill = reading.fill(*common, False, (1, 2), 1_700_000_000_000, client_id, "", NOW)
    assert fill is not None
    assert fill.cause == cause


def test_every_other_example_of_user_data_decodes() -> None:
    assert isinstance(decode_user_message(example("user_futures_order_update_new")), OrderEvent)
    assert isinstance(decode_user_message(example("user_spot_execution_report_new")), ExecutionReport)
    assert decode_user_message(example("user_futures_account_update")).changes.reason == "ORDER"  # type: ignore[union-attr]
    wrapped = decode_user_message(example("user_spot_account_position_wrapped"))
    assert wrapped == OtherEvent("outboundAccountPosition")


def test_what_ends_a_stream_and_what_answers_a_request() -> None:
    expired = decode_user_message('{"e":"listenKeyExpired","E":1,"listenKey":"k"}')
    ended = decode_user_message('{"subscriptionId":0,"event":{"e":"eventStreamTerminated","E":1}}')
    assert (expired, ended) == (Ended("listenKeyExpired"), Ended("eventStreamTerminated"))
    answer = decode_user_message('{"id":1,"status":200,"result":{"subscriptionId":0}}')
    assert answer == WsAnswer(1, 200)


def test_a_stop_that_fires_names_the_order_that_it_fired() -> None:
    text = (
        '{"e":"ALGO_UPDATE","T":1750515742297,"E":1750515742303,"o":{"caid":"mine","aid":2148719,'
        '"at":"CONDITIONAL","o":"STOP","s":"BTCUSDT","S":"SELL","ps":"BOTH","f":"IOC","q":"0.01",'
        '"X":"TRIGGERED","ai":"22542179","tp":"750","p":"700","R":true,"tt":0,"gtd":0,"rm":""}}'
    )
    event = decode_user_message(text)
    assert isinstance(event, AlgoEvent)
    assert (event.algo.client_id, event.algo.status, event.algo.fired) == ("mine", "TRIGGERED", 22542179)


def test_answers_about_orders() -> None:
    reading = Reading([listed_spot(1, "LTCBTC", 2, 2)])
    row = msgspec.json.decode(example("http_spot_query_order"), type=OrderRow)
    read = reading.answer(Found(row), "mine", 5, 6, 1)
    assert (read.state, read.size, read.limit_price, read.venue_order_id) == ("open", 100, 10, 1)
    canceled = msgspec.json.decode(example("http_spot_cancel_order"), type=OrderRow)
    assert (canceled.client_order_id, canceled.orig_client_order_id) == ("cancelMyOrder1", "myOrder1")
    placed = msgspec.json.decode(example("http_spot_new_order_full"), type=OrderRow)
    assert (placed.order_id, placed.status, placed.executed_qty) == (28, "FILLED", "10.00000000")
    futures = msgspec.json.decode(example("http_futures_order"), type=OrderRow)
    assert (futures.order_id, futures.reduce_only, futures.price) == (12345678, False, "50000.00")
    account = msgspec.json.decode(example("http_spot_account"), type=SpotAccount)
    assert str(reading.held(account)["BTC"]) == "4723846.89208129"


def test_an_execution_that_is_read_is_the_one_that_was_streamed() -> None:
    reading = Reading([listed_perp(1, "BTCUSDT", 2, 3)])
    row = TradeRow(
        "BTCUSDT",
        12345678,
        8886774,
        "7100.50",
        "0.001",
        "0.01",
        "USDT",
        1568879465651,
        buyer=True,
        maker=True,
    )
    streamed = fill_of(decode_user_message(example("user_futures_order_update_trade")), reading)
    assert reading.trade(row, "TEST", "", NOW) == streamed


@pytest.mark.parametrize(
    ("kind", "asset", "transfer"),
    [
        ("TRANSFER", "USDT", True),
        ("COMMISSION", "USDT", False),
        ("REALIZED_PNL", "USDT", False),
        ("WELCOME_BONUS", "BNB", True),
    ],
)
def test_money_that_is_no_fill_is_a_transfer(kind: str, asset: str, transfer: bool) -> None:
    moved = Reading([listed_perp(1, "BTCUSDT", 2, 3)]).transfer(
        Income(kind, "-1.5", asset, 1_700_000_000_000, 9), NOW
    )
    assert (moved is not None) is transfer
    if moved is not None:
        assert (moved.amount, moved.asset) == (-150_000_000, "" if asset == "USDT" else asset)


def test_funding_is_a_payment() -> None:
    row = Income("FUNDING_FEE", "-0.01", "USDT", 1_700_000_000_000, 9, "BTCUSDT")
    paid = Reading([listed_perp(1, "BTCUSDT", 2, 3)]).funding(row, NOW)
    assert paid is not None
    assert (paid.amount, paid.scale, paid.instrument) == (-(10**16), 18, 1)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, "{}", Done),
        (400, '{"code":-2010,"msg":"Account has insufficient balance for requested action."}', Refused),
        (400, '{"code":-2019,"msg":"Margin is insufficient."}', Refused),
        (400, '{"code":-1007,"msg":"Timeout waiting for response from backend server."}', Lost),
        (400, '{"code":-1006,"msg":"An unexpected response was received."}', Lost),
        (400, "<html>", Lost),
        (403, '{"code":-1,"msg":"x"}', Lost),
        (429, '{"code":-1003,"msg":"Too many requests."}', Refused),
        (503, '{"code":-1001,"msg":"Unknown error"}', Lost),
        (500, "", Lost),
        (302, "", Lost),
    ],
)
def test_only_a_clear_refusal_is_one(status: int, body: str, kind: type) -> None:
    assert type(outcome_of(status, body.encode())) is kind


def test_an_id_that_is_taken_is_no_refusal_of_the_order() -> None:
    for body in (
        '{"code":-4116,"msg":"ClientOrderId is duplicated."}',
        '{"code":-2010,"msg":"Duplicate order sent."}',
    ):
        outcome = outcome_of(400, body.encode())
        assert isinstance(outcome, Refused)
        assert outcome.taken


def test_damaged_messages_are_refused_and_nothing_else() -> None:
    names = (
        "user_futures_order_update_trade",
        "user_spot_execution_report_trade",
        "user_futures_account_update",
    )
    texts = [example(name) for name in names]
    random = Random(17)
    kinds = (
        ExecutionReport,
        OrderEvent,
        AlgoEvent,
        AccountUpdate,
        BalanceUpdate,
        Ended,
        OtherEvent,
        WsAnswer,
    )
    for _ in range(pick(500, deep=20_000)):
        text = random.choice(texts)
        cut = random.randrange(len(text))
        letter = random.choice('{}[]":,09-eE.x\\\x00')
        damaged = random.choice(
            (text[:cut], text[:cut] + letter + text[cut + 1 :], text[cut:], letter + text)
        )
        try:
            assert isinstance(decode_user_message(damaged), kinds)
        except VenueProtocolError:
            continue


def test_deep_and_huge_messages_are_refused() -> None:
    for text in (
        "[" * 100_000,
        '{"e":' * 50_000,
        json.dumps({"e": "x" * 5000}),
        '{"e":"ALGO_UPDATE","o":1e999}',
    ):
        with pytest.raises(VenueProtocolError):
            decode_user_message(text)
