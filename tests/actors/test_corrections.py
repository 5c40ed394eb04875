"""What arrives late in bulk is applied in bulk: a window is corrected once for many late trades."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from trio.abc import Clock

from engine.actors import Aggregator
from engine.actors.closing import REVISABLE_BARS_MAX
from engine.actors.corrections import DOUBLINGS, WAIT_NS
from engine.clock import DAY_NS
from engine.config import BarsConfig
from engine.events import (
    BarClosed,
    BarCorrected,
    ClockAdvanced,
    Event,
    FeedDown,
    FeedGap,
    FeedUp,
    SessionStopped,
    Trade,
)
from engine.runtime.committer import PENDING_RECORDS_MAX
from engine.runtime.ingress import INPUTS_MAX
from tests.actors.harness import MINUTE, Harness, T
from tests.profiles import examples
from tests.runtime.kit import assert_replays, config, events
from tests.runtime.rig import Rig, Rows

S = WAIT_NS
INTERVALS = ("1m", "5m", "15m", "1h")
WINDOWS = 50


def trade(venue_ns: int, recv_ns: int, number: int, price: int = 100, size: int = 1) -> Trade:
    return Trade(recv_ns, venue_ns, 1, price, size, 1, number)


def hour(harness: Harness) -> int:
    """Close WINDOWS minutes of one trade each; return the time by then."""
    for minute in range(WINDOWS + 1):
        at_ns = T + minute * MINUTE
        harness.advance(at_ns)
        harness.send(trade(at_ns, at_ns, minute))
    at_ns = T + WINDOWS * MINUTE + 5 * S
    harness.advance(at_ns)
    return at_ns


def corrected(harness: Harness) -> Counter[tuple[int, int]]:
    """Return how often each bar was corrected, by interval and start."""
    return Counter((one.interval_ns, one.start_ns) for one in harness.all(BarCorrected))


def volumes(harness: Harness) -> dict[tuple[int, int], int]:
    """Return the volume of each bar at its highest revision."""
    newest: dict[tuple[int, int], BarClosed] = {}
    for bar in harness.all(BarClosed):
        key = bar.interval_ns, bar.start_ns
        assert bar.revision == (newest[key].revision + 1 if key in newest else 0)
        newest[key] = bar
    return {key: int(bar.volume) for key, bar in newest.items()}


def test_a_backlog_corrects_each_window_once() -> None:
    """The backlog of a disconnect: 40 trades for each of 50 minutes, all received at once."""
    harness = Harness(Aggregator(BarsConfig(INTERVALS)))
    now_ns = hour(harness)
    before = volumes(harness)
    for number in range(40 * WINDOWS):
        harness.send(trade(T + number // 40 * MINUTE + number % 59 * S, now_ns, 1000 + number))
    assert not corrected(harness), "the backlog may go on"
    harness.advance(now_ns + 3600 * S)
    counts = corrected(harness)
    assert set(counts.values()) == {1}
    assert sum(interval == MINUTE for interval, _ in counts) == WINDOWS
    assert {bar.at_ns for bar in harness.all(BarCorrected)} == {now_ns + S}
    after = volumes(harness)
    missed = {key: after[key] - volume for key, volume in before.items() if key[0] == MINUTE}
    assert set(missed.values()) == {40}


def test_a_closed_gap_makes_no_bar_complete_before_the_trades_that_follow_it() -> None:
    """The feed reports the gap first, then the trades that it was about."""
    harness = Harness(Aggregator(BarsConfig(("1m",))))
    harness.send(FeedUp(T, "f", 1), trade(T, T, 1), FeedDown(T + S, "f", "reset"))
    harness.advance(T + 2 * MINUTE)
    up_ns = T + 2 * MINUTE + 5 * S
    missed = [trade(T + second * S, up_ns, 2 + second) for second in range(2, 59)]
    harness.send(FeedUp(up_ns, "f", 1), FeedGap(up_ns, "f", 1, T, up_ns, True), *missed)
    harness.advance(up_ns + MINUTE)
    shown = [
        (one.revision, one.incomplete, one.trades) for one in harness.all(BarClosed) if one.start_ns == T
    ]
    assert shown == [(0, True, 1), (1, False, 58)]


def test_late_trades_that_go_on_correct_a_window_less_and_less_often() -> None:
    """Ten minutes of one late trade a second for the same minute."""
    harness = Harness(Aggregator(BarsConfig(("1m",))))
    now_ns = hour(harness)
    start_ns = T + (WINDOWS - 10) * MINUTE
    for number in range(600):
        harness.advance(now_ns + number * S)
        harness.send(trade(start_ns + 5, now_ns + number * S, 1000 + number))
    harness.advance(now_ns + 700 * S)
    at_s = [(bar.at_ns - now_ns) // S for bar in harness.all(BarCorrected)]
    assert at_s == [1, 3, 7, 15, 31, 63, *range(127, 640, 64)]
    assert at_s[DOUBLINGS] - at_s[DOUBLINGS - 1] == 64
    assert volumes(harness)[MINUTE, start_ns] == 601


@examples(1)
@given(
    st.lists(st.tuples(st.integers(0, WINDOWS * 60), st.integers(0, 4 * 60), st.integers(1, 9)), max_size=40)
)
def test_the_last_revision_has_every_late_trade(late: list[tuple[int, int, int]]) -> None:
    """At the end of the session at the latest, whatever came when."""
    harness = Harness(Aggregator(BarsConfig(INTERVALS)))
    now_ns = hour(harness)
    expected = {key: volume for key, volume in volumes(harness).items() if key[0] == MINUTE}
    for number, (second, after_s, size) in enumerate(late):
        now_ns += after_s * S
        harness.advance(now_ns)
        closed = [one.start_ns for one in harness.all(BarClosed) if one.interval_ns == MINUTE]
        start_ns = T + second // 60 * MINUTE
        if (MINUTE, start_ns) in expected and start_ns in sorted(set(closed))[-REVISABLE_BARS_MAX:]:
            expected[MINUTE, start_ns] += size
            harness.send(trade(T + second * S, now_ns, 1000 + number, size=size))
    harness.send(SessionStopped(now_ns, "s", "test"))
    found = volumes(harness)
    assert {key: found[key] for key in expected} == expected


def test_a_bar_that_is_dropped_is_emitted_with_what_it_lacked() -> None:
    harness = Harness(Aggregator(BarsConfig(("1m",), grace_ms=3_600_000, close="trade")))
    for minute in range(REVISABLE_BARS_MAX + 1):
        harness.send(trade(T + minute * MINUTE, T + minute * MINUTE, minute))
    now_ns = T + REVISABLE_BARS_MAX * MINUTE
    harness.send(trade(T + 30 * S, now_ns, 900))
    assert not corrected(harness)
    harness.send(trade(now_ns + MINUTE, now_ns + MINUTE, 901))
    assert corrected(harness) == {(MINUTE, T): 1}
    assert volumes(harness)[MINUTE, T] == 2


def test_a_correction_belongs_to_the_day_of_its_trade() -> None:
    midnight_ns = T - T % DAY_NS + DAY_NS
    harness = Harness(Aggregator(BarsConfig(("1m",))))
    harness.send(trade(midnight_ns - 3 * MINUTE, midnight_ns - 3 * MINUTE, 1))
    harness.advance(midnight_ns - MINUTE)
    for after_ns in (100, 1):
        now_ns = midnight_ns - after_ns
        harness.send(trade(midnight_ns - 3 * MINUTE, now_ns, after_ns))
        harness.advance(midnight_ns - 1)
    assert [one.at_ns for one in harness.all(BarCorrected)] == [midnight_ns - 1] * 2


async def test_a_backlog_needs_no_more_memory_than_its_bounds(paced_clock: Clock, tmp_path: Path) -> None:
    """20,000 trades of 50 minutes after a short disconnect; 80,000 corrections before."""
    store = Rows()

    async def script(rig: Rig) -> None:
        now_ns = rig.clock.now_ns()
        start_ns = now_ns - now_ns % MINUTE - (WINDOWS + 5) * MINUTE
        minutes = range(WINDOWS + 2)
        sent: list[Event] = [trade(start_ns + n * MINUTE, rig.clock.now_ns(), n) for n in minutes]
        await rig.ingress.send([*sent, FeedDown(now_ns, "test", "reset")])
        await rig.durable()
        await rig.ingress.send(
            [
                ClockAdvanced(rig.clock.now_ns()),
                FeedUp(rig.clock.now_ns(), "test", 1),
                FeedGap(rig.clock.now_ns(), "test", 1, start_ns, now_ns, True),
            ]
        )
        for first in range(0, 20_000, 500):
            numbers = range(first, first + 500)
            await rig.ingress.send(
                [
                    trade(start_ns + n // 400 * MINUTE + n % 59 * S, rig.clock.now_ns(), 1000 + n)
                    for n in numbers
                ]
            )
        await rig.durable()

    rig = Rig(tmp_path, config("Steady"), projectors={"rows": store.projector})
    result = await rig.run(script)
    found = [one for one in events(tmp_path) if isinstance(one, BarCorrected)]
    assert 0 < len(found) <= 8 * WINDOWS
    assert result.unsynced_high_water <= PENDING_RECORDS_MAX
    assert result.ingress_high_water <= INPUTS_MAX
    assert result.unsynced_high_water < 25_000, "what was received, and little more"
    assert_replays(tmp_path)
