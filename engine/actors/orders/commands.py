"""Operators' commands: what each does, what became of it, and which nonces are known.

Owns the way from a recorded command to its outcome. Each command with a nonce is answered in its turn
(`CommandAnswered`): done, refused with a code and a reason, or working; one that works is answered again when
it ends. The newest answers are kept by nonce, so that the same request made again, also after a restart, gets
the answer that is recorded; the oldest of those that have ended are forgotten beyond `ANSWERS_MAX`.

    pause, resume, halt      at once, see `halts`
    flatten                  works until the books that it names are closed
    cancel, order            work until the orders that they name have ended, see `tickets`
    set                      the strategy's actor answers
    restart, stop-strategy   a strategy; a restart is answered when its state has been rebuilt
    disarm                   at once: no order leaves before the next start
    stop                     at once: the session ends

Called by the manager. State: the manager's `answers`, `working` and `settings`.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import msgspec

from engine.actors.base import Because, Emit
from engine.actors.books.book import EXTERNAL, MANUAL
from engine.actors.orders.command_state import Answer, Setting, Working
from engine.actors.orders.halts import DISARMED
from engine.actors.orders.tickets import Tickets
from engine.errors import CommandError
from engine.events import (
    ActorFailed,
    ActorRestarted,
    CommandAnswered,
    FillBooked,
    HaltsChanged,
    OperatorCommand,
    OrderTerms,
    ParameterSet,
    SessionStarted,
    StrategyStopped,
)
from engine.events.terms import CLOSE
from engine.operator.requests import (
    AnyRequest,
    Cancel,
    Disarm,
    Flatten,
    Halt,
    Order,
    Pause,
    Restart,
    Resume,
    Set,
    Stop,
    StopStrategy,
    request_of,
    text_of,
)
from engine.values import BUY, SELL, format_scaled

if TYPE_CHECKING:
    from engine.actors.orders.actor import OrderManager

__all__ = ["ANSWERS_MAX", "WORKING_MAX", "Commands", "digest"]

ANSWERS_MAX: Final = 1000
"""How many answers are kept by nonce. A nonce that is forgotten counts as a new one."""

WORKING_MAX: Final = 100
"""How many commands may work at a time. A further one that would is refused (`busy`)."""

SETTINGS_MAX: Final = 100
"""How many parameters of one strategy may be set."""

LEFT_MAX: Final = 50
"""How many entries an answer lists as left."""


class Commands:
    """See the module."""

    def __init__(self, manager: OrderManager) -> None:
        self.m = manager
        self.tickets = Tickets(manager)

    def take(self, command: OperatorCommand, emit: Emit) -> None:
        """Carry out a command, answer it, and record what is halted if that changed."""
        m, at_ns = self.m, command.recv_ns
        before = self._halts(at_ns)
        if not command.nonce:
            m.gates.halts.command(command, emit)
        elif command.nonce not in m.answers and command.nonce not in m.working:
            one = Working(m.turn.seq, command.nonce, command.command, digest(command))
            try:
                self._carry_out(at_ns, one, request_of(command), emit)
            except CommandError as error:
                self._answer(at_ns, one, "refused", error.code, str(error), emit)
        after = self._halts(at_ns)
        if after != before:
            emit(after)

    def _carry_out(self, at_ns: int, one: Working, request: AnyRequest, emit: Emit) -> None:
        """Carry out a request. Raises CommandError if it is refused."""
        m, halts = self.m, self.m.gates.halts
        self._check_names(request)
        works = isinstance(request, Cancel | Flatten | Order)
        if works and len(m.working) >= WORKING_MAX:
            raise CommandError("busy", f"{WORKING_MAX} commands are still working")
        match request:
            case Pause():
                known = halts.paused(request.strategy or "")
                halts.pause(at_ns, request.strategy or "", emit)
                self._done(at_ns, one, "was paused already" if known else "", emit)
            case Resume():
                halts.resume(at_ns, request.strategy, request.market, emit)
                self._done(at_ns, one, self._holds(request.strategy), emit)
            case Halt():
                known = bool(m.gates.halted)
                halts.halt(at_ns, "operator: halt", emit)
                self._done(at_ns, one, "was halted already" if known else "", emit)
            case Stop():
                halts.stop(at_ns, emit)
                self._done(at_ns, one, "the session ends", emit)
            case Disarm():
                if not m.real:
                    raise CommandError("paper", "orders are not real: there is nothing to disarm")
                halts.disarm(at_ns, emit)
                self._done(at_ns, one, DISARMED, emit)
            case Flatten():
                market = None if request.market is None else self.number(request.market)
                books = halts.flatten(at_ns, request.strategy, market, emit)
                one.books = {f"{number} {owner}": None for owner, number in books}
                self._begin(at_ns, one, emit)
            case Cancel():
                market = None if request.market is None else self.number(request.market)
                self.tickets.cancel(at_ns, one, market, request, emit)
                self._begin(at_ns, one, emit)
            case Order():
                self.tickets.order(at_ns, one, self.number(request.market), request, emit)
                self._begin(at_ns, one, emit)
            case Set():
                self._set(at_ns, one, request, emit)
            case Restart():
                self._restart(at_ns, one, request.strategy, emit)
            case StopStrategy():
                known = request.strategy in m.gate.stopped
                halts.stop_strategy(at_ns, request.strategy, emit)
                emit(StrategyStopped(at_ns, request.strategy, True))
                self._done(at_ns, one, "was stopped already" if known else "", emit)

    def _begin(self, at_ns: int, one: Working, emit: Emit) -> None:
        """Follow a command until it ends."""
        self.m.working[one.nonce] = one
        self.look(at_ns, emit)

    def _halts(self, at_ns: int) -> HaltsChanged:
        gate = self.m.gate
        markets = tuple(sorted(gate.markets.items()))
        stopped = tuple(gate.stopped)
        return HaltsChanged(at_ns, self.m.gates.halted, markets, tuple(gate.paused), stopped, gate.disarmed)

    def _holds(self, strategy: str | None) -> str:
        """Return what still stops openings after a resume."""
        gate = self.m.gate
        if gate.disarmed:
            return gate.disarmed
        if strategy and (self.m.gates.halted or "" in gate.paused):
            return "the engine is halted" if self.m.gates.halted else "all strategies are paused"
        return ""

    # Names.

    def _check_names(self, request: object) -> None:
        """Refuse a market or a strategy that is not there. Raises CommandError."""
        market, strategy = getattr(request, "market", None), getattr(request, "strategy", None)
        if market is not None:
            self.number(market)
        owners = self.owners()
        if isinstance(request, Pause | Resume | Set | Restart | StopStrategy):
            owners = [entry.title for entry in self.m.config.strategies]
        if strategy is not None and strategy not in owners:
            known = ", ".join(owners) or "none"
            raise CommandError("unknown_strategy", f"there is no strategy {strategy!r}; there are {known}")

    def number(self, market: str) -> int:
        """Return the number of a market by its name. Raises CommandError."""
        number = self.m.instruments.names().get(market)
        if number is None:
            raise CommandError("unknown_market", self.m.instruments.why_not(market))
        return number

    def owners(self) -> list[str]:
        """Return who may have books: the strategies, `manual`, `external`, and who has one still."""
        configured = [entry.title for entry in self.m.config.strategies]
        holders = [owner for books in self.m.books.values() for owner, size in books.items() if size]
        return list(dict.fromkeys([*configured, MANUAL, EXTERNAL, *sorted(holders)]))

    # Strategies.

    def _set(self, at_ns: int, one: Working, request: Set, emit: Emit) -> None:
        """Pass a value on to the actor of a strategy, which answers."""
        m, strategy = self.m, request.strategy
        if strategy in m.gate.failed:
            raise CommandError("failed", f"{strategy} has failed; restart it first")
        setting = m.settings.get(strategy)
        if setting is not None and request.name not in setting.values and len(setting.values) >= SETTINGS_MAX:
            raise CommandError("busy", f"{SETTINGS_MAX} parameters of {strategy} are set")
        one.target, one.name, one.value = strategy, request.name, text_of(request.value)
        m.working[one.nonce] = one
        emit(ParameterSet(at_ns, strategy, one.name, one.value, one.nonce, one.seq))

    def _restart(self, at_ns: int, one: Working, strategy: str, emit: Emit) -> None:
        gate = self.m.gate
        if strategy not in gate.failed and strategy not in gate.stopped:
            raise CommandError("running", f"{strategy} has neither failed nor been stopped")
        if strategy in gate.stopped:
            del gate.stopped[strategy]
            emit(StrategyStopped(at_ns, strategy, False))
        if strategy in gate.failed:
            # The sequencer rebuilds its state, then says how that ended.
            one.target = strategy
            self.m.working[one.nonce] = one
        else:
            self._done(at_ns, one, "", emit)

    def begin(self, started: SessionStarted, emit: Emit) -> None:
        """Stop and set again in a new session what is stopped and set, unless it is configured otherwise."""
        m, at_ns = self.m, started.recv_ns
        for one in tuple(m.working.values()):
            if one.target:
                self._answer(at_ns, one, "refused", "interrupted", "the session ended before it did", emit)
        for strategy in m.gate.stopped:
            emit(StrategyStopped(at_ns, strategy, True))
        for strategy, setting in tuple(m.settings.items()):
            if setting.configured != self._configured(strategy):
                del m.settings[strategy]
            self._set_again(at_ns, strategy, emit)

    def _set_again(self, at_ns: int, strategy: str, emit: Emit) -> None:
        setting = self.m.settings.get(strategy)
        for name, value in setting.values.items() if setting is not None else ():
            emit(ParameterSet(at_ns, strategy, name, value))

    def _configured(self, strategy: str) -> str:
        for entry in self.m.config.strategies:
            if entry.title == strategy:
                return f"{entry.use} {sorted(entry.params.items())}"
        return ""

    def failed(self, failed: ActorFailed, emit: Emit) -> None:
        """End what a strategy that failed was to do."""
        for one in tuple(self.m.working.values()):
            if one.target == failed.actor:
                self._answer(failed.at_ns, one, "refused", "failed", failed.error, emit)

    def restarted(self, restarted: ActorRestarted, emit: Emit) -> None:
        """Answer a restart, and set again what was set."""
        for one in tuple(self.m.working.values()):
            if (one.target, one.command) == (restarted.actor, "restart"):
                self._done(restarted.at_ns, one, "", emit)
        self._set_again(restarted.at_ns, restarted.actor, emit)

    def note_answer(self, answer: CommandAnswered) -> None:
        """Keep the answer that the actor of a strategy gives, and what is set by it."""
        m = self.m
        one = m.working.get(answer.nonce)
        if one is None or one.command != "set":
            return
        self._keep(one, answer)
        if answer.state == "done":
            configured = self._configured(one.target)
            m.settings.setdefault(one.target, Setting(configured)).values[one.name] = one.value

    # What becomes of a command that works.

    def expect(self, handle: str) -> None:
        """Note that another request under a handle is on its way."""
        for one in self.m.working.values():
            if handle and one.handle == handle:
                one.judged = False

    def judged(self, at_ns: int, handle: str, emit: Emit) -> None:
        """Note that a request has been approved or refused."""
        for one in self.m.working.values():
            if handle and one.handle == handle:
                one.judged = True
        self.look(at_ns, emit)

    def note_end(self, handle: str, broken: tuple[str, str]) -> None:
        """Note why a part of an order was refused or ended."""
        for one in self.m.working.values():
            if handle and one.handle == handle:
                one.broken = broken

    def filled(self, fill: FillBooked, handle: str) -> None:
        """Count what is filled of an order."""
        for one in self.m.working.values():
            if handle and one.handle == handle:
                one.filled += fill.size

    def look(self, at_ns: int, emit: Emit) -> None:
        """Answer the commands that have ended, and those that have no answer yet."""
        if not self.m.working:
            return
        may_fill = self._handles()
        for one in tuple(self.m.working.values()):
            if one.command == "flatten":
                self._look_at_flatten(at_ns, one, emit)
            elif one.command == "cancel":
                self._look_at_cancel(at_ns, one, emit)
            elif one.handle and one.judged:
                self._look_at_order(at_ns, one, one.handle in may_fill, emit)

    def _look_at_flatten(self, at_ns: int, one: Working, emit: Emit) -> None:
        """Close again what a late fill opened; end when all is closed, or what is left is too small."""
        m = self.m
        for key in tuple(one.books):
            owner, number = _book(key)
            held = m.book(owner, number)
            owed = m.owed.get(f"{number} {owner} flatten")
            one.tries = max(one.tries, owed.tries if owed is not None else 0)
            # One that fills now may open, or carry the book beyond 0.
            fills = any(not order.exits or order.immediate for _, order in m.orders_of(owner, number))
            if not held and not fills:
                del one.books[key]
            elif held and not fills and not m.exits.exiting(owner, number):
                if self._trades_again(owner):
                    one.broken = ("resumed", f"{owner} was resumed before its books were closed")
                    del one.books[key]
                else:
                    m.exits.owe(at_ns, owner, number, "flatten", abs(held), "", "operator: flatten", emit)
        if not one.books:
            self._answer(at_ns, one, "refused" if one.broken[0] else "done", *one.broken, emit)
        elif all(self._is_dust(*_book(key)) for key in one.books):
            self._answer(at_ns, one, "done", "dust", "what is left is too small for an order", emit)
        else:
            self._works(at_ns, one, emit)

    def _trades_again(self, owner: str) -> bool:
        configured = any(entry.title == owner for entry in self.m.config.strategies)
        return configured and not self.m.gates.halts.paused(owner)

    def _is_dust(self, owner: str, number: int) -> bool:
        """Return whether what a book holds is too small for an order of its own, and nothing works in it."""
        m = self.m
        held = m.book(owner, number)
        if not held or any(True for _ in m.orders_of(owner, number)):
            return False
        size = m.instruments[number].size_to_grid(abs(held))
        terms = OrderTerms(SELL if held > 0 else BUY, size, role=CLOSE, purpose="flatten")
        return not size or m.gates.is_dust(number, terms)

    def _look_at_cancel(self, at_ns: int, one: Working, emit: Emit) -> None:
        first = not one.answered and not one.orders
        one.orders = {name: None for name in one.orders if name in self.m.live}
        if one.orders:
            self._works(at_ns, one, emit)
        else:
            self._done(at_ns, one, "no order was live" if first else "", emit)

    def _look_at_order(self, at_ns: int, one: Working, may_fill: bool, emit: Emit) -> None:
        m = self.m
        if one.protects:
            if one.handle in m.stops.get(one.instrument, {}):
                self._done(at_ns, one, "protects the position", emit)
            else:
                self._answer(at_ns, one, "refused", *one.broken, emit)
        elif may_fill:
            self._works(at_ns, one, emit)
        elif one.size and one.filled >= one.size:
            self._done(at_ns, one, "", emit)
        else:
            state = "done" if one.filled else "refused"
            self._answer(at_ns, one, state, *one.broken, emit)

    def _handles(self) -> set[str]:
        """Return the handles of everything that may still fill, or wait to."""
        m = self.m
        orders = {order.terms.handle for order in (*m.live.values(), *m.approved)}
        return (
            orders
            | {turn.terms.handle for turn in m.turns.values()}
            | {wait.terms.handle for wait in m.waiting}
        )

    def _left_of(self, one: Working) -> tuple[tuple[str, str, str], ...]:
        """Return what a command still has to do, as its answer lists it."""
        m = self.m
        left: list[tuple[str, str, str]] = []
        for owner, number in map(_book, one.books):
            left.append((owner, m.instruments.label(number), self._text(number, abs(m.book(owner, number)))))
        for name in one.orders:
            order = m.live.get(name)
            if order is not None:
                left.append((order.owner, m.instruments.label(order.instrument), name))
        if one.handle and one.filled < one.size and not one.protects:
            text = self._text(one.instrument, one.size - one.filled)
            left.append((MANUAL, m.instruments.label(one.instrument), text))
        return tuple(left[:LEFT_MAX])

    def _text(self, number: int, size: int) -> str:
        return format_scaled(size, self.m.instruments[number].size_scale)

    # Answers.

    def answer(self, nonce: str) -> Answer | None:
        """Return the newest answer to a command, with what is left of it now; None for an unknown nonce."""
        known, one = self.m.answers.get(nonce), self.m.working.get(nonce)
        if known is None or one is None:
            return known
        return msgspec.structs.replace(known, left=self._left_of(one), tries=one.tries)

    def _done(self, at_ns: int, one: Working, reason: str, emit: Emit) -> None:
        self._answer(at_ns, one, "done", "", reason, emit)

    def _works(self, at_ns: int, one: Working, emit: Emit) -> None:
        if not one.answered:
            self._answer(at_ns, one, "working", "", "", emit)

    def _answer(self, at_ns: int, one: Working, state: str, code: str, reason: str, emit: Emit) -> None:
        """Answer a command. The answer is kept at once; its cause is the command."""
        left = self._left_of(one)
        answer = CommandAnswered(at_ns, one.seq, one.nonce, one.command, state, code, reason, left, one.tries)
        self._keep(one, answer)
        emit(Because(answer, one.seq))

    def _keep(self, one: Working, answer: CommandAnswered) -> None:
        """Keep an answer by its nonce; forget the oldest of those that have ended."""
        m = self.m
        one.answered = True
        if answer.state != "working":
            m.working.pop(one.nonce, None)
        m.answers[one.nonce] = Answer(
            one.seq,
            one.command,
            answer.state,
            answer.code,
            answer.reason,
            answer.left,
            answer.tries,
            one.request,
        )
        if len(m.answers) > ANSWERS_MAX:
            ended = next((nonce for nonce in m.answers if nonce not in m.working), None)
            if ended is not None:
                del m.answers[ended]


def _book(key: str) -> tuple[str, int]:
    number, _, owner = key.partition(" ")
    return owner, int(number)


def digest(command: OperatorCommand) -> str:
    """Return 16 hex digits that tell one request from another: of the command and its arguments."""
    text = msgspec.json.encode((command.command, command.arguments))
    return hashlib.blake2b(text, digest_size=8).hexdigest()
