"""Matching: which orders trade at which price, and what the answers and the streams report."""

from __future__ import annotations

import pytest

from adapters.sandbox.exchange.money import DOLLAR
from tests.sandbox.exchange.kit import (
    ALICE,
    ALO,
    BOB,
    BOB_KEY,
    GTC,
    IOC,
    PURR_ID,
    ExchangeDriver,
    oid_of,
    orders,
    statuses,
    wire,
)


def test_a_crossing_order_fills_at_the_best_price_and_reports_open_and_filled_in_one_frame() -> None:
    driver = ExchangeDriver()
    (status,) = driver.place(wire("84200", "0.5", cloid="0x" + "ab" * 16))
    assert status == {
        "filled": {"totalSz": "0.5", "avgPx": "84144.0", "oid": oid_of(status), "cloid": "0x" + "ab" * 16}
    }
    (frame,) = driver.reported("orderUpdates")
    assert [(row["status"], row["order"]["sz"], row["order"]["origSz"]) for row in frame] == [
        ("open", "0.5", "0.5"),
        ("filled", "0.0", "0.5"),
    ]
    assert frame[0]["statusTimestamp"] == frame[1]["statusTimestamp"]
    (fills,) = driver.reported("userFills")
    assert "isSnapshot" not in fills
    (fill,) = fills["fills"]
    assert (fill["px"], fill["sz"], fill["side"], fill["dir"], fill["crossed"]) == (
        "84144.0",
        "0.5",
        "B",
        "Open Long",
        True,
    )
    assert (fill["startPosition"], fill["closedPnl"], fill["fee"]) == ("0.0", "0.0", "18.9324")
    assert driver.reported("userEvents") == [{"fills": fills["fills"]}]


def test_a_taker_trades_against_the_shown_book_and_taken_size_is_gone_until_the_quote_changes() -> None:
    driver = ExchangeDriver()
    book = driver.market.by_name["BTC"].book(0)
    assert '"px":"84144.0","sz":"1.0"' in book
    (first,) = driver.place(wire("84144", "0.6", kind=IOC))
    (second,) = driver.place(wire("84144", "0.6", kind=IOC))
    assert (first["filled"]["totalSz"], second["filled"]["totalSz"]) == ("0.6", "0.4")
    (third,) = driver.place(wire("84144", "0.6", kind=IOC))
    assert third == {"error": "Order could not immediately match against any resting orders. asset=0"}
    driver.quote("84143", "84144", "0.9")
    (fourth,) = driver.place(wire("84144", "0.6", kind=IOC))
    assert fourth["filled"]["totalSz"] == "0.6"


def test_o06_a_partly_filled_ioc_is_answered_filled_and_its_rest_is_canceled() -> None:
    driver = ExchangeDriver()
    (status,) = driver.place(wire("84144", "1.5", kind=IOC))
    assert status["filled"]["totalSz"] == "1.0"
    assert driver.updates() == [("open", "1.5"), ("canceled", "0.5")]
    (row,) = [one for one in driver.alice.history if one.oid == oid_of(status)]
    assert (row.status, row.remaining, row.size) == ("canceled", 50_000, 150_000)


def test_an_ioc_without_a_match_is_refused_and_never_open() -> None:
    driver = ExchangeDriver()
    (status,) = driver.place(wire("84143", "1", kind=IOC))
    assert status == {"error": "Order could not immediately match against any resting orders. asset=0"}
    assert driver.updates() == [("iocCancelRejected", "1.0")]
    driver.one_sided("84143")
    (status,) = driver.place(wire("84200", "1", kind={"limit": {"tif": "FrontendMarket"}}))
    assert status == {"error": "No liquidity available for market order. asset=0"}


def test_a_partly_filled_gtc_rests_with_what_is_left() -> None:
    driver = ExchangeDriver()
    (status,) = driver.place(wire("84144", "1.5"))
    assert list(status) == ["resting"]
    (order,) = driver.alice.orders.values()
    assert order.remaining == 50_000
    driver.quote("84142", "84144", "1")
    assert not driver.alice.orders
    assert driver.updates()[-1] == ("filled", "0.0")


def test_a_post_only_order_that_would_match_is_refused_with_the_bbo() -> None:
    driver = ExchangeDriver()
    text = "Post only order would have immediately matched, bbo was 84143.0@84144.0. asset=0"
    assert driver.place(wire("84144", "0.1", kind=ALO)) == [{"error": text}]
    assert driver.updates() == [("badAloPxRejected", "0.1")]
    (status,) = driver.place(wire("84143", "0.1", kind=ALO))
    assert list(status) == ["resting"]


class TestResting:
    """When and how much a resting order fills."""

    def test_a_trade_beyond_its_price_fills_it_completely_at_its_own_price_as_maker(self) -> None:
        driver = ExchangeDriver()
        driver.place(wire("84140", "2"))
        driver.trade("84139", "0.001", sold=True)
        (fills,) = driver.reported("userFills")
        assert [(f["px"], f["sz"], f["crossed"]) for f in fills["fills"]] == [("84140.0", "2.0", False)]
        assert fills["fills"][0]["fee"] == "25.242"

    def test_a_trade_at_its_price_fills_it_after_the_size_ahead_of_it(self) -> None:
        driver = ExchangeDriver()
        driver.place(wire("84143", "0.5"))
        driver.trade("84143", "0.9", sold=True)
        assert not driver.reported("userFills")
        driver.trade("84143", "0.3", sold=True)
        assert [f["sz"] for data in driver.reported("userFills") for f in data["fills"]] == ["0.2"]
        driver.trade("84143", "5", sold=True)
        assert [f["sz"] for data in driver.reported("userFills") for f in data["fills"]] == ["0.2", "0.3"]

    def test_the_size_of_a_trade_is_not_used_twice(self) -> None:
        driver = ExchangeDriver()
        driver.place(wire("84143", "0.5"))
        driver.place(wire("84143", "0.5"), key=BOB_KEY)
        driver.trade("84143", "1.7", sold=True)
        alice = sum(float(f["sz"]) for data in driver.reported("userFills") for f in data["fills"])
        bob = sum(float(f["sz"]) for data in driver.reported("userFills", BOB) for f in data["fills"])
        assert (alice, round(bob, 9)) == (0.5, 0.2)

    def test_a_trade_on_the_other_side_does_not_fill_it(self) -> None:
        driver = ExchangeDriver()
        driver.place(wire("84143", "0.5"))
        driver.trade("84143", "100", sold=False)
        driver.trade("84142", "100", sold=False)
        assert not driver.reported("userFills")

    def test_the_opposite_best_price_reaching_it_fills_it(self) -> None:
        driver = ExchangeDriver()
        driver.place(wire("84140", "2"))
        driver.quote("84138", "84141")
        assert driver.alice.orders
        driver.quote("84138", "84140")
        assert not driver.alice.orders
        assert driver.alice.positions["BTC"].size == 200_000

    def test_the_best_price_fills_first_then_the_oldest(self) -> None:
        driver = ExchangeDriver()
        first, better, second = (
            oid_of(driver.place(wire(price, "0.1"))[0]) for price in ("84139", "84140", "84139")
        )
        driver.trade("84138", "1", sold=True)
        filled = [fill["oid"] for data in driver.reported("userFills") for fill in data["fills"]]
        assert filled == [better, first, second]

    def test_orders_do_not_change_the_shown_book(self) -> None:
        driver = ExchangeDriver()
        instrument = driver.market.by_name["BTC"]
        before = instrument.book(0)
        driver.place(wire("84143", "0.5"), wire("84144", "0.5", kind=IOC))
        assert instrument.book(0) == before


class TestBetweenAccounts:
    """Trades between accounts."""

    def test_they_trade_with_each_other_with_one_trade_id(self) -> None:
        driver = ExchangeDriver()
        driver.quote("84100", "84200")
        driver.place(wire("84150", "0.5", buy=False))
        (status,) = driver.place(wire("84160", "0.3", kind=IOC), key=BOB_KEY)
        assert status["filled"]["avgPx"] == "84150.0"
        (sold,) = driver.reported("userFills")[0]["fills"]
        (bought,) = driver.reported("userFills", BOB)[0]["fills"]
        assert sold["tid"] == bought["tid"]
        assert (sold["crossed"], bought["crossed"]) == (False, True)
        assert (sold["side"], bought["side"], sold["sz"]) == ("A", "B", "0.3")

    def test_the_tape_has_priority_at_the_same_price(self) -> None:
        driver = ExchangeDriver()
        driver.place(wire("84144", "0.5", buy=False))
        driver.place(wire("84144", "1.2", kind=IOC), key=BOB_KEY)
        sizes = [f["sz"] for f in driver.reported("userFills", BOB)[0]["fills"]]
        assert sizes == ["1.0", "0.2"]
        assert [f["sz"] for f in driver.reported("userFills")[0]["fills"]] == ["0.2"]

    def test_o26_a_self_trade_cancels_the_resting_order(self) -> None:
        driver = ExchangeDriver()
        driver.quote("84100", "84200")
        (resting,) = driver.place(wire("84150", "0.5", buy=False))
        (status,) = driver.place(wire("84200", "0.3", kind=IOC))
        assert status["filled"]["avgPx"] == "84200.0"
        assert ("selfTradeCanceled", "0.5") in driver.updates()
        events = [event for event in driver.reported("userEvents") if "nonUserCancel" in event]
        assert events == [{"nonUserCancel": [{"coin": "BTC", "oid": oid_of(resting)}]}]

    def test_an_ioc_that_matches_only_its_own_account_is_refused(self) -> None:
        driver = ExchangeDriver()
        driver.quote("84100", "84200")
        driver.place(wire("84150", "0.5", buy=False))
        (status,) = driver.place(wire("84150", "0.3", kind=IOC))
        assert status["error"].startswith("Order could not immediately match")
        assert not driver.reported("userFills")

    def test_a_resting_order_without_margin_for_the_fill_is_canceled(self) -> None:
        driver = ExchangeDriver([(ALICE, "5000")])
        driver.place(wire("84140", "1"))
        driver.alice.cash -= 4_000 * DOLLAR
        driver.trade("84100", "1", sold=True)
        assert driver.updates()[-1] == ("marginCanceled", "1.0")
        assert not driver.reported("userFills")


class TestReduceOnly:
    """Reduce-only orders."""

    def test_with_no_position_or_the_wrong_side_it_is_refused(self) -> None:
        driver = ExchangeDriver()
        text = "Reduce only order would increase position. asset=0"
        assert driver.place(wire("84100", "0.1", buy=False, reduce_only=True)) == [{"error": text}]
        driver.place(wire("84144", "0.1"))
        assert driver.place(wire("84144", "0.1", reduce_only=True)) == [{"error": text}]
        assert driver.updates()[-1] == ("reduceOnlyRejected", "0.1")

    @pytest.mark.parametrize("kind", [IOC, GTC])
    def test_its_size_is_reduced_to_the_position_and_never_reverses_it(self, kind: dict[str, object]) -> None:
        driver = ExchangeDriver()
        driver.place(wire("84144", "0.1"))
        (status,) = driver.place(wire("84100", "0.3", buy=False, reduce_only=True, kind=kind))
        assert status["filled"]["totalSz"] == "0.1"
        assert driver.alice.positions["BTC"].size == 0
        assert driver.updates()[-1] == ("filled", "0.0")

    def test_a_resting_one_follows_the_position_and_keeps_its_original_size(self) -> None:
        driver = ExchangeDriver()
        driver.place(wire("84144", "0.3"))
        (status,) = driver.place(wire("85000", "0.5", buy=False, reduce_only=True))
        (order,) = driver.alice.orders.values()
        assert (order.size, order.remaining) == (50_000, 30_000)
        driver.place(wire("84143", "0.1", buy=False))
        assert (order.size, order.remaining) == (50_000, 20_000)
        driver.place(wire("84000", "0.2", buy=False))
        assert (order.status, order.oid) == ("reduceOnlyCanceled", oid_of(status))
        assert not [event for event in driver.reported("userEvents") if "nonUserCancel" in event]

    def test_a_position_below_ten_dollars_can_be_closed_but_not_opened(self) -> None:
        driver = ExchangeDriver()
        text = "Order must have minimum value of $10. asset=0"
        assert driver.place(wire("84144", "0.0001")) == [{"error": text}]
        driver.place(wire("84144", "0.00021"))
        driver.place(wire("84000", "0.00012", buy=False))
        (status,) = driver.place(wire("84000", "0.00009", buy=False))
        assert status["filled"]["totalSz"] == "0.00009"
        assert driver.alice.positions["BTC"].size == 0


class TestBatches:
    """Several orders in one action."""

    def test_o22_each_entry_has_its_own_status_in_the_order_of_the_batch(self) -> None:
        driver = ExchangeDriver()
        found = driver.place(
            wire("84000", "0.1"),
            wire("84144", "0.0001"),
            wire("84200", "0.1", kind=IOC),
            wire("84100", "0.1", kind=ALO),
        )
        assert [next(iter(status)) for status in found] == ["resting", "error", "filled", "resting"]

    def test_o22_a_price_off_the_grid_is_one_error_for_the_whole_batch_and_nothing_is_placed(self) -> None:
        driver = ExchangeDriver()
        found = driver.place(wire("84000", "0.1"), wire("84000.5", "0.1"))
        assert found == [{"error": "Price must be divisible by tick size. asset=0"}]
        assert not driver.alice.orders
        assert not driver.reported("orderUpdates")

    @pytest.mark.parametrize("size", ["0", "0.000001"])
    def test_a_size_off_the_grid_is_refused(self, size: str) -> None:
        assert ExchangeDriver().place(wire("84000", size)) == [{"error": "Order has invalid size. asset=0"}]

    @pytest.mark.parametrize("price", ["0", "84143.1", "0.1234567", "9999999999999999999"])
    def test_a_price_off_the_grid_is_refused(self, price: str) -> None:
        assert ExchangeDriver().place(wire(price, "1")) == [
            {"error": "Price must be divisible by tick size. asset=0"}
        ]

    def test_integer_prices_are_always_on_the_grid(self) -> None:
        driver = ExchangeDriver()
        driver.quote("123455", "123457")
        (status,) = driver.place(wire("123456", "0.1"))
        assert list(status) == ["resting"]

    def test_a_price_far_from_the_mark_is_refused(self) -> None:
        text = "Order price cannot be more than 95% away from the reference price asset=0"
        assert ExchangeDriver().place(wire("4000", "1")) == [{"error": text}]

    def test_more_than_two_hundred_entries_refuse_the_whole_action(self) -> None:
        driver = ExchangeDriver()
        found = driver.place(*(wire("84000", "0.001") for _ in range(200)))
        assert len(found) == 200
        answer = driver.act({"type": "cancel", "cancels": [{"a": 0, "o": oid_of(found[0])}] * 201})
        assert answer == {"status": "err", "response": "Signed action over weight limit of 200."}
        assert len(driver.alice.orders) == 200

    def test_an_unknown_asset_is_one_error_and_nothing_is_placed(self) -> None:
        driver = ExchangeDriver()
        assert driver.place(wire("84000", "0.1"), wire("84000", "0.1", asset=7)) == [
            {"error": "Invalid asset. asset=7"}
        ]
        assert not driver.alice.orders

    def test_an_instrument_without_market_data_is_halted(self) -> None:
        driver = ExchangeDriver()
        assert driver.place(wire("0.2", "100", asset=PURR_ID)) == [{"error": "Trading is halted. asset=1"}]
        driver.quote_purr(210_000, 210_010)
        assert list(driver.place(wire("0.2", "100", asset=PURR_ID))[0]) == ["resting"]

    def test_a_batch_without_entries_is_refused(self) -> None:
        assert ExchangeDriver().act(orders())["status"] == "err"

    def test_more_than_a_thousand_open_orders_are_refused(self) -> None:
        driver = ExchangeDriver(limited=False)
        for _ in range(5):
            driver.place(*(wire("84000", "0.0002") for _ in range(200)))
        (status,) = driver.place(wire("84000", "0.0002"))
        assert status == {"error": "Too many open orders. asset=0"}


def test_o13_a_client_order_id_can_be_used_once() -> None:
    driver = ExchangeDriver()
    cloid = "0x" + "0c" * 16
    (first,) = driver.place(wire("84000", "0.1", cloid=cloid))
    (second,) = driver.place(wire("84000", "0.1", cloid=cloid))
    assert list(first) == ["resting"]
    assert second == {"error": "Client order id was used before. asset=0"}
    assert len(driver.alice.orders) == 1
    assert driver.alice.by_cloid[cloid].oid == oid_of(first)
    (other,) = driver.place(wire("84000", "0.1", cloid=cloid), key=BOB_KEY)
    assert list(other) == ["resting"]


def test_a_builder_and_a_priority_fee_are_signed_and_change_nothing() -> None:
    driver = ExchangeDriver()
    action = {**orders(wire("84200", "0.1", kind=IOC)), "builder": {"b": "0x" + "0b" * 20, "f": 10}}
    (status,) = statuses(driver.act(action))
    assert status["filled"]["totalSz"] == "0.1"
    (fill,) = driver.reported("userFills")[0]["fills"]
    assert "builderFee" not in fill
    (status,) = driver.place(wire("84200", "0.1", kind=IOC), grouping={"p": 5})
    assert status["filled"]["totalSz"] == "0.1"


def test_memory_of_ended_orders_and_client_order_ids_is_bounded() -> None:
    driver = ExchangeDriver(limited=False)
    for batch in range(14):
        driver.place(*(wire("84000", "0.0001", cloid=f"0x{batch:016x}{one:016x}") for one in range(150)))
    assert len(driver.alice.history) == 2000
    assert len(driver.alice.by_cloid) == 2000
