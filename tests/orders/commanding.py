"""Random sessions that an operator drives: some commands for every other step, on paper and on the sandbox.

`commanded_plan(number, commands)` returns a plan of `sequences` with this many steps of the kind "command"
among its prices, calls, restarts and faults. Of them, about one in eight is an earlier one again, with its
nonce. The end is calm: everything that an operator did is undone, and what works comes to its end.
`CommandedRun` plays one on paper and stands for the desk: a nonce that is known makes no record.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from engine.events import ClockAdvanced, Event, OperatorCommand
from engine.operator.requests import command_of, parse_request
from tests.orders.paper import Run
from tests.orders.sequences import AAA, BBB, NAMES, STRATEGIES, Author, Plan, Step, price_text, size_text

__all__ = ["COMMANDS", "CommandedRun", "commanded_plan", "request_of_step"]

COMMANDS = {
    "pause": 10,
    "resume": 20,
    "halt": 5,
    "cancel": 16,
    "flatten": 9,
    "order": 40,
    "set": 5,
    "stop-strategy": 3,
    "restart": 8,
    "disarm": 1,
}
"""The commands, and how often each is given."""


@dataclass
class Commander(Author):
    """Writes a plan with commands. `left` are still to be written, `given` those that were."""

    left: int = 0
    given: list[tuple[str, dict[str, Any], str]] = field(default_factory=list)
    held: bool = False

    def _one(self) -> None:
        """Write one step of any kind, then perhaps a command."""
        super()._one()
        self._commands()

    def _commands(self) -> None:
        if self.held:  # what stops everything does not last
            self.held = False
            self._command("resume", {})
        while self.left and self.random.random() < 0.6:
            self._random_command()

    def _steps(self) -> None:
        """Write steps until every command is written."""
        while self.left:
            self._one()

    def _random_command(self) -> None:
        r = self.random
        if self.given and r.random() < 0.12:
            command, members, nonce = r.choice(self.given)
            self._add(r.choice((0, 1, 40)), "command", 0, command, members, nonce)
            self.left -= 1
            return
        command = r.choices(list(COMMANDS), list(COMMANDS.values()))[0]
        if command == "disarm" and not self.faults:
            command = "halt"
        market = r.choice((AAA, AAA, BBB))
        if command == "order" and r.random() < 0.7:
            self._prices(market, 1, deep=True)  # the price is fresh
        self._command(command, self._members(command, market))
        if command == "order" and r.random() < 0.7:
            self._prices(market, r.choice((150, 800)), deep=True)  # and somebody trades
        self.held = command in ("halt", "disarm") or (command == "pause" and r.random() < 0.5)
        if command == "disarm":
            self._add(500, r.choice(("restart", "kill")))

    def _command(self, command: str, members: dict[str, Any]) -> None:
        nonce = f"n{len(self.given)}"
        self.given.append((command, members, nonce))
        self._add(self.random.choice((0, 1, 20, 150)), "command", 0, command, members, nonce)
        self.left -= self.left > 0

    def _members(self, command: str, market: int) -> dict[str, Any]:
        r = self.random
        strategy = r.choice((*STRATEGIES, *STRATEGIES, *STRATEGIES, "Stranger"))
        if command in ("pause", "resume"):
            return r.choice(({}, {"all": True}, {"strategy": strategy}))
        if command in ("cancel", "flatten"):
            members: dict[str, Any] = r.choice(
                (
                    {"all": True},
                    {"market": r.choice((NAMES[market], NAMES[market], "XXX"))},
                    {"strategy": r.choice((strategy, "manual"))},
                )
            )
            if command == "cancel":
                if r.random() < 0.3:
                    members = {"order": f"{r.choice((*STRATEGIES, 'manual'))}-{r.randint(1, 12)}"}
                if r.random() < 0.3:
                    members["protective"] = True
            return members
        if command == "order":
            return self._ticket(market)
        if command == "set":
            name, value = r.choice(
                (("tuning", r.randint(0, 9)), ("tuning", -1), ("tuning", "x"), ("what", 1))
            )
            return {"strategy": strategy, "name": name, "value": value}
        return {"strategy": strategy} if command in ("stop-strategy", "restart") else {}

    def _ticket(self, market: int) -> dict[str, Any]:
        """Return a random order by hand."""
        r = self.random
        side = r.choice((1, -1))
        price = self.prices[market]
        members: dict[str, Any] = {"market": NAMES[market], "side": "buy" if side > 0 else "sell"}
        kind = r.choices(("size", "notional", "percent"), (80, 10, 10))[0]
        if kind == "size":
            members["size"] = size_text(market, self._size(market))
        else:
            members[kind] = r.choice(("50", 200)) if kind == "notional" else r.choice(("1", 0.2))
        form = r.choices(("market", "limit", "entry", "stop"), (48, 35, 6, 11))[0]
        if form == "limit":
            price = self._near(market, side, better=r.random() < 0.8)
            members["limit"] = price_text(market, price)
            members["post_only"] = r.random() < 0.2
        elif form == "entry":
            members["trigger"] = price_text(market, self._near(market, side, better=False))
        elif form == "stop":
            members |= {"reduce_only": True, "kind": r.choice(("sl", "tp"))}
            better = (members["kind"] == "tp") != (r.random() < 0.1)
            members["trigger"] = price_text(market, self._near(market, -side, better=better))
        if form != "stop" and r.random() < 0.12:
            members["reduce_only"] = True
        elif form in ("market", "limit") and r.random() < 0.3:
            gap = max(2, price // 100)
            members["stop_loss"] = price_text(market, price - side * r.randint(1, gap))
            members["take_profit"] = price_text(market, price + side * r.randint(1, gap))
        return members

    def _calm(self) -> None:
        """Undo what the operator did, then end as every plan does."""
        for step in undone(len(self.given)):
            self.steps.append(step)
        super()._calm()


def undone(number: int) -> list[Step]:
    """Return the commands that end all that an operator may have begun."""
    last: list[tuple[str, dict[str, Any]]] = [("resume", {})]
    last += [("restart", {"strategy": name}) for name in STRATEGIES * 2]
    last += [("cancel", {"all": True, "protective": True}), ("flatten", {"strategy": "manual"})]
    return [
        Step(5, "command", 0, (command, members, f"n{number + index}"))
        for index, (command, members) in enumerate(last)
    ]


def commanded_plan(number: int, commands: int, *, sandbox: bool = False) -> Plan:
    """Return the plan of this number with this many commands."""
    author = Commander(Random(number + 3_000_000_019), real=sandbox, faults=sandbox, left=commands)
    plan = author.write(number)
    return replace(plan, number=number)


def request_of_step(step: Step, recv_ns: int) -> OperatorCommand:
    """Return the record of a command."""
    command, members, nonce = step.values
    return command_of(parse_request({"command": command, "nonce": nonce, **members}), recv_ns, "test")


class CommandedRun(Run):
    """The paper session of a plan with commands. `repeated` counts those that made no record."""

    def __init__(self, plan: Plan) -> None:
        self.repeated = 0
        super().__init__(plan)

    def event_of(self, step: Step) -> Event:
        """See `Run`. A nonce that is known makes no record."""
        if step.kind != "command":
            return super().event_of(step)
        if step.values[2] in self.answers():
            self.repeated += 1
            return ClockAdvanced(self.now_ns)
        return request_of_step(step, self.now_ns)
