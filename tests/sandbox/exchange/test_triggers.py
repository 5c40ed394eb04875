"""Stop-loss and take-profit orders: on the mark, alone, with a parent, with a position."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.sandbox.info import Info
from tests.sandbox.exchange.kit import ALICE, BOB_KEY, IOC, Floor, oid_of, orders, trigger, wire


def stop(price: str, size: str = "0.5", **more: object) -> dict[str, object]:
    """A market stop below a long position."""
    return wire(price, size, buy=False, reduce_only=True, kind=trigger(price, "sl"), **more)  # type: ignore[arg-type]


def target(price: str, size: str = "0.5") -> dict[str, object]:
    """A market target above a long position."""
    return wire(price, size, buy=False, reduce_only=True, kind=trigger(price, "tp"))


def ask(floor: Floor, kind: str) -> list[dict[str, Any]]:
    """An answer of /info about Alice."""
    body = json.dumps({"type": kind, "user": ALICE}).encode()
    found: list[dict[str, Any]] = json.loads(
        Info(floor.market, floor.desk, 1.0).answer(body, floor.now_ms).body
    )
    return found


def test_a_stop_fires_on_the_mark_not_on_prints_and_trades_as_a_taker() -> None:
    floor = Floor()
    floor.place(wire("84144", "0.5"))
    (status,) = floor.place(stop("84000"))
    assert list(status) == ["resting"]
    floor.print("83000", "1", sold=True)
    floor.touch("84000", "84001")  # the mark is 84000.5
    assert floor.alice.positions["BTC"].size == 50_000
    floor.touch("83999", "84001")
    assert floor.alice.positions["BTC"].size == 0
    assert [status for status, _ in floor.updates()][-3:] == ["open", "triggered", "filled"]
    (fill,) = floor.told("userFills")[-1]["fills"]
    assert (fill["px"], fill["crossed"], fill["oid"]) == ("83999.0", True, oid_of(status))


@pytest.mark.parametrize(
    ("bound", "filled"),
    [("84000", True), ("83950", False), ("83900", True)],
    ids=["at the trigger: 10 percent", "a bound that is not reached", "a bound that is"],
)
def test_a_market_stop_trades_to_its_bound_or_ten_percent_beyond(bound: str, filled: bool) -> None:
    floor = Floor()
    floor.place(wire("84144", "0.5"))
    order = {**stop("84000"), "p": bound}
    floor.place(order)
    floor.touch("83900", "83902")
    assert (floor.alice.positions["BTC"].size == 0) == filled
    assert floor.updates()[-1] == (("filled", "0.0") if filled else ("canceled", "0.5"))


def test_a_limit_trigger_rests_once_it_is_hit() -> None:
    floor = Floor()
    floor.place(wire("84144", "0.5"))
    kind = trigger("84500", "tp", market=False)
    floor.place(wire("84600", "0.5", buy=False, reduce_only=True, kind=kind))
    floor.touch("84500", "84501")
    (order,) = floor.alice.orders.values()
    assert (order.status, order.waits) == ("triggered", "")
    floor.touch("84600", "84601")
    assert not floor.alice.orders


def test_a_trigger_that_the_mark_is_past_already_is_refused() -> None:
    floor = Floor()
    floor.place(wire("84144", "0.5"))
    text = {"error": "Invalid TP/SL price. asset=0"}
    assert floor.place(stop("84200")) == [text]
    assert floor.place(target("84000")) == [text]


def test_a_stop_to_open_a_position_needs_no_position_but_margin_when_it_fires() -> None:
    floor = Floor()
    order = wire("84500", "0.5", kind=trigger("84400", "sl"))
    floor.place(order)
    floor.touch("84400", "84401")
    assert floor.alice.positions["BTC"].size == 50_000
    floor.place({**order, "t": trigger("85000", "sl"), "p": "85100"})
    floor.alice.cash //= 1_000
    floor.touch("85000", "85001")
    assert ("marginCanceled", "0.5") in floor.updates()


class TestWithAParent:
    """`normalTpsl`: an order, and a stop and a target that wait for it."""

    def test_children_of_a_resting_parent_wait_and_are_armed_when_it_is_filled(self) -> None:
        floor = Floor()
        found = floor.place(wire("84000", "0.5"), target("85000"), stop("83000"), grouping="normalTpsl")
        assert [found[0].keys(), *found[1:]] == [{"resting"}, "waitingForFill", "waitingForFill"]
        floor.touch("82999", "83002")  # through the stop, too, before the parent's fill is told
        assert floor.alice.positions["BTC"].size == 50_000
        floor.touch("82900", "82901")
        assert floor.alice.positions["BTC"].size == 0
        assert [s for s, _ in floor.updates()] == [
            *("open", "filled", "open", "open", "triggered", "filled", "siblingFilledCanceled"),
        ]

    def test_children_of_a_parent_that_fills_at_once_wait_for_the_trigger(self) -> None:
        floor = Floor()
        found = floor.place(wire("84200", "0.5"), target("85000"), stop("83000"), grouping="normalTpsl")
        assert [found[0].keys(), *found[1:]] == [{"filled"}, "waitingForTrigger", "waitingForTrigger"]
        assert len(floor.alice.orders) == 2

    def test_children_go_with_their_parent_even_when_it_was_partly_filled(self) -> None:
        floor = Floor()
        parent, *_ = floor.place(wire("84144", "1.5"), stop("83000", "1.5"), grouping="normalTpsl")
        floor.act({"type": "cancel", "cancels": [{"a": 0, "o": oid_of(parent)}]})
        assert not floor.alice.orders
        assert floor.updates()[-2:] == [("canceled", "0.5"), ("canceled", "1.5")]

    def test_children_of_an_ioc_that_was_filled_in_part_are_canceled(self) -> None:
        floor = Floor()
        floor.place(wire("84144", "1.5", kind=IOC), stop("83000", "1.5"), grouping="normalTpsl")
        assert not floor.alice.orders
        assert [s for s, _ in floor.updates()] == ["open", "canceled", "canceled"]

    def test_o13_a_child_with_a_used_client_id_is_refused_alone(self) -> None:
        floor = Floor()
        cloid = "0x" + "0d" * 16
        child = stop("83000", cloid=cloid)
        found = floor.place(wire("84000", "0.5", cloid=cloid), child, target("85000"), grouping="normalTpsl")
        assert [list(found[0]), list(found[1]), found[2]] == [["resting"], ["error"], "waitingForFill"]
        floor.touch("83999", "84000")
        assert [order.trigger for order in floor.alice.orders.values()] == ["tp"]

    def test_children_of_a_refused_parent_are_refused_with_its_words(self) -> None:
        floor = Floor()
        found = floor.place(wire("84000", "0.0001"), stop("83000"), grouping="normalTpsl")
        assert found == [{"error": "Order must have minimum value of $10. asset=0"}] * 2
        assert not floor.alice.orders

    def test_waiting_children_are_shown_inside_their_parent_only(self) -> None:
        floor = Floor()
        floor.place(wire("84000", "0.5"), target("85000"), stop("83000"), grouping="normalTpsl")
        (shown,) = ask(floor, "frontendOpenOrders")
        assert [child["orderType"] for child in shown["children"]] == ["Take Profit Market", "Stop Market"]
        assert [child["triggerCondition"] for child in shown["children"]] == [
            "Price above 85000",
            "Price below 83000",
        ]
        assert len(ask(floor, "openOrders")) == len(ask(floor, "historicalOrders")) == 1
        floor.touch("83999", "84000")
        assert {one["orderType"] for one in ask(floor, "frontendOpenOrders")} == {
            "Take Profit Market",
            "Stop Market",
        }

    def test_a_taker_that_fills_one_of_two_resting_siblings_does_not_get_the_other(self) -> None:
        floor = Floor()
        floor.place(wire("84144", "0.5"))
        legs = [
            wire("84600", "0.1", buy=False, reduce_only=True, kind=trigger("84500", "tp", market=False)),
            wire("84700", "0.1", buy=False, reduce_only=True, kind=trigger("83000", "sl", market=False)),
        ]
        floor.place(wire("84144", "0.1"), *legs, grouping="normalTpsl")
        floor.touch("84500", "84501")
        floor.touch("82999", "83000")
        floor.touch("84100", "84900")
        assert [one.waits for one in floor.alice.orders.values()] == ["", ""]
        (status,) = floor.place(wire("84800", "0.2", kind=IOC), key=BOB_KEY)
        assert status["filled"] == {"totalSz": "0.1", "avgPx": "84600.0", "oid": oid_of(status)}
        assert floor.updates()[-1] == ("siblingFilledCanceled", "0.1")
        assert floor.alice.positions["BTC"].size == 50_000

    def test_the_shape_of_a_group_is_checked_before_anything_is_done(self) -> None:
        floor = Floor()
        for wires, text in (
            ([stop("83000"), target("85000")], "Main order cannot be trigger order."),
            ([wire("84000", "1")], "Unexpected number of trigger orders"),
            ([wire("84000", "1"), wire("84000", "1")], "Unexpected number of trigger orders"),
        ):
            answer = floor.act(orders(*wires, grouping="normalTpsl"))
            assert answer == {"status": "err", "response": text}
        answer = floor.act(orders(wire("84000", "1"), grouping="positionTpsl"))
        assert answer == {"status": "err", "response": "Unexpected number of trigger orders"}
        loose = {**stop("83000"), "r": False}
        assert floor.place(wire("84000", "1"), loose, grouping="normalTpsl") == [
            {"error": "TP/SL orders must be reduce only. asset=0"}
        ]
        assert not floor.alice.orders


def test_a_stop_of_the_position_follows_its_size() -> None:
    floor = Floor()
    floor.place(wire("84144", "0.3"))
    assert floor.place(stop("83000", "0"), grouping="positionTpsl") == ["waitingForTrigger"]
    floor.touch("84143", "84144", "2")
    floor.place(wire("84144", "0.4"))
    floor.touch("82990", "82991")
    assert floor.alice.positions["BTC"].size == 0
    assert floor.told("userFills")[-1]["fills"][0]["sz"] == "0.7"


def test_triggers_of_a_position_that_is_closed_are_canceled() -> None:
    floor = Floor()
    floor.place(wire("84144", "0.5"))
    floor.place(stop("83000"), target("85000"))
    floor.place(wire("84000", "0.5", buy=False))
    assert [s for s, _ in floor.updates()][-2:] == ["reduceOnlyCanceled"] * 2
