"""A live session continues a journal whose newest day opens with the state of an older version (R08)."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio
from trio.abc import Clock

from engine.clock import DAY_NS
from engine.events import FeedUp, InstrumentListed
from engine.loading.modules import own_modules
from engine.loading.strategies import make_builder
from engine.ports import Edge
from engine.records import open_day, read_records
from engine.runtime.ingress import Ingress
from engine.runtime.live import Live
from engine.runtime.notices import Notice
from engine.runtime.plan import LivePlan
from engine.venue import LastTrades
from replay.verification import replay_day
from tests.pacing import pacing
from tests.replay.kit import EVE, listings
from tests.replay.projects import CONFIG, edit, make_project, record_days
from tests.runtime.kit import Counting, TestClock

RESET = "strategy Mine: reset begins without its state of an older version"
CHANGED = "strategy Mine: reset begins without its state: its code changed"
HELD = "; its book holds 0.5 AAA, 0.2 BBB"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    record_days(folder / "journal", make_project(folder / "project"))
    return folder


async def continue_journal(root: Path) -> list[str]:
    """Continue the journal with a live session that stops at once; return its reports on strategies."""
    reports: list[Notice] = []
    clock = TestClock(EVE + DAY_NS + 3600 * 1_000_000_000)

    def make_feeds(listed: Sequence[InstrumentListed], ingress: Ingress, last: LastTrades) -> list[Edge]:
        async def play() -> None:
            await ingress.send([FeedUp(clock.now_ns(), "test", 1)])
            live.stop("test")
            await trio.sleep_forever()

        return [Edge("feed", play, fatal=(Exception,))]

    plan = LivePlan(
        root=root,
        config=CONFIG,
        builder=make_builder(),
        clock=clock,
        ids=Counting(),
        instruments=[one for one in listings(0) if isinstance(one, InstrumentListed)],
        venue_events=[],
        make_feeds=make_feeds,
    )
    live = Live(plan, reports.append)
    async with pacing():
        await live.run()
    return [f"{one.name}: {one.state} {one.detail}" for one in reports if one.name.startswith("strategy")]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("import common", "import common", []),
        ("self.step\n", "self.step\n\n", [CHANGED + HELD]),
        ("last: float = 0.0", "last: float = 0.0\n    new: int = 7", [CHANGED + HELD]),
        (
            "bars: int = 0",
            "bars: str = ''",
            [f"{RESET}: mine:Count.bars was int, it is str{HELD}"],
        ),
    ],
    ids=["no edit", "source alone", "new field", "other type"],
)
async def test_a_strategy_that_starts_without_its_state_is_reported(
    recorded: Path, tmp_path: Path, old: str, new: str, expected: list[str], paced_clock: Clock
) -> None:
    shutil.copytree(recorded / "journal", tmp_path / "journal")
    project = make_project(tmp_path / "project")
    edit(project / "mine.py", old, new)
    with own_modules(project):
        assert await continue_journal(tmp_path / "journal") == expected
        # The new state is that of the next start.
        assert await continue_journal(tmp_path / "journal") == []
        newest = max(path for path in (tmp_path / "journal").iterdir() if path.is_dir())
        assert sum(1 for _ in read_records(newest)) > 0
        if expected in ([], [CHANGED + HELD]):
            assert replay_day(open_day(newest), make_builder())[0].identical
