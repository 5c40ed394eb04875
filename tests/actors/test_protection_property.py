"""Random calls, trades and fills: of every stop, what the venue holds, what the engine watches and what is
being closed add up to what it has to protect, after every turn; and a fall of the price closes what is
protected.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.actors.orders.protection_state import Stop
from engine.events import (
    ENDED,
    FillBooked,
    OrderAccepted,
    OrderChanged,
    OrderModified,
    SubmitOrder,
)
from engine.events.terms import OPEN
from engine.values import BUY, SELL
from tests.actors.rig import Rig
from tests.profiles import examples

NAMES = ("S", "T")
D = Decimal

sizes = st.integers(1, 3)
names = st.sampled_from(NAMES)
prices = st.integers(94, 106)
calls: st.SearchStrategy[tuple[Any, ...]] = st.one_of(
    st.tuples(st.just("trade"), prices, st.sampled_from([1, 2, 1000])),
    st.tuples(st.just("quote"), prices, sizes),
    st.tuples(st.just("wait"), st.sampled_from([100, 1000, 60_000])),
    st.tuples(st.just("target"), names, st.integers(-3, 3)),
    st.tuples(st.just("order"), names, st.sampled_from([BUY, SELL]), sizes, st.sampled_from([0, -1, 1])),
    st.tuples(st.just("bracket"), names, st.sampled_from([BUY, SELL]), sizes, st.booleans()),
    st.tuples(st.just("stop"), names, sizes, st.integers(1, 5), st.sampled_from(["sl", "tp"])),
    st.tuples(st.just("trail"), names, sizes, st.integers(1, 4)),
    st.tuples(st.just("cancel"), names, st.integers(0, 50)),
    st.tuples(st.just("modify"), names, st.integers(0, 50), st.integers(-5, 5)),
    st.tuples(st.just("restart")),
)


class Truth:
    """What the records say of the orders at the venue, without the manager's state."""

    def __init__(self) -> None:
        self.read = 0
        self.orders: dict[str, SubmitOrder] = {}
        self.left: dict[str, int] = {}
        self.accepted: set[str] = set()
        self.fired: set[str] = set()

    def follow(self, rig: Rig) -> None:
        """Read the records since the last call."""
        for _, _, event in rig.log[self.read :]:
            if isinstance(event, SubmitOrder):
                self.orders[event.client_order_id] = event
                self.left[event.client_order_id] = event.terms.size
            elif isinstance(event, OrderAccepted):
                self.accepted.add(event.client_order_id)
                if event.triggered:
                    self.fired.add(event.client_order_id)
            elif isinstance(event, OrderModified):
                self.left[event.client_order_id] = event.size
            elif isinstance(event, FillBooked) and event.client_order_id in self.left:
                self.left[event.client_order_id] -= event.size
                self.fired.add(event.client_order_id)
            elif isinstance(event, OrderChanged) and event.state in ENDED:
                self.left[event.client_order_id] = 0
        self.read = len(rig.log)

    def protects(self, stop: Stop, *, owed: bool) -> int:
        """Return the open size of the orders of a stop, at the venue or on their way out.

        Without those that the engine fired if they are owed, which includes them.
        """
        total = 0
        for name, order in self.orders.items():
            terms = order.terms
            if (order.strategy, terms.handle) != (stop.owner, stop.handle) or not self.left[name]:
                continue
            if owed and not terms.trigger:
                continue
            waits = terms.trigger and name not in self.fired
            if waits and (name not in self.accepted or terms.trigger_price != stop.trigger_price):
                continue
            if waits and terms.parent and self.left[terms.parent]:
                continue
            total += self.left[name]
        return total

    def entry(self, owner: str, side: int) -> bool:
        """Return whether an order of a book that opens can still fill."""
        return any(
            (order.strategy, order.terms.role, order.terms.side) == (owner, OPEN, side) and self.left[name]
            for name, order in self.orders.items()
        )


def check(rig: Rig, truth: Truth) -> None:
    """Assert that every stop and trail of the manager protects what it has to."""
    truth.follow(rig)
    manager = rig.manager
    for stop in manager.stops.get(1, {}).values():
        held = manager.book(stop.owner, 1)
        protects = min(stop.cap, abs(held)) if held * stop.side < 0 else 0
        owed = manager.owed.get(f"1 {stop.owner} {stop.handle}")
        under_way = owed.left if owed is not None else 0
        covered = truth.protects(stop, owed=bool(under_way)) + stop.engine + under_way + stop.asked
        assert covered >= protects, (stop, held, covered)
        if not held and not stop.parent:
            target = manager.targets.of(stop.owner, 1)
            aims = target is not None and target.wanted is not None and target.wanted * stop.side < 0
            assert truth.entry(stop.owner, -stop.side) or aims or owed or stop.asked, stop
    for owner, trail in manager.trails.get(1, {}).items():
        held = manager.book(owner, 1)
        assert not trail.held or held * trail.side < 0 or trail.state == "firing", (owner, trail, held)
    for owner in NAMES:
        exits = sum(
            truth.left[name]
            for name, order in truth.orders.items()
            if order.strategy == owner
            and order.terms.role == "close"
            and order.terms.limit
            and not order.terms.trigger
        )
        assert exits <= abs(manager.book(owner, 1)) or any(
            one.canceling or one.modifying for one in manager.live.values()
        )


def act(rig: Rig, call: tuple[Any, ...], last: list[int]) -> None:
    """Make one step."""
    what, *rest = call
    price = last[0]
    if what == "trade":
        last[0] = rest[0]
        rig.trade(rest[0], size=rest[1])
    elif what == "quote":
        rig.quote(rest[0], rest[0] + 1, bid_size=rest[1], ask_size=rest[1])
    elif what == "wait":
        rig.wait(ms=rest[0])
    elif what == "target":
        rig.target(rest[0], rest[1])
    elif what == "order":
        name, side, size, away = rest
        rig.order(name, side, size, limit=price + 2 * away if away else 0)
    elif what == "bracket":
        name, side, size, market = rest
        entry = price - side
        rig.order(
            name, side, size, limit=0 if market else entry, sl=price - 4 * side, tp=[(price + 3 * side, size)]
        )
    elif what == "stop":
        name, size, distance, kind = rest
        side = SELL if rig.book(name) >= 0 else BUY
        way = side if kind == "sl" else -side
        rig.stop(name, size, price + way * distance, side=side, kind=kind)
    elif what == "trail":
        name, size, distance = rest
        rig.trail(name, size, distance, side=SELL if rig.book(name) >= 0 else BUY)
    elif what == "restart":
        rig.restart()
    else:
        name, index, *more = rest
        handles = [handle for handle, _ in rig.handles[name]]
        handles += [f"{handle}/{child}" for handle in handles for child in ("sl", "tp1")]
        if handles:
            handle = handles[index % len(handles)]
            if what == "cancel":
                rig.cancel(name, handle)
            else:
                rig.modify(name, handle, trigger=price + more[0])


@given(st.lists(calls, min_size=5, max_size=40))
@examples(5)
def test_every_stop_protects_its_size_after_every_turn(steps: list[tuple[Any, ...]]) -> None:
    rig = Rig(*NAMES)
    truth = Truth()
    last = [100]
    for step in steps:
        act(rig, step, last)
        check(rig, truth)
    # Entries end, and the price falls and rises through every trigger: what was protected is closed.
    for name in NAMES:
        rig.target(name, None)
        for handle, _ in rig.handles[name]:
            if any(order.terms.handle == handle and not order.exits for order in rig.manager.live.values()):
                rig.cancel(name, handle)
    for _ in range(2):
        rig.trade(last[0])
        rig.quote(last[0], last[0])
        rig.wait(2)
    check(rig, truth)
    protected = {
        name: max(
            (stop.cap for stop in rig.manager.stops.get(1, {}).values() if stop.owner == name and stop.loss),
            default=0,
        )
        for name in NAMES
    }
    before = {name: abs(rig.book(name)) for name in NAMES}
    for price in (60, 60, 60, 140, 140, 140, 100, 100, 100):
        rig.trade(price)
        rig.quote(price, price)
        rig.wait(10)
        check(rig, truth)
    for name in NAMES:
        assert abs(rig.book(name)) <= max(D(0), before[name] - D(protected[name]) / 100)
    assert rig.manager.owed == {}
