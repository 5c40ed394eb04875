"""When things happen at the simulated venue, and when the engine gets to know: with `[simulated]` only.

Owns the clock of the venue, commands on their way and reports on their way. A command that is sent at S
arrives at A = S + order latency, by the venue's clock, and takes effect between what happened at the venue
before A and what happened after it. The engine receives market data late, so the command is held until
something of A or later is received, or until its answer is due. Until then it can lose a race: a trade of
before A that is received after A still fills an order that is being canceled. A cancel or a change never
arrives before the order that it is of, and orders that are attached to one arrive with it, as one message
brings them. What the venue does at V is
reported at V + answer latency, or when the engine receives what shows it, if that is later; reports keep
their order.

Something that the engine receives is matched at the venue's time of it, but not later than its receipt: where
the two clocks differ so much that it seems to come before it happened, the time of receipt counts. Along a
candle reports are not delayed: when something happened within it is not known.

Called by the venue. Its state is the venue's `pending` and `answers`; all of it are timers and records, so it
replays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from engine.actors.base import Because, Emit, Later, RoutesChanged, SetTimer, State
from engine.actors.simulated.state import At
from engine.config.simulated import SimulatedConfig
from engine.events import (
    Event,
    LeverageAnswered,
    Liquidated,
    MarginCalled,
    ModifyRejected,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderModified,
    OrderRejected,
)

if TYPE_CHECKING:
    from engine.actors.simulated.venue import SimulatedVenue

__all__ = ["ANSWERS", "Answer", "Pending", "Timing", "report_due"]

ANSWERS: Final = "answers"
"""The key of the timer of reports on their way."""

_REPORTS: Final = (
    OrderAccepted,
    OrderRejected,
    OrderFilled,
    OrderCanceled,
    OrderModified,
    ModifyRejected,
    LeverageAnswered,
    Liquidated,
    MarginCalled,
)


class Pending(State):
    """A command on its way. It arrives at `arrives_ns`; its answer takes `answer_ns` from there."""

    arrives_ns: int
    seq: int
    key: str
    answer_ns: int


class Answer(State):
    """A report on its way. `cause` is the seq that it names as its cause; 0: what it is recorded with."""

    due_ns: int
    event: Event
    cause: int = 0


class Timing:
    """See the module."""

    def __init__(self, venue: SimulatedVenue, config: SimulatedConfig, seed: int, order_ms: int) -> None:
        self.v = venue
        self._order = config.latency("order_ms", f"{order_ms}")
        self._answer = config.latency("answer_ms")
        self._seed = seed

    def send(self, key: str, client_order_id: str, at_ns: int, emit: Emit) -> None:
        """Put a command on its way."""
        v = self.v
        if any(one.key == key for one in v.pending):
            return  # a cancel that follows another one
        seq = v.turn.seq
        drawn = f"{client_order_id} {key.partition(' ')[0]} {seq}"
        arrives_ns = at_ns + self._order.draw_ns(self._seed, f"order {drawn}")
        # A cancel or a change does not overtake its order: the venue would not know what it is of. An
        # attached order comes in one message with its parent.
        arrives_ns = max(arrives_ns, self._arrival_of(client_order_id))
        sent = v.in_transit.get(client_order_id) if key.startswith("order ") else None
        if sent is not None and self._arrival_of(sent.terms.parent) >= at_ns:
            arrives_ns = self._arrival_of(sent.terms.parent)
        answer_ns = self._answer.draw_ns(self._seed, f"answer {drawn}")
        v.pending.append(Pending(arrives_ns, seq, key, answer_ns))
        v.pending.sort(key=lambda one: (one.arrives_ns, one.seq))
        emit(SetTimer(v.name, arrives_ns + answer_ns, key))

    def _arrival_of(self, client_order_id: str) -> int:
        """Return when an order that is on its way arrives, 0 if it is not."""
        own = f"order {client_order_id}"
        return next((one.arrives_ns for one in self.v.pending if one.key == own), 0)

    def arrive(self, key: str, now_ns: int, emit: Emit) -> None:
        """Apply a command whose answer is due, after those that arrived before it."""
        found = next((one for one in self.v.pending if one.key == key), None)
        if found is None:  # it arrived before, or was sent by a session without this section
            self.v.apply(key, self.at(now_ns, now_ns, emit))
        while found in self.v.pending:
            self._apply(self.v.pending[0], now_ns, emit)

    def market(self, recv_ns: int, venue_ns: int, emit: Emit) -> At:
        """Apply the commands that arrived before something of the market; return when it happens."""
        happens_ns = min(venue_ns, recv_ns)
        while self.v.pending and self.v.pending[0].arrives_ns <= happens_ns:
            self._apply(self.v.pending[0], recv_ns, emit)
        return self.at(recv_ns, happens_ns, emit)

    def at(self, recv_ns: int, venue_ns: int, emit: Emit, answer_ns: int | None = None) -> At:
        """Return when something happens at the venue; its reports are delayed."""

        def delaying(item: Event | Because | Later | SetTimer | RoutesChanged) -> None:
            event, cause = (item.event, item.cause) if isinstance(item, Because) else (item, 0)
            if isinstance(event, _REPORTS):
                self._report(event, cause, recv_ns, venue_ns, answer_ns, emit)
            else:
                emit(item)

        return At(recv_ns, venue_ns, delaying)

    def flush(self, now_ns: int, emit: Emit) -> None:
        """Report all that is on its way."""
        for one in self.v.answers:
            one.due_ns = min(one.due_ns, now_ns)
        report_due(self.v, now_ns, emit)

    def _apply(self, command: Pending, now_ns: int, emit: Emit) -> None:
        self.v.pending.remove(command)
        self.v.apply(command.key, self.at(now_ns, command.arrives_ns, emit, command.answer_ns))

    def _report(
        self, event: Event, cause: int, now_ns: int, venue_ns: int, answer_ns: int | None, emit: Emit
    ) -> None:
        answers = self.v.answers
        if answer_ns is None:
            answer_ns = self._answer.draw_ns(self._seed, _named(event, venue_ns))
        due_ns = max(now_ns, venue_ns + answer_ns, answers[-1].due_ns if answers else 0)
        if due_ns <= now_ns and not answers:
            emit(Because(event, cause) if cause else event)
            return
        answers.append(Answer(due_ns, event, cause))
        if len(answers) == 1:
            emit(SetTimer(self.v.name, due_ns, ANSWERS))


def report_due(venue: SimulatedVenue, now_ns: int, emit: Emit) -> None:
    """Report what is due; also what a session with this section left to one without."""
    answers = venue.answers
    while answers and answers[0].due_ns <= now_ns:
        one = answers.pop(0)
        event = _received(one.event, now_ns)
        emit(Because(event, one.cause) if one.cause else event)
    if answers:
        emit(SetTimer(venue.name, answers[0].due_ns, ANSWERS))


def _named(event: Event, venue_ns: int) -> str:
    """Return what names a report in a draw."""
    order, execution = getattr(event, "client_order_id", ""), getattr(event, "trade_id", "")
    return f"report {order} {type(event).__name__} {venue_ns} {execution}"


def _received(event: Any, now_ns: int) -> Event:
    """Return a report with the time at which it is received."""
    changed = {"at_ns" if hasattr(event, "at_ns") else "recv_ns": now_ns}
    received: Event = replace(event, **changed)
    return received
