"""The order of events within a turn: failures during derived events, starts after midnight."""

from __future__ import annotations

import pytest

from engine.actors.base import END_OF_CANDLE, PATH, Actor, Emit, Later, handles
from engine.config import BarsConfig, Config, StrategyConfig
from engine.events import (
    ActorFailed,
    BarClosed,
    DayOpened,
    Event,
    InstrumentListed,
    PriceMarked,
    SessionStarted,
    TargetSet,
    TimerFired,
    Trade,
)
from engine.events.codec import Derived, Record, in_order
from engine.sequencer import Sequencer
from engine.session import SessionBuilder
from engine.strategies import Bar, Strategy, Tick
from tests.runtime.kit import SECOND, load

NEARLY_MIDNIGHT = 1_733_443_200_000_000_000 - 300 * SECOND


class FailsOnBars(Strategy):
    """Raises on its first bar."""

    def on_bar(self, bar: Bar) -> None:
        raise ValueError("failed on a bar")


class EmitsThenFails(Strategy):
    """Sets a target and a timer, then raises: on every trade, or on every bar."""

    on: str = "trade"

    def _fail(self) -> None:
        self.target("AAA", "1")
        self.after(1000, "later")
        raise RecursionError("too deep")

    def on_trade(self, trade: Tick) -> None:
        if self.on == "trade":
            self._fail()

    def on_bar(self, bar: Bar) -> None:
        if self.on == "bar":
            self._fail()


class Memory:
    """A sink that keeps every record."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def append(self, first_seq: int, inputs: list[Event], derived: list[Derived]) -> None:
        self.records += in_order(first_seq, inputs, derived)

    def open_day(self, day: str) -> None:
        pass


def opened(
    recv_ns: int, session: str, *strategies: str, **params: str
) -> tuple[Sequencer, Memory, list[Event]]:
    uses = tuple(StrategyConfig(use=use, on_failure="quarantine", params=dict(params)) for use in strategies)
    config = Config(strategies=uses, bars=BarsConfig(intervals=("1m", "5m"), grace_ms=0))
    builder = SessionBuilder(load, "test", "0")
    sink = Memory()
    started = builder.start(recv_ns=recv_ns, session=session, mode="backtest", config=config)
    return Sequencer(builder, sink), sink, [started, InstrumentListed(recv_ns, 1, "x", "AAA", 2, 3)]


def trade(at_ns: int, price: int = 100) -> Trade:
    return Trade(at_ns, at_ns, 1, price, 1, 1, at_ns)


def test_a_failure_during_derived_events_keeps_every_cause() -> None:
    """Two bars close in one turn and the handler of the first raises: the second still names the trade."""
    sequencer, sink, inputs = opened(NEARLY_MIDNIGHT, "a" * 16, "tests.test_turns:FailsOnBars")
    first, later = trade(NEARLY_MIDNIGHT), trade(NEARLY_MIDNIGHT + 300 * SECOND - 1)
    sequencer.run([*inputs, first, later])
    by_seq = {seq: event for seq, _, event in sink.records}
    (failed,) = [record for record in sink.records if isinstance(record[2], ActorFailed)]
    assert isinstance(by_seq[failed[1]], BarClosed)
    assert isinstance(failed[2], ActorFailed)
    assert failed[2].seq == failed[1]
    for seq, cause, event in sink.records:
        if isinstance(event, BarClosed):
            assert not isinstance(by_seq[cause], BarClosed), (seq, cause)


def test_the_session_precedes_the_bars_of_an_interruption_over_midnight() -> None:
    """F04: windows of an interruption are incomplete, on the day before midnight and on the day after."""
    sequencer, sink, inputs = opened(NEARLY_MIDNIGHT, "a" * 16)
    sequencer.run([*inputs, trade(NEARLY_MIDNIGHT)])
    before = len(sink.records)
    _, _, again = opened(NEARLY_MIDNIGHT + 600 * SECOND, "b" * 16)
    sequencer.run([again[0], trade(NEARLY_MIDNIGHT + 601 * SECOND)])
    events = [event for _, _, event in sink.records[before:]]
    assert isinstance(events[0], DayOpened)
    assert isinstance(events[1], SessionStarted)
    bars = [event for event in events if isinstance(event, BarClosed)]
    assert len([bar for bar in bars if bar.interval_ns == 60 * SECOND]) >= 9
    assert all(bar.incomplete for bar in bars)


@pytest.mark.parametrize("on", ["trade", "bar"])
def test_events_that_a_strategy_emitted_before_it_raised_are_dropped(on: str) -> None:
    """The depth that a recursion reaches depends on the stack, which a replay cannot reproduce."""
    use = "tests.test_turns:EmitsThenFails"
    sequencer, sink, inputs = opened(NEARLY_MIDNIGHT, "a" * 16, use, on=on)
    sequencer.run([*inputs, trade(NEARLY_MIDNIGHT), trade(NEARLY_MIDNIGHT + 61 * SECOND)])
    sequencer.run([trade(NEARLY_MIDNIGHT + 70 * SECOND)])
    events = [event for _, _, event in sink.records]
    assert [type(event) for event in events].count(ActorFailed) == 1
    assert not any(isinstance(event, TargetSet) for event in events)
    assert not any(isinstance(event, TimerFired) and event.key == "later" for event in events)
    assert any(isinstance(event, BarClosed) for event in events)


class Postpones(Actor):
    """Postpones two marks for each trade, with another actor's reaction between them."""

    @handles(Trade)
    def trade(self, trade: Trade, emit: Emit) -> None:
        emit(Later(PriceMarked(trade.recv_ns, 1, 3), END_OF_CANDLE))
        emit(Later(PriceMarked(trade.recv_ns, 1, 99), PATH, "a"))
        emit(Later(PriceMarked(trade.recv_ns, 1, 1), PATH, "a"))

    @handles(PriceMarked)
    def mark(self, mark: PriceMarked, emit: Emit) -> None:
        if mark.price == 1:
            emit(PriceMarked(mark.at_ns, 1, 10))
            emit(Later(PriceMarked(mark.at_ns, 1, 2), PATH, "a"))
        elif mark.price == 10:
            emit(PriceMarked(mark.at_ns, 1, 11))


def test_postponed_events_come_once_nothing_else_is_left_by_place_and_the_latest_of_a_key() -> None:
    sink = Memory()
    sequencer = Sequencer(lambda _: [Postpones("p")], sink)
    builder = SessionBuilder(load, "test", "0")
    started = builder.start(recv_ns=1, session="a" * 16, mode="backtest", config=Config(strategies=()))
    sequencer.run([started, InstrumentListed(1, 1, "x", "AAA", 2, 3), trade(2), trade(3)])
    marks = [(seq, cause, event) for seq, cause, event in sink.records if isinstance(event, PriceMarked)]
    assert [event.price for _, _, event in marks] == [1, 10, 11, 2, 3] * 2
    first = marks[0][0]
    assert [cause - first for _, cause, _ in marks[:5]] == [-1, 0, 1, 0, -1], "each names what postponed it"
