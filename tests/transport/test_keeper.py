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


async def test_closed_candles_are_sent_once_and_what_came_while_a_reading_failed_too(autojump_clock) -> None:
    asked: list[tuple[int, int]] = []
    sent: list[Event] = []
    late = 3
    """The candle of this minute is published after 12 minutes."""

    async def read(since_ns: int, now_ns: int, odd: object) -> Sequence[CandleRead | FundingRead]:
        since, now = ((at - START_NS) // MINUTE_NS for at in (since_ns, now_ns))
        asked.append((since, now))
        if now in (10, 15):
            raise VenueUnreachable("down")
        rate = FundingRead(now_ns, START_NS, 1, 10, 1, 1)
        minutes = [number for number in range(max(0, since), now) if number != late or now > 12]
        return [*(candle(number, now_ns) for number in minutes), rate]

    async def send(events: list[Event]) -> None:
        sent.extend(events)

    keeper = HistoryKeeper(read, TrioClock(), send, minutes=5)
    with trio.move_on_after(22 * 60):
        await keeper.run()
    # Each reading begins an hour before the end of the last one that succeeded.
    assert asked == [(-65, 0), (-60, 5), (-55, 10), (-55, 15), (-55, 20)]
    assert [type(one) for one in sent] == [FundingRead] + [CandleRead] * 20
    minutes = [(one.start_ns - START_NS) // MINUTE_NS for one in sent if isinstance(one, CandleRead)]
    assert minutes == [0, 1, 2, 4, 3, *range(5, 20)]
    assert str(keeper) == "3 readings, 2 failed: down"


async def test_an_outage_longer_than_any_period_loses_nothing(autojump_clock) -> None:
    sent: list[Event] = []

    async def read(since_ns: int, now_ns: int, odd: object) -> Sequence[CandleRead | FundingRead]:
        since, now = ((at - START_NS) // MINUTE_NS for at in (since_ns, now_ns))
        if 10 < now < 500:
            raise VenueUnreachable("down")
        return [candle(number, now_ns) for number in range(max(0, since), now)]

    async def send(events: list[Event]) -> None:
        sent.extend(events)

    with trio.move_on_after(502 * 60):
        await HistoryKeeper(read, TrioClock(), send, minutes=5).run()
    minutes = [(one.start_ns - START_NS) // MINUTE_NS for one in sent if isinstance(one, CandleRead)]
    assert minutes == list(range(500))


async def test_a_window_that_one_reading_lacks_is_not_sent_twice(autojump_clock) -> None:
    sent: list[Event] = []

    async def read(since_ns: int, now_ns: int, odd: object) -> Sequence[CandleRead | FundingRead]:
        since, now = ((at - START_NS) // MINUTE_NS for at in (since_ns, now_ns))
        return [candle(number, now_ns) for number in range(max(0, since), now) if (number, now) != (3, 10)]

    async def send(events: list[Event]) -> None:
        sent.extend(events)

    with trio.move_on_after(300 * 60):
        await HistoryKeeper(read, TrioClock(), send, minutes=5).run()
    minutes = [(one.start_ns - START_NS) // MINUTE_NS for one in sent if isinstance(one, CandleRead)]
    assert minutes == list(range(len(minutes)))
