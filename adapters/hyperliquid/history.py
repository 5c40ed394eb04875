"""The venue's own candles and funding rates over HTTP: all pages, closed candles only.

Owns paging and the decision which candles are closed. Promises: candles and rates are returned oldest
first, each once, within the requested windows; a candle that may still change is left out; a row that cannot
be used is passed to `odd` if the caller takes such rows, and else fails the reading. Called by the repairs,
checks and polls of a feed, by the history of a session, at start-up to warm indicators up, and by backfills.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from adapters.hyperliquid.channels import venue_intervals
from adapters.hyperliquid.decode import Decoder
from adapters.hyperliquid.info import HyperliquidInfo, MarketInfo
from adapters.hyperliquid.rules import RULES
from adapters.transport.governor import Priority
from adapters.transport.history import Odd, closed_since, last_closed
from adapters.transport.text import clip
from engine.clock import SECOND_NS
from engine.errors import VenueProtocolError
from engine.events import CandleRead, FundingRead, InstrumentListed
from engine.values import format_interval
from engine.venue import Unusable

__all__ = ["CANDLES_MAX", "Odd", "read_candles", "read_closed", "read_rates", "warmup"]

CANDLES_MAX: Final = RULES.candles_kept
"""Number of candles of each interval that the venue keeps."""

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
    odd: Odd | None = None,
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
        strange: list[Unusable] = []
        rows = await info.candles(
            listed.name,
            interval,
            from_ns // _NS_PER_MS,
            end_ns // _NS_PER_MS - 1,
            priority,
            odd and strange.append,
        )
        reached_ns = _newest(strange, from_ns, end_ns)
        for row in rows:
            at_ns = row.start * _NS_PER_MS
            if not from_ns <= at_ns < end_ns:
                continue
            reached_ns = max(reached_ns, at_ns)
            try:
                candle = decoder.candle(row, recv_ns, purpose)
            except VenueProtocolError as error:
                if odd is None:
                    raise
                strange.append(Unusable(at_ns, str(error)))
                continue
            if candle is not None and candle.interval_ns == interval_ns:
                found[candle.start_ns] = candle
            else:
                reason = f"{clip(row.coin)} {clip(row.interval)} is not the series that was requested"
                strange.append(Unusable(at_ns, reason))
        if odd is not None:
            for one in strange:
                odd(one)
        if reached_ns < 0:
            break
        from_ns = reached_ns // interval_ns * interval_ns + interval_ns
    else:
        if from_ns < end_ns:
            raise VenueProtocolError(f"{listed.name} {interval}: more than {_PAGES_MAX} pages of candles")
    return [found[start] for start in sorted(found)]


async def read_rates(
    info: HyperliquidInfo,
    listed: InstrumentListed,
    from_ns: int,
    to_ns: int,
    recv_ns: int,
    odd: Odd,
) -> list[FundingRead]:
    """Return the rates settled from `from_ns` on, before `to_ns`, oldest first. Raises VenueError."""
    decoder = Decoder([listed])
    found: dict[int, FundingRead] = {}
    while from_ns < to_ns:
        # The venue's end is inclusive.
        start_ms, end_ms = -(-from_ns // _NS_PER_MS), (to_ns - 1) // _NS_PER_MS
        strange: list[Unusable] = []
        rows = await info.funding_history(listed.name, start_ms, end_ms, odd=strange.append)
        reached_ns = _newest(strange, from_ns, to_ns)
        for row in rows:
            at_ns = row.time * _NS_PER_MS
            if not from_ns <= at_ns < to_ns:
                continue
            reached_ns = max(reached_ns, at_ns)
            try:
                rate = decoder.funding(row, recv_ns)
            except VenueProtocolError as error:
                strange.append(Unusable(at_ns, str(error)))
                continue
            if rate is not None:
                found[at_ns] = rate
            else:
                strange.append(Unusable(at_ns, f"{clip(row.coin)}: a rate that was not requested"))
        for one in strange:
            odd(one)
        if reached_ns < 0:
            break
        from_ns = reached_ns + 1
    return [found[at_ns] for at_ns in sorted(found)]


def _newest(strange: Sequence[Unusable], from_ns: int, end_ns: int) -> int:
    """Return the newest time of rows that cannot be read, -1 without any: reading goes on behind it."""
    times = [one.at_ns for one in strange if one.at_ns is not None and from_ns <= one.at_ns < end_ns]
    return max(times, default=-1)


async def warmup(
    info: MarketInfo,
    instruments: Sequence[InstrumentListed],
    intervals: Sequence[str],
    count: int,
    now: int,
    odd: Odd,
) -> list[CandleRead]:
    """Return the last `count` bars of each instrument and interval. See `last_closed`."""
    read = partial(read_candles, info)
    return await last_closed(read, RULES, instruments, venue_intervals(intervals), count, now, odd)


async def read_closed(
    info: HyperliquidInfo,
    instruments: Sequence[InstrumentListed],
    intervals: Sequence[str],
    since_ns: int,
    now_ns: int,
    odd: Odd,
) -> list[CandleRead | FundingRead]:
    """Return the candles that closed and the rates that were settled between `since_ns` and `now_ns`.

    Raises VenueError.
    """
    read: list[CandleRead | FundingRead] = []
    candles = partial(read_candles, info)
    read += await closed_since(candles, RULES, instruments, venue_intervals(intervals), since_ns, now_ns, odd)
    for listed in instruments:
        if listed.kind != "spot":
            read += await read_rates(info, listed, since_ns // _HOUR_NS * _HOUR_NS, now_ns, now_ns, odd)
    return sorted(read, key=lambda one: (one.venue_ns, isinstance(one, FundingRead), one.instrument))
