"""The whole engine in a simulated world (`docs/reliability.md`): a few seeds each time, many under `deep`."""

from __future__ import annotations

from collections import Counter
from inspect import Parameter, iscoroutinefunction, signature
from typing import Any

import msgspec
import pytest
import trio

from adapters.transport import proof
from engine.runtime import live
from tests.profiles import pick
from tests.simulation.faults import Faults
from tests.simulation.pace import LOOK_S, Pace, paced
from tests.simulation.planted import PLANTED, Planted, find
from tests.simulation.report import Figures, figures_of
from tests.simulation.scenario import COUNTED, KINDS, STORED, Scenario, draw, draw_day, never_happened
from tests.simulation.shrink import shrink
from tests.simulation.simulation import simulate

FIRST_SEED = 1000
PARTS = pick(2, deep=15)
SEEDS_OF_A_PART = pick(1, deep=4)
HOURS = pick(2, deep=5) / 10
PER_HOUR = 110.0

TWO_PARTS = pick(1, deep=15)
FIRST_OF_TWO = 3000
HOURS_OF_TWO = pick(1, deep=5) / 10

YEAR_HOURS = 8766
YEAR_FAULTS = 100_000
YEAR_PARTS = 31
DAYS_OF_A_PART = 12
DAY_PARTS = pick(0, deep=YEAR_PARTS)
FIRST_DAY = 5000

QUICK = ("X01", "X12")
"""Planted bugs that the first seed finds."""


def test_without_faults_everything_holds_and_it_trades() -> None:
    simulation = simulate(draw(1, 0.2, per_hour=0.001))
    assert simulation.broken == []
    assert simulation.ready_s == 0.0
    assert simulation.counts["SubmitOrder"] > 10
    assert simulation.counts["fills at the venue"] > 10
    assert simulation.counts["bars complete"] > 10


@pytest.mark.parametrize("part", range(PARTS))
def test_what_must_hold_holds_whatever_fails(part: int) -> None:
    total = Figures()
    for number in range(SEEDS_OF_A_PART):
        seed = FIRST_SEED + part * SEEDS_OF_A_PART + number
        simulation = simulate(draw(seed, HOURS, per_hour=PER_HOUR))
        again = f"python -m tests.simulation.run {seed} --hours {HOURS:g} --faults {PER_HOUR:g} --shrink"
        assert simulation.broken == [], again
        total.add(figures_of(simulation))
    assert total.fired.total() > 20 * HOURS * SEEDS_OF_A_PART
    assert total.counts["orders sent"] > 0


@pytest.mark.parametrize("part", range(TWO_PARTS))
def test_what_must_hold_at_two_venues_holds_whatever_fails(part: int) -> None:
    """Each has faults of its own: one is down while the other fills, a kill comes between two sends."""
    total = Figures()
    for number in range(SEEDS_OF_A_PART):
        seed = FIRST_OF_TWO + part * SEEDS_OF_A_PART + number
        simulation = simulate(draw(seed, HOURS_OF_TWO, per_hour=PER_HOUR, venues=2))
        again = f"python -m tests.simulation.run {seed} --hours {HOURS_OF_TWO:g} --faults {PER_HOUR:g}"
        assert simulation.broken == [], f"{again} --venues 2 --shrink"
        total.add(figures_of(simulation))
        assert all(wire.orders for wire in simulation.wires)
    assert total.fired.total() > 20 * HOURS_OF_TWO * SEEDS_OF_A_PART


@pytest.mark.parametrize("part", range(DAY_PARTS))
def test_a_year_of_days_in_which_every_kind_of_fault_happens(part: int) -> None:
    """With `deep` a year, and 100,000 faults, in parts; `docs/reliability.md` has the sums."""
    total = Figures()
    for number in range(DAYS_OF_A_PART):
        seed = FIRST_DAY + part * DAYS_OF_A_PART + number
        simulation = simulate(draw_day(seed))
        assert simulation.broken == [], f"python -m tests.simulation.run {seed} --days --shrink"
        total.add(figures_of(simulation))
    assert total.hours >= -(-YEAR_HOURS // YEAR_PARTS)
    assert total.fired.total() >= -(-YEAR_FAULTS // YEAR_PARTS)
    assert never_happened(total.fired) == []


def test_the_first_busy_stretch_of_a_day_with_a_store_and_the_quiet_time_around_it() -> None:
    day = draw_day(FIRST_DAY)
    first = day.stretches[:1]
    steps = tuple(step for step in day.steps if step.at_s < first[0][1])
    simulation = simulate(msgspec.structs.replace(day, hours=0.5, stretches=first, steps=steps))
    assert simulation.broken == []
    assert simulation.fired.total() > 20
    assert simulation.machine.store is not None
    assert simulation.counts["bars complete"] > 0


def test_a_kind_of_fault_that_never_happened_is_named() -> None:
    figures = Figures(fired=Counter({COUNTED.get(kind, kind): 1 for kind in KINDS | STORED}))
    assert never_happened(figures.fired) == []
    figures.fired["bit flipped"] = 0
    assert never_happened(figures.fired) == ["bit flipped"]
    assert "kinds of faults that never happened: bit flipped" in figures.lines()


async def test_the_end_of_a_quiet_stretch_wakes_what_sleeps(autojump_clock: Any) -> None:
    pace = Pace()
    with paced(pace):
        pace.quiet()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(proof.trio.sleep, LOOK_S)  # type: ignore[attr-defined]
            await trio.sleep(1)
            await pace.busy()
    assert trio.current_time() < 10
    assert live.LOOK_S == 1.0


def test_one_seed_gives_the_same_bytes_each_time() -> None:
    scenario = draw(5, 0.1, per_hour=300)
    first, second = simulate(scenario), simulate(scenario)
    assert first.machine.disk.files() == second.machine.disk.files()
    assert first.fired == second.fired
    assert first.fired.total() > 5


@pytest.mark.parametrize(
    "bug",
    [one for one in PLANTED if one.name in QUICK or pick(0, deep=1)],
    ids=lambda bug: bug.name,
)
def test_a_planted_bug_is_found(bug: Planted) -> None:
    """X07, X13, X20 and the others of `docs/reliability.md`."""
    assert find(bug, hours=pick(1, deep=4) / 10) is not None, f"{bug.name}: {bug.words}: not found"


@pytest.mark.parametrize("bug", PLANTED, ids=lambda bug: bug.name)
def test_a_planted_bug_can_be_called_as_what_it_replaces(bug: Planted) -> None:
    """Else the call fails in place of the bug: the session goes on without it, and nothing shows."""
    for place, name, replace in bug.patches:
        original = getattr(place, name)
        made = replace(original)
        parameters = signature(original).parameters.values()
        named = {one.name: one for one in parameters if one.kind is Parameter.KEYWORD_ONLY}
        given = [one for one in parameters if one.kind is Parameter.POSITIONAL_OR_KEYWORD]
        assert len(named) + len(given) == len(parameters)
        signature(made).bind(*given, **named)
        signature(made).bind(*(one for one in given if one.default is Parameter.empty))
        assert iscoroutinefunction(made) == iscoroutinefunction(original)


def test_a_failing_scenario_is_shortened_to_what_makes_it_fail() -> None:
    scenario = draw(3, 4.0, per_hour=60)
    needed = {scenario.steps[17], scenario.steps[40]}

    def fails(shorter: Scenario) -> bool:
        return needed <= set(shorter.steps)

    shortest = shrink(scenario, fails)
    assert set(shortest.steps) == needed
    assert shortest.hours < scenario.hours
    assert msgspec.json.decode(msgspec.json.encode(shortest), type=Scenario) == shortest


def test_every_kind_of_fault_is_drawn_and_ends_before_the_scenario_does() -> None:
    drawn: Counter[str] = Counter()
    for seed in range(20):
        scenario = draw(seed, 2.0, per_hour=60)
        for step in scenario.steps:
            drawn[step.kind] += 1
            assert step.at_s + step.lasts_s < 7200
    assert set(drawn) == set(KINDS)
    assert all(hasattr(Faults, "_" + kind.replace(" ", "_")) for kind in KINDS)
