"""Orders along candles at the simulated venue: the path of each book, and what fills on it.

Prices in candles and orders are steps of 0.01: the examples of the rules at 100 are 10000 here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from engine.actors import Actor, Aggregator, Emit, SimulatedVenue, handles
from engine.config import AccountConfig, BarsConfig, Config, PaperConfig
from engine.events import (
    BarClosed,
    Candle,
    Event,
    OrderAccepted,
    OrderFilled,
    PathReached,
    SubmitOrder,
    TrailChanged,
)
from engine.events.codec import Record
from engine.sequencer import Sequencer
from engine.session import SessionBuilder
from engine.states import encode_state
from engine.values import BUY, SELL
from tests.actors.harness import LISTED, MINUTE, Harness, T
from tests.actors.venue_kit import MS, PLAIN, attached, candle, new_harness, order, placed, reports, summary
from tests.test_turns import Memory

ONE_BP: dict[str, Any] = {"slippage_bps": 1}


def at_100(side: int = BUY, size: int = 10, **config: Any) -> Harness:
    """Return a harness on candles whose book "s" has opened at 100.00."""
    harness = new_harness(**config)
    harness.send(candle(10000, 10000, 10000, 10000, start=T - 2 * MINUTE))
    placed(harness, order("entry", side, size, at=T - 2 * MINUTE))
    harness.send(candle(10000, 10000, 10000, 10000, start=T - MINUTE))
    return harness


def protects(
    name: str, trigger: str, price: int, side: int = SELL, size: int = 10, **more: Any
) -> SubmitOrder:
    return order(
        name, side, size, reduce_only=True, role="close", trigger=trigger, trigger_price=price, **more
    )


def path(events: Sequence[Event]) -> list[tuple[str, int, str]]:
    return [(one.owner, one.price, one.part) for one in events if isinstance(one, PathReached)]


def fills(events: Sequence[Event]) -> list[tuple[str, ...]]:
    return [one for one in summary(list(events)) if one[0] == "fill"]


# Stops and take-profits.


def test_the_worse_end_comes_first_and_a_stop_fills_at_its_trigger_made_worse() -> None:
    """The example of the rules: 100/105/96/103 with a stop at 97.5 and a take-profit at 104."""
    harness = at_100(**ONE_BP)
    placed(harness, protects("sl", "sl", 9750), protects("tp", "tp", 10400))
    events = harness.send(candle(10000, 10500, 9600, 10300))
    assert fills(events) == [("fill", "sl", "10@9749.025")]
    assert path(events)[:3] == [("s", 10000, "open"), ("s", 9750, ""), ("s", 9600, "low")]


def test_a_wick_does_not_fill_a_stop_better_than_its_trigger() -> None:
    """The example of the issue: a wick to 80 through a stop at 97.5 sold at 100.98."""
    harness = at_100(**ONE_BP)
    placed(harness, protects("sl", "sl", 9750))
    assert fills(harness.send(candle(10000, 10100, 8000, 10098))) == [("fill", "sl", "10@9749.025")]


def test_a_stop_beyond_which_a_candle_opens_fills_at_the_open_made_worse() -> None:
    harness = at_100(**ONE_BP)
    placed(harness, protects("sl", "sl", 9750, bound=9653))
    events = harness.send(candle(9500, 10500, 9400, 10300))
    assert fills(events) == [("fill", "sl", "10@9499.05")], "a gap exceeds no bound"


@pytest.mark.parametrize("opened", [10000, 10400, 10600])
def test_a_take_profit_fills_at_its_trigger_made_worse_also_if_the_candle_opens_beyond_it(
    opened: int,
) -> None:
    harness = at_100(**ONE_BP)
    placed(harness, protects("tp", "tp", 10400))
    assert fills(harness.send(candle(opened, 10700, 9900, 10000))) == [("fill", "tp", "10@10398.96")]


def test_a_short_book_is_led_to_the_high_first() -> None:
    harness = at_100(SELL, **ONE_BP)
    placed(harness, protects("sl", "sl", 10250, BUY), protects("tp", "tp", 9600, BUY))
    events = harness.send(candle(10000, 10400, 9500, 9700))
    assert fills(events) == [("fill", "sl", "10@10251.025")]
    assert [part for _, _, part in path(events)] == ["open", "", "high", "low", "close"]


def test_a_stop_with_a_limit_rests_where_it_cannot_trade_and_fills_on_the_way_back() -> None:
    harness = at_100()
    placed(harness, protects("sl", "sl", 9750, limit=9760))
    (fill,) = (one for one in harness.send(candle(10000, 10000, 9700, 9755)) if isinstance(one, OrderFilled))
    assert (fill.price, fill.liquidity) == (97_600_000, "maker")


# The first end.


@pytest.mark.parametrize(
    ("orders", "close", "first"),
    [
        ([("a", BUY, 9900, "")], 10400, "low"),
        ([("a", SELL, 10100, "")], 9700, "high"),
        ([("a", BUY, 9900, ""), ("b", SELL, 10450, "")], 10400, "high"),
        ([("a", BUY, 9900, ""), ("b", SELL, 10450, "")], 9700, "low"),
        ([("a", BUY, 9900, ""), ("b", SELL, 10450, "")], 10050, "low"),
        ([("a", BUY, 10450, "sl")], 10400, "high"),
        ([("a", SELL, 9650, "sl")], 9700, "low"),
        ([("a", BUY, 9650, "tp")], 10400, "low"),
    ],
)
def test_the_first_end_hurts_what_the_orders_of_a_flat_book_would_open(
    orders: list[tuple[str, int, int, str]], close: int, first: str
) -> None:
    harness = new_harness()
    harness.send(candle(10000, 10000, 10000, 10000, start=T - MINUTE))
    for name, side, price, trigger in orders:
        limit = {"trigger": trigger, "trigger_price": price} if trigger else {"limit": price}
        placed(harness, order(name, side, role="open", **limit))
    events = harness.send(candle(10000, 10500, 9600, close))
    assert [part for _, _, part in path(events) if part][1] == first


def test_a_stop_entry_meets_its_own_stop_after_it() -> None:
    """The high first, since the low would hurt what the entry opens."""
    harness = new_harness(**ONE_BP)
    harness.send(candle(10000, 10000, 10000, 10000, start=T - MINUTE))
    placed(
        harness, order("p", BUY, role="open", trigger="sl", trigger_price=10200), attached("sl", "sl", 9950)
    )
    events = harness.send(candle(10000, 10300, 9900, 10250))
    assert fills(events) == [("fill", "p", "10@10201.02"), ("fill", "sl", "10@9949.005")]


# Entry and exit in one candle.


def bracket(**config: Any) -> Harness:
    """Return a harness with a bid at 99, its stop-loss at 97.5 and its take-profit at 100.5."""
    harness = new_harness(**ONE_BP, **config)
    harness.send(candle(10000, 10000, 10000, 10000, start=T - MINUTE))
    placed(
        harness,
        order("p", BUY, limit=9900, role="open"),
        attached("sl", "sl", 9750),
        attached("tp", "tp", 10050),
    )
    harness.send(candle(10000, 10000, 10000, 10000))
    return harness


@pytest.mark.parametrize(
    ("low", "high", "close", "expected"),
    [
        (9700, 10100, 10000, [("fill", "p", "10@9900"), ("fill", "sl", "10@9749.025")]),
        (9850, 10100, 10020, [("fill", "p", "10@9900")]),
        (9850, 10100, 10080, [("fill", "p", "10@9900"), ("fill", "tp", "10@10048.995")]),
        (9850, 10100, 10050, [("fill", "p", "10@9900"), ("fill", "tp", "10@10048.995")]),
    ],
)
def test_what_opened_on_the_way_closes_with_a_profit_only_if_the_close_proves_it(
    low: int, high: int, close: int, expected: list[tuple[str, ...]]
) -> None:
    """The examples of the rules: bid 99, stop-loss 97.5, take-profit 100.5."""
    assert fills(bracket().send(candle(10000, high, low, close, start=T + MINUTE))) == expected


def test_an_entry_at_the_open_can_reach_its_take_profit_on_the_way() -> None:
    harness = new_harness(**ONE_BP)
    harness.send(candle(10000, 10000, 10000, 10000, start=T - MINUTE))
    placed(harness, order("p", BUY, role="open"), attached("sl", "sl", 9750), attached("tp", "tp", 10050))
    events = harness.send(candle(10000, 10100, 9800, 9900))
    assert fills(events) == [("fill", "p", "10@10001"), ("fill", "tp", "10@10048.995")]


def test_an_attached_stop_that_the_open_has_passed_fires_at_the_open() -> None:
    harness = new_harness(**ONE_BP)
    harness.send(candle(10000, 10000, 10000, 10000, start=T - MINUTE))
    placed(harness, order("p", BUY, role="open"), attached("sl", "sl", 9750))
    events = harness.send(candle(9700, 9900, 9700, 9800))
    assert fills(events) == [("fill", "p", "10@9700.97"), ("fill", "sl", "10@9699.03")]


def test_what_a_book_held_before_can_close_with_a_profit_after_more_was_opened_on_the_way() -> None:
    harness = at_100()
    placed(harness, order("bid", BUY, 4, limit=9900, role="open"), protects("tp", "tp", 10200, size=14))
    events = harness.send(candle(10000, 10300, 9850, 10000))
    assert fills(events) == [("fill", "bid", "4@9900"), ("fill", "tp", "10@10200")]


# Limits.


@pytest.mark.parametrize(
    ("low", "touch", "filled"),
    [(9501, True, False), (9500, False, False), (9500, True, True), (9499, False, True)],
)
def test_a_resting_order_fills_at_its_price_when_a_candle_goes_through_it(
    low: int, touch: bool, filled: bool
) -> None:
    harness = new_harness(fill_on_touch=touch)
    placed(harness, order("a", BUY, limit=9500))
    harness.send(candle(10000, 10000, 10000, 10000))
    events = harness.send(candle(10000, 12000, low, 11000, start=T + MINUTE))
    assert fills(events) == ([("fill", "a", "10@9500")] if filled else [])


@pytest.mark.parametrize(
    ("opened", "low", "filled"), [(9400, 9400, True), (9500, 9500, False), (9500, 9499, True)]
)
def test_a_resting_order_that_a_candle_opens_through_fills_at_its_own_price(
    opened: int, low: int, filled: bool
) -> None:
    harness = new_harness()
    placed(harness, order("a", BUY, limit=9500))
    harness.send(candle(10000, 10000, 10000, 10000))
    events = harness.send(candle(opened, 9600, low, 9550, start=T + MINUTE))
    assert fills(events) == ([("fill", "a", "10@9500")] if filled else [])


def test_on_candles_an_ioc_order_can_fill_at_the_open_only() -> None:
    harness = new_harness()
    placed(harness, order("a", BUY, limit=9500, tif="Ioc"))
    assert summary(harness.send(candle(10000, 12000, 5000, 11000))) == [
        ("OrderCanceled", "a", "Ioc found no match")
    ]


def test_a_market_order_fills_at_the_open_made_worse_whatever_its_bound() -> None:
    harness = new_harness(**ONE_BP)
    placed(harness, order("a", BUY, bound=10100))
    assert fills(harness.send(candle(11000, 12000, 8000, 11000))) == [("fill", "a", "10@11001.1")]


# Volume, times, books.


def test_the_fills_of_a_candle_take_no_more_than_its_volume() -> None:
    harness = at_100()
    placed(harness, protects("sl", "sl", 9750), order("bid", BUY, 8, limit=9800, role="open"))
    assert summary(harness.send(candle(10000, 10000, 9700, 9900, volume=12))) == [
        ("fill", "bid", "8@9800"),
        ("fill", "sl", "4@9750"),
        ("OrderCanceled", "sl", "Ioc found no match"),
    ]


def test_a_take_profit_without_volume_waits_and_a_stop_loss_fires_for_the_engine_to_follow() -> None:
    harness = at_100()
    placed(harness, protects("tp", "tp", 10200), order("ask", SELL, 6, limit=10100, role="close"))
    events = harness.send(candle(10000, 10300, 9990, 10000, volume=6))
    assert summary(events) == [("fill", "ask", "6@10100")]
    events = harness.send(candle(10000, 10300, 9990, 10000, start=T + MINUTE))
    assert fills(events) == [("fill", "tp", "4@10200")]
    harness = at_100()
    placed(harness, protects("sl", "sl", 9750), order("bid", BUY, 6, limit=9800, role="open"))
    events = harness.send(candle(10000, 10000, 9700, 9900, volume=6))
    assert summary(events)[-1] == ("OrderCanceled", "sl", "Ioc found no match")


def test_the_venues_time_of_a_fill_is_the_start_of_the_candle_or_its_end() -> None:
    harness = new_harness(latency_ms=100)
    harness.send(candle(10000, 10000, 10000, 10000, start=T - MINUTE))
    placed(harness, order("p", BUY, role="open"), attached("sl", "sl", 9750))
    events = harness.send(candle(10000, 10100, 9700, 9900))
    found = [
        (one.client_order_id, one.recv_ns - T, one.venue_ns - T)
        for one in events
        if isinstance(one, OrderFilled)
    ]
    assert found == [("p", MINUTE, 100 * MS), ("sl", MINUTE, MINUTE)], "it arrived 100 ms after the start"


def test_an_order_that_arrives_at_the_end_of_a_candle_does_not_meet_it() -> None:
    """Another market's bar may cause it, at the time at which this candle is received."""
    harness = new_harness()
    harness.send(candle(10000, 10000, 10000, 10000, start=T - MINUTE))
    harness.send(order("a", BUY, at=T))
    harness.advance(T)
    assert reports(harness.send(candle(9000, 10000, 9000, 10000, start=T - MINUTE))) == []
    assert (
        reports(harness.send(Candle(T, T, 1, MINUTE // 2, T - MINUTE // 2, 9000, 9000, 9000, 9000, 0))) == []
    )
    assert fills(harness.send(candle(10000, 10000, 10000, 10000))) == [("fill", "a", "10@10000")]


def test_a_candle_of_a_time_that_is_done_leads_nothing() -> None:
    """A longer candle of the same time, or a candle that is given again."""
    harness = at_100()
    placed(harness, protects("sl", "sl", 9750))
    harness.send(candle(10000, 10000, 9900, 9950))
    longer = Candle(T + MINUTE, T + MINUTE, 1, 5 * MINUTE, T - 4 * MINUTE, 10000, 10000, 9000, 9950, 0)
    assert harness.send(longer, candle(10000, 10000, 9000, 9950)) == []


def test_each_book_is_led_along_its_own_path_and_reduces_by_itself() -> None:
    """A long and a short book net to 0 at the account, and both stops work."""
    harness = new_harness()
    harness.send(candle(10000, 10000, 10000, 10000, start=T - 2 * MINUTE))
    placed(
        harness,
        order("l", BUY, owner="Long", at=T - 2 * MINUTE),
        order("s", SELL, owner="Short", at=T - 2 * MINUTE),
    )
    harness.send(candle(10000, 10000, 10000, 10000, start=T - MINUTE))
    placed(
        harness,
        protects("l sl", "sl", 9750, owner="Long", size=12),
        protects("s sl", "sl", 10250, BUY, owner="Short"),
    )
    events = harness.send(candle(10000, 10300, 9700, 10000))
    assert fills(events) == [("fill", "l sl", "10@9750"), ("fill", "s sl", "10@10250")]
    assert [one[:1] + one[2:] for one in path(events) if one[2]] == [
        *(("Long", part) for part in ("open", "low", "high", "close")),
        *(("Short", part) for part in ("open", "high", "low", "close")),
    ]


def test_an_exit_never_goes_beyond_its_book_on_a_candle_flagged_or_not() -> None:
    """There is no time within a candle for the engine to cancel it."""
    harness = at_100()
    placed(
        harness,
        order("a", SELL, role="close", trigger="sl", trigger_price=9750),
        order("b", SELL, limit=10100, role="close"),
    )
    events = harness.send(candle(10000, 10300, 9700, 10000))
    assert summary(events) == [("fill", "a", "10@9750"), ("OrderCanceled", "b", "reduce only")]


# In a turn: what a fill causes comes before the next price, and before the bar.


class Reacts(Actor):
    """Sends orders when it sees certain events from a time on: (event type, part or order, order).

    One that reacts to the path is led along it, as the owner of a trail is.
    """

    WIRING = Actor.WIRING | {"plan", "from_ns"}

    def __init__(self, from_ns: int, *plan: tuple[type[Event], str, SubmitOrder]) -> None:
        super().__init__("s")
        self.plan = plan
        self.from_ns = from_ns

    @handles(OrderFilled, PathReached, BarClosed)
    def react(self, event: OrderFilled | PathReached | BarClosed, emit: Emit) -> None:
        what = getattr(event, "client_order_id", "") or getattr(event, "part", "")
        at_ns: int = event.at_ns if not isinstance(event, OrderFilled) else event.recv_ns
        if any(kind is PathReached for kind, _, _ in self.plan) and at_ns < self.from_ns:
            emit(TrailChanged(at_ns, "s", 1, SELL, 10, 0, "waiting"))
        for kind, name, answer in self.plan:
            if type(event) is kind and what == name and at_ns >= self.from_ns:
                emit(SubmitOrder(at_ns, answer.client_order_id, "s", 1, answer.terms))


class Enters(Actor):
    """Sends the entry on the bar before the candles."""

    WIRING = Actor.WIRING | {"entry"}

    def __init__(self, entry: SubmitOrder) -> None:
        super().__init__("e")
        self.entry = entry

    @handles(BarClosed)
    def bar(self, bar: BarClosed, emit: Emit) -> None:
        if bar.start_ns == T - MINUTE:
            emit(SubmitOrder(bar.at_ns, self.entry.client_order_id, "s", 1, self.entry.terms))


def run(
    *candles: Candle, entry: SubmitOrder, plan: Sequence[tuple[type[Event], str, SubmitOrder]]
) -> list[Record]:
    """Run candles with an entry through a sequencer; return the records of the last turn.

    A second sequencer that follows the records has the same state.
    """

    def build(_: object) -> list[Actor]:
        paper = PaperConfig(**{**PLAIN, "latency_ms": 100, "slippage_bps": 1})
        venue = SimulatedVenue(paper, AccountConfig())
        reacts = Reacts(candles[-1].recv_ns, *plan)
        return [Aggregator(BarsConfig(intervals=("1m",))), venue, Enters(entry), reacts]

    memory = Memory()
    sequencer = Sequencer(build, memory)
    builder = SessionBuilder(lambda _: pytest.fail("no strategy"), "test", "0")
    started = builder.start(
        recv_ns=T - MINUTE, session="a" * 16, mode="backtest", config=Config(strategies=())
    )
    sequencer.run([started, LISTED[1], candle(10000, 10000, 10000, 10000, start=T - MINUTE)])
    for one in candles[:-1]:
        sequencer.run([one])
    before = len(memory.records)
    sequencer.run([candles[-1]])
    follower = Sequencer(build, Memory())
    follower.follow(memory.records)
    states = [encode_state(one.actor("venue").state(), "venue") for one in (sequencer, follower)]
    assert states[0] == states[1]
    return memory.records[before:]


def shown(records: list[Record]) -> list[tuple[str, ...]]:
    short = []
    for _, _, event in records:
        if isinstance(event, PathReached):
            short.append(("path", event.part or str(event.price)))
        elif isinstance(event, SubmitOrder):
            short.append(("send", event.client_order_id))
        elif isinstance(event, OrderFilled):
            short += summary([event])
        elif isinstance(event, BarClosed):
            short.append(("bar",))
    return short


def test_a_stop_asked_for_on_the_fill_takes_part_in_the_rest_of_the_path() -> None:
    """The example of the rules: bid 99, filled on the way down; its stop at 97.5 sells in the same candle."""
    records = run(
        candle(10000, 10000, 9950, 10000),
        candle(10000, 10100, 9700, 10000, start=T + MINUTE),
        entry=order("p", BUY, limit=9900, role="open"),
        plan=[
            (OrderFilled, "p", protects("sl", "sl", 9750)),
            (OrderFilled, "p", order("more", BUY, role="open")),
        ],
    )
    assert shown(records) == [
        ("path", "open"),
        ("path", "9900"),
        ("fill", "p", "10@9900"),
        ("send", "sl"),
        ("send", "more"),
        ("path", "9750"),
        ("fill", "sl", "10@9749.025"),
        ("path", "low"),
        ("path", "high"),
        ("path", "close"),
        ("bar",),
    ], "an order that is no stop arrives after the candle"
    causes = {seq: event for seq, _, event in records}
    accepted, _ = [(cause, event) for _, cause, event in records if isinstance(event, OrderAccepted)]
    assert causes[accepted[0]] == next(e for e in causes.values() if isinstance(e, SubmitOrder)), (
        "its submission"
    )


@pytest.mark.parametrize(
    ("part", "trigger", "filled"),
    [("open", 10050, "10@9999"), ("low", 9800, "10@9799.02"), ("close", 10100, "10@10098.99")],
)
def test_an_exit_that_the_engine_fires_along_the_path_fills_at_its_trigger_or_at_the_open(
    part: str, trigger: int, filled: str
) -> None:
    """As a trail does: it fires at a price of the path that has passed it, also at the close."""
    records = run(
        candle(10000, 10000, 10000, 10000),
        candle(10000, 10200, 9700, 9900, start=T + MINUTE),
        entry=order("p", BUY, role="open"),
        plan=[(PathReached, part, protects("t", "sl", trigger))],
    )
    assert [one for one in shown(records) if one[0] == "fill"] == [("fill", "t", filled)]
    assert shown(records)[-1] == ("bar",)


def test_an_order_sent_on_the_bar_arrives_after_its_latency() -> None:
    plan = [(BarClosed, "", protects("t", "sl", 9900))]
    first = run(candle(10000, 10200, 9950, 9950), entry=order("p", BUY, role="open"), plan=plan)
    assert shown(first)[-2:] == [("bar",), ("send", "t")]
    assert "t" not in [event.client_order_id for _, _, event in first if isinstance(event, OrderAccepted)]
