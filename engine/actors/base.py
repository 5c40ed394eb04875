"""What an actor is: state, and handlers named by event type.

Owns the base class, the `handles` mark and the things an actor may ask of the sequencer. Promises that
the sequencer relies on: a handler is a function of (state, event); it does no I/O, reads no clock, draws
no chance, and speaks only through `emit`.

An actor's state is its instance attributes except those named in `WIRING`; the snapshot stores exactly
these (see `engine.snapshot`), so they are plain values, lists, dicts, or `State` structs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, TypeVar

import msgspec

from engine.events import Event, InstrumentListed, OrderFilled

__all__ = [
    "REMEMBERED_MAX",
    "Actor",
    "Because",
    "Emit",
    "Once",
    "RoutesChanged",
    "SetTimer",
    "State",
    "Turn",
    "handlers_of",
    "handles",
    "remember",
]

F = TypeVar("F", bound=Callable[..., None])
T = TypeVar("T")

REMEMBERED_MAX: Final = 512
"""Upper bound on the ended orders, and on the executions, that an actor remembers; the oldest go first."""


class State(msgspec.Struct):
    """Base of the mutable records inside an actor's state; what snapshots know how to store."""


class Once(State):
    """Remembers the last executions seen, so that one a venue tells twice is counted once."""

    seen: dict[str, None] = {}

    def first(self, fill: OrderFilled) -> bool:
        """Return whether this execution is new, and remember it. One without an id always is."""
        if not fill.trade_id:
            return True
        key = f"{fill.client_order_id} {fill.trade_id}"
        if key in self.seen:
            return False
        remember(self.seen, key, None)
        return True


def remember(memory: dict[str, T], key: str, value: T) -> None:
    """Add an entry, and drop the oldest one beyond `REMEMBERED_MAX`."""
    memory[key] = value
    if len(memory) > REMEMBERED_MAX:
        del memory[next(iter(memory))]


class SetTimer(msgspec.Struct, frozen=True, gc=False):
    """Asked of the sequencer through `emit`, not journalled: fire `TimerFired(key)` at `due_ns`.

    Takes the place of a timer with the same key that the actor still waits for.
    """

    actor: str
    due_ns: int
    key: str


class Because(msgspec.Struct, frozen=True, gc=False):
    """An event whose cause is not the event being handled: `cause` is the seq that counts as such.

    So a fill names the order it fills, though a market event let it happen: that one is the turn's input.
    """

    event: Event
    cause: int


class RoutesChanged(msgspec.Struct, frozen=True, gc=False):
    """Asked of the sequencer through `emit`, not journalled: what `listens` answers has changed."""


class Turn:
    """Where the sequencer is. `seq` is that of the derived event being handled; not kept for inputs."""

    __slots__ = ("seq",)

    def __init__(self) -> None:
        self.seq = 0


Emit = Callable[[Event | Because | SetTimer | RoutesChanged], None]
"""Appends to the turn: an event is journalled and routed, the others are obeyed."""


def handles(*types: type[Event]) -> Callable[[F], F]:
    """Mark a method as the handler of these event types."""

    def mark(method: F) -> F:
        method.__handles__ = types  # type: ignore[attr-defined]
        return method

    return mark


class Actor:
    """Base of every deterministic actor."""

    WIRING: ClassVar[frozenset[str]] = frozenset({"name", "signature", "policy", "instruments", "turn"})
    """Attributes that are not state: given by the session, never stored."""

    name: str
    signature: str = ""
    """Names what the state depends on; a new session restores a state only under the same signature."""
    policy: str = "halt"
    """What happens when a handler raises: "halt" or "quarantine"."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.instruments: Mapping[int, InstrumentListed] = {}
        self.turn = Turn()

    def bind(self, instruments: Mapping[int, InstrumentListed], turn: Turn) -> None:
        """Receive the session's instruments (read only, growing) and turn. Called once, before any event."""
        self.instruments = instruments
        self.turn = turn

    def listens(self, event_type: type[Event]) -> bool:
        """Return whether events of a type it handles should reach the actor now. A function of its state.

        Lets an actor with nothing to do stay out of the hot path; emit `RoutesChanged` when it changes.
        """
        return True

    def state(self) -> dict[str, Any]:
        """Return the attributes that make up the actor's state."""
        return {key: value for key, value in vars(self).items() if key not in self.WIRING}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state that `state` returned."""
        vars(self).update(state)


_NO_EVENTS: Final[tuple[type[Event], ...]] = ()


def handlers_of(actor: Actor) -> list[tuple[type[Event], Callable[[Any, Emit], None]]]:
    """Return (event type, bound handler) of an actor, by the order of definition, base classes first."""
    found: dict[str, None] = {}
    for cls in reversed(type(actor).__mro__):
        for name, member in vars(cls).items():
            if getattr(member, "__handles__", None):
                found[name] = None
    return [
        (event_type, getattr(actor, name))
        for name in found
        for event_type in getattr(getattr(type(actor), name), "__handles__", _NO_EVENTS)
    ]
