"""An engine that cannot keep up knows it: the lag is measured, recorded, shown, and named by its cause."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock

from engine.config import Config, RiskConfig, StrategyConfig
from engine.config.sections import LimitsConfig
from engine.events import EngineLagging, Event, OrderRefused, SubmitOrder, TimerFired, Trade
from engine.runtime import lag as lags
from engine.runtime import watchdog
from engine.runtime.ingress import BATCH_MAX, INPUTS_MAX, Ingress
from engine.runtime.lag import BATCH_FIRST, BATCH_S, Lag
from engine.runtime.watchdog import LOOK_S, Stuck, Watchdog
from engine.strategies import Strategy, Tick
from tests.runtime.kit import NOON, SECOND, assert_replays, config, of
from tests.runtime.rig import Rig
from tests.runtime.test_clocks_and_stops import ShiftedClock

MS = 1_000_000


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.ns = NOON

    def now_ns(self) -> int:
        return self.ns

    def monotonic_ns(self) -> int:
        return self.ns

    def real_seconds_until(self, engine_ns: int) -> float:
        return (engine_ns - self.ns) / SECOND


class Late:
    """A lag that a test drives: `at` looks at an input of so many milliseconds ago."""

    def __init__(self, speed: float = 1.0, lag_ms: int = 1000, age_ms: int = 5000) -> None:
        self.clock = Clock()
        self.busy = ("", 0)
        settings = Config(limits=LimitsConfig(lag_ms=lag_ms), risk=RiskConfig(max_price_age_ms=age_ms))
        self.lag = Lag(settings, self.clock, speed, lambda: self.busy)
        self.at(0)

    def at(self, ms: float) -> int | None:
        """Return the lag that is recorded, None if none is."""
        self.clock.ns += 1000 * SECOND
        found = self.lag.look(self.clock.ns - int(ms * MS), NOON)
        assert len(found) <= 1
        assert all(one.recv_ns == NOON for one in found), "no timer fires before what is late"
        return found[0].lag_ms if found else None


def test_a_lag_is_recorded_above_the_bound_when_it_has_changed_much_and_at_the_recovery() -> None:
    late = Late()
    steps = [(1000, None), (1001, 1001), (1500, None), (1502, 1502), (800, None), (751, 751), (501, None)]
    steps += [(500, 0), (400, None), (1000, None), (1001, 1001), (0, 0)]
    assert [(ms, late.at(ms)) for ms, _ in steps] == steps
    assert late.lag.highest_ms == 1502
    assert "at most 1,502 ms, 2 times above 1,000 ms" in str(late.lag)


def test_the_age_from_which_openings_are_refused_is_always_recorded() -> None:
    late = Late()
    steps = [(4000, 4000), (5000, None), (5001, 5001), (2501, None), (2500, 2500), (5001, 5001), (9000, 9000)]
    assert [(ms, late.at(ms)) for ms, _ in steps] == steps


@pytest.mark.parametrize(("lag_ms", "age_ms", "bound_ms"), [(0, 5000, 5000), (1000, 200, 200), (300, 0, 300)])
def test_the_bound_is_the_smaller_of_what_is_configured(lag_ms: int, age_ms: int, bound_ms: int) -> None:
    late = Late(lag_ms=lag_ms, age_ms=age_ms)
    assert late.at(bound_ms) is None
    assert late.at(bound_ms + 1) == bound_ms + 1


def test_a_lag_is_real_time_on_an_accelerated_venue() -> None:
    late = Late(speed=60.0)
    assert late.at(60 * 1000) is None
    assert late.at(60 * 1001) == 1001


def test_what_was_due_while_the_engine_was_down_is_not_late() -> None:
    clock = Clock()
    lag = Lag(Config(), clock, 1.0, lambda: ("", 0))
    assert lag.look(clock.ns - 3600 * SECOND, NOON) == []
    clock.ns += 2 * SECOND
    assert [one.lag_ms for one in lag.look(clock.ns - 3600 * SECOND, NOON)] == [2000]


def test_the_handler_that_took_the_time_is_named() -> None:
    late = Late()
    late.busy = ("Slow.on_trade", 1800)
    assert late.at(2000) == 2000
    late.busy = ("Slow.on_trade", 200)
    assert late.at(0) == 0
    assert str(late.lag).endswith("for 1,000.0 s, Slow.on_trade took 2,000 ms")


def test_batches_take_so_long_that_the_loop_stays_responsive() -> None:
    lag = Late().lag
    assert lag.batch_max == BATCH_FIRST
    lag.ran(BATCH_FIRST, BATCH_S / 10)
    assert lag.batch_max == 2 * BATCH_FIRST
    lag.ran(500, 10 * BATCH_S)
    assert lag.batch_max == 50
    lag.ran(1, 3600.0)
    assert lag.batch_max == 1
    for _ in range(20):
        lag.ran(lag.batch_max, 0.0)
    assert lag.batch_max == BATCH_MAX


async def test_the_queue_holds_what_takes_a_few_seconds(mock_clock: MockClock) -> None:
    """A stop waits for all that is queued: 65,536 inputs of 30 ms each would take half an hour."""
    ingress, lag = Ingress(), Late().lag
    for took_s, inputs_max in ((0.03 * BATCH_FIRST, 100), (0.05, 200), (0.05, 400)):
        lag.ran(BATCH_FIRST, took_s)
        await lag.let_read(ingress, took_s)
        assert ingress.inputs_max == inputs_max
    for _ in range(20):
        lag.ran(lag.batch_max, 0.0)
    await lag.let_read(ingress, 0.0)
    assert ingress.inputs_max == INPUTS_MAX


async def test_after_a_long_batch_the_feeds_read_all_that_has_arrived(mock_clock: MockClock) -> None:
    """One pass of the event loop reads one message: with a long batch in every pass, the rest would wait."""
    for took_s, reads_all in ((lags.LONG_S, False), (2 * lags.LONG_S, True)):
        ingress, lag = Ingress(), Late().lag
        send, receive = trio.open_memory_channel[int](100)
        for number in range(40):
            send.send_nowait(number)

        async def feed(ingress: Ingress = ingress, receive: Any = receive) -> None:
            while True:
                number = await receive.receive()
                ingress.put([Trade(number, number, 1, 1, 1, 1)])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(feed)
            await trio.lowlevel.checkpoint()
            await lag.let_read(ingress, took_s)
            assert (ingress.received == 40) == reads_all
            nursery.cancel_scope.cancel()


# What takes the time.


class Looks(Watchdog):
    """A watchdog whose looks a test gives it."""

    def __init__(self, *looks: tuple[str, float]) -> None:
        super().__init__(5.0, lambda *_: None, lambda: 0)
        self._looks.extend(looks)


def test_a_handler_stands_out_if_it_took_most_of_the_time_of_all() -> None:
    looks = Looks(("A.on_bar", 0.25), ("B.on_trade", 2.0), ("A.on_bar", 0.25))
    assert looks.busiest() == ("B.on_trade", 2000)
    assert looks.busiest() == ("", 0), "since the last call"
    assert Looks(("A.on_bar", 1.0), ("B.on_trade", 1.0)).busiest() == ("", 0)


def test_a_look_is_a_sample_of_the_time_since_the_one_before(monkeypatch: Any) -> None:
    """A call of a C function that lets no thread run counts whole once it is over."""
    looks = Looks()
    times = iter([0.0, LOOK_S, LOOK_S + 3.0, LOOK_S + 3.25])
    places: Any = iter(
        [None, Stuck("S", "on_trade (mine.py:7)", 0.0), Stuck("S", "on_trade (mine.py:9)", 0.0)]
    )
    monkeypatch.setattr(watchdog.time, "monotonic", lambda: next(times))
    waits = iter([False, False, False, True])
    monkeypatch.setattr(looks._closed, "wait", lambda _: next(waits))
    monkeypatch.setattr(looks, "_arm", lambda: None)

    def look(frame: FrameType | None, now: float) -> Stuck | None:
        return next(places)  # type: ignore[no-any-return]

    monkeypatch.setattr(looks, "_look", look)
    looks._watch()
    assert looks.busiest() == ("S.on_trade", 3250)


# Sessions.


class Buyer(Strategy):
    """Buys with every trade."""

    def on_trade(self, trade: Tick) -> None:
        self.buy("AAA", "0.1")


def live_config() -> Config:
    use = StrategyConfig(use="tests.runtime.test_lag:Buyer")
    return msgspec.structs.replace(config(), strategies=(use,))


def trade(rig: Rig, number: int, late_s: float = 0.0) -> Event:
    at_ns = rig.clock.now_ns() - round(late_s * SECOND)
    return Trade(at_ns, at_ns, 1, 10_000 + number, 1000, 1, number)


async def run_late(root: Path, lags_s: Sequence[float]) -> Rig:
    """Run a session that gets trades whose receipt was so many seconds ago."""

    async def script(rig: Rig) -> None:
        await trio.sleep(20)  # what was received before the session began is not late
        for number, late_s in enumerate(lags_s, 1):
            await rig.ingress.send([trade(rig, number, late_s)])
            await rig.durable()
        await trio.sleep(1)

    rig = Rig(root, live_config())
    await rig.run(script)
    return rig


CLOCKS: list[MockClock] = []


class Slow(Strategy):
    """Needs 30 ms for each trade, by the clock of the test."""

    def on_trade(self, trade: Tick) -> None:
        for clock in CLOCKS:
            clock.jump(0.03)


async def test_a_slow_strategy_stops_within_seconds_and_its_queue_stays_short(
    paced_clock: trio.abc.Clock, tmp_path: Path
) -> None:
    ended: list[float] = []

    async def script(rig: Rig) -> None:
        await rig.record(100)
        CLOCKS.append(paced_clock)
        with trio.move_on_after(30):
            while True:  # 200 a second, of which 33 can be handled
                await rig.send(*range(100, 120))
                await trio.sleep(0.1)
        ended.append(trio.current_time())

    use = StrategyConfig(use="tests.runtime.test_lag:Slow")
    rig = Rig(tmp_path, msgspec.structs.replace(config(), strategies=(use,)))
    result = await rig.run(script)
    CLOCKS.clear()
    assert trio.current_time() - ended[0] < 15
    assert result.ingress_high_water < 20 * BATCH_FIRST
    lagging = of(EngineLagging, tmp_path)
    assert lagging[-1].lag_ms in range(1000, 12_000)
    assert_replays(tmp_path)


async def test_late_inputs_are_recorded_before_them_and_the_recovery_too(
    paced_clock: trio.abc.Clock, tmp_path: Path
) -> None:
    rig = await run_late(tmp_path, [0, 3.0, 9.0, 0])
    lagging = of(EngineLagging, tmp_path)
    assert [one.lag_ms // 100 for one in lagging] == [30, 90, 0]
    records = [one for one in of(Event, tmp_path) if isinstance(one, Trade | EngineLagging)]
    kinds = [type(one).__name__ for one in records]
    assert kinds == ["Trade", "EngineLagging", "Trade", "EngineLagging", "Trade", "EngineLagging", "Trade"]
    assert rig.result.lag_max_ms // 100 == 90
    assert "1 times above 1,000 ms" in rig.result.health["engine"]
    states = [(one.state, one.detail) for one in rig.health if one.name == "engine"]
    assert [state for state, _ in states] == ["lagging", "lagging", "running"]
    assert states[0][1].startswith("handles its inputs 3,0")
    assert_replays(tmp_path)


async def test_an_engine_that_recovers_says_so_without_an_input(
    paced_clock: trio.abc.Clock, tmp_path: Path
) -> None:
    await run_late(tmp_path, [3.0])
    assert [bool(one.lag_ms) for one in of(EngineLagging, tmp_path)] == [True, False]


async def test_a_timer_that_is_late_is_a_lag_recorded_before_it_fires(
    paced_clock: trio.abc.Clock, tmp_path: Path
) -> None:
    """Timers fire at the time for which they were set: without this, nobody would know how late that is."""
    clock = ShiftedClock(NOON + 30 * SECOND)

    async def script(rig: Rig) -> None:
        await rig.record(100)
        await trio.sleep(30.5)  # until half a second before the bar's timer
        clock.shift_ns += round(1.9 * SECOND)  # less than a jump
        await trio.sleep(2)

    await Rig(tmp_path, live_config(), clock).run(script)
    records: list[Any] = [one for one in of(Event, tmp_path) if isinstance(one, TimerFired | EngineLagging)]
    at = next(at for at, one in enumerate(records) if isinstance(one, EngineLagging))
    late = records[at + 1]
    assert isinstance(late, TimerFired)
    assert late.actor == "aggregator"
    assert 1000 < records[at].lag_ms <= 1900
    assert_replays(tmp_path)


async def test_the_loops_own_lateness_counts(paced_clock: trio.abc.Clock, tmp_path: Path) -> None:
    """What lay in the sockets meanwhile is stamped when it is read: its lag can be seen here only."""

    async def script(rig: Rig) -> None:
        await rig.record(100)
        paced_clock.jump(4.0)  # nothing ran for so long
        await trio.sleep(1)
        await rig.record(101)

    await Rig(tmp_path, live_config()).run(script)
    first, *rest = of(EngineLagging, tmp_path)
    assert 3700 <= first.lag_ms <= 4100
    assert [one.lag_ms for one in rest] == [0]
    assert_replays(tmp_path)


async def test_no_opening_passes_while_inputs_are_older_than_a_price_may_be(
    paced_clock: trio.abc.Clock, tmp_path: Path
) -> None:
    await run_late(tmp_path, [0, 0, 9.0, 0, 0])
    on_time = [one.recv_ns for one in of(Trade, tmp_path)]
    late_ns = on_time.pop(2)
    assert [one.at_ns for one in of(SubmitOrder, tmp_path)] == on_time
    assert [(one.limit, one.at_ns) for one in of(OrderRefused, tmp_path)] == [("stale", late_ns)]
    assert_replays(tmp_path)


DEADLINES: list[Any] = []


class Looking(Strategy):
    """Notes in its first call whether the end of `--for` is watched."""

    def on_trade(self, trade: Tick) -> None:
        for rig in tuple(DEADLINES):
            if isinstance(rig, Rig):
                DEADLINES[:] = [rig.live._watchdog._deadline]


async def test_the_end_of_a_session_is_watched_before_the_first_handler_runs(
    paced_clock: trio.abc.Clock, tmp_path: Path
) -> None:
    """Its first trades may come in the batch of the first input of the feed, and a handler may not return."""

    async def script(rig: Rig) -> None:
        DEADLINES[:] = [rig]
        await rig.record(100)

    use = StrategyConfig(use="tests.runtime.test_lag:Looking")
    await Rig(tmp_path, msgspec.structs.replace(config(), strategies=(use,)), for_seconds=60.0).run(script)
    (deadline,) = DEADLINES
    assert deadline is not None
    assert deadline[1] == "--for 60s"
