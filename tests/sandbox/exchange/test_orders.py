"""Orders against the tape: who trades, at which price, and what the answer and the streams say."""

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
    Floor,
    oid_of,
    orders,
    statuses,
    wire,
)


def test_an_order_that_crosses_fills_at_the_touch_and_tells_open_then_filled_in_one_frame() -> None:
    floor = Floor()
    (status,) = floor.place(wire("84200", "0.5", cloid="0x" + "ab" * 16))
    assert status == {
        "filled": {"totalSz": "0.5", "avgPx": "84144.0", "oid": oid_of(status), "cloid": "0x" + "ab" * 16}
    }
    (frame,) = floor.told("orderUpdates")
    assert [(row["status"], row["order"]["sz"], row["order"]["origSz"]) for row in frame] == [
        ("open", "0.5", "0.5"),
        ("filled", "0.0", "0.5"),
    ]
    assert frame[0]["statusTimestamp"] == frame[1]["statusTimestamp"]
    (fills,) = floor.told("userFills")
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
    assert floor.told("userEvents") == [{"fills": fills["fills"]}]


def test_a_taker_walks_the_shown_book_and_what_it_took_stays_gone_until_the_touch_changes() -> None:
    floor = Floor()
    book = floor.market.by_name["BTC"].book(0)
    assert '"px":"84144.0","sz":"1.0"' in book
    (first,) = floor.place(wire("84144", "0.6", kind=IOC))
    (second,) = floor.place(wire("84144", "0.6", kind=IOC))
    assert (first["filled"]["totalSz"], second["filled"]["totalSz"]) == ("0.6", "0.4")
    (third,) = floor.place(wire("84144", "0.6", kind=IOC))
    assert third == {"error": "Order could not immediately match against any resting orders. asset=0"}
    floor.touch("84143", "84144", "0.9")
    (fourth,) = floor.place(wire("84144", "0.6", kind=IOC))
    assert fourth["filled"]["totalSz"] == "0.6"


def test_o06_an_ioc_that_fills_in_part_says_filled_with_less_and_ends_as_canceled_with_the_rest() -> None:
    floor = Floor()
    (status,) = floor.place(wire("84144", "1.5", kind=IOC))
    assert status["filled"]["totalSz"] == "1.0"
    assert floor.updates() == [("open", "1.5"), ("canceled", "0.5")]
    (row,) = [one for one in floor.alice.history if one.oid == oid_of(status)]
    assert (row.status, row.remaining, row.size) == ("canceled", 50_000, 150_000)


def test_an_ioc_that_meets_nobody_is_refused_without_having_been_open() -> None:
    floor = Floor()
    (status,) = floor.place(wire("84143", "1", kind=IOC))
    assert status == {"error": "Order could not immediately match against any resting orders. asset=0"}
    assert floor.updates() == [("iocCancelRejected", "1.0")]
    floor.one_sided("84143")
    (status,) = floor.place(wire("84200", "1", kind={"limit": {"tif": "FrontendMarket"}}))
    assert status == {"error": "No liquidity available for market order. asset=0"}


def test_a_partly_filled_gtc_rests_with_what_is_left() -> None:
    floor = Floor()
    (status,) = floor.place(wire("84144", "1.5"))
    assert list(status) == ["resting"]
    (order,) = floor.alice.orders.values()
    assert order.remaining == 50_000
    floor.touch("84142", "84144", "1")
    assert not floor.alice.orders
    assert floor.updates()[-1] == ("filled", "0.0")


def test_a_post_only_order_that_would_match_is_refused_with_the_bbo() -> None:
    floor = Floor()
    text = "Post only order would have immediately matched, bbo was 84143.0@84144.0. asset=0"
    assert floor.place(wire("84144", "0.1", kind=ALO)) == [{"error": text}]
    assert floor.updates() == [("badAloPxRejected", "0.1")]
    (status,) = floor.place(wire("84143", "0.1", kind=ALO))
    assert list(status) == ["resting"]


class TestResting:
    """When a resting order fills, and for how much."""

    def test_a_print_through_its_price_fills_it_wholly_at_its_own_price_as_maker(self) -> None:
        floor = Floor()
        floor.place(wire("84140", "2"))
        floor.print("84139", "0.001", sold=True)
        (fills,) = floor.told("userFills")
        assert [(f["px"], f["sz"], f["crossed"]) for f in fills["fills"]] == [("84140.0", "2.0", False)]
        assert fills["fills"][0]["fee"] == "25.242"

    def test_a_print_at_its_price_fills_it_behind_the_size_that_stood_there(self) -> None:
        floor = Floor()
        floor.place(wire("84143", "0.5"))
        floor.print("84143", "0.9", sold=True)
        assert not floor.told("userFills")
        floor.print("84143", "0.3", sold=True)
        assert [f["sz"] for data in floor.told("userFills") for f in data["fills"]] == ["0.2"]
        floor.print("84143", "5", sold=True)
        assert [f["sz"] for data in floor.told("userFills") for f in data["fills"]] == ["0.2", "0.3"]

    def test_one_print_is_not_given_out_twice(self) -> None:
        floor = Floor()
        floor.place(wire("84143", "0.5"))
        floor.place(wire("84143", "0.5"), key=BOB_KEY)
        floor.print("84143", "1.7", sold=True)
        alice = sum(float(f["sz"]) for data in floor.told("userFills") for f in data["fills"])
        bob = sum(float(f["sz"]) for data in floor.told("userFills", BOB) for f in data["fills"])
        assert (alice, round(bob, 9)) == (0.5, 0.2)

    def test_a_print_of_the_other_side_does_not_fill_it(self) -> None:
        floor = Floor()
        floor.place(wire("84143", "0.5"))
        floor.print("84143", "100", sold=False)
        floor.print("84142", "100", sold=False)
        assert not floor.told("userFills")

    def test_the_other_side_of_the_touch_reaching_it_fills_it(self) -> None:
        floor = Floor()
        floor.place(wire("84140", "2"))
        floor.touch("84138", "84141")
        assert floor.alice.orders
        floor.touch("84138", "84140")
        assert not floor.alice.orders
        assert floor.alice.positions["BTC"].size == 200_000

    def test_the_best_price_fills_first_then_the_oldest(self) -> None:
        floor = Floor()
        first, better, second = (
            oid_of(floor.place(wire(price, "0.1"))[0]) for price in ("84139", "84140", "84139")
        )
        floor.print("84138", "1", sold=True)
        filled = [fill["oid"] for data in floor.told("userFills") for fill in data["fills"]]
        assert filled == [better, first, second]

    def test_our_orders_do_not_move_the_shown_book(self) -> None:
        floor = Floor()
        coin = floor.market.by_name["BTC"]
        before = coin.book(0)
        floor.place(wire("84143", "0.5"), wire("84144", "0.5", kind=IOC))
        assert coin.book(0) == before


class TestBetweenAccounts:
    """Two accounts of the exchange."""

    def test_they_trade_with_each_other_under_one_trade_id(self) -> None:
        floor = Floor()
        floor.touch("84100", "84200")
        floor.place(wire("84150", "0.5", buy=False))
        (status,) = floor.place(wire("84160", "0.3", kind=IOC), key=BOB_KEY)
        assert status["filled"]["avgPx"] == "84150.0"
        (sold,) = floor.told("userFills")[0]["fills"]
        (bought,) = floor.told("userFills", BOB)[0]["fills"]
        assert sold["tid"] == bought["tid"]
        assert (sold["crossed"], bought["crossed"]) == (False, True)
        assert (sold["side"], bought["side"], sold["sz"]) == ("A", "B", "0.3")

    def test_the_tape_stands_before_them_at_the_same_price(self) -> None:
        floor = Floor()
        floor.place(wire("84144", "0.5", buy=False))
        floor.place(wire("84144", "1.2", kind=IOC), key=BOB_KEY)
        sizes = [f["sz"] for f in floor.told("userFills", BOB)[0]["fills"]]
        assert sizes == ["1.0", "0.2"]
        assert [f["sz"] for f in floor.told("userFills")[0]["fills"]] == ["0.2"]

    def test_o26_an_account_does_not_trade_with_itself_its_resting_order_goes(self) -> None:
        floor = Floor()
        floor.touch("84100", "84200")
        (resting,) = floor.place(wire("84150", "0.5", buy=False))
        (status,) = floor.place(wire("84200", "0.3", kind=IOC))
        assert status["filled"]["avgPx"] == "84200.0"
        assert ("selfTradeCanceled", "0.5") in floor.updates()
        told = [event for event in floor.told("userEvents") if "nonUserCancel" in event]
        assert told == [{"nonUserCancel": [{"coin": "BTC", "oid": oid_of(resting)}]}]

    def test_an_ioc_that_meets_only_its_own_account_is_refused(self) -> None:
        floor = Floor()
        floor.touch("84100", "84200")
        floor.place(wire("84150", "0.5", buy=False))
        (status,) = floor.place(wire("84150", "0.3", kind=IOC))
        assert status["error"].startswith("Order could not immediately match")
        assert not floor.told("userFills")

    def test_a_resting_order_its_account_cannot_carry_is_canceled_at_the_match(self) -> None:
        floor = Floor([(ALICE, "5000")])
        floor.place(wire("84140", "1"))
        floor.alice.cash -= 4_000 * DOLLAR
        floor.print("84100", "1", sold=True)
        assert floor.updates()[-1] == ("marginCanceled", "1.0")
        assert not floor.told("userFills")


class TestReduceOnly:
    """Orders that may only reduce."""

    def test_with_no_position_or_the_wrong_side_it_is_refused(self) -> None:
        floor = Floor()
        text = "Reduce only order would increase position. asset=0"
        assert floor.place(wire("84100", "0.1", buy=False, reduce_only=True)) == [{"error": text}]
        floor.place(wire("84144", "0.1"))
        assert floor.place(wire("84144", "0.1", reduce_only=True)) == [{"error": text}]
        assert floor.updates()[-1] == ("reduceOnlyRejected", "0.1")

    @pytest.mark.parametrize("kind", [IOC, GTC])
    def test_larger_than_the_position_it_is_cut_and_never_turns_it(self, kind: dict[str, object]) -> None:
        floor = Floor()
        floor.place(wire("84144", "0.1"))
        (status,) = floor.place(wire("84100", "0.3", buy=False, reduce_only=True, kind=kind))
        assert status["filled"]["totalSz"] == "0.1"
        assert floor.alice.positions["BTC"].size == 0
        assert floor.updates()[-1] == ("filled", "0.0")

    def test_resting_it_shrinks_with_the_position_keeps_its_original_size_and_ends_with_it(self) -> None:
        floor = Floor()
        floor.place(wire("84144", "0.3"))
        (status,) = floor.place(wire("85000", "0.5", buy=False, reduce_only=True))
        (order,) = floor.alice.orders.values()
        assert (order.size, order.remaining) == (50_000, 30_000)
        floor.place(wire("84143", "0.1", buy=False))
        assert (order.size, order.remaining) == (50_000, 20_000)
        floor.place(wire("84000", "0.2", buy=False))
        assert (order.status, order.oid) == ("reduceOnlyCanceled", oid_of(status))
        assert not [event for event in floor.told("userEvents") if "nonUserCancel" in event]

    def test_a_position_below_ten_dollars_can_be_closed_but_not_opened(self) -> None:
        floor = Floor()
        text = "Order must have minimum value of $10. asset=0"
        assert floor.place(wire("84144", "0.0001")) == [{"error": text}]
        floor.place(wire("84144", "0.00021"))
        floor.place(wire("84000", "0.00012", buy=False))
        (status,) = floor.place(wire("84000", "0.00009", buy=False))
        assert status["filled"]["totalSz"] == "0.00009"
        assert floor.alice.positions["BTC"].size == 0


class TestBatches:
    """Several orders in one action."""

    def test_o22_each_entry_has_its_own_status_in_the_order_of_the_batch(self) -> None:
        floor = Floor()
        found = floor.place(
            wire("84000", "0.1"),
            wire("84144", "0.0001"),
            wire("84200", "0.1", kind=IOC),
            wire("84100", "0.1", kind=ALO),
        )
        assert [next(iter(status)) for status in found] == ["resting", "error", "filled", "resting"]

    def test_o22_a_price_off_the_grid_is_one_error_for_the_whole_batch_and_nothing_is_placed(self) -> None:
        floor = Floor()
        found = floor.place(wire("84000", "0.1"), wire("84000.5", "0.1"))
        assert found == [{"error": "Price must be divisible by tick size. asset=0"}]
        assert not floor.alice.orders
        assert not floor.told("orderUpdates")

    @pytest.mark.parametrize("size", ["0", "0.000001"])
    def test_a_size_off_the_grid_is_refused(self, size: str) -> None:
        assert Floor().place(wire("84000", size)) == [{"error": "Order has invalid size. asset=0"}]

    @pytest.mark.parametrize("price", ["0", "84143.1", "0.1234567", "9999999999999999999"])
    def test_a_price_off_the_grid_is_refused(self, price: str) -> None:
        assert Floor().place(wire(price, "1")) == [{"error": "Price must be divisible by tick size. asset=0"}]

    def test_integer_prices_are_always_on_the_grid(self) -> None:
        floor = Floor()
        floor.touch("123455", "123457")
        (status,) = floor.place(wire("123456", "0.1"))
        assert list(status) == ["resting"]

    def test_a_price_far_from_the_mark_is_refused(self) -> None:
        text = "Order price cannot be more than 95% away from the reference price asset=0"
        assert Floor().place(wire("4000", "1")) == [{"error": text}]

    def test_two_hundred_entries_go_and_one_more_refuses_the_whole_action(self) -> None:
        floor = Floor()
        found = floor.place(*(wire("84000", "0.001") for _ in range(200)))
        assert len(found) == 200
        answer = floor.act({"type": "cancel", "cancels": [{"a": 0, "o": oid_of(found[0])}] * 201})
        assert answer == {"status": "err", "response": "Signed action over weight limit of 200."}
        assert len(floor.alice.orders) == 200

    def test_an_unknown_asset_is_one_error_and_nothing_is_placed(self) -> None:
        floor = Floor()
        assert floor.place(wire("84000", "0.1"), wire("84000", "0.1", asset=7)) == [
            {"error": "Invalid asset. asset=7"}
        ]
        assert not floor.alice.orders

    def test_a_coin_of_which_nothing_was_played_yet_is_halted(self) -> None:
        floor = Floor()
        assert floor.place(wire("0.2", "100", asset=PURR_ID)) == [{"error": "Trading is halted. asset=1"}]
        floor.quote_purr(210_000, 210_010)
        assert list(floor.place(wire("0.2", "100", asset=PURR_ID))[0]) == ["resting"]

    def test_a_batch_without_entries_is_refused(self) -> None:
        assert Floor().act(orders())["status"] == "err"

    def test_a_thousand_open_orders_are_enough(self) -> None:
        floor = Floor(limited=False)
        for _ in range(5):
            floor.place(*(wire("84000", "0.0002") for _ in range(200)))
        (status,) = floor.place(wire("84000", "0.0002"))
        assert status == {"error": "Too many open orders. asset=0"}


def test_o13_a_client_id_is_taken_once() -> None:
    floor = Floor()
    cloid = "0x" + "0c" * 16
    (first,) = floor.place(wire("84000", "0.1", cloid=cloid))
    (second,) = floor.place(wire("84000", "0.1", cloid=cloid))
    assert list(first) == ["resting"]
    assert second == {"error": "Client order id was used before. asset=0"}
    assert len(floor.alice.orders) == 1
    assert floor.alice.by_cloid[cloid].oid == oid_of(first)
    (other,) = floor.place(wire("84000", "0.1", cloid=cloid), key=BOB_KEY)
    assert list(other) == ["resting"]


def test_a_builder_and_a_priority_fee_are_signed_and_change_nothing() -> None:
    floor = Floor()
    action = {**orders(wire("84200", "0.1", kind=IOC)), "builder": {"b": "0x" + "0b" * 20, "f": 10}}
    (status,) = statuses(floor.act(action))
    assert status["filled"]["totalSz"] == "0.1"
    (fill,) = floor.told("userFills")[0]["fills"]
    assert "builderFee" not in fill
    (status,) = floor.place(wire("84200", "0.1", kind=IOC), grouping={"p": 5})
    assert status["filled"]["totalSz"] == "0.1"


def test_memory_of_ended_orders_is_bounded_client_ids_too() -> None:
    floor = Floor(limited=False)
    for batch in range(14):
        floor.place(*(wire("84000", "0.0001", cloid=f"0x{batch:016x}{one:016x}") for one in range(150)))
    assert len(floor.alice.history) == 2000
    assert len(floor.alice.by_cloid) == 2000
