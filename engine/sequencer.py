"""Delivers events to actors one at a time, in journal order. The core of the engine.

Owns the order of everything: seqs, causes, the clock (the time of the input, which never goes back), the
timers, the change of days, and what happens when a handler raises. A *turn* is one input with everything that
follows from it: the timers due before it, the handlers of the input, then every derived event in the order of
emission, until no event is left. Promises: the same inputs give the same records, bit for bit.

Called by the live runtime, the replay and the backtest, which differ only in source and sink. It never
awaits, reads no clock, and does I/O only through its `Sink` and, to rebuild a failed actor, its `History`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import length_hint
from typing import Any, Final

from engine.actors.base import Actor, Because, Later, RoutesChanged, SetTimer
from engine.clock import DAY_NS, day_of, day_start_ns
from engine.errors import EngineError, UsageError
from engine.events import (
    ActorFailed,
    ClockJumped,
    DayOpened,
    Event,
    InstrumentListed,
    OperatorCommand,
    SessionStarted,
    StrategyBegan,
    TimerFired,
    Trade,
    engine_time,
)
from engine.events.codec import Derived, Record, in_order
from engine.instruments import Instruments
from engine.opening import Opening, day_opened, read_opening
from engine.passing import FAULTS, Handler
from engine.ports import History, Sink
from engine.registry import Build, Registry, Restart, owner_of, relist
from engine.strategies.actor import StrategyActor
from engine.strategies.placing import emitted_by
from engine.timers import NEVER, Timers

__all__ = ["Sequencer"]

# What actors emit that is no event, or not as it is.
_REQUESTS: Final = frozenset({SetTimer, RoutesChanged, Later, Restart, Because})
TURN_EVENTS_MAX: Final = 100_000
"""More derived events than this in one turn are a loop between actors."""

FLUSH_EVENTS: Final = 8192
"""After this many derived events the turns so far are passed to the sink: a batch may exceed a frame."""


class Sequencer:
    """The sequencer of one journal. `seq`: of the last record; `clock_steps_back` counts clamped inputs."""

    def __init__(self, build: Build, sink: Sink, history: History | None = None) -> None:
        self.seq = 0
        self.clock_steps_back = 0
        self._sink = sink
        self._history = history
        self._now_ns = 0
        self._midnight_ns = 0
        self._due_ns = 0
        self._timers = Timers()
        self._out: list[Any] = []
        self._later: list[tuple[Later, int]] = []
        self._derived: list[Derived] = []
        self._batch: list[Event] = []
        self._index = 0
        self._flushed = 0
        self._flushed_seq = 0
        self._registry = Registry(
            build,
            {
                SessionStarted: self._begin_session,
                InstrumentListed: self._list_instrument,
                OperatorCommand: self._operate,
            },
        )

    @property
    def now_ns(self) -> int:
        """The engine's time after the last turn, UTC nanoseconds."""
        return self._now_ns

    @property
    def due_ns(self) -> int:
        """When the next timer or midnight is due: a live clock must send an input by then."""
        return self._due_ns

    @property
    def instruments(self) -> Instruments:
        """The instruments listed so far, by number."""
        return self._registry.instruments

    @property
    def session(self) -> SessionStarted | None:
        """The session under way."""
        return self._registry.session

    @property
    def without_state(self) -> dict[str, str]:
        """Strategies that began without the state they had in the session before, and why."""
        return self._registry.without_state

    @property
    def failures(self) -> list[str]:
        """Which actors failed in this session, on which event and why, oldest first."""
        return self._registry.failures

    def preview(self, started: SessionStarted) -> list[StrategyBegan]:
        """Return which strategies would begin a session without their state although they hold something."""
        return self._registry.succession(started).began

    def actor(self, name: str) -> Actor:
        """Return the actor of that name. Raises KeyError."""
        return {actor.name: actor for actor in self._registry.actors}[name]

    def run(self, inputs: list[Event]) -> None:
        """Run one turn per input. The hot path: it does only what an input without consequences needs.

        The caller must not change the list afterwards. Whole turns go to the sink before this returns. Raises
        EngineError for faults of the engine; an error of an actor becomes `ActorFailed`.
        """
        self._batch = inputs
        self._flushed = 0
        self._flushed_seq = self.seq
        count = len(inputs)
        routes = self._registry.routes
        out = self._out
        emit = out.append
        now = self._now_ns
        due = self._due_ns
        handler: Handler | None = None
        event: Event
        # The seq of input i is before + i + 1, plus the number of derived records before it.
        before = self.seq
        source = self._source = iter(inputs)
        self._index = -1
        passing, fresh = self._registry.passing, True
        while True:
            try:
                for event in source:
                    recv = event.recv_ns  # type: ignore[attr-defined]
                    if recv >= due:
                        handler = None
                        index = count - length_hint(source) - 1
                        self.seq = before + index
                        self._index = index - 1
                        self._now_ns = now
                        self._catch_up(event, recv, index)
                        before = self.seq - index
                        now = self._now_ns
                        due = self._due_ns
                    if recv > now:
                        now = recv
                    elif recv < now:
                        self.clock_steps_back += 1
                    for handler in routes[event.__class__]:
                        handler(event, emit)
                    if fresh and not out and event.__class__ is Trade:
                        handler, now = None, passing.run(inputs, source, now, due, out)
                        fresh = passing.again
                    if out:
                        fresh, handler = True, None
                        self._index = index = count - length_hint(source) - 1
                        self.seq = before + index + 1
                        self._now_ns = now
                        self._settle()
                        before = self.seq - index - 1
                        due = self._due_ns
                        if len(self._derived) >= FLUSH_EVENTS:
                            self._flush(index + 1)
                break
            except FAULTS as error:
                if passing.failed is not None:
                    (event, handler), passing.failed = passing.failed, None
                    now = event.recv_ns  # type: ignore[attr-defined]
                elif handler is None or handler not in routes.get(event.__class__, ()):
                    raise
                fresh = True
                self._index = index = count - length_hint(source) - 1
                self.seq = before + index + 1
                self._now_ns = now
                self._input_failed(event, handler, error)
                before = self.seq - index - 1
                due = self._due_ns
        self.seq = before + count
        self._now_ns = now
        self._flush(count)

    def close_day(self, *, fires: bool = True) -> None:
        """Fire the timers due before midnight. For a replayed day, if the next day has begun.

        Without `fires` the next day began with a jump of the clock, which comes before those timers.
        """
        self._batch, self._flushed = [], 0
        if fires:
            self._fire_until(self._midnight_ns - 1)
        self._fail_unstorable()
        self._registry.checked.clear()  # no day is opened here
        self._flush(0)

    def load(self, seq: int, opened: DayOpened) -> None:
        """Restore the state that a day opens with; `seq` is that of the record."""
        opening = read_opening(opened)
        self.seq = seq
        self._now_ns = opening.now_ns
        self._midnight_ns = day_start_ns(opened.day) + DAY_NS
        self._timers.load(opening.timers, opening.timer_number)
        self._registry.instruments.replace(opened.instruments)
        self._registry.resume(opened.started, opening)
        self._set_due()

    def follow(self, records: Iterable[Record]) -> None:
        """Restore the state that recorded events led to, without deriving. Used when a live session resumes.

        Every actor sees the records in their order; what it emits is dropped, except for its timers. The
        state is therefore that of the journal even if a strategy has been edited since. Nothing reaches the
        sink.
        """
        out = self._out
        emit = out.append
        registry = self._registry
        for seq, _, event in records:
            if isinstance(event, DayOpened):
                self.load(seq, event)
                continue
            self._now_ns = max(self._now_ns, engine_time(event))
            self._midnight_ns = self._midnight_ns or day_start_ns(day_of(self._now_ns)) + DAY_NS
            self.seq = registry.turn.seq = seq
            if isinstance(event, TimerFired):
                self._timers.fired(event.actor, event.key)
            for handler in registry.handlers(event):
                try:
                    handler(event, emit)
                except FAULTS:
                    # Either the next record is its failure, or the code was edited and its state is not kept.
                    if owner_of(handler) is None:
                        raise
            if isinstance(event, ActorFailed):
                registry.note_failure(event)
            for item in out:
                if isinstance(item, SetTimer):
                    self._timers.push(item, seq)
                elif isinstance(item, RoutesChanged):
                    registry.stale = True
                elif isinstance(item, Restart):
                    for timer in self._restart(item.actor, seq - 1):
                        if isinstance(timer, SetTimer):
                            self._timers.push(timer, seq)
            out.clear()
        self._set_due()

    # Time: timers and days.

    def _catch_up(self, event: Event, recv_ns: int, index: int) -> None:
        """Fire timers and begin a new day before an input, if due.

        The first input of a session, and a jump of the clock, come before the timers that were due meanwhile,
        so that the actors learn of the interruption first. Those timers then fire once, at the present time.
        """
        starting = event.__class__ is SessionStarted
        first = starting or (isinstance(event, ClockJumped) and event.ahead)
        if recv_ns >= self._midnight_ns:
            self._flush(index)
            if not first:
                self._fire_until(self._midnight_ns - 1)
            if not starting:
                self._fail_unstorable()
                self._flush(index)
            next_ns = NEVER if first else self._timers.next_ns
            self._open_day(max(min(recv_ns, next_ns), self._midnight_ns))
        while not first and self._timers.next_ns <= recv_ns:
            self._fire_until(min(recv_ns, self._midnight_ns - 1))
            if self._timers.next_ns <= recv_ns:
                self._fail_unstorable()
                self._flush(index)
                self._open_day(self._timers.next_ns)
        if recv_ns >= self._midnight_ns:
            if not starting:
                self._fail_unstorable()
            self._flush(index)
            self._open_day(recv_ns)
        self._set_due()

    def _fire_until(self, until_ns: int) -> None:
        """Fire the timers due by then, by due time and number, each with everything that follows from it."""
        while self._timers.next_ns <= until_ns:
            due_ns, _, actor, key, cause = self._timers.pop()
            self._now_ns = max(self._now_ns, due_ns)
            self._out.append(TimerFired(self._now_ns, actor, key))
            self._settle(cause)

    def _open_day(self, at_ns: int) -> None:
        """Begin a UTC day: a new folder, with `DayOpened` as its first record unless the journal is new."""
        day = day_of(at_ns)
        self._midnight_ns = day_start_ns(day) + DAY_NS
        self._sink.open_day(day)
        if not self.seq:
            return
        self._now_ns = max(self._now_ns, day_start_ns(day))
        registry = self._registry
        registry.open_day()
        self._timers.keep()
        opening = Opening(
            self._now_ns,
            self._timers.queue,
            self._timers.number,
            registry.failed,
            registry.day_states,
            registry.day_shapes,
        )
        self.seq += 1
        listed = registry.instruments.values()
        opened = day_opened(day, opening, registry.packed_shapes, registry.session, listed)
        self._derived.append((self.seq, self.seq - 1, opened))

    def _fail_unstorable(self) -> None:
        """Fail each strategy whose state cannot be stored at midnight, in the last records of the day."""
        failures = self._registry.fail_unstorable(self.seq, self._now_ns)
        if failures:
            self._out += failures
            self._settle()

    def _set_due(self) -> None:
        self._due_ns = min(self._timers.next_ns, self._midnight_ns)

    # Turns: inputs and the events derived from them.

    def _settle(self, cause: int = 0) -> None:
        """Number, record and route the events in `_out` and all that follow, in the order of emission.

        `cause` is the seq of the event that emitted them, by default the last record.
        """
        registry = self._registry
        turn, routes, derived = registry.turn, registry.routes, self._derived
        out = self._out
        emit = out.append
        causes = [cause or self.seq] * len(out)
        if len(out) == 1 and out[0].__class__ is Later and not self._later:
            out[0] = out[0].event  # the bar of a candle: nothing comes before it
        position = 0
        while position < len(out) or self._later:
            if position == len(out):
                self._bring_later(out, causes)
            event = out[position]
            cause = causes[position]
            position += 1
            kind = event.__class__
            if kind in _REQUESTS:
                if kind is Later:
                    if event.key:
                        self._later = [one for one in self._later if one[0].key != event.key]
                    self._later.append((event, cause))
                    continue
                if kind is SetTimer:
                    self._timers.push(event, cause)
                    continue
                if kind is RoutesChanged:
                    registry.stale = True
                    continue
                if kind is Restart:
                    out += self._restart(event.actor, cause - 1)
                    causes.extend([cause] * (len(out) - len(causes)))
                    continue
                event, cause = event.event, event.cause  # Because
                kind = event.__class__
            self.seq = turn.seq = seq = self.seq + 1
            derived.append((seq, cause, event))
            at_hand = registry.stale or kind is TimerFired
            for handler in registry.handlers(event) if at_hand else routes[kind]:
                before = len(out)
                try:
                    handler(event, emit)
                except FAULTS as error:
                    del out[before:]
                    out.insert(position, registry.fail(handler, error, seq, engine_time(event)))
                    causes.insert(position, seq)
            if len(out) > len(causes):
                causes += [seq] * (len(out) - len(causes))
            if len(out) > TURN_EVENTS_MAX:
                raise EngineError(
                    f"turn of seq {seq} has more than {TURN_EVENTS_MAX} derived events: actors react to "
                    "each other without end; look at the last events with `engine inspect`"
                )
        if registry.stale:
            registry.update()
        out.clear()
        self._set_due()

    def _bring_later(self, out: list[Any], causes: list[int]) -> None:
        """Append the postponed events of the lowest place, with the causes they had."""
        brought, left = self._later, []
        if len(brought) > 1:
            place = min(later.place for later, _ in brought)
            left = [one for one in brought if one[0].place != place]
            if left:
                brought = [one for one in brought if one[0].place == place]
        self._later = left
        for later, cause in brought:
            out.append(later.event)
            causes.append(cause)

    def _flush(self, index: int) -> None:
        """Pass the turns of the inputs before `index`, with their derived records, to the sink."""
        inputs = self._batch
        if self._flushed or index != len(inputs):
            inputs = inputs[self._flushed : index]
        self._flushed = index
        self._flushed_seq = self.seq
        if inputs or self._derived:
            derived, self._derived = self._derived, []
            self._sink.append(self.seq - len(inputs) - len(derived) + 1, inputs, derived)

    def _input_failed(self, event: Event, handler: Handler, error: BaseException) -> None:
        """Finish the turn of an input whose `handler` raised: the other handlers still see the input.

        The failure comes before everything else that the turn emitted, so that risk learns of it first. What
        a strategy emitted before it raised is dropped, since where it stopped may not be
        reproducible (memory, recursion depth).
        """
        failed = owner_of(handler)
        if isinstance(failed, StrategyActor):
            self._out[:] = [item for item in self._out if not emitted_by(item, failed.name)]
        remaining = list(self._registry.routes[event.__class__])
        del remaining[: remaining.index(handler) + 1]
        self._out.insert(0, self._registry.fail(handler, error, self.seq, self._now_ns))
        for other in remaining:
            before = len(self._out)
            try:
                other(event, self._out.append)
            except FAULTS as another:
                del self._out[before:]
                self._out.insert(0, self._registry.fail(other, another, self.seq, self._now_ns))
        self._settle()

    # The sequencer's own handlers: sessions, instruments, operators.

    def _begin_session(self, started: SessionStarted, emit: Any) -> None:
        """Build the session's actors. An actor that takes over its predecessor's state keeps its timers."""
        new = self._registry.begin(started)
        for old, name in started.moves:
            self._timers.move(old, name)
        self._timers.keep(lambda timer: timer[2] in new.kept)
        for event in [*new.moved, *new.began]:
            emit(event)
        for handler in self._registry.start_handlers:
            handler(started, emit)

    def _list_instrument(self, listed: InstrumentListed, emit: Any) -> None:
        """Put a listing in force: every actor moves its numbers to the scales first."""
        relist(self._registry.actors, self._registry.instruments, listed)

    def _operate(self, command: OperatorCommand, emit: Any) -> None:
        """Restart a failed actor: its state is rebuilt from the journal without the events it failed on."""
        if self._batch:
            # Actors learn its seq. Each input since the last one with consequences has taken one seq.
            index = len(self._batch) - length_hint(self._source) - 1
            self._registry.turn.seq = self.seq + index - self._index
        if command.command == "restart" and command.target in self._registry.failed:
            emit(Restart(command.target))

    def _day_records(self, history: History, until_seq: int) -> Iterator[Record]:
        """Yield the day's records: from the journal, then those of this batch that are not written yet."""
        reached = 0
        for record in history.records(day_of(self._midnight_ns - 1), until_seq):
            reached = record[0]
            yield record
        inputs = self._batch[self._flushed : self._index + 1]
        for record in in_order(self._flushed_seq + 1, inputs, tuple(self._derived)):
            if reached < record[0] <= until_seq:
                yield record

    def _restart(self, name: str, until_seq: int) -> list[Event | SetTimer]:
        """Rebuild a failed actor from the day's records; return what to emit about it."""
        if self._history is None:
            raise UsageError(f"{name} can be restarted only where the journal can be read back")
        records = self._day_records(self._history, until_seq)
        self._timers.keep(lambda timer: timer[2] != name)
        return self._registry.rebuild(name, records, self._now_ns)
