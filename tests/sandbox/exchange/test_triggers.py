"""Stop-loss and take-profit orders: single, with a parent order, and for a position."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.sandbox.info import Info
from tests.sandbox.exchange.kit import ALICE, BOB_KEY, IOC, ExchangeDriver, oid_of, orders, trigger, wire


def stop(price: str, size: str = "0.5", **more: object) -> dict[str, object]:
    """Return a market stop loss for a long position."""
    return wire(price, size, buy=False, reduce_only=True, kind=trigger(price, "sl"), **more)  # type: ignore[arg-type]


def target(price: str, size: str = "0.5") -> dict[str, object]:
    """Return a market take profit for a long position."""
    return wire(price, size, buy=False, reduce_only=True, kind=trigger(price, "tp"))


def ask(driver: ExchangeDriver, kind: str) -> list[dict[str, Any]]:
    """Return an answer of /info for Alice."""
    body = json.dumps({"type": kind, "user": ALICE}).encode()
    found: list[dict[str, Any]] = json.loads(
        Info(driver.market, driver.exchange, 1.0).answer(body, driver.now_ms).body
    )
    return found


def test_a_stop_fires_on_the_mark_not_on_trades_and_executes_as_taker() -> None:
    driver = ExchangeDriver()
    driver.place(wire("84144", "0.5"))
    (status,) = driver.place(stop("84000"))
    assert list(status) == ["resting"]
    driver.trade("83000", "1", sold=True)
    driver.quote("84000", "84001")  # the mark is 84000.5
    assert driver.alice.positions["BTC"].size == 50_000
    driver.quote("83999", "84001")
    assert driver.alice.positions["BTC"].size == 0
    assert [status for status, _ in driver.updates()][-3:] == ["open", "triggered", "filled"]
    (fill,) = driver.reported("userFills")[-1]["fills"]
    assert (fill["px"], fill["crossed"], fill["oid"]) == ("83999.0", True, oid_of(status))


@pytest.mark.parametrize(
    ("bound", "filled"),
    [("84000", True), ("83950", False), ("83900", True)],
    ids=["at the trigger: 10 percent", "a bound that is not reached", "a bound that is"],
)
def test_a_market_stop_trades_up_to_its_limit_or_ten_percent_beyond(bound: str, filled: bool) -> None:
    driver = ExchangeDriver()
    driver.place(wire("84144", "0.5"))
    order = {**stop("84000"), "p": bound}
    driver.place(order)
    driver.quote("83900", "83902")
    assert (driver.alice.positions["BTC"].size == 0) == filled
    assert driver.updates()[-1] == (("filled", "0.0") if filled else ("canceled", "0.5"))


def test_a_triggered_limit_order_rests() -> None:
    driver = ExchangeDriver()
    driver.place(wire("84144", "0.5"))
    kind = trigger("84500", "tp", market=False)
    driver.place(wire("84600", "0.5", buy=False, reduce_only=True, kind=kind))
    driver.quote("84500", "84501")
    (order,) = driver.alice.orders.values()
    assert (order.status, order.waits) == ("triggered", "")
    driver.quote("84600", "84601")
    assert not driver.alice.orders


def test_a_trigger_already_passed_by_the_mark_is_refused() -> None:
    driver = ExchangeDriver()
    driver.place(wire("84144", "0.5"))
    text = {"error": "Invalid TP/SL price. asset=0"}
    assert driver.place(stop("84200")) == [text]
    assert driver.place(target("84000")) == [text]


def test_an_opening_stop_requires_margin_when_it_fires() -> None:
    driver = ExchangeDriver()
    order = wire("84500", "0.5", kind=trigger("84400", "sl"))
    driver.place(order)
    driver.quote("84400", "84401")
    assert driver.alice.positions["BTC"].size == 50_000
    driver.place({**order, "t": trigger("85000", "sl"), "p": "85100"})
    driver.alice.cash //= 1_000
    driver.quote("85000", "85001")
    assert ("marginCanceled", "0.5") in driver.updates()


class TestWithAParent:
    """`normalTpsl`: an order with a stop loss and a take profit that wait for it."""

    def test_children_become_active_when_their_parent_is_filled(self) -> None:
        driver = ExchangeDriver()
        found = driver.place(wire("84000", "0.5"), target("85000"), stop("83000"), grouping="normalTpsl")
        assert [found[0].keys(), *found[1:]] == [{"resting"}, "waitingForFill", "waitingForFill"]
        driver.quote("82999", "83002")  # also beyond the stop, before the parent's fill is reported
        assert driver.alice.positions["BTC"].size == 50_000
        driver.quote("82900", "82901")
        assert driver.alice.positions["BTC"].size == 0
        assert [s for s, _ in driver.updates()] == [
            *("open", "filled", "open", "open", "triggered", "filled", "siblingFilledCanceled"),
        ]

    def test_children_of_a_parent_filled_at_once_wait_for_the_trigger(self) -> None:
        driver = ExchangeDriver()
        found = driver.place(wire("84200", "0.5"), target("85000"), stop("83000"), grouping="normalTpsl")
        assert [found[0].keys(), *found[1:]] == [{"filled"}, "waitingForTrigger", "waitingForTrigger"]
        assert len(driver.alice.orders) == 2

    def test_children_are_canceled_with_a_partly_filled_parent(self) -> None:
        driver = ExchangeDriver()
        parent, *_ = driver.place(wire("84144", "1.5"), stop("83000", "1.5"), grouping="normalTpsl")
        driver.act({"type": "cancel", "cancels": [{"a": 0, "o": oid_of(parent)}]})
        assert not driver.alice.orders
        assert driver.updates()[-2:] == [("canceled", "0.5"), ("canceled", "1.5")]

    def test_children_of_an_ioc_that_was_filled_in_part_are_canceled(self) -> None:
        driver = ExchangeDriver()
        driver.place(wire("84144", "1.5", kind=IOC), stop("83000", "1.5"), grouping="normalTpsl")
        assert not driver.alice.orders
        assert [s for s, _ in driver.updates()] == ["open", "canceled", "canceled"]

    def test_o13_only_the_child_with_a_used_client_order_id_is_refused(self) -> None:
        driver = ExchangeDriver()
        cloid = "0x" + "0d" * 16
        child = stop("83000", cloid=cloid)
        found = driver.place(wire("84000", "0.5", cloid=cloid), child, target("85000"), grouping="normalTpsl")
        assert [list(found[0]), list(found[1]), found[2]] == [["resting"], ["error"], "waitingForFill"]
        driver.quote("83999", "84000")
        assert [order.trigger for order in driver.alice.orders.values()] == ["tp"]

    def test_children_of_a_refused_parent_are_refused_with_the_same_text(self) -> None:
        driver = ExchangeDriver()
        found = driver.place(wire("84000", "0.0001"), stop("83000"), grouping="normalTpsl")
        assert found == [{"error": "Order must have minimum value of $10. asset=0"}] * 2
        assert not driver.alice.orders

    def test_waiting_children_are_shown_inside_their_parent_only(self) -> None:
        driver = ExchangeDriver()
        driver.place(wire("84000", "0.5"), target("85000"), stop("83000"), grouping="normalTpsl")
        (shown,) = ask(driver, "frontendOpenOrders")
        assert [child["orderType"] for child in shown["children"]] == ["Take Profit Market", "Stop Market"]
        assert [child["triggerCondition"] for child in shown["children"]] == [
            "Price above 85000",
            "Price below 83000",
        ]
        assert len(ask(driver, "openOrders")) == len(ask(driver, "historicalOrders")) == 1
        driver.quote("83999", "84000")
        assert {one["orderType"] for one in ask(driver, "frontendOpenOrders")} == {
            "Take Profit Market",
            "Stop Market",
        }

    def test_filling_one_of_two_resting_siblings_cancels_the_other(self) -> None:
        driver = ExchangeDriver()
        driver.place(wire("84144", "0.5"))
        legs = [
            wire("84600", "0.1", buy=False, reduce_only=True, kind=trigger("84500", "tp", market=False)),
            wire("84700", "0.1", buy=False, reduce_only=True, kind=trigger("83000", "sl", market=False)),
        ]
        driver.place(wire("84144", "0.1"), *legs, grouping="normalTpsl")
        driver.quote("84500", "84501")
        driver.quote("82999", "83000")
        driver.quote("84100", "84900")
        assert [one.waits for one in driver.alice.orders.values()] == ["", ""]
        (status,) = driver.place(wire("84800", "0.2", kind=IOC), key=BOB_KEY)
        assert status["filled"] == {"totalSz": "0.1", "avgPx": "84600.0", "oid": oid_of(status)}
        assert driver.updates()[-1] == ("siblingFilledCanceled", "0.1")
        assert driver.alice.positions["BTC"].size == 50_000

    def test_a_group_is_checked_before_anything_is_placed(self) -> None:
        driver = ExchangeDriver()
        for wires, text in (
            ([stop("83000"), target("85000")], "Main order cannot be trigger order."),
            ([wire("84000", "1")], "Unexpected number of trigger orders"),
            ([wire("84000", "1"), wire("84000", "1")], "Unexpected number of trigger orders"),
        ):
            answer = driver.act(orders(*wires, grouping="normalTpsl"))
            assert answer == {"status": "err", "response": text}
        answer = driver.act(orders(wire("84000", "1"), grouping="positionTpsl"))
        assert answer == {"status": "err", "response": "Unexpected number of trigger orders"}
        loose = {**stop("83000"), "r": False}
        assert driver.place(wire("84000", "1"), loose, grouping="normalTpsl") == [
            {"error": "TP/SL orders must be reduce only. asset=0"}
        ]
        assert not driver.alice.orders


def test_a_stop_of_the_position_follows_its_size() -> None:
    driver = ExchangeDriver()
    driver.place(wire("84144", "0.3"))
    assert driver.place(stop("83000", "0"), grouping="positionTpsl") == ["waitingForTrigger"]
    driver.quote("84143", "84144", "2")
    driver.place(wire("84144", "0.4"))
    driver.quote("82990", "82991")
    assert driver.alice.positions["BTC"].size == 0
    assert driver.reported("userFills")[-1]["fills"][0]["sz"] == "0.7"


def test_triggers_of_a_closed_position_are_canceled() -> None:
    driver = ExchangeDriver()
    driver.place(wire("84144", "0.5"))
    driver.place(stop("83000"), target("85000"))
    driver.place(wire("84000", "0.5", buy=False))
    assert [s for s, _ in driver.updates()][-2:] == ["reduceOnlyCanceled"] * 2
