"""Plays a tape to a protocol, a bounded number of events at a time. Called by the server."""

from __future__ import annotations

from typing import Final

from adapters.exchange.protocol import VenueProtocol
from adapters.exchange.tape import Play

__all__ = ["Player"]

_ROUND_EVENTS_MAX: Final = 4000
"""Events per round. Other tasks run after each round, even when the tape is behind its clock."""


class Player:
    """Plays the tape to the protocol. `next_ns` is the time of the next event, None at the end of the tape.

    All events until `reached_ns` are played.
    """

    def __init__(self, play: Play, protocol: VenueProtocol) -> None:
        self._play = play
        self._protocol = protocol
        self._next = next(play, None)
        self.reached_ns = 0

    @property
    def next_ns(self) -> int | None:
        return None if self._next is None else self._next.venue_ns

    def play(self, until_ns: int, *, slice_ns: int) -> bool:
        """Play events due by `until_ns`, flushing after each slice; return whether none are left."""
        protocol, event = self._protocol, self._next
        slice_end_ns = 0
        count = 0
        while event is not None and event.venue_ns <= until_ns and count < _ROUND_EVENTS_MAX:
            if event.venue_ns >= slice_end_ns:
                protocol.flush()
                slice_end_ns = event.venue_ns + slice_ns
            protocol.play(event)
            count += 1
            event = next(self._play, None)
        self._next = event
        protocol.flush()
        caught_up = event is None or event.venue_ns > until_ns
        self.reached_ns = until_ns if caught_up or event is None else event.venue_ns - 1
        return caught_up
