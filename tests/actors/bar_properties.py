"""Properties of bars, checked against any aggregator class.

A property takes an aggregator class and raises AssertionError if it does not hold. `test_bar_properties.py`
checks the engine's aggregator. `tests/planted/` checks that each property fails for aggregators with a
planted bug.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from unittest.mock import patch

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from adapters.transport.health import FeedHealth
from adapters.transport.trades import TradeMemory
from engine.actors import Aggregator
from engine.clock import DAY_NS, SECOND_NS, window_end, window_start
from engine.config import BarsConfig
from engine.errors import ReplayDivergence
from engine.events import (
    BarClosed,
    BarCorrected,
    ClockAdvanced,
    Event,
    InstrumentListed,
    SessionStopped,
    Trade,
)
from engine.snapshot import state_classes
from engine.states import decode_state, encode_state
from engine.values import parse_interval
from tests.actors.harness import Harness
from tests.replay.kit import EVE, NOON, Memory, assert_replays_alone, config_of, opening, run, use

__all__ = ["PROPERTIES", "Property"]

START = NOON - 12 * 3600 * SECOND_NS + 4 * DAY_NS + 22 * 3600 * SECOND_NS  # two hours before a Monday
MEMORY = 4096  # trades that the feed remembers
GRACE_MS = 1000
GRACE_NS = GRACE_MS * 1_000_000
SPANS = ("1m", "3m", "5m", "15m", "1h")
LONG = ("1h", "12h", "1d", "3d", "1w")
Make = type[Aggregator]
Property = Callable[[Make, int], None]


class Step(NamedTuple):
    """A trade of a plan: the time since the one before, its delay, and its values."""

    gap_ns: int
    late_ns: int
    instrument: int
    price: int
    size: int
    side: int


steps = st.lists(
    st.builds(
        Step,
        st.sampled_from([0, 0, 1, *(gap * SECOND_NS // 10 for gap in (3, 3, 7, 10, 593, 600, 2000))]),
        st.sampled_from([0, 0, 1, 400_000_000, GRACE_NS - 1]),
        st.sampled_from([1, 1, 2]),
        st.integers(1, 1000),
        st.integers(1, 10**6),
        st.sampled_from([1, -1, 0]),
    ),
    min_size=1,
    max_size=30,
)
customs = st.tuples(st.sampled_from(["flat", "none"]), st.sampled_from(["arrival", "sequence"]))
beginnings = st.sampled_from([0, 1, *[59 * SECOND_NS + SECOND_NS // 2] * 2])  # near the end of a window
Customs = tuple[str, str]


def listed(custom: Customs) -> dict[int, InstrumentListed]:
    names = {1: "AAA", 2: "BBB"}
    return {
        number: InstrumentListed(START, number, "sim", name, 2, 3, silence=custom[0], ids=custom[1])
        for number, name in names.items()
    }


def tape(plan: Sequence[Step], begin_ns: int) -> list[Trade]:
    """Return the trades in the venue's order, received without delay. Ids count up in that order."""
    now, trades = START + begin_ns, []
    for number, one in enumerate(plan, 1):
        now += one.gap_ns
        trades.append(Trade(now, now, one.instrument, one.price, one.size, one.side, number))
    return trades


def arriving(trades: Sequence[Trade], plan: Sequence[Step]) -> list[Trade]:
    """Return the trades in order of arrival, each with its delay.

    Those with equal time stamps keep their order.
    """
    late: dict[tuple[int, int], int] = {}
    for trade, one in zip(trades, plan, strict=True):
        late.setdefault((trade.instrument, trade.venue_ns), one.late_ns)
    came = [
        Trade(trade.venue_ns + late[trade.instrument, trade.venue_ns], *fields_after_time(trade))
        for trade in trades
    ]
    return sorted(came, key=lambda trade: trade.recv_ns)


def fields_after_time(trade: Trade) -> tuple[Any, ...]:
    return tuple(getattr(trade, name) for name in trade.__struct_fields__[1:])


def new_harness(make: Make, custom: Customs, spans: Sequence[str] = SPANS, close: str = "grace") -> Harness:
    return Harness(make(BarsConfig(tuple(spans), GRACE_MS, close)), listed(custom))


def play(harness: Harness, trades: Sequence[Trade], until_ns: int = 0) -> Harness:
    """Send trades at their times, firing the timers in between; then advance to `until_ns` and stop."""
    for trade in trades:
        harness.advance(trade.recv_ns)
        harness.send(trade)
    harness.advance(until_ns)
    if until_ns:
        harness.send(SessionStopped(until_ns, "s", "test"))  # no correction waits any longer
    return harness


def over(trades: Sequence[Trade], longest: str = "1h") -> int:
    """Return a time at which every bar of these trades is closed: the end of the longest window."""
    span = parse_interval(longest)
    return window_end(span, window_start(span, max(trade.venue_ns for trade in trades))) + GRACE_NS


Values = tuple[Any, ...]


def values(bar: BarClosed) -> Values:
    """Return a bar's values, without the time, reason and revision of the event."""
    names = ("at_ns", "closed_by", "revision")
    return tuple(getattr(bar, name) for name in bar.__struct_fields__ if name not in names)


def final(harness: Harness) -> dict[tuple[int, int, int], Values]:
    """Return the highest revision of each bar, by instrument, interval and start.

    If windows without trades have no bars, the first event of a late trade's window is a correction.
    """
    found: dict[tuple[int, int, int], BarClosed] = {}
    for bar in harness.all(BarClosed):
        key = bar.instrument, bar.interval_ns, bar.start_ns
        was_empty = harness.actor.instruments[bar.instrument].silence == "none" and isinstance(
            bar, BarCorrected
        )
        assert bar.revision == (found[key].revision + 1 if key in found else int(was_empty))
        assert isinstance(bar, BarCorrected) == (bar.revision > 0)
        found[key] = bar
    return {key: values(bar) for key, bar in found.items()}


def by_window(trades: Sequence[Trade], instrument: int, span: int) -> dict[int, list[Trade]]:
    """Return the trades of an instrument by the start of their window, in the venue's order."""
    found: dict[int, list[Trade]] = {}
    for trade in trades:
        if trade.instrument == instrument:
            found.setdefault(window_start(span, trade.venue_ns), []).append(trade)
    return found


def as_property(check: Callable[..., None], *plans: Any) -> Property:
    """Return a check as a property.

    `examples` is the number of examples; if negative, they are not shrunk.
    """

    @functools.wraps(check)
    def check_property(make: Make, examples: int) -> None:
        broken: list[AssertionError] = []

        def attempt(drawn: tuple[Any, ...]) -> None:
            try:
                check(make, *drawn)
            except AssertionError as error:
                broken.append(error)
                raise

        phases = tuple(Phase) if examples > 0 else (Phase.generate,)
        tried = settings(max_examples=abs(examples), phases=phases, database=None, derandomize=examples < 0)
        try:
            tried(given(st.tuples(*plans))(attempt))()
        except Exception:
            # If a bug is not deterministic, Hypothesis reports flaky examples instead.
            if broken and examples < 0:
                raise broken[0] from None
            raise

    return check_property


# The properties.


def conservation(make: Make, plan: list[Step], custom: Customs, begin_ns: int) -> None:
    """Volume, money and count, summed over the bars of an interval, equal those of the trades."""
    trades = tape(plan, begin_ns)
    harness = play(new_harness(make, custom), arriving(trades, plan), over(trades))
    for instrument in (1, 2):
        mine = [trade for trade in trades if trade.instrument == instrument]
        bought = sum(trade.size for trade in mine if trade.aggressor == 1)
        sold = sum(trade.size for trade in mine if trade.aggressor == -1)
        whole = (len(mine), sum(t.size for t in mine), sum(t.size * t.price for t in mine), bought, sold)
        for span in SPANS:
            bars = [
                bar
                for bar in harness.all(BarClosed)
                if (bar.instrument, bar.interval_ns) == (instrument, parse_interval(span))
            ]
            assert all(bar.source == "trades" for bar in bars)
            summed = (
                sum(bar.trades for bar in bars),
                sum(int(bar.volume) for bar in bars),
                *(
                    sum(int(getattr(bar, name)) for bar in bars)
                    for name in ("quote_volume", "buy_volume", "sell_volume")
                ),
            )
            assert summed == whole, span


def alignment(make: Make, plan: list[Step], custom: Customs, begin_ns: int) -> None:
    """Windows up to a day are aligned to the epoch, weeks begin on Monday, months on their first day."""
    trades = tape(plan, begin_ns)
    bars = play(new_harness(make, custom, SPANS), trades, over(trades)).all(BarClosed)
    bars += play(new_harness(make, custom, LONG), trades, over(trades, "1w")).all(BarClosed)
    bars += play(new_harness(make, custom, ("1d", "1M")), trades, over(trades, "1M")).all(BarClosed)
    for bar in bars:
        begins = datetime.fromtimestamp(bar.start_ns // SECOND_NS, UTC)
        assert bar.start_ns % SECOND_NS == 0
        if bar.interval_ns == parse_interval("1M"):
            assert (begins.day, begins.time().isoformat()) == (1, "00:00:00")
        elif bar.interval_ns == parse_interval("1w"):
            assert (begins.weekday(), begins.time().isoformat()) == (0, "00:00:00")
        else:
            assert bar.start_ns % bar.interval_ns == 0


def windows(make: Make, plan: list[Step], custom: Customs, begin_ns: int) -> None:
    """Each window has one bar, in order: every window since the first trade, or only those with trades."""
    trades = tape(plan, begin_ns)
    harness = play(new_harness(make, custom), arriving(trades, plan), over(trades))
    for instrument in (1, 2):
        for span in map(parse_interval, SPANS):
            starts = [
                bar.start_ns
                for bar in harness.all(BarClosed)
                if (bar.instrument, bar.interval_ns) == (instrument, span)
            ]
            expected = list(by_window(trades, instrument, span))
            if custom[0] == "flat" and expected:
                last = window_start(span, over(trades) - GRACE_NS - 1)
                expected = list(range(expected[0], last + 1, span))
            assert starts == expected


def bounds(make: Make, plan: list[Step], custom: Customs, begin_ns: int) -> None:
    """High and low are the highest and the lowest price in the bar; a bar without trades is flat."""
    trades = tape(plan, begin_ns)
    harness = play(new_harness(make, custom), arriving(trades, plan), over(trades))
    for bar in harness.all(BarClosed):
        inside = by_window(trades, bar.instrument, bar.interval_ns).get(bar.start_ns, [])
        assert bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
        if inside:
            assert bar.high == max(trade.price for trade in inside)
            assert bar.low == min(trade.price for trade in inside)
        else:
            assert bar.high == bar.low


def order(make: Make, plan: list[Step], custom: Customs, begin_ns: int) -> None:
    """Open and close are the first and last trade in the venue's order; without trades, the last close."""
    trades = tape(plan, begin_ns)
    harness = play(new_harness(make, custom), arriving(trades, plan), over(trades))
    closes: dict[tuple[int, int], int] = {}
    for bar in harness.all(BarClosed):
        inside = by_window(trades, bar.instrument, bar.interval_ns).get(bar.start_ns)
        if inside:
            assert (bar.open, bar.first_id) == (inside[0].price, inside[0].trade_id)
            assert (bar.close, bar.last_id) == (inside[-1].price, inside[-1].trade_id)
        else:
            assert bar.close == closes[bar.instrument, bar.interval_ns]
            assert (bar.first_id, bar.last_id) == (0, 0)
        closes[bar.instrument, bar.interval_ns] = bar.close


def sequence(make: Make, plan: list[Step], begin_ns: int, swaps: Any) -> None:
    """If ids count up, trades with equal time stamps may arrive in any order."""
    trades = tape(plan, begin_ns)
    mixed = sorted(trades, key=lambda trade: (trade.venue_ns, swaps.random()))
    custom = ("flat", "sequence")
    straight = play(new_harness(make, custom), trades, over(trades))
    assert final(play(new_harness(make, custom), mixed, over(trades))) == final(straight)


def merging(make: Make, plan: list[Step], custom: Customs, begin_ns: int) -> None:
    """Bars merged from bars equal bars built from trades: an interval alone is the same as among others."""
    trades = tape(plan, begin_ns)
    together = final(play(new_harness(make, custom), arriving(trades, plan), over(trades)))
    for span in SPANS:
        alone = final(play(new_harness(make, custom, (span,)), arriving(trades, plan), over(trades)))
        both = {key: bar for key, bar in together.items() if key[1] == parse_interval(span)}
        assert {key: without_reason(bar) for key, bar in both.items()} == {
            key: without_reason(bar) for key, bar in alone.items()
        }


def without_reason(bar: Values) -> Values:
    """Return values without the reason why a bar is incomplete, which can differ in a merged bar."""
    return tuple(value for value in bar if not (isinstance(value, str) and " " in value))


def arrival(make: Make, plan: list[Step], custom: Customs, begin_ns: int) -> None:
    """Any order of arrival within the grace period gives the same bars, without corrections."""
    trades = tape(plan, begin_ns)
    straight = play(new_harness(make, custom), trades, over(trades))
    mixed = play(new_harness(make, custom), arriving(trades, plan), over(trades))
    assert final(mixed) == final(straight)
    assert not mixed.all(BarCorrected)


def corrections(make: Make, plan: list[Step], custom: Customs, begin_ns: int, later: list[int]) -> None:
    """Trades after the grace period, or after the next window's first trade, lead to the same final bars."""
    trades = tape(plan, begin_ns)
    delays = {(trade.instrument, trade.venue_ns): 0 for trade in trades[1:]}
    for key, delay in zip(delays, later, strict=False):
        delays[key] = delay * SECOND_NS
    first = {trade.instrument: trade.venue_ns for trade in reversed(trades)}
    came = sorted(
        (
            Trade(
                trade.venue_ns
                + (
                    0
                    if trade.venue_ns == first[trade.instrument]
                    else delays.get((trade.instrument, trade.venue_ns), 0)
                ),
                *fields_after_time(trade),
            )
            for trade in trades
        ),
        key=lambda trade: trade.recv_ns,
    )
    for close in ("grace", "trade"):
        straight = play(new_harness(make, custom, close=close), trades, over(trades) + 3600 * SECOND_NS)
        late = play(new_harness(make, custom, close=close), came, over(trades) + 3600 * SECOND_NS)
        assert final(late) == final(straight), close


def batching(make: Make, plan: list[Step], begin_ns: int, cuts: list[int]) -> None:
    """Any split of the input into batches gives the same bars."""
    inputs = session(plan, begin_ns)
    with patch("engine.session.Aggregator", make):
        assert run(inputs, cuts).events(BarClosed) == run(inputs).events(BarClosed)


def session(plan: list[Step], begin_ns: int, at_ns: int = NOON) -> list[Event]:
    """Return a session's inputs: the trades in order of arrival, and a clock event that closes their bars."""
    config = config_of(use("Averages"), intervals=("1s", "5s", "1m"))
    shift = at_ns + SECOND_NS - START
    trades = [
        Trade(trade.recv_ns + shift, trade.venue_ns + shift, *fields_after_time(trade)[1:])
        for trade in arriving(tape(plan, begin_ns), plan)
    ]
    end = ClockAdvanced(trades[-1].recv_ns + 61 * SECOND_NS)
    return [*opening(config, at_ns), *trades, end]


def duplicates(make: Make, plan: list[Step], custom: Customs, again: list[tuple[int, int]]) -> None:
    """A trade that the venue sends again at any later time counts once: the feed remembers it."""
    trades = tape(plan, 0)
    doubled: list[tuple[float, Trade]] = [(place, trade) for place, trade in enumerate(trades)]
    for which, later in again:
        place = which % len(trades)
        doubled.append((place + later + 0.5, trades[place]))
    doubled.sort(key=lambda pair: pair[0])
    memory = {number: TradeMemory(FeedHealth(), START - 1, memory_max=MEMORY) for number in (1, 2)}
    once = [one for _, trade in doubled for one in memory[trade.instrument].take([trade])]
    harness = new_harness(make, custom)
    for trade in once:
        harness.send(trade)
    straight = new_harness(make, custom)
    straight.send(*trades)
    until_ns = over(trades)
    for one in (harness, straight):
        one.advance(until_ns)
        one.send(SessionStopped(until_ns, "s", "test"))
    assert final(harness) == final(straight)


def restart(make: Make, plan: list[Step], custom: Customs, begin_ns: int, cut: int) -> None:
    """Restoring a snapshot taken at any point changes nothing."""
    trades = arriving(tape(plan, begin_ns), plan)
    cut %= len(trades)
    through = play(new_harness(make, custom), trades, over(trades))
    before = play(new_harness(make, custom), trades[:cut])
    after = new_harness(make, custom)
    classes = state_classes(["engine.actors.bars", "engine.actors.aggregator"])
    after.actor.restore(decode_state(encode_state(before.actor.state(), "aggregator"), classes))
    after.log, after.timers, after.seq = before.log, before.timers, before.seq
    play(after, trades[cut:], over(trades))
    assert after.log == through.log


def replay(make: Make, plan: list[Step], begin_ns: int, at_ns: int) -> None:
    """A recorded session replays bit for bit, each day alone."""
    with patch("engine.session.Aggregator", make):
        memory: Memory = run(session(plan, begin_ns, at_ns))
        try:
            for day in memory.days:
                assert_replays_alone(memory, day)
        except ReplayDivergence as error:
            raise AssertionError(str(error)) from error


def closing(make: Make, plan: list[Step], custom: Customs, begin_ns: int) -> None:
    """Bars closed by timer equal bars closed by the next window's first trade."""
    trades = tape(plan, begin_ns)
    by_timer = final(play(new_harness(make, custom), trades, over(trades)))
    by_trade = final(play(new_harness(make, custom, close="trade"), trades, over(trades)))
    assert by_timer == by_trade


cuts = st.lists(st.integers(1, 40), max_size=8)
PROPERTIES: dict[str, Property] = {
    "conservation": as_property(conservation, steps, customs, beginnings),
    "alignment": as_property(alignment, steps, customs, beginnings),
    "windows": as_property(windows, steps, customs, beginnings),
    "bounds": as_property(bounds, steps, customs, beginnings),
    "order": as_property(order, steps, customs, beginnings),
    "sequence": as_property(sequence, steps, beginnings, st.randoms(use_true_random=False)),
    "merging": as_property(merging, steps, customs, beginnings),
    "batching": as_property(batching, steps, beginnings, cuts),
    "arrival": as_property(arrival, steps, customs, beginnings),
    "corrections": as_property(
        corrections, steps, customs, beginnings, st.lists(st.sampled_from([0, 0, 2, 61, 400]), max_size=30)
    ),
    "duplicates": as_property(
        duplicates, steps, customs, st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8)
    ),
    "restart": as_property(restart, steps, customs, beginnings, st.integers(0, 40)),
    "replay": as_property(replay, steps, beginnings, st.sampled_from([NOON, EVE])),
    "closing": as_property(closing, steps, customs, beginnings),
}
