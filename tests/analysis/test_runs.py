"""Frames read with prices as runs give what the same records give one by one."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from engine.analysis.collecting import Collector
from engine.analysis.report import report_of
from engine.clock import day_start_ns
from engine.events import (
    BookRead,
    Candle,
    EquityMarked,
    Event,
    FeedGap,
    FillBooked,
    InstrumentListed,
    PathReached,
    PriceMarked,
    Quote,
    SessionStarted,
    SubmitOrder,
    Trade,
)
from engine.events.codec import Derived, in_order
from engine.events.terms import OrderTerms
from tests.profiles import examples

T = day_start_ns("2024-12-05")

Frame = tuple[int, list[Event], list[Derived]]


class OneByOne(Collector):
    """Reads the records of a frame one by one."""

    def append(self, first_seq: int, inputs: list[Event], derived: list[Derived]) -> None:
        self.apply(in_order(first_seq, inputs, derived))


def state_of(value: Any) -> Any:
    """Return everything that a collector holds, as plain values."""
    if isinstance(value, dict):
        return {key: state_of(one) for key, one in value.items() if not callable(one)}
    if isinstance(value, list | tuple):
        return [state_of(one) for one in value]
    if isinstance(value, msgspec.Struct):
        return [type(value).__name__, *map(state_of, msgspec.structs.astuple(value))]
    if type(value).__module__.startswith("engine.analysis"):
        return state_of(vars(value))
    return copy.copy(value)


def assert_equal(frames: list[Frame]) -> Collector:
    """Read frames both ways, and compare after each."""
    one, runs = OneByOne(), Collector()
    for frame in frames:
        one.append(*frame)
        runs.append(*frame)
        assert state_of(vars(runs)) == state_of(vars(one))
    one.finish()
    runs.finish()
    assert report_of(runs) == report_of(one)
    return runs


NAMES = {1: "ABC", 2: "DEF", 3: "GHI"}
STARTED = SessionStarted(T, "00000000000000aa", "paper", "", "", "", (), "")


def listing(number: int, price_scale: int, at_ns: int = T) -> InstrumentListed:
    return InstrumentListed(at_ns, number, "sim", NAMES[number], price_scale, 1)


numbers = st.sampled_from([1, 1, 1, 2, 3])
prices = st.integers(90, 110)
inputs_drawn = st.one_of(
    st.tuples(st.sampled_from(["trade"] * 6 + ["candle", "book"]), numbers, prices),
    st.tuples(st.sampled_from(["quote", "bid", "trade"]), numbers, prices),
)
rare = st.tuples(st.sampled_from(["started", "finer", "gap"]), numbers, prices)
derived_drawn = st.tuples(
    st.sampled_from(["order", "fill", "fill", "path", "mark", "equity"]), numbers, prices
)
trades_drawn = st.tuples(st.just("trade"), numbers, prices)
planned = st.lists(
    st.one_of(
        st.lists(st.one_of(trades_drawn, trades_drawn, derived_drawn), max_size=30),
        st.lists(st.one_of(inputs_drawn, inputs_drawn, derived_drawn), max_size=30),
        st.lists(st.one_of(inputs_drawn, derived_drawn, rare), max_size=10),
    ),
    max_size=8,
)


class Maker:
    """Makes records of a plan: what a journal with these records could hold."""

    def __init__(self) -> None:
        self.seq = 0
        self.scales = dict.fromkeys(NAMES, 0)
        self.held = dict.fromkeys(NAMES, 0)
        self.orders = 0
        self.at_ns = T

    def frame(self, plan: list[tuple[str, int, int]]) -> Frame:
        inputs: list[Event] = []
        derived: list[Derived] = []
        first = self.seq + 1
        for kind, number, price in plan:
            self.seq += 1
            derives = kind in ("order", "fill", "path", "mark", "equity")
            self.at_ns += 0 if derives else 1_000  # the time is that of the newest input
            event = self.event(kind, number, price * 10 ** self.scales[number])
            if derives:
                derived.append((self.seq, self.seq - 1, event))
            else:
                inputs.append(event)
        return first, inputs, derived

    def event(self, kind: str, number: int, price: int) -> Event:
        at = self.at_ns
        match kind:
            case "trade":
                return Trade(at, at, number, price, 1, 1, self.seq)
            case "quote":
                return Quote(at, at, number, price, 1, price + 3, 1)
            case "bid":
                return Quote(at, at, number, price, 1, 0, 0)
            case "candle":
                return Candle(at, at, number, 60, at - 60, price, price, price, price, 1, 1)
            case "book":
                return BookRead(at, at, number, [], [])
            case "started":
                return msgspec.structs.replace(STARTED, recv_ns=at)
            case "finer":
                self.scales[number] += self.scales[number] < 3
                return listing(number, self.scales[number], at)
            case "gap":
                return FeedGap(at, "sim", number, at - 5, at)
            case "order":
                self.orders += 1
                return SubmitOrder(at, f"o{self.orders}", "s", number, OrderTerms(1, 2, role="open"))
            case "fill":
                opens = not self.held[number]
                self.held[number] = 1 if opens else 0
                role, side = ("open", 1) if opens else ("close", -1)
                order = f"o{self.orders}"
                return FillBooked(at, "s", number, side, price, 1, 0, 0, order, 1, "taker", role, "own")
            case "path":
                return PathReached(at, at, number, "s", price, "")
            case "mark":
                return PriceMarked(at, number, price)
            case _:
                return EquityMarked(at, 0, 0, 0, 0, 1000 + price, 0, 1000, 0)


@examples(2)
@given(planned)
@example([[("trade", 1, 100), ("quote", 1, 99), ("quote", 2, 99), ("quote", 3, 99)]])
def test_random_frames_read_as_runs_are_the_records_one_by_one(
    plan: list[list[tuple[str, int, int]]],
) -> None:
    maker = Maker()
    maker.seq = len(NAMES)
    listed: list[Event] = [listing(number, 0) for number in NAMES]
    frames = [(1, listed, list[Derived]()), *(maker.frame(part) for part in plan if part)]
    assert_equal(frames)
