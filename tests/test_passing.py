"""Trades that are passed on many at a time lead to what they lead to one by one (`engine/passing.py`)."""

from __future__ import annotations

from operator import length_hint
from random import Random
from typing import Any
from unittest.mock import patch

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from engine import passing
from engine.clock import SECOND_NS
from engine.config import Config, RiskConfig, StrategyConfig
from engine.events import Event, Quote, Trade
from engine.passing import Passing
from engine.sequencer import Sequencer
from engine.values import BUY, SELL
from tests.profiles import examples
from tests.replay.kit import EVE, Memory, batches, config_of, opening, stopped, use
from tests.strategies.fakes import builder

MS = 1_000_000


def tape(random: Random, count: int) -> list[Event]:
    """Return trades and a few quotes around a midnight: mostly in order, of one instrument at a time."""
    at_ns, instrument, price = EVE, 1, 10_000
    found: list[Event] = []
    for number in range(1, count + 1):
        at_ns += random.choice((0, 0, 1, 20, 90, 90, 400)) * MS
        if random.random() < 0.03:
            instrument = 3 - instrument
        price += random.randint(-9, 9)
        venue_ns = at_ns - (random.randint(0, 3_000) * MS if random.random() < 0.02 else 0)
        recv_ns = at_ns - (random.choice((SECOND_NS, 30 * MS)) if random.random() < 0.02 else 0)
        trade_id = number - (random.randint(1, 5) if random.random() < 0.05 else 0)
        side = random.choice((BUY, SELL, 0))
        found.append(Trade(recv_ns, venue_ns, instrument, price, random.randint(1, 500), side, trade_id))
        if random.random() < 0.01:
            found.append(Quote(at_ns, at_ns, instrument, price - 1, 500, price + 1, 500))
    return found


def setting(random: Random) -> Config:
    """Return a configuration: strategies that act, fail, protect or only look."""
    seldom = {"every": random.choice((2, 9, 40)), "fail_at": random.choice((0, 0, 120))}
    rarely = {"every": random.choice((25, 70))}
    kinds: list[StrategyConfig] = [
        use("Seldom", name="A", params=seldom, on_failure="quarantine"),
        use("Seldom", name="B", params=rarely),
        use("Crossover", params={"fast": 2, "slow": 3, "interval": "5s"}),
    ]
    config = config_of(*random.sample(kinds, random.randint(1, 3)), latency_ms=random.choice((0, 40)))
    if random.random() < 0.3:
        config = msgspec.structs.replace(config, risk=RiskConfig(max_daily_loss="50"))
    return config


class Counting(Passing):
    """Counts the trades that are passed on."""

    count = 0

    def run(self, inputs: list[Event], source: Any, now_ns: int, due_ns: int, out: list[Any]) -> int:
        before = length_hint(source)
        try:
            return super().run(inputs, source, now_ns, due_ns, out)
        finally:
            Counting.count += before - length_hint(source)


class Waiting(Passing):
    """Passes nothing on."""

    def run(self, inputs: list[Event], source: Any, now_ns: int, due_ns: int, out: list[Any]) -> int:
        return now_ns


def outcome(kind: type[Passing], inputs: list[Event], cuts: list[int]) -> tuple[bytes, int, int]:
    """Return the records, the clock, and how often it was set back."""
    memory = Memory()
    with patch("engine.registry.Passing", kind):
        sequencer = Sequencer(builder(), memory, memory)
    for batch in batches(inputs, cuts):
        sequencer.run(batch)
    return memory.bytes(), sequencer.now_ns, sequencer.clock_steps_back


@examples(0.6)
@given(
    seed=st.integers(0, 2**32), cuts=st.lists(st.integers(1, 700), max_size=4), few=st.sampled_from([1, 8])
)
@example(seed=3, cuts=[], few=1)
def test_the_records_are_those_of_trades_one_by_one(seed: int, cuts: list[int], few: int) -> None:
    random = Random(seed)
    config = setting(random)
    inputs = [*opening(config, EVE), *tape(random, 600)]
    inputs[1] = msgspec.structs.replace(inputs[1], ids="sequence")
    inputs.append(stopped(max(event.recv_ns for event in inputs) + SECOND_NS))  # type: ignore[attr-defined]
    Counting.count = 0
    with patch.object(passing, "_FEW", few):
        many = outcome(Counting, inputs, cuts)
    assert many == outcome(Waiting, inputs, [])
    if few == 1 and not cuts:
        assert Counting.count > 20
