"""A venue drops a client that does not read: what is missed is a gap, and nothing is lost in silence."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable

import trio
from trio.abc import Clock

from adapters.hyperliquid.feed import HyperliquidFeed
from adapters.hyperliquid.info import HyperliquidInfo
from adapters.hyperliquid.listing import list_instruments
from adapters.sandbox.server import SandboxAddress
from adapters.transport.health import FeedLimits
from engine.clock import AdoptedClock, SystemClock
from engine.events import Event, FeedDown, FeedGap, FeedUp, Trade

from .test_against_sandbox import MS, START_NS, emitted, sandbox_of, tape_of, trades, until

SMALL = FeedLimits(
    backoff_s_min=0.02,
    backoff_s_max=0.1,
    replay_s=0.2,
    frames_queued_max=4,
    pending_max=50,
    waiting_max=1000,
    ping_s=2e6,
    pong_s=1e6,  # the venue drops the connection, not the feed
)


def dial_small(address: SandboxAddress) -> Callable[[], Awaitable[trio.abc.Stream]]:
    """Return a dial whose connections hold little in the kernel."""
    port = int(address.base_url.rsplit(":", 1)[1])

    async def dial() -> trio.abc.Stream:
        end = trio.socket.socket()
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await end.connect(("127.0.0.1", port))
        return trio.SocketStream(end)

    return dial


async def test_trades_that_a_slow_reader_misses_are_in_a_gap(paced_clock: Clock) -> None:
    """While the engine takes nothing, the feed holds a bounded number of events and reads no more."""
    btc = trades(8_000, coin=1, over_ms=4000)
    events: list[Event] = []
    takes = trio.Event()
    waits = False

    async def send(batch: list[Event]) -> None:
        nonlocal waits
        events.extend(batch)
        if len(emitted(events, 1)) >= 100 and not takes.is_set():
            waits = True
            await takes.wait()

    async with (
        sandbox_of(tape_of(btc), queue_max=8) as (sandbox, address),
        HyperliquidInfo(address.base_url) as info,
    ):
        meta, status = await info.meta(), await info.exchange_status()
        feed = HyperliquidFeed(
            name="hyperliquid",
            base_url=address.base_url,
            instruments=list_instruments(meta, 0, [one.name for one in meta.universe], loopback=True),
            clock=AdoptedClock(status.time * MS, SystemClock().monotonic_ns(), 1.0),
            jitter=lambda: 0.0,
            send=send,
            since_ns=START_NS,
            recent=info.recent_trades,
            limits=SMALL,
            dial=dial_small(address),
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(feed.run)
            await until(lambda: waits)
            await until(lambda: not sandbox.connections)
            await trio.sleep(0.5)  # more than the newest trades that the venue tells
            takes.set()
            await until(
                lambda: any(one.trade_id == btc[-1].trade_id for one in events if isinstance(one, Trade))
            )
            await trio.sleep(1)
            nursery.cancel_scope.cancel()
    held_max = SMALL.pending_max + SMALL.waiting_max + 100  # and what one message brings
    assert feed.health.pending_high <= held_max
    assert [type(one) for one in events if isinstance(one, FeedUp | FeedDown)] == [FeedUp, FeedDown, FeedUp]
    (gap,) = [one for one in events if isinstance(one, FeedGap) and one.instrument == 1 and not one.closed]
    received = {one[4] for one in emitted(events, 1)}
    missed = [one for one in btc if one.trade_id not in received]
    assert missed
    assert all(gap.from_ns <= one.venue_ns <= gap.to_ns for one in missed)
