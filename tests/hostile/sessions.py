"""Sessions with real orders on a stage behind a hostile venue, and rows of an account."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import trio

from engine.events import GatewayDown, OrderFilled, OrderRejected, OrderUnknown, SubmitOrder
from engine.runtime.live import Live
from engine.runtime.plan import LiveResult
from tests.hostile.stranger import Stranger
from tests.live.kit import of
from tests.live.stage import Stage, staged

__all__ = ["MIB", "NOW_MS", "fill", "play"]

MIB = 1 << 20
NOW_MS = 1_741_179_300_000
LONG = {"Long": "1: target 1; 2: target 0"}


@asynccontextmanager
async def strange_stage() -> AsyncIterator[tuple[Stage, Stranger, Stage]]:
    """Yield the stage, the hostile venue before it, and the stage as the engine sees it."""
    async with staged() as stage, trio.open_nursery() as nursery:
        stranger = Stranger(stage)
        await nursery.start(stranger.serve)
        yield stage, stranger, Stage(stage.sandbox, stranger.base_url)
        nursery.cancel_scope.cancel()


async def play(root: Path, script: Callable[[Stage, Stranger], Awaitable[None]]) -> LiveResult:
    """Run a session with real orders against the hostile venue; nothing may be sent twice."""
    async with strange_stage() as (stage, stranger, front):

        async def run(live: Live) -> None:
            await script(stage, stranger)

        result = await front.trade(root, LONG, run)
        sent = of(SubmitOrder, root)
        cloids = [one["order"].get("cloid") for one in await stage.orders()]
        placed = [one for one in cloids if one]
        assert len(placed) == len(set(placed)) <= len(sent), "an order was placed twice"
        held = {name: size for name, size in (await stage.positions()).items() if size}
        assert sum(one.side * one.size for one in of(OrderFilled, root)) == held.get("BTC", Decimal(0)) * 1000
    assert not result.failures
    assert printable(of(OrderUnknown, root))
    assert printable(of(OrderRejected, root))
    assert printable(of(GatewayDown, root))
    return result


def printable(events: list[Any]) -> bool:
    return all(len(one.reason) <= 500 for one in events)


def fill(**members: Any) -> dict[str, Any]:
    plain = {
        "coin": "BTC",
        "px": "100",
        "sz": "1",
        "side": "B",
        "time": NOW_MS + 5000,
        "oid": 77,
        "tid": 99,
        "crossed": True,
        "fee": "0",
        "feeToken": "USDC",
        "dir": "",
        "startPosition": "0",
        "cloid": None,
    }
    return plain | members
