"""What others do on the account of a session with real orders: the books follow, and nothing is doubled."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from trio.testing import MockClock

from engine.events import BookAdjusted, FillBooked, MarketHalted, PositionDiffers
from engine.runtime.live import Live
from tests.live.kit import of
from tests.live.stage import books, fills, orders, staged


async def test_three_fills_of_somebody_else_leave_a_target_that_is_kept(
    paced_clock: MockClock, tmp_path: Path
) -> None:
    """Sold by hand three times 0.01: the target of 0 closes what is left, and no more."""
    async with staged() as stage:

        async def script(live: Live) -> None:
            await stage.signal(1)
            for _ in range(3):
                await stage.others("sell", "0.01")
            assert await stage.position() == Decimal("0.97")
            await stage.signal(2)
            assert await stage.position() == 0

        result = await stage.trade(tmp_path, {"Long": "1: target 1; 2: target 0"}, script)
        assert await stage.open_orders() == []
    assert result.positions == []
    assert books(tmp_path) == {}
    assert [size for _, size, _ in fills(tmp_path)] == [
        Decimal(1),
        *[Decimal("-0.01")] * 3,
        Decimal("-0.97"),
    ]
    assert [one.external for one in of(FillBooked, tmp_path)] == [False, True, True, True, False]
    assert [(one.owner, one.before, one.after, one.account, one.venue) for one in of(BookAdjusted, tmp_path)][
        :1
    ] == [("Long", 1000, 990, 990, 990)]
    assert not of(MarketHalted, tmp_path)
    assert not of(PositionDiffers, tmp_path)
    assert len(orders(tmp_path)) == 2
