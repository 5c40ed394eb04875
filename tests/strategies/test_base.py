"""The verbs of a strategy, and the arguments that are refused before they reach the journal (O20, O21)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.actors import SetTimer, Turn
from engine.errors import NumberError
from engine.events import (
    BarClosed,
    BarCorrected,
    InstrumentListed,
    LogWritten,
    OrderRequested,
    OrderTerms,
    Quote,
    SignalRaised,
    SubmitOrder,
    TargetSet,
    TimerFired,
    Trade,
)
from engine.events.codec import decode_inputs, encode_inputs
from engine.instruments import Instruments
from engine.snapshot import classes_of
from engine.states import decode_state, encode_state
from engine.strategies import Strategy, Tick
from engine.strategies.actor import StrategyActor
from engine.values import BUY, SELL
from tests.actors.harness import MINUTE, T
from tests.strategies.asking import asked, harness
from tests.strategies.fakes import Averages, Busy

# Orders.


@given(st.integers(1, 10**9), st.integers(1, 10**9))
def test_text_decimal_and_int_are_equivalent(units: int, steps: int) -> None:
    on = harness()
    text = f"{Decimal(steps).scaleb(-3):f}"
    for size in (text, Decimal(text)):
        (request,) = asked(on, lambda s, size=size: s.buy("AAA", size, reason="why"))
        handle = f"mine-{len(on.log)}"
        assert request == OrderRequested(T, "mine", 1, OrderTerms(BUY, steps, handle=handle), "why")
    (request,) = asked(on, lambda s: s.sell("AAA", units))
    assert (request.terms.side, request.terms.size) == (SELL, units * 1000)


@given(st.integers(1, 10**14))
def test_a_float_on_the_grid_is_exactly_that_size_and_price(steps: int) -> None:
    """Every size that a view shows is taken as it is, and so is every price."""
    on = harness()
    (request,) = asked(on, lambda s: s.sell("AAA", steps / 1000, limit=steps / 100))
    assert (request.terms.size, request.terms.limit) == (steps, steps)


@pytest.mark.parametrize(
    ("given_as", "steps"),
    [
        (0.7 * 0.1, 70),
        (0.1 + 0.2, 300),
        (99 * 0.99, 98_010),
        (1 / 3, 333),
        (2 / 3, 666),
        (1e-9, 0),
        (1e3, 1_000_000),
    ],
)
def test_the_noise_of_binary_arithmetic_does_not_cost_a_step(given_as: float, steps: int) -> None:
    """0.7 * 0.1 is 0.06999999999999999, and 99 * 0.99 is 98.00999999999999."""
    (request,) = asked(harness(), lambda s: s.buy("AAA", given_as))
    assert request.terms.size == steps


def test_numbers_of_numpy_are_accepted() -> None:
    np = pytest.importorskip("numpy")
    for size, steps in ((np.float64(1.5), 1500), (np.float32(0.5), 500), (np.int64(2), 2000)):
        (request,) = asked(harness(), lambda s, size=size: s.buy("AAA", size))
        assert request.terms.size == steps


@pytest.mark.parametrize("method", ["buy", "sell"])
@pytest.mark.parametrize(
    "limit",
    [
        0,
        "0",
        "0.00",
        Decimal(0),
        Decimal("0E+5"),
        0.0,
        "-1",
        -1,
        -1.5,
        "NaN",
        float("nan"),
        True,
        "",
        "1e99",
        {},
    ],
)
def test_o21_an_invalid_limit_never_becomes_a_market_order(method: str, limit: Any) -> None:
    on = harness()
    with pytest.raises(NumberError):
        asked(on, lambda s: getattr(s, method)("AAA", 1, limit=limit))
    assert on.log == []


def test_o21_a_buy_limit_below_the_grid_is_refused_and_a_sell_rounds_up_to_it() -> None:
    on = harness()
    with pytest.raises(NumberError, match="0 on the grid"):
        asked(on, lambda s: s.buy("AAA", 1, limit="0.001"))
    (request,) = asked(on, lambda s: s.sell("AAA", 1, limit="0.001"))
    assert request.terms.limit == 1


@pytest.mark.parametrize(
    "size",
    [-1.0, float("nan"), float("inf"), 1e300, 1j, True, "-1", -1, "NaN", Decimal("Infinity"), "1_0", b"1"],
)
def test_o21_an_invalid_size_never_becomes_an_order(size: Any) -> None:
    on = harness()
    for ask in (lambda s: s.buy("AAA", size), lambda s: s.sell("AAA", size, limit="1")):
        with pytest.raises(NumberError):
            asked(on, ask)
    assert on.log == []


def test_o20_limits_are_rounded_down_for_a_buy_and_up_for_a_sell() -> None:
    on = harness()
    (buy,) = asked(on, lambda s: s.buy("AAA", "1", limit="100.019"))
    (sell,) = asked(on, lambda s: s.sell("AAA", "1", limit="100.011", tif="Ioc"))
    assert (buy.terms.limit, buy.terms.tif) == (10_001, "Gtc")
    assert (sell.terms.limit, sell.terms.tif) == (10_002, "Ioc")


def test_a_size_below_the_grid_becomes_zero_and_the_order_manager_decides() -> None:
    (request,) = asked(harness(), lambda s: s.buy("AAA", "0.0009"))
    assert request.terms.size == 0


def test_an_unknown_time_in_force_or_market_is_refused() -> None:
    on = harness()
    with pytest.raises(ValueError, match="'Gtc', 'Ioc' or 'Alo'"):
        asked(on, lambda s: s.buy("AAA", 1, tif="Fok"))
    with pytest.raises(KeyError):
        asked(on, lambda s: s.buy("ZZZ", 1))


# Targets.


@pytest.mark.parametrize(
    ("given_as", "short", "steps"),
    [
        ("1.5", False, 1500), ("-1.5", False, -1500), ("1.5", True, -1500), ("-1.5", True, 1500),
        (2, False, 2000), (-2, False, -2000), (Decimal("-0.0019"), False, -1), (Decimal("0.0019"), False, 1),
        ("-0.0009", False, 0), (-1.5, False, -1500), (1.5, True, -1500), (-0.0, False, 0),
    ],
)  # fmt: skip
def test_a_target_is_signed_and_rounded_towards_zero(given_as: Any, short: bool, steps: int) -> None:
    on = harness()
    emitted = asked(on, lambda s: s.target("AAA", given_as, short=short, reason="r"))
    assert emitted == [TargetSet(T, "mine", 1, steps, "r")]
    assert asked(on, lambda s: s.target("AAA", given_as, short=short)) == [], "this is already the target"
    assert on.strategy.wanted("AAA") == steps / 1000
    assert not on.strategy.holds("AAA"), "what is wanted is not held yet"


@pytest.mark.parametrize("size", [float("nan"), "--1", "x", True, "1e99", Decimal("NaN")])
def test_o21_an_invalid_target_is_not_set(size: Any) -> None:
    on = harness()
    with pytest.raises(NumberError):
        asked(on, lambda s: s.target("AAA", size))
    assert on.log == []


# Views.


def bar(close: int = 10_050, instrument: int = 1, revision: int = 0, number: int = 0) -> BarClosed:
    start_ns = T + number * MINUTE
    kind = BarCorrected if revision else BarClosed
    return kind(T, instrument, MINUTE, start_ns, 1, 3, 1, close, "1500", 7, "trade", revision)


# Plots, logs and timers: their values must be readable in the journal.


@pytest.mark.parametrize("value", [1, 1.5, float("nan"), -0.0, True, Decimal("1.5"), 10**300])
def test_a_recorded_number_is_a_float_in_the_journal(value: Any) -> None:
    (signal,) = asked(harness(), lambda s: s.plot("x", value))
    assert isinstance(signal, SignalRaised)
    assert type(signal.value) is float
    assert encode_inputs(decode_inputs(encode_inputs([signal]))) == encode_inputs([signal])


@pytest.mark.parametrize("value", [None, "x", [1.0], 10**400])
def test_a_value_that_is_not_a_number_is_not_recorded(value: Any) -> None:
    """An average that is still None must fail in the strategy, and not make the journal unreadable."""
    on = harness()
    with pytest.raises((TypeError, ValueError, OverflowError)):
        asked(on, lambda s: s.plot("x", value))
    assert on.log == []


def test_values_that_are_not_valid_text_are_not_recorded() -> None:
    on = harness()
    asks: list[Any] = [
        lambda s: s.plot(7, 1.0),
        lambda s: s.plot("\ud800", 1.0),
        lambda s: s.buy("AAA", 1, reason=None),
        lambda s: s.target("AAA", 1, reason=b"x"),
        lambda s: s.after(5, None),
        lambda s: s.after(5, "\ud800"),
        lambda s: s.buy("AAA", 1, group=None),
        lambda s: s.stop("AAA", "sell", 1, 95, group=b"x"),
        lambda s: s.log(5),
        lambda s: s.log("\ud800"),
    ]
    for ask in asks:
        with pytest.raises((TypeError, UnicodeEncodeError)):
            asked(on, ask)
    assert on.log == []
    assert on.timers == []


def test_a_line_of_the_log_is_an_event_with_the_market_of_the_moment() -> None:
    on = harness()
    assert asked(on, lambda s: s.log("x" * 1001)) == [LogWritten(T, "mine", "x" * 1000, 1)]
    assert asked(on, lambda s: s.log("words", "BBB")) == [LogWritten(T, "mine", "words", 2)]
    on.strategy.on_timer = on.strategy.log
    assert on.send(TimerFired(T, "mine", "k")) == [LogWritten(T, "mine", "k", 0)]


def test_a_timer_is_due_after_whole_milliseconds() -> None:
    on = harness()
    assert asked(on, lambda s: s.after(250, "k")) == []
    assert on.timers == [SetTimer("mine", T + 250_000_000, "k")]
    on.advance(T + 250_000_000)
    assert on.strategy.shown == "k"
    for odd in (1.5, "5", None):
        with pytest.raises(TypeError):
            asked(on, lambda s, odd=odd: s.after(odd, "k"))
    for less in (0, -5):
        with pytest.raises(ValueError, match="at the soonest"):
            asked(on, lambda s, less=less: s.after(less, "k"))


def test_views_show_decimal_numbers() -> None:
    on = harness()
    on.send(bar())
    shown: Any = on.strategy.shown
    assert (shown.market, shown.interval, shown.close, shown.volume) == ("AAA", "1m", 100.5, 1.5)
    assert (shown.open, shown.high, shown.low, shown.trades, shown.start_ns) == (0.01, 0.03, 0.01, 7, T)
    on.send(Quote(T, T, 1, 0, 0, 10_050, 1))
    shown = on.strategy.shown
    assert (shown.market, shown.bid, shown.ask) == ("AAA", None, 100.5)
    assert (shown.bid_size, shown.ask_size) == (0.0, 0.001)
    ticks: list[Tick] = []
    on.strategy.todo = ticks.append
    on.send(Trade(T, T, 1, 10_050, 1500, SELL))
    assert (ticks[0].market, ticks[0].price, ticks[0].size, ticks[0].side) == ("AAA", 100.5, 1.5, "sell")


def test_corrections_and_other_markets_do_not_reach_a_strategy() -> None:
    on = harness(("BBB",))
    on.send(bar(), bar(instrument=2, revision=1), Quote(T, T, 1, 1, 1, 2, 1))
    assert not hasattr(on.strategy, "shown")
    on.send(bar(instrument=2))
    assert on.strategy.shown.market == "BBB"


def test_a_market_listed_later_or_again_is_known() -> None:
    on = harness()
    asked(on, lambda s: s.buy("AAA", 1))
    on.actor.instruments[9] = InstrumentListed(T, 9, "sim", "NEW", 0, 0)
    on.send(InstrumentListed(T, 9, "sim", "NEW", 0, 0))
    (request,) = asked(on, lambda s: s.buy("NEW", 1))
    assert request.instrument == 9


# State, routes.


def test_verbs_work_only_inside_handlers() -> None:
    actor = StrategyActor(Busy, "mine", {})
    actor.bind(Instruments([InstrumentListed(T, 1, "sim", "AAA", 2, 3)]), Turn())
    with pytest.raises(RuntimeError, match="only inside its handlers"):
        actor.strategy.buy("AAA", 1)


def test_a_stored_state_replaces_what_on_start_created() -> None:
    actor, fresh = StrategyActor(Busy, "mine", {}), StrategyActor(Busy, "mine", {})
    del vars(actor.strategy)["past"]
    vars(actor.strategy)["later"] = 5
    fresh.restore(actor.state())
    assert fresh.state() == actor.state()


def test_only_overridden_hooks_are_routed() -> None:
    averages = harness(cls=Averages).actor
    assert [averages.listens(kind) for kind in (BarClosed, Trade, Quote)] == [True, False, False]
    assert all(harness().actor.listens(kind) for kind in (BarClosed, Trade, Quote, TimerFired, SubmitOrder))


@pytest.mark.parametrize("cls", [Busy, Averages])
def test_r07_the_state_of_a_strategy_is_stored_in_a_snapshot(cls: type[Strategy]) -> None:
    on, other = harness(cls=cls), harness(cls=cls)
    for number in range(40):
        on.send(Trade(T, T, 1, 10_000 + number, 5, BUY, number))
        on.send(bar(10_000 + number, number=number), bar(5, instrument=2, number=number))
    blob = encode_state(on.actor.state(), "mine")
    classes = classes_of(on.actor)
    other.actor.restore(decode_state(blob, classes))
    assert encode_state(other.actor.state(), "mine") == blob
    for instrument in (1, 2):
        emitted = [one.send(bar(77, instrument, number=40)) for one in (on, other)]
        assert emitted[0] == emitted[1]
        assert bool(emitted[0]) == (cls is Averages)
