"""Orders from a command to its reports, against a venue that answers (O02, O03, O04, O08, O11)."""

from __future__ import annotations

import json
from typing import Any

import httpx
import msgspec
import pytest
import trio
import trio.testing

from engine.errors import EngineError
from engine.events import (
    AccountRead,
    CancelOrder,
    CancelRejected,
    GatewayUp,
    LeverageAnswered,
    ModifyOrder,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderModified,
    OrderRead,
    OrderRejected,
    QueryOrder,
    ScheduleAnswered,
    ScheduleCancel,
    SetLeverage,
)
from engine.values import BUY
from tests.hyperliquid.gateway.kit import (
    USER,
    Clock,
    Scene,
    Venue,
    fill_row,
    name,
    order,
    said,
    scene,
    statuses,
    update,
)
from tests.hyperliquid.venue import START_MS, START_NS


def cancel(number: int) -> CancelOrder:
    return CancelOrder(START_NS, name(number), 1)


async def place(scene: Scene, number: int = 1, **more: Any) -> int:
    """Place an order and return its number at the venue."""
    scene.release(order(number, **more))
    await scene.settle()
    row = scene.venue.find(name(number))
    assert row is not None
    return int(row["order"]["oid"])


async def test_an_order_rests_fills_and_every_step_is_reported(autojump_clock: Clock) -> None:
    async with scene() as at:
        oid = await place(at)
        await at.venue.say("orderUpdates", [update(oid, name(1), "open")])
        await at.venue.say_fills(fill_row(7, oid, name(1)))
        await at.venue.say("orderUpdates", [update(oid, name(1), "filled", sz="0.0", orig="0.001")])
        await at.settle()
        accepted, again, filled = at.engine.about(name(1))
        assert accepted == again.__class__(accepted.recv_ns, accepted.venue_ns, name(1), oid)
        assert isinstance(again, OrderAccepted)
        assert (filled.price, filled.size, filled.side, filled.trade_id) == (640_000, 100, BUY, 7)
        assert (int(filled.fee), filled.liquidity, filled.venue_order_id) == (28_800, "taker", oid)
        wire = at.venue.actions[0]
        assert wire["grouping"] == "na"
        assert wire["orders"] == [
            {
                "a": 3,
                "b": True,
                "p": "64000",
                "s": "0.001",
                "r": False,
                "t": {"limit": {"tif": "Gtc"}},
                "c": name(1),
            }
        ]
        assert not at.venue.asked("orderStatus")


async def test_o11_an_order_carries_the_time_after_which_the_venue_refuses_it(autojump_clock: Clock) -> None:
    async with scene() as at:
        await place(at)
        at.release(order(2, expires_ns=START_NS + 2_000_000_000), order(3))
        await at.settle()
        assert [body["expiresAfter"] - START_MS for body in at.venue.bodies] == [10_000, 2_000]


async def test_o11_an_expired_command_is_not_sent(autojump_clock: Clock) -> None:
    async with scene() as at:
        await trio.sleep(11)
        at.release(order(1))
        await at.settle()
        assert not at.venue.actions
        (rejected,) = at.engine.of(OrderRejected)
        assert rejected.reason.startswith("not sent: ")


async def test_cancels_go_first_and_each_kind_in_one_action(autojump_clock: Clock) -> None:
    async with scene() as at:
        await place(at)
        at.release(order(2), order(3, tif="Alo"), cancel(1), order(4), order(5, tif="Alo"))
        await at.settle()
        assert sorted(action["type"] for action in at.venue.actions[1:]) == [
            "cancelByCloid",
            "order",
            "order",
        ]
        assert {
            tuple(one["c"] for one in action["orders"])
            for action in at.venue.actions[1:]
            if "orders" in action
        } == {
            (name(3), name(5)),
            (name(2), name(4)),
        }


async def test_a_cancel_released_with_its_order_is_sent_after_it(autojump_clock: Clock) -> None:
    async with scene() as at:
        at.release(order(1), cancel(1))
        await at.settle()
        assert [action["type"] for action in at.venue.actions] == ["order", "cancelByCloid"]
        assert not at.engine.of(CancelRejected)


async def test_o25_orders_that_hang_do_not_hold_up_a_cancel(autojump_clock: Clock) -> None:
    async with scene() as at:
        await place(at, 999)

        async def hang_orders(body: dict[str, Any]) -> httpx.Response | None:
            return None if body["action"]["type"] == "order" else said(statuses(["success"]))

        at.venue.exchange = hang_orders
        for number in range(1, 40):
            at.release(order(number))
        await trio.sleep(0.2)
        at.release(cancel(999))
        before = trio.current_time()
        await at.until(lambda: at.venue.actions[-1]["type"] == "cancelByCloid", 5)
        assert trio.current_time() - before < 1


async def test_settings_are_answered(autojump_clock: Clock) -> None:
    async with scene() as at:
        at.release(SetLeverage(START_NS, 2, 5, True), ScheduleCancel(START_NS, START_NS + 10**10))
        await at.settle()
        assert [one.accepted for one in at.engine.of(LeverageAnswered, ScheduleAnswered)] == [True, True]
        assert {"type": "updateLeverage", "asset": 4, "isCross": True, "leverage": 5} in at.venue.actions
        assert {"type": "scheduleCancel", "time": START_MS + 10_000} in at.venue.actions


async def test_o03_a_fill_before_the_answer_is_reported_at_once_and_not_again(autojump_clock: Clock) -> None:
    async with scene() as at:

        async def fill_then_answer(body: dict[str, Any]) -> httpx.Response:
            oid = at.venue.rest(body["action"]["orders"][0])
            await at.venue.say_fills(fill_row(1, oid, name(1)))
            await trio.sleep(1)
            return said(statuses([{"filled": {"oid": oid, "totalSz": "0.001", "avgPx": "64000"}}]))

        at.venue.exchange = fill_then_answer
        at.release(order(1))
        await trio.sleep(4)
        assert at.engine.reports(name(1)) == ["OrderFilled", "OrderAccepted"]
        assert len(at.venue.asked("userFillsByTime")) == 1, "only the reconciliation queried fills"


async def test_o02_an_order_accepted_by_the_stream_before_the_answer_is_one_order(
    autojump_clock: Clock,
) -> None:
    async with scene() as at:

        async def update_then_answer(body: dict[str, Any]) -> httpx.Response:
            oid = at.venue.rest(body["action"]["orders"][0])
            await at.venue.say("orderUpdates", [update(oid, name(1), "open")])
            await trio.sleep(1)
            return said(statuses([{"resting": {"oid": oid}}]))

        at.venue.exchange = update_then_answer
        at.release(order(1))
        await trio.sleep(2)
        first, second = at.engine.about(name(1))
        assert first.venue_order_id == second.venue_order_id
        assert at.venue.placed == [name(1)]


async def test_o04_a_fill_is_reported_once_by_stream_doubled_frame_snapshot_and_reading(
    autojump_clock: Clock,
) -> None:
    async with scene() as at:
        oid = await place(at)
        row = fill_row(1, oid, name(1))
        await at.venue.say_fills(row)
        await at.venue.say("userFills", {"user": USER, "fills": [row]})
        await at.venue.say("user", {"fills": [row]})
        await at.venue.drop()
        await at.live(2)
        assert len(at.engine.of(OrderFilled)) == 1
        assert at.gateway.health.fills_repeated >= 2


async def test_o16_fills_of_other_orders_have_no_client_order_id(autojump_clock: Clock) -> None:
    async with scene() as at:
        await at.venue.say_fills(
            fill_row(1, 50, None), fill_row(2, 51, "0x" + "e" * 32), fill_row(3, 52, "nonsense")
        )
        await at.venue.say_fills(fill_row(4, 53, None, coin="DOGE"))
        await at.venue.say("orderUpdates", [update(51, "0x" + "e" * 32, "canceled")])
        await at.settle()
        assert [(one.client_order_id, one.venue_order_id) for one in at.engine.of(OrderFilled)] == [
            ("", 50),
            ("", 51),
            ("", 52),
        ]
        assert not at.engine.of(OrderCanceled, OrderAccepted)


async def test_an_ioc_filled_in_part_ends_after_its_fills(autojump_clock: Clock) -> None:
    async with scene() as at:

        async def fill_half(body: dict[str, Any]) -> httpx.Response:
            oid = at.venue.rest(body["action"]["orders"][0])
            return said(statuses([{"filled": {"oid": oid, "totalSz": "0.0004", "avgPx": "64000"}}]))

        at.venue.exchange = fill_half
        at.release(order(1, tif="Ioc"))
        await at.settle()
        assert at.engine.reports(name(1)) == ["OrderAccepted"], "its fills arrive later"
        oid = at.engine.of(OrderAccepted)[0].venue_order_id
        await at.venue.say_fills(fill_row(1, oid, name(1), sz="0.0003"))
        await at.settle()
        assert at.engine.reports(name(1)) == ["OrderAccepted", "OrderFilled"]
        await at.venue.say_fills(fill_row(2, oid, name(1), sz="0.0001"))
        await at.venue.say("orderUpdates", [update(oid, name(1), "canceled", sz="0.0006", orig="0.001")])
        await at.settle()
        assert at.engine.reports(name(1)) == ["OrderAccepted", "OrderFilled", "OrderFilled", "OrderCanceled"]
        assert at.engine.of(OrderCanceled)[0].remaining == 60


async def test_fills_that_the_stream_does_not_report_are_read_before_the_end_is_reported(
    autojump_clock: Clock,
) -> None:
    async with scene() as at:
        oid = await place(at)
        at.venue.fills.append(fill_row(1, oid, name(1), sz="0.0004"))  # and no frame
        await at.venue.say("orderUpdates", [update(oid, name(1), "canceled", sz="0.0006", orig="0.001")])
        await trio.sleep(1)
        assert at.engine.reports(name(1)) == ["OrderAccepted"]
        await trio.sleep(3)
        assert at.engine.reports(name(1)) == ["OrderAccepted", "OrderFilled", "OrderCanceled"]


async def test_an_end_is_reported_even_if_fills_never_arrive(autojump_clock: Clock) -> None:
    # The venue shrinks a reduce-only order, so the missing part was never executed.
    async with scene() as at:
        oid = await place(at)
        await at.venue.say(
            "orderUpdates", [update(oid, name(1), "reduceOnlyCanceled", sz="0.0006", orig="0.001")]
        )
        await trio.sleep(4)
        assert at.engine.reports(name(1)) == ["OrderAccepted", "OrderCanceled"]
        assert at.engine.of(OrderCanceled)[0].reason == "reduceOnlyCanceled"


async def test_a_cancel_by_the_venue_is_queried_unless_an_update_reported_it(
    autojump_clock: Clock,
) -> None:
    async with scene() as at:
        reported, unreported = await place(at, 1), await place(at, 2)
        for oid in (reported, unreported):
            at.venue.orders[oid]["status"] = "marginCanceled"
        await at.venue.say("orderUpdates", [at.venue.orders[reported]])
        both = [{"coin": "BTC", "oid": reported}, {"coin": "BTC", "oid": unreported}]
        await at.venue.say("user", {"nonUserCancel": both})
        await trio.sleep(2)
        assert [one["oid"] for one in at.venue.asked("orderStatus")] == [unreported]
        assert [(one.client_order_id, one.reason) for one in at.engine.of(OrderCanceled)] == [
            (name(1), "marginCanceled"),
            (name(2), "marginCanceled"),
        ]


@pytest.mark.parametrize("late", [False, True])
async def test_o08_the_end_of_an_old_leg_is_not_the_end_of_a_modified_order(
    autojump_clock: Clock, late: bool
) -> None:
    async with scene() as at:
        old = await place(at)
        ended = update(old, name(1), "canceled")

        async def modify(body: dict[str, Any]) -> httpx.Response | Exception | None:
            if not late:
                await at.venue.say("orderUpdates", [ended])
                await trio.sleep(0.5)
            return await at.venue.obey(body)

        at.venue.exchange = modify
        at.release(ModifyOrder(START_NS, name(1), 1, BUY, 100, 639_000, "Gtc", False, START_NS + 10**10))
        await trio.sleep(1)
        if late:
            await at.venue.say("orderUpdates", [ended])
        await at.settle()
        assert not at.engine.of(OrderCanceled)
        (modified,) = at.engine.of(OrderModified)
        assert (modified.venue_order_id, modified.limit_price) == (old + 1, 639_000)
        (action,) = [one for one in at.venue.actions if one["type"] == "batchModify"]
        assert "a" not in action, "it would be placed even if the old one was filled"
        assert action["modifies"][0]["oid"] == name(1)
        # Fills of both legs count, and the end of the new leg is the end of the order.
        await at.venue.say_fills(fill_row(1, old, name(1)), fill_row(2, old + 1, name(1), sz="0.0005"))
        await at.venue.say("orderUpdates", [update(old + 1, name(1), "canceled", sz="0.0005", orig="0.001")])
        await at.settle()
        assert at.engine.reports(name(1))[2:] == ["OrderFilled", "OrderFilled", "OrderCanceled"]


async def test_a_refused_modification_releases_the_delayed_end(autojump_clock: Clock) -> None:
    async with scene() as at:
        oid = await place(at)

        async def refuse(body: dict[str, Any]) -> httpx.Response:
            await at.venue.say("orderUpdates", [update(oid, name(1), "canceled")])
            await trio.sleep(0.5)
            return said(statuses([{"error": "Cannot modify canceled or filled order"}]))

        at.venue.exchange = refuse
        at.release(ModifyOrder(START_NS, name(1), 1, BUY, 100, 639_000, "Gtc", False, START_NS + 10**10))
        await trio.sleep(1)
        assert at.engine.reports(name(1)) == ["OrderAccepted", "ModifyRejected", "OrderCanceled"]


@pytest.mark.parametrize("late", [False, True])
async def test_i10_a_refused_change_is_not_the_refusal_of_the_order(
    autojump_clock: Clock, late: bool
) -> None:
    """The order ends as canceled, after its fills, whenever the refusal of its new leg is heard of."""
    async with scene() as at:
        oid = await place(at)
        refused = update(oid + 1, name(1), "badAloPxRejected")

        async def refuse(body: dict[str, Any]) -> httpx.Response:
            at.venue.orders[oid]["status"] = "canceled"
            at.venue.orders[oid + 1] = refused
            if not late:
                await at.venue.say("orderUpdates", [refused])
                await trio.sleep(0.5)
            return said(statuses([{"error": "Error placing new order during modify: Post only"}]))

        at.venue.exchange = refuse
        change = ModifyOrder(START_NS, name(1), 1, BUY, 100, 639_000, "Gtc", False, START_NS + 10**10)
        at.release(msgspec.structs.replace(change, proof_ns=START_NS + 10**10, venue_order_id=oid))
        await trio.sleep(1)
        if late:
            await at.venue.say("orderUpdates", [refused])
            await at.settle()
        assert at.engine.reports(name(1)) == ["OrderAccepted", "ModifyRejected"]
        # A fill of the old leg that the stream lost is read before the answer to a question.
        at.venue.fills.append(fill_row(1, oid, name(1), sz="0.0004"))
        at.release(QueryOrder(START_NS, name(1), 1, 1))
        await at.settle()
        assert at.engine.reports(name(1))[2:] == ["OrderFilled", "OrderRead"]
        assert at.engine.of(OrderRead)[-1].state == "canceled"
        await at.venue.say("orderUpdates", [update(oid, name(1), "canceled", sz="0.0006", orig="0.001")])
        await at.settle()
        assert at.engine.reports(name(1))[4:] == ["OrderCanceled"]


async def test_an_order_with_two_attached_orders_is_sent_in_one_action(
    autojump_clock: Clock,
) -> None:
    async with scene() as at:

        async def answer(body: dict[str, Any]) -> httpx.Response:
            oid = at.venue.rest(body["action"]["orders"][0])
            return said(statuses([{"resting": {"oid": oid}}, "waitingForFill", "waitingForFill"]))

        at.venue.exchange = answer
        children = [
            order(
                number,
                price=0,
                side=-BUY,
                reduce_only=True,
                trigger=kind,
                trigger_price=price,
                parent=name(1),
                bound=bound,
            )
            for number, kind, price, bound in ((2, "sl", 630_000, 567_000), (3, "tp", 650_000, 598_000))
        ]
        at.release(order(1), *children)
        await at.settle()
        (action,) = at.venue.actions
        assert action["grouping"] == "normalTpsl"
        assert [one["t"].get("trigger", {}).get("tpsl") for one in action["orders"]] == [None, "sl", "tp"]
        assert [one["p"] for one in action["orders"]] == ["64000", "56700", "59800"]
        assert all(one["t"]["trigger"]["isMarket"] and one["r"] for one in action["orders"][1:])
        assert [one.venue_order_id for one in at.engine.of(OrderAccepted)] == [1001, 0, 0]


async def test_an_unknown_instrument_is_refused_and_not_sent(autojump_clock: Clock) -> None:
    async with scene() as at:
        at.release(CancelOrder(START_NS, name(1), 77))
        await at.settle()
        (refused,) = at.engine.of(CancelRejected)
        assert "not traded in this session" in refused.reason
        assert not at.venue.actions


async def test_a_command_waits_for_the_earlier_one_about_the_same_order(autojump_clock: Clock) -> None:
    async with scene() as at:

        async def slowly(body: dict[str, Any]) -> httpx.Response | Exception | None:
            await trio.sleep(2 if body["action"]["type"] == "order" else 0)
            return await at.venue.obey(body)

        at.venue.exchange = slowly
        at.release(order(1))
        await at.settle()
        at.release(cancel(1))
        await trio.sleep(1)
        assert [action["type"] for action in at.venue.actions] == ["order"]
        await trio.sleep(2)
        assert [action["type"] for action in at.venue.actions] == ["order", "cancelByCloid"]


async def test_i11_too_many_commands_fail_the_edge_not_the_session(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.hyperliquid.gateway.gateway.JOBS_MAX", 3)
    with pytest.RaisesGroup(pytest.RaisesExc(EngineError, match="loop"), flatten_subgroups=True):
        async with scene() as at:
            for number in range(1, 6):
                at.release(cancel(number))
            assert at.gateway.health.jobs_high == 3
            await at.settle()


async def test_messages_before_the_confirmation_are_reported_after_it(autojump_clock: Clock) -> None:
    def prepare(venue: Venue) -> None:
        venue.fills = [fill_row(1, 50, None), fill_row(2, 51, None, ms=START_MS - 1)]
        row = update(52, name(9), "open")
        venue.first_frames = [json.dumps({"channel": "orderUpdates", "data": [row]})]

    async with scene(prepare=prepare) as at:
        kinds = [type(one) for one in at.engine.events]
        assert kinds[:2] == [GatewayUp, OrderFilled]
        assert {OrderAccepted, AccountRead} <= set(kinds)
        assert len(at.engine.of(OrderFilled)) == 1, "the other one is from before the journal"
