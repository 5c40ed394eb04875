"""One session of several venues on their sandboxes: what happens to one venue is no matter of the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trio

from engine.events import BarClosed, FeedDamaged, FeedDown, FeedGap, InstrumentListed
from tests.exchange.market_data import FAULTS, VISIBLE, check_bars, check_trades, losses, run, staged
from tests.profiles import pick

CHANNELS = ("book", "ohlc", "order_book", "market_stats", "candle", "depth", "kline")


async def test_three_venues_under_faults_lose_and_double_nothing_and_replay_identical(
    tmp_path: Path, paced_clock: Any
) -> None:
    faults = {"kraken": FAULTS, "lighter": VISIBLE, "binance": FAULTS}
    async with staged(list(faults), faults, instruments=("BTC",)) as stage:
        events = await run(stage, tmp_path / "j", CHANNELS, market_s=pick(70, deep=600))
        check_trades(stage, events)
        whole, _ = check_bars(stage, events)
    assert whole
    assert losses(events)


async def test_lost_connections_of_one_venue_concern_its_instruments_only(
    tmp_path: Path, paced_clock: Any
) -> None:
    async with staged(["kraken", "coinbase", "apex"], "", instruments=("BTC",)) as stage:

        async def cut() -> None:
            await trio.sleep(2.5)
            stage.exchanges["coinbase"].drop_connections()
            await trio.sleep(2.5)

        events = await run(stage, tmp_path / "j", ("book", "level2", "orderBook200"), market_s=70, script=cut)
        check_trades(stage, events)
        check_bars(stage, events)
    numbers = {one.instrument: one.venue for one in events if isinstance(one, InstrumentListed)}
    assert {one.feed for one in events if isinstance(one, FeedDown)} == {"coinbase"}
    assert {numbers[one.instrument] for one in events if isinstance(one, FeedGap)} == {"coinbase"}
    assert not [one for one in events if isinstance(one, FeedDamaged)]
    begun: set[int] = set()
    for bar in [one for one in events if isinstance(one, BarClosed)]:
        if bar.instrument in begun and numbers[bar.instrument] != "coinbase":
            assert not bar.incomplete, bar.because
        begun.add(bar.instrument)
