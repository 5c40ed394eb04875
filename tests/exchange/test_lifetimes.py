"""Connections that a venue ends after their lifetime: no trade is lost, and no bar is left open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from adapters.binance.sandbox.protocol import BinanceProtocol
from engine.events import BookRead, FeedDown, FeedGap, FeedUp
from tests.exchange.market_data import check_bars, check_trades, run, staged
from tests.profiles import pick


@pytest.mark.parametrize("venue", ["binance", "binance-usdm"])
async def test_a_connection_that_is_cut_at_the_end_of_its_life_leaves_no_gap(
    venue: str, tmp_path: Path, paced_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Binance cuts after 24 hours; here after 25 seconds. What was missed is read by its ids, and marked."""
    monkeypatch.setattr(BinanceProtocol, "lifetime_s", 25)
    market_s = pick(160, deep=900)
    async with staged([venue], "", instruments=("BTC",)) as stage:
        speed = stage.exchanges[venue].protocol.options.speed

        async def script() -> None:
            """Let the connections of the last 40 s live on: at the end nothing is cut while it is read."""
            await trio.sleep((market_s - 40) / speed)
            monkeypatch.setattr(BinanceProtocol, "lifetime_s", 86_400)

        found = await run(stage, tmp_path / "j", ("depth",), market_s=market_s, script=script)
        assert check_trades(stage, found) == 0, "no trade is missing"
        whole, marked = check_bars(stage, found)
    downs = [at for at, one in enumerate(found) if isinstance(one, FeedDown)]
    assert len(downs) >= 3
    assert marked <= 1, "only the bar in which the session began"
    assert whole
    for at in downs:
        rest = found[at:]
        assert any(isinstance(one, FeedUp) for one in rest)
        assert any(isinstance(one, BookRead) for one in rest), "the book is in step again"
    gaps = [one for one in found if isinstance(one, FeedGap)]
    ups = [one for one in found if isinstance(one, FeedUp)]
    assert len(gaps) >= len(ups) - 1, "every interruption is settled by name, of however many connections"
    assert all(gap.closed for gap in gaps)
