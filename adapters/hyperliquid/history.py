"""The venue's own candles over HTTP: all pages, closed candles only.

Owns paging and the decision which candles are closed. Promises: candles are returned oldest first, each once,
within the requested windows; a candle that may still change is left out. Called by the repairs, checks and
polls of a feed, by the history of a session, at start-up to warm indicators up, and by backfills.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from adapters.hyperliquid.channels import venue_intervals
from adapters.hyperliquid.decode import Decoder
from adapters.hyperliquid.info import HyperliquidInfo, MarketInfo
from adapters.transport.governor import Priority
from engine.clock import SECOND_NS
from engine.events import CandleRead, FundingRead, InstrumentListed
from engine.values import format_interval, parse_interval

__all__ = ["CANDLES_MAX", "read_candles", "read_closed", "warmup"]

CANDLES_MAX: Final = 5000
"""Number of candles of each interval that the venue keeps."""

_GRACE_NS: Final = 3 * SECOND_NS
_PAGES_MAX: Final = 24
"""Upper bound on pages: more than `CANDLES_MAX` candles need at 500 rows a page, the venue's smallest."""

_NS_PER_MS: Final = 1_000_000
_HOUR_NS: Final = 3_600 * SECOND_NS


async def read_candles(
    info: MarketInfo,
    listed: InstrumentListed,
    interval_ns: int,
    start_ns: int,
    end_ns: int,
    *,
    purpose: str,
    recv_ns: int,
    priority: Priority,
) -> list[CandleRead]:
    """Return the venue's candles of the windows from `start_ns` to `end_ns`, oldest first.

    Both are starts of windows; the caller knows that the last window is over. A window without a candle is
    left out. Raises VenueError.
    """
    decoder = Decoder([listed])
    interval = format_interval(interval_ns)
    found: dict[int, CandleRead] = {}
    from_ns = start_ns
    for _ in range(_PAGES_MAX):
        if from_ns >= end_ns:
            break
        rows = await info.candles(
            listed.name, interval, from_ns // _NS_PER_MS, end_ns // _NS_PER_MS - 1, priority
        )
        page = [
            candle
            for row in rows
            if (candle := decoder.candle(row, recv_ns, purpose)) is not None
            and candle.interval_ns == interval_ns
            and from_ns <= candle.start_ns < end_ns
        ]
        if not page:
            break
        found |= {candle.start_ns: candle for candle in page}
        from_ns = max(found) + interval_ns
    return [found[start] for start in sorted(found)]


async def warmup(
    info: MarketInfo,
    instruments: Sequence[InstrumentListed],
    intervals: Sequence[str],
    count: int,
    now: int,
) -> list[CandleRead]:
    """Return the last `count` closed candles of each instrument and interval, merged by end.

    At equal ends shorter intervals come first, then lower instruments. `now` is the venue's time in UTC
    nanoseconds; a candle that ended within the last 3 s may lack a trade, and is left out. Raises VenueError.
    """
    candles: list[CandleRead] = []
    for listed in instruments:
        for name in venue_intervals(intervals):
            interval_ns = parse_interval(name)
            end_ns = (now - _GRACE_NS) // interval_ns * interval_ns
            candles += await read_candles(
                info,
                listed,
                interval_ns,
                end_ns - min(count, CANDLES_MAX) * interval_ns,
                end_ns,
                purpose="history",
                recv_ns=now,
                priority=Priority.HISTORY,
            )
    return sorted(candles, key=lambda one: (one.venue_ns, one.interval_ns, one.instrument))


async def read_closed(
    info: HyperliquidInfo,
    instruments: Sequence[InstrumentListed],
    intervals: Sequence[str],
    period_ns: int,
    now_ns: int,
) -> list[CandleRead | FundingRead]:
    """Return the candles closed and rates settled within `period_ns` before `now_ns`, or a little earlier.

    Raises VenueError.
    """
    shortest_ns = min(parse_interval(name) for name in intervals)
    read: list[CandleRead | FundingRead] = []
    read += await warmup(info, instruments, intervals, period_ns // shortest_ns + 2, now_ns)
    since_ns = now_ns - max(period_ns, _HOUR_NS) - _HOUR_NS
    for listed in instruments:
        rows = await info.funding_history(listed.name, since_ns // _NS_PER_MS, now_ns // _NS_PER_MS)
        decoder = Decoder([listed])
        rates = [decoder.funding(row, now_ns) for row in rows]
        read += [rate for rate in rates if rate is not None]
    return read
