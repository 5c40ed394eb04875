"""The registry of a session's actors: the routing table, stored states, failed actors.

Owns the table from event type to bound handlers. It is built at the start of a session, and again when an
actor emits `RoutesChanged` and when an actor fails or is restarted. Only the sequencer calls it. Promises:
the same session and the same states give the same actors in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from engine.actors.base import Actor, SetTimer, Turn, handlers_of
from engine.beginnings import FAILED, UNREADABLE, UNSTORABLE, beginnings, reason
from engine.config import parse_config
from engine.errors import JournalError, StateVersionError, UsageError
from engine.events import (
    EVENT_TYPES,
    ActorFailed,
    ActorRestarted,
    Event,
    InstrumentListed,
    PositionChanged,
    SessionStarted,
    StrategyBegan,
    TimerFired,
    Trade,
)
from engine.events.codec import Record
from engine.instruments import Instruments
from engine.moving import move
from engine.opening import Opening, States
from engine.passing import Handler, Passing
from engine.snapshot import classes_of
from engine.states import (
    NO_SHAPES,
    Shapes,
    decode_state,
    encode_state,
    refuse_large,
    restored_state,
    shapes_of,
    stored_state,
)
from engine.strategies.actor import StrategyActor
from engine.strategies.inheriting import inherit
from engine.strategies.places import place_of, words_of

__all__ = ["Build", "Registry", "Restart", "Succession", "owner_of", "relist"]

Build = Callable[[SessionStarted], Sequence[Actor]]
"""Makes the actors of a session, in the order in which they are called."""

_FIXED: Final = (TimerFired, SessionStarted)
"""The types of events that are not routed by what actors listen to."""


class Restart(NamedTuple):
    """Emitted by the sequencer to itself: rebuild this actor once the operator's input has its seq."""

    actor: str


class Succession(NamedTuple):
    """The actors of a new session. `kept` are the names of those that took over a state.

    `without` are the strategies that did not, with the reason; `unreadable` says more for people. `began`
    are the events about those that hold something, `moved` the positions that got another owner.
    """

    actors: list[Actor]
    kept: list[str]
    without: dict[str, str]
    unreadable: dict[str, str]
    began: list[StrategyBegan]
    moved: list[PositionChanged]


class Registry:
    """The actors of a session and their routes.

    `failed` maps the name of a failed actor to the seq it failed on. `failures` describes the failures of
    this session for people. `stale`: the result of a `listens` has changed, so that `update` is to be
    called before the next event is routed. `without_state` maps a strategy that began without its stored
    state to the reason. `own` are the sequencer's handlers by event type. They are called before every
    actor's; for `SessionStarted` they are called instead, because they build the actors.
    """

    def __init__(self, build: Build, own: Mapping[type[Event], Handler]) -> None:
        self.actors: list[Actor] = []
        self.session: SessionStarted | None = None
        self.instruments = Instruments()
        self.failed: dict[str, int] = {}
        self.failures: list[str] = []
        self._skipped: dict[str, list[int]] = {}
        self.turn = Turn()
        self.day_states: States = {}
        self.day_shapes: Shapes = NO_SHAPES
        self.packed_shapes = b""  # those of the last day that was opened here
        self.day_instruments = Instruments()
        self.without_state: dict[str, str] = {}
        self._unreadable: dict[str, str] = {}  # of the day's opening, until the strategy begins a new state
        self._lost: dict[str, str] = {}  # the same for those that the day's opening has no state of
        self.routes: dict[type[Event], tuple[Handler, ...]] = {}
        self.timer_routes: dict[str, Handler] = {}
        self.start_handlers: tuple[Handler, ...] = ()
        self._build = build
        self._own = own
        self._handlers: list[tuple[Actor, list[tuple[type[Event], Handler]]]] = []
        self._choices: list[tuple[Actor, dict[type[Event], bool]]] = []
        self.checked: dict[
            str, tuple[bytes, Any]
        ] = {}  # at midnight: a strategy's state stored, and restored
        self.stale = False
        self.passing = Passing()
        self.route()

    def begin(self, started: SessionStarted) -> Succession:
        """Build a session's actors, give them the states of their predecessors, and let them be called.

        Raises UsageError if a strategy's state cannot be restored from a snapshot; it would fail at midnight.
        """
        new = self.succession(started)
        for actor in new.actors:
            if isinstance(actor, StrategyActor) and actor.name not in new.kept:
                stored_state(actor.state(), actor.name, classes_of(actor))
        self.session = started
        self.instruments.prefer(parse_config(started.config).instruments)
        self.failed = {}
        self.failures = []
        self.actors = new.actors
        self.without_state = {name: f"state: {why}" for name, why in new.without.items()} | new.unreadable
        self._unreadable = {}
        self._lost = {}
        self._learn_handlers()
        return new

    def succession(self, started: SessionStarted) -> Succession:
        """Return the actors of a new session with the states of their predecessors. Changes nothing."""
        self.checked.clear()
        states, lost = self._inheritance()
        for old, name in started.moves:
            for by_name in (states, lost):
                if old in by_name:
                    by_name[name] = by_name.pop(old)  # type: ignore[assignment]
        unreadable = dict(self._unreadable)
        actors = list(self._build(started))
        kept: list[str] = []
        without: dict[str, str] = {}
        for actor in actors:
            actor.bind(self.instruments, self.turn)
            if self._restore(actor, states, NO_SHAPES, unreadable):
                kept.append(actor.name)
            if self.session is None or not isinstance(actor, StrategyActor):
                continue
            if actor.name in unreadable:
                without[actor.name] = UNREADABLE
            elif actor.name not in kept:
                without[actor.name] = lost.get(actor.name) or reason(actor.name, self.session, started)
        moved: list[PositionChanged] = []
        for old, name in started.moves:
            moved += move(actors, old, name, started.recv_ns)
        self._inherit(actors, [name for name in without if name not in kept])
        began = [] if started.mode == "backfill" else beginnings(started, actors, without)
        return Succession(actors, kept, without, unreadable, began, moved)

    def _inheritance(self) -> tuple[States, dict[str, str]]:
        """Return the states that a new session may take over, and why those of other strategies are lost."""
        states = {name: state for name, state in self.states().items() if name not in self._lost}
        lost = {
            actor.name: FAILED if actor.name in self.failed else UNSTORABLE
            for actor in self.actors
            if isinstance(actor, StrategyActor) and actor.name not in states
        }
        return states, lost

    def _inherit(self, actors: Sequence[Actor], names: Iterable[str]) -> None:
        """Give strategies without their state what the other actors hold for them."""
        for actor in actors:
            if isinstance(actor, StrategyActor) and actor.name in names:
                inherit(actor.own, actor.name, actors)

    def resume(self, session: SessionStarted | None, opening: Opening) -> None:
        """Build the actors of a session that was under way, with the states that a day opened with.

        Raises StateVersionError if a current actor class cannot hold its state; a strategy begins without it
        instead.
        """
        self.session = session
        self.instruments.prefer(parse_config(session.config).instruments if session is not None else ())
        self.failed = opening.failed
        self._skipped = {}
        self._unreadable = {}
        self.day_states = opening.actors
        self.day_shapes, self.packed_shapes = opening.shapes, b""
        self.day_instruments = self.instruments.copy()
        self.actors = list(self._build(session)) if session is not None else []
        self._lost = {
            actor.name: UNSTORABLE
            for actor in self.actors
            if isinstance(actor, StrategyActor) and not {actor.name} & (opening.actors.keys() | self.failed)
        }
        for actor in self.actors:
            actor.bind(self.instruments, self.turn)
            self._restore(actor, self.day_states, self.day_shapes, self._unreadable)
        self._inherit(self.actors, [*self._unreadable, *self._lost])
        self.without_state = dict(self._unreadable)
        self._learn_handlers()

    def states(self) -> States:
        """Return the states of all actors except the failed ones, whose last change may be incomplete.

        A strategy whose state cannot be stored is left out too: in the next session it begins without state.
        """
        states: States = {}
        for actor in self.actors:
            if actor.name in self.failed:
                continue
            try:
                checked = self.checked.get(actor.name)
                blob = checked[0] if checked is not None else self._packed(actor)
                states[actor.name] = (actor.signature, blob)
            except UsageError:
                if not isinstance(actor, StrategyActor):
                    raise
        return states

    def _packed(self, actor: Actor) -> bytes:
        """Return an actor's state as stored. Raises UsageError."""
        blob = encode_state(actor.state(), actor.name)
        if isinstance(actor, StrategyActor):
            return refuse_large(blob, actor.name, sum(isinstance(one, StrategyActor) for one in self.actors))
        return blob

    def fail_unstorable(self, seq: int, at_ns: int) -> list[Event]:
        """Fail the strategies whose state cannot be restored from a snapshot; return their `ActorFailed`.

        Keeps what it stored for `open_day`, which must follow at once unless there are failures.
        """
        failures: list[Event] = []
        self.checked.clear()
        for actor in self.actors:
            if isinstance(actor, StrategyActor) and actor.name not in self.failed:
                try:
                    blob = self._packed(actor)
                    self.checked[actor.name] = blob, restored_state(blob, actor.name, classes_of(actor))
                except UsageError as error:
                    failed = _failure(actor, error, seq, at_ns)
                    failures.append(failed)
                    self.failures.append(_described(failed))
                    self.failed[actor.name] = seq
        if failures:
            self.checked.clear()
            self.route()
        return failures

    def open_day(self) -> None:
        """Store the states that open a day, and restore every strategy from its stored state.

        A live day then continues with exactly the state that a replay of the day begins with.
        """
        self.day_states = self.states()
        shapes: Shapes = {}
        self.day_instruments = self.instruments.copy()
        for actor in self.actors:
            if actor.name in self.day_states:
                shapes |= shapes_of(self.day_states[actor.name][1], classes_of(actor))
                if actor.name in self.checked:
                    actor.restore(self.checked[actor.name][1])
                elif isinstance(actor, StrategyActor):
                    self._restore(actor, self.day_states, NO_SHAPES, self._unreadable)
        # Equal also in order: the bytes must be those that a replay of this day alone derives.
        if not self.packed_shapes or [*shapes.items()] != [*self.day_shapes.items()]:
            self.packed_shapes = encode_state(shapes, "sequencer")
        self.day_shapes = shapes
        self.checked.clear()

    def note_failure(self, failed: ActorFailed) -> None:
        """Take over a recorded failure."""
        self.failed[failed.actor] = failed.seq
        self.failures.append(_described(failed))
        self._skipped.setdefault(failed.actor, []).append(failed.seq)
        self.route()

    def fail(self, handler: Handler, error: BaseException, seq: int, at_ns: int) -> ActorFailed:
        """Remove the actor whose handler raised from the routes and return its `ActorFailed`.

        Re-raises an error of the engine's own handlers, and MemoryError.
        """
        actor = owner_of(handler)
        if actor is None or isinstance(error, MemoryError):
            raise error
        failed = _failure(actor, error, seq, at_ns)
        self.note_failure(failed)
        return failed

    def rebuild(self, name: str, records: Iterable[Record], at_ns: int) -> list[Event | SetTimer]:
        """Restart a failed actor in the state that the day's records lead to without those it failed on.

        What it emits meanwhile is dropped, except for its pending timers, which are returned after an
        `ActorRestarted`. If it raises again it stays failed, and an `ActorFailed` is returned.
        """
        assert self.session is not None, "an actor failed before any session"
        del self.failed[name]
        skipped = self._skipped.get(name, ())
        actor = {actor.name: actor for actor in self._build(self.session)}[name]
        # Until the records are through, the listings in force are those of their time.
        instruments = self.day_instruments.copy()
        instruments.prefer(parse_config(self.session.config).instruments)
        actor.bind(instruments, self.turn)
        self._restore(actor, self.day_states, self.day_shapes, self._unreadable)
        handlers: dict[type[Event], list[Handler]] = {}
        for kind, handler in handlers_of(actor):
            handlers.setdefault(kind, []).append(handler)
        timers: dict[str, SetTimer] = {}
        emitted: list[Any] = []
        count = 0
        for seq, _, event in records:
            count += 1
            if isinstance(event, TimerFired):
                if event.actor != name:
                    continue
                timers.pop(event.key, None)
            elif isinstance(event, InstrumentListed):
                relist([actor], instruments, event)
            if seq in skipped:
                continue
            self.turn.seq = seq
            try:
                for handler in handlers.get(event.__class__, ()):
                    handler(event, emitted.append)
            except (Exception, SystemExit) as error:
                failed = _failure(actor, error, seq, at_ns)
                self.note_failure(failed)
                return [failed]
            timers |= {item.key: item for item in emitted if isinstance(item, SetTimer)}
            emitted.clear()
        actor.bind(self.instruments, self.turn)
        self.actors = [actor if other.name == name else other for other in self.actors]
        # Its copies lack the events that were left out; the actors that decide have them.
        self._inherit(self.actors, [name])
        self._learn_handlers()
        return [ActorRestarted(at_ns, name, count), *timers.values()]

    def route(self) -> None:
        """Update the routing table in place: event type to bound handlers, in the actors' order."""
        table: dict[type[Event], list[Handler]] = {kind: [] for kind in EVENT_TYPES}
        for kind, handler in self._own.items():
            table[kind].append(handler)
        self.timer_routes.clear()
        for actor, handlers in self._handlers:
            if actor.name in self.failed:
                continue
            for kind, handler in handlers:
                if kind is TimerFired:
                    self.timer_routes[actor.name] = handler
                elif actor.listens(kind):
                    table[kind].append(handler)
        first, *rest = table[SessionStarted]
        self.start_handlers = tuple(rest)
        table[SessionStarted] = [first]
        for kind, chosen in table.items():
            self.routes[kind] = tuple(chosen)
        self._learn_choices()
        self.passing.learn(self.routes[Trade])
        self.stale = False

    def update(self) -> None:
        """Update the routes of the event types whose listeners have changed."""
        self.stale = False
        changed: dict[type[Event], None] = {}
        for actor, listening in self._choices:
            for kind, listened in listening.items():
                if actor.listens(kind) is not listened:
                    listening[kind] = not listened
                    changed[kind] = None
        for kind in changed:
            self.routes[kind] = tuple(
                handler for actor, handler in self._handlers_of(kind) if actor is None or actor.listens(kind)
            )
        if Trade in changed:
            self.passing.learn(self.routes[Trade])

    def _handlers_of(self, kind: type[Event]) -> Iterator[tuple[Actor | None, Handler]]:
        """Yield the handlers of an event type, each with its actor; None for the engine's own."""
        if kind in self._own:
            yield None, self._own[kind]
        for actor, handlers in self._handlers:
            if actor.name not in self.failed:
                yield from ((actor, handler) for one, handler in handlers if one is kind)

    def _learn_choices(self) -> None:
        """Note which actors do not always listen to what they handle, and to what they listen now."""
        self._choices = [
            (actor, {kind: actor.listens(kind) for kind, _ in handlers if kind not in _FIXED})
            for actor, handlers in self._handlers
            if actor.name not in self.failed and type(actor).listens is not Actor.listens
        ]

    def handlers(self, event: Event) -> tuple[Handler, ...]:
        """Return the handlers of an event. A timer goes to the actor that set it."""
        if self.stale:
            self.update()
        kind = event.__class__
        if kind is TimerFired:
            assert isinstance(event, TimerFired), "its class says so"
            handler = self.timer_routes.get(event.actor)
            return () if handler is None else (handler,)
        return self.routes[kind]

    def _learn_handlers(self) -> None:
        self._handlers = [(actor, handlers_of(actor)) for actor in self.actors]
        self.route()

    def _restore(self, actor: Actor, states: States, shapes: Shapes, unreadable: dict[str, str]) -> bool:
        """Give an actor its stored state if there is one under the same signature.

        A strategy whose classes cannot hold the state begins without it, as an edited one does; the reason is
        noted in `unreadable`. Any other actor raises StateVersionError.
        """
        signature, blob = states.get(actor.name, ("", b""))
        if actor.name in self.failed or not blob or signature != actor.signature:
            return False
        try:
            actor.restore(decode_state(blob, classes_of(actor), shapes))
        except JournalError as error:
            if isinstance(actor, StrategyActor):
                old = isinstance(error, StateVersionError)
                unreadable[actor.name] = str(error) if old else f"state: {error}"
                return False
            if isinstance(error, StateVersionError) and self.session is not None:
                raise StateVersionError(
                    f"{error}; version {self.session.version} recorded it: replay or continue the journal "
                    "with that version, or begin a new journal"
                ) from None
            raise
        return True


def relist(actors: Iterable[Actor], instruments: Instruments, listed: InstrumentListed) -> None:
    """Put a listing in force, after the actors have moved their numbers to its scales.

    Raises JournalError if a scale is coarser than before: numbers could not be moved exactly.
    """
    before = instruments.get(listed.instrument)
    if before is not None:
        scales, scales_now = ((one.price_scale, one.size_scale) for one in (before, listed))
        if scales_now[0] < scales[0] or scales_now[1] < scales[1]:
            raise JournalError(
                f"{listed.key} is listed again with {scales_now[0]} decimals for prices and {scales_now[1]} "
                f"for sizes, after {scales[0]} and {scales[1]}: within a journal they never become fewer"
            )
        if scales != scales_now:
            for actor in actors:
                actor.rescale(before, listed)
    instruments[listed.instrument] = listed


def _failure(actor: Actor, error: BaseException, seq: int, at_ns: int) -> ActorFailed:
    """Return the event for an actor that raised. Its text is recorded, so its form must not change."""
    words = words_of(error)
    place = place_of(error, type(actor.strategy)) if isinstance(actor, StrategyActor) else ""
    text = f"{type(error).__name__}: {words}"[:300].encode("utf-8", "backslashreplace").decode() + place
    return ActorFailed(at_ns, actor.name, seq, text, actor.policy)


def _described(failed: ActorFailed) -> str:
    """Return which actor failed, on which event, and why, in one line for people."""
    return f"{failed.actor} at seq {failed.seq}: {failed.error}"


def owner_of(handler: Handler) -> Actor | None:
    """Return the actor a bound handler belongs to, None for the engine's own."""
    owner = getattr(handler, "__self__", None)
    return owner if isinstance(owner, Actor) else None
