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
from engine.actors.orders.command_state import Answer, Working
from engine.errors import CommandError
from engine.events import (
    CommandAnswered,
    OperatorCommand,
)
from engine.operator.requests import (
    Cancel,
    Flatten,
    Halt,
    Order,
    Pause,
    Resume,
    Stop,
    request_of,
)
from engine.values import format_scaled

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

_SUPERSEDED: Final = ("canceled", "what it works on was canceled or is not wanted any more")


class Commands:
    """See the module."""

    def __init__(self, manager: OrderManager) -> None:
        self.m = manager

    def take(self, command: OperatorCommand, emit: Emit) -> None:
        """Carry out a command, and answer it."""
        m, at_ns = self.m, command.recv_ns
        if not command.nonce:
            m.gates.halts.command(command, emit)
            return
        if command.nonce in m.answers or command.nonce in m.working:
            return  # It is carried out already.
        one = Working(m.turn.seq, command.nonce, command.command, digest(command))
        try:
            request = request_of(command)
            self._check_names(request)
            if len(m.working) >= WORKING_MAX and isinstance(request, Cancel | Flatten | Order):
                raise CommandError("busy", f"{WORKING_MAX} commands are still working")
            match request:
                case Pause():
                    known = m.gates.halts.paused(request.strategy or "")
                    m.gates.halts.pause(at_ns, request.strategy or "", emit)
                    self._done(at_ns, one, "was paused already" if known else "", emit)
                case Resume():
                    m.gates.halts.resume(at_ns, request.strategy, request.market, emit)
                    self._done(at_ns, one, "", emit)
                case Halt():
                    known = bool(m.gates.halted)
                    m.gates.halts.halt(at_ns, "operator: halt", emit)
                    self._done(at_ns, one, "was halted already" if known else "", emit)
                case Stop():
                    m.gates.halts.stop(at_ns, emit)
                    self._done(at_ns, one, "the session ends", emit)
                case Flatten():
                    self._flatten(at_ns, one, request, emit)
                case _:
                    raise CommandError("unknown_command", "this command is not available yet")
        except CommandError as error:
            self._answer(at_ns, one, "refused", error.code, str(error), emit)

    # Names.

    def _check_names(self, request: object) -> None:
        """Refuse a market or a strategy that is not there. Raises CommandError."""
        market, strategy = getattr(request, "market", None), getattr(request, "strategy", None)
        if market is not None:
            self.number(market)
        if strategy is not None and strategy not in self.owners():
            known = ", ".join(self.owners())
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

    # Flatten.

    def _flatten(self, at_ns: int, one: Working, request: Flatten, emit: Emit) -> None:
        halts = self.m.gates.halts
        market = None if request.market is None else self.number(request.market)
        books = halts.flatten(at_ns, request.strategy, market, emit)
        one.books = {f"{number} {owner}": None for owner, number in books}
        self.m.working[one.nonce] = one
        self.look(at_ns, emit)

    # What becomes of a command that works.

    def look(self, at_ns: int, emit: Emit) -> None:
        """Answer the commands that have ended, and those that have no answer yet."""
        for one in tuple(self.m.working.values()):
            if one.books or one.command == "flatten":
                self._look_at_flatten(at_ns, one, emit)

    def _look_at_flatten(self, at_ns: int, one: Working, emit: Emit) -> None:
        m = self.m
        books = [_book(key) for key in one.books]
        owed = [
            owed
            for owed in m.owed.values()
            if owed.purpose == "flatten" and (owed.owner, owed.instrument) in books
        ]
        one.tries = max([one.tries, *(each.tries for each in owed)])
        left = self._left_of(one)
        if not left:
            self._done(at_ns, one, "", emit)
        elif not owed and all(self._is_given_up(owner, number) for owner, number in books):
            self._answer(at_ns, one, "refused", *_SUPERSEDED, emit)
        else:
            self._working(at_ns, one, emit)

    def _is_given_up(self, owner: str, number: int) -> bool:
        """Return whether nothing closes what a book still holds."""
        target = self.m.targets.of(owner, number)
        wanted = None if target is None else target.wanted
        return bool(self.m.book(owner, number)) and wanted != 0

    def _left_of(self, one: Working) -> tuple[tuple[str, str, str], ...]:
        """Return what a command still has to do, as its answer lists it."""
        m = self.m
        left: list[tuple[str, str, str]] = []
        for key in one.books:
            owner, number = _book(key)
            held = m.book(owner, number)
            opens = any(not order.exits for _, order in m.orders_of(owner, number))
            if held or opens:
                left.append((owner, m.instruments.label(number), self._text(number, abs(held))))
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

    def note_answer(self, answer: CommandAnswered) -> None:
        """Keep the answer that the actor of a strategy gives."""

    def _done(self, at_ns: int, one: Working, reason: str, emit: Emit) -> None:
        self._answer(at_ns, one, "done", "", reason, emit)

    def _working(self, at_ns: int, one: Working, emit: Emit) -> None:
        if not one.answered:
            self._answer(at_ns, one, "working", "", "", emit)

    def _answer(self, at_ns: int, one: Working, state: str, code: str, reason: str, emit: Emit) -> None:
        """Answer a command. Its answer is kept at once, and its cause is the command."""
        m = self.m
        one.answered = True
        left = self._left_of(one)
        known = m.answers
        if state != "working":
            m.working.pop(one.nonce, None)
        known[one.nonce] = Answer(one.seq, one.command, state, code, reason, left, one.tries, one.request)
        if len(known) > ANSWERS_MAX:
            ended = next((nonce for nonce in known if nonce not in m.working), None)
            if ended is not None:
                del known[ended]
        answered = CommandAnswered(
            at_ns, one.seq, one.nonce, one.command, state, code, reason, left, one.tries
        )
        emit(Because(answered, one.seq))


def _book(key: str) -> tuple[str, int]:
    number, _, owner = key.partition(" ")
    return owner, int(number)


def digest(command: OperatorCommand) -> str:
    """Return 16 hex digits that tell one request from another: of the command and its arguments."""
    text = msgspec.json.encode((command.command, command.arguments))
    return hashlib.blake2b(text, digest_size=8).hexdigest()
