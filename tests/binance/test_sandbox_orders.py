"""Real orders on the sandbox over its sockets: the engine's, and those of python-binance, unchanged."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from adapters.binance.gateway.keys import Signer
from adapters.exchange.options import SandboxOptions
from adapters.exchange.server import LocalExchange
from engine.commands.planning import LiveOptions, make_plan
from engine.config import BarsConfig, Config, RiskConfig, StrategyConfig, VenueConfig
from engine.events import (
    AccountAdjusted,
    AccountRead,
    OrderFilled,
    OrderRejected,
    PositionDiffers,
    PositionRead,
    SessionStarted,
)
from engine.loading.strategies import make_builder
from engine.runtime.live import Live
from tests.binance.gateway.kit import API_KEY, SECRET
from tests.binance.stage import KINDS, events, replays, settings_of, staged

ACCOUNT = (f"{API_KEY}:{SECRET}", "100000")


@pytest.mark.parametrize("kind", ["binance", "binance-usdm"])
async def test_a_session_buys_rests_protects_and_closes(kind: str, paced_clock: Any, tmp_path: Path) -> None:
    async with staged(kind, accounts=(ACCOUNT,), maker=True) as stage:
        config = msgspec.structs.replace(
            settings_of(stage, (), "aggregate"),
            mode="live",
            bars=BarsConfig(intervals=("5s",)),
            strategies=(StrategyConfig(use="tests.binance.traders:Round"),),
            risk=RiskConfig(max_orders_per_minute=0, on_stop="cancel"),
            venue=VenueConfig(network="sandbox"),
        )
        signer = Signer(f"{API_KEY} {SECRET}", "main")
        options = LiveOptions(config=config, root=tmp_path, venue=KINDS[kind][1](), signer=signer)
        live = Live(await make_plan(options, stage.base_url), lambda _: None)
        async with trio.open_nursery() as nursery:

            async def drive() -> None:
                await trio.sleep(36)
                live.stop("script")

            nursery.start_soon(drive)
            await live.run()
        account = stage.protocol.trading.accounts[0]
    found = events(tmp_path)
    fills = [one for one in found if isinstance(one, OrderFilled)]
    theirs = [(one.number, one.order.number, one.size) for one in account.trades]
    assert [(one.trade_id, one.venue_order_id, one.size) for one in fills] == theirs
    assert len(fills) >= 2
    assert not account.orders, "nothing is left open"
    assert all(not held.size for held in account.positions.values())
    assert [one for one in found if isinstance(one, PositionDiffers | AccountAdjusted)] == []
    assert [one.reason for one in found if isinstance(one, OrderRejected)] == []
    assert any(isinstance(one, AccountRead) for one in found)
    assert [one for one in found if isinstance(one, PositionRead)][-1].size == 0
    stops = [(one.status, one.reduce_only) for one in account.algos.values()]
    assert stops == ([("CANCELED", True)] if kind == "binance-usdm" else [])
    replays(tmp_path)


def client_of(base_url: str) -> Any:
    """Return python-binance's client; skip without it."""
    module = pytest.importorskip("binance.client", reason="python-binance is not installed")
    client = module.Client(API_KEY, SECRET, ping=False)
    client.API_URL, client.FUTURES_URL = f"{base_url}/api", f"{base_url}/fapi"
    return client


def trade_futures(base_url: str) -> None:
    """Trade on USD-M with python-binance."""
    client = client_of(base_url)
    book = client.futures_order_book(symbol="BTCUSDT", limit=5)
    bid, ask = Decimal(book["bids"][0][0]), Decimal(book["asks"][0][0])
    bought = client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01")
    assert (bought["status"], bought["executedQty"]) == ("FILLED", "0.01")
    (held,) = client.futures_position_information(symbol="BTCUSDT")
    assert held["positionAmt"] == "0.01000" or Decimal(held["positionAmt"]) == Decimal("0.01")
    low, high = f"{bid * Decimal('0.9'):.0f}", f"{ask * Decimal('1.1'):.0f}"
    rest = client.futures_create_order(
        symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTX", quantity="0.01", price=low
    )
    for kind, price in (("STOP_MARKET", low), ("TAKE_PROFIT_MARKET", high)):
        client.futures_create_order(
            symbol="BTCUSDT", side="SELL", type=kind, quantity="0.01", triggerPrice=price, reduceOnly="true"
        )
    assert [one["orderId"] for one in client.futures_get_open_orders(symbol="BTCUSDT")] == [rest["orderId"]]
    stops = client.futures_get_open_orders(symbol="BTCUSDT", conditional=True)
    assert [one["orderType"] for one in stops] == ["STOP_MARKET", "TAKE_PROFIT_MARKET"]
    asked = client.futures_get_order(symbol="BTCUSDT", orderId=rest["orderId"])
    assert (asked["status"], asked["timeInForce"]) == ("NEW", "GTX")
    client.futures_cancel_order(symbol="BTCUSDT", orderId=rest["orderId"])
    for one in stops:
        client.futures_cancel_order(symbol="BTCUSDT", algoId=one["algoId"])
    client.futures_create_order(
        symbol="BTCUSDT", side="SELL", type="MARKET", quantity="0.01", reduceOnly="true"
    )
    assert len(client.futures_account_trades(symbol="BTCUSDT")) >= 2
    assert client.futures_position_information(symbol="BTCUSDT") == []
    error = sys.modules["binance.exceptions"].BinanceAPIException
    with pytest.raises(error, match="ReduceOnly"):
        client.futures_create_order(
            symbol="BTCUSDT", side="SELL", type="MARKET", quantity="0.01", reduceOnly="true"
        )
    assert client.futures_account()["assets"][0]["asset"] == "USDT"
    assert client.futures_stream_get_listen_key()


def trade_spot(base_url: str) -> None:
    """Trade on spot with python-binance."""
    client = client_of(base_url)
    ask = Decimal(client.get_order_book(symbol="BTCUSDT", limit=5)["asks"][0][0])
    bought = client.order_market_buy(symbol="BTCUSDT", quantity="0.01")
    assert (bought["status"], bought["fills"][0]["commissionAsset"]) == ("FILLED", "BTC")
    rest = client.order_limit_buy(symbol="BTCUSDT", quantity="0.01", price=f"{ask * Decimal('0.9'):.0f}")
    assert [one["orderId"] for one in client.get_open_orders(symbol="BTCUSDT")] == [rest["orderId"]]
    canceled = client.cancel_order(symbol="BTCUSDT", orderId=rest["orderId"])
    assert (canceled["status"], canceled["origClientOrderId"]) == ("CANCELED", rest["clientOrderId"])
    held = {one["asset"]: Decimal(one["free"]) for one in client.get_account()["balances"]}
    assert held["BTC"] == Decimal("0.00999")
    assert [one["isBuyer"] for one in client.get_my_trades(symbol="BTCUSDT")] == [True] * len(bought["fills"])


@pytest.mark.parametrize(("kind", "trade"), [("binance-usdm", trade_futures), ("binance", trade_spot)])
async def test_python_binance_trades_on_the_sandbox(kind: str, trade: Any) -> None:
    pytest.importorskip("binance.client", reason="python-binance is not installed")
    options = SandboxOptions(
        port=0, instruments=("BTC",), accounts=(ACCOUNT,), rate_limit=False, history_s=60
    )
    exchange = LocalExchange(options, KINDS[kind][0])
    async with trio.open_nursery() as nursery:
        address = await nursery.start(exchange.serve)
        with trio.fail_after(300):
            await trio.to_thread.run_sync(trade, address.base_url)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("network", "account", "same"),
    [("testnet", "main", True), ("mainnet", "main", False), ("testnet", "other", False)],
)
def test_the_state_of_one_account_is_never_taken_for_that_of_another(
    network: str, account: str, same: bool
) -> None:
    def signature(network: str, account: str) -> str:
        own = {"binance": {"network": network, "account": account}}
        config = Config(mode="live", venues=own)  # type: ignore[arg-type]
        text = config.canonical()
        started = SessionStarted(0, "0" * 16, "live", "", "", "", (), text)
        return next(one.signature for one in make_builder()(started) if one.name == "books")

    assert (signature("testnet", "main") == signature(network, account)) is same
