"""Cancels, modifications and scheduled cancels."""

from __future__ import annotations

from typing import Any

from tests.sandbox.exchange.kit import (
    ALICE,
    ALO,
    BOB_KEY,
    GTC,
    IOC,
    ExchangeDriver,
    oid_of,
    statuses,
    trigger,
    wire,
)

CLOID = "0x" + "ab" * 16
NOT_OPEN = {"error": "Order was never placed, already canceled, or filled. asset=0"}
OK = {"status": "ok", "response": {"type": "default"}}


def cancel(oid: int, asset: int = 0) -> dict[str, Any]:
    return {"type": "cancel", "cancels": [{"a": asset, "o": oid}]}


def by_cloid(cloid: str) -> dict[str, Any]:
    return {"type": "cancelByCloid", "cancels": [{"asset": 0, "cloid": cloid}]}


def modify(oid: int | str, order: dict[str, Any], *, always: bool = False) -> dict[str, Any]:
    action = {"type": "modify", "oid": oid, "order": order}
    return {**action, "a": True} if always else action


def modifies(oid: int | str, order: dict[str, Any], *, always: bool = False) -> dict[str, Any]:
    action = {"type": "batchModify", "modifies": [{"oid": oid, "order": order}]}
    return {**action, "a": True} if always else action


class TestCancel:
    """Cancels by order id and by client order id."""

    def test_a_canceled_order_keeps_the_size_it_still_had(self) -> None:
        driver = ExchangeDriver()
        (status,) = driver.place(wire("84144", "1.5"))
        answer = driver.act(cancel(oid_of(status)))
        assert answer["response"] == {"type": "cancel", "data": {"statuses": ["success"]}}
        assert driver.updates()[-1] == ("canceled", "0.5")
        assert not driver.alice.orders
        assert not [event for event in driver.reported("userEvents") if "nonUserCancel" in event]

    def test_o06_unknown_canceled_and_filled_orders_get_the_same_text(self) -> None:
        driver = ExchangeDriver()
        (resting,), (filled,) = driver.place(wire("84000", "0.1")), driver.place(wire("84144", "0.1"))
        assert statuses(driver.act(cancel(oid_of(resting)))) == ["success"]
        for oid in (oid_of(resting), oid_of(filled), 1):
            assert statuses(driver.act(cancel(oid))) == [NOT_OPEN]

    def test_by_client_id_with_the_same_answers(self) -> None:
        driver = ExchangeDriver()
        driver.place(wire("84000", "0.1", cloid=CLOID))
        answer = driver.act(by_cloid(CLOID))
        assert answer["response"] == {"type": "cancel", "data": {"statuses": ["success"]}}
        assert statuses(driver.act(by_cloid(CLOID))) == [NOT_OPEN]

    def test_o29_an_order_of_another_account_or_asset_is_not_found(self) -> None:
        driver = ExchangeDriver()
        (status,) = driver.place(wire("84000", "0.1"))
        assert statuses(driver.act(cancel(oid_of(status)), BOB_KEY)) == [NOT_OPEN]
        (found,) = statuses(driver.act(cancel(oid_of(status), asset=1)))
        assert found["error"].endswith("asset=1")
        assert driver.alice.orders


class TestModify:
    """Modifications: a new order id, the same client order id."""

    def test_it_has_a_new_oid_the_same_client_id_and_a_gtc_comes_back_post_only(self) -> None:
        driver = ExchangeDriver()
        (status,) = driver.place(wire("84000", "0.1", cloid=CLOID))
        answer = driver.act(modify(oid_of(status), wire("83000", "0.2", cloid=CLOID)))
        assert answer == OK
        (order,) = driver.alice.orders.values()
        assert order.oid != oid_of(status)
        assert (order.cloid, order.tif, order.price, order.size) == (CLOID, "Alo", 830_000, 20_000)
        assert driver.updates() == [("open", "0.1"), ("canceled", "0.1"), ("open", "0.2")]
        assert driver.alice.by_cloid[CLOID] is order

    def test_batch_modify_answers_as_order_does_and_takes_client_ids(self) -> None:
        driver = ExchangeDriver()
        driver.place(wire("84000", "0.1", cloid=CLOID))
        answer = driver.act(modifies(CLOID, wire("83000", "0.1", kind=ALO)))
        (status,) = statuses(answer)
        assert answer["response"]["type"] == "order"
        assert status["resting"]["cloid"] == CLOID

    def test_an_ended_order_cannot_be_modified_without_always(self) -> None:
        driver = ExchangeDriver()
        (status,) = driver.place(wire("84144", "0.1", cloid=CLOID))
        change = wire("84000", "0.1")
        assert driver.act(modify(oid_of(status), change)) == {
            "status": "err",
            "response": "Cannot modify canceled or filled order",
        }
        assert statuses(driver.act(modifies(CLOID, change))) == [
            {"error": "Cannot modify canceled or filled order"}
        ]
        (placed,) = statuses(driver.act(modifies(CLOID, change, always=True)))
        assert placed["resting"]["cloid"] == CLOID

    def test_o08_without_always_a_crossing_price_leaves_neither_the_new_nor_the_old_order(self) -> None:
        driver = ExchangeDriver()
        (status,) = driver.place(wire("84000", "0.1"))
        answer = driver.act(modify(oid_of(status), wire("84200", "0.1")))
        assert answer["response"].startswith(
            "Error placing new order during modify: Post only order would have immediately matched"
        )
        assert not driver.alice.orders
        assert [status for status, _ in driver.updates()] == ["open", "canceled", "badAloPxRejected"]

    def test_children_are_canceled_when_the_new_parent_is_refused(self) -> None:
        driver = ExchangeDriver()
        stop = wire("83000", "0.1", buy=False, reduce_only=True, kind=trigger("83000", "sl"))
        first, _ = driver.place(wire("84000", "0.1"), stop, grouping="normalTpsl")
        assert driver.act(modify(oid_of(first), wire("84200", "0.1")))["status"] == "err"
        assert not driver.alice.orders

    def test_an_order_of_another_asset_is_not_modified(self) -> None:
        driver = ExchangeDriver()
        (status,) = driver.place(wire("84000", "0.1"))
        driver.quote_purr(210_000, 210_010)
        answer = driver.act(modify(oid_of(status), wire("0.2", "100", asset=1)))
        assert answer["response"] == "Cannot modify canceled or filled order"
        assert list(driver.alice.orders) == [oid_of(status)]

    def test_with_always_the_new_order_can_trade_at_once(self) -> None:
        driver = ExchangeDriver()
        (status,) = driver.place(wire("84000", "0.1"))
        (found,) = statuses(driver.act(modifies(oid_of(status), wire("84200", "0.1"), always=True)))
        assert found["filled"]["totalSz"] == "0.1"

    def test_an_invalid_modification_leaves_the_old_order(self) -> None:
        driver = ExchangeDriver()
        (status,) = driver.place(wire("84000", "0.1"))
        oid = oid_of(status)
        wrong = (
            wire("84000.5", "0.1"),
            wire("84000", "0.1", kind=IOC),
            wire("84000", "0.1", buy=False, kind=trigger("84000", "sl")),
        )
        for order in wrong:
            assert driver.act(modify(oid, order))["status"] == "err"
        assert list(driver.alice.orders) == [oid]

    def test_children_move_to_the_new_parent(self) -> None:
        driver = ExchangeDriver()
        stop = wire("83000", "0.1", buy=False, reduce_only=True, kind=trigger("83000", "sl"))
        first, child = driver.place(wire("84000", "0.1"), stop, grouping="normalTpsl")
        assert child == "waitingForFill"
        driver.act(modify(oid_of(first), wire("84100", "0.1", kind=GTC)))
        driver.quote("84099", "84100")
        (order,) = driver.alice.orders.values()
        assert (order.trigger, order.waits) == ("sl", "trigger")


class TestScheduledCancel:
    """Scheduled cancels."""

    def schedule(self, time_ms: int | None) -> dict[str, Any]:
        return {"type": "scheduleCancel"} | ({} if time_ms is None else {"time": time_ms})

    def test_it_requires_a_million_of_volume(self) -> None:
        driver = ExchangeDriver()
        text = "Cannot set scheduled cancel time until enough volume traded. Required: $1000000. Traded: $0."
        answer = driver.act(self.schedule(driver.now_ms + 10_000))
        assert answer == {"status": "err", "response": text}

    def test_it_cancels_all_orders_at_its_time_unless_moved_or_cleared(self) -> None:
        driver = ExchangeDriver(volumes=[(ALICE, "1000000")])
        assert driver.act(self.schedule(driver.now_ms + 4_999))["status"] == "err"
        assert driver.act(self.schedule(driver.now_ms + 5_000)) == OK
        driver.place(wire("84000", "0.1"), wire("84001", "0.1"))
        driver.wait(4_999)
        assert len(driver.alice.orders) == 2
        assert driver.act(self.schedule(driver.now_ms + 6_000)) == OK
        driver.wait(5_999)
        assert len(driver.alice.orders) == 2
        driver.quote("84143", "84145", after_ms=1)
        assert not driver.alice.orders
        assert [status for status, _ in driver.updates()][2:] == ["scheduledCancel"] * 2
        driver.place(wire("84000", "0.1"))
        assert driver.act(self.schedule(driver.now_ms + 5_000)) == OK
        assert driver.act(self.schedule(None)) == OK
        driver.wait(10_000)
        assert driver.alice.orders

    def test_a_due_cancel_runs_before_a_later_request(self) -> None:
        driver = ExchangeDriver(volumes=[(ALICE, "1000000")])
        driver.act(self.schedule(driver.now_ms + 5_000))
        (status,) = driver.place(wire("84000", "0.1"))
        driver.now_ms += 5_000
        assert statuses(driver.act(cancel(oid_of(status)))) == [NOT_OPEN]

    def test_o30_it_fires_ten_times_a_day(self) -> None:
        driver = ExchangeDriver(volumes=[(ALICE, "1000000")])
        for _ in range(10):
            assert driver.act(self.schedule(driver.now_ms + 5_000)) == OK
            driver.wait(5_000)
        assert driver.act(self.schedule(driver.now_ms + 5_000))["status"] == "err"
        driver.wait(86_400_000)
        assert driver.act(self.schedule(driver.now_ms + 5_000)) == OK
