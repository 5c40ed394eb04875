"""The official Hyperliquid Python SDK works unchanged against the sandbox."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from eth_account import Account
from hyperliquid.utils.types import Cloid

from tests.commands.kit import sandbox
from tests.live.client import ALO, GTC, IOC, Client, closing, status, trading_as, until
from tests.live.kit import KEY


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    address = Account.from_key(KEY).address
    options = ("--account", f"{address}:100000", "--rate-limit", "off", "--history", "600", "--maker")
    with sandbox(*options, "--volume", f"{address}:2000000") as url, closing(Client(url)) as one:
        yield one


def test_info_of_the_market(client: Client) -> None:
    info = client.info
    assert [one["name"] for one in info.meta()["universe"]] == ["BTC", "ETH", "PURR"]
    book = info.l2_snapshot("BTC")
    assert float(book["levels"][0][0]["px"]) < float(book["levels"][1][0]["px"])
    now = int(time.time() * 1000)
    candles = info.candles_snapshot("BTC", "1m", now - 600_000, now)
    assert len(candles) >= 9
    assert set(candles[0]) == {"t", "T", "s", "i", "o", "c", "h", "l", "v", "n"}
    meta, contexts = info.meta_and_asset_ctxs()
    assert len(meta["universe"]) == len(contexts)
    assert all(row["coin"] == "BTC" for row in info.funding_history("BTC", now - 7_200_000))
    assert info.spot_meta()["universe"] == []
    assert info.perp_dexs() == [None]


def test_info_of_an_account(client: Client) -> None:
    info, address = client.info, client.address
    assert float(info.user_state(address)["marginSummary"]["accountValue"]) > 90_000
    assert info.user_role(address) == {"role": "user"}
    assert info.user_fees(address)["userCrossRate"] == "0.00045"
    assert info.extra_agents(address) == []
    assert info.query_order_by_cloid(address, Cloid.from_int(99_999_999)) == {"status": "unknownOid"}
    stranger = "0x" + "ab" * 20
    assert info.open_orders(stranger) == []
    assert info.user_fills(stranger) == []


def test_an_order_rests_is_shown_modified_and_canceled(client: Client) -> None:
    info, exchange, address = client.info, client.exchange, client.address
    price, cloid = round(client.mid() * 0.97), client.cloid()
    resting = status(exchange.order("BTC", True, 0.001, price, GTC, cloid=cloid))["resting"]
    assert resting["cloid"] == cloid.to_raw()
    (shown,) = info.open_orders(address)
    assert (shown["oid"], shown["limitPx"], shown["sz"]) == (resting["oid"], f"{price}.0", "0.001")
    assert info.frontend_open_orders(address)[0]["tif"] == "Gtc"
    assert info.query_order_by_cloid(address, cloid)["order"]["status"] == "open"
    changed = status(exchange.modify_order(resting["oid"], "BTC", True, 0.002, price - 10, GTC, cloid=cloid))
    assert changed["resting"]["oid"] != resting["oid"]
    (shown,) = info.frontend_open_orders(address)
    assert (shown["sz"], shown["cloid"], shown["tif"]) == ("0.002", cloid.to_raw(), "Alo")
    assert status(exchange.cancel_by_cloid("BTC", cloid)) == "success"
    ended = info.query_order_by_cloid(address, cloid)["order"]
    assert (ended["status"], ended["order"]["sz"]) == ("canceled", "0.002"), "its size is kept on cancel"
    again = status(exchange.cancel("BTC", changed["resting"]["oid"]))
    assert again == {"error": "Order was never placed, already canceled, or filled. asset=0"}


def test_market_orders_open_and_close_a_position(client: Client) -> None:
    exchange = client.exchange
    before = client.size()
    filled = status(exchange.market_open("BTC", True, 0.01))["filled"]
    assert filled["totalSz"] == "0.01"
    assert client.size() == pytest.approx(before + 0.01)
    fill = client.info.user_fills(client.address)[0]
    assert (fill["oid"], fill["crossed"], fill["dir"]) == (filled["oid"], True, "Open Long")
    assert float(fill["fee"]) == pytest.approx(float(fill["px"]) * 0.01 * 0.00045, abs=1e-6)
    assert "filled" in status(exchange.market_close("BTC"))
    assert client.size() == 0
    assert client.info.user_fills_by_time(client.address, 0)[-1]["dir"] == "Close Long"


def test_refusals_have_the_texts_of_the_venue(client: Client) -> None:
    exchange, mid = client.exchange, client.mid()
    low, high = round(mid * 0.97), round(mid * 1.03)
    small = status(exchange.order("BTC", True, 0.00001, low, GTC))
    assert small == {"error": "Order must have minimum value of $10. asset=0"}
    post_only = status(exchange.order("BTC", True, 0.001, high, ALO))["error"]
    assert post_only.startswith("Post only order would have immediately matched, bbo was")
    nothing = status(exchange.order("BTC", True, 0.001, low, IOC))["error"]
    assert nothing == "Order could not immediately match against any resting orders. asset=0"
    reduce = status(exchange.order("BTC", True, 0.001, low, GTC, reduce_only=True))["error"]
    assert reduce == "Reduce only order would increase position. asset=0"
    rich = status(exchange.order("BTC", True, 1000, low, GTC))["error"]
    assert rich == "Insufficient margin to place order. asset=0"


def test_batches_brackets_leverage_and_scheduled_cancels(client: Client) -> None:
    exchange, info, address = client.exchange, client.info, client.address
    price = round(client.mid() * 0.97)
    one: Any = {
        "coin": "BTC",
        "is_buy": True,
        "sz": 0.001,
        "limit_px": price,
        "order_type": GTC,
        "reduce_only": False,
    }
    answer = exchange.bulk_orders([one, {**one, "limit_px": price - 1}, {**one, "sz": 0.00001}])
    first, second, third = answer["response"]["data"]["statuses"]
    assert "resting" in first
    assert "resting" in second
    assert "error" in third
    assert len(info.open_orders(address)) == 2
    canceled = exchange.bulk_cancel([{"coin": "BTC", "oid": row["oid"]} for row in info.open_orders(address)])
    assert canceled["response"]["data"]["statuses"] == ["success", "success"]
    stop: Any = {"trigger": {"isMarket": True, "triggerPx": price - 100, "tpsl": "sl"}}
    bracket = [
        one,
        {**one, "is_buy": False, "order_type": stop, "limit_px": price - 200, "reduce_only": True},
    ]
    answer = exchange.bulk_orders(bracket, grouping="normalTpsl")
    assert answer["response"]["data"]["statuses"][1] == "waitingForFill"
    assert (
        status(exchange.cancel("BTC", answer["response"]["data"]["statuses"][0]["resting"]["oid"]))
        == "success"
    )
    assert info.open_orders(address) == []
    assert exchange.update_leverage(5, "BTC") == {"status": "ok", "response": {"type": "default"}}
    assert exchange.update_leverage(5000, "BTC")["status"] == "err"
    soon = int(time.time() * 1000) + 60_000
    assert exchange.schedule_cancel(soon)["status"] == "ok"
    assert exchange.schedule_cancel(None)["status"] == "ok"


def test_every_stream_sends_frames(client: Client) -> None:
    received = {
        name: client.listen(type=name, **more)
        for name, more in {
            "trades": {"coin": "BTC"},
            "l2Book": {"coin": "BTC"},
            "bbo": {"coin": "BTC"},
            "candle": {"coin": "BTC", "interval": "1m"},
            "userFills": {"user": client.address},
            "orderUpdates": {"user": client.address},
        }.items()
    }
    for name in ("trades", "l2Book", "bbo", "candle", "userFills"):
        until(lambda name=name: received[name])  # type: ignore[misc]
    assert len(received["trades"][0]["data"]) == 30, "the first frame has recent trades"
    assert received["userFills"][0]["data"]["isSnapshot"]
    client.exchange.market_open("ETH", True, 0.01)
    fills = until(lambda: [one for one in received["userFills"] if "isSnapshot" not in one["data"]])
    assert fills[0]["data"]["fills"][0]["coin"] == "ETH"
    updates = until(lambda: received["orderUpdates"])
    assert [one["status"] for one in updates[0]["data"]] == ["open", "filled"], "both in one frame"
    assert updates[0]["data"][1]["order"]["sz"] == "0.0"
    client.exchange.market_close("ETH")


def test_an_unknown_signer_and_a_used_nonce_are_refused(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with trading_as(client.base_url, "0x" + "09" * 32) as stranger:
        answer = stranger.order("BTC", True, 0.001, round(client.mid() * 0.97), GTC)
    assert answer["status"] == "err"
    assert answer["response"].endswith("does not exist.")
    bodies: list[Any] = []
    post = client.exchange.post
    monkeypatch.setattr(
        client.exchange, "post", lambda path, body: (bodies.append((path, body)), post(path, body))[1]
    )
    assert client.exchange.update_leverage(4, "BTC")["status"] == "ok"
    assert post(*bodies[0])["status"] == "err", "the same signed action twice"
