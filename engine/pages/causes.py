"""Collects why each fill happened: the chain of records from the input that began it.

Reads frames in journal order, as `charting` does. A chain is the last part of what `engine why` shows of the
same seq: it begins with the input or the timer of the turn in which the order was decided. Promises: memory
is bounded, and nothing is rendered until `chain` asks for it. Called by the command line; `drawing` takes the
chains of round trips.
"""

from __future__ import annotations

from typing import Final

import msgspec

from engine.events import (
    DayOpened,
    Event,
    FillBooked,
    InstrumentListed,
    OrderFilled,
    SessionStarted,
    SubmitOrder,
)
from engine.events.codec import Derived, Record, in_order
from engine.events.render import Renderer

__all__ = ["Causes", "Link"]

_FILLS_MAX: Final = 20_000
"""Fills whose chains are kept, the newest."""
_ORDERS_MAX: Final = 10_000
"""Orders whose chains are remembered for their fills, the newest."""


class Link(msgspec.Struct, frozen=True, array_like=True):
    """A record of a chain, as one line of text."""

    seq: int
    text: str


class Causes:
    """State: chains of orders and of fills, and the instruments that render them.

    `started` is the session that the newest record belongs to.
    """

    def __init__(self) -> None:
        self.started: SessionStarted | None = None
        self._instruments: dict[int, InstrumentListed] = {}
        self._renderer: Renderer | None = None
        self._orders: dict[str, list[Record]] = {}
        self._fills: dict[int, tuple[list[Record], Renderer]] = {}

    def append(self, first_seq: int, inputs: list[Event], derived: list[Derived]) -> None:
        """Read a frame."""
        for event in inputs:
            if isinstance(event, InstrumentListed):
                self._list(event)
            elif isinstance(event, SessionStarted):
                self.started = event
        wanted = False
        for _, _, event in derived:
            kind = event.__class__
            if kind is SubmitOrder or kind is FillBooked:
                wanted = True
            elif isinstance(event, DayOpened):
                self.started = event.started or self.started
                for listed in event.instruments:
                    self._list(listed)
        if wanted:
            self._follow(first_seq, inputs, derived)

    def chain(self, seq: int) -> list[Link]:
        """Return the chain of the fill `seq`, oldest first; nothing if it is not known."""
        if seq not in self._fills:
            return []
        records, renderer = self._fills[seq]
        return [Link(record[0], renderer.as_text(*record)) for record in records]

    def _list(self, listed: InstrumentListed) -> None:
        if self._instruments.get(listed.instrument) != listed:
            self._instruments[listed.instrument] = listed
            self._renderer = None

    def _follow(self, first_seq: int, inputs: list[Event], derived: list[Derived]) -> None:
        """Keep the chains of a frame with orders or fills."""
        if self._renderer is None:
            self._renderer = Renderer(self._instruments.values())
        seen: dict[int, Record] = {}
        turn = first_seq
        for record in in_order(first_seq, inputs, derived):
            seq, cause, event = record
            seen[seq] = record
            if not cause:
                turn = seq
            if isinstance(event, SubmitOrder):
                self._orders[event.client_order_id] = _back(seen, seq)
                if len(self._orders) > _ORDERS_MAX:
                    del self._orders[next(iter(self._orders))]
            elif isinstance(event, FillBooked):
                self._fills[seq] = self._whole(seen, seq, turn, event.client_order_id), self._renderer
                if len(self._fills) > _FILLS_MAX:
                    del self._fills[next(iter(self._fills))]

    def _whole(self, seen: dict[int, Record], seq: int, turn: int, order: str) -> list[Record]:
        """Return the chain of a fill: its order's, then the market event that let it happen, then its own."""
        found = {record[0]: record for record in self._orders.get(order, ())}
        own = _back(seen, seq)
        found |= {record[0]: record for record in own}
        if any(isinstance(event, OrderFilled) for _, _, event in own):
            found[turn] = seen[turn]
        return [found[one] for one in sorted(found)]


def _back(seen: dict[int, Record], seq: int) -> list[Record]:
    """Return a record and its causes in the same frame, oldest first."""
    chain = []
    while seq in seen:
        chain.append(seen[seq])
        seq = seen[seq][1]
    return chain[::-1]
