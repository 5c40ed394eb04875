"""Readings of the account and queries of orders do not wait for each other in the venue's limits."""

from __future__ import annotations

from typing import Any

import msgspec
import trio

from engine.events import AccountRead, OrderRead, QueryAccount, QueryOrder
from tests.hyperliquid.gateway.kit import BTC, Clock, Scene, name, scene, update
from tests.hyperliquid.venue import START_NS

UNKNOWN = 60
GOLD = msgspec.structs.replace(BTC, instrument=3, name="xyz:GOLD")


def slow(at: Scene) -> None:
    """Let each answer of the venue take a moment."""
    answer = at.venue.info

    async def takes_a_moment(body: dict[str, Any]) -> Any:
        await trio.sleep(0.05)
        return await answer(body)

    at.venue.info = takes_a_moment


async def asks_about_many(at: Scene) -> None:
    """Query orders that the venue does not know, again and again, as the execution actor does."""
    attempt = 0
    while True:
        attempt += 1
        at.release(*(QueryOrder(START_NS, name(number), 1, attempt) for number in range(UNKNOWN)))
        await trio.sleep(5)


async def test_the_account_is_read_while_many_orders_are_unknown(autojump_clock: Clock) -> None:
    async with scene(reconcile_s=1e6) as at:
        slow(at)
        waits = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(asks_about_many, at)
            for _ in range(5):
                await trio.sleep(60)
                before, began = len(at.engine.of(AccountRead)), trio.current_time()
                at.release(QueryAccount(START_NS))
                await at.until(lambda before=before: len(at.engine.of(AccountRead)) > before)
                waits.append(trio.current_time() - began)
            nursery.cancel_scope.cancel()
        assert max(waits) < 0.5, "the time of its requests"


async def test_an_order_is_asked_about_while_the_account_is_read_all_the_time(autojump_clock: Clock) -> None:
    async with scene(reconcile_s=0.01) as at:
        waits = []
        for number in range(10):
            await trio.sleep(20)
            before, began = len(at.engine.of(OrderRead)), trio.current_time()
            at.release(QueryOrder(START_NS, name(number), 1, 1))
            await at.until(lambda before=before: len(at.engine.of(OrderRead)) > before)
            waits.append(trio.current_time() - began)
        assert max(waits) < 0.5


async def test_queries_at_one_time_share_the_clock_and_the_list_of_open_orders(autojump_clock: Clock) -> None:
    async with scene(reconcile_s=1e6) as at:
        slow(at)
        at.venue.questions.clear()
        at.release(*(QueryOrder(START_NS, name(number), 1, 1) for number in range(16)))
        await at.until(lambda: len(at.engine.of(OrderRead)) == 16)
        asked = [
            len(at.venue.asked(kind)) for kind in ("orderStatus", "exchangeStatus", "frontendOpenOrders")
        ]
        assert asked[0] == 16
        assert max(asked[1:]) <= 3


async def test_an_attached_order_is_looked_for_in_the_list_of_its_own_dex(autojump_clock: Clock) -> None:
    async with scene(instruments=(BTC, GOLD)) as at:
        at.venue.orders[7] = update(7, None, "open", coin="xyz:GOLD")
        at.venue.attached[7] = [update(8, name(1), "open", coin="xyz:GOLD")["order"]]
        at.release(QueryOrder(START_NS, name(1), 3, 1))
        await at.until(lambda: at.engine.of(OrderRead))
        assert [(one.state, one.venue_order_id) for one in at.engine.of(OrderRead)] == [("open", 8)]
