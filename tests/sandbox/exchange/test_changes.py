"""Orders are canceled, changed, and canceled by the clock."""

from __future__ import annotations

from typing import Any

from tests.sandbox.exchange.kit import (
    ALICE,
    ALO,
    BOB_KEY,
    GTC,
    IOC,
    Floor,
    oid_of,
    statuses,
    trigger,
    wire,
)

CLOID = "0x" + "ab" * 16
GONE = {"error": "Order was never placed, already canceled, or filled. asset=0"}
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
    """By order id and by client id."""

    def test_a_canceled_order_keeps_the_size_it_still_had(self) -> None:
        floor = Floor()
        (status,) = floor.place(wire("84144", "1.5"))
        answer = floor.act(cancel(oid_of(status)))
        assert answer["response"] == {"type": "cancel", "data": {"statuses": ["success"]}}
        assert floor.updates()[-1] == ("canceled", "0.5")
        assert not floor.alice.orders
        assert not [event for event in floor.told("userEvents") if "nonUserCancel" in event]

    def test_o06_never_placed_canceled_and_filled_are_one_text(self) -> None:
        floor = Floor()
        (resting,), (filled,) = floor.place(wire("84000", "0.1")), floor.place(wire("84144", "0.1"))
        assert statuses(floor.act(cancel(oid_of(resting)))) == ["success"]
        for oid in (oid_of(resting), oid_of(filled), 1):
            assert statuses(floor.act(cancel(oid))) == [GONE]

    def test_by_client_id_with_the_same_answers(self) -> None:
        floor = Floor()
        floor.place(wire("84000", "0.1", cloid=CLOID))
        answer = floor.act(by_cloid(CLOID))
        assert answer["response"] == {"type": "cancel", "data": {"statuses": ["success"]}}
        assert statuses(floor.act(by_cloid(CLOID))) == [GONE]

    def test_o29_an_order_of_another_account_or_asset_is_not_found(self) -> None:
        floor = Floor()
        (status,) = floor.place(wire("84000", "0.1"))
        assert statuses(floor.act(cancel(oid_of(status)), BOB_KEY)) == [GONE]
        (found,) = statuses(floor.act(cancel(oid_of(status), asset=1)))
        assert found["error"].endswith("asset=1")
        assert floor.alice.orders


class TestModify:
    """Cancel and place: a new order id, the same client id."""

    def test_it_has_a_new_oid_the_same_client_id_and_a_gtc_comes_back_post_only(self) -> None:
        floor = Floor()
        (status,) = floor.place(wire("84000", "0.1", cloid=CLOID))
        answer = floor.act(modify(oid_of(status), wire("83000", "0.2", cloid=CLOID)))
        assert answer == OK
        (order,) = floor.alice.orders.values()
        assert order.oid != oid_of(status)
        assert (order.cloid, order.tif, order.price, order.size) == (CLOID, "Alo", 830_000, 20_000)
        assert floor.updates() == [("open", "0.1"), ("canceled", "0.1"), ("open", "0.2")]
        assert floor.alice.by_cloid[CLOID] is order

    def test_batch_modify_answers_as_order_does_and_takes_client_ids(self) -> None:
        floor = Floor()
        floor.place(wire("84000", "0.1", cloid=CLOID))
        answer = floor.act(modifies(CLOID, wire("83000", "0.1", kind=ALO)))
        (status,) = statuses(answer)
        assert answer["response"]["type"] == "order"
        assert status["resting"]["cloid"] == CLOID

    def test_what_is_gone_cannot_be_modified_unless_always_is_asked(self) -> None:
        floor = Floor()
        (status,) = floor.place(wire("84144", "0.1", cloid=CLOID))
        change = wire("84000", "0.1")
        assert floor.act(modify(oid_of(status), change)) == {
            "status": "err",
            "response": "Cannot modify canceled or filled order",
        }
        assert statuses(floor.act(modifies(CLOID, change))) == [
            {"error": "Cannot modify canceled or filled order"}
        ]
        (placed,) = statuses(floor.act(modifies(CLOID, change, always=True)))
        assert placed["resting"]["cloid"] == CLOID

    def test_o08_without_always_a_crossing_price_leaves_neither_the_new_nor_the_old_order(self) -> None:
        floor = Floor()
        (status,) = floor.place(wire("84000", "0.1"))
        answer = floor.act(modify(oid_of(status), wire("84200", "0.1")))
        assert answer["response"].startswith(
            "Error placing new order during modify: Post only order would have immediately matched"
        )
        assert not floor.alice.orders
        assert [status for status, _ in floor.updates()] == ["open", "canceled", "badAloPxRejected"]

    def test_children_go_when_the_order_in_the_place_of_their_parent_is_refused(self) -> None:
        floor = Floor()
        stop = wire("83000", "0.1", buy=False, reduce_only=True, kind=trigger("83000", "sl"))
        first, _ = floor.place(wire("84000", "0.1"), stop, grouping="normalTpsl")
        assert floor.act(modify(oid_of(first), wire("84200", "0.1")))["status"] == "err"
        assert not floor.alice.orders

    def test_an_order_of_another_asset_is_not_the_one_that_is_modified(self) -> None:
        floor = Floor()
        (status,) = floor.place(wire("84000", "0.1"))
        floor.quote_purr(210_000, 210_010)
        answer = floor.act(modify(oid_of(status), wire("0.2", "100", asset=1)))
        assert answer["response"] == "Cannot modify canceled or filled order"
        assert list(floor.alice.orders) == [oid_of(status)]

    def test_with_always_it_trades_at_once(self) -> None:
        floor = Floor()
        (status,) = floor.place(wire("84000", "0.1"))
        (found,) = statuses(floor.act(modifies(oid_of(status), wire("84200", "0.1"), always=True)))
        assert found["filled"]["totalSz"] == "0.1"

    def test_what_the_action_alone_shows_to_be_wrong_leaves_the_old_order(self) -> None:
        floor = Floor()
        (status,) = floor.place(wire("84000", "0.1"))
        oid = oid_of(status)
        wrong = (
            wire("84000.5", "0.1"),
            wire("84000", "0.1", kind=IOC),
            wire("84000", "0.1", buy=False, kind=trigger("84000", "sl")),
        )
        for order in wrong:
            assert floor.act(modify(oid, order))["status"] == "err"
        assert list(floor.alice.orders) == [oid]

    def test_children_stay_with_the_order_that_takes_the_place_of_their_parent(self) -> None:
        floor = Floor()
        stop = wire("83000", "0.1", buy=False, reduce_only=True, kind=trigger("83000", "sl"))
        first, child = floor.place(wire("84000", "0.1"), stop, grouping="normalTpsl")
        assert child == "waitingForFill"
        floor.act(modify(oid_of(first), wire("84100", "0.1", kind=GTC)))
        floor.touch("84099", "84100")
        (order,) = floor.alice.orders.values()
        assert (order.trigger, order.waits) == ("sl", "trigger")


class TestScheduledCancel:
    """The dead man's switch."""

    def schedule(self, time_ms: int | None) -> dict[str, Any]:
        return {"type": "scheduleCancel"} | ({} if time_ms is None else {"time": time_ms})

    def test_it_needs_a_million_of_volume(self) -> None:
        floor = Floor()
        text = "Cannot set scheduled cancel time until enough volume traded. Required: $1000000. Traded: $0."
        answer = floor.act(self.schedule(floor.now_ms + 10_000))
        assert answer == {"status": "err", "response": text}

    def test_it_cancels_everything_at_its_time_unless_moved_or_cleared(self) -> None:
        floor = Floor(volumes=[(ALICE, "1000000")])
        assert floor.act(self.schedule(floor.now_ms + 4_999))["status"] == "err"
        assert floor.act(self.schedule(floor.now_ms + 5_000)) == OK
        floor.place(wire("84000", "0.1"), wire("84001", "0.1"))
        floor.wait(4_999)
        assert len(floor.alice.orders) == 2
        assert floor.act(self.schedule(floor.now_ms + 6_000)) == OK
        floor.wait(5_999)
        assert len(floor.alice.orders) == 2
        floor.touch("84143", "84145", after_ms=1)
        assert not floor.alice.orders
        assert [status for status, _ in floor.updates()][2:] == ["scheduledCancel"] * 2
        floor.place(wire("84000", "0.1"))
        assert floor.act(self.schedule(floor.now_ms + 5_000)) == OK
        assert floor.act(self.schedule(None)) == OK
        floor.wait(10_000)
        assert floor.alice.orders

    def test_what_is_due_is_done_before_a_later_request(self) -> None:
        floor = Floor(volumes=[(ALICE, "1000000")])
        floor.act(self.schedule(floor.now_ms + 5_000))
        (status,) = floor.place(wire("84000", "0.1"))
        floor.now_ms += 5_000
        assert statuses(floor.act(cancel(oid_of(status)))) == [GONE]

    def test_o30_it_fires_ten_times_a_day(self) -> None:
        floor = Floor(volumes=[(ALICE, "1000000")])
        for _ in range(10):
            assert floor.act(self.schedule(floor.now_ms + 5_000)) == OK
            floor.wait(5_000)
        assert floor.act(self.schedule(floor.now_ms + 5_000))["status"] == "err"
        floor.wait(86_400_000)
        assert floor.act(self.schedule(floor.now_ms + 5_000)) == OK
