"""Every channel and request against the sandbox exchange over real sockets."""

from __future__ import annotations

import trio
from trio.abc import Clock

from adapters.hyperliquid.feed import HyperliquidFeed
from adapters.hyperliquid.history import warmup
from adapters.hyperliquid.info import HyperliquidInfo
from adapters.hyperliquid.limits import LIMITS
from adapters.hyperliquid.listing import list_instruments
from adapters.transport.governor import Governor
from engine.clock import AdoptedClock, SystemClock
from engine.config import DataConfig
from engine.events import BookRead, CandleRead, ContextRead, Event, FeedUp, MidsRead, Quote, Trade
from engine.values import parse_interval

from .test_against_sandbox import MS, sandbox_of, until

SPEED = 200.0


async def test_every_channel_of_a_running_market_is_emitted(paced_clock: Clock) -> None:
    """A generated market at 200 times real time: trades, quote, books, closed candles, contexts, mids."""
    events: list[Event] = []
    governor = Governor(LIMITS)

    async def send(batch: list[Event]) -> None:
        events.extend(batch)

    def some(kind: type[Event]) -> int:
        return sum(isinstance(event, kind) for event in events)

    async with (
        sandbox_of(None, speed=SPEED, clock="now", instruments=("BTC",)) as (_, address),
        HyperliquidInfo(address.base_url, governor=governor) as info,
    ):
        meta = await info.meta()
        status = await info.exchange_status()
        clock = AdoptedClock(status.time * MS, SystemClock().monotonic_ns(), status.speed or 1.0)
        listed = list_instruments(meta, 0, ["BTC"], loopback=True)
        feed = HyperliquidFeed(
            name="hyperliquid",
            base_url=address.base_url,
            instruments=listed,
            clock=clock,
            jitter=lambda: 0.0,
            send=send,
            since_ns=clock.now_ns(),
            info=info,
            data=DataConfig(channels=("l2BookFast", "candle", "activeAssetCtx", "allMids")),
            intervals=("1m", "5m"),
            governor=governor,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(feed.run)
            await until(
                lambda: all(some(kind) for kind in (FeedUp, Trade, Quote, BookRead, ContextRead, MidsRead))
            )
            await until(lambda: some(CandleRead) >= 3)
            nursery.cancel_scope.cancel()
        candles = await warmup(info, listed, ("1m",), 2, clock.now_ns(), [].append)
    assert feed.health.frames_refused == 0
    assert feed.health.losses == 0
    ups = [event for event in events if isinstance(event, FeedUp)]
    assert [up.subscriptions for up in ups] == [7]
    pushed = [event for event in events if isinstance(event, CandleRead)]
    assert {candle.purpose for candle in pushed} == {"stream"}
    assert len(candles) == 2
    for candle in candles:
        same = [
            one
            for one in pushed
            if one.venue_ns == candle.venue_ns and one.interval_ns == parse_interval("1m")
        ]
        assert all((one.open, one.volume) == (candle.open, candle.volume) for one in same)
    assert governor.budget().weight > 40
    assert governor.budget().connections_open == 0
