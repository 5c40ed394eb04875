"""Order flow: footprints add up to bars, profiles to footprints; each definition has an example."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.actors import Aggregator
from engine.actors.flow import BookSampler, Footprints, Imbalances, LargePrints, Profiles, flow_actors
from engine.actors.flow.imbalance import stacks
from engine.actors.flow.profile import value_area
from engine.clock import SECOND_NS
from engine.config import BarsConfig, Config, FlowConfig, StrategyConfig, parse_config
from engine.errors import ConfigError
from engine.events import (
    BarClosed,
    BookRead,
    BookSampled,
    ClockAdvanced,
    ClockJumped,
    FeedDown,
    FeedHeard,
    FeedUp,
    FootprintClosed,
    ImbalanceStacked,
    LargePrintSeen,
    ProfileClosed,
    Quote,
    SignalRaised,
    Trade,
)
from engine.snapshot import state_classes
from engine.states import decode_state, encode_state
from engine.values import BUY, SELL
from tests.actors.bar_properties import Step, arriving, steps, tape
from tests.actors.harness import MINUTE, Harness, T
from tests.profiles import examples
from tests.replay.kit import EVE, NOON, assert_replays_alone, config_of, market, markets, opening, run, use

FLOW = FlowConfig(footprint=("1m", "5m"), profile=("1m", "15m"), level={"AAA": "0.1", "BBB": "0.01"})


def both(flow: FlowConfig = FLOW) -> tuple[Harness, Harness, Harness]:
    """Return an aggregator, and the footprint and profile actors that handle its bars."""
    return (
        Harness(Aggregator(BarsConfig(("1m", "5m", "15m")))),
        Harness(Footprints(flow)),
        Harness(Profiles(flow)),
    )


def play(plan: list[Step], begin_ns: int) -> tuple[Harness, Harness, Harness]:
    bars, footprints, profiles = both()
    trades = arriving(tape(plan, begin_ns), plan)
    for trade in trades:
        footprints.send(*[bar for bar in bars.advance(trade.recv_ns) if isinstance(bar, BarClosed)])
        profiles.advance(trade.recv_ns)
        # As in a session: every actor handles the trade before the events it causes.
        emitted = bars.send(trade)
        footprints.send(trade, *emitted)
        profiles.send(trade)
    end = trades[-1].recv_ns + 16 * MINUTE
    footprints.send(*bars.advance(end))
    profiles.advance(end)
    return bars, footprints, profiles


def newest(harness: Harness, kind: Any) -> dict[tuple[int, int, int], Any]:
    return {(one.instrument, one.interval_ns, one.start_ns): one for one in harness.all(kind)}


beginnings = st.sampled_from([0, 59 * SECOND_NS + SECOND_NS // 2])


@examples(0.6)
@given(steps, beginnings)
def test_a_footprint_is_the_volume_of_its_bar_and_deltas_add_up(plan: list[Step], begin_ns: int) -> None:
    bars, footprints, _ = play(plan, begin_ns)
    closed, emitted = newest(bars, BarClosed), newest(footprints, FootprintClosed)
    assert emitted.keys() == {
        key for key, bar in closed.items() if bar.trades and key[1] in (MINUTE, 5 * MINUTE)
    }
    sums: dict[tuple[int, int], int] = {}
    for key, footprint in sorted(emitted.items(), key=lambda item: item[0]):
        bar = closed[key]
        bought, sold, unsided = (sum(int(level[part]) for level in footprint.levels) for part in (1, 2, 3))
        assert (bought, sold) == (int(bar.buy_volume), int(bar.sell_volume))
        assert bought + sold + unsided == int(bar.volume)
        assert int(footprint.delta) == bought - sold
        assert all(bar.low - footprint.level < level[0] <= bar.high for level in footprint.levels)
        assert [level[0] for level in footprint.levels] == sorted({level[0] for level in footprint.levels})
        assert all(level[0] % footprint.level == 0 for level in footprint.levels)
        day = key[2] // (1440 * MINUTE)
        sums[key[0], key[1], day] = sums.get((key[0], key[1], day), 0) + bought - sold  # type: ignore[index]
        assert int(footprint.day_delta) == sums[key[0], key[1], day]  # type: ignore[index]


@examples(0.6)
@given(steps, beginnings)
def test_a_profile_is_the_sum_of_the_footprints_in_it(plan: list[Step], begin_ns: int) -> None:
    _, footprints, profiles = play(plan, begin_ns)
    emitted = newest(footprints, FootprintClosed)
    for (instrument, interval, start), profile in newest(profiles, ProfileClosed).items():
        volumes: dict[int, int] = {}
        for (number, span, begins), footprint in emitted.items():
            if (number, span) == (instrument, MINUTE) and start <= begins < start + interval:
                for price, *parts in footprint.levels:
                    volumes[price] = volumes.get(price, 0) + sum(map(int, parts))
        assert dict(profile.levels) == volumes
        assert int(profile.volume) == sum(volumes.values())
        assert profile.value_low <= profile.point <= profile.value_high
        held = sum(
            volume for price, volume in volumes.items() if profile.value_low <= price <= profile.value_high
        )
        assert held * 10 >= int(profile.volume) * 7
        assert volumes[profile.point] == max(volumes.values())


@examples(0.3)
@given(steps, st.integers(0, 30))
def test_restoring_a_snapshot_at_any_point_changes_nothing(plan: list[Step], cut: int) -> None:
    trades = tape(plan, 0)
    classes = state_classes(
        [f"engine.actors.flow.{one}" for one in ("footprint", "profile", "book", "levels")]
    )
    for make in (Footprints, Profiles):
        through, before, after = Harness(make(FLOW)), Harness(make(FLOW)), Harness(make(FLOW))
        through.send(*trades)
        before.send(*trades[:cut])
        after.actor.restore(decode_state(encode_state(before.actor.state(), "flow"), classes))
        after.send(*trades[cut:])
        assert after.actor.state() == through.actor.state()


@examples(0.25)
@given(markets, st.sampled_from([NOON, EVE]))
def test_r01_a_session_with_all_flow_actors_replays_alone(plan: Any, at_ns: int) -> None:
    flow = FlowConfig(
        footprint=("1s", "5s"), profile=("5s",), large={"AAA": "1"}, book=("1s",), imbalance_run=1
    )
    config = config_of(use("Averages"), intervals=("1s", "5s"))
    inputs = opening(Config(strategies=config.strategies, bars=config.bars, flow=flow), at_ns)
    memory = run(inputs + market(plan, at_ns))
    for day in memory.days:
        assert_replays_alone(memory, day)


def test_a_late_trade_emits_the_footprint_again_with_its_bars_revision() -> None:
    bars, footprints, _ = both()

    def send(*trades: Trade) -> None:
        for trade in trades:
            emitted = bars.send(trade)
            footprints.send(trade, *emitted)

    send(Trade(T, T, 1, 100, 5, BUY, 1))
    footprints.send(*bars.advance(T + 2 * MINUTE + SECOND_NS))
    send(Trade(T + 2 * MINUTE, T + 30, 1, 100, 2, SELL, 2))
    footprints.send(*bars.advance(T + 2 * MINUTE + 2 * SECOND_NS))
    first, again = (one for one in footprints.all(FootprintClosed) if one.interval_ns == MINUTE)
    assert (first.revision, first.delta, first.day_delta) == (0, 5, 5)
    assert (again.revision, again.delta, again.day_delta) == (1, 3, 3)
    assert again.levels == ((100, 5, 2, 0),)


# Definitions, by example.


def test_the_value_area_grows_level_by_level_from_the_point_of_control() -> None:
    rows = [(10, 5), (20, 30), (30, 40), (40, 20), (50, 5)]
    # 40 of 100; then 30 below beats 20 above: 70.
    assert value_area(rows) == (30, 20, 30)
    assert value_area([(10, 1), (20, 1), (30, 1)]) == (10, 10, 30), "the lowest of equal levels, then above"
    assert value_area([(10, 7), (20, 3)]) == (10, 10, 10), "exactly 70 % is enough"
    assert value_area([(10, 3)]) == (10, 10, 10)
    assert value_area([(10, 20), (20, 30), (30, 20), (40, 30)]) == (20, 20, 40), (
        "of equal levels, the one above"
    )


def footprint(*levels: tuple[int, int, int]) -> FootprintClosed:
    return FootprintClosed(T, 1, MINUTE, T, 10, tuple((*level, 0) for level in levels), 0, 0)


def test_stacked_imbalances_compare_diagonally_and_need_adjacent_levels() -> None:
    three = 3_000_000
    rising = footprint((100, 1, 5), (110, 15, 4), (120, 12, 3), (130, 9, 2))
    # 15 against 5 below, 12 against 4, 9 against 3: three levels, exactly three times.
    assert stacks(rising, three, 3) == [(BUY, 110, 130, 3)]
    assert stacks(rising, three, 4) == []
    assert stacks(rising, three + 1, 3) == []
    falling = footprint((100, 2, 9), (110, 3, 12), (120, 4, 15), (130, 5, 1))
    assert stacks(falling, three, 3) == [(SELL, 100, 120, 3)]
    gap = footprint((100, 1, 5), (110, 15, 4), (130, 12, 3), (140, 9, 2))
    assert stacks(gap, three, 1) == [(BUY, 110, 110, 1), (BUY, 140, 140, 1)], (
        "without a level to compare with, none"
    )
    assert stacks(footprint((100, 0, 0), (110, 1, 0)), three, 1) == [(BUY, 110, 110, 1)], (
        "nothing was sold there"
    )


def test_stacks_are_emitted_by_their_actor() -> None:
    harness = Harness(Imbalances(FlowConfig(imbalance_ratio="2.5", imbalance_run=2)))
    emitted = harness.send(footprint((100, 1, 4), (110, 10, 4), (120, 10, 0)))
    assert emitted == [ImbalanceStacked(T, 1, MINUTE, T, BUY, 110, 120, 2)]


def test_large_prints_are_trades_of_the_configured_size_and_instrument() -> None:
    harness = Harness(LargePrints(FlowConfig(large={"AAA": "0.5"})))
    emitted = harness.send(
        *[Trade(T, T, number, 100, size, BUY, 7) for number, size in ((1, 499), (1, 500), (2, 10**9))]
    )
    assert emitted == [LargePrintSeen(T, T, 1, 100, 500, BUY, 7)]


def test_t06_a_trade_with_an_implausible_time_is_in_no_window() -> None:
    for make in (Footprints, Profiles):
        harness = Harness(make(FLOW))
        harness.send(
            Trade(T, T + 1441 * MINUTE, 1, 100, 5, BUY, 1), Trade(T, T - 1441 * MINUTE, 1, 100, 5, BUY, 2)
        )
        assert "Window" not in repr(harness.actor.state())
        assert harness.timers == []


def test_the_book_is_sampled_at_the_end_of_each_window_while_the_feed_is_up() -> None:
    harness = Harness(BookSampler(FlowConfig(book=("1s",), depth=2)))
    harness.send(Quote(T + 5, T, 1, 100, 30, 102, 10))
    harness.send(
        BookRead(T + 6, T, 1, ((100, 30, 1), (99, 30, 1), (98, 999, 1)), ((102, 10, 1), (103, 10, 1)))
    )
    (first,) = harness.advance(T + SECOND_NS)
    assert first == BookSampled(T + SECOND_NS, 1, SECOND_NS, T, 100, 102, 0.5, 0.5)
    harness.send(Quote(T + SECOND_NS + 1, T, 1, 100, 10, 0, 0))
    (second,) = harness.advance(T + 2 * SECOND_NS)
    assert (second.start_ns, second.ask, second.imbalance) == (T + SECOND_NS, 0, 1.0)
    harness.send(FeedDown(T + 2 * SECOND_NS + 1, "f", "x"))
    assert harness.advance(T + 9 * SECOND_NS) == []
    assert harness.timers == [], "no timer without a quote"
    harness.send(Quote(T + 9 * SECOND_NS + 1, T, 1, 100, 10, 101, 10))
    assert [one.imbalance for one in harness.advance(T + 10 * SECOND_NS)] == [0.0]
    harness.send(ClockJumped(T + 99 * SECOND_NS, T + 10 * SECOND_NS, T + 99 * SECOND_NS, "paused"))
    assert harness.advance(T + 100 * SECOND_NS) == [], "the quote is older than the jump"


# Off unless configured.


def test_nothing_is_enabled_by_default() -> None:
    assert flow_actors(FlowConfig()) == []
    names = [actor.name for actor in flow_actors(FLOW)]
    assert names == ["footprints", "imbalances", "profiles"]
    assert [one.name for one in flow_actors(FlowConfig(footprint=("1m",), imbalance_ratio="0"))] == [
        "footprints"
    ]


@pytest.mark.parametrize(
    ("flow", "message"),
    [
        ({"footprint": ["3m"]}, "'3m' is not among bars.intervals"),
        ({"profile": ["7m"]}, "'7m' is not a bar interval"),
        ({"level": {"BTC": "0"}}, "flow.level.BTC: must be above 0"),
        ({"large": {"BTC": "many"}}, "flow.large.BTC"),
        ({"imbalance_run": 0}, "at least 1"),
        ({"imbalance_ratio": "x"}, "flow.imbalance_ratio"),
    ],
)
def test_an_invalid_value_is_refused_with_its_name(flow: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config({"flow": flow})


def test_a_strategy_receives_flow_events_in_human_numbers() -> None:
    config = Config(
        strategies=(StrategyConfig(use="fakes:Watcher"),),
        bars=BarsConfig(("1s",), 300),
        flow=FlowConfig(footprint=("1s",), large={"AAA": "0.5"}, level={"AAA": "0.01"}),
    )
    inputs = opening(config, NOON)
    inputs += [Trade(NOON + n, NOON + n, 1, 123_450 + n, 600, BUY, n + 1) for n in range(3)]
    inputs.append(ClockAdvanced(NOON + 5 * SECOND_NS))
    memory = run(inputs)
    plots = {(one.name, one.value) for one in memory.events(SignalRaised)}
    assert plots == {("LargePrint", 0.6), ("Footprint", 1.8)}


def test_a_profile_waits_for_the_proof_of_its_window() -> None:
    second = SECOND_NS
    profiles = Harness(Profiles(FlowConfig(profile=("1m",))))

    def trade(at_ns: int, recv_ns: int = 0) -> Trade:
        return Trade(T + max(at_ns, recv_ns), T + at_ns, 1, 100, 5, BUY, at_ns)

    profiles.send(FeedUp(T, "f", 4, proves=True), trade(second))
    assert profiles.advance(T + MINUTE + 3 * second) == []
    profiles.send(trade(59 * second, MINUTE + 3 * second))
    at_ns = T + MINUTE + 4 * second
    [closed] = profiles.send(FeedHeard(at_ns, "f", at_ns, T + MINUTE))
    assert (int(closed.volume), closed.lagging) == (10, False)
    profiles.send(trade(MINUTE + second))
    [closed] = profiles.advance(T + 3 * MINUTE)
    assert (closed.at_ns, closed.lagging) == (T + 2 * MINUTE + 6 * second, True)
    profiles.send(FeedUp(T + 3 * MINUTE, "f", 4), trade(3 * MINUTE + second))
    [closed] = profiles.advance(T + 5 * MINUTE)
    assert (closed.at_ns, closed.lagging) == (T + 4 * MINUTE + second, False)
