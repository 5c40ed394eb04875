"""History that a live session keeps up to date: each window is read once, and the day replays identical."""

from __future__ import annotations

from pathlib import Path

import msgspec
import trio
from trio.abc import Clock

from engine.config import DataConfig
from engine.events import CandleRead, FundingRead
from engine.runtime.live import Live
from tests.live.kit import assert_replays, config, of, serving, trade


async def test_closed_candles_and_rates_are_read_once_while_a_session_trades(
    paced_clock: Clock, tmp_path: Path
) -> None:
    data = DataConfig(warmup_bars=5, backfill_minutes=1, check_minutes=0)
    settings = msgspec.structs.replace(config("tests.live.traders:Quiet"), data=data)

    async def script(live: Live) -> None:
        await trio.sleep(5)

    async with serving(speed=60.0, history_s=1800.0) as venue:
        await trade(tmp_path, venue, settings, script)
    history = [one for one in of(CandleRead, tmp_path) if one.purpose == "history"]
    windows = [(one.instrument, one.interval_ns, one.start_ns) for one in history]
    # The warm-up, which is read first, may contain some of these windows too.
    assert len(windows) <= len(set(windows)) + 10
    assert len(set(windows)) >= 2 * (5 + 3)
    rates = [(one.instrument, one.venue_ns) for one in of(FundingRead, tmp_path)]
    assert len(rates) == len(set(rates))
    assert_replays(tmp_path)
