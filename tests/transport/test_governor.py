"""The governor keeps the venue's limits, sends cancels first, and honours refusals."""

from __future__ import annotations

import random

import msgspec
import pytest
import trio

from adapters.hyperliquid.limits import LIMITS, action_weight, info_weight, rows_weight
from adapters.transport.governor import WAITING_MAX, BudgetSpent, Governor, Priority, Rate, order_query
from engine.errors import UsageError, VenueUnreachable

MARKET, CANCEL, ORDER, HISTORY = Priority.MARKET, Priority.CANCEL, Priority.ORDER, Priority.HISTORY


def test_weights_are_the_venues() -> None:
    assert {info_weight(kind) for kind in ("l2Book", "allMids", "orderStatus", "exchangeStatus")} == {2}
    assert (info_weight("userRole"), info_weight("meta"), info_weight("candleSnapshot")) == (60, 20, 20)
    assert (rows_weight("candleSnapshot", 5000), rows_weight("recentTrades", 10)) == (84, 1)
    assert (rows_weight("userFills", 0), rows_weight("fundingHistory", 500), rows_weight("meta", 900)) == (
        0,
        25,
        0,
    )
    assert [action_weight(batch) for batch in (1, 39, 40, 200)] == [1, 1, 2, 6]


async def test_n15_no_minute_holds_more_than_the_limit(autojump_clock) -> None:
    """N15: for any requests at any moment, any 60 seconds stay within the budget."""
    governor = Governor(LIMITS)
    chance = random.Random(7)
    sent: list[tuple[float, int, Priority]] = []

    async def ask(priority: Priority) -> None:
        for _ in range(60):
            await trio.sleep(chance.random() * 2)
            weight = chance.choice((2, 20, 60))
            await governor.weigh(weight, priority, within_s=3600)
            sent.append((trio.current_time(), weight, priority))

    async with trio.open_nursery() as nursery:
        for priority in Priority:
            for _ in range(3):
                nursery.start_soon(ask, priority)
    for at, _, _ in sent:
        within = [(weight, priority) for when, weight, priority in sent if at <= when < at + 60]
        assert sum(weight for weight, _ in within) <= 1200
    assert len(sent) == 60 * 3 * len(Priority)
    assert trio.current_time() > 15 * 60


@pytest.mark.parametrize("urgent", [CANCEL, Priority.EXIT])
async def test_n15_o25_cancels_and_exits_are_sent_when_all_other_budget_is_used(
    autojump_clock, urgent: Priority
) -> None:
    """N15, O25: a fifth of the budget is reserved for them; after that they wait as well."""
    governor = Governor(LIMITS)
    await governor.weigh(960, MARKET)
    with pytest.raises(BudgetSpent, match="not sent"):
        await governor.weigh(1, ORDER, within_s=5)
    for _ in range(240):
        await governor.weigh(1, urgent, within_s=0)
    with pytest.raises(BudgetSpent):
        await governor.weigh(1, urgent, within_s=5)
    assert trio.current_time() == 10
    await governor.weigh(1, urgent)
    assert trio.current_time() == pytest.approx(61)


async def test_waiting_requests_are_served_by_priority_and_then_in_order(autojump_clock) -> None:
    governor = Governor(LIMITS)
    await governor.weigh(1200, CANCEL)
    served: list[tuple[Priority, int]] = []

    async def ask(priority: Priority, number: int) -> None:
        await governor.weigh(20, priority)
        served.append((priority, number))

    async with trio.open_nursery() as nursery:
        for number in range(3):
            for priority in (HISTORY, MARKET, Priority.ACCOUNT, Priority.QUERY, ORDER, Priority.EXIT, CANCEL):
                nursery.start_soon(ask, priority, number)
                await trio.sleep(0.01)
    assert served == [(priority, number) for priority in Priority for number in range(3)]
    assert governor.budget().waiting_high == 3 * len(Priority)


async def test_rows_are_charged_after_the_answer_and_delay_later_requests(autojump_clock) -> None:
    governor = Governor(LIMITS)
    await governor.weigh(20, HISTORY)
    governor.charge(rows_weight("candleSnapshot", 5000) * 12)
    assert governor.budget().weight == 20 + 84 * 12
    await governor.weigh(20, MARKET)
    assert trio.current_time() == pytest.approx(61)


@pytest.mark.parametrize("status", [429, 418, 403])
@pytest.mark.parametrize("retry_after_s", [None, 7.0, 9000.0])
async def test_n15_x15_a_refusal_cuts_the_budget_and_delays_requests(
    autojump_clock, status: int, retry_after_s: float | None
) -> None:
    """N15, X15: `Retry-After` binds every priority, within a bound; a plain 429 lets cancels through."""
    governor = Governor(LIMITS)
    governor.refused(status, retry_after_s)
    assert governor.budget().weight_limit == 600
    await governor.weigh(2, CANCEL, within_s=400)
    went = trio.current_time()
    await governor.weigh(2, MARKET, within_s=400)
    waited = trio.current_time()
    plain_s = 5.0 if status == 429 else 60.0
    assert waited == pytest.approx({None: plain_s, 7.0: 7.0, 9000.0: 300.0}[retry_after_s])
    assert went == (0.0 if status == 429 and retry_after_s is None else waited)
    assert "refused 1" in str(governor.budget())


async def test_n15_repeated_refusals_cut_the_budget_and_quiet_minutes_restore_it(autojump_clock) -> None:
    """N15: it is at least an eighth, and doubles in each minute without a refusal."""
    governor = Governor(LIMITS)
    for _ in range(9):
        governor.refused(429)
    assert governor.budget().weight_limit == 150
    await governor.weigh(60, MARKET)
    await trio.sleep(60)
    assert governor.budget().weight_limit == 300
    await trio.sleep(120)
    assert governor.budget().weight_limit == 1200
    assert governor.budget().paused_s == 0


async def test_connections_are_bounded_in_number_and_by_the_minute(autojump_clock) -> None:
    """At most 10 are open and 30 new in a minute."""
    governor = Governor(LIMITS)
    dialed: list[float] = []
    high = 0

    async def connect() -> None:
        nonlocal high
        async with governor.connection(within_s=600):
            dialed.append(trio.current_time())
            high = max(high, governor.budget().connections_open)
            await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        for _ in range(70):
            nursery.start_soon(connect)
    assert high == 10
    assert all(sum(at <= other < at + 60 for other in dialed) <= 30 for at in dialed)
    assert governor.budget().connections_open == 0


async def test_messages_posts_and_subscriptions_are_bounded(autojump_clock) -> None:
    governor = Governor(
        msgspec.structs.replace(LIMITS, messages=Rate(10), posts_in_flight=10, subscriptions=5)
    )
    for _ in range(8):
        await governor.message()
    with pytest.raises(BudgetSpent):
        await governor.message(within_s=1)
    await governor.message(CANCEL, within_s=0)
    async with trio.open_nursery() as nursery:

        async def hold() -> None:
            async with governor.post(ORDER):
                await trio.sleep(50)

        for _ in range(8):
            nursery.start_soon(hold)
        await trio.sleep(1)
        with pytest.raises(BudgetSpent):
            async with governor.post(ORDER, within_s=1):
                pass
        async with governor.post(CANCEL, within_s=0):
            assert governor.budget().posts == 9
    assert governor.budget().posts == 0
    with governor.subscriptions(4):
        assert governor.budget().subscriptions == 4
        with pytest.raises(UsageError, match="6 subscriptions"), governor.subscriptions(2):
            pass
    assert governor.budget().subscriptions == 0


async def test_i11_the_queue_is_bounded_and_cancelled_requests_leave_it(autojump_clock) -> None:
    """I11: the error of a request that was not sent says so."""
    governor = Governor(LIMITS)
    await governor.weigh(1200, CANCEL)
    async with trio.open_nursery() as nursery:
        for _ in range(WAITING_MAX):
            nursery.start_soon(governor.weigh, 1, HISTORY)
        await trio.sleep(0.1)
        with pytest.raises(VenueUnreachable, match="1000 requests wait"):
            await governor.weigh(1, MARKET)
        nursery.cancel_scope.cancel()
    assert governor.budget().waiting == 0
    await governor.weigh(1, MARKET)


def test_limits_at_a_speed_apply_to_the_minutes_of_the_sandbox() -> None:
    """Rates grow; the bounds on what is open at a time stay."""
    faster = LIMITS.at_speed(60.0)
    assert (faster.weight, faster.messages, faster.connections) == (Rate(72_000), Rate(120_000), Rate(1800))
    assert (
        msgspec.structs.replace(
            faster, weight=LIMITS.weight, messages=LIMITS.messages, connections=LIMITS.connections
        )
        == LIMITS
    )


async def flood(governor: Governor, priority: Priority, weight: int) -> None:
    """Send as many requests of a kind as the limits allow, for ever."""

    async def ask() -> None:
        while True:
            await governor.weigh(weight, priority, within_s=3600)

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(ask)


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("kind", [Priority.QUERY, Priority.ACCOUNT])
async def test_queries_and_readings_of_the_account_never_wait_for_other_kinds(
    autojump_clock, kind: Priority, cut: bool
) -> None:
    """A fifth of the weight is kept for each: 240 a minute here, half of it after a refusal."""
    governor = Governor(LIMITS)
    governor.keep_for_account()
    waits = []
    async with trio.open_nursery() as nursery:
        for other in (Priority.QUERY, Priority.ACCOUNT, MARKET, HISTORY, ORDER):
            if other is not kind:
                nursery.start_soon(flood, governor, other, 20)
        await trio.sleep(300)
        if cut:
            governor.refused(429)
            await trio.sleep(61)  # until a minute has passed with the budget as it is now
        for _ in range(10):
            began = trio.current_time()
            for _ in range(5 if cut else 11):
                await governor.weigh(20, kind)
            waits.append(trio.current_time() - began)
            await trio.sleep(62 - waits[-1])
        nursery.cancel_scope.cancel()
    assert max(waits) == 0


async def test_a_kind_with_nothing_left_of_its_own_waits_in_its_place(autojump_clock) -> None:
    governor = Governor(LIMITS)
    governor.keep_for_account()
    served: list[str] = []

    async def ask(what: str, weight: int, priority: Priority) -> None:
        await governor.weigh(weight, priority)
        served.append(what)

    await governor.weigh(240, Priority.ACCOUNT)
    await governor.weigh(480, MARKET)
    async with trio.open_nursery() as nursery:
        for what, priority in (("market", MARKET), ("account", Priority.ACCOUNT), ("query", Priority.QUERY)):
            nursery.start_soon(ask, what, 20, priority)
            await trio.sleep(0.1)
        assert served == ["query"], "of its own share"
    assert served == ["query", "account", "market"]
    assert trio.current_time() > 60


async def test_without_an_account_nothing_is_kept(autojump_clock) -> None:
    governor = Governor(LIMITS)
    await governor.weigh(960, MARKET)
    assert trio.current_time() == 0


async def test_requests_of_the_account_within_a_query_count_as_queries(autojump_clock) -> None:
    governor = Governor(LIMITS)
    governor.keep_for_account()
    await governor.weigh(480, MARKET)
    with order_query():
        await governor.weigh(240, Priority.ACCOUNT)
    await governor.weigh(240, Priority.ACCOUNT)
    assert trio.current_time() == 0, "each from its own share"
    with order_query():
        await governor.weigh(20, Priority.ACCOUNT)
    assert trio.current_time() > 59
