"""A candle that nothing can come of is not led along, and nothing but that shows.

A session of random candles and requests runs twice, once with every candle led along: the same fills, orders,
stops, trails, equity, margin calls, liquidations and report.
"""

from __future__ import annotations

import re
from collections import Counter
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.actors import SimulatedVenue
from engine.actors.simulated.candles import Candles
from engine.actors.simulated.margin import UNSAFE
from engine.analysis.collecting import Collector
from engine.analysis.report import Report, report_of
from engine.config import AccountConfig, BarsConfig, Config, PaperConfig, RiskConfig, StrategyConfig
from engine.events import (
    Candle,
    DayOpened,
    Event,
    InstrumentListed,
    Liquidated,
    MarginCalled,
    MarketRules,
    OrderFilled,
    PathReached,
    TrailChanged,
)
from engine.sequencer import Sequencer
from engine.session import SessionBuilder
from engine.strategies import Bar, Strategy
from tests.profiles import examples, pick
from tests.replay.kit import NOON, Memory, stopped

MINUTE = 60 * 10**9
COUNT = pick(160, deep=600)
IDS = ("seq", "_id", "handle", "parent")
"""Ends of the names of fields made of seqs, which differ by the records of the path."""

_ID = re.compile(r"0x[0-9a-f]{32}|(?<=command )\d+")

TIERS = (("20000", 10), ("60000", 3))


class Roamer(Strategy):
    """Asks for something at random bars: positions, orders with brackets, stops, trails, cancels."""

    every: int = 6
    size: float = 1.0

    def on_bar(self, bar: Bar) -> None:
        if bar.interval != "1m" or self.random.randint(1, self.every) > 1:
            return
        market, price, draw = bar.market, bar.close, self.random
        size = self.size * draw.randint(1, 4)
        near = price * draw.choice([0.002, 0.01, 0.05])
        match draw.randint(1, 9):
            case 1:
                self.target(market, size)
            case 2:
                self.target(market, -size)
            case 3:
                self.target(market, 0)
            case 4:
                self.buy(market, size, stop_loss=price - near, take_profit=price + 2 * near)
            case 5:
                self.sell(market, size, limit=price + near, stop_loss=price + 3 * near)
            case 6:
                self.buy(market, size, trigger=price + near, ttl_ms=200_000)
            case 7:
                self.trail(market, size, near, short=draw.random() < 0.5)
            case 8:
                self.buy(market, size, limit=price - near)
            case _:
                self.cancel_all(market)


def inputs(seed: int, config: Config, rules: MarketRules) -> list[Event]:
    """Return a session with two instruments in candles of a minute: quiet hours, and sometimes a leap."""
    draw = Random(seed)
    started = builder().start(recv_ns=NOON, session="00000000000000aa", mode="backtest", config=config)
    events: list[Event] = [started]
    events += [
        InstrumentListed(NOON, number, "sim", name, 2, 1, rules=rules) for number, name in NAMES.items()
    ]
    prices = dict.fromkeys(NAMES, 100_000)
    for minute in range(COUNT):
        start_ns = NOON + minute * MINUTE
        end_ns = start_ns + MINUTE
        for number in NAMES:
            if draw.random() < 0.03:
                continue  # a minute without a trade
            wide = draw.choice([30, 30, 200, 200, 800, 4_000])
            opened = max(100, prices[number] + draw.choice([0, 0, draw.randint(-wide, wide)]))
            close = max(100, opened + draw.randint(-wide, wide))
            low = max(50, min(opened, close) - draw.randint(0, wide))
            high = max(opened, close) + draw.randint(0, wide)
            volume = draw.choice([0, 5, 100_000])
            events.append(
                Candle(end_ns, end_ns, number, MINUTE, start_ns, opened, high, low, close, volume, 1)
            )
            prices[number] = close
    return [*events, stopped(NOON + (COUNT + 1) * MINUTE)]


NAMES = {1: "AAA", 2: "BBB"}


def builder() -> SessionBuilder:
    return SessionBuilder(lambda _: Roamer, "0" * 16, "0.0.test")


def settings(draw: Random) -> Config:
    """Return a configuration whose account is sometimes large and sometimes near its liquidation."""
    names = ("one", "two")[: draw.randint(1, 2)]
    every, size = draw.choice([3, 8, 20]), draw.choice([1.0, 3.0])
    entries = [StrategyConfig(use="t:R", name=name, params={"every": every, "size": size}) for name in names]
    leverage = {name: draw.choice([1, 5, 20]) for name in NAMES.values()}
    return Config(
        strategies=tuple(entries),
        bars=BarsConfig(("1m", "5m")),
        risk=RiskConfig(max_orders_per_minute=100, max_position_notional="1000000"),
        account=AccountConfig(
            cash=draw.choice(["800", "5000", "100000"]),
            leverage=leverage,
            margin=draw.choice(["cross", "cross", "isolated"]),
        ),
        paper=PaperConfig(latency_ms=40, fill_on_touch=draw.random() < 0.3, slippage_bps=2),
        seed=draw.randint(1, 10**6),
    )


def played(events: list[Event]) -> tuple[Memory, Report, list[bool]]:
    """Return the records, the report, and when the venue followed the market trade by trade."""
    memory, collector, active = Memory(), Collector(), []
    sequencer = Sequencer(builder(), memory, memory)
    for begin in range(0, len(events), 10):
        sequencer.run(events[begin : begin + 10])
        venue = sequencer.actor("venue")
        assert isinstance(venue, SimulatedVenue)
        active.append(venue.active)
    for _, first_seq, received, derived in memory.frames:
        collector.append(first_seq, received, derived)
    collector.finish()
    assert not sequencer.failures
    return memory, report_of(collector), active


def plain(value: Any) -> Any:
    """Return a value without ids."""
    if isinstance(value, int):
        return value
    if isinstance(value, msgspec.Struct):
        named = {
            name: plain(getattr(value, name)) for name in value.__struct_fields__ if not name.endswith(IDS)
        }
        return (type(value).__name__, named)
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return _ID.sub("id", value) if isinstance(value, str) else value


def records(memory: Memory) -> list[Any]:
    """Return what happened, in order, without the paths and the states of midnights."""
    return [plain(event) for _, _, event in memory.all() if not isinstance(event, PathReached | DayOpened)]


def compare(seed: int) -> tuple[Memory, Memory]:
    draw = Random(seed)
    rules = MarketRules(stated=True, leverage_max=20, tiers=TIERS if draw.random() < 0.5 else ())
    events = inputs(seed, settings(draw), rules)
    short, report, active = played(events)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Candles, "_outlook", lambda *_: UNSAFE)
        whole, expected, followed = played(events)
    found, right = records(short), records(whole)
    for one, other in zip(found, right, strict=False):
        assert one == other
    assert len(found) == len(right)
    assert plain(report) == plain(expected)
    assert active == followed
    return short, whole


@examples(0.2)
@given(st.integers(0, 2**32))
@example(3)
def test_random_sessions_are_the_same_with_every_candle_led_along(seed: int) -> None:
    compare(seed)


def test_these_sessions_have_fills_trails_margin_calls_and_liquidations_and_most_candles_pass() -> None:
    """Else the comparison would show nothing."""
    seen: Counter[type[Event]] = Counter()
    led: Counter[str] = Counter()
    for seed in range(10):
        for name, memory in zip(("short", "whole"), compare(seed), strict=True):
            led[name] += len(memory.events(PathReached))
        seen.update(type(event) for _, _, event in memory.all())
    assert min(seen[kind] for kind in (OrderFilled, TrailChanged, MarginCalled, Liquidated)) > 1
    assert 0 < led["short"] < 0.7 * led["whole"]
