"""Compares a view with the engine whose records it follows, after every input.

Independent of the view: the engine's books, order manager and execution actor have the same things in their
states, and none of them reads a view.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any, cast

import msgspec

from engine.actors import Books, Execution, OrderManager
from engine.events import Event
from engine.events.codec import Record, in_order
from engine.sequencer import Sequencer
from engine.views.account import money_scale
from engine.views.view import View
from tests.orders.paper import Run
from tests.orders.sequences import Plan
from tests.orders.wire import RealRun

__all__ = ["JOURNAL", "Followed", "FollowedReal", "Following", "differences", "followed"]

JOURNAL = "00" * 16


class Following:
    """Follows the records of a session with a view after every input, and notes the first difference."""

    view: View
    fed: int
    broken: list[str]

    def follow(self, session: Any) -> None:
        """Give the view what was recorded since, and compare."""
        if not hasattr(self, "view"):
            self.view, self.fed, self.broken = View(JOURNAL), 0, []
        frames = session.memory.frames[self.fed :]
        self.fed = len(session.memory.frames)
        for _, first_seq, inputs, derived in frames:
            self.view.apply(in_order(first_seq, inputs, derived))
        if not self.broken:
            found = differences(self.view, session.sequencer)
            self.broken = [f"seq {self.view.seq}: {line}" for line in found]


class Followed(Run, Following):
    """A paper session that a view follows."""

    def send(self, *events: Event) -> None:
        """Give inputs to the engine, then to the view what came of them."""
        super().send(*events)
        self.follow(self)


class FollowedReal(RealRun, Following):
    """A session with real orders that a view follows."""

    def send(self, *events: Event) -> None:
        """Give inputs to the engine, then to the view what came of them."""
        super().send(*events)
        self.follow(self)


def followed(plan: Plan) -> Followed | FollowedReal:
    """Play a plan."""
    session = FollowedReal(plan) if plan.real else Followed(plan)
    session.play()
    return session


def differences(view: View, sequencer: Sequencer) -> list[str]:
    """Return in what a view differs from the engine."""
    books = cast("Books", sequencer.actor("books"))
    manager = cast("OrderManager", sequencer.actor("orders"))
    execution = cast("Execution", sequencer.actor("execution"))
    return [
        f"{name}: the view has {seen}, the engine {known}"
        for name, seen, known in (
            *_money(view, books),
            *_orders(view, manager, execution),
            *_plans(view, manager),
            *_halts(view, manager),
        )
        if seen != known
    ]


def _money(view: View, books: Books) -> list[tuple[str, object, object]]:
    found: list[tuple[str, object, object]] = []
    seen = {}
    for key, (_, changed) in view.account.books.items():
        scale = money_scale(view.markets.by_number[key[0]].listed, changed)
        money = (int(one) for one in (changed.cost, changed.realized, changed.fees, changed.funding))
        seen[key] = (changed.size, *(Fraction(one, 10**scale) for one in money))
    known = {
        (number, owner): (
            book.size,
            *(Fraction(one, 10**books.scale) for one in (book.cost, book.realized, book.fees, book.funding)),
        )
        for number, owner, book in books.all_books()
    }
    empty = (0, 0, 0, 0, 0)
    keys = seen.keys() | known.keys()
    found += [(f"book {key}", seen.get(key, empty), known.get(key, empty)) for key in keys]
    if books.watches:  # else the books take the closes of bars, which are older
        for number, market in view.markets.by_number.items():
            found.append((f"price of {number}", market.price(), books.price(number)))
    marked: Any = () if view.account.equity is None else msgspec.structs.astuple(view.account.equity[1])[1:]
    if books.marked and marked and marked[0] == books.marked[0]:
        found.append(("equity", marked, books.marked))
    return [*found, *_sums(view, marked)]


def _sums(view: View, marked: Any) -> list[tuple[str, object, object]]:
    """Return the sums that must agree: the profits of all owners are what the account has gained."""
    if not marked or marked[-1]:  # what has no price is in no sum
        return []
    row = view.account_row()
    profits = [one.profit for one in map(view.strategy_row, view.owners())]
    if None in profits or row.cash is None or row.start is None:
        return []
    gained = Decimal(row.cash) - Decimal(row.start) - Decimal(row.adjustments)
    return [("the profits of all", sum(map(Decimal, filter(None, profits))), gained)]


def _orders(view: View, manager: OrderManager, execution: Execution) -> list[tuple[str, object, object]]:
    seen = {
        name: (order.owner, order.instrument, order.state, order.filled, order.left)
        for name, order in view.order_states.live.items()
    }
    known = {
        name: (order.strategy, order.instrument, order.state, order.filled, max(0, order.size - order.filled))
        for name, order in execution._orders.items()
    }
    found: list[tuple[str, object, object]] = [
        ("orders", list(seen), list(known)),
        ("states of orders", seen, known),
    ]
    for name, order in manager.live.items():
        mine = view.order_states.live.get(name)
        if mine is not None:
            found.append((f"terms of {name}", mine.terms, order.terms))
    return found


def _plans(view: View, manager: OrderManager) -> list[tuple[str, object, object]]:
    none = (None, "none", "")
    targets = {
        key: (target.wanted, target.state, target.reason)
        for key, (_, target) in view.account.targets.items()
        if (target.wanted, target.state, target.reason) != none
    }
    aims = {
        (number, owner): target.shown
        for number, owners in manager.aims.items()
        for owner, target in owners.items()
        if target.shown != none
    }
    stops = {
        key: (stop.size, stop.trigger_price, stop.limit_price, stop.state)
        for key, (_, stop) in view.order_states.stops.items()
    }
    held = {
        (number, stop.owner, stop.handle): stop.shown
        for number, owners in manager.stops.items()
        for stop in owners.values()
        if stop.shown[3]
    }
    # What is left of a trail that fires is in no record but those of its fills.
    trails = {
        key: (one.size if one.state != "firing" else 0, one.stop, one.state)
        for key, (_, one) in view.order_states.trails.items()
    }
    trailed = {
        (number, owner): (max(0, trail.size) if trail.state != "firing" else 0, trail.stop, trail.state)
        for number, owners in manager.trails.items()
        for owner, trail in owners.items()
    }
    protection = {
        key: (one.size, one.at_venue, one.in_engine, one.exiting)
        for key, (_, one) in view.account.protection.items()
    }
    protected = {
        (number, owner): parts
        for number, owners in manager.protected.items()
        for owner, parts in owners.items()
    }
    pairs: list[tuple[str, object, object]] = [
        ("targets", targets, aims),
        ("stops", stops, held),
        ("trails", trails, trailed),
    ]
    # The engine forgets a book that nothing protects; its size is in the record all the same.
    protection = {key: parts for key, parts in protection.items() if any(parts[1:])}
    protected = {key: parts for key, parts in protected.items() if any(parts[1:])}
    return [*pairs, ("protection", protection, protected)]


def _halts(view: View, manager: OrderManager) -> list[tuple[str, object, object]]:
    gate, trading = manager.gate, view.trading
    return [
        ("halt", "" if trading.halted is None else trading.halted[0], gate.halted),
        ("halted markets", {number: since[0] for number, since in trading.markets.items()}, gate.markets),
        ("failed", {name: since[0] for name, since in trading.quarantined.items()}, gate.quarantined),
        ("paused", set(trading.paused), set(gate.paused)),
        ("stopped", set(trading.stopped), set(gate.stopped)),
        ("disarmed", "" if trading.disarmed is None else trading.disarmed[0], gate.disarmed),
        ("what losses are counted from", _counted(view.account.counted), _counted(manager.counted)),
    ]


def _counted(counted: Any) -> object:
    # `reached` is the engine's own: it halts only once.
    return msgspec.structs.astuple(counted)[:-1]


def records_of(session: Run) -> list[Record]:
    """Return every record of a session."""
    return session.memory.all()
