"""Real orders on the sandbox, end to end: the journal and the venue agree, and the day replays identical."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.abc import Clock

from engine.events import AccountRead, GatewayUp, OrderChanged, OrderFilled, PositionDiffers, SubmitOrder
from engine.runtime.live import Live
from tests.live.kit import assert_agrees, bars_against_candles, config, of, serving, trade


@pytest.mark.parametrize("transport", ["rest", "post"])
async def test_orders_are_placed_filled_and_canceled_and_the_day_replays(
    paced_clock: Clock, tmp_path: Path, transport: str
) -> None:
    async def script(live: Live) -> None:
        await trio.sleep(8)

    async with serving(speed=20.0) as venue:
        result = await trade(tmp_path, venue, config(transport=transport), script)
        assert result.live_orders == 0
        await assert_agrees(tmp_path, venue)
        whole, _ = await bars_against_candles(tmp_path, venue)
    assert of(GatewayUp, tmp_path)
    assert of(AccountRead, tmp_path)
    assert not of(PositionDiffers, tmp_path)
    assert len(of(SubmitOrder, tmp_path)) > 10
    assert len(of(OrderFilled, tmp_path)) > 5
    states = {one.state for one in of(OrderChanged, tmp_path)}
    assert {"New", "Filled", "Canceled"} <= states
    assert whole > 0
