"""A venue lists another grid than at the start before: the numbers of the journal go on."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import trio
from msgspec.structs import replace
from trio.abc import Clock
from trio.testing import MockClock

from engine.config import Config
from engine.events import CandleRead, FillBooked, InstrumentListed, PositionChanged, Trade
from engine.runtime.backfill import BackfillPlan, run_backfill
from engine.runtime.numbering import numbered
from tests.runtime.kit import (
    LISTED,
    NOON,
    SECOND,
    Counting,
    TestClock,
    assert_replays,
    builder,
    config,
    events,
    of,
)
from tests.runtime.rig import Rig

FINER = replace(LISTED, price_scale=4, size_scale=5)
COARSER = replace(LISTED, price_scale=1, size_scale=1)


async def _session(root: Path, clock: TestClock, listed: InstrumentListed, at: InstrumentListed) -> None:
    """Run a session at a venue with this listing; prices and sizes come at the scales of `at`."""

    async def script(rig: Rig) -> None:
        for price in (100, 101, 102, 103):
            await trio.sleep(1)
            now, price_unit, size = clock.now_ns(), 10**at.price_scale, 10**at.size_scale
            await rig.ingress.send([Trade(now, now, 1, price * price_unit, size, 1, now // SECOND)])
            await rig.durable()

    clock.shift_ns += 3600 * SECOND
    await Rig(root, config("Steady"), clock, instruments=[listed]).run(script)


async def test_positions_go_on_over_starts_with_finer_and_coarser_grids(
    tmp_path: Path, paced_clock: Clock
) -> None:
    clock = TestClock()
    await _session(tmp_path, clock, LISTED, LISTED)
    await _session(tmp_path, clock, FINER, FINER)
    await _session(tmp_path, clock, COARSER, FINER)
    scales = [
        (one.price_scale, one.size_scale, one.price_step, one.size_step)
        for one in of(InstrumentListed, tmp_path)
    ]
    assert scales == [(2, 3, 1, 1), (4, 5, 1, 1), (4, 5, 1000, 10_000)]
    held = Fraction(0)
    scale = 0
    for event in events(tmp_path):
        if isinstance(event, InstrumentListed):
            scale = event.size_scale
        elif isinstance(event, FillBooked):
            held += event.side * Fraction(event.size, 10**scale)
            assert Fraction(event.size, 10**scale) in (Fraction("0.5"), Fraction("0.4"), Fraction("0.1"))
        elif isinstance(event, PositionChanged):
            assert Fraction(event.size, 10**scale) == held
    assert held in (Fraction("0.1"), Fraction("0.5"))
    assert_replays(tmp_path)


def test_a_backfill_lists_what_the_venue_has_now(tmp_path: Path) -> None:
    clock = TestClock()
    found: list[list[InstrumentListed]] = []

    def fill(listed: InstrumentListed, close: int) -> None:
        async def read(given: list[InstrumentListed]):  # type: ignore[no-untyped-def]
            found.append(list(given))
            start = NOON - 3600 * SECOND
            prices = (close, close, close, close)
            yield [CandleRead(NOON, start, 1, 60 * SECOND, start, *prices, 1, 1, "history")]

        plan = BackfillPlan(tmp_path, Config(strategies=()), builder(), clock, Counting(), [listed])
        trio.run(run_backfill, plan, read, clock=MockClock())

    fill(LISTED, 10_000)
    fill(FINER, 1_000_000)
    fill(COARSER, 1_000_000)
    assert [(one.price_scale, one.price_step) for (one,) in found] == [(2, 1), (4, 1), (4, 1000)]
    assert len(of(InstrumentListed, tmp_path)) == 3
    assert_replays(tmp_path)


def test_only_what_is_new_or_changed_is_recorded() -> None:
    other = replace(LISTED, name="BBB")
    first, fresh = numbered([LISTED, other], {}, 5)
    assert [(one.name, one.instrument, one.recv_ns) for one in first] == [("AAA", 1, 5), ("BBB", 2, 5)]
    assert fresh == first
    in_force = {one.instrument: one for one in first}
    again, fresh = numbered([other, replace(LISTED, price_step=5), replace(LISTED, venue="x")], in_force, 9)
    assert [(one.key, one.instrument) for one in again] == [("test:BBB", 2), ("test:AAA", 1), ("x:AAA", 3)]
    assert [one.key for one in fresh] == ["test:AAA", "x:AAA"]
