"""The laws of bars, each a property of whatever aggregator it is given.

A law takes the class of an aggregator and raises AssertionError when it is broken. `test_bar_laws.py` holds
the engine's own to them; `tests/planted/` holds them to aggregators with a planted bug.
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
from adapters.transport.trades import Prints
from engine.actors import Aggregator
from engine.clock import DAY_NS, SECOND_NS, window_end, window_start
from engine.config import BarsConfig
from engine.errors import ReplayDivergence
from engine.events import BarClosed, BarCorrected, ClockAdvanced, Event, InstrumentListed, Trade
from engine.snapshot import state_classes
from engine.states import decode_state, encode_state
from engine.values import parse_interval
from tests.actors.harness import Harness
from tests.replay.kit import EVE, NOON, Memory, config_of, opening, replays_alone, run, use

__all__ = ["LAWS", "Law"]

START = NOON - 12 * 3600 * SECOND_NS + 4 * DAY_NS + 22 * 3600 * SECOND_NS  # a Monday is two hours away
MEMORY = 4096  # prints that the feed remembers
GRACE_MS = 1000
GRACE_NS = GRACE_MS * 1_000_000
SPANS = ("1m", "3m", "5m", "15m", "1h")
LONG = ("1h", "12h", "1d", "3d", "1w")
Make = type[Aggregator]
Law = Callable[[Make, int], None]


class Step(NamedTuple):
    """A print of a plan: how long after the one before, how long under way, and what it says."""

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
beginnings = st.sampled_from([0, 1, *[59 * SECOND_NS + SECOND_NS // 2] * 2])  # a window's end is near
Customs = tuple[str, str]


def listed(custom: Customs) -> dict[int, InstrumentListed]:
    names = {1: "AAA", 2: "BBB"}
    return {
        number: InstrumentListed(START, number, "sim", name, 2, 3, silence=custom[0], ids=custom[1])
        for number, name in names.items()
    }


def tape(plan: Sequence[Step], begin_ns: int) -> list[Trade]:
    """The prints in the venue's order, received at once. Ids count up, so they tell the order too."""
    now, trades = START + begin_ns, []
    for number, one in enumerate(plan, 1):
        now += one.gap_ns
        trades.append(Trade(now, now, one.instrument, one.price, one.size, one.side, number))
    return trades


def arriving(trades: Sequence[Trade], plan: Sequence[Step]) -> list[Trade]:
    """The prints as they arrive when each is under way for its own time; an instant's stay in order."""
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


def desk(make: Make, custom: Customs, spans: Sequence[str] = SPANS, close: str = "grace") -> Harness:
    return Harness(make(BarsConfig(tuple(spans), GRACE_MS, close)), listed(custom))


def play(on: Harness, trades: Sequence[Trade], until_ns: int = 0) -> Harness:
    """Hand over prints at their times, firing the timers between; then let time pass until then."""
    for trade in trades:
        on.advance(trade.recv_ns)
        on.send(trade)
    on.advance(until_ns)
    return on


def over(trades: Sequence[Trade], longest: str = "1h") -> int:
    """A time when every bar of these prints is closed: the longest window is over."""
    span = parse_interval(longest)
    return window_end(span, window_start(span, max(trade.venue_ns for trade in trades))) + GRACE_NS


Values = tuple[Any, ...]


def values(bar: BarClosed) -> Values:
    """What a bar says, without when and how it was told."""
    names = ("at_ns", "closed_by", "revision")
    return tuple(getattr(bar, name) for name in bar.__struct_fields__ if name not in names)


def final(on: Harness) -> dict[tuple[int, int, int], Values]:
    """The highest revision of each bar, by instrument, interval and start.

    A window that was taken for silent, where such windows have no bars, begins with a correction of nothing.
    """
    found: dict[tuple[int, int, int], BarClosed] = {}
    for bar in on.all(BarClosed):
        key = bar.instrument, bar.interval_ns, bar.start_ns
        silent = on.actor.instruments[bar.instrument].silence == "none" and isinstance(bar, BarCorrected)
        assert bar.revision == (found[key].revision + 1 if key in found else int(silent))
        assert isinstance(bar, BarCorrected) == (bar.revision > 0)
        found[key] = bar
    return {key: values(bar) for key, bar in found.items()}


def by_window(trades: Sequence[Trade], instrument: int, span: int) -> dict[int, list[Trade]]:
    """Prints of an instrument by the start of their window, each in the venue's order."""
    found: dict[int, list[Trade]] = {}
    for trade in trades:
        if trade.instrument == instrument:
            found.setdefault(window_start(span, trade.venue_ns), []).append(trade)
    return found


def law(check: Callable[..., None], *plans: Any) -> Law:
    """Make a law of a check. It tries so many examples; with a negative number it does not shrink them."""

    @functools.wraps(check)
    def hold(make: Make, examples: int) -> None:
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
            # Where a bug depends on chance the search itself is confused by it, and says so instead.
            if broken and examples < 0:
                raise broken[0] from None
            raise

    return hold


# The laws.


def conservation(make: Make, plan: list[Step], custom: Customs, begin_ns: int) -> None:
    """Volume, money and count, summed over the bars of an interval, are those of the prints."""
    trades = tape(plan, begin_ns)
    on = play(desk(make, custom), arriving(trades, plan), over(trades))
    for instrument in (1, 2):
        mine = [trade for trade in trades if trade.instrument == instrument]
        bought = sum(trade.size for trade in mine if trade.aggressor == 1)
        sold = sum(trade.size for trade in mine if trade.aggressor == -1)
        whole = (len(mine), sum(t.size for t in mine), sum(t.size * t.price for t in mine), bought, sold)
        for span in SPANS:
            bars = [
                bar
                for bar in on.all(BarClosed)
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
    """Windows up to a day are counted from the epoch, weeks begin on Monday, months on their first."""
    trades = tape(plan, begin_ns)
    bars = play(desk(make, custom, SPANS), trades, over(trades)).all(BarClosed)
    bars += play(desk(make, custom, LONG), trades, over(trades, "1w")).all(BarClosed)
    bars += play(desk(make, custom, ("1d", "1M")), trades, over(trades, "1M")).all(BarClosed)
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
    """Each window has one bar, in order: all since the first print, or those with prints, by custom."""
    trades = tape(plan, begin_ns)
    on = play(desk(make, custom), arriving(trades, plan), over(trades))
    for instrument in (1, 2):
        for span in map(parse_interval, SPANS):
            starts = [
                bar.start_ns
                for bar in on.all(BarClosed)
                if (bar.instrument, bar.interval_ns) == (instrument, span)
            ]
            expected = list(by_window(trades, instrument, span))
            if custom[0] == "flat" and expected:
                last = window_start(span, over(trades) - GRACE_NS - 1)
                expected = list(range(expected[0], last + 1, span))
            assert starts == expected


def bounds(make: Make, plan: list[Step], custom: Customs, begin_ns: int) -> None:
    """High and low are the highest and the lowest of everything in the bar; a silent one is flat."""
    trades = tape(plan, begin_ns)
    on = play(desk(make, custom), arriving(trades, plan), over(trades))
    for bar in on.all(BarClosed):
        inside = by_window(trades, bar.instrument, bar.interval_ns).get(bar.start_ns, [])
        assert bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
        if inside:
            assert bar.high == max(trade.price for trade in inside)
            assert bar.low == min(trade.price for trade in inside)
        else:
            assert bar.high == bar.low


def order(make: Make, plan: list[Step], custom: Customs, begin_ns: int) -> None:
    """Open and close are the first and last print by the venue's order; a silent bar is at the last close."""
    trades = tape(plan, begin_ns)
    on = play(desk(make, custom), arriving(trades, plan), over(trades))
    closes: dict[tuple[int, int], int] = {}
    for bar in on.all(BarClosed):
        inside = by_window(trades, bar.instrument, bar.interval_ns).get(bar.start_ns)
        if inside:
            assert (bar.open, bar.first_id) == (inside[0].price, inside[0].trade_id)
            assert (bar.close, bar.last_id) == (inside[-1].price, inside[-1].trade_id)
        else:
            assert bar.close == closes[bar.instrument, bar.interval_ns]
            assert (bar.first_id, bar.last_id) == (0, 0)
        closes[bar.instrument, bar.interval_ns] = bar.close


def sequence(make: Make, plan: list[Step], begin_ns: int, swaps: Any) -> None:
    """Where ids count up, prints of one instant may come in any order."""
    trades = tape(plan, begin_ns)
    mixed = sorted(trades, key=lambda trade: (trade.venue_ns, swaps.random()))
    custom = ("flat", "sequence")
    straight = play(desk(make, custom), trades, over(trades))
    assert final(play(desk(make, custom), mixed, over(trades))) == final(straight)


def merging(make: Make, plan: list[Step], custom: Customs, begin_ns: int) -> None:
    """Bars of bars are bars of trades: an interval built alone is the same as one built among others."""
    trades = tape(plan, begin_ns)
    together = final(play(desk(make, custom), arriving(trades, plan), over(trades)))
    for span in SPANS:
        alone = final(play(desk(make, custom, (span,)), arriving(trades, plan), over(trades)))
        both = {key: bar for key, bar in together.items() if key[1] == parse_interval(span)}
        assert {key: told(bar) for key, bar in both.items()} == {key: told(bar) for key, bar in alone.items()}


def told(bar: Values) -> Values:
    """Values without why a bar is incomplete: a part can say more than the whole."""
    return tuple(value for value in bar if not (isinstance(value, str) and " " in value))


def arrival(make: Make, plan: list[Step], custom: Customs, begin_ns: int) -> None:
    """Any order of arrival inside the grace gives the same bars, none of them corrected."""
    trades = tape(plan, begin_ns)
    straight = play(desk(make, custom), trades, over(trades))
    mixed = play(desk(make, custom), arriving(trades, plan), over(trades))
    assert final(mixed) == final(straight)
    assert not mixed.all(BarCorrected)


def corrections(make: Make, plan: list[Step], custom: Customs, begin_ns: int, later: list[int]) -> None:
    """What comes after the grace, or after the next window's first print, ends in the same bars."""
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
        straight = play(desk(make, custom, close=close), trades, over(trades) + 3600 * SECOND_NS)
        late = play(desk(make, custom, close=close), came, over(trades) + 3600 * SECOND_NS)
        assert final(late) == final(straight), close


def batching(make: Make, plan: list[Step], begin_ns: int, cuts: list[int]) -> None:
    """Any split of the input into batches gives the same bars."""
    inputs = session(plan, begin_ns)
    with patch("engine.session.Aggregator", make):
        assert run(inputs, cuts).events(BarClosed) == run(inputs).events(BarClosed)


def session(plan: list[Step], begin_ns: int, at_ns: int = NOON) -> list[Event]:
    """A session's inputs: the prints in order of arrival, and time to close them."""
    config = config_of(use("Averages"), intervals=("1s", "5s", "1m"))
    shift = at_ns + SECOND_NS - START
    trades = [
        Trade(trade.recv_ns + shift, trade.venue_ns + shift, *fields_after_time(trade)[1:])
        for trade in arriving(tape(plan, begin_ns), plan)
    ]
    end = ClockAdvanced(trades[-1].recv_ns + 61 * SECOND_NS)
    return [*opening(config, at_ns), *trades, end]


def duplicates(make: Make, plan: list[Step], custom: Customs, again: list[tuple[int, int]]) -> None:
    """A print that a venue tells again, at any time later, counts once: the feed remembers it."""
    trades = tape(plan, 0)
    doubled: list[tuple[float, Trade]] = [(place, trade) for place, trade in enumerate(trades)]
    for which, later in again:
        place = which % len(trades)
        doubled.append((place + later + 0.5, trades[place]))
    doubled.sort(key=lambda pair: pair[0])
    memory = {number: Prints(FeedHealth(), START - 1, memory_max=MEMORY) for number in (1, 2)}
    once = [one for _, trade in doubled for one in memory[trade.instrument].take([trade])]
    on = desk(make, custom)
    for trade in once:
        on.send(trade)
    straight = desk(make, custom)
    straight.send(*trades)
    until_ns = over(trades)
    on.advance(until_ns)
    straight.advance(until_ns)
    assert final(on) == final(straight)


def restart(make: Make, plan: list[Step], custom: Customs, begin_ns: int, cut: int) -> None:
    """A snapshot anywhere and going on from it is the same as never having stopped."""
    trades = arriving(tape(plan, begin_ns), plan)
    cut %= len(trades)
    through = play(desk(make, custom), trades, over(trades))
    before = play(desk(make, custom), trades[:cut])
    after = desk(make, custom)
    classes = state_classes(["engine.actors.bars", "engine.actors.aggregator"])
    after.actor.restore(decode_state(encode_state(before.actor.state(), "aggregator"), classes))
    after.log, after.timers, after.seq = before.log, before.timers, before.seq
    play(after, trades[cut:], over(trades))
    assert after.log == through.log


def replay(make: Make, plan: list[Step], begin_ns: int, at_ns: int) -> None:
    """What was recorded re-derives bit for bit, each day alone."""
    with patch("engine.session.Aggregator", make):
        memory: Memory = run(session(plan, begin_ns, at_ns))
        try:
            for day in memory.days:
                replays_alone(memory, day)
        except ReplayDivergence as error:
            raise AssertionError(str(error)) from error


def closing(make: Make, plan: list[Step], custom: Customs, begin_ns: int) -> None:
    """Bars closed by timer and bars closed by the next window's first print are the same bars."""
    trades = tape(plan, begin_ns)
    by_timer = final(play(desk(make, custom), trades, over(trades)))
    by_print = final(play(desk(make, custom, close="trade"), trades, over(trades)))
    assert by_timer == by_print


cuts = st.lists(st.integers(1, 40), max_size=8)
LAWS: dict[str, Law] = {
    "conservation": law(conservation, steps, customs, beginnings),
    "alignment": law(alignment, steps, customs, beginnings),
    "windows": law(windows, steps, customs, beginnings),
    "bounds": law(bounds, steps, customs, beginnings),
    "order": law(order, steps, customs, beginnings),
    "sequence": law(sequence, steps, beginnings, st.randoms(use_true_random=False)),
    "merging": law(merging, steps, customs, beginnings),
    "batching": law(batching, steps, beginnings, cuts),
    "arrival": law(arrival, steps, customs, beginnings),
    "corrections": law(
        corrections, steps, customs, beginnings, st.lists(st.sampled_from([0, 0, 2, 61, 400]), max_size=30)
    ),
    "duplicates": law(
        duplicates, steps, customs, st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8)
    ),
    "restart": law(restart, steps, customs, beginnings, st.integers(0, 40)),
    "replay": law(replay, steps, beginnings, st.sampled_from([NOON, EVE])),
    "closing": law(closing, steps, customs, beginnings),
}
