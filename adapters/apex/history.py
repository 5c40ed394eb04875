"""The venue's own candles and funding rates over HTTP: all pages, closed candles only.

Owns paging. Promises: candles and rates are returned oldest first, each once, within the requested windows,
whatever order and span the venue answers with; a row that cannot be used is passed to `odd` if the caller
takes such rows, and else fails the reading. Called by the repairs, checks and polls of a feed, by the
history of a session, at start-up to warm indicators up, and by backfills.
"""

from __future__ import annotations

from typing import Final

from adapters.apex.channels import symbol_of
from adapters.apex.decode import Decoder
from adapters.apex.info import FUNDINGS_PAGE, ApexInfo
from adapters.apex.rules import CANDLES_PAGE, INTERVALS
from adapters.transport.governor import Priority
from adapters.transport.history import Odd, take_rows
from engine.clock import SECOND_NS
from engine.events import CandleRead, FundingRead, InstrumentListed
from engine.values import format_interval
from engine.venue import Unusable

__all__ = ["read_candles", "read_rates"]

_NS_PER_MS: Final = 1_000_000
_PAGES_MAX: Final = 1_000


async def read_candles(
    info: ApexInfo,
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
    decoder = Decoder([listed], {symbol_of(listed.name): listed.name})
    found: dict[int, CandleRead] = {}
    for from_ns in range(start_ns, end_ns, CANDLES_PAGE * interval_ns):
        until_ns = min(end_ns, from_ns + CANDLES_PAGE * interval_ns)
        rows = await info.klines(
            symbol_of(listed.name),
            INTERVALS[format_interval(interval_ns)],
            from_ns // SECOND_NS,
            until_ns // SECOND_NS - 1,
            CANDLES_PAGE,
            priority,
            odd,
        )
        take_rows(
            *(found, rows, from_ns, until_ns),
            time_of=lambda row: int(row.t) * _NS_PER_MS,
            decode=lambda row: decoder.candle(row, listed, interval_ns, recv_ns, purpose),
            odd=odd,
        )
    return [found[at_ns] for at_ns in sorted(found)]


async def read_rates(
    info: ApexInfo, listed: InstrumentListed, from_ns: int, to_ns: int, recv_ns: int, odd: Odd
) -> list[FundingRead]:
    """Return the rates settled from `from_ns` on, before `to_ns`, oldest first. Raises VenueError."""
    decoder = Decoder([listed], {symbol_of(listed.name): listed.name})
    found: dict[int, FundingRead] = {}
    start_ms, end_ms = -(-from_ns // _NS_PER_MS), -(-to_ns // _NS_PER_MS)
    for page in range(_PAGES_MAX):
        strange: list[Unusable] = []
        rows = await info.fundings(listed.name, start_ms, end_ms, page, odd=strange.append)
        before = len(found)
        take_rows(
            *(found, rows, from_ns, to_ns),
            time_of=lambda row: row.at_ns,
            decode=lambda row: decoder.funding(row, listed, recv_ns),
            odd=strange.append,
        )
        for one in strange:
            odd(one)
        # A venue that ignores the number of the page would repeat it for ever.
        if len(rows) + len(strange) < FUNDINGS_PAGE or len(found) == before:
            break
    return [found[at_ns] for at_ns in sorted(found)]
