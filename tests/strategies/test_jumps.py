"""What strategies see after a jump of the clock: all that was due before its end is history."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.actors.base import SetTimer
from engine.events import CancelRequested, ClockJumped, TargetSet, TimerFired
from engine.strategies import Bar, Strategy
from engine.strategies.actor import StrategyActor
from engine.strategies.placing import EXPIRES
from tests.actors.harness import MINUTE, Harness, T
from tests.strategies.asking import placed, started
from tests.strategies.test_hooks import bar, candle, windows

END = T + 10 * MINUTE
JUMP = ClockJumped(END, T + MINUTE, END, "suspended")


class Clockwork(Strategy):
    """Asks for a position with every bar and every timer, and sets the timer again."""

    def on_start(self) -> None:
        self.shown: list[Any] = []
        self.timers: list[tuple[str, bool]] = []
        self.asked = 0

    def on_bar(self, bar: Bar) -> None:
        self.shown.append(bar)
        self.asked += 1
        self.target("AAA", self.asked)

    def on_timer(self, key: str) -> None:
        self.timers.append((key, self.warming))
        self.target("AAA", 10 * len(self.timers))
        self.buy("AAA", "1", ttl_ms=5)
        self.log("words")
        self.after(1000, key)


def running() -> Harness:
    on = Harness(StrategyActor(Clockwork, "mine", {}))
    on.send(started("paper"))
    return on


def test_bars_that_ended_before_the_end_of_a_jump_are_history() -> None:
    on = running()
    assert on.send(bar(0)) != []
    assert on.send(JUMP, bar(1), bar(8)) == [], "verbs do nothing"
    assert windows(on) == [(False, 0), (True, 1), (True, 8)]
    incomplete = msgspec.structs.replace(bar(9), incomplete=True, because="x")
    on.send(incomplete)
    assert windows(on) == [(False, 9)], "it ended with the jump, not before"
    assert isinstance(on.send(bar(10))[0], TargetSet)
    assert windows(on) == [(False, 10)]


def test_the_venues_candles_fill_the_windows_of_a_jump() -> None:
    on = running()
    on.send(bar(0), JUMP)
    incomplete = msgspec.structs.replace(bar(1), incomplete=True, because="x")
    assert on.send(incomplete, *map(candle, range(1, 9))) == []
    assert windows(on) == [(False, 0), *((True, number) for number in range(1, 9))]
    on.send(candle(10))
    assert windows(on) == [], "it ended after the jump: its bar is still to come"
    on.send(bar(10), candle(9))
    assert windows(on) == [(False, 10)]


def test_a_timer_that_was_due_in_a_jump_is_history_and_may_set_timers() -> None:
    on = running()
    on.send(bar(0), JUMP)
    assert on.send(TimerFired(END, "mine", "k")) == []
    assert on.timers == [SetTimer("mine", END + 1_000_000_000, "k")]
    assert any(isinstance(one, TargetSet) for one in on.send(TimerFired(END + 1, "mine", "k")))
    assert on.strategy.timers == [("k", True), ("k", False)]


def test_an_order_whose_time_to_live_ended_in_a_jump_is_canceled() -> None:
    on = running()
    on.send(bar(0), placed())
    on.send(JUMP)
    (cancel,) = on.send(TimerFired(END, "mine", EXPIRES + "mine-1"))
    assert isinstance(cancel, CancelRequested)


def test_a_clock_that_was_set_back_makes_nothing_history() -> None:
    on = running()
    on.send(bar(0), ClockJumped(END, END, T, "stepped"))
    assert isinstance(on.send(bar(1))[0], TargetSet)
    assert any(isinstance(one, TargetSet) for one in on.send(TimerFired(END, "mine", "k")))
    assert [one.warmup for one in on.strategy.shown] == [False, False]
