"""The venue's own candles over HTTP: all pages, closed candles only.

Promises: candles are returned oldest first, each once, within the requested windows; a row that cannot be
used is passed to `odd` if the caller takes such rows, and else fails the reading. A window without trades has
no candle. Called by the repairs, checks and polls of a feed, at start-up, and by backfills.
"""

from __future__ import annotations

from adapters.coinbase.channels import GRANULARITIES
from adapters.coinbase.decode import Decoder
from adapters.coinbase.info import PAGE, CoinbaseInfo
from adapters.transport.governor import Priority
from adapters.transport.history import Odd, take_rows
from engine.clock import SECOND_NS
from engine.events import CandleRead, InstrumentListed
from engine.values import format_interval

__all__ = ["read_candles"]


async def read_candles(
    info: CoinbaseInfo,
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
    decoder = Decoder([listed])
    granularity = GRANULARITIES[format_interval(interval_ns)]
    found: dict[int, CandleRead] = {}
    for from_ns in range(start_ns, end_ns, PAGE * interval_ns):
        # Both ends are included.
        last_ns = min(from_ns + PAGE * interval_ns, end_ns) - interval_ns
        rows = await info.candles(
            listed.name, granularity, from_ns // SECOND_NS, last_ns // SECOND_NS, priority, odd
        )
        take_rows(
            *(found, rows, from_ns, last_ns + 1),
            time_of=lambda row: int(row.start) * SECOND_NS,
            decode=lambda row: decoder.candle(row, interval_ns, recv_ns, purpose),
            odd=odd,
        )
    return [found[at_ns] for at_ns in sorted(found)]
