"""One row for each cell of the table of gates: what refuses an opening, and what lets a closing pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.actors import OrderManager
from engine.clock import SECOND_NS
from engine.config import Config, RiskConfig, StrategyConfig
from engine.events import (
    AccountRead,
    ActorFailed,
    ClockChecked,
    ClockJumped,
    EngineLagging,
    FeedDown,
    FeedLagging,
    FeedUp,
    FillBooked,
    GatewayDown,
    InstrumentListed,
    MarketHalted,
    OrderApproved,
    OrderRefused,
    OrderRequested,
    OrderTerms,
    OrderUnknown,
    QueryAccount,
    TargetChanged,
    Trade,
)
from engine.events.rules import MarketRules, assumed_rules
from engine.values import BUY, SELL
from tests.actors.harness import Harness, T
from tests.actors.rig import Rig

FIRST_SIX = {"size", "nothing_to_close", "exit_budget", "no_price", "stopping", "trigger_side", "min_value"}
"""The limits that may refuse a closing part."""

Act = Callable[[Rig], Any]


def buy(rig: Rig) -> None:
    rig.buy("S", "1.5")


def sell(rig: Rig) -> None:
    rig.sell("S", 1)


def sell_short(rig: Rig) -> None:
    rig.sell("T", 1)


def nothing(rig: Rig) -> None:
    """Change nothing."""


def send(*make: Callable[[int], Any]) -> Act:
    def arrange(rig: Rig) -> None:
        for one in make:
            rig.send(one(rig.tick()))

    return arrange


def jump(rig: Rig) -> None:
    """Let the clock jump, and a new price come."""
    at_ns = rig.tick()
    rig.send(ClockJumped(at_ns, at_ns - SECOND_NS, at_ns, "paused"))
    rig.trade(100)


def derive(*events: Any) -> Act:
    return lambda rig: rig.derive(*events)


def list_again(**rules: Any) -> Act:
    """Let the venue change its rules."""

    def arrange(rig: Rig) -> None:
        listed = InstrumentListed(rig.tick(), 1, "sim", "M1", *rig.scales, rules=MarketRules(**rules))
        rig.send(listed)

    return arrange


def lose_answers(rig: Rig) -> None:
    """Leave four orders whose fate is not known."""
    for _ in range(4):
        rig.buy("S", "0.1", limit=90)
        rig.send(OrderUnknown(rig.tick(), rig.newest().client_order_id, "timeout"))


def stop_out(rig: Rig) -> None:
    """Close a part of the position by a fired stop."""
    rig.stop("S", "0.5", 97)
    rig.trade(96, 96)


def spot(**more: Any) -> dict[str, Any]:
    return {"kind": "spot", **more}


@dataclass
class Row:
    """A check, what makes it refuse, and the limit that an opening and a closing part get; "": it passes."""

    check: str
    opening: str
    closing: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    arrange: Act = nothing
    modes: str = "paper real"
    opens: Act = buy
    names: tuple[str, ...] = ("S",)

    def __str__(self) -> str:
        return self.check.replace(" ", "_")


ROWS = (
    Row("nothing in the way", ""),
    Row("a size of 0 on the grid", "size", opens=lambda rig: rig.buy("S", 0)),
    Row("a stop", "stopping", "stopping", arrange=lambda rig: rig.operate("stop")),
    Row(
        "the minimum, which closes need not have",
        "min_value",
        arrange=list_again(value_min="152"),
    ),
    Row(
        "the minimum, which closes have too",
        "min_value",
        "min_value",
        arrange=list_again(value_min="152", value_min_exempts_close=False),
    ),
    Row("the largest order", "max_order_size", settings={"risk": {"max_order_size": {"M1": "1.4"}}}),
    Row("the venue's largest order", "max_order_size", settings={"rules": MarketRules(size_max=140)}),
    Row("the value of an order", "max_order_notional", settings={"risk": {"max_order_notional": "150"}}),
    Row("the largest position", "max_position_size", settings={"risk": {"max_position_size": {"M1": "3"}}}),
    Row(
        "the value of a position",
        "max_position_notional",
        settings={"risk": {"max_position_notional": "320"}},
    ),
    Row(
        "the leverage", "max_leverage", settings={"risk": {"max_leverage": "3"}, "cash": "100"}, modes="paper"
    ),
    Row(
        "the number of positions",
        "max_open_positions",
        settings={"risk": {"max_open_positions": 1}, "markets": 2},
        opens=lambda rig: rig.buy("S", 1, market=2),
    ),
    Row(
        "a market that would be netted",
        "netting",
        settings={"risk": {"netting": "refuse"}},
        opens=sell_short,
        names=("S", "T"),
    ),
    Row("a cooldown", "cooldown", settings={"risk": {"cooldown": "60s"}}, arrange=stop_out, modes="paper"),
    Row("orders per minute", "max_orders_per_minute", settings={"risk": {"max_orders_per_minute": 2}}),
    Row("the venue's budget", "request_budget", settings={"rules": MarketRules(requests_per_minute=3)}),
    Row(
        "a feed that is down",
        "stale",
        arrange=send(lambda at: FeedUp(at, "feed", 1), lambda at: FeedDown(at, "feed", "reset")),
    ),
    Row("a feed that is late", "stale", arrange=send(lambda at: FeedLagging(at, "feed", 5001))),
    Row("an engine that is late", "stale", arrange=send(lambda at: EngineLagging(at, 5001))),
    Row(
        "an account that is not known",
        "unreconciled",
        arrange=send(lambda at: GatewayDown(at, "gateway", "reset")),
        modes="real",
    ),
    Row(
        "a clock that jumped",
        "unreconciled",
        arrange=jump,
        modes="real",
    ),
    Row(
        "a clock that is off",
        "clock",
        arrange=send(lambda at: ClockChecked(at, "venue", SECOND_NS + 1)),
        modes="real",
    ),
    Row("orders that are not known", "unknown_orders", arrange=lose_answers, modes="real"),
    Row("a market's halt", "market_halted", arrange=derive(MarketHalted(0, 1, "liquidation"))),
    Row("a halt", "halted", arrange=lambda rig: rig.operate("halt")),
    Row("a failure", "quarantined", arrange=derive(ActorFailed(0, "S", 7, "x", "quarantine"))),
    Row("a failure that halts", "halted", arrange=derive(ActorFailed(0, "S", 7, "x", "halt"))),
    Row("a pause", "paused", arrange=lambda rig: rig.operate("pause", "S")),
    Row("a pause of all", "paused", arrange=lambda rig: rig.operate("pause")),
    Row("margin", "margin", settings={"cash": "15"}, modes="paper"),
    Row("cash", "balance", settings=spot(cash="300"), modes="paper"),
    Row(
        "selling what is not held",
        "short_spot",
        settings=spot(),
        opens=sell_short,
        names=("S", "T"),
        modes="paper",
    ),
)

CELLS = [(row, mode) for row in ROWS for mode in row.modes.split()]


def rig_of(row: Row, mode: str) -> Rig:
    """Return a session whose strategy S holds 2, in the situation of the row."""
    settings = {"cash": "1000000", **row.settings}
    rig = Rig(*row.names, real=mode == "real", **settings)
    rig.hold("S", 1)
    rig.hold("S", 1)
    assert rig.book("S") == 2
    row.arrange(rig)
    return rig


def answer(rig: Rig, act: Act) -> str:
    """Return the limit that refuses what `act` asks for, "" if it is approved."""
    refused, approved = len(rig.refusals()), len(rig.events(OrderApproved))
    act(rig)
    limits = rig.refusals()[refused:]
    assert bool(limits) != (len(rig.events(OrderApproved)) > approved), "refused or approved, nothing else"
    return limits[0] if limits else ""


@pytest.mark.parametrize(("row", "mode"), CELLS, ids=lambda one: str(one))
def test_an_opening_passes_every_check(row: Row, mode: str) -> None:
    """I9."""
    assert answer(rig_of(row, mode), row.opens) == row.opening


@pytest.mark.parametrize(("row", "mode"), CELLS, ids=lambda one: str(one))
def test_a_closing_passes_all_but_the_first_checks(row: Row, mode: str) -> None:
    rig = rig_of(row, mode)
    assert answer(rig, sell) == row.closing
    assert row.closing in {"", *FIRST_SIX}


@pytest.mark.parametrize(("row", "mode"), CELLS, ids=lambda one: str(one))
def test_a_protective_exit_passes_them_too(row: Row, mode: str) -> None:
    """A flatten closes the book whatever is in the way."""
    rig = rig_of(row, mode)
    rig.operate("flatten", "S")
    for _ in range(3):
        if mode == "paper":
            rig.trade(100)
        elif rig.book("S"):
            order = rig.newest()
            assert order.terms.purpose == "flatten"
            rig.fill(order, Decimal(order.terms.size).scaleb(-2), 100)
    assert rig.book("S") == 0
    assert not [one for one in rig.events(OrderRefused) if one.purpose == "flatten"]


# Closing parts that are refused.


def test_there_is_nothing_to_close() -> None:
    rig = Rig("S", "T").hold("S", 2)
    assert answer(rig, lambda one: one.sell("T", 1, reduce_only=True)) == "nothing_to_close"
    assert answer(rig, lambda one: one.buy("S", 1, reduce_only=True)) == "nothing_to_close"


def test_what_another_exit_closes_is_taken() -> None:
    rig = Rig(real=True).hold("S", 2)
    assert answer(rig, lambda one: one.sell("S", 2)) == ""
    assert answer(rig, sell) == "exit_budget"
    assert rig.events(OrderRefused)[-1].reason == "S-2 already closes it"


def test_a_trigger_that_was_reached_already_is_refused() -> None:
    rig = Rig().hold("S", 2)
    assert answer(rig, lambda one: one.sell("S", 1, trigger=103)) == "trigger_side"
    assert answer(rig, lambda one: one.sell("S", 1, trigger=97, kind="tp")) == "trigger_side"
    assert rig.events(OrderRefused)[-1].reason == "the price is 100, at or beyond the trigger price 97"


def new_harness(**risk: Any) -> Harness:
    """One order manager; AAA has price scale 2 and size scale 3: size 1000 at 10000 is 1 AAA at 100.00."""
    free = {"max_order_notional": "0", "max_position_notional": "0", "max_orders_per_minute": 0}
    config = Config(risk=RiskConfig(**{**free, **risk}), strategies=(StrategyConfig(name="s"),))
    return Harness(OrderManager(config))


def booked(size: int, side: int = BUY) -> FillBooked:
    return FillBooked(T, "s", 1, side, 10_000, size, 0, 0, "0x1", 7, "taker", "open", "own")


def request(side: int, size: int, **more: Any) -> OrderRequested:
    return OrderRequested(T, "s", 1, OrderTerms(side, size, handle="s-1", **more))


def test_l03_without_a_price_nothing_is_opened_and_an_exit_waits_for_the_first_one() -> None:
    harness = new_harness()
    (refused,) = harness.send(request(BUY, 10))
    assert (refused.limit, refused.role) == ("no_price", "open")
    harness.send(booked(1000))
    assert harness.send(request(SELL, 400)) == []
    (approved,) = [
        one for one in harness.send(Trade(T, T, 1, 10_000, 1, 1)) if isinstance(one, OrderApproved)
    ]
    assert (approved.terms.size, approved.terms.bound, approved.terms.role) == (400, 9200, "close")


def test_an_exit_with_a_limit_needs_no_price() -> None:
    harness = new_harness()
    harness.send(booked(1000))
    (approved,) = harness.send(request(SELL, 400, limit=11_000))
    assert isinstance(approved, OrderApproved)


# The minimum value.


def test_an_exit_below_the_minimum_waits_until_it_is_large_enough() -> None:
    """0.04 at 100 on a venue with a minimum of 5, which its closes have too."""
    rig = Rig(kind="spot", rules=MarketRules(on_margin=False, value_min="5", value_min_exempts_close=False))
    rig.hold("S", "0.08")
    rig.sell("S", "0.04", limit=200)
    assert rig.refusals() == [], "4 at its bound, but 8 at its limit"
    rig = Rig(kind="spot", rules=MarketRules(on_margin=False, value_min="5", value_min_exempts_close=False))
    rig.hold("S", "0.14")
    rig.sell("S", "0.1")
    rig.trade(100)
    rig.target("S", 0)
    changed = rig.events(TargetChanged)[-1]
    assert (changed.state, changed.reason) == ("waiting", "dust")
    rig.wait(200)
    assert rig.events(TargetChanged)[-1] == changed, "it is reported once"
    assert rig.book("S") == Decimal("0.04")
    rig.buy("S", "0.06")
    rig.trade(100)
    rig.target("S", 0)
    rig.trade(100)
    assert rig.book("S") == 0, "what was too small is sold with the rest"
    assert rig.refusals() == []


def test_an_exit_that_opens_at_the_venue_is_not_exempt_from_the_minimum() -> None:
    rig = Rig("S", "T", rules=MarketRules(value_min="10")).hold("S", "0.2")
    assert answer(rig, lambda one: one.sell("S", "0.05")) == ""
    rig = Rig("S", "T", rules=MarketRules(value_min="10")).hold("S", "0.2").hold("T", "-0.3")
    assert answer(rig, lambda one: one.sell("S", "0.05")) == "min_value"
    assert rig.events(OrderRefused)[-1].reason == "4.6 is less than the venue's minimum of 10"


def test_an_exit_above_the_venues_largest_order_goes_in_parts() -> None:
    rig = Rig(rules=MarketRules(size_max=80))
    for _ in range(3):
        rig.hold("S", "0.8")
    rig.sell("S", 2)
    parts = [one.terms.size for one in rig.events(OrderApproved) if one.terms.role == "close"]
    assert parts == [80, 80, 40]
    rig.trade(100)
    assert rig.book("S") == Decimal("0.4")


def test_a_turn_above_the_venues_largest_order_opens_when_all_parts_are_filled() -> None:
    rig = Rig(rules=MarketRules(size_max=80))
    rig.hold("S", "0.8").hold("S", "0.8")
    rig.sell("S", 2)
    rig.trade(100)
    rig.trade(100)
    assert rig.book("S") == Decimal("-0.4")


# A property of all of it.

_checks = st.lists(st.sampled_from([row for row in ROWS if "paper" in row.modes]), min_size=1, max_size=4)


@given(
    rows=_checks,
    calls=st.lists(st.sampled_from(["sell", "sell more", "target", "stop", "trade"]), max_size=6),
)
def test_no_closing_part_is_refused_by_a_limit_beyond_the_first_checks(
    rows: list[Row], calls: list[str]
) -> None:
    settings: dict[str, Any] = {"cash": "1000000"}
    for row in rows:
        for key, value in row.settings.items():
            settings[key] = {**settings.get(key, {}), **value} if key == "risk" else value
    settings.setdefault("rules", assumed_rules(settings.get("kind", "perp")))
    rig = Rig("S", "T", **settings)
    rig.hold("S", 1)
    rig.hold("S", 1)
    for row in rows:
        row.arrange(rig)
    for call in calls:
        match call:
            case "sell":
                rig.sell("S", "0.5")
            case "sell more":
                rig.sell("S", 5)
            case "target":
                rig.target("S", 0)
            case "stop":
                rig.stop("S", 1, 97)
            case "trade":
                rig.trade(96)
    closing = [one.limit for one in rig.events(OrderRefused) if one.role == "close"]
    assert set(closing) <= FIRST_SIX


def test_after_a_jump_the_account_is_read_and_an_older_answer_does_not_count() -> None:
    """An answer that lay in a socket while the machine was suspended is as old as the jump is long."""
    rig = Rig("S", real=True)
    rig.hold("S", 1)
    at_ns = rig.tick()
    rig.send(ClockJumped(at_ns, at_ns - 3600 * SECOND_NS, at_ns, "suspended"))
    (query,) = rig.events(QueryAccount)
    assert query.reason == "the clock jumped"
    assert answer(rig, buy) == "stale"
    rig.trade(100)
    assert answer(rig, buy) == "unreconciled"
    assert answer(rig, sell) == ""
    old_ns = at_ns - 2 * SECOND_NS
    rig.send(AccountRead(rig.tick(), old_ns, "rig", 2, "100000000", "100000000", 0, 0))
    assert answer(rig, buy) == "unreconciled"
    rig.account_read()
    assert answer(rig, buy) == ""
