"""A strategy whose state cannot be stored fails within one bar, with the attribute and its lines."""

from __future__ import annotations

import inspect

import pytest

from engine.clock import SECOND_NS
from engine.events import ActorFailed, BarClosed, Trade
from engine.strategies.places import lines_of
from tests.replay.kit import DAY, NOON, Memory, assert_replays_alone, config_of, opening, run, steady, use
from tests.strategies.fakes import Spoiled, SpoiledOnBars


def line_of(words: str) -> int:
    """Return the line of `Spoiled` that has these words."""
    lines, first = inspect.getsourcelines(Spoiled)
    return first + next(number for number, line in enumerate(lines) if words in line)


def play(cls: type[Spoiled], way: str, count: int = 200) -> Memory:
    entry = use(cls.__name__, name="mine", params={"way": way}, on_failure="quarantine")
    return run(opening(config_of(entry), NOON) + steady(count, NOON))


@pytest.mark.parametrize("cls", [Spoiled, SpoiledOnBars])
@pytest.mark.parametrize(
    ("way", "words", "spoils"),
    [
        ("attribute", "UsageError: mine.kept is a method, which a snapshot cannot store: ", "# spoils kept"),
        ("inside", "UsageError: mine.past.AAA is a object, which a snapshot cannot store: ", "# spoils past"),
        ("target", "UsageError: self.target: the base class Strategy has this name; choose another", ""),
    ],
)
def test_it_fails_at_the_next_bar_of_the_shortest_interval(
    cls: type[Spoiled], way: str, words: str, spoils: str
) -> None:
    memory = play(cls, way)
    (failed,) = memory.events(ActorFailed)
    records = {seq: event for seq, _, event in memory.all()}
    at = [seq for seq, event in records.items() if isinstance(event, Trade)][Spoiled.at - 1]
    bars = [seq for seq, event in records.items() if isinstance(event, BarClosed) and seq > at]
    ends = [records[seq].start_ns + records[seq].interval_ns for seq in bars]  # type: ignore[attr-defined]
    assert failed.seq in bars
    assert ends[bars.index(failed.seq)] - records[at].venue_ns <= SECOND_NS  # type: ignore[attr-defined]
    assert failed.error.startswith(words)
    if spoils:
        assert f"fakes.py:{line_of(spoils)}" in failed.error
    assert_replays_alone(memory, DAY)


def test_a_state_that_can_be_stored_does_not_fail() -> None:
    assert not play(SpoiledOnBars, "name").events(ActorFailed)


def test_the_lines_of_an_attribute_are_those_that_set_it() -> None:
    shown = f"{Spoiled.__module__.replace('.', '/')}.py"
    begun, spoiled = line_of("self.kept: Any = None"), line_of("# spoils kept")
    assert lines_of("kept", SpoiledOnBars) == f" ({shown}:{begun}, {shown}:{spoiled})"
    assert lines_of("past", SpoiledOnBars, inside=True) == f" ({shown}:{line_of('# spoils past')})"
    assert lines_of("unknown", SpoiledOnBars) == ""
