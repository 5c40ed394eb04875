"""A session on Kraken's protocol of the local exchange, under faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.exchange.market_data import check_venue, run, staged
from tests.profiles import pick


async def test_minutes_under_faults_lose_and_double_nothing_and_replay_identical(
    tmp_path: Path, paced_clock: Any
) -> None:
    async with staged(["kraken"]) as stage:
        events = await run(stage, tmp_path / "j", ("book", "ohlc"), market_s=pick(90, deep=600))
        check_venue(stage, events)
