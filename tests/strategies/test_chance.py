"""`self.random` draws the same numbers in every run, on every machine, across snapshots."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.events import SignalRaised
from engine.snapshot import classes_of
from engine.states import decode_state, encode_state
from engine.strategies import Strategy
from engine.strategies.actor import StrategyActor
from engine.strategies.chance import Random, seeded
from tests.replay.kit import EVE, NOON, Memory, assert_replays_alone, config_of, opening, run, steady, use
from tests.strategies.fakes import Gambler

ROOT = Path(__file__).resolve().parents[2]


def drawn(memory: Memory, name: str) -> list[float]:
    """Return the numbers that a strategy of a session drew."""
    return [one.value for one in memory.events(SignalRaised) if one.strategy == name]


# The generator.


def test_the_generator_is_splitmix64() -> None:
    """The first values for seed 1234567, as published with the reference implementation."""
    source = Random(1234567)
    assert [source.bits() for _ in range(5)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@given(st.integers(0, 2**64 - 1), st.integers(-(10**20), 10**20), st.integers(0, 2**64 - 2))
def test_integers_are_between_their_bounds(seed: int, low: int, span: int) -> None:
    source = Random(seed)
    assert all(low <= source.randint(low, low + span) <= low + span for _ in range(5))
    assert low == source.randint(low, low)


@given(st.integers(0, 2**64 - 1))
def test_numbers_are_below_one_and_every_side_of_a_die_comes_up(seed: int) -> None:
    source = Random(seed)
    assert all(0 <= source.random() < 1 for _ in range(20))
    faces = [source.randint(1, 6) for _ in range(600)]
    assert {faces.count(face) > 50 for face in range(1, 7)} == {True}
    values = list(range(20))
    source.shuffle(values)
    assert sorted(values) == list(range(20))
    assert source.choice(values) in values
    assert -2 <= source.uniform(-2, 3) <= 3


def test_an_empty_range_or_list_is_refused() -> None:
    for low, high in ((2, 1), (0, 2**64)):
        with pytest.raises(ValueError):
            Random(1).randint(low, high)
    with pytest.raises(IndexError):
        Random(1).choice([])


# In a strategy.


def test_seed_and_name_determine_the_generator() -> None:
    assert seeded(1, "a") == seeded(1, "a")
    assert len({seeded(seed, name).state for seed in (1, 2) for name in ("a", "b")}) == 4


def test_a_strategy_that_draws_no_numbers_has_no_generator_in_its_state() -> None:
    actor = StrategyActor(Strategy, "mine", {})
    assert actor.state()[""]["random"] is None
    assert actor.strategy.random is actor.strategy.random
    assert actor.state()[""]["random"] is actor.strategy.random


def test_a_generator_is_stored_in_a_snapshot() -> None:
    one = StrategyActor(Gambler, "mine", {}, seed=5)
    one.strategy.random.random()
    classes = classes_of(one)
    other = StrategyActor(Gambler, "mine", {}, seed=5)
    other.restore(decode_state(encode_state(one.state(), "mine"), classes))
    assert [one.strategy.random.bits() for _ in range(5)] == [other.strategy.random.bits() for _ in range(5)]


def gamble(seed: int, begin_ns: int) -> Memory:
    """Run a session of two strategies that draw numbers."""
    config = config_of(use("Gambler", name="one"), use("Gambler", name="two"))
    inputs = opening(msgspec.structs.replace(config, seed=seed), begin_ns) + steady(300, begin_ns)
    return run(inputs, range(0, 400, 7))


@pytest.mark.parametrize("begin_ns", [NOON, EVE])
def test_a_session_with_random_numbers_replays_across_midnight(begin_ns: int) -> None:
    memory = gamble(1, begin_ns)
    assert memory.bytes() == gamble(1, begin_ns).bytes()
    for day in dict.fromkeys(memory.days):
        assert_replays_alone(memory, day)


def test_r07_a_list_with_two_references_is_two_lists_after_midnight_live_and_in_a_replay() -> None:
    memory = run(opening(config_of(use("Twin")), EVE) + steady(300, EVE), range(0, 400, 7))
    first, second = dict.fromkeys(memory.days)
    for day in (first, second):
        assert_replays_alone(memory, day)
    seen = drawn(memory, "Twin")
    assert seen != sorted(seen) or len(set(seen)) < len(seen), "only one of the two grows after midnight"


def test_strategies_and_sessions_with_another_seed_draw_different_numbers() -> None:
    memory, other = gamble(1, NOON), gamble(2, NOON)
    assert len(set(drawn(memory, "one"))) > 100
    assert drawn(memory, "one") != drawn(memory, "two")
    assert drawn(memory, "one") != drawn(other, "one")


def test_the_hash_seed_of_the_process_changes_nothing() -> None:
    code = "from engine.strategies.chance import seeded; print(seeded(1, 'mine').random())"
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        ).stdout
        for seed in ("0", "1", "12345")
    }
    assert len(printed) == 1
