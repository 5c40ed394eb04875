"""A live session whose strategy acts on liquidations, open interest and funding: it replays identical."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trio

from engine.config import BarsConfig, FlowConfig, StrategyConfig
from engine.events import FillBooked, LiquidationLevelsClosed, LiquidationRead, SignalRaised
from engine.values import BUY, SELL
from tests.binance.stage import events, replays, session, staged


async def test_a_strategy_acts_on_liquidations_live_and_its_day_replays(
    tmp_path: Path, paced_clock: Any
) -> None:
    root = tmp_path / "j"
    changes = {
        "strategies": (StrategyConfig(use="tests.binance.traders:Cascade"),),
        "bars": BarsConfig(intervals=("1s", "1m")),
        "flow": FlowConfig(liquidations=("1s",)),
    }
    async with staged("binance-usdm", instruments=("BTC",), speed=10) as stage:
        (market,) = stage.exchange.protocol.market.instruments

        async def script() -> None:
            for number in range(8):
                await trio.sleep(1)
                price, side = market.mark, SELL if number % 3 else BUY
                at_ns = stage.exchange.now_ms * 1_000_000
                stage.exchange.play(
                    LiquidationRead(at_ns, at_ns, market.listed.instrument, side, price, 1500)
                )
            await trio.sleep(1)

        channels = ("forceOrder", "markPrice", "openInterest")
        await session(stage, root, script, channels=channels, changes=changes)
    found = events(root)
    forced = [one for one in found if isinstance(one, LiquidationRead)]
    closed = [one for one in found if isinstance(one, LiquidationLevelsClosed)]
    assert len(forced) == 8
    assert sum(int(one.longs) + int(one.shorts) for one in closed if not one.revision) == 8 * forced[0].size
    names = {one.name for one in found if isinstance(one, SignalRaised)}
    assert names == {"part", "funding", "longs"}
    assert any(isinstance(one, FillBooked) for one in found)
    replays(root)
