"""The venue's own candles and funding rates over HTTP: all pages, closed candles only.

Owns paging. Promises: candles and rates are returned oldest first, each once, within the requested windows,
whatever order and span the venue answers with; a row that cannot be used is passed to `odd` if the caller
takes such rows, and else fails the reading. Called by the repairs, checks and polls of a feed, by the history
of a session, at start-up to warm indicators up, and by backfills.

An answer holds at most 500 rows. It is asked for a span and for the number of its windows, since it is not
confirmed which of the two counts; rows beyond the span are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from adapters.lighter.decode import Decoder
from adapters.lighter.info import LighterInfo
from adapters.lighter.rules import CANDLES_PAGE
from adapters.transport.governor import Priority
from adapters.transport.history import Odd, take_rows
from engine.clock import SECOND_NS
from engine.events import CandleRead, FundingRead, InstrumentListed
from engine.values import format_interval

__all__ = ["read_candles", "read_rates"]

_NS_PER_MS: Final = 1_000_000
_HOUR_NS: Final = 3_600 * SECOND_NS


async def read_candles(
    info: LighterInfo,
    markets: Mapping[str, int],
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
    """Return the candles of the windows from `start_ns` to `end_ns`. See `ReadWindows`."""
    decoder = Decoder([listed], {})
    found: dict[int, CandleRead] = {}
    for from_ns in range(start_ns, end_ns, CANDLES_PAGE * interval_ns):
        until_ns = min(end_ns, from_ns + CANDLES_PAGE * interval_ns)
        rows = await info.candles(
            markets[listed.name],
            format_interval(interval_ns),
            from_ns // _NS_PER_MS,
            until_ns // _NS_PER_MS - 1,
            (until_ns - from_ns) // interval_ns,
            priority,
            odd,
        )
        take_rows(
            *(found, rows, from_ns, until_ns),
            time_of=lambda row: row.t * _NS_PER_MS,
            decode=lambda row: decoder.candle(row, listed, interval_ns, recv_ns, purpose),
            odd=odd,
        )
    return [found[at_ns] for at_ns in sorted(found)]


async def read_rates(
    info: LighterInfo,
    markets: Mapping[str, int],
    listed: InstrumentListed,
    from_ns: int,
    to_ns: int,
    recv_ns: int,
    odd: Odd,
) -> list[FundingRead]:
    """Return the rates settled from `from_ns` on, before `to_ns`, oldest first. Raises VenueError."""
    decoder = Decoder([listed], {})
    found: dict[int, FundingRead] = {}
    for begin_ns in range(from_ns, to_ns, CANDLES_PAGE * _HOUR_NS):
        until_ns = min(to_ns, begin_ns + CANDLES_PAGE * _HOUR_NS)
        start_ms, end_ms = -(-begin_ns // _NS_PER_MS), (until_ns - 1) // _NS_PER_MS
        count = -(-(until_ns - begin_ns) // _HOUR_NS)
        take_rows(
            found,
            await info.fundings(markets[listed.name], start_ms, end_ms, count, odd=odd),
            *(begin_ns, until_ns),
            time_of=lambda row: row.at_ns,
            decode=lambda row: decoder.funding(row, listed, recv_ns),
            odd=odd,
        )
    return [found[at_ns] for at_ns in sorted(found)]
