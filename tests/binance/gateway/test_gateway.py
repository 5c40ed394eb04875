"""One order, one stop, one lost answer: what the gateway reports, on futures and on spot."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from adapters.binance.gateway.access import check_access
from adapters.binance.gateway.dialects import SPOT, USDM
from adapters.binance.gateway.gateway import BinanceGateway
from adapters.binance.gateway.keys import Signer
from adapters.transport.governor import Governor
from engine.clock import SystemClock
from engine.errors import SafetyRefusal
from engine.events import (
    AccountRead,
    ForeignOrderSeen,
    GatewayDown,
    ModifyOrder,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderModified,
    OrderRead,
    OrderRejected,
    OrderUnknown,
    QueryOrder,
    SetLeverage,
    SubmitOrder,
    TransferSeen,
)
from engine.events.account import LeverageAnswered
from engine.events.terms import CLOSE
from engine.values import BUY, SELL
from engine.venue import Account
from tests.binance.gateway.kit import API_KEY, BASE_URL, LIMITS, SECRET
from tests.binance.gateway.venue import MemoryVenue, listed_perp, listed_spot
from tests.venues.staging import BTC, MakeGateway, Stage, cancel, name, order, positions, virtual_time


def make_gateway(venue: MemoryVenue, reconcile_s: float) -> MakeGateway:
    """Return what makes a gateway on an account of the venue."""

    def make(clock: SystemClock, send: Any, account: Account) -> BinanceGateway:
        return BinanceGateway(
            name="gateway",
            dialect=venue.dialect,
            base_url=BASE_URL,
            network="sandbox",
            signer=Signer(f"{API_KEY} {SECRET}", "main"),
            instruments=venue.instruments,
            clock=clock,
            jitter=lambda: 0.5,
            send=send,
            governor=Governor(LIMITS),
            account=account,
            reconcile_s=reconcile_s,
            dial=venue.dial,
            transports=venue.http,
        )

    return make


@asynccontextmanager
async def staged(
    *, spot: bool = False, before: Any = None, reconcile_s: float = 60.0, also: Any = ()
) -> AsyncIterator[Stage]:
    listed = listed_spot(BTC, "BTCUSDT", 2, 3) if spot else listed_perp(BTC, "BTCUSDT", 2, 3)
    clock = SystemClock()
    async with trio.open_nursery() as nursery:
        venue = MemoryVenue(nursery, [*also, listed], clock.now_ns, spot=spot)
        venue.quote(BTC, 9_990, 10_010)
        if before is not None:
            before(venue)
        stage = Stage(venue, make_gateway(venue, reconcile_s))
        nursery.start_soon(stage.gateway.run)
        await stage.until(AccountRead)
        yield stage
        nursery.cancel_scope.cancel()


@pytest.fixture(autouse=True)
def virtual() -> Iterator[None]:
    with virtual_time():
        yield


@pytest.mark.parametrize("spot", [False, True])
async def test_a_limit_order_is_placed_filled_and_reconciled(autojump_clock: MockClock, spot: bool) -> None:
    async with staged(spot=spot) as stage:
        stage.do(order(stage, 1, BUY, 2000, 9_900))
        (accepted,) = await stage.until(OrderAccepted)
        row = stage.venue.ask("GET", "order", {"symbol": "BTCUSDT", "origClientOrderId": name(1)})
        assert (accepted.client_order_id, accepted.venue_order_id) == (name(1), row["orderId"])
        stage.venue.quote(BTC, 9_880, 9_890)
        (fill,) = await stage.until(OrderFilled)
        fee = (fill.fee, fill.fee_asset)
        assert (fill.client_order_id, fill.price, fill.size, fill.liquidity) == (
            name(1),
            9_900,
            2000,
            "maker",
        )
        assert fee == ((200, "BTC") if spot else (3960, ""))  # 0.1 % of 2 BTC; 0.02 % of 198 USDT
        stage.live.clear()
        stage.venue.drop_connections()
        await stage.until(AccountRead, count=2)
        assert positions(stage)[-1] == (1998 if spot else 2000)
        assert len(stage.of(OrderFilled)) == 1, "the fill is read again and not reported again"


@pytest.mark.parametrize("spot", [False, True])
async def test_an_order_at_the_market_is_an_ioc_with_a_bound_whose_rest_ends(
    autojump_clock: MockClock, spot: bool
) -> None:
    async with staged(spot=spot) as stage:
        stage.venue.quote(BTC, 9_990, 10_010, size=500)
        stage.do(order(stage, 1, BUY, 2000))
        (end,) = await stage.until(OrderCanceled)
        kinds = [type(one) for one in stage.events if isinstance(one, OrderFilled | OrderCanceled)]
        assert kinds == [OrderFilled, OrderCanceled], "the end follows the fill"
        assert (end.remaining, end.reason) == (1500, "Ioc: the rest found no liquidity")


@pytest.mark.parametrize("spot", [False, True])
async def test_an_end_waits_for_fills_whose_messages_are_lost(autojump_clock: MockClock, spot: bool) -> None:
    async with staged(spot=spot) as stage:
        stage.venue.quote(BTC, 9_990, 10_010, size=500)
        stage.venue.faults.arm("drop", 2, scope="user")  # the order is new, and filled in part
        stage.do(order(stage, 1, BUY, 2000))
        await stage.until(OrderCanceled)
        kinds = [type(one) for one in stage.events if isinstance(one, OrderFilled | OrderCanceled)]
        assert kinds == [OrderFilled, OrderCanceled]
        assert stage.venue.faults.fired["drop"] == 2


@pytest.mark.parametrize("spot", [False, True])
@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"limit": 10_020, "tif": "Alo"}, "post only"),
        ({"limit": 9_900, "size": 10}, "min value"),
        ({"limit": 9_900, "size": 200_000_000}, ""),
    ],
)
async def test_refusals_carry_the_words_of_the_engine(
    autojump_clock: MockClock, spot: bool, more: dict[str, Any], words: str
) -> None:
    words = words or ("balance" if spot else "margin")
    async with staged(spot=spot) as stage:
        given = {"limit": 9_900, "size": 2000, **more}
        stage.do(order(stage, 1, BUY, given.pop("size"), given.pop("limit"), **given))
        (refused,) = await stage.until(OrderRejected)
        assert refused.reason.startswith(words)


async def test_reduce_only_without_a_position_is_refused_in_the_engines_words(
    autojump_clock: MockClock,
) -> None:
    async with staged() as stage:
        stage.do(order(stage, 1, SELL, 2000, 9_900, reduce_only=True, role=CLOSE))
        (refused,) = await stage.until(OrderRejected)
        assert "reduceonly" in refused.reason.lower().replace(" ", "")


@pytest.mark.parametrize("spot", [False, True])
@pytest.mark.parametrize("fault", ["lost-reply", "late-reply", "swallow", "5xx"])
async def test_an_unknown_outcome_is_asked_about_and_never_sent_again(
    autojump_clock: MockClock, spot: bool, fault: str
) -> None:
    async with staged(spot=spot) as stage:
        stage.venue.faults.arm(fault, scope="exchange")
        stage.do(order(stage, 1, BUY, 2000, 9_900))
        (unknown,) = await stage.until(OrderUnknown)
        await trio.sleep(10)
        stage.do(QueryOrder(0, name(1), BTC, 1))
        (read,) = await stage.until(OrderRead)
        taken = fault in ("lost-reply", "late-reply")
        assert (unknown.client_order_id, read.state) == (name(1), "open" if taken else "absent")
        posts = [one for one in stage.venue.requests if one == ("POST", stage.venue.dialect.path("order"))]
        assert len(posts) == taken


async def test_an_order_that_waited_too_long_is_not_sent(autojump_clock: MockClock) -> None:
    async with staged() as stage:
        command = order(stage, 1, BUY, 2000, 9_900)
        await trio.sleep(6)
        stage.do(command)
        (refused,) = await stage.until(OrderRejected)
        assert refused.reason == "not sent: it was due to expire before it could be sent"
        assert ("POST", "/fapi/v1/order") not in stage.venue.requests


async def test_a_late_order_is_refused_by_the_venue(autojump_clock: MockClock) -> None:
    async with staged() as stage:
        command = order(stage, 1, BUY, 2000, 9_900)
        now_ns = stage.venue.now_ns
        stage.venue.now_ns = lambda: now_ns() + 6 * 10**9  # the venue's clock when it arrives
        stage.do(command)
        (refused,) = await stage.until(OrderRejected)
        assert refused.reason.startswith("expired before it arrived")


@pytest.mark.parametrize("spot", [False, True])
async def test_a_client_id_that_the_venue_has_is_asked_about(autojump_clock: MockClock, spot: bool) -> None:
    async with staged(spot=spot) as stage:
        stage.do(order(stage, 1, BUY, 2000, 9_900))
        await stage.until(OrderAccepted)
        stage.do(order(stage, 1, BUY, 2000, 9_900))
        await stage.until(OrderUnknown)
        assert len(stage.venue.ask("GET", "openOrders")) == 1


@pytest.mark.parametrize("spot", [False, True])
async def test_a_cancel_ends_the_order_and_a_second_one_is_refused(
    autojump_clock: MockClock, spot: bool
) -> None:
    async with staged(spot=spot) as stage:
        stage.do(order(stage, 1, BUY, 2000, 9_900))
        await stage.until(OrderAccepted)
        stage.do(cancel(1))
        (end,) = await stage.until(OrderCanceled)
        assert (end.client_order_id, end.remaining, end.reason) == (name(1), 2000, "canceled")


async def test_futures_change_an_order_in_place_and_count_what_is_filled(autojump_clock: MockClock) -> None:
    async with staged() as stage:
        stage.do(order(stage, 1, BUY, 2000, 9_900))
        (accepted,) = await stage.until(OrderAccepted)
        stage.venue.trading.add_trade("BTCUSDT", 9_900, 500, SELL, stage.venue.now_ms)
        await stage.until(OrderFilled)
        stage.do(ModifyOrder(0, name(1), BTC, BUY, 700, 9_910, "Gtc", False))
        (changed,) = await stage.until(OrderModified)
        assert (changed.venue_order_id, changed.size) == (accepted.venue_order_id, 700)
        row = stage.venue.ask("GET", "order", {"symbol": "BTCUSDT", "origClientOrderId": name(1)})
        assert (row["origQty"], row["executedQty"], row["price"]) == ("1.2", "0.5", "99.1")


async def test_spot_reduces_an_order_in_place(autojump_clock: MockClock) -> None:
    async with staged(spot=True) as stage:
        stage.do(order(stage, 1, BUY, 2000, 9_900))
        await stage.until(OrderAccepted)
        stage.do(ModifyOrder(0, name(1), BTC, BUY, 800, 9_900, "Gtc", False))
        (changed,) = await stage.until(OrderModified)
        assert changed.size == 800
        assert ("PUT", "/api/v3/order/amend/keepPriority") in stage.venue.requests


async def test_spot_replaces_an_order_under_its_client_id_and_knows_the_old_one_from_the_new(
    autojump_clock: MockClock,
) -> None:
    async with staged(spot=True) as stage:
        stage.do(order(stage, 1, BUY, 2000, 9_900))
        (accepted,) = await stage.until(OrderAccepted)
        stage.do(ModifyOrder(0, name(1), BTC, BUY, 2000, 9_910, "Gtc", False))
        (changed,) = await stage.until(OrderModified)
        await trio.sleep(5)
        assert changed.venue_order_id > accepted.venue_order_id
        assert stage.of(OrderCanceled) == [], "the end of the old one is not the order's"
        stage.do(QueryOrder(0, name(1), BTC, 1))
        (read,) = await stage.until(OrderRead)
        assert (read.state, read.limit_price, read.venue_order_id) == ("open", 9_910, changed.venue_order_id)
        stage.do(cancel(1))
        await stage.until(OrderCanceled)


async def test_spot_replaces_nothing_of_which_a_part_is_filled(autojump_clock: MockClock) -> None:
    async with staged(spot=True) as stage:
        stage.do(order(stage, 1, BUY, 2000, 9_900))
        await stage.until(OrderAccepted)
        stage.venue.trading.add_trade("BTCUSDT", 9_900, 500, SELL, stage.venue.now_ms)
        stage.do(ModifyOrder(0, name(1), BTC, BUY, 2000, 9_910, "Gtc", False))
        await trio.sleep(3)
        assert len(stage.venue.ask("GET", "openOrders")) == 1
        assert stage.of(OrderModified) == []


def stop(stage: Stage, number: int, trigger: int, **more: Any) -> SubmitOrder:
    given = {"trigger": "sl", "trigger_price": trigger, "reduce_only": True, "role": CLOSE, "bound": 9_000}
    return order(stage, number, SELL, 2000, **{**given, **more})


async def test_a_stop_is_a_conditional_order_whose_fired_order_belongs_to_it(
    autojump_clock: MockClock,
) -> None:
    async with staged() as stage:
        stage.do(order(stage, 1, BUY, 2000))
        await stage.until(OrderFilled)
        stage.do(stop(stage, 2, 9_500))
        await stage.accepted(2)
        (algo,) = stage.venue.ask("GET", "openAlgoOrders")
        assert (algo["clientAlgoId"], algo["triggerPrice"], algo["price"]) == (name(2), "95", "90")
        assert (algo["orderType"], algo["timeInForce"], algo["reduceOnly"]) == ("STOP", "IOC", True)
        stage.venue.trading.add_trade("BTCUSDT", 9_490, 1, SELL, stage.venue.now_ms)
        fills = await stage.until(OrderFilled, count=2)
        assert fills[1].client_order_id == name(2)
        assert fills[1].venue_order_id != algo["algoId"]
        fired = [one for one in stage.of(OrderAccepted) if one.triggered]
        assert {one.client_order_id for one in fired} == {name(2)}
        stage.do(QueryOrder(0, name(2), BTC, 1))
        (read,) = await stage.until(OrderRead)
        assert (read.state, read.triggered) == ("filled", True)


async def test_a_stop_that_fired_while_nobody_listened_is_read_by_both_addresses(
    autojump_clock: MockClock,
) -> None:
    async with staged() as stage:
        stage.do(order(stage, 1, BUY, 2000))
        await stage.until(OrderFilled)
        stage.do(stop(stage, 2, 9_500))
        await stage.accepted(2)
        stage.venue.restart(20_000)
        await trio.sleep(1)
        stage.venue.trading.add_trade("BTCUSDT", 9_490, 1, SELL, stage.venue.now_ms)
        fills = await stage.until(OrderFilled, count=2)
        assert fills[1].client_order_id == name(2)
        await stage.until(AccountRead, count=2)
        assert positions(stage)[-1] == 0


async def test_no_such_order_counts_only_when_both_addresses_were_asked(autojump_clock: MockClock) -> None:
    async with staged() as stage:
        stage.do(QueryOrder(0, name(9), BTC, 1))
        (read,) = await stage.until(OrderRead)
        asked = [path for method, path in stage.venue.requests if method == "GET" and "rder" in path]
        assert read.state == "absent"
        assert asked[-2:] == ["/fapi/v1/order", "/fapi/v1/algoOrder"]


async def test_a_stop_that_is_reached_already_says_so_in_the_engines_words(autojump_clock: MockClock) -> None:
    async with staged() as stage:
        stage.do(stop(stage, 2, 10_100))
        (refused,) = await stage.until(OrderRejected)
        assert "trigger price" in refused.reason


async def test_a_waiting_stop_is_canceled_at_its_own_address(autojump_clock: MockClock) -> None:
    async with staged() as stage:
        stage.do(order(stage, 1, BUY, 2000), stop(stage, 2, 9_500))
        await stage.accepted(2)
        stage.do(cancel(2))
        (end,) = await stage.until(OrderCanceled)
        assert end.client_order_id == name(2)
        assert ("DELETE", "/fapi/v1/algoOrder") in stage.venue.requests


async def test_the_fill_of_another_program_is_nobodys_of_ours(autojump_clock: MockClock) -> None:
    async with staged() as stage:
        stage.venue.others("BTCUSDT", BUY, "1")
        (fill,) = await stage.until(OrderFilled)
        assert (fill.client_order_id, fill.size) == ("", 1000)


async def test_open_orders_of_others_and_transfers_are_seen(autojump_clock: MockClock) -> None:
    def before(venue: MemoryVenue) -> None:
        params = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "price": "90", "quantity": "1"}
        venue.ask("POST", "order", params)

    async with staged(before=before) as stage:
        (seen,) = await stage.until(ForeignOrderSeen)
        assert (seen.size, seen.limit_price, seen.side) == (1000, 9_000, BUY)
        stage.venue.trading.transfer(stage.venue.account, Decimal(25), stage.venue.now_ms)
        (moved,) = await stage.until(TransferSeen)
        assert (moved.amount, moved.scale, moved.asset) == (25 * 10**8, 8, "")


async def test_a_listen_key_is_renewed_and_one_that_is_gone_ends_the_stream(
    autojump_clock: MockClock,
) -> None:
    async with staged(reconcile_s=1e6) as stage:
        await trio.sleep(45 * 60)
        assert ("PUT", "/fapi/v1/listenKey") in stage.venue.requests
        assert stage.of(GatewayDown) == [], "nothing was lost"
        stage.venue.ask("DELETE", "listenKey")
        await trio.sleep(45 * 60)
        assert "listen key cannot be renewed" in stage.of(GatewayDown)[0].reason
        assert stage.gateway.health.connections == 2


async def test_leverage_is_set_and_the_same_kind_of_margin_is_no_refusal(autojump_clock: MockClock) -> None:
    async with staged() as stage:
        stage.do(SetLeverage(0, BTC, 5, True))
        (answer,) = await stage.until(LeverageAnswered)
        assert (answer.accepted, stage.venue.account.leverage) == (True, {"BTCUSDT": 5})


async def test_hedge_mode_and_a_wrong_key_are_refused_before_the_first_order(
    autojump_clock: MockClock,
) -> None:
    async with staged() as stage:
        venue = stage.venue
        venue.account.hedge = True
        with pytest.raises(SafetyRefusal, match="hedge mode"):
            await check_access(
                BASE_URL, USDM, Signer(f"{API_KEY} {SECRET}", "main"), Governor(LIMITS), venue.http()
            )
        with pytest.raises(SafetyRefusal, match="refuses the key"):
            await check_access(
                BASE_URL, USDM, Signer(f"{API_KEY} {'x' * 64}", "main"), Governor(LIMITS), venue.http()
            )
    async with staged(spot=True) as stage:
        await check_access(
            BASE_URL, SPOT, Signer(f"{API_KEY} {SECRET}", "main"), Governor(LIMITS), stage.venue.http()
        )
