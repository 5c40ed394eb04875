"""Candles of the past for a session: the last ones of every series, and those that closed since a time.

Owns which windows are read, and the flat candles of windows without trades. Promises: only windows that are
over by the venue's grace period; at equal ends shorter intervals come first, then lower instruments; an
answer that cannot be used leaves its series out, and no other. Called by a venue's client with the function
that reads its candles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

import msgspec

from adapters.transport.governor import Priority
from engine.clock import SECOND_NS
from engine.errors import VenueProtocolError
from engine.events import CandleRead, InstrumentListed
from engine.values import parse_interval
from engine.venue import Rules, Unusable

__all__ = ["Odd", "ReadWindows", "closed_since", "last_closed", "take_rows"]

_Event = TypeVar("_Event")
_Row = TypeVar("_Row")

Odd = Callable[[Unusable], None]
"""Takes the rows that cannot be used."""


class ReadWindows(Protocol):
    """Reads closed candles over HTTP."""

    async def __call__(
        self,
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
        """Return the candles of the windows from `start_ns` to `end_ns`, oldest first. Raises VenueError.

        Rows that cannot be used are passed to `odd` if it is given, and else fail the reading.
        """
        ...


def take_rows(
    found: dict[int, _Event],
    rows: Iterable[_Row],
    start_ns: int,
    end_ns: int,
    time_of: Callable[[_Row], int],
    decode: Callable[[_Row], _Event | None],
    odd: Odd | None,
) -> None:
    """Add what rows of an answer say to `found`, by their time, from `start_ns` on and before `end_ns`.

    A row that cannot be used is passed to `odd` if it is given, and else raises VenueProtocolError.
    """
    for row in rows:
        at_ns = time_of(row)
        if not start_ns <= at_ns < end_ns:
            continue
        try:
            event = decode(row)
        except VenueProtocolError as error:
            if odd is None:
                raise
            odd(Unusable(at_ns, str(error)))
            continue
        if event is not None:
            found[at_ns] = event


async def last_closed(
    read: ReadWindows,
    rules: Rules,
    instruments: Sequence[InstrumentListed],
    intervals: Sequence[str],
    count: int,
    now_ns: int,
    odd: Odd,
) -> list[CandleRead]:
    """Return the last `count` bars of each instrument and interval as candles, merged by end.

    Where windows without a candle are flat by the venue's custom, they are flat at the close before (purpose
    "flat"); that close may be older than the first window. There are fewer bars if the venue has no older
    candle, or if a candle or a whole answer cannot be used, which `odd` gets. `now_ns` is the venue's time; a
    candle that ended within the grace period may lack a trade, and is left out. Raises VenueError.
    """
    candles: list[CandleRead] = []
    kept = rules.candles_kept or count
    for listed in instruments:
        for interval_ns in map(parse_interval, intervals):
            end_ns = (now_ns - rules.candle_grace_s * SECOND_NS) // interval_ns * interval_ns
            start_ns = end_ns - min(count, kept) * interval_ns
            unusable: list[Unusable] = []

            async def read_from(
                from_ns: int,
                to_ns: int,
                listed: InstrumentListed = listed,
                interval_ns: int = interval_ns,
                unusable: list[Unusable] = unusable,
            ) -> list[CandleRead]:
                return await read(
                    listed,
                    interval_ns,
                    from_ns,
                    to_ns,
                    purpose="history",
                    recv_ns=now_ns,
                    priority=Priority.HISTORY,
                    odd=unusable.append,
                )

            try:
                found = await read_from(start_ns, end_ns)
                if rules.silence == "flat":
                    if (not found or found[0].start_ns > start_ns) and kept > count:
                        earlier = await read_from(end_ns - kept * interval_ns, start_ns)
                        found = earlier[-1:] + found
                    found = _filled(found, start_ns, end_ns, unusable)
            except VenueProtocolError as error:  # the other series are not affected
                odd(Unusable(None, str(error)))
                continue
            candles += found
            for one in unusable:
                odd(one)
    return sorted(candles, key=lambda one: (one.venue_ns, one.interval_ns, one.instrument))


async def closed_since(
    read: ReadWindows,
    rules: Rules,
    instruments: Sequence[InstrumentListed],
    intervals: Sequence[str],
    since_ns: int,
    now_ns: int,
    odd: Odd,
) -> list[CandleRead]:
    """Return the candles that closed between `since_ns` and `now_ns`, by instrument. Raises VenueError."""
    candles: list[CandleRead] = []
    grace_ns = rules.candle_grace_s * SECOND_NS
    for listed in instruments:
        for interval_ns in map(parse_interval, intervals):
            end_ns = (now_ns - grace_ns) // interval_ns * interval_ns
            first = (since_ns - grace_ns) // interval_ns
            if rules.candles_kept:
                first = max(first, end_ns // interval_ns - rules.candles_kept)
            candles += await read(
                listed,
                interval_ns,
                (first - 1) * interval_ns,
                end_ns,
                purpose="history",
                recv_ns=now_ns,
                priority=Priority.HISTORY,
                odd=odd,
            )
    return candles


def _filled(
    found: Sequence[CandleRead], start_ns: int, end_ns: int, unusable: Sequence[Unusable]
) -> list[CandleRead]:
    """Return the candles from `start_ns` to `end_ns`, with flat ones in between and after the last.

    What follows a candle that cannot be used is not known until the next candle.
    """
    filled: list[CandleRead] = []
    if any(one.at_ns is None for one in unusable):
        return [candle for candle in found if candle.start_ns >= start_ns]
    doubtful = [one.at_ns for one in unusable if one.at_ns is not None]
    for number, candle in enumerate(found):
        step = candle.interval_ns
        until_ns = found[number + 1].start_ns if number + 1 < len(found) else end_ns
        until_ns = min([until_ns, *(at_ns // step * step for at_ns in doubtful if at_ns > candle.start_ns)])
        flat = msgspec.structs.replace(
            candle, open=candle.close, high=candle.close, low=candle.close, volume=0, trades=0, purpose="flat"
        )
        filled.append(candle)
        filled += [
            msgspec.structs.replace(flat, start_ns=at_ns, venue_ns=at_ns + step)
            for at_ns in range(max(candle.start_ns + step, start_ns), until_ns, step)
        ]
    return [candle for candle in filled if candle.start_ns >= start_ns]
