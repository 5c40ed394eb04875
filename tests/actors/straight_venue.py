"""A venue written as a straight line, to compare the simulated one with: no code of the engine, no state kept
between events but plain lists. The place in a queue is computed from the beginning each time, from all books
and prints that are known.

Times are nanoseconds, prices and sizes whole numbers. Market data are tuples:
("trade", received, venue's time, price, size, side of the taker),
("book", received, venue's time, bids, asks).
Commands: ("submit", sent, name, side, size, limit, kind), kind "Gtc", "Alo" or "Ioc" (with limit: its bound);
("cancel", sent, name); ("modify", sent, name, size, limit).
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

__all__ = ["StraightVenue", "share_behind"]


def share_behind(model: str, n: int, ahead: int, behind: int, unit: int) -> Fraction | float:
    """The formulas of the literature, as they are printed there."""
    if model == "back":
        return 1
    a, b = ahead, behind
    if model == "power":
        return Fraction(b**n, b**n + a**n) if a + b else 1
    if model == "power2":
        return Fraction(b, a + b) ** n if a + b else 1
    if model == "power3":
        return 1 - Fraction(a, a + b) ** n if a + b else 1
    rear, front = math.log(1 + b / unit), math.log(1 + a / unit)
    if model == "log":
        return rear / (rear + front) if a + b else 1
    return rear / math.log(1 + (a + b) / unit) if a + b else 1


class _Order:
    def __init__(self, name: str, side: int, size: int, limit: int, kind: str, arrived: int) -> None:
        self.name, self.side, self.left, self.limit, self.kind = name, side, size, limit, kind
        self.arrived = arrived
        self.resting = False
        self.seen: list[tuple[int, int]] = []  # (time, size) shown at its price
        self.prints: list[tuple[int, int]] = []
        self.cleared = -1  # how many showings there were when a trade went through


class StraightVenue:
    """`reports` are (received, kind, order, venue's time, price, size)."""

    def __init__(
        self,
        order_ns: int,
        answer_ns: int,
        model: str = "back",
        n: int = 0,
        beyond: int | None = None,
        *,
        unit: int = 1000,
    ) -> None:
        self.order_ns, self.answer_ns, self.model, self.n = order_ns, answer_ns, model, n
        self.beyond, self.unit = beyond, unit
        self.wanted_beyond = 0
        self.sent: list[tuple[int, int, Any]] = []
        self.first = 0  # of those that have not arrived
        self.orders: list[_Order] = []
        self.levels: dict[int, list[tuple[int, int]]] = {1: [], -1: []}
        self.live = False
        self.taken: dict[tuple[int, int], int] = {}
        self.reports: list[tuple[Any, ...]] = []
        self.cash = self.held = 0

    # Time.

    def run(self, market: list[Any], commands: list[Any], until: int) -> None:
        steps: list[tuple[int, int, int, Any]] = []
        steps += [(one[1], 1, number, one) for number, one in enumerate(market)]
        steps += [(one[1], 2, number, one) for number, one in enumerate(commands)]
        steps += [
            (one[1] + self.order_ns + self.answer_ns, 0, number, None) for number, one in enumerate(commands)
        ]
        for now, kind, _, what in sorted(steps, key=lambda one: one[:3]):
            if now > until:
                break
            if kind == 0:
                self.arrive(now - self.answer_ns, now)
            elif kind == 1:
                self.happen(what)
            else:
                self.sent.append((now + self.order_ns, len(self.sent), what))
                if not self.order_ns + self.answer_ns:
                    self.arrive(now, now)

    def send(self, command: Any) -> None:
        self.sent.append((command[1] + self.order_ns, len(self.sent), command))

    def wait(self, until: int) -> None:
        """Time passes: commands arrive whose answers are due."""
        for at, _, command in list(self.sent[self.first :]):
            if command is not None and at + self.answer_ns <= until:
                self.arrive(at, at + self.answer_ns)

    def arrive(self, until: int, now: int) -> None:
        """What was sent arrives, up to a time of the venue."""
        while self.first < len(self.sent) and self.sent[self.first][2] is None:
            self.first += 1
        waiting = self.sent[self.first :]
        due = [one for one in waiting if one[0] <= until and one[2] is not None]
        for at, number, command in sorted(due, key=lambda one: one[:2]):
            self.sent[number] = (at, number, None)
            self.apply(command, at, now)

    def report(self, kind: str, order: str, at: int, now: int, price: int = 0, size: int = 0) -> None:
        known = max(now, at + self.answer_ns, self.reports[-1][0] if self.reports else 0)
        self.reports.append((known, kind, order, at, price, size))

    def apply(self, command: Any, at: int, now: int) -> None:
        what, _, name, *rest = command
        if what == "submit":
            side, size, limit, kind = rest
            order = _Order(name, side, size, limit, kind, at)
            self.orders.append(order)
            self.report("accepted", name, at, now)
            self.join(order)
            return
        found = next((one for one in self.orders if one.name == name), None)
        if what == "cancel" and found is not None:
            self.orders.remove(found)
            self.report("canceled", name, at, now, 0, found.left)
        elif what == "modify" and found is None:
            self.report("unchanged", name, at, now)
        elif what == "modify" and found is not None:
            size, limit = rest
            self.orders.remove(found)
            again = _Order(name, found.side, size, limit, found.kind, at)
            self.orders.append(again)
            self.report("changed", name, at, now, limit, size)
            self.join(again)

    # What is shown.

    def shown(self, side: int, price: int) -> int | None:
        levels = self.levels[side]
        sizes = [size for level, size in levels if level == price]
        if sizes:
            return sizes[0]
        if not levels or (price < levels[-1][0] if side > 0 else price > levels[-1][0]):
            return None
        return 0

    def join(self, order: _Order) -> None:
        size = self.shown(order.side, order.limit) if self.live and order.kind != "Ioc" else None
        if size is not None:
            order.seen.append((-1, size))

    def ahead(self, order: _Order, after: int | None = None) -> int | None:
        """What is ahead of an order, by all that is known now; `after`: only up to that showing."""
        if not order.seen:
            return None
        seen = order.seen
        ahead = seen[0][1]
        for number in range(1, len(seen) if after is None else after):
            (from_ns, before), (to_ns, size) = seen[number - 1], seen[number]
            traded = sum(q for t, q in order.prints if from_ns < t <= to_ns)
            if number - 1 == order.cleared:
                ahead = 0
            ahead, rest = max(0, ahead - traded), max(0, before - traded)
            canceled = rest - size
            if canceled > 0:
                behind = rest - ahead
                share = share_behind(self.model, self.n, ahead, behind, self.unit)
                of_front = canceled - min(share * canceled, behind)
                ahead = max(0, math.ceil(ahead - of_front))
            ahead = min(ahead, size)
        if len(seen) - 1 == order.cleared and after is None:
            return 0
        return ahead

    # The market.

    def happen(self, event: Any) -> None:
        kind, now, venue_ns, *rest = event
        at = min(now, venue_ns)
        self.arrive(at, now)
        if kind == "book":
            self.book(at, *rest)
        arrived = [one for one in self.orders if one.arrived <= at]
        resting = [one for one in arrived if one.resting]
        for order in [one for one in arrived if not one.resting]:
            self.take(order, at, now, rest[0] if kind == "trade" else 0)
        resting.sort(key=lambda one: -one.side * one.limit)
        if kind == "trade":
            self.trade(resting, at, now, *rest)
        else:
            self.meet_book(resting, at, now)

    def book(self, at: int, bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> None:
        for side, levels in ((1, bids), (-1, asks)):
            before, new = dict(self.levels[side]), dict(levels)
            for (of, price), taken in list(self.taken.items()):
                if of != side:
                    continue
                outside = bool(levels) and (price < levels[-1][0] if side > 0 else price > levels[-1][0])
                if price in new:
                    grown = max(0, new[price] - before.get(price, new[price]))
                    self.taken[of, price] = max(0, min(taken - grown, new[price]))
                elif not outside:
                    del self.taken[of, price]
            self.levels[side] = list(levels)
        self.live = True
        for order in self.orders:
            size = self.shown(order.side, order.limit)
            if order.kind == "Ioc" or size is None or (order.seen and at < order.seen[-1][0]):
                continue
            if not order.seen or at < order.arrived:
                order.seen, order.cleared = [(at, size)], -1
            else:
                order.seen.append((at, size))

    def take(self, order: _Order, at: int, now: int, trade: int) -> None:
        if not self.live:
            return
        levels = self.levels[-order.side]
        last = levels[-1][0] if levels and (order.limit - levels[-1][0]) * order.side >= 0 else None
        for price, size in self.levels[-order.side]:
            left = size - self.taken.get((-order.side, price), 0)
            if left <= 0:
                continue
            paid = max(price, trade or price) if order.side > 0 else min(price, trade or price)
            if (order.limit - paid) * order.side < 0:
                last = None
                break
            if order.kind == "Alo":
                self.orders.remove(order)
                self.report("rejected", order.name, at, now)
                return
            size = min(left, order.left)
            self.taken[-order.side, price] = self.taken.get((-order.side, price), 0) + size
            self.fill(order, at, now, paid * 10_000, size)
            if not order.left:
                return
        if order.kind != "Ioc":
            order.resting = True
            return
        if last is not None:
            self.wanted_beyond += order.left
            fine = last * (10_000 + order.side * (self.beyond or 0))
            if self.beyond is not None and (order.limit * 10_000 - fine) * order.side >= 0:
                self.fill(order, at, now, fine, order.left)
                return
        self.orders.remove(order)
        self.report("canceled", order.name, at, now, 0, order.left)

    def trade(self, resting: list[_Order], at: int, now: int, price: int, size: int, taker: int) -> None:
        used = 0
        for order in resting:
            through = (order.limit - price) * order.side
            if through < 0:
                continue
            reach = size
            if through > 0:
                order.cleared = max(0, len(order.seen) - 1)
                if not order.seen:
                    order.seen = [(-1, 0)]
            else:
                reach = self.reach(order, at, size, taker)
            filled = min(order.left, max(0, reach - used))
            if filled:
                self.fill(order, at, now, order.limit * 10_000, filled)
            used += filled

    def reach(self, order: _Order, at: int, size: int, taker: int) -> int:
        if taker == order.side or not order.seen:
            return 0
        newer = [number for number, (t, _) in enumerate(order.seen) if t >= at]
        if len(newer) > 1 or (newer and newer[0] == 0):
            return 0
        if newer:
            # The newest showing has it already: it met the queue as it was before that.
            (from_ns, _), (to_ns, _) = order.seen[-2:]
            before = self.ahead(order, len(order.seen) - 1) or 0
            if order.cleared == len(order.seen) - 2:
                before = 0
            before -= sum(q for t, q in order.prints if from_ns < t <= to_ns)
        else:
            since = sum(q for t, q in order.prints if t > order.seen[-1][0])
            before = (self.ahead(order) or 0) - since
        order.prints.append((at, size))
        return size - max(0, before)

    def meet_book(self, resting: list[_Order], at: int, now: int) -> None:
        for order in resting:
            for price, size in self.levels[-order.side]:
                left = size - self.taken.get((-order.side, price), 0)
                if not order.left or (order.limit - price) * order.side < 0:
                    break
                if left <= 0:
                    continue
                size = min(left, order.left)
                self.taken[-order.side, price] = self.taken.get((-order.side, price), 0) + size
                self.fill(order, at, now, order.limit * 10_000, size)

    def fill(self, order: _Order, at: int, now: int, fine: int, size: int) -> None:
        order.left -= size
        if not order.left:
            self.orders.remove(order)
        self.report("filled", order.name, at, now, fine, size)
        self.cash -= order.side * fine * size
        self.held += order.side * size
