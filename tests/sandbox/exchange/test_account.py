"""Accounts: equity, margin, fees and funding to the last digit, and liquidation."""

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
    ExchangeDriver,
    trigger,
    wire,
)

HOUR_MS = 3_600_000
FINE = InstrumentListed(0, 3, "binance", "BTCUSDT", 2, 8)
OK = {"status": "ok", "response": {"type": "default"}}


def state(driver: ExchangeDriver) -> dict[str, Any]:
    return clearinghouse_state(driver.alice, driver.exchange.margin, driver.now_ms)


def position(driver: ExchangeDriver) -> dict[str, Any]:
    (row,) = state(driver)["assetPositions"]
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
def test_money_is_rounded_towards_zero_and_never_minus_zero(value: int, text: str) -> None:
    assert money_text(value) == text


def test_a_flat_account_is_worth_its_deposit() -> None:
    driver = ExchangeDriver()
    whole = {
        "accountValue": "100000.0",
        "totalNtlPos": "0.0",
        "totalRawUsd": "100000.0",
        "totalMarginUsed": "0.0",
    }
    assert state(driver) == {
        "marginSummary": whole,
        "crossMarginSummary": whole,
        "crossMaintenanceMarginUsed": "0.0",
        "withdrawable": "100000.0",
        "assetPositions": [],
        "time": driver.now_ms,
    }


def test_a_cross_position_shows_profit_margin_and_liquidation_price() -> None:
    driver = ExchangeDriver()
    driver.place(wire("84144", "0.5"))
    driver.quote("85143", "85145")
    found = position(driver)
    assert found == {
        "coin": "BTC",
        "szi": "0.5",
        "leverage": {"type": "cross", "value": 20},
        "entryPx": "84144.0",
        "positionValue": "42572.0",
        "unrealizedPnl": "500.0",
        "returnOnEquity": "0.237687",
        "liquidationPx": None,  # 100,000 dollars cover it down to a price of 0
        "marginUsed": "2128.6",
        "maxLeverage": 40,
        "cumFunding": {"allTime": "0.0", "sinceOpen": "0.0", "sinceChange": "0.0"},
    }
    whole = state(driver)
    assert whole["crossMaintenanceMarginUsed"] == "532.15"
    assert whole["marginSummary"]["accountValue"] == "100481.0676"
    assert whole["withdrawable"] == "98352.4676"


@pytest.mark.parametrize("buy", [True, False])
@pytest.mark.parametrize("cross", [True, False])
def test_at_its_liquidation_price_equity_is_the_maintenance_margin(buy: bool, cross: bool) -> None:
    driver = ExchangeDriver([(ALICE, "5000")])
    driver.act(leverage(20, cross=cross))
    driver.place(wire("84200" if buy else "84100", "0.5", buy=buy))
    price = float(position(driver)["liquidationPx"])
    size = 0.5 if buy else -0.5
    held = driver.alice.positions["BTC"]
    worth = (held.margin if not cross else driver.alice.cash) / DOLLAR - held.cost / DOLLAR + size * price
    assert worth == pytest.approx(abs(size) * price / 80, abs=1e-3)


def test_average_entry_realized_profit_and_reversing_a_position() -> None:
    driver = ExchangeDriver()
    driver.place(wire("84144", "0.1"))
    driver.quote("84243", "84244")
    driver.place(wire("84244", "0.3"))
    assert position(driver)["entryPx"] == "84219.0"
    driver.quote("84319", "84320")
    driver.place(wire("84319", "0.6", buy=False))
    (fill,) = driver.reported("userFills")[-1]["fills"]
    assert (fill["closedPnl"], fill["dir"], fill["startPosition"]) == ("40.0", "Long > Short", "0.4")
    assert (position(driver)["szi"], position(driver)["entryPx"]) == ("-0.2", "84319.0")
    driver.place(wire("84320", "0.2", reduce_only=True))
    (fill,) = driver.reported("userFills")[-1]["fills"]
    assert (fill["closedPnl"], fill["dir"]) == ("-0.2", "Close Short")
    fills = [fill for data in driver.reported("userFills") for fill in data["fills"]]
    cash = 100_000 + sum(float(f["closedPnl"]) - float(f["fee"]) for f in fills)
    assert state(driver)["marginSummary"]["accountValue"] == f"{cash:.6f}".rstrip("0")


@given(st.lists(st.tuples(st.sampled_from([BUY, SELL]), st.integers(1, 9), st.integers(1, 10**7))))
@example([(BUY, 3, 10**6 + 1), (SELL, 1, 10**6), (SELL, 5, 10**6)])
def test_the_rounding_remainder_of_realized_profit_stays_in_the_cost(
    fills: list[tuple[int, int, int]],
) -> None:
    held = Position(FINE)
    spent = 0  # the cost since the position was last flat, less realized profit
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
    """Orders and positions that the margin allows."""

    def test_an_order_beyond_the_margin_is_refused_and_resting_orders_count(self) -> None:
        driver = ExchangeDriver([(ALICE, "5000")])
        text = {"error": "Insufficient margin to place order. asset=0"}
        assert driver.place(wire("80000", "1.3")) == [text]
        (status,) = driver.place(wire("80000", "0.8"))
        assert list(status) == ["resting"]
        assert driver.place(wire("80000", "0.6")) == [text]
        assert driver.updates()[-1] == ("perpMarginRejected", "0.6")

    def test_margin_of_both_sides_is_not_added_up(self) -> None:
        driver = ExchangeDriver([(ALICE, "5000")])
        found = driver.place(wire("80000", "1"), wire("88000", "1", buy=False))
        assert [list(status) for status in found] == [["resting"], ["resting"]]

    def test_leverage_limits_the_size(self) -> None:
        driver = ExchangeDriver([(ALICE, "5000")])
        assert driver.act(leverage(2)) == OK
        assert list(driver.place(wire("84000", "0.13"))[0]) == ["error"]
        assert list(driver.place(wire("84000", "0.11"))[0]) == ["resting"]
        assert driver.act(leverage(40)) == OK
        assert list(driver.place(wire("84000", "2"))[0]) == ["resting"]

    @pytest.mark.parametrize("value", [0, 41])
    def test_leverage_is_1_to_the_maximum_of_the_instrument(self, value: int) -> None:
        assert ExchangeDriver().act(leverage(value)) == {
            "status": "err",
            "response": "Invalid leverage value",
        }

    def test_leverage_cannot_be_lowered_below_what_the_equity_covers(self) -> None:
        driver = ExchangeDriver([(ALICE, "5000")])
        driver.place(wire("84144", "1"))
        for value in (20, 30):
            assert driver.act(leverage(10))["response"].startswith("Cross position does not have sufficient")
            assert position(driver)["leverage"]["value"] == value
            assert driver.act(leverage(30)) == OK

    def test_leverage_of_an_isolated_position_cannot_be_lowered_below_its_margin(self) -> None:
        driver = ExchangeDriver()
        driver.act(leverage(10, cross=False))
        driver.place(wire("84144", "0.5"))
        answer = driver.act(leverage(5, cross=False))
        assert answer["response"].startswith("Isolated position does not have sufficient margin available")
        driver.act(add_margin(5_000))
        assert driver.act(leverage(5, cross=False)) == OK

    def test_an_open_position_cannot_change_between_cross_and_isolated(self) -> None:
        driver = ExchangeDriver()
        driver.place(wire("84144", "0.1"))
        text = "Cannot switch leverage type with open position."
        assert driver.act(leverage(20, cross=False)) == {"status": "err", "response": text}

    def test_the_tradable_size_is_free_margin_times_leverage(self) -> None:
        driver = ExchangeDriver()
        driver.quote("80000", "80000.2")
        row = asset_data(driver.alice, driver.exchange.margin, driver.market.by_name["BTC"].listed)
        assert row["leverage"] == {"type": "cross", "value": 20}
        assert row["availableToTrade"] == ["100000.0", "100000.0"]
        assert row["maxTradeSzs"] == ["24.99996", "24.99996"]
        assert list(driver.place(wire("79000", row["maxTradeSzs"][0]))[0]) == ["resting"]


class TestIsolated:
    """Isolated positions."""

    def opened(self) -> ExchangeDriver:
        driver = ExchangeDriver()
        driver.act(leverage(10, cross=False))
        driver.place(wire("84144", "0.5"))
        return driver

    def test_its_margin_is_set_aside(self) -> None:
        driver = self.opened()
        driver.quote("84144", "84144.2")
        found = position(driver)
        assert found["leverage"] == {"type": "isolated", "value": 10, "rawUsd": "-37864.8"}
        assert found["marginUsed"] == "4207.25"
        whole = state(driver)
        assert whole["crossMarginSummary"]["totalNtlPos"] == "0.0"
        total = float(whole["marginSummary"]["accountValue"])
        assert total - float(whole["crossMarginSummary"]["accountValue"]) == pytest.approx(4207.25)

    def test_margin_can_be_added_and_removed_down_to_the_requirement(self) -> None:
        driver = self.opened()
        before = float(position(driver)["marginUsed"])
        assert driver.act(add_margin(100)) == OK
        assert float(position(driver)["marginUsed"]) == before + 100
        assert driver.act(add_margin(-99)) == OK
        for dollars, text in (
            (-10, "Position does not have sufficient margin for reduction."),
            (0, "Update to isolated margin cannot be zero."),
            (1e6, "Account does not have sufficient margin available for increase."),
        ):
            assert driver.act(add_margin(dollars)) == {"status": "err", "response": text}

    def test_margin_can_be_moved_for_isolated_positions_only(self) -> None:
        driver = ExchangeDriver()
        text = "Cannot update margin for empty position."
        assert driver.act(add_margin(1)) == {"status": "err", "response": text}
        driver.place(wire("84144", "0.1"))
        text = "Position does not use isolated margin."
        assert driver.act(add_margin(1)) == {"status": "err", "response": text}

    def test_its_margin_is_returned_when_the_position_closes(self) -> None:
        driver = self.opened()
        driver.place(wire("84000", "0.2", buy=False))
        assert driver.alice.positions["BTC"].margin == 42_072 * DOLLAR * 6 // 100
        driver.place(wire("84000", "0.3", buy=False))
        assert driver.alice.positions["BTC"].margin == 0


class TestLiquidation:
    """Positions below their maintenance margin."""

    def test_cross_liquidation_cancels_orders_then_sells_the_position(self) -> None:
        driver = ExchangeDriver([(ALICE, "3000")])
        driver.place(wire("84200", "0.5"))
        driver.place(wire("70000", "0.01"), wire("90000", "0.5", buy=False, reduce_only=True))
        driver.quote("79300", "79302")
        assert driver.alice.positions["BTC"].size == 50_000
        driver.quote("78000", "78002")
        held = driver.alice.positions["BTC"]
        assert (held.size, held.cost, driver.alice.orders) == (0, 0, {})
        reported = [status for status, _ in driver.updates()]
        assert reported[-4:] == ["liquidatedCanceled", "liquidatedCanceled", "open", "filled"]
        (fill,) = driver.reported("userFills")[-1]["fills"]
        assert fill["liquidation"] == {"liquidatedUser": ALICE, "markPx": "78001.0", "method": "market"}
        (event,) = [e["liquidation"] for e in driver.reported("userEvents") if "liquidation" in e]
        assert event["liquidated_user"] == ALICE
        (deposit, row) = [
            row
            for data in driver.reported("userNonFundingLedgerUpdates")
            for row in data["nonFundingLedgerUpdates"]
        ]
        assert deposit["delta"] == {"type": "deposit", "usdc": "3000.0"}
        assert row["delta"]["liquidatedPositions"] == [{"coin": "BTC", "szi": "0.5"}]

    def test_an_isolated_position_is_liquidated_alone(self) -> None:
        driver = ExchangeDriver()
        driver.act(leverage(40, cross=False))
        driver.place(wire("84200", "0.5"))
        driver.quote_purr(210_000, 210_010)
        driver.place(wire("70000", "0.1"), wire("0.2", "100", asset=1))
        driver.quote("82000", "82002")
        assert driver.alice.positions["BTC"].size == 0
        assert [order.listed.name for order in driver.alice.orders.values()] == ["PURR"]
        assert float(state(driver)["withdrawable"]) > 98_000

    def test_the_rest_is_sold_with_the_next_quote(self) -> None:
        driver = ExchangeDriver([(ALICE, "30000")])
        driver.quote("84143", "84144", "10")
        driver.place(wire("84200", "5"))
        for _ in range(12):
            driver.quote("77000", "77002", "0.001")
            left = driver.alice.positions["BTC"].size
            driver.quote("77001", "77002", "0.001")
            if not driver.alice.positions["BTC"].size:
                break
            assert driver.alice.positions["BTC"].size < left
        assert driver.alice.positions["BTC"].size == 0

    def test_without_liquidity_it_waits_for_the_next_quote(self) -> None:
        driver = ExchangeDriver([(ALICE, "3000")])
        driver.place(wire("84000", "0.5", buy=False))
        driver.one_sided("84143")
        driver.trade("95000", "0.1")
        driver.one_sided("84144")
        assert driver.alice.positions["BTC"].size == -50_000
        assert not [event for event in driver.reported("userEvents") if "liquidation" in event]
        driver.quote("94999", "95001")
        assert driver.alice.positions["BTC"].size == 0

    def test_the_counterparty_gets_the_liquidation_details_too(self) -> None:
        driver = ExchangeDriver([(ALICE, "3000"), (BOB, "100000")])
        driver.place(wire("84200", "0.5"))
        driver.place(wire("78000", "0.5"), key=BOB_KEY)
        driver.quote("77999", "78005", "0.1")
        fills = [fill for data in driver.reported("userFills", BOB) for fill in data["fills"]]
        assert [fill["liquidation"]["liquidatedUser"] for fill in fills] == [ALICE]


def test_a_one_sided_book_keeps_its_mark_until_the_next_trade() -> None:
    driver = ExchangeDriver()
    driver.place(wire("84144", "0.5"))
    driver.one_sided("80000")
    assert position(driver)["positionValue"] == "42071.75"
    driver.trade("84000", "0.1")
    assert position(driver)["positionValue"] == "42000.0"


class TestFunding:
    """Hourly funding payments."""

    def test_longs_pay_shorts_receive_and_both_are_reported(self) -> None:
        driver = ExchangeDriver()
        driver.place(wire("84144", "0.5"))
        driver.place(wire("84143", "0.5", buy=False), key=BOB_KEY)
        cash = driver.alice.cash, driver.bob.cash
        driver.wait(HOUR_MS - driver.now_ms % HOUR_MS - 1)
        assert (driver.alice.cash, driver.bob.cash) == cash
        driver.wait(1)
        paid = -525_897 * UNIT  # 0.5 * 84143.5 * 0.0000125, rounded against the account
        assert driver.alice.cash - cash[0] == paid
        assert driver.bob.cash - cash[1] == 525_896 * UNIT
        row = {
            "time": START_MS + HOUR_MS,
            "coin": "BTC",
            "usdc": "-0.525897",
            "szi": "0.5",
            "fundingRate": "0.0000125",
            "nSamples": None,
        }
        assert driver.reported("userFundings") == [{"user": ALICE, "fundings": [row]}]
        assert {"funding": row} in driver.reported("userEvents")
        assert position(driver)["cumFunding"]["sinceOpen"] == "0.525897"

    def test_every_hour_that_passed_is_settled_once_and_in_the_history(self) -> None:
        driver = ExchangeDriver()
        driver.wait(3 * HOUR_MS)
        driver.quote("84143", "84145")
        rows = driver.exchange.funding.rows("BTC", 0, driver.now_ms)
        assert [row["time"] - START_MS for row in rows] == [HOUR_MS, 2 * HOUR_MS, 3 * HOUR_MS]
        assert rows[0] == {
            "coin": "BTC",
            "fundingRate": "0.0000125",
            "premium": "0.0",
            "time": START_MS + HOUR_MS,
        }

    def test_an_isolated_position_pays_from_its_own_margin(self) -> None:
        driver = ExchangeDriver()
        driver.act(leverage(10, cross=False))
        driver.place(wire("84144", "0.5"))
        free, own = state(driver)["withdrawable"], driver.alice.positions["BTC"].margin
        driver.wait(HOUR_MS)
        assert state(driver)["withdrawable"] == free
        assert driver.alice.positions["BTC"].margin == own - 525_897 * UNIT

    def test_a_flat_account_pays_nothing(self) -> None:
        driver = ExchangeDriver()
        driver.place(wire("84144", "0.5", kind=IOC), wire("84000", "0.5", buy=False))
        driver.wait(HOUR_MS)
        assert not driver.reported("userFundings")


def test_waiting_triggers_need_no_margin() -> None:
    driver = ExchangeDriver([(ALICE, "5000")])
    for price in ("85000", "86000"):
        (status,) = driver.place(wire(price, "1", kind=trigger(price, "sl")))
        assert list(status) == ["resting"]
