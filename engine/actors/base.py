"""The base class of actors. An actor is state plus handlers, each registered for event types.

Owns `Actor`, the `handles` decorator, and the requests that an actor can send to the sequencer. The sequencer
relies on this: a handler is a function of (state, event). It does no I/O, reads no clock, uses no random
numbers, and its only output is `emit`.

An actor's state is its instance attributes, except those named in `WIRING`. A snapshot stores exactly these
(see `engine.snapshot`), so they are plain values, lists, dicts, or `State` structs. Those that hold prices,
sizes or their products are declared in the class's body with their kinds (`values.Price` and so on), so that
they follow when an instrument is listed with finer scales (`rescale`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar, Final, TypeVar

import msgspec

from engine.actors.rescaling import Change, hints_of, rescaled
from engine.events import Event, InstrumentListed
from engine.instruments import Instruments

__all__ = [
    "CALLS",
    "DECISIONS",
    "END_OF_CANDLE",
    "PATH",
    "PROTECTION",
    "REMEMBERED_MAX",
    "REMEMBERED_ON_PAPER",
    "Actor",
    "Because",
    "Emit",
    "Later",
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
K = TypeVar("K")

REMEMBERED_MAX: Final = 512
"""Upper bound on the ended orders that an actor remembers; the oldest go first."""

REMEMBERED_ON_PAPER: Final = 8
"""The same on paper, where nothing is reported late; each midnight stores what is remembered."""


class State(msgspec.Struct):
    """Base class of the mutable records in an actor's state. Snapshots can store them."""


class Once(State):
    """Part of strategies' states of earlier versions, kept so that their days can be read.

    `seen` are executions that had been reported; today the books judge them.
    """

    seen: dict[str, None] = {}


def remember(memory: dict[K, T], key: K, value: T, most: int) -> None:
    """Add an entry, and drop the oldest one beyond `most`."""
    memory[key] = value
    if len(memory) > most:
        del memory[next(iter(memory))]


class SetTimer(msgspec.Struct, frozen=True, gc=False):
    """Request to the sequencer, passed to `emit` and not journalled: fire `TimerFired(key)` at `due_ns`.

    Replaces the actor's pending timer with the same key.
    """

    actor: str
    due_ns: int
    key: str


class Because(msgspec.Struct, frozen=True, gc=False):
    """An event whose recorded cause is `cause`, a seq, instead of the event being handled.

    A simulated fill names the order it fills as its cause. The market event that let it happen is the input
    of the turn.
    """

    event: Event
    cause: int


class Later(msgspec.Struct, frozen=True, gc=False):
    """An event that is recorded and routed once nothing else of the turn is left.

    Of several, those with the lowest `place` come first. One with a `key` replaces the pending one with the
    same key.
    """

    event: Event
    place: int
    key: str = ""


class RoutesChanged(msgspec.Struct, frozen=True, gc=False):
    """Request to the sequencer, passed to `emit` and not journalled: the result of `listens` has changed."""


class Turn:
    """The sequencer's position.

    `seq` is that of the derived event being handled; it is not set for inputs.
    """

    __slots__ = ("seq",)

    def __init__(self) -> None:
        self.seq = 0


Emit = Callable[[Event | Because | Later | SetTimer | RoutesChanged], None]
"""Appends to the turn. Events are journalled and routed; `SetTimer` and `RoutesChanged` are carried out."""

PROTECTION: Final = -3
"""Place of protective exits: after all reports of the turn, so that books and orders are known."""

CALLS: Final = -2
"""Place of what strategies call: after that, so that it is judged on the books that it was made on."""

DECISIONS: Final = -1
"""Place of the orders of targets: after all that strategies call in the turn, so the last call counts."""

PATH: Final = 0
"""Place of the events along a candle (see `Later`)."""

END_OF_CANDLE: Final = 1
"""Place of the bars of a candle: after all that happens within it."""


def handles(*types: type[Event]) -> Callable[[F], F]:
    """Mark a method as the handler of these event types."""

    def mark(method: F) -> F:
        method.__handles__ = types  # type: ignore[attr-defined]
        return method

    return mark


class Actor:
    """Base class of every deterministic actor."""

    WIRING: ClassVar[frozenset[str]] = frozenset(
        {"name", "signature", "policy", "remembered", "instruments", "turn"}
    )
    """Attributes that are not state. The session sets them; they are never stored."""

    name: str
    signature: str = ""
    """Identifies what the state depends on. A new session restores a state only if its signature is equal."""
    policy: str = "halt"
    """Policy when a handler raises: "halt" or "quarantine"."""
    remembered: int = REMEMBERED_MAX
    """How many ended orders the actor remembers, since something may still be reported of them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.instruments = Instruments()
        self.turn = Turn()

    def bind(self, instruments: Instruments, turn: Turn) -> None:
        """Set the session's instruments (read only; more are added later) and turn.

        Called once, before any event.
        """
        self.instruments = instruments
        self.turn = turn

    def rescale(self, before: InstrumentListed, listed: InstrumentListed) -> None:
        """Move the state to the scales of a new listing, which are finer than before or equal.

        Called before the handlers of `InstrumentListed`, while `instruments` still has the listing before.
        Moves every attribute by the type that the class declares for it. An actor extends this for numbers
        that do not follow from their type, such as a threshold of a configuration.
        """
        change = Change.between(before, listed)
        for name, hint in hints_of(type(self)).items():
            if name not in self.WIRING and name in vars(self):
                setattr(self, name, rescaled(getattr(self, name), hint, change))

    def listens(self, event_type: type[Event]) -> bool:
        """Return whether the actor currently needs events of a type it handles. A function of its state.

        This keeps an idle actor off the hot path. The actor emits `RoutesChanged` when the result changes.
        """
        return True

    def keeps_newest(self, event_type: type[Event]) -> bool:
        """Return whether the handler of a type now only keeps the newest event of each instrument.

        Then it emits nothing, and of several events it may get the last alone. A function of the state.
        """
        return False

    def state(self) -> dict[str, Any]:
        """Return the attributes that make up the actor's state."""
        return {key: value for key, value in vars(self).items() if key not in self.WIRING}

    def restore(self, state: dict[str, Any]) -> None:
        """Set the state to one that `state` returned."""
        vars(self).update(state)


_NO_EVENTS: Final[tuple[type[Event], ...]] = ()


def handlers_of(actor: Actor) -> list[tuple[type[Event], Callable[[Any, Emit], None]]]:
    """Return the (event type, bound handler) pairs of an actor in order of definition, base classes first."""
    own = _handled_by(type(actor))  # type: ignore[arg-type]
    return [(event_type, getattr(actor, name)) for event_type, name in own]


@cache
def _handled_by(kind: type[Actor]) -> list[tuple[type[Event], str]]:
    """Return the (event type, name of the handler) pairs of a class. Not to be changed."""
    found: dict[str, None] = {}
    for cls in reversed(kind.__mro__):
        for name, member in vars(cls).items():
            if getattr(member, "__handles__", None):
                found[name] = None
    return [
        (event_type, name)
        for name in found
        for event_type in getattr(getattr(kind, name), "__handles__", _NO_EVENTS)
    ]
