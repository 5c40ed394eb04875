"""Where the gap of an interruption begins that is longer than the loss of an instrument's own stream."""

from __future__ import annotations

from typing import Any

import trio

from adapters.transport.context import FeedContext
from adapters.transport.gaps import GapHost, GapTracker, Pieces
from adapters.transport.governor import Governor, Limits, Rate
from adapters.transport.health import FeedHealth, FeedLimits
from adapters.transport.numbered import follows
from adapters.transport.trades import TradeMemory
from engine.events import Event, FeedGap, InstrumentListed, Trade
from engine.values import BUY
from tests.hyperliquid.venue import TrioClock

LISTED = InstrumentListed(1, 1, "toy", "BTC", 2, 3)


def trade(number: int) -> Trade:
    return Trade(number, 1000 * number, 1, 5, 5, BUY, number)


class Stream:
    """A connection that reads no trades again."""

    backfills = 0
    reached_ns = 0

    def start_soon(self, *_: Any) -> None:
        raise AssertionError("nothing is missing")


def tracker(emitted: list[Event]) -> GapTracker:
    limits = Limits(Rate(100), Rate(5, per_s=1), Rate(300, per_s=300), 10, 100, 10)
    health = FeedHealth()
    context = FeedContext(
        *(TrioClock(), lambda: 0.5, FeedLimits(), health, Governor(limits), "toy"),
        lambda *events: emitted.extend(events),
        trio.lowlevel.checkpoint,
    )
    host = GapHost(lambda *_: None, lambda *_: None)
    made = GapTracker(context, LISTED, TradeMemory(health, 0), None, host, follows)
    made.receive([[trade(1)]], 1000, Stream())
    emitted.clear()
    return made


def gaps(pieces: Pieces, *, since_ns: int, lost: bool) -> tuple[bool, list[tuple[int, int, bool]]]:
    """Return whether a gap was still to follow, and the gaps."""
    emitted: list[Event] = []
    made = tracker(emitted)
    made.receive([[trade(2), trade(3)]], 3000, Stream())
    if lost:
        made.lose()
    follows_still = made.doubt_since(since_ns)
    made.receive(pieces, 9000, Stream())
    found = [one for one in emitted if isinstance(one, FeedGap)]
    return follows_still, [(one.from_ns, one.to_ns, one.closed) for one in found]


async def test_a_gap_begins_where_the_feed_was_interrupted_though_its_own_trades_came_on(
    autojump_clock: Any,
) -> None:
    """The books' connection was lost after trade 1, the trades' own after trade 3."""
    assert gaps([[trade(4)]], since_ns=1000, lost=True) == (True, [(1000, 9000, True)])
    assert gaps([[trade(6)]], since_ns=1000, lost=True)[1][0] == (1000, 3000, True), "before the hole"
    assert gaps([[trade(4)]], since_ns=1000, lost=False) == (False, [])


class Late(Stream):
    """A connection that is known to have delivered what the venue sent before 2500."""

    reached_ns = 2500


async def test_what_was_damaged_after_a_loss_is_in_the_gap_that_is_read(autojump_clock: Any) -> None:
    """What a late stream has not come to yet it delivers itself, but not what it delivered damaged."""
    emitted: list[Event] = []
    made = tracker(emitted)

    async def recent(_: InstrumentListed) -> Pieces:
        await trio.lowlevel.checkpoint()
        return [[trade(1), trade(2), trade(3)]]

    made._recent = recent
    for damaged, expected in ((True, [2, 3]), (False, [2])):
        made.memory = TradeMemory(FeedHealth(), 0)
        made.receive([[trade(1)]], 1000, Stream())
        emitted.clear()
        made.lose()
        if damaged:
            made.damage(Late())  # the message had trade 3
        await made.check_if_silent(Late())
        assert [one.trade_id for one in emitted if isinstance(one, Trade)] == expected
        assert [one.closed for one in emitted if isinstance(one, FeedGap)] == [True]
