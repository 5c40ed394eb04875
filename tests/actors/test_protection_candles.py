"""Protection in data of candles, where the simulated venue leads each book along the path of a candle, and
where triggers go by the venue's mark.
"""

from __future__ import annotations

from decimal import Decimal

from engine.events import MarketRules
from tests.actors.rig import Rig

D = Decimal


def candles(*names: str) -> Rig:
    return Rig(*names, price=None)


def holding(rig: Rig, size: int = 1) -> Rig:
    """Give S a position at the open, 100."""
    rig.candle(100, 100, 100, 100)
    rig.order("S", 1 if size > 0 else -1, abs(size))
    rig.candle(100, 100, 100, 100)
    return rig


def test_a_stop_is_filled_at_its_trigger_within_the_candle() -> None:
    rig = holding(candles())
    rig.stop("S", 1, "97.5")
    rig.candle(100, 105, 96, 103)
    assert rig.fills("S")[-1] == (-1, D("97.5"))
    assert rig.orders() == []


def test_a_stop_is_filled_at_an_open_beyond_it() -> None:
    rig = holding(candles())
    rig.stop("S", 1, "97.5")
    rig.candle(95, 96, 94, 96)
    assert rig.fills("S")[-1] == (-1, D(95))


def test_stops_are_at_the_venue_in_a_netted_market_too() -> None:
    rig = holding(candles("S", "T"))
    rig.sell("T", 1)
    rig.candle(100, 100, 100, 100)
    rig.stop("S", 1, 97)
    rig.stop("T", 1, 103, side=1)
    rig.candle(100, 100, 100, 100)
    assert rig.protection("S") == (1, 0, 0)
    assert rig.protection("T") == (1, 0, 0)
    rig.candle(100, 101, 96, 98)
    assert (rig.book("S"), rig.book("T")) == (0, -1)
    assert rig.fills("S")[-1] == (-1, D(97))


def test_a_bracket_of_an_entry_within_the_candle_takes_part_in_the_rest_of_it() -> None:
    rig = candles()
    rig.candle(100, 100, 100, 100)
    rig.buy("S", 1, limit=99, sl="97.5", tp="100.5")
    rig.candle(100, 101, 97, 100)
    assert [price for _, price in rig.fills("S")] == [99, D("97.5")]
    assert rig.orders() == []
    assert (rig.manager.stops, rig.manager.brackets) == ({}, {})


def test_a_trail_asked_for_after_a_candle_is_armed_at_its_close() -> None:
    rig = holding(candles())
    rig.trail("S", 1, 3)
    assert rig.trails("S")[-1] == ("armed", 1, 97)
    rig.candle(100, 104, 98, 103)
    assert rig.trails("S")[-1] == ("armed", 1, 101)
    assert rig.book("S") == 1


def test_the_end_that_could_fire_a_trail_comes_before_the_one_that_moves_it() -> None:
    rig = holding(candles())
    rig.trail("S", 1, 3)
    rig.candle(100, 110, 96, 109)
    assert rig.fills("S")[-1] == (-1, D(97))
    assert rig.trails("S")[-1][0] == "fired"
    assert rig.orders() == []


def test_the_close_of_a_candle_may_fire_a_trail_that_its_high_moved() -> None:
    rig = holding(candles())
    rig.trail("S", 1, 3)
    rig.candle(100, 105, 98, 101)
    assert rig.fills("S")[-1] == (-1, D(102))
    assert rig.book("S") == 0


def test_a_trail_of_a_short_book_meets_the_high_first() -> None:
    rig = holding(candles(), -1)
    rig.trail("S", 1, 3, side=1)
    rig.candle(100, 104, 90, 95)
    assert rig.fills("S")[-1] == (1, D(103))


def test_a_gap_through_a_trail_fills_at_the_open() -> None:
    rig = holding(candles())
    rig.trail("S", 1, 3)
    rig.candle(90, 95, 89, 94)
    assert rig.fills("S")[-1] == (-1, D(90))


def test_a_trail_asked_for_on_the_entry_is_armed_at_the_close_of_its_candle() -> None:
    rig = candles()
    rig.candle(100, 100, 100, 100)
    rig.trail("S", 1, 3)
    rig.buy("S", 1, limit=99)
    rig.candle(100, 103, 98, 102)
    assert rig.book("S") == 1
    assert rig.trails("S")[-1] == ("armed", 1, 99)


# Triggers that go by the mark.


def by_mark() -> Rig:
    return Rig("S", "T", rules=MarketRules(trigger_price="mark"))


def test_a_stop_in_the_engine_goes_by_the_mark_while_it_is_recent() -> None:
    rig = by_mark().hold("S", 1).hold("T", -1)
    rig.stop("S", 1, 97)
    rig.mark(98)
    rig.trade(96)
    assert rig.protection("S") == (0, 1, 0)
    rig.mark(97)
    assert rig.protection("S") == (0, 0, 1)


def test_a_stop_in_the_engine_goes_by_trades_once_the_mark_is_old() -> None:
    rig = by_mark().hold("S", 1).hold("T", -1)
    rig.stop("S", 1, 97)
    rig.mark(98)
    rig.wait(6)
    rig.trade(96)
    assert rig.protection("S") == (0, 0, 1)


def test_the_wrong_side_is_judged_by_the_mark() -> None:
    rig = by_mark().hold("S", 1)
    rig.mark(96)
    rig.stop("S", 1, 97)
    assert rig.refusals() == ["trigger_side"]


def test_without_trades_a_stop_in_the_engine_goes_by_the_price_it_would_sell_at() -> None:
    rig = Rig("S", "T", price=None)
    rig.quote(100, 101)
    rig.buy("S", 1)
    rig.sell("T", 1)
    rig.quote(100, 101)
    rig.stop("S", 1, 97)
    rig.quote("97.5", 98)
    assert rig.protection("S") == (0, 1, 0)
    rig.quote(97, "97.5")
    assert rig.protection("S") == (0, 0, 1)


def test_a_stop_and_a_take_profit_of_a_spot_holding_both_wait_at_the_venue() -> None:
    for last, price in ((96, 97), (104, 103)):
        rig = holding(Rig(price=None, kind="spot"))
        rig.stop("S", 1, 97)
        rig.stop("S", 1, 103, kind="tp")
        rig.candle(100, max(100, last), min(100, last), last)
        assert rig.fills("S")[-1] == (-1, D(price))
        assert rig.orders() == []


def test_a_bracket_of_a_spot_holding_sells_once_in_a_candle_that_touches_both() -> None:
    rig = Rig(price=None, kind="spot")
    rig.candle(100, 100, 100, 100)
    rig.buy("S", 1, sl=97, tp=103)
    rig.candle(100, 100, 100, 100)
    rig.candle(100, 110, 90, 100)
    rig.candle(100, 110, 90, 100)
    assert [size for size, _ in rig.fills("S")] == [1, -1]
    assert rig.fills("S")[-1] == (-1, D(97))
    assert rig.orders() == []


def test_a_take_profit_that_the_volume_of_a_candle_cuts_is_armed_again_for_the_next() -> None:
    rig = candles()
    rig.candle(100, 100, 100, 100)
    rig.buy("S", 2, sl=97, tp=103)
    rig.candle(100, 100, 100, 100)
    rig.candle(100, 104, 99, 104, volume="0.5")
    assert rig.fills("S")[-1] == (D("-0.5"), D(103))
    assert rig.protection("S") == (D("1.5"), 0, 0)
    rig.candle(104, 105, 99, 104)
    rig.candle(104, 105, 99, 104)
    assert rig.book("S") == 0
    assert rig.orders() == []
