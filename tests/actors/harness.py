"""Runs one actor in isolation: passes it events as the sequencer would, and records what it emits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from engine.actors import Actor, Because, RoutesChanged, SetTimer, Turn
from engine.actors.base import Later, handlers_of
from engine.clock import SECOND_NS
from engine.events import Event, InstrumentListed, TimerFired
from engine.instruments import Instruments

__all__ = ["LISTED", "MINUTE", "Harness", "T"]

E = TypeVar("E", bound=Event)

T = 1_733_400_000 * SECOND_NS  # noon of 2024-12-05
MINUTE = 60 * SECOND_NS
LISTED = {
    1: InstrumentListed(T, 1, "sim", "AAA", 2, 3),
    2: InstrumentListed(T, 2, "sim", "BBB", 4, 0, price_figures=5),
}


class Harness:
    """`seq` counts the events sent to the actor, `log` holds those it emitted, `timers` the pending ones.

    What the actor postpones to the end of the turn is logged then, and sent to it.
    """

    def __init__(self, actor: Actor, listed: Mapping[int, InstrumentListed] = LISTED) -> None:
        self.actor = actor
        actor.bind(listed if isinstance(listed, Instruments) else Instruments(listed.values()), Turn())
        self.routes: dict[type[Event], list[Any]] = {}
        for kind, handler in handlers_of(actor):
            self.routes.setdefault(kind, []).append(handler)
        self.seq = 0
        self.log: list[Event] = []
        self.causes: list[tuple[Event, int]] = []  # events emitted with a cause of their own
        self.timers: list[SetTimer] = []
        self.later: list[Later] = []

    @property
    def strategy(self) -> Any:
        """The strategy that the actor runs."""
        return vars(self.actor)["strategy"]

    def send(self, *events: Event) -> list[Any]:
        """Send events to the actor; return the events it emitted."""
        before = len(self.log)
        for event in events:
            self._handle(event)
            while self.later:
                later = min(self.later, key=lambda one: one.place)
                self.later.remove(later)
                self.log.append(later.event)
                self._handle(later.event)
        return self.log[before:]

    def _handle(self, event: Event) -> None:
        self.seq += 1
        self.actor.turn.seq = self.seq
        out: list[Any] = []
        if self.actor.listens(type(event)):
            for handler in self.routes.get(type(event), ()):
                handler(event, out.append)
        for item in out:
            if isinstance(item, SetTimer):
                self.timers = [one for one in self.timers if one.key != item.key] + [item]
            elif isinstance(item, Later):
                kept = [one for one in self.later if not item.key or one.key != item.key]
                self.later = [*kept, item]
            elif isinstance(item, Because):
                self.causes.append((item.event, item.cause))
                self.log.append(item.event)
            elif not isinstance(item, RoutesChanged):
                self.log.append(item)

    def advance(self, until_ns: int) -> list[Any]:
        """Fire the timers due up to a time, in order; return the events the actor emitted."""
        before = len(self.log)
        while due := [timer for timer in self.timers if timer.due_ns <= until_ns]:
            timer = min(due, key=lambda one: one.due_ns)
            self.timers.remove(timer)
            self.send(TimerFired(timer.due_ns, self.actor.name, timer.key))
        return self.log[before:]

    def all(self, kind: type[E]) -> list[E]:
        """Return all emitted events of a type."""
        return [event for event in self.log if isinstance(event, kind)]
