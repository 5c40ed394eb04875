"""Merges streams of inputs by time. Called by `replay.joining`.

A stream yields batches, each with whether it may list instruments. A batch that lies between those of the
other streams is passed on as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from engine.events import Event, FundingRead, engine_time
from replay.days import PRICES

__all__ = ["Batch", "merged", "with_rates"]

Batch = tuple[list[Event], bool]
"""Inputs in order of time, and whether there may be instruments among them."""

_GATHERED: Final = 2048
"""Short parts are gathered into batches of about this many inputs."""


class _Head:
    """The part of a stream that comes next. `rank` decides at equal times."""

    def __init__(self, stream: Iterator[Batch], rank: int) -> None:
        self.stream = stream
        self.rank = rank
        self.events: list[Event] = []
        self.lists = False
        self.at = 0

    def fill(self) -> bool:
        """Read the next batch if the last one is used up. Return False at the end of the stream."""
        while self.at >= len(self.events):
            following = next(self.stream, None)
            if following is None:
                return False
            self.events, self.lists = following
            self.at = 0
        return True

    @property
    def place(self) -> tuple[int, int]:
        return engine_time(self.events[self.at]), self.rank

    def take(self, until: tuple[int, int]) -> list[Event]:
        """Return the inputs that come before `until`, at least one; the whole batch as the same object."""
        events, at, rank = self.events, self.at, self.rank
        if (engine_time(events[-1]), rank) < until:
            end = len(events)
        else:
            end = at + 1
            while end < len(events) and (engine_time(events[end]), rank) < until:
                end += 1
        self.at = end
        return events if not at and end == len(events) else events[at:end]


def merged(streams: Sequence[Iterator[Batch]]) -> Iterator[Batch]:
    """Yield the inputs of all streams by time; at equal times the earlier stream comes first."""
    heads = [head for rank, stream in enumerate(streams) if (head := _Head(stream, rank)).fill()]
    waiting: list[Event] = []
    waiting_lists = False
    while len(heads) > 1:
        head = min(heads, key=lambda one: one.place)
        lists = head.lists
        part = head.take(min(one.place for one in heads if one is not head))
        if not head.fill():
            heads.remove(head)
        if not waiting and len(part) >= _GATHERED:
            yield part, lists
            continue
        waiting += part
        waiting_lists |= lists
        if len(waiting) >= _GATHERED:
            yield waiting, waiting_lists
            waiting, waiting_lists = [], False
    if waiting:
        yield waiting, waiting_lists
    for head in heads:
        yield head.events[head.at :] if head.at else head.events, head.lists
        yield from head.stream


def with_rates(stream: Iterator[Batch], rates: Sequence[FundingRead]) -> Iterator[Batch]:
    """Yield a stream with funding rates, each before the first price that is later.

    Rates before the first price and after the last are left out: nothing is held then, or no price is known.
    """
    if not rates:
        yield from stream
        return
    at, last_ns, begun = 0, 0, False
    for events, lists in stream:
        batch: list[Event] = []
        for event in events:
            if event.__class__ in PRICES:
                last_ns = max(last_ns, engine_time(event))
                while at < len(rates) and rates[at].recv_ns < last_ns:
                    batch += rates[at : at + 1] if begun else ()
                    at += 1
                begun = True
            batch.append(event)
        yield batch, lists
    # A candle that ends at midnight is received in the nanosecond before.
    rest: list[Event] = [rate for rate in rates[at:] if rate.recv_ns <= last_ns + 1]
    if rest:
        yield rest, False
