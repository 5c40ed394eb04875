"""A trade that came damaged is read again although its stream has proved nothing beyond it."""

from __future__ import annotations

from typing import Any

import trio

from adapters.transport.health import FeedLimits

from .truth import Truth
from .venue import row, scene, trades_text


async def test_the_newest_trade_is_read_again_when_it_came_damaged(autojump_clock: Any) -> None:
    """In a quiet market no later message shows that the stream is past it."""
    limits = FeedLimits(window_ns=60_000_000_000)
    async with scene(info=Truth, limits=limits) as play:
        await play.live()
        now_ms = round(trio.current_time() * 1000)
        await play.venue.trade(row(1, ms=now_ms))
        await trio.sleep(5)
        damaged = row(2, ms=round(trio.current_time() * 1000))
        play.venue.trades["BTC"].append(damaged)
        await play.venue.say(trades_text([{**damaged, "sz": "0"}]), kind="trades", coin="BTC")
        await trio.sleep(3)
        assert play.engine.trade_ids == [1, 2]
        assert play.engine.gaps[-1].closed
