"""The venue's own candles over HTTP: closed ones only.

Owns the decision which rows are closed. Promises: candles are returned oldest first, each once, within the
requested windows; the running candle, with which every answer ends, is left out; a row that cannot be used is
passed to `odd` if the caller takes such rows, and else fails the reading. The venue has the newest 720 of an
interval: what is older is left out. Called by the repairs, checks and polls of a feed, at start-up, and by
backfills.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from adapters.kraken.channels import minutes_of
from adapters.kraken.decode import Decoder
from adapters.kraken.info import KrakenInfo
from adapters.kraken.rules import RULES
from adapters.transport.governor import Priority
from adapters.transport.history import Odd, take_rows
from engine.clock import SECOND_NS
from engine.events import CandleRead, InstrumentListed

__all__ = ["CANDLES_MAX", "read_candles"]

CANDLES_MAX: Final = RULES.candles_kept
"""Number of candles of each interval that the venue keeps."""


async def read_candles(
    info: KrakenInfo,
    rest_names: Mapping[str, str],
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
    if start_ns >= end_ns:
        return []
    decoder = Decoder([listed])
    answer = await info.candles(
        rest_names[listed.name], minutes_of(interval_ns), start_ns // SECOND_NS, priority, odd
    )
    found: dict[int, CandleRead] = {}
    take_rows(
        *(found, (row for row in answer.rows if row.time <= answer.last), start_ns, end_ns),
        time_of=lambda row: row.time * SECOND_NS,
        decode=lambda row: decoder.rest_candle(row, listed, interval_ns, recv_ns, purpose),
        odd=odd,
    )
    return [found[at_ns] for at_ns in sorted(found)]
