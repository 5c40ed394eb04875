"""Hours of a bad network (a day in the deep profile): reconnects leave no tasks, descriptors or objects."""

from __future__ import annotations

import gc
import random
from pathlib import Path
from typing import Any

import trio

from adapters.transport.health import FeedLimits
from engine.config import DataConfig
from engine.events import CandleRead, FeedPolling, Trade
from tests.profiles import pick

from .truth import Truth, now_ms
from .venue import BTC, ETH, START_MS, Venue, row, scene

DAY_S = pick(3, deep=24) * 3600
LOSSES = pick(100, deep=1_000)
ROOMS = ("adapters.", "trio_websocket", "wsproto")
LEFT = (trio.Nursery, trio.Event, trio.CancelScope)


def living() -> int:
    """Return the number of live objects of the types that belong to connections and feeds."""
    gc.collect()
    kinds = [type(thing) for thing in gc.get_objects()]
    return sum(kind in LEFT or str(kind.__module__).startswith(ROOMS) for kind in kinds)


def descriptors() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


async def test_n20_q05_a_day_of_reconnects_leaves_nothing_behind(autojump_clock) -> None:
    """N20, Q05: tasks, descriptors and objects return to the baseline; missing trades are in gaps."""
    chance = random.Random(20)
    worlds: list[Truth] = []

    def info(venue: Venue) -> Truth:
        worlds.append(Truth(venue, reach=100))
        return worlds[0]

    data = DataConfig(channels=("l2BookFast", "candle", "activeAssetCtx", "allMids"))
    limits = FeedLimits(subscriptions_max=8)
    async with scene(
        instruments=(BTC, ETH), info=info, data=data, intervals=("1m", "5m"), limits=limits
    ) as play:
        await play.live()
        baseline: tuple[int, ...] = ()
        traded = {"BTC": 0, "ETH": 0}

        def state() -> tuple[int, ...]:
            return trio.lowlevel.current_statistics().tasks_living, descriptors(), living()

        for loss in range(LOSSES):
            began = trio.current_time()
            for coin in traded:
                traded[coin] += 1
                await play.venue.trade(row(traded[coin], coin=coin, ms=now_ms() - START_MS))
            await play.settle()
            if loss == 50:
                await trio.sleep(400)
                baseline = state()
            if loss % 20 == 19:
                play.venue.refuse = lambda _: OSError("down")
            await play.venue.drop()
            await play.until(lambda: not play.feed.health.live)
            if loss % 20 == 19:
                await trio.sleep(chance.choice((20, 50)))
                play.venue.refuse = None
            coin = chance.choice(("BTC", "ETH"))
            traded[coin] += 1
            play.venue.trades[coin].append(row(traded[coin], coin=coin, ms=now_ms() - START_MS))
            play.venue.trades[coin] = play.venue.trades[coin][-500:]
            await play.until(lambda: play.feed.health.live)
            await trio.sleep(max(1.0, DAY_S / LOSSES - (trio.current_time() - began)))
        await trio.sleep(400)
        assert state()[:2] == baseline[:2]
        assert state()[2] <= baseline[2] + 5  # a reading more may be remembered
        assert trio.current_time() > DAY_S
        emitted: dict[int, list[Any]] = {1: [], 2: []}
        for trade in play.engine.of(Trade):
            emitted[trade.instrument].append(trade.trade_id - 10**12)
        assert emitted == {1: list(range(1, traded["BTC"] + 1)), 2: list(range(1, traded["ETH"] + 1))}
        assert len(play.engine.downs) >= LOSSES
        assert all(gap.closed for gap in play.engine.gaps)
        polls = [polling.active for polling in play.engine.of(FeedPolling)]
        assert polls == [True, False] * (len(polls) // 2)
        assert len(polls) >= LOSSES // 50
        assert any(candle.purpose == "check" for candle in play.engine.of(CandleRead))
        budget = play.feed.governor.budget()
        assert budget.connections_open == len(play.venue.sockets) == 2
        assert budget.subscriptions == play.engine.ups[-1].subscriptions
        assert budget.waiting == 0
