"""Divides the commands of a session among the gateways of its venues, and marks whose their reports are.

Owns which venue a command is for: that of its instrument, or the one it names; one that names none is for
all. A command for a venue without a gateway in this session is dropped: that venue is only watched, and its
orders stay as they are. Promises: each venue has its own gateway, supervised alone, so the loss of one delays
nothing of another; what is said of a whole account bears the name of its venue. Adapters know nothing of it.
Called by the live session where real orders go to venues armed by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from engine.events import (
    AccountRead,
    ClockChecked,
    Event,
    GatewayDown,
    GatewayUp,
    Liquidated,
    ScheduleAnswered,
    TransferSeen,
)
from engine.events.codec import Derived
from engine.ports import Edge
from engine.venue import Gateway, Inputs

__all__ = ["Marked", "Router", "edges_of", "gateway_name"]

_OF_ACCOUNT = (GatewayUp, GatewayDown, AccountRead, TransferSeen, Liquidated, ScheduleAnswered, ClockChecked)
_NAMED = (GatewayUp, GatewayDown, AccountRead)


def gateway_name(venue: str) -> str:
    """Return the name of the gateway of one of several venues."""
    return f"{venue} gateway"


class Marked:
    """The inputs of the gateway of one venue: what is said of its account bears the venue's name."""

    def __init__(self, venue: str, inputs: Inputs) -> None:
        self._venue = venue
        self._inputs = inputs

    async def send(self, events: list[Event]) -> None:
        """See `engine.venue.Inputs`."""
        await self._inputs.send([self._marked(event) for event in events])

    def offer(self, events: list[Event]) -> bool:
        """See `engine.venue.Inputs`."""
        return self._inputs.offer([self._marked(event) for event in events])

    def _marked(self, event: Event) -> Event:
        if isinstance(event, _NAMED):
            return msgspec.structs.replace(event, gateway=gateway_name(self._venue), venue=self._venue)
        return msgspec.structs.replace(event, venue=self._venue) if isinstance(event, _OF_ACCOUNT) else event


class Router:
    """The gateways by venue. `venue_of` returns the venue of an instrument by its number."""

    name = "gateways"

    def __init__(self, gateways: Mapping[str, Gateway], venue_of: Callable[[int], str]) -> None:
        self._gateways = gateways
        self._venue_of = venue_of

    def release(self, durable_seq: int, commands: Iterable[Derived]) -> None:
        """Pass each command to the gateway of its venue. See `engine.ports.Effects`."""
        parts: dict[str, list[Derived]] = {venue: [] for venue in self._gateways}
        for released in commands:
            for venue in self._venues(released[2]):
                if venue in parts:
                    parts[venue].append(released)
        for venue, part in parts.items():
            if part:
                self._gateways[venue].release(durable_seq, part)

    def _venues(self, command: Event) -> Iterable[str]:
        instrument = getattr(command, "instrument", None)
        if instrument is not None:
            return (self._venue_of(instrument),)
        named: str = getattr(command, "venue", "")
        return (named,) if named else self._gateways

    def edges(self) -> list[Edge]:
        """Return the gateways as edges. One that fails is restarted for ever: the others go on trading."""
        return [Edge(gateway_name(venue), one.run, gives_up=False) for venue, one in self._gateways.items()]

    async def run(self) -> None:
        """Not called: each gateway runs as an edge of its own."""
        raise NotImplementedError


def edges_of(gateway: Gateway) -> list[Edge]:
    """Return the edges that a gateway consists of."""
    return gateway.edges() if isinstance(gateway, Router) else [Edge(gateway.name, gateway.run)]
