"""The history of a live session: closed candles are sent once, and a failed read is repeated later."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from adapters.transport.keeper import HistoryKeeper
from engine.errors import VenueUnreachable
from engine.events import CandleRead, Event, FundingRead
from tests.hyperliquid.venue import START_NS, TrioClock

MINUTE_NS = 60 * 10**9


def candle(number: int, now_ns: int) -> CandleRead:
    start_ns = START_NS + number * MINUTE_NS
    end_ns = start_ns + MINUTE_NS
    return CandleRead(now_ns, end_ns, 1, MINUTE_NS, start_ns, 1, 1, 1, 1, 1, 1, "history")


async def test_closed_candles_are_sent_once_and_read_again_after_a_failure(autojump_clock) -> None:
    asked: list[int] = []
    sent: list[Event] = []

    async def read(period_ns: int, now_ns: int) -> Sequence[CandleRead | FundingRead]:
        asked.append((now_ns - START_NS) // MINUTE_NS)
        assert period_ns == 5 * MINUTE_NS
        if len(asked) == 2:
            raise VenueUnreachable("down")
        rate = FundingRead(now_ns, START_NS, 1, 10, 1, 1)
        return [*(candle(number, now_ns) for number in range(asked[-1])), rate]

    async def send(events: list[Event]) -> None:
        sent.extend(events)

    keeper = HistoryKeeper(read, TrioClock(), send, minutes=5)
    with trio.move_on_after(12 * 60):
        await keeper.run()
    assert asked == [0, 5, 10]
    assert [type(one) for one in sent] == [FundingRead] + [CandleRead] * 10
    assert [one.start_ns for one in sent if isinstance(one, CandleRead)] == [
        START_NS + number * MINUTE_NS for number in range(10)
    ]
