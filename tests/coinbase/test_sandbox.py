"""A session on Coinbase's protocol of the local exchange, under faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.events import FeedDamaged
from tests.exchange.market_data import check_venue, run, staged
from tests.profiles import pick


async def test_minutes_under_faults_lose_and_double_nothing_and_replay_identical(
    tmp_path: Path, paced_clock: Any
) -> None:
    async with staged(["coinbase"]) as stage:
        events = await run(stage, tmp_path / "j", ("level2", "candles"), market_s=pick(90, deep=600))
        check_venue(stage, events)
    assert any(isinstance(one, FeedDamaged) and "messages of the connection" in one.reason for one in events)
