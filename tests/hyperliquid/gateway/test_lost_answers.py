"""Answers that are lost, late or no answers: Unknown, asked about, never sent again.

O01, O09, O12, O13, O15, O22, N16, N18.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
import trio

from engine.events import (
    CancelOrder,
    ModifyOrder,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderRead,
    OrderRejected,
    OrderUnknown,
    QueryOrder,
)
from engine.values import BUY
from tests.hyperliquid.gateway.kit import (
    Clock,
    Own,
    Scene,
    fill_row,
    name,
    order,
    said,
    scene,
    statuses,
    update,
)
from tests.hyperliquid.venue import START_MS, START_NS


def ask(number: int) -> QueryOrder:
    return QueryOrder(START_NS, name(number), 1, 1)


async def unknown(at: Scene, answer: Any, *, does: bool) -> None:
    """Place order 1; the venue executes it or not, and gives this answer."""

    async def exchange(body: dict[str, Any]) -> Any:
        if does:
            at.venue.do(body["action"])
        return answer

    at.venue.exchange = exchange
    at.release(order(1))
    await at.until(lambda: at.engine.of(OrderUnknown), 10)
    assert at.engine.reports(name(1)) == ["OrderUnknown"]


def raw(status: int, body: bytes) -> httpx.Response:
    return httpx.Response(status, stream=httpx.ByteStream(body))


LOST: dict[str, Callable[[], Any]] = {
    "nothing for ever": lambda: None,
    "cut while reading": lambda: httpx.ReadError("reset"),
    "cut while writing": lambda: httpx.WriteError("reset"),
    "closed": lambda: httpx.RemoteProtocolError("closed"),
    "500": lambda: raw(500, b""),
    "502 with a page": lambda: raw(502, b"<html>bad gateway</html>"),
    "429": lambda: raw(429, b""),
    "an empty body": lambda: raw(200, b""),
    "a page": lambda: raw(200, b"<html></html>"),
    "half of it": lambda: raw(200, b'{"status":"ok","resp'),
    "no statuses": lambda: said({"status": "ok", "response": {"type": "order", "data": {}}}),
    "too many statuses": lambda: said(statuses([{"resting": {"oid": 1}}, {"resting": {"oid": 2}}])),
}


@pytest.mark.parametrize("what", LOST)
@pytest.mark.parametrize("does", [True, False])
async def test_o01_n16_after_a_lost_answer_the_order_is_unknown_and_queried(
    autojump_clock: Clock, what: str, does: bool
) -> None:
    async with scene() as at:
        await unknown(at, LOST[what](), does=does)
        await trio.sleep(30)
        assert len(at.venue.actions) == 1, "the order is not sent again"
        before_ms = at.venue.now_ms
        at.release(ask(1))
        await at.settle()
        (read,) = at.engine.of(OrderRead)
        assert read.state == ("open" if does else "absent")
        assert read.venue_ns == before_ms * 1_000_000, "the venue's clock, read before the query"
        assert not at.engine.of(OrderRejected)


async def test_n18_a_venue_that_never_answers_is_waited_for_five_seconds(autojump_clock: Clock) -> None:
    async with scene() as at:
        began = trio.current_time()
        await unknown(at, None, does=False)
        assert trio.current_time() - began == pytest.approx(5.0, abs=0.2)


async def test_an_order_that_was_not_sent_is_refused(autojump_clock: Clock) -> None:
    async with scene() as at:

        async def unreachable(body: dict[str, Any]) -> Any:
            return httpx.ConnectError("refused")

        at.venue.exchange = unreachable
        at.release(order(1), CancelOrder(START_NS, name(2), 1))
        await at.settle()
        assert at.engine.reports(name(1)) == ["OrderRejected"]
        assert at.engine.reports(name(2)) == ["CancelRejected"]
        assert at.engine.of(OrderRejected)[0].reason.startswith("not sent: no connection")


async def test_o09_not_found_right_after_is_reported_as_absent_then_not_as_refused(
    autojump_clock: Clock,
) -> None:
    async with scene() as at:
        await unknown(at, None, does=False)
        at.release(ask(1))
        await at.settle()
        oid = at.venue.rest({"a": 3, "s": "0.001", "p": "64000", "c": name(1)})  # visible only now
        at.release(ask(1))
        await at.settle()
        reads = at.engine.of(OrderRead)
        assert [(one.state, one.venue_order_id) for one in reads] == [("absent", 0), ("open", oid)]
        assert reads[0].venue_ns < order(1).expires_ns + 5_000_000_000, "before it could be proved"
        assert not at.engine.of(OrderRejected, OrderCanceled)


async def test_o12_a_dropped_order_is_absent_at_the_venues_time(
    autojump_clock: Clock,
) -> None:
    async with scene() as at:
        await unknown(at, None, does=False)
        await trio.sleep(20)
        at.release(ask(1))
        await at.settle()
        (read,) = at.engine.of(OrderRead)
        assert read.state == "absent"
        assert read.venue_ns > order(1).expires_ns + 5_000_000_000
        assert at.venue.bodies[0]["expiresAfter"] * 1_000_000 == order(1).expires_ns


async def test_o13_a_duplicate_client_order_id_means_that_the_first_order_exists(
    autojump_clock: Clock,
) -> None:
    async with scene() as at:
        at.venue.rest({"a": 3, "s": "0.001", "p": "64000", "c": name(1)})
        refused = statuses([{"error": "Client order id was used before. asset=3"}])
        await unknown(at, said(refused), does=False)
        at.release(ask(1))
        await at.settle()
        assert at.engine.of(OrderRead)[0].state == "open"
        assert at.venue.placed == [name(1)]


async def test_the_fills_of_a_queried_order_are_reported_before_its_state(autojump_clock: Clock) -> None:
    async with scene() as at:
        await unknown(at, None, does=True)
        oid = next(iter(at.venue.orders))
        at.venue.fills += [fill_row(1, oid, name(1), sz="0.0004"), fill_row(2, oid, name(1), sz="0.0006")]
        at.venue.orders[oid] = update(oid, name(1), "filled", sz="0.0", orig="0.001")
        at.release(ask(1))
        await at.settle()
        assert at.engine.reports(name(1))[1:] == ["OrderFilled", "OrderFilled", "OrderRead"]
        before = len(at.venue.asked("userFillsByTime"))
        at.release(ask(1))
        await at.settle()
        assert len(at.venue.asked("userFillsByTime")) == before, (
            "all of it is reported: they are not read again"
        )


async def test_an_order_that_is_partly_filled_and_absent_is_canceled(autojump_clock: Clock) -> None:
    async with scene() as at:
        await unknown(at, None, does=True)
        oid = next(iter(at.venue.orders))
        at.venue.fills.append(fill_row(1, oid, name(1), sz="0.0004"))
        at.venue.orders[oid] = update(oid, name(1), "filled", sz="0.0006", orig="0.001")
        at.release(ask(1))
        await at.settle()
        assert [one.state for one in at.engine.of(OrderRead)] == ["canceled"]
        assert len(at.engine.of(OrderFilled)) == 1


async def test_o10_a_query_without_an_answer_leaves_the_order_unknown(autojump_clock: Clock) -> None:
    async with scene() as at:
        await unknown(at, None, does=True)

        async def broken(body: dict[str, Any]) -> Any:
            return raw(500, b"x")

        at.venue.info = broken
        at.release(ask(1))
        await at.until(lambda: len(at.engine.of(OrderUnknown)) == 2)
        assert "the question failed" in at.engine.of(OrderUnknown)[1].reason
        assert not at.engine.of(OrderRead)


async def test_a_waiting_child_is_found_in_its_parent(autojump_clock: Clock) -> None:
    async with scene() as at:
        await unknown(at, None, does=True)
        parent = next(iter(at.venue.orders))
        at.venue.attached[parent] = [update(2000, name(2), "open")["order"]]
        at.release(ask(2))
        await at.settle()
        (read,) = at.engine.of(OrderRead)
        assert (read.client_order_id, read.state, read.venue_order_id) == (name(2), "open", 2000)


async def test_o22_each_order_of_a_batch_has_its_own_outcome(autojump_clock: Clock) -> None:
    async with scene() as at:
        found = [
            {"resting": {"oid": 1}},
            {"error": "Insufficient margin to place order. asset=3"},
            {"filled": {"oid": 3, "totalSz": "0.001", "avgPx": "64000"}},
            {"unheard": {}},
        ]

        async def mixed(body: dict[str, Any]) -> Any:
            return said(statuses(found))

        at.venue.exchange = mixed
        at.release(*(order(number) for number in range(1, 5)))
        await at.settle()
        assert [at.engine.reports(name(number)) for number in range(1, 5)] == [
            ["OrderAccepted"],
            ["OrderRejected"],
            ["OrderAccepted"],
            ["OrderUnknown"],
        ]
        assert at.engine.of(OrderRejected)[0].reason == "Insufficient margin to place order."
        found.pop()
        at.release(*(order(number) for number in range(5, 9)))
        await at.settle()
        assert [at.engine.reports(name(number)) for number in range(5, 9)] == [["OrderUnknown"]] * 4


async def test_o15_nonces_rise_through_a_thousand_orders_at_once_and_a_restart(autojump_clock: Clock) -> None:
    floor = START_MS + 3_600_000  # the last session ran an hour ahead
    async with scene(own=Own(nonce_floor_ms=floor)) as at:
        for number in range(300):
            at.release(CancelOrder(START_NS, name(number), 77), order(number, tif="Alo"))
        await at.until(lambda: len(at.venue.nonces) == 300)
        assert min(at.venue.nonces) > floor
        assert max(at.venue.nonces) <= floor + 1000


async def test_after_a_lost_modification_the_order_is_the_venues_open_order(
    autojump_clock: Clock,
) -> None:
    async with scene() as at:
        old = at.venue.rest({"a": 3, "s": "0.001", "p": "64000", "c": name(1)})

        async def lose(body: dict[str, Any]) -> Any:
            at.venue.do(body["action"])
            return httpx.ReadError("reset")

        at.venue.exchange = lose
        at.release(ModifyOrder(START_NS, name(1), 1, BUY, 100, 639_000, "Gtc", False, START_NS + 10**10))
        await at.until(lambda: at.engine.of(OrderUnknown))
        # The end of the old leg arrives before the new leg is known.
        await at.venue.say("orderUpdates", [update(old, name(1), "canceled")])
        await at.settle()
        assert not at.engine.of(OrderCanceled)
        at.release(ask(1))
        await at.settle()
        (read,) = at.engine.of(OrderRead)
        assert (read.state, read.venue_order_id, read.limit_price) == ("open", old + 1, 639_000)
        await at.venue.say("orderUpdates", [update(old, name(1), "canceled")])
        await at.settle()
        assert not at.engine.of(OrderCanceled)
        await at.venue.say("orderUpdates", [update(old + 1, name(1), "canceled")])
        await at.settle()
        assert len(at.engine.of(OrderCanceled)) == 1


async def test_the_state_of_an_earlier_leg_is_not_used(autojump_clock: Clock) -> None:
    async with scene() as at:
        old = at.venue.rest({"a": 3, "s": "0.001", "p": "64000", "c": name(1)})
        at.release(ModifyOrder(START_NS, name(1), 1, BUY, 100, 639_000, "Gtc", False, 0))
        await at.settle()
        true = at.venue.answer_info

        async def first_leg(body: dict[str, Any]) -> Any:
            if body["type"] == "orderStatus":
                return said({"status": "order", "order": at.venue.orders[old]})
            return await true(body)

        at.venue.info = first_leg
        at.release(ask(1))
        await at.settle()
        (read,) = at.engine.of(OrderRead)
        assert (read.state, read.venue_order_id) == ("open", old + 1)


async def test_the_open_size_of_a_modified_order_is_what_its_fills_leave(autojump_clock: Clock) -> None:
    """A fill of the new number that comes while the account is read is not counted twice."""
    async with scene() as at:
        at.release(order(1))
        await at.settle()
        old = at.engine.of(OrderAccepted)[0].venue_order_id

        async def modify_and_lose(body: dict[str, Any]) -> Any:
            await at.venue.obey(body)
            return httpx.ReadTimeout("no answer")

        at.venue.exchange = modify_and_lose
        at.release(ModifyOrder(START_NS, name(1), 1, BUY, 60, 640_000, "Gtc", False, START_NS + 10**10))
        await at.settle()
        at.venue.fills += [
            fill_row(1, old, name(1), sz="0.0002"),
            fill_row(2, old + 1, name(1), sz="0.0003"),
            fill_row(3, old + 1, name(1), sz="0.0001"),
        ]
        at.venue.orders[old + 1]["order"]["sz"] = "0.0003"
        at.release(ask(1))
        await at.settle()
        (read,) = at.engine.of(OrderRead)
        assert (read.state, read.venue_order_id, read.size) == ("open", old + 1, 20)
        assert [one.size for one in at.engine.of(OrderFilled)] == [20, 30, 10]
