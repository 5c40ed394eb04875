"""Bars after a jump of the clock: no window in which nothing was listened to is complete without proof."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.actors import Aggregator
from engine.actors.bars import DOWN, JUMPED
from engine.actors.skipping import SKIPPED_MAX
from engine.clock import SECOND_NS, window_start
from engine.config import BarsConfig
from engine.events import (
    BarClosed,
    BarCorrected,
    CandleRead,
    ClockJumped,
    Event,
    FeedDown,
    FeedGap,
    FeedHeard,
    FeedUp,
    InstrumentListed,
    TimerFired,
    Trade,
)
from tests.actors.harness import Harness, T
from tests.profiles import examples

S = SECOND_NS
SPANS = ("1s", "1m")
PROVES = FeedUp(T, "f", 1, proves=True)


def harness_of(*events: Event, silence: str = "flat", spans: tuple[str, ...] = SPANS) -> Harness:
    listed = {1: InstrumentListed(T, 1, "sim", "A", 2, 3, silence=silence)}
    harness = Harness(Aggregator(BarsConfig(spans, 1000)), listed)
    harness.send(*events)
    return harness


def trade(second: float, price: int = 100) -> Trade:
    at = T + int(second * S)
    return Trade(at, at, 1, price, 1, 1, int(second * 10))


def jump(harness: Harness, from_s: float, to_s: float, cause: str = "paused") -> list[Any]:
    """Jump, and fire what fell due meanwhile, as the sequencer does: at the present time."""
    to_ns = T + int(to_s * S)
    before = len(harness.log)
    harness.send(ClockJumped(to_ns, T + int(from_s * S), to_ns, cause))
    while due := [one for one in harness.timers if one.due_ns <= to_ns]:
        timer = min(due, key=lambda one: one.due_ns)
        harness.timers.remove(timer)
        harness.send(TimerFired(to_ns, timer.actor, timer.key))
    return harness.log[before:]


def bars(events: list[Any], interval_ns: int = S) -> list[tuple[int, bool, str]]:
    """Return (second, complete, reason) of the bars of an interval."""
    return [
        ((one.start_ns - T) // S, not one.incomplete, one.because)
        for one in events
        if isinstance(one, BarClosed) and one.interval_ns == interval_ns
    ]


@pytest.mark.parametrize("seconds", [1204, 172_826, 3000])
@pytest.mark.parametrize("first", [PROVES, FeedUp(T, "f", 1)])
@pytest.mark.parametrize("silence", ["flat", "none"])
def test_a_long_jump_leaves_one_incomplete_bar_of_each_interval_and_a_hole(
    seconds: int, first: FeedUp, silence: str
) -> None:
    """A pause of 20 s at speed 60, a clock two days ahead, 50 minutes: thousands of flat bars once."""
    harness = harness_of(first, trade(0), trade(1), trade(2.5), silence=silence)
    after = jump(harness, 2.9, seconds)
    assert [one for one in bars(after) if one[1] and one[0] >= 2] == []
    assert bars(after)[-1] == (2, False, JUMPED)
    assert len(after) <= 5
    # What lay in the socket is too late for a bar. The next bar began inside its window.
    assert harness.send(trade(3), trade(seconds - 2)) == []
    harness.send(trade(seconds + 0.5), trade(seconds + 1), trade(seconds + 2))
    harness.send(FeedHeard(T + (seconds + 9) * S, "f", T, T + (seconds + 9) * S))
    harness.advance(T + (seconds + 10) * S)
    later = bars(harness.log)[len([one for one in bars(harness.log) if one[0] <= 2]) :]
    assert later[0][:2] == (seconds, False)
    assert all(complete for _, complete, _ in later[1:])
    assert len(later) <= 10
    harness.advance(T + (seconds + 200) * S)
    harness.send(trade(seconds + 200))
    wholes = bars(harness.log, 60 * S)
    missing = [one for one in wholes if not one[1]]
    assert missing[0] in ((0, False, JUMPED), (0, False, "the data begins inside it"))
    assert (window_start(60 * S, T + seconds * S) - T) // S in [one[0] for one in missing]


def test_the_windows_of_a_short_jump_wait_for_proof_and_have_what_lay_in_the_socket() -> None:
    harness = harness_of(PROVES, trade(0), trade(1), trade(2.5))
    assert bars(jump(harness, 2.9, 10)) == [], "nothing is known of them yet"
    harness.send(trade(3.5, 101), trade(7.5, 102))
    harness.advance(T + 11 * S)
    harness.send(FeedHeard(T + 12 * S, "f", T, T + 12 * S))
    found = {one.start_ns: one for one in harness.log if isinstance(one, BarClosed)}
    assert all(not one.incomplete for one in found.values())
    assert [found[T + second * S].close for second in range(2, 10)] == [
        100,
        101,
        101,
        101,
        101,
        102,
        102,
        102,
    ]


def test_without_proof_the_windows_of_a_short_jump_close_as_incomplete_in_the_end() -> None:
    harness = harness_of(PROVES, trade(0), trade(1), trade(2.5))
    jump(harness, 2.9, 10)
    harness.advance(T + 14 * S)
    assert bars(harness.log)[2:] == [], "a proof could not arrive during the jump"
    harness.advance(T + 40 * S)
    assert {one[1] for one in bars(harness.log)[2:]} == {False}


def test_a_feed_that_proves_nothing_leaves_the_windows_in_doubt_until_a_gap_settles_them() -> None:
    harness = harness_of(FeedUp(T, "f", 1), trade(0), trade(1), trade(2.5))
    closed = bars(jump(harness, 2.9, 10))
    assert closed == [*((second, False, DOWN) for second in range(1, 9))]
    harness.advance(T + 20 * S)
    assert [one[1] for one in bars(harness.log)[-8:]] == [True] * 8, "those after it are whole"
    gap = FeedGap(T + 20 * S, "f", 1, T + 2 * S, T + 10 * S, True)
    harness.send(gap)
    settled = [one for one in harness.advance(T + 40 * S) if isinstance(one, BarCorrected)]
    assert all(not one.incomplete for one in settled)
    assert {one[0] for one in bars(settled)} >= set(range(2, 9))


def test_a_candle_of_a_window_without_a_bar_opens_none() -> None:
    """The repair of an earlier gap may be answered after the jump: no flat bars follow it."""
    harness = harness_of(PROVES, trade(0), trade(1), trade(2.5))
    jump(harness, 2.9, 3000)
    start = T + 100 * S
    candle = CandleRead(T + 3000 * S, start + S, 1, S, start, 1, 3, 1, 2, "5", 7, "repair")
    before = len(harness.log)
    harness.send(candle)
    harness.advance(T + 3001 * S)
    assert harness.log[before:] == []


def test_a_market_without_a_bar_gets_none_for_the_time_of_a_jump() -> None:
    """The first trade after a jump may have lain in the socket for hours: no flat bars follow it."""
    harness = harness_of(PROVES)
    jump(harness, 1, 3000)
    harness.send(trade(20))
    harness.advance(T + 3100 * S)
    assert harness.log == []
    harness.send(trade(3101), trade(3102))
    jump(harness, 3102, 9000)
    jump(harness, 9001, 15_000)
    before = len(harness.log)
    harness.send(trade(9002), trade(15_000.5), trade(15_001))
    harness.advance(T + 15_100 * S)
    assert [one[0] for one in bars(harness.log[before:])][:1] == [15_000]


@pytest.mark.parametrize("first", [1204.0, 1210.0])
def test_what_begins_in_the_hole_is_incomplete_even_if_a_trade_begins_its_first_part(first: float) -> None:
    """In a market without candles for quiet windows, the parts of a longer bar may be missing for silence."""
    harness = harness_of(FeedUp(T, "f", 1), trade(0), trade(1), silence="none")
    jump(harness, 1.5, 1204.3)
    harness.send(trade(first), *(trade(second) for second in range(1215, 1330, 5)))
    harness.advance(T + 1335 * S)
    assert {one[0]: one[1] for one in bars(harness.log)}[int(first)] == (first > 1205)
    assert [one[:2] for one in bars(harness.log, 60 * S)][-2:] == [(1200, False), (1260, True)]


def test_a_clock_that_was_set_back_skips_nothing() -> None:
    harness = harness_of(FeedUp(T, "f", 1), trade(0), trade(1))
    harness.send(ClockJumped(T + S, T + S, T - 3600 * S, "stepped"))
    harness.send(trade(2), trade(3), trade(4))
    harness.advance(T + 5 * S)
    assert [one[1] for one in bars(harness.log)] == [True] * 4


# Any sequence of trades, jumps, losses and proofs.

moves = st.lists(
    st.tuples(
        st.sampled_from(["trade", "wait", "pause", "prove", "down", "back"]),
        st.integers(1, 40),
        st.booleans(),
    ),
    max_size=25,
)


@examples(3)
@given(st.sampled_from(["flat", "none"]), st.booleans(), st.integers(1, 200), moves)
def test_no_window_is_complete_that_nobody_listened_to(
    silence: str, proves: bool, scale: int, plan: list[tuple[str, int, bool]]
) -> None:
    """The feed delivers in order what it heard; of a pause it delivers all, or the connection is lost.

    A window is complete only if every trade that the venue made in it was delivered before, and either the
    engine listened to all of it or a proof covers it.
    """
    harness = harness_of(FeedUp(T, "f", 1, proves=proves), trade(0), silence=silence)
    now, proved, number = 0.0, 0, 0
    unheard: list[tuple[float, float]] = []
    made: list[tuple[float, bool]] = [(0.0, True)]
    pauses = 0
    checked = 0

    def check() -> None:
        nonlocal checked
        for one in harness.log[checked:]:
            if isinstance(one, BarClosed) and not one.incomplete:
                start, end = (one.start_ns - T) / S, (one.start_ns + one.interval_ns - T) / S
                own = [delivered for at, delivered in made if start <= at < end]
                assert all(own), one
                assert one.trades == len(own), (one, made)
                touched = any(start < until and since < end for since, until in unheard)
                reached = max((at for at, delivered in made if delivered), default=0)
                assert not touched or proved >= end or (proves and reached >= end), one
        checked = len(harness.log)

    def deliver(at: float) -> None:
        event = trade(at)
        harness.send(msgspec.structs.replace(event, recv_ns=T + int(now * S), trade_id=len(made)))
        check()

    for what, size, flag in plan:
        number += 1
        if what == "trade":
            now += 0.2
            harness.advance(T + int(now * S))
            made.append((now, True))
            deliver(now)
        elif what == "wait":
            for _ in range(size // 4):
                now += 0.5
                harness.advance(T + int(now * S))
                if proves:
                    proved = now
                    harness.send(FeedHeard(T + int(now * S), "f", T, T + int(now * S)))
                check()
        elif what == "pause":
            pauses += 1
            since, now = now, now + size * scale / 10 + 2
            unheard.append((since, now))
            before = len(harness.log)
            jump(harness, since, now)
            assert len(harness.log) - before <= 2 * (SKIPPED_MAX + 10), "a bound for any jump"
            missed = since + (now - since) / 2
            if flag:
                harness.send(FeedDown(T + int(now * S), "f", "lost"))
                made.append((missed, False))
                harness.send(FeedUp(T + int(now * S), "f", 1, proves=proves))
                harness.send(FeedGap(T + int(now * S), "f", 1, T + int(since * S), T + int(now * S), False))
            else:
                market = vars(harness.actor)["_markets"][1]
                made.append((missed, window_start(S, T + int(missed * S)) >= market.done_ns))
                deliver(missed)
        elif what == "prove" and proves:
            proved = now
            harness.send(FeedHeard(T + int(now * S), "f", T, T + int(now * S)))
        check()
    assert len(harness.log) <= 100 + number * 40 + pauses * 2 * (SKIPPED_MAX + 10)
