"""What an account is worth, needs, pays and receives, to the last digit; and what happens when it cannot."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.sandbox.exchange.accounts import Position
from adapters.sandbox.exchange.money import DOLLAR, UNIT, fee_of, money_text, notional
from adapters.sandbox.exchange.states import asset_data, clearinghouse_state
from engine.events import InstrumentListed
from engine.values import BUY, SELL
from tests.sandbox.exchange.kit import (
    ALICE,
    BOB,
    BOB_KEY,
    IOC,
    START_MS,
    Floor,
    trigger,
    wire,
)

HOUR_MS = 3_600_000
FINE = InstrumentListed(0, 3, "binance", "BTCUSDT", 2, 8)
OK = {"status": "ok", "response": {"type": "default"}}


def state(floor: Floor) -> dict[str, Any]:
    return clearinghouse_state(floor.alice, floor.desk.margin, floor.now_ms)


def position(floor: Floor) -> dict[str, Any]:
    (row,) = state(floor)["assetPositions"]
    found: dict[str, Any] = row["position"]
    return found


def leverage(value: int, *, cross: bool = True) -> dict[str, Any]:
    return {"type": "updateLeverage", "asset": 0, "isCross": cross, "leverage": value}


def add_margin(dollars: float) -> dict[str, Any]:
    return {"type": "updateIsolatedMargin", "asset": 0, "isBuy": True, "ntli": int(dollars * 1_000_000)}


@pytest.mark.parametrize(
    ("value", "taker", "maker"),
    [(1000 * DOLLAR, 450_000 * UNIT, 150_000 * UNIT), (UNIT, UNIT, UNIT), (0, 0, 0)],
)
def test_fees_are_those_of_tier_0_rounded_up(value: int, taker: int, maker: int) -> None:
    assert (fee_of(value, taker=True), fee_of(value, taker=False)) == (taker, maker)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0.0"), (DOLLAR, "1.0"), (-UNIT, "-0.000001"), (-UNIT + 1, "0.0"), (UNIT * 10, "0.00001")],
)
def test_money_is_cut_towards_zero_and_never_minus_zero(value: int, text: str) -> None:
    assert money_text(value) == text


def test_a_flat_account_is_what_was_deposited() -> None:
    floor = Floor()
    whole = {
        "accountValue": "100000.0",
        "totalNtlPos": "0.0",
        "totalRawUsd": "100000.0",
        "totalMarginUsed": "0.0",
    }
    assert state(floor) == {
        "marginSummary": whole,
        "crossMarginSummary": whole,
        "crossMaintenanceMarginUsed": "0.0",
        "withdrawable": "100000.0",
        "assetPositions": [],
        "time": floor.now_ms,
    }


def test_a_cross_position_is_shown_with_its_gain_margin_and_liquidation_price() -> None:
    floor = Floor()
    floor.place(wire("84144", "0.5"))
    floor.touch("85143", "85145")
    found = position(floor)
    assert found == {
        "coin": "BTC",
        "szi": "0.5",
        "leverage": {"type": "cross", "value": 20},
        "entryPx": "84144.0",
        "positionValue": "42572.0",
        "unrealizedPnl": "500.0",
        "returnOnEquity": "0.237687",
        "liquidationPx": None,  # 100,000 dollars carry it down to nothing
        "marginUsed": "2128.6",
        "maxLeverage": 40,
        "cumFunding": {"allTime": "0.0", "sinceOpen": "0.0", "sinceChange": "0.0"},
    }
    whole = state(floor)
    assert whole["crossMaintenanceMarginUsed"] == "532.15"
    assert whole["marginSummary"]["accountValue"] == "100481.0676"
    assert whole["withdrawable"] == "98352.4676"


@pytest.mark.parametrize("buy", [True, False])
@pytest.mark.parametrize("cross", [True, False])
def test_at_its_liquidation_price_equity_is_the_maintenance_margin(buy: bool, cross: bool) -> None:
    floor = Floor([(ALICE, "5000")])
    floor.act(leverage(20, cross=cross))
    floor.place(wire("84200" if buy else "84100", "0.5", buy=buy))
    price = float(position(floor)["liquidationPx"])
    size = 0.5 if buy else -0.5
    held = floor.alice.positions["BTC"]
    worth = (held.margin if not cross else floor.alice.cash) / DOLLAR - held.cost / DOLLAR + size * price
    assert worth == pytest.approx(abs(size) * price / 80, abs=1e-3)


def test_average_entry_realized_gains_and_turning_a_position() -> None:
    floor = Floor()
    floor.place(wire("84144", "0.1"))
    floor.touch("84243", "84244")
    floor.place(wire("84244", "0.3"))
    assert position(floor)["entryPx"] == "84219.0"
    floor.touch("84319", "84320")
    floor.place(wire("84319", "0.6", buy=False))
    (fill,) = floor.told("userFills")[-1]["fills"]
    assert (fill["closedPnl"], fill["dir"], fill["startPosition"]) == ("40.0", "Long > Short", "0.4")
    assert (position(floor)["szi"], position(floor)["entryPx"]) == ("-0.2", "84319.0")
    floor.place(wire("84320", "0.2", reduce_only=True))
    (fill,) = floor.told("userFills")[-1]["fills"]
    assert (fill["closedPnl"], fill["dir"]) == ("-0.2", "Close Short")
    fills = [fill for data in floor.told("userFills") for fill in data["fills"]]
    cash = 100_000 + sum(float(f["closedPnl"]) - float(f["fee"]) for f in fills)
    assert state(floor)["marginSummary"]["accountValue"] == f"{cash:.6f}".rstrip("0")


@given(st.lists(st.tuples(st.sampled_from([BUY, SELL]), st.integers(1, 9), st.integers(1, 10**7))))
@example([(BUY, 3, 10**6 + 1), (SELL, 1, 10**6), (SELL, 5, 10**6)])
def test_what_cutting_a_realized_gain_leaves_stays_in_the_cost(fills: list[tuple[int, int, int]]) -> None:
    held = Position(FINE)
    spent = 0  # what the position cost since it was last flat, less what was realized
    for side, size, price in fills:
        value = notional(FINE, price, size)
        turned = abs(held.size) < size and held.size * side < 0
        opened = value * (size - abs(held.size)) // size if turned else 0
        realized = held.fill(side, size, value)
        assert realized % UNIT == 0
        spent = side * opened if turned else spent + side * value + realized
        assert held.cost == (spent if held.size else 0)
        spent = held.cost


class TestMargin:
    """What may be placed and held."""

    def test_an_order_beyond_the_margin_is_refused_and_resting_orders_count(self) -> None:
        floor = Floor([(ALICE, "5000")])
        text = {"error": "Insufficient margin to place order. asset=0"}
        assert floor.place(wire("80000", "1.3")) == [text]
        (status,) = floor.place(wire("80000", "0.8"))
        assert list(status) == ["resting"]
        assert floor.place(wire("80000", "0.6")) == [text]
        assert floor.updates()[-1] == ("perpMarginRejected", "0.6")

    def test_both_sides_do_not_add_up(self) -> None:
        floor = Floor([(ALICE, "5000")])
        found = floor.place(wire("80000", "1"), wire("88000", "1", buy=False))
        assert [list(status) for status in found] == [["resting"], ["resting"]]

    def test_leverage_decides_how_much(self) -> None:
        floor = Floor([(ALICE, "5000")])
        assert floor.act(leverage(2)) == OK
        assert list(floor.place(wire("84000", "0.13"))[0]) == ["error"]
        assert list(floor.place(wire("84000", "0.11"))[0]) == ["resting"]
        assert floor.act(leverage(40)) == OK
        assert list(floor.place(wire("84000", "2"))[0]) == ["resting"]

    @pytest.mark.parametrize("value", [0, 41])
    def test_leverage_is_1_to_the_coins_highest(self, value: int) -> None:
        assert Floor().act(leverage(value)) == {"status": "err", "response": "Invalid leverage value"}

    def test_leverage_is_not_lowered_below_what_the_account_carries(self) -> None:
        floor = Floor([(ALICE, "5000")])
        floor.place(wire("84144", "1"))
        for value in (20, 30):
            assert floor.act(leverage(10))["response"].startswith("Cross position does not have sufficient")
            assert position(floor)["leverage"]["value"] == value
            assert floor.act(leverage(30)) == OK

    def test_leverage_of_an_isolated_position_is_not_lowered_below_its_margin(self) -> None:
        floor = Floor()
        floor.act(leverage(10, cross=False))
        floor.place(wire("84144", "0.5"))
        answer = floor.act(leverage(5, cross=False))
        assert answer["response"].startswith("Isolated position does not have sufficient margin available")
        floor.act(add_margin(5_000))
        assert floor.act(leverage(5, cross=False)) == OK

    def test_an_open_position_stays_cross_or_isolated(self) -> None:
        floor = Floor()
        floor.place(wire("84144", "0.1"))
        text = "Cannot switch leverage type with open position."
        assert floor.act(leverage(20, cross=False)) == {"status": "err", "response": text}

    def test_what_may_be_traded_is_what_is_free_at_the_leverage(self) -> None:
        floor = Floor()
        floor.touch("80000", "80000.2")
        row = asset_data(floor.alice, floor.desk.margin, floor.market.by_name["BTC"].listed)
        assert row["leverage"] == {"type": "cross", "value": 20}
        assert row["availableToTrade"] == ["100000.0", "100000.0"]
        assert row["maxTradeSzs"] == ["24.99996", "24.99996"]
        assert list(floor.place(wire("79000", row["maxTradeSzs"][0]))[0]) == ["resting"]


class TestIsolated:
    """A position with margin of its own."""

    def opened(self) -> Floor:
        floor = Floor()
        floor.act(leverage(10, cross=False))
        floor.place(wire("84144", "0.5"))
        return floor

    def test_its_margin_is_set_aside(self) -> None:
        floor = self.opened()
        floor.touch("84144", "84144.2")
        found = position(floor)
        assert found["leverage"] == {"type": "isolated", "value": 10, "rawUsd": "-37864.8"}
        assert found["marginUsed"] == "4207.25"
        whole = state(floor)
        assert whole["crossMarginSummary"]["totalNtlPos"] == "0.0"
        total = float(whole["marginSummary"]["accountValue"])
        assert total - float(whole["crossMarginSummary"]["accountValue"]) == pytest.approx(4207.25)

    def test_margin_is_added_and_taken_but_not_below_what_it_needs(self) -> None:
        floor = self.opened()
        before = float(position(floor)["marginUsed"])
        assert floor.act(add_margin(100)) == OK
        assert float(position(floor)["marginUsed"]) == before + 100
        assert floor.act(add_margin(-99)) == OK
        for dollars, text in (
            (-10, "Position does not have sufficient margin for reduction."),
            (0, "Update to isolated margin cannot be zero."),
            (1e6, "Account does not have sufficient margin available for increase."),
        ):
            assert floor.act(add_margin(dollars)) == {"status": "err", "response": text}

    def test_only_an_isolated_position_has_margin_to_move(self) -> None:
        floor = Floor()
        text = "Cannot update margin for empty position."
        assert floor.act(add_margin(1)) == {"status": "err", "response": text}
        floor.place(wire("84144", "0.1"))
        text = "Position does not use isolated margin."
        assert floor.act(add_margin(1)) == {"status": "err", "response": text}

    def test_it_is_given_back_with_the_position(self) -> None:
        floor = self.opened()
        floor.place(wire("84000", "0.2", buy=False))
        assert floor.alice.positions["BTC"].margin == 42_072 * DOLLAR * 6 // 100
        floor.place(wire("84000", "0.3", buy=False))
        assert floor.alice.positions["BTC"].margin == 0


class TestLiquidation:
    """Below maintenance."""

    def test_a_cross_account_loses_its_orders_then_its_position(self) -> None:
        floor = Floor([(ALICE, "3000")])
        floor.place(wire("84200", "0.5"))
        floor.place(wire("70000", "0.01"), wire("90000", "0.5", buy=False, reduce_only=True))
        floor.touch("79300", "79302")
        assert floor.alice.positions["BTC"].size == 50_000
        floor.touch("78000", "78002")
        held = floor.alice.positions["BTC"]
        assert (held.size, held.cost, floor.alice.orders) == (0, 0, {})
        told = [status for status, _ in floor.updates()]
        assert told[-4:] == ["liquidatedCanceled", "liquidatedCanceled", "open", "filled"]
        (fill,) = floor.told("userFills")[-1]["fills"]
        assert fill["liquidation"] == {"liquidatedUser": ALICE, "markPx": "78001.0", "method": "market"}
        (event,) = [e["liquidation"] for e in floor.told("userEvents") if "liquidation" in e]
        assert event["liquidated_user"] == ALICE
        (deposit, row) = [
            row
            for data in floor.told("userNonFundingLedgerUpdates")
            for row in data["nonFundingLedgerUpdates"]
        ]
        assert deposit["delta"] == {"type": "deposit", "usdc": "3000.0"}
        assert row["delta"]["liquidatedPositions"] == [{"coin": "BTC", "szi": "0.5"}]

    def test_an_isolated_position_goes_alone(self) -> None:
        floor = Floor()
        floor.act(leverage(40, cross=False))
        floor.place(wire("84200", "0.5"))
        floor.quote_purr(210_000, 210_010)
        floor.place(wire("70000", "0.1"), wire("0.2", "100", asset=1))
        floor.touch("82000", "82002")
        assert floor.alice.positions["BTC"].size == 0
        assert [order.listed.name for order in floor.alice.orders.values()] == ["PURR"]
        assert float(state(floor)["withdrawable"]) > 98_000

    def test_what_the_book_cannot_take_goes_with_the_next_touch(self) -> None:
        floor = Floor([(ALICE, "30000")])
        floor.touch("84143", "84144", "10")
        floor.place(wire("84200", "5"))
        for _ in range(12):
            floor.touch("77000", "77002", "0.001")
            left = floor.alice.positions["BTC"].size
            floor.touch("77001", "77002", "0.001")
            if not floor.alice.positions["BTC"].size:
                break
            assert floor.alice.positions["BTC"].size < left
        assert floor.alice.positions["BTC"].size == 0

    def test_without_anyone_to_trade_with_it_waits_for_the_next_touch(self) -> None:
        floor = Floor([(ALICE, "3000")])
        floor.place(wire("84000", "0.5", buy=False))
        floor.one_sided("84143")
        floor.print("95000", "0.1")
        floor.one_sided("84144")
        assert floor.alice.positions["BTC"].size == -50_000
        assert not [event for event in floor.told("userEvents") if "liquidation" in event]
        floor.touch("94999", "95001")
        assert floor.alice.positions["BTC"].size == 0

    def test_the_counterparty_is_told_too(self) -> None:
        floor = Floor([(ALICE, "3000"), (BOB, "100000")])
        floor.place(wire("84200", "0.5"))
        floor.place(wire("78000", "0.5"), key=BOB_KEY)
        floor.touch("77999", "78005", "0.1")
        fills = [fill for data in floor.told("userFills", BOB) for fill in data["fills"]]
        assert [fill["liquidation"]["liquidatedUser"] for fill in fills] == [ALICE]


def test_a_book_that_loses_a_side_keeps_its_mark_until_the_next_print() -> None:
    floor = Floor()
    floor.place(wire("84144", "0.5"))
    floor.one_sided("80000")
    assert position(floor)["positionValue"] == "42071.75"
    floor.print("84000", "0.1")
    assert position(floor)["positionValue"] == "42000.0"


class TestFunding:
    """On the hour, against the oracle."""

    def test_longs_pay_shorts_receive_and_all_is_told(self) -> None:
        floor = Floor()
        floor.place(wire("84144", "0.5"))
        floor.place(wire("84143", "0.5", buy=False), key=BOB_KEY)
        cash = floor.alice.cash, floor.bob.cash
        floor.wait(HOUR_MS - floor.now_ms % HOUR_MS - 1)
        assert (floor.alice.cash, floor.bob.cash) == cash
        floor.wait(1)
        paid = -525_897 * UNIT  # 0.5 * 84143.5 * 0.0000125, rounded against the account
        assert floor.alice.cash - cash[0] == paid
        assert floor.bob.cash - cash[1] == 525_896 * UNIT
        row = {
            "time": START_MS + HOUR_MS,
            "coin": "BTC",
            "usdc": "-0.525897",
            "szi": "0.5",
            "fundingRate": "0.0000125",
            "nSamples": None,
        }
        assert floor.told("userFundings") == [{"user": ALICE, "fundings": [row]}]
        assert {"funding": row} in floor.told("userEvents")
        assert position(floor)["cumFunding"]["sinceOpen"] == "0.525897"

    def test_every_hour_that_passed_is_settled_once_and_in_the_history(self) -> None:
        floor = Floor()
        floor.wait(3 * HOUR_MS)
        floor.touch("84143", "84145")
        rows = floor.desk.funding.rows("BTC", 0, floor.now_ms)
        assert [row["time"] - START_MS for row in rows] == [HOUR_MS, 2 * HOUR_MS, 3 * HOUR_MS]
        assert rows[0] == {
            "coin": "BTC",
            "fundingRate": "0.0000125",
            "premium": "0.0",
            "time": START_MS + HOUR_MS,
        }

    def test_an_isolated_position_pays_from_its_own_margin(self) -> None:
        floor = Floor()
        floor.act(leverage(10, cross=False))
        floor.place(wire("84144", "0.5"))
        free, own = state(floor)["withdrawable"], floor.alice.positions["BTC"].margin
        floor.wait(HOUR_MS)
        assert state(floor)["withdrawable"] == free
        assert floor.alice.positions["BTC"].margin == own - 525_897 * UNIT

    def test_a_flat_account_pays_nothing(self) -> None:
        floor = Floor()
        floor.place(wire("84144", "0.5", kind=IOC), wire("84000", "0.5", buy=False))
        floor.wait(HOUR_MS)
        assert not floor.told("userFundings")


def test_waiting_triggers_need_no_margin() -> None:
    floor = Floor([(ALICE, "5000")])
    for price in ("85000", "86000"):
        (status,) = floor.place(wire(price, "1", kind=trigger(price, "sl")))
        assert list(status) == ["resting"]
