"""Binance's own candles, funding rates and past trades over REST: all pages, closed candles only.

Owns paging and the decision which candles are closed. Promises: candles and rates are returned oldest first,
each once, within the requested windows; a row that cannot be used is passed to `odd` if the caller takes such
rows, and else fails the reading. Called by the repairs, checks and polls of a feed, by the history of a
session, at start-up to warm indicators up, and by backfills.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from adapters.binance.channels import venue_intervals
from adapters.binance.decode import NS_PER_MS, Decoder, answered_interest
from adapters.binance.rest import INTEREST_MAX, TRADES_MAX, BinanceRest, Odd
from adapters.binance.rules import CANDLE_GRACE_S, INTEREST_S
from adapters.transport.governor import Priority
from engine.clock import SECOND_NS
from engine.errors import VenueProtocolError
from engine.events import CandleRead, FundingRead, InstrumentListed, OpenInterestRead, Trade
from engine.values import format_interval, parse_interval
from engine.venue import Unusable

__all__ = [
    "WINDOWS_MAX",
    "read_candles",
    "read_closed",
    "read_interest",
    "read_rates",
    "read_trades",
    "warmup",
]

WINDOWS_MAX: Final = 20_000
"""Windows of one interval that are repaired at once. The venue keeps all its candles."""

_GRACE_NS: Final = CANDLE_GRACE_S * SECOND_NS
_PAGES_MAX: Final = 2_000


async def read_candles(
    rest: BinanceRest,
    listed: InstrumentListed,
    interval_ns: int,
    start_ns: int,
    end_ns: int,
    *,
    counts: bool,
    purpose: str,
    recv_ns: int,
    priority: Priority,
    odd: Odd | None = None,
) -> list[CandleRead]:
    """Return the venue's candles of the windows from `start_ns` to `end_ns`, oldest first.

    Both are starts of windows; the caller knows that the last window is over. A window without a candle is
    left out. `counts`: see `Decoder`. Raises VenueError.
    """
    decoder = Decoder([listed], counts=counts)
    interval = format_interval(interval_ns)
    found: dict[int, CandleRead] = {}
    from_ns = start_ns
    for _ in range(_PAGES_MAX):
        if from_ns >= end_ns:
            break
        strange: list[Unusable] = []
        rows = await rest.klines(
            *(listed.name, interval, from_ns // NS_PER_MS, end_ns // NS_PER_MS - 1, priority),
            odd and strange.append,
        )
        reached_ns = _newest(strange, from_ns, end_ns)
        for row in rows:
            try:
                candle = decoder.answered_candle(listed, interval, row, recv_ns, purpose)
            except VenueProtocolError as error:
                at_ns = row[6] * NS_PER_MS
                if odd is None or not from_ns <= at_ns:
                    raise
                reached_ns = max(reached_ns, min(at_ns, end_ns))
                strange.append(Unusable(at_ns // interval_ns * interval_ns, str(error)))
                continue
            if candle is not None and from_ns <= candle.start_ns < end_ns:
                reached_ns = max(reached_ns, candle.start_ns)
                found[candle.start_ns] = candle
        if odd is not None:
            for one in strange:
                odd(one)
        if reached_ns < 0:
            break
        from_ns = reached_ns // interval_ns * interval_ns + interval_ns
        if len(rows) + len(strange) < rest.market.klines_max:
            break
    else:
        raise VenueProtocolError(f"{listed.name} {interval}: more than {_PAGES_MAX} pages of candles")
    return [found[start] for start in sorted(found)]


async def read_rates(
    rest: BinanceRest, listed: InstrumentListed, from_ns: int, to_ns: int, recv_ns: int, odd: Odd
) -> list[FundingRead]:
    """Return the rates settled from `from_ns` on, before `to_ns`, oldest first. Raises VenueError."""
    decoder = Decoder([listed], counts=False)
    found: dict[int, FundingRead] = {}
    while from_ns < to_ns:
        # The venue's end is inclusive.
        start_ms, end_ms = -(-from_ns // NS_PER_MS), (to_ns - 1) // NS_PER_MS
        strange: list[Unusable] = []
        rows = await rest.funding_rates(listed.name, start_ms, end_ms, strange.append)
        reached_ns = _newest(strange, from_ns, to_ns)
        for row in rows:
            at_ns = row.funding_time * NS_PER_MS
            if not from_ns <= at_ns < to_ns:
                continue
            reached_ns = max(reached_ns, at_ns)
            try:
                rate = decoder.funding(listed, row, recv_ns)
            except VenueProtocolError as error:
                strange.append(Unusable(at_ns, str(error)))
                continue
            if rate is not None:
                found[at_ns] = rate
            else:
                strange.append(Unusable(at_ns, "a rate that was not requested"))
        for one in strange:
            odd(one)
        if reached_ns < 0:
            break
        from_ns = reached_ns + 1
    return [found[at_ns] for at_ns in sorted(found)]


async def read_interest(
    rest: BinanceRest, listed: InstrumentListed, from_ns: int, to_ns: int, recv_ns: int, odd: Odd
) -> list[OpenInterestRead]:
    """Return open interest from `from_ns` on, before `to_ns`, oldest first. Raises VenueError.

    Each request is for as many readings as one answer can have, so it does not matter which of them the venue
    would leave out.
    """
    found: dict[int, OpenInterestRead] = {}
    page_ns = INTEREST_MAX * INTEREST_S * SECOND_NS
    for start_ns in range(from_ns, to_ns, page_ns):
        start_ms, end_ms = -(-start_ns // NS_PER_MS), (min(start_ns + page_ns, to_ns) - 1) // NS_PER_MS
        for row in await rest.past_interest(listed.name, start_ms, end_ms, odd):
            at_ns = row.at_ms * NS_PER_MS
            if not start_ms <= row.at_ms <= end_ms:
                continue
            try:
                read = answered_interest(listed, row, recv_ns)
            except VenueProtocolError as error:
                odd(Unusable(at_ns, str(error)))
                continue
            if read is not None:
                found[at_ns] = read
            else:
                odd(Unusable(at_ns, "open interest that was not requested"))
    return [found[at_ns] for at_ns in sorted(found)]


async def read_trades(
    rest: BinanceRest,
    decoder: Decoder,
    listed: InstrumentListed,
    channel: str,
    last: tuple[int, int] | None,
    recv_ns: int,
    pages_max: int,
) -> list[list[Trade]]:
    """Return the trades since a known one in pieces without a gap, oldest first. Raises VenueError.

    `last` is (time, id) of the known trade, which is returned too; None: only the newest trades are read.
    They are read too if the known id is of another trade now (aggregate and single trades have numbers of
    their own), or if more than `pages_max` answers would be needed: what lies between is then a gap.
    """
    raw = channel == "trade"
    found: list[list[Trade]] = [[]]
    from_id = None if last is None else int(last[1])
    for _ in range(pages_max if last is not None else 0):
        rows = await rest.trades(listed.name, from_id, raw=raw)
        piece = _usable(decoder, listed, channel, rows, recv_ns)
        if not found[0] and (not piece or (piece[0].venue_ns, piece[0].trade_id) != last):
            break  # not the trade that is known
        found[0] += piece if not found[0] else piece[1:]
        if len(rows) < TRADES_MAX:
            return found
        from_id = int(found[0][-1].trade_id)
    newest = _usable(decoder, listed, channel, await rest.trades(listed.name, None, raw=raw), recv_ns)
    return [*found, newest] if found[0] else [newest]


def _usable(
    decoder: Decoder, listed: InstrumentListed, channel: str, rows: Sequence[object], recv_ns: int
) -> list[Trade]:
    """Return all rows as trades; one that cannot be used, or a hole in their ids, fails the answer."""
    trades: list[Trade] = []
    for row in rows:
        trade = decoder.answered_trade(channel, listed, row, recv_ns)  # type: ignore[arg-type]
        if trade is None:
            raise VenueProtocolError(f"{listed.name}: an answer has a trade with an impossible time")
        if trades and int(trade.trade_id) != int(trades[-1].trade_id) + 1:
            raise VenueProtocolError(f"{listed.name}: an answer has no trade after {trades[-1].trade_id}")
        trades.append(trade)
    return trades


def _newest(strange: Sequence[Unusable], from_ns: int, end_ns: int) -> int:
    """Return the newest time of rows that cannot be read, -1 without any: reading goes on behind it."""
    times = [one.at_ns for one in strange if one.at_ns is not None and from_ns <= one.at_ns < end_ns]
    return max(times, default=-1)


async def warmup(
    rest: BinanceRest,
    instruments: Sequence[InstrumentListed],
    intervals: Sequence[str],
    count: int,
    now: int,
    counts: bool,
    odd: Odd,
) -> list[CandleRead]:
    """Return the last `count` closed candles of each instrument and interval, merged by end.

    There are fewer if the venue has no older candle, or if one cannot be used, which `odd` gets. At equal
    ends shorter intervals come first, then lower instruments. `now` is the venue's time; a candle that ended
    within the last 3 s may lack a trade, and is left out. Raises VenueError.
    """
    candles: list[CandleRead] = []
    for listed in instruments:
        for name in venue_intervals(rest.market, intervals):
            interval_ns = parse_interval(name)
            end_ns = (now - _GRACE_NS) // interval_ns * interval_ns
            start_ns = end_ns - min(count, WINDOWS_MAX) * interval_ns
            try:
                candles += await read_candles(
                    *(rest, listed, interval_ns, start_ns, end_ns),
                    counts=counts,
                    purpose="history",
                    recv_ns=now,
                    priority=Priority.HISTORY,
                    odd=odd,
                )
            except VenueProtocolError as error:  # the other series are not affected
                odd(Unusable(None, str(error)))
    return sorted(candles, key=lambda one: (one.venue_ns, one.interval_ns, one.instrument))


async def read_closed(
    rest: BinanceRest,
    instruments: Sequence[InstrumentListed],
    intervals: Sequence[str],
    counts: bool,
    since_ns: int,
    now_ns: int,
    odd: Odd,
) -> list[CandleRead | FundingRead]:
    """Return the candles that closed and the rates that were settled between `since_ns` and `now_ns`.

    Raises VenueError.
    """
    read: list[CandleRead | FundingRead] = []
    for listed in instruments:
        for name in venue_intervals(rest.market, intervals):
            interval_ns = parse_interval(name)
            end_ns = (now_ns - _GRACE_NS) // interval_ns * interval_ns
            start_ns = max((since_ns - _GRACE_NS) // interval_ns, end_ns // interval_ns - WINDOWS_MAX)
            read += await read_candles(
                *(rest, listed, interval_ns, (start_ns - 1) * interval_ns, end_ns),
                counts=counts,
                purpose="history",
                recv_ns=now_ns,
                priority=Priority.HISTORY,
                odd=odd,
            )
        if listed.kind != "spot":
            settled_ns = listed.rules.funding_s * SECOND_NS
            read += await read_rates(rest, listed, since_ns // settled_ns * settled_ns, now_ns, now_ns, odd)
    return sorted(read, key=lambda one: (one.venue_ns, isinstance(one, FundingRead), one.instrument))
