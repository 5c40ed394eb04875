"""What operators' commands do to targets and to what may open: the part of the model that follows them.

Written from the rules alone (docs/orders.md, "Operators"). What became of each command is in `outcomes.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.events import OperatorCommand
from tests.orders.facts import OPEN
from tests.orders.ledger import EXTERNAL, MANUAL, ZERO
from tests.orders.wanted import TARGET

if TYPE_CHECKING:
    from tests.orders.model import Model

__all__ = ["books_of", "carry_out", "names_nothing"]


def arguments_of(model: Model, command: OperatorCommand) -> dict[str, str]:
    """Return the arguments of a command; one of the engine itself has only a target."""
    if command.nonce or not command.target:
        return dict(command.arguments)
    names = [listed.name for listed in model.listed.values()]
    return {"market" if command.target in names else "strategy": command.target}


def names_nothing(model: Model, command: OperatorCommand) -> bool:
    """Return whether a command names a strategy or a market that is not there."""
    given = arguments_of(model, command)
    owners = [*model.owners]
    if command.command in ("flatten", "cancel"):
        owners += [MANUAL, EXTERNAL]
    known = [listed.name for listed in model.listed.values()]
    return given.get("strategy", owners[0]) not in owners or given.get("market", known[0]) not in known


def books_of(model: Model, command: OperatorCommand) -> list[tuple[str, int]]:
    """Return the books that a command reaches, those of others only by their name."""
    given = arguments_of(model, command)
    strategy, name = given.get("strategy"), given.get("market")
    return [
        (owner, market)
        for market, listed in model.listed.items()
        for owner in (*model.owners, MANUAL, EXTERNAL)
        if name in (None, listed.name) and (strategy == owner or (strategy is None and owner != EXTERNAL))
    ]


def carry_out(model: Model, command: OperatorCommand) -> None:
    """Follow a command. One that is refused changes nothing."""
    if names_nothing(model, command):
        return
    given = arguments_of(model, command)
    strategy, name = given.get("strategy"), given.get("market")
    everybody = [*model.owners, MANUAL]
    match command.command:
        case "pause":
            model.paused.add(strategy or "")
            _drop(model, everybody if strategy is None else [strategy])
        case "resume":
            if strategy is not None:
                model.paused.discard(strategy)
            elif name is not None:
                halted = {market for market in model.halted_markets if model.listed[market].name == name}
                model.halted_markets -= halted
            else:
                model.halted = False
                model.halted_markets.clear()
                model.paused.clear()
        case "flatten":
            _flatten(model, command, whole=strategy is None and name is None)
        case "cancel":
            _cancel(model, command)
        case "stop-strategy":
            owner = str(strategy)
            model.stopped.add(owner)
            _drop(model, [owner])
            for market in model.listed:
                model.target(owner, market).clamp(model.position(owner, market))
        case "restart" if command.nonce:
            model.stopped.discard(str(strategy))
        case "disarm" if model.real:
            model.disarmed = True
            _drop(model, everybody)
        case "stop":
            model.stopping = True
            model.clamp_all()


def _flatten(model: Model, command: OperatorCommand, *, whole: bool) -> None:
    strategy = arguments_of(model, command).get("strategy")
    if whole or strategy in model.owners:
        model.paused |= set(model.owners) if whole else {str(strategy)}
    for owner, market in books_of(model, command):
        target, held = model.target(owner, market), model.position(owner, market)
        if owner in model.owners and (target.size or held or model.live_orders(owner, market)):
            model.paused.add(owner)
        if owner != EXTERNAL and (target.size is not None or held):
            target.size = ZERO  # one that is withdrawn stays so: only closings are worked in any case
        for order in model.live_orders(owner, market, OPEN):
            order.dropped = True
    _drop(model, sorted(model.paused - {""}))
    model.flattened_seq = model.seq


def _cancel(model: Model, command: OperatorCommand) -> None:
    name = dict(command.arguments).get("order")
    reached = books_of(model, command)
    if name is not None:
        order = model.orders.get(name)
        works = order is not None and order.live and (order.role, order.purpose) == (OPEN, TARGET)
        reached = [(order.owner, order.market)] if order is not None and works else []
    for owner, market in reached:
        if owner == EXTERNAL:
            continue
        model.target(owner, market).clamp(model.position(owner, market))
        for order in model.live_orders(owner, market, OPEN):
            order.dropped = True


def _drop(model: Model, owners: list[str]) -> None:
    for order in model.orders.values():
        order.dropped |= order.owner in owners and order.role == OPEN
