"""What became of operators' commands: the part of the model that follows their answers.

Written from the rules alone. After every turn: a nonce has one record; each command was answered in its turn,
with itself as the cause, and once more if it worked; what is recorded as halted, paused and stopped is what
the commands lead to; an order by hand has exactly the fills that its answer says; what a flatten says it has
closed is closed; what a cancel says is gone is gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from engine.actors.orders.command_state import Answer
from engine.events import (
    CommandAnswered,
    Event,
    HaltsChanged,
    OperatorCommand,
    OrderRequested,
    StopRequested,
)
from tests.orders.facts import OPEN
from tests.orders.ledger import MANUAL, ZERO
from tests.orders.model import Model
from tests.orders.operators import books_of, names_nothing

__all__ = ["Command", "Outcomes"]

AT_ONCE = ("pause", "resume", "halt", "stop-strategy", "stop")


@dataclass
class Command:
    """A command and its answers. `handle` is that of its order, `size` what it asked for."""

    seq: int
    record: OperatorCommand
    known: bool
    answers: list[CommandAnswered] = field(default_factory=list)
    holds: set[tuple[str, int]] = field(default_factory=set)
    entries: list[str] = field(default_factory=list)
    handle: str = ""
    size: Fraction = ZERO
    market: int = 0

    @property
    def state(self) -> str:
        return self.answers[-1].state if self.answers else ""


@dataclass
class Outcomes:
    """Follows the commands of a session. Used together with `Model`."""

    model: Model
    commands: dict[str, Command] = field(default_factory=dict)
    tuned: dict[str, str] = field(default_factory=dict)

    def follow(self, seq: int, cause: int, event: Event) -> None:
        """Take a record, after the model has."""
        if isinstance(event, OperatorCommand) and event.nonce:
            self._command(seq, event)
        elif isinstance(event, CommandAnswered):
            self._answer(cause, event)
        elif isinstance(event, HaltsChanged):
            self._halts(event)
        elif isinstance(event, OrderRequested | StopRequested) and event.strategy == MANUAL:
            self._request(event)

    def _command(self, seq: int, record: OperatorCommand) -> None:
        model = self.model
        model.require(record.nonce not in self.commands, "a nonce has one record", record)
        one = Command(seq, record, not names_nothing(model, record))
        self.commands[record.nonce] = one
        if record.command == "flatten":
            one.holds = {book for book in books_of(model, record) if model.position(*book)}
        if record.command == "cancel" and "order" not in dict(record.arguments):
            one.entries = [
                order.name for book in books_of(model, record) for order in model.live_orders(*book, OPEN)
            ]

    def _request(self, asked: Any) -> None:
        """An order by hand: its handle names the command."""
        terms = asked.terms if isinstance(asked, OrderRequested) else asked
        if asked.reason != "operator: order":
            return  # a part of it that follows, or a protective exit
        seq = int(terms.handle.rpartition("-")[2])
        found = [one for one in self.commands.values() if one.seq == seq]
        self.model.require(len(found) == 1, "an order by hand has one command", asked)
        one = found[0]
        self.model.require(one.record.command == "order", "an order by hand has one command", one, asked)
        if not one.handle:
            size = self.model.listed[asked.instrument].size(terms.size)
            one.handle, one.size, one.market = terms.handle, size, asked.instrument

    def _answer(self, cause: int, answer: CommandAnswered) -> None:
        model = self.model
        one = self.commands.get(answer.nonce)
        model.require(one is not None, "an answer has its command", answer)
        assert one is not None
        model.require(
            cause == answer.seq == one.seq and answer.command == one.record.command,
            "the command is the cause of its answer",
            cause,
            answer,
        )
        before = one.state
        model.require(before in ("", "working"), "a command ends once", answer)
        model.require(
            answer.state in ("done", "refused") or not before,
            "a command that works is answered twice",
            answer,
        )
        one.answers.append(answer)
        command = answer.command
        if not one.known:
            model.require(answer.state == "refused", "what is not there refuses the command", answer)
        elif command in AT_ONCE:
            model.require(answer.state == "done", "it is done at once", answer)
        if answer.state == "done":
            self._check_done(one, answer)
        if command == "order" and answer.state != "working":
            self._check_order(one, answer)

    def _check_done(self, one: Command, answer: CommandAnswered) -> None:
        model = self.model
        if answer.command == "flatten" and answer.code != "dust":
            holds = {book for book in one.holds if model.position(*book)}
            model.require(not holds, "a flatten that is done has closed its books", holds, answer)
        if answer.command == "cancel":
            live = [name for name in one.entries if model.orders[name].live]
            model.require(not live, "a cancel that is done has ended the entries", live, answer)
        if answer.command == "set":
            given = dict(one.record.arguments)
            right = given["name"] == "tuning" and given["value"].isdecimal()
            model.require(right, "a parameter is set to what its type and the strategy take", answer)
            self.tuned[given["strategy"]] = given["value"]

    def _check_order(self, one: Command, answer: CommandAnswered) -> None:
        model = self.model
        if "trigger" in dict(one.record.arguments) and "reduce_only" in dict(one.record.arguments):
            return  # a stop: `Protection` follows it
        filled = self.filled(one)
        if answer.state == "refused":
            model.require(not filled, "an order that is refused has no fill", float(filled), answer)
        elif "reduce_only" not in dict(one.record.arguments):
            whole = filled == one.size if not answer.left else ZERO < filled < one.size
            model.require(whole, "an order has the fills that its answer says", float(filled), one, answer)
        live = [order.name for order in model.orders.values() if order.handle == one.handle and order.live]
        model.require(not live or not one.handle, "an order that ended is not live", live, answer)

    def filled(self, one: Command) -> Fraction:
        """Return what the orders of a command have filled."""
        orders = [order for order in self.model.orders.values() if one.handle and order.handle == one.handle]
        return sum((order.filled for order in orders), ZERO)

    def _halts(self, changed: HaltsChanged) -> None:
        model = self.model
        found = (bool(changed.halted), {*changed.paused}, {*changed.stopped}, bool(changed.disarmed))
        right = (model.halted, model.paused, model.stopped, model.disarmed)
        model.require(found == right, "what is halted, paused and stopped", found, "instead of", right)
        markets = {market for market, _ in changed.markets}
        model.require(markets == model.halted_markets, "halted markets", markets, model.halted_markets)

    def check_turn(self, turn: Sequence[tuple[int, int, Event]]) -> None:
        """After a turn: its command has been answered; what is flat has been closed."""
        for _, _, event in turn:
            if isinstance(event, OperatorCommand) and event.nonce:
                answered = bool(self.commands[event.nonce].answers)
                self.model.require(answered, "a command is answered in its turn", event)
        for one in self.commands.values():
            one.holds = {book for book in one.holds if self.model.position(*book)}

    def check_end(self, answers: Mapping[str, Answer], tuned: Mapping[str, str]) -> None:
        """At the end: the engine knows every nonce with its last answer, and nothing works any more."""
        right = {name: value for name, value in self.tuned.items() if value != "0"}
        self.model.require(tuned == right, "parameters are those that were set last", tuned, right)
        for nonce, one in self.commands.items():
            known = answers.get(nonce)
            last = one.answers[-1]
            right = known is not None and (known.seq, known.state, known.code) == (
                one.seq,
                last.state,
                last.code,
            )
            self.model.require(right, "an answer is known by its nonce", known, last)
            self.model.require(last.state != "working", "at the end no command works", last)
