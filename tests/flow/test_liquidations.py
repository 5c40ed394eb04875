"""The heat map of liquidations: each in its window and level, late ones too; the command shows the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.actors.flow import LiquidationLevels, flow_actors
from engine.clock import SECOND_NS
from engine.config import BarsConfig, Config, FlowConfig, parse_config
from engine.errors import ConfigError
from engine.events import (
    ClockAdvanced,
    ContextRead,
    Event,
    InstrumentListed,
    LiquidationLevelsClosed,
    LiquidationRead,
    SessionStarted,
    SignalRaised,
    TargetSet,
)
from engine.journal import list_days
from engine.snapshot import state_classes
from engine.states import decode_state, encode_state
from engine.values import BUY, SELL, format_scaled
from replay.series import series_of
from tests.actors.harness import LISTED, MINUTE, Harness, T
from tests.profiles import examples
from tests.replay.kit import (
    EVE,
    NOON,
    assert_replays_alone,
    batches,
    market,
    opening,
    run,
    stopped,
    use,
    write_journal,
)
from tests.replay.test_backtest import run as backtest
from tests.replay.test_backtest import written

FLOW = FlowConfig(liquidations=("1m", "5m"), level={"AAA": "0.1", "BBB": "0.01"})
Forcing = tuple[int, int, int, int, int, bool]

forcings = st.lists(
    st.tuples(
        st.integers(0, 40_000),  # ms since the one before
        st.sampled_from((0, 0, 5, 900, 70_000)),  # ms from the venue to here
        st.sampled_from((1, 1, 2)),
        st.integers(900, 1100),
        st.integers(1, 9),
        st.booleans(),
    ),
    min_size=1,
    max_size=40,
)


def reads(plan: list[Forcing], begin_ns: int = T) -> list[LiquidationRead]:
    found, now = [], begin_ns + 120 * SECOND_NS
    for number, (gap, delay, instrument, price, size, sampled) in enumerate(plan):
        now += gap * 1_000_000
        side = SELL if size % 2 else BUY
        at_ns = now - delay * 1_000_000
        found.append(LiquidationRead(now, at_ns, instrument, side, price, size, number, sampled))
    return found


def folded(plan: list[LiquidationRead], span: int, widths: dict[int, int]) -> dict[Any, Any]:
    """Return the sizes by instrument, window, level and side, computed one liquidation at a time."""
    sums: Counter[Any] = Counter()
    for read in plan:
        level = read.price // widths[read.instrument] * widths[read.instrument]
        sums[read.instrument, read.venue_ns // span * span, level, read.side] += read.size
    return dict(sums)


def shown(events: list[LiquidationLevelsClosed], span: int) -> dict[Any, Any]:
    newest = {(one.instrument, one.start_ns): one for one in events if one.interval_ns == span}
    return {
        (*key, price, side): int(size)
        for key, one in newest.items()
        for price, longs, shorts in one.levels
        for side, size in ((SELL, longs), (BUY, shorts))
        if int(size)
    }


@examples(0.6)
@given(forcings)
def test_each_liquidation_is_in_one_level_of_its_window_and_late_ones_correct_it(plan: list[Forcing]) -> None:
    levels = Harness(LiquidationLevels(FLOW))
    sent = reads(plan)
    for read in sent:
        levels.advance(read.recv_ns)
        levels.send(read)
    levels.advance(sent[-1].recv_ns + 6 * MINUTE)
    events = levels.all(LiquidationLevelsClosed)
    for span in (MINUTE, 5 * MINUTE):
        assert shown(events, span) == folded(sent, span, {1: 10, 2: 100})
    revisions: Counter[Any] = Counter()
    for one in events:
        key = one.instrument, one.interval_ns, one.start_ns
        assert one.revision == revisions[key], "each window is emitted once, then once for each correction"
        revisions[key] += 1
        assert [price for price, *_ in one.levels] == sorted({price for price, *_ in one.levels})
        assert int(one.longs) == sum(int(longs) for _, longs, _ in one.levels)
        assert int(one.shorts) == sum(int(shorts) for *_, shorts in one.levels)
    newest = {(one.instrument, one.interval_ns, one.start_ns): one for one in events}
    assert sum(one.count for one in newest.values() if one.interval_ns == MINUTE) == len(sent)
    assert any(one.sampled for one in newest.values()) == any(read.sampled for read in sent)


@examples(0.3)
@given(forcings, st.integers(0, 40))
def test_restoring_a_snapshot_at_any_point_changes_nothing(plan: list[Forcing], cut: int) -> None:
    sent = reads(plan)
    classes = state_classes([f"engine.actors.flow.{one}" for one in ("liquidations", "levels")])
    through, before, after = (Harness(LiquidationLevels(FLOW)) for _ in range(3))
    through.send(*sent)
    before.send(*sent[:cut])
    after.actor.restore(decode_state(encode_state(before.actor.state(), "flow"), classes))
    after.send(*sent[cut:])
    assert after.actor.state() == through.actor.state()


def test_a_window_closes_a_second_after_its_end_and_only_once() -> None:
    levels = Harness(LiquidationLevels(FlowConfig(liquidations=("1m",), level={"AAA": "0.1"})))
    levels.send(LiquidationRead(T + 5, T, 1, SELL, 1234, 7))
    assert levels.advance(T + MINUTE + SECOND_NS - 1) == []
    closed = LiquidationLevelsClosed(
        T + MINUTE + SECOND_NS, 1, MINUTE, T, 10, ((1230, 7, 0),), 7, 0, 1, False, 0
    )
    assert levels.advance(T + MINUTE + SECOND_NS) == [closed]
    late = LiquidationRead(T + 2 * MINUTE, T + 9, 1, BUY, 1239, 2, "", True)
    assert levels.send(late) == []
    at_ns = T + 2 * MINUTE + SECOND_NS
    assert levels.advance(at_ns) == [
        msgspec.structs.replace(
            closed, at_ns=at_ns, levels=((1230, 7, 2),), shorts=2, count=2, sampled=True, revision=1
        )
    ]
    assert levels.advance(T + 9 * MINUTE) == []
    assert levels.send(LiquidationRead(T, T + 1441 * MINUTE, 1, SELL, 1, 1)) == [], "its time is implausible"
    assert levels.timers == []


def test_a_thousand_late_liquidations_correct_their_window_a_few_times() -> None:
    levels = Harness(LiquidationLevels(FlowConfig(liquidations=("1m",), level={"AAA": "0.1"})))
    levels.send(LiquidationRead(T + 5, T, 1, SELL, 1000, 7))
    levels.advance(T + 2 * MINUTE)
    for number in range(1000):
        now = T + 2 * MINUTE + number * 40_000_000
        levels.advance(now)
        levels.send(LiquidationRead(now, T + 9, 1, BUY, 1000 + 10 * number, 1, number))
    levels.advance(T + 9 * MINUTE)
    events = levels.all(LiquidationLevelsClosed)
    assert [one.revision for one in events] == list(range(len(events)))
    assert len(events) <= 8
    assert sum(len(one.levels) for one in events) < 5000
    assert events[-1].count == 1001


def test_levels_follow_an_instrument_to_finer_scales() -> None:
    levels = Harness(LiquidationLevels(FlowConfig(liquidations=("1m",), level={"AAA": "0.1"})))
    levels.send(LiquidationRead(T + 5, T, 1, SELL, 1234, 7))
    before = LISTED[1]
    finer = InstrumentListed(T + 6, 1, "sim", "AAA", before.price_scale + 1, before.size_scale + 2)
    levels.actor.rescale(before, finer)
    levels.actor.instruments[1] = finer
    levels.send(LiquidationRead(T + 7, T, 1, SELL, 12_391, 30))
    (closed,) = levels.advance(T + 2 * MINUTE)
    assert (closed.level, closed.levels, closed.longs) == (100, ((12_300, 730, 0),), 730)


def test_the_actor_is_off_unless_configured_and_does_not_touch_the_others() -> None:
    off, on = FlowConfig(profile=("1m",)), FlowConfig(profile=("1m",), liquidations=("1m",))
    (profile,) = flow_actors(off)
    assert profile.signature == (
        "FlowConfig(footprint=(), level={}, imbalance_ratio='3', imbalance_run=3, profile=('1m',), large={}, "
        "book=(), depth=5)"
    ), "as before there were liquidations: states of earlier versions go on"
    assert [one.signature for one in flow_actors(on)[:1]] == [profile.signature]
    assert [one.name for one in flow_actors(on)] == ["profiles", "liquidation-levels"]
    with pytest.raises(ConfigError, match=r"flow.liquidations: '7m' is not a bar interval"):
        parse_config({"flow": {"liquidations": ["7m"]}})


def session(plan: list[Forcing], at_ns: int, steps: Any = ()) -> list[Event]:
    """Return the inputs of a session with liquidations and contexts beside its market data."""
    config = Config(
        strategies=(use("Forced"),),
        bars=BarsConfig(("1s", "5s"), 300),
        flow=FlowConfig(liquidations=("1s", "1m")),
    )
    data: list[Any] = [*market(steps, at_ns)]
    for read in reads(plan, at_ns - 120 * SECOND_NS):
        funding, interest = read.price - 1000, read.size * 1000
        data += [read, ContextRead(read.recv_ns, 1, 4, None, None, None, funding, None, interest)]
    data.sort(key=lambda one: one.recv_ns)
    end = data[-1].recv_ns + 90 * SECOND_NS
    return [*opening(config, at_ns), *data, ClockAdvanced(end), stopped(end)]


markets = st.lists(
    st.tuples(
        st.sampled_from((0, 30, 700, 6000)),
        st.sampled_from("tttqclu-"),
        st.sampled_from((1, 1, 2)),
        st.integers(-40, 40),
        st.integers(1, 3000),
    ),
    max_size=20,
)


@examples(0.25)
@given(forcings, markets, st.sampled_from([NOON, EVE]))
def test_r01_a_session_with_liquidations_replays_alone(plan: list[Forcing], steps: Any, at_ns: int) -> None:
    inputs = session(plan, at_ns, steps)
    memory = run(inputs)
    assert memory.bytes() == run(inputs, range(0, len(inputs), 3)).bytes(), "however inputs are cut"
    assert memory.events(LiquidationLevelsClosed)
    for day in memory.days:
        assert_replays_alone(memory, day)


def test_a_strategy_acts_on_liquidations_and_receives_their_levels() -> None:
    plan: list[Forcing] = [
        (1000, 5, 1, 900, 1, False),
        (9000, 5, 1, 950, 3, False),
        (10, 5, 1, 960, 2, False),
    ]
    memory = run(session(plan, NOON))
    signals = [(one.name, one.value) for one in memory.events(SignalRaised)]
    assert signals[:3] == [("forced", 0.001), ("levels", 1.0), ("funding", -0.01)]
    assert ("forced", 0.002) in signals[3:], "1 and 3 units of longs, and 2 of shorts, in a minute"
    assert memory.events(TargetSet)


def test_a_backtest_of_a_recorded_day_shows_strategies_what_the_session_did(tmp_path: Path) -> None:
    plan: list[Forcing] = [
        (4000 * (number % 9), 5, 1 + number % 2, 950 + number, 1 + number % 7, False) for number in range(40)
    ]
    inputs = session(plan, NOON, [(700, "t", 1 + number % 2, number % 7 - 3, 100) for number in range(200)])
    write_journal(tmp_path / "j", batches(inputs, range(0, len(inputs), 9)))
    (started,) = (one for one in inputs if isinstance(one, SessionStarted))
    days = [day.path for day in list_days(tmp_path / "j")]
    backtest(days, parse_config(started.config), tmp_path / "out")
    played = [event for _, _, event in written(tmp_path / "out")]
    live = run(inputs)
    for kind in (SignalRaised, LiquidationLevelsClosed):
        # The last windows close after the data of a backtest has ended.
        found = [one for one in played if isinstance(one, kind)]
        assert len(found) > 50
        assert [msgspec.structs.astuple(one)[1:] for one in live.events(kind)[: len(found)]] == [
            msgspec.structs.astuple(one)[1:] for one in found
        ]


@examples(3)
@given(forcings)
def test_the_command_and_the_table_have_the_levels_of_the_events(
    tmp_path_factory: pytest.TempPathFactory, plan: list[Forcing]
) -> None:
    root = tmp_path_factory.mktemp("days")
    inputs = session(plan, NOON)
    write_journal(root, batches(inputs, range(0, len(inputs), 20)))
    days = [day.path for day in list_days(root)]
    memory = run(inputs)
    newest = {
        (one.instrument, one.start_ns): one
        for one in memory.events(LiquidationLevelsClosed)
        if one.interval_ns == MINUTE
    }
    rows = series_of(days, "liquidation-levels", MINUTE)
    wanted = sorted(
        (number, start_ns, format_scaled(price, scale), int(longs), int(shorts))
        for (number, start_ns), one in newest.items()
        for scale in ((4, 2)[number - 1],)
        for price, longs, shorts in one.levels
    )
    found = sorted(
        (
            listed.instrument,
            row["start_ns"],
            row["price"],
            *(round(float(row[name]) * 10**listed.size_scale) for name in ("longs", "shorts")),
        )
        for listed, row in rows
    )
    assert found == wanted
