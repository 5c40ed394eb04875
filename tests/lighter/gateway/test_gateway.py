"""One order, one stop, one lost answer: what the gateway reports."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from adapters.lighter.gateway import keys
from adapters.lighter.gateway.access import check_access, check_markets
from adapters.lighter.gateway.gateway import LighterGateway
from adapters.lighter.gateway.memory import client_index
from adapters.transport.governor import Governor
from engine.clock import SystemClock
from engine.errors import SafetyRefusal
from engine.events import (
    AccountRead,
    ForeignOrderSeen,
    FundingPaid,
    FundingRead,
    GatewayDown,
    GatewayUp,
    InstrumentListed,
    ModifyOrder,
    ModifyRejected,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderModified,
    OrderRead,
    OrderRejected,
    OrderUnknown,
    QueryOrder,
    ScheduleCancel,
    SetLeverage,
    TransferSeen,
)
from engine.events.account import LeverageAnswered, ScheduleAnswered
from engine.events.terms import CLOSE
from engine.values import BUY, SELL
from engine.venue import Account
from tests.lighter.gateway.venue import BASE_URL, LIMITS, OTHER_KEY, MemoryVenue, listed_perp, signer
from tests.venues.staging import BTC, MakeGateway, Stage, cancel, name, order, positions, virtual_time

MIN_MS = 60_000


@pytest.fixture(autouse=True)
def virtual() -> Iterator[None]:
    with virtual_time():
        yield


def make_gateway(venue: MemoryVenue, reconcile_s: float) -> MakeGateway:
    """Return what makes a gateway on an account of the venue."""

    def make(clock: SystemClock, send: Any, account: Account) -> LighterGateway:
        return LighterGateway(
            name="gateway",
            base_url=BASE_URL,
            network="sandbox",
            signer=signer(),
            instruments=venue.instruments,
            markets=venue.markets,
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
    *, before: Callable[[MemoryVenue], None] = lambda _: None, reconcile_s: float = 60.0
) -> AsyncIterator[Stage]:
    clock = SystemClock()
    async with trio.open_nursery() as nursery:
        venue = MemoryVenue(nursery, [listed_perp(BTC, "BTC", 2, 3)], clock.now_ns)
        venue.quote(BTC, 9_990, 10_010)
        before(venue)
        stage = Stage(venue, make_gateway(venue, reconcile_s))
        nursery.start_soon(stage.gateway.run)
        await stage.until(AccountRead)
        yield stage
        nursery.cancel_scope.cancel()


def nonce(stage: Stage) -> int:
    return int(stage.venue.account.keys[4].nonce)


async def test_a_limit_order_is_placed_filled_and_reconciled(autojump_clock: MockClock) -> None:
    async with staged(reconcile_s=5.0) as stage:
        stage.do(order(stage, 1, BUY, 2_000, 9_950))
        (accepted,) = await stage.until(OrderAccepted)
        assert (accepted.client_order_id, accepted.venue_order_id >> 48) == (name(1), 1)
        stage.venue.quote(BTC, 9_930, 9_950)
        (fill,) = await stage.until(OrderFilled)
        assert (fill.client_order_id, fill.side, fill.price, fill.size) == (name(1), BUY, 9_950, 2_000)
        assert (fill.liquidity, fill.fee, fill.venue_order_id) == ("maker", 398, accepted.venue_order_id)
        del stage.live[name(1)]
        await stage.until(AccountRead, count=3)
    assert positions(stage)[-1] == 2_000
    read = stage.of(AccountRead)[-1]
    # Bought at 99.50, marked at 99.40, and 0.002 % of fee.
    assert int(read.equity) == int((Decimal(10000) - Decimal("0.2") - Decimal("0.00398")).scaleb(8))
    assert stage.of(OrderUnknown, OrderRejected, GatewayDown) == []


async def test_an_order_at_the_market_has_a_bound_and_its_rest_ends(autojump_clock: MockClock) -> None:
    def thin(venue: MemoryVenue) -> None:
        venue.quote(BTC, 9_990, 10_010, size=1_500)

    async with staged(before=thin) as stage:
        stage.do(order(stage, 1, SELL, 2_000))
        (end,) = await stage.until(OrderCanceled)
        (fill,) = stage.of(OrderFilled)
    assert (fill.side, fill.price, fill.size, fill.liquidity, fill.fee) == (
        SELL,
        9_990,
        1_500,
        "taker",
        2_997,
    )
    assert (end.client_order_id, end.remaining) == (name(1), 500)
    assert end.reason.startswith("Ioc:")
    assert stage.events.index(fill) < stage.events.index(end)


async def test_a_post_only_order_rests_and_one_that_would_trade_ends(autojump_clock: MockClock) -> None:
    async with staged() as stage:
        stage.do(order(stage, 1, BUY, 2_000, 9_950, tif="Alo"))
        await stage.accepted(1)
        stage.do(order(stage, 2, BUY, 2_000, 10_010, tif="Alo"))
        (end,) = await stage.until(OrderCanceled)
    assert (end.client_order_id, end.remaining) == (name(2), 2_000)
    assert end.reason.startswith("post only:")
    assert stage.of(OrderFilled) == []


async def test_a_taken_transaction_is_no_acceptance(autojump_clock: MockClock) -> None:
    """A reduce-only order without a position is taken with code 200 and never appears."""
    async with staged() as stage:
        stage.do(order(stage, 1, SELL, 2_000, reduce_only=True, role=CLOSE))
        await trio.sleep(3)
        assert nonce(stage) == 2
        assert stage.of(OrderAccepted, OrderRejected, OrderUnknown, OrderCanceled) == []
        stage.do(QueryOrder(0, name(1), BTC, 1))
        await stage.until(OrderRead)
    assert stage.of(OrderRead)[-1].state == "absent"


async def test_an_unknown_outcome_is_asked_about_and_never_sent_again(autojump_clock: MockClock) -> None:
    async with staged() as stage:
        stage.venue.faults.arm("drop", 3, scope="user")
        stage.venue.faults.arm("lost-reply", scope="exchange")
        stage.do(order(stage, 1, BUY, 2_000))
        (unknown,) = await stage.until(OrderUnknown)
        assert unknown.client_order_id == name(1)
        stage.do(QueryOrder(0, name(1), BTC, 1))
        (read,) = await stage.until(OrderRead)
        assert read.state == "filled"
        (fill,) = stage.of(OrderFilled)
        assert fill.size == 2_000
        sent = [one for one in stage.venue.requests if one[1].endswith("sendTx")]
        assert len(sent) == 1
        # The number of the next transaction is read, since it is not known whether that one used its own.
        stage.do(order(stage, 2, BUY, 2_000))
        await stage.until(OrderFilled, count=2)
    assert nonce(stage) == 3


async def test_a_request_that_never_arrived_leaves_its_number(autojump_clock: MockClock) -> None:
    async with staged() as stage:
        stage.venue.faults.arm("swallow", scope="exchange")
        stage.do(order(stage, 1, BUY, 2_000))
        await stage.until(OrderUnknown)
        stage.do(order(stage, 2, BUY, 2_000))
        (fill,) = await stage.until(OrderFilled)
        stage.do(QueryOrder(0, name(1), BTC, 1))
        await stage.until(OrderRead)
    assert fill.client_order_id == name(2)
    assert stage.of(OrderRead)[-1].state == "absent"
    assert nonce(stage) == 2


async def test_a_wrong_number_is_a_refusal_after_which_it_is_read(autojump_clock: MockClock) -> None:
    async with staged() as stage:
        stage.do(order(stage, 1, BUY, 2_000))
        await stage.until(OrderFilled)
        stage.venue.account.keys[4].nonce = 9
        stage.do(order(stage, 2, BUY, 2_000))
        (refused,) = await stage.until(OrderRejected)
        assert refused.reason.startswith("nonce: ")
        stage.do(order(stage, 3, BUY, 2_000))
        await stage.until(OrderFilled, count=2)
    assert nonce(stage) == 10


async def test_a_refusal_of_the_front_uses_no_number(autojump_clock: MockClock) -> None:
    async with staged() as stage:
        stage.do(order(stage, 1, BUY, 1, 9_950))
        (refused,) = await stage.until(OrderRejected)
        assert refused.reason.startswith("min value: ")
        assert nonce(stage) == 1
        stage.do(order(stage, 2, BUY, 2_000))
        await stage.until(OrderFilled)
    assert nonce(stage) == 2


async def test_commands_released_together_are_sent_one_after_the_other(autojump_clock: MockClock) -> None:
    async with staged() as stage:
        stage.do(*(order(stage, number, BUY, 1_200, 9_900 - number) for number in range(1, 9)))
        await stage.until(OrderAccepted, count=8)
    assert nonce(stage) == 9
    assert stage.of(OrderRejected, OrderUnknown) == []


async def test_a_late_order_is_not_sent(autojump_clock: MockClock) -> None:
    async with staged() as stage:
        late = order(stage, 1, BUY, 2_000)
        await trio.sleep(6)
        stage.do(late)
        (refused,) = await stage.until(OrderRejected)
    assert refused.reason.startswith("not sent: it was due to expire")
    assert nonce(stage) == 1


async def test_an_order_that_arrives_after_its_expiry_is_refused(autojump_clock: MockClock) -> None:
    async with staged() as stage:
        late = order(stage, 1, BUY, 2_000)
        stage.venue.now_ns = lambda: SystemClock().now_ns() + 30 * 10**9
        stage.do(late)
        (refused,) = await stage.until(OrderRejected)
    assert refused.reason.startswith("expired before it arrived")


async def test_a_cancel_ends_the_order_and_a_second_one_says_nothing(autojump_clock: MockClock) -> None:
    async with staged() as stage:
        stage.do(order(stage, 1, BUY, 2_000, 9_950))
        await stage.accepted(1)
        stage.do(cancel(1))
        (end,) = await stage.until(OrderCanceled)
        assert (end.client_order_id, end.remaining, end.reason) == (name(1), 2_000, "canceled")
        stage.do(cancel(1))
        await trio.sleep(3)
    assert len(stage.of(OrderCanceled)) == 1
    assert nonce(stage) == 4


async def test_an_order_is_changed_in_place_and_what_is_filled_counts(autojump_clock: MockClock) -> None:
    async with staged() as stage:
        stage.do(order(stage, 1, BUY, 2_000, 9_950))
        (accepted,) = await stage.until(OrderAccepted)
        stage.venue.trading.add_trade("BTC", 9_950, 500, SELL, stage.venue.now_ms)
        await stage.until(OrderFilled)
        now = stage.venue.now_ns()
        stage.do(ModifyOrder(now, name(1), BTC, BUY, 1_000, 9_940, "Gtc", False, now + 5 * 10**9))
        (changed,) = await stage.until(OrderModified)
        assert (changed.size, changed.limit_price) == (1_000, 9_940)
        assert changed.venue_order_id == accepted.venue_order_id
        stage.venue.quote(BTC, 9_900, 9_930)
        await stage.until(OrderFilled, count=2)
    assert [one.size for one in stage.of(OrderFilled)] == [500, 1_000]


async def test_a_change_that_is_refused_says_so(autojump_clock: MockClock) -> None:
    async with staged() as stage:
        stage.do(order(stage, 1, BUY, 2_000, 9_950))
        await stage.accepted(1)
        stage.venue.account.keys[4].nonce = 9
        now = stage.venue.now_ns()
        stage.do(ModifyOrder(now, name(1), BTC, BUY, 1_000, 9_940, "Gtc", False, now + 5 * 10**9))
        (refused,) = await stage.until(ModifyRejected)
    assert refused.reason.startswith("nonce: ")


async def test_a_stop_keeps_its_number_when_it_fires(autojump_clock: MockClock) -> None:
    async with staged() as stage:
        stage.do(order(stage, 1, BUY, 2_000))
        await stage.until(OrderFilled)
        stop = {"trigger": "sl", "trigger_price": 9_800, "bound": 9_000, "reduce_only": True, "role": CLOSE}
        stage.do(order(stage, 2, SELL, 2_000, **stop))
        await stage.accepted(2)
        assert not stage.of(OrderAccepted)[-1].triggered
        stage.do(QueryOrder(0, name(2), BTC, 1))
        (read,) = await stage.until(OrderRead)
        assert (read.state, read.triggered) == ("open", False)
        stage.venue.quote(BTC, 9_780, 9_800)
        fills = await stage.until(OrderFilled, count=2)
        await trio.sleep(1)
        fired = [one for one in stage.of(OrderAccepted) if one.triggered]
    assert [one.client_order_id for one in fired] == [name(2)]
    assert fills[1].client_order_id == name(2)
    assert fills[1].venue_order_id == fired[0].venue_order_id == stage.of(OrderAccepted)[0].venue_order_id + 1


async def test_others_of_the_account_are_foreign(autojump_clock: MockClock) -> None:
    members = {"MarketIndex": 0, "ClientOrderIndex": 77, "BaseAmount": 2_000, "Price": 9_000, "IsAsk": 0}
    members |= {"Type": 0, "TimeInForce": 1, "ReduceOnly": 0, "TriggerPrice": 0}

    def before(venue: MemoryVenue) -> None:
        assert venue.act("create", {**members, "OrderExpiry": venue.now_ms + 10 * MIN_MS})["code"] == 200

    async with staged(before=before, reconcile_s=5.0) as stage:
        (foreign,) = stage.of(ForeignOrderSeen)
        assert (foreign.client_order_id, foreign.size, foreign.limit_price) == ("77", 2_000, 9_000)
        stage.venue.others("BTC", SELL, "0.5")
        (fill,) = await stage.until(OrderFilled)
        assert (fill.client_order_id, fill.size, fill.cause) == ("", 500, "")
        await stage.until(AccountRead, count=3)
    assert positions(stage)[-1] == -500


async def test_orders_of_an_earlier_process_are_found_by_their_index(autojump_clock: MockClock) -> None:
    async with staged() as stage:
        stage.do(order(stage, 1, BUY, 2_000, 9_950))
        await stage.accepted(1)
        venue = stage.venue
        async with trio.open_nursery() as nursery:
            again = Stage(venue, make_gateway(venue, 60.0))
            again.ours[name(1)] = again.live[name(1)] = None
            again.gateway._reports.__init__(lambda: list(again.ours))  # type: ignore[misc]
            nursery.start_soon(again.gateway.run)
            await again.until(AccountRead)
            assert [(one.client_order_id, one.state) for one in again.of(OrderRead)] == [(name(1), "open")]
            venue.quote(BTC, 9_930, 9_950)
            (fill,) = await again.until(OrderFilled)
            assert fill.client_order_id == name(1)
            nursery.cancel_scope.cancel()


async def test_transfers_and_funding_are_reported_once(autojump_clock: MockClock) -> None:
    async with staged(reconcile_s=5.0) as stage:
        stage.do(order(stage, 1, BUY, 2_000))
        await stage.until(OrderFilled)
        venue, now = stage.venue, stage.venue.now_ns()
        venue.trading.transfer(venue.account, Decimal("-250.5"), venue.now_ms)
        venue.trading.fund(FundingRead(now, now, BTC, 10, 1_000_000, 0), "BTC", venue.now_ms)
        await stage.until(AccountRead, count=4)
    (moved,) = stage.of(TransferSeen)
    assert (moved.amount, moved.scale) == (-25_050_000_000, 8)
    (paid,) = stage.of(FundingPaid)
    # 2 of BTC at 100.00, at 0.01 %: the long pays.
    assert (Decimal(int(paid.amount)).scaleb(-paid.scale), paid.size) == (Decimal("-0.02"), 2_000)


async def test_leverage_and_the_dead_mans_switch(autojump_clock: MockClock) -> None:
    async with staged() as stage:
        stage.do(SetLeverage(0, BTC, 10, True))
        (answered,) = await stage.until(LeverageAnswered)
        assert answered.accepted
        stage.do(order(stage, 1, BUY, 2_000, 9_950))
        await stage.accepted(1)
        stage.do(ScheduleCancel(0, stage.venue.now_ns() + 10**9))
        (refused,) = await stage.until(ScheduleAnswered)
        assert not refused.accepted
        stage.do(ScheduleCancel(0, stage.venue.now_ns() + 6 * MIN_MS * 10**6))
        await stage.until(ScheduleAnswered, count=2)
        stage.venue.trading.matching.expire_due(stage.venue.now_ms + 7 * MIN_MS)
        await stage.until(OrderCanceled)
    assert stage.venue.account.leverage == {"BTC": 10}


async def test_the_connection_is_renewed_before_its_token_ends(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "TOKEN_S", 400)
    monkeypatch.setattr(keys, "TOKEN_RENEW_S", 310)
    async with staged(reconcile_s=100_000.0) as stage:
        await trio.sleep(150)
        assert [one.reason for one in stage.of(GatewayDown)] == ["its token ends: the connection is renewed"]
        stage.do(order(stage, 1, BUY, 2_000))
        await stage.until(OrderFilled)
    assert len(stage.of(GatewayUp)) == 2


async def test_channels_that_are_refused_say_so_and_are_asked_for_again(autojump_clock: MockClock) -> None:
    def refusing(venue: MemoryVenue) -> None:
        allowed = venue.trading.allowed
        refusals = iter((True, True))
        venue.trading.allowed = lambda token, now_ms: (  # type: ignore[method-assign]
            None if next(refusals, False) else allowed(token, now_ms)
        )

    async with staged(before=refusing) as stage:
        (down,) = stage.of(GatewayDown)
        assert down.reason.startswith("the account's channels are refused: ")
        assert "invalid auth" in down.reason
        assert len(stage.of(GatewayUp)) == 1


async def test_a_key_of_another_number_and_other_accounts_are_refused(autojump_clock: MockClock) -> None:
    async with staged() as stage:
        other = signer(OTHER_KEY)
        other.index = 4
        with pytest.raises(SafetyRefusal, match="another API key of number 4"):
            await check_access(BASE_URL, other, Governor(LIMITS), stage.venue.http())
        stage.venue.account.unified = True
        with pytest.raises(SafetyRefusal, match="unified mode"):
            await check_access(BASE_URL, signer(), Governor(LIMITS), stage.venue.http())
    with pytest.raises(SafetyRefusal, match="ETH/USDC are spot markets"):
        check_markets([InstrumentListed(0, 2, "lighter", "ETH/USDC", 2, 4, kind="spot")])


def test_a_client_index_has_48_bits_and_is_never_that_of_nothing() -> None:
    indexes = {client_index(name(number)) for number in range(5_000)}
    assert len(indexes) == 5_000
    assert 0 < min(indexes) < max(indexes) < 1 << 48
