"""Spans of a backtest in which the data has no funding rates, although it has some before or after.

A settlement is a row, not a clock: schedules change, and times jitter by milliseconds. So a span is missing
rates if it is longer than one and a half times the settlements next to it, on both sides; before the first
and after the last one, than the settlements there. Called by `replay.backtesting`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Final

from engine.actors.simulated.state import Market
from engine.clock import SECOND_NS, iso_text
from engine.events import Event, FundingRead
from engine.instruments import Instruments

__all__ = ["Rates", "spans_without"]

SPANS_MAX: Final = 3
"""Spans of a market that are named; of more, their number."""

_ALONE_NS: Final = 8 * 3600 * SECOND_NS
"""What a single rate is taken to be for: the longest time between settlements that is usual."""


class Rates:
    """State: the times of the rates of each instrument, as they came."""

    def __init__(self) -> None:
        self._times: dict[int, list[int]] = {}

    def add(self, events: Iterable[Event]) -> None:
        """Note the rates among some inputs."""
        for event in events:
            if isinstance(event, FundingRead):
                self._times.setdefault(event.instrument, []).append(event.venue_ns)

    def notes(
        self, first_ns: int, last_ns: int, markets: Mapping[int, Market], instruments: Instruments
    ) -> Iterator[str]:
        """Yield a line for each market that was held and lacks rates in a part of the time."""
        for number, times in self._times.items():
            if number not in markets or not markets[number].held:
                continue
            spans = list(spans_without(times, first_ns, last_ns))
            if spans:
                texts = [f"{iso_text(a)[:16]} to {iso_text(b)[:16]}" for a, b in spans[:SPANS_MAX]]
                more = f" and {len(spans) - SPANS_MAX:,} more spans" if len(spans) > SPANS_MAX else ""
                label = instruments.label(number)
                yield f"the funding of {label} is left out from {', '.join(texts)}{more}: no rates"


def spans_without(times: Iterable[int], first_ns: int, last_ns: int) -> Iterator[tuple[int, int]]:
    """Yield (from, to) of the spans of a period that lack rates. `times` are those of the settlements."""
    known = sorted(set(times))
    if not known:
        return
    apart = [after - before for before, after in pairwise(known)] or [_ALONE_NS]
    ends = [(first_ns, known[0], apart[0])]
    for at, (before, after) in enumerate(pairwise(known)):
        beside = apart[max(0, at - 1) : at] + apart[at + 1 : at + 2]
        ends.append((before, after, max(beside, default=_ALONE_NS)))
    ends.append((known[-1], last_ns, apart[-1]))
    for begin, end, usual in ends:
        if 2 * (end - begin) > 3 * usual:
            yield begin, end
