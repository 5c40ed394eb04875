"""Where stops are held: at the venue as far as it can hold them, the rest in the engine.

Owns the division. In a market where all books have one side every stop is at the venue, reduce-only. Where
books of both sides net the account to less, the venue holds the stops of the account's side, stop-losses and
take-profits each up to the account's position, nearest trigger first: the flag bounds both together, and a
stop-loss does not lose its place to a take-profit. The engine watches the rest: the other side, what waits
for the venue's answer, what the venue refused. A stop whose size or trigger changes is placed again, and the
old order is canceled once the new one is accepted, at most once a second; a smaller book alone changes
nothing where the venue cuts the order itself. In data of candles the simulated venue holds every stop, since
it knows the path within a candle. Called by `protection`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from engine.actors.base import Emit
from engine.actors.orders.protection_state import Stop, Trail
from engine.actors.orders.state import Live
from engine.clock import SECOND_NS
from engine.events import OrderTerms
from engine.events.terms import CLOSE, OPEN

if TYPE_CHECKING:
    from engine.actors.orders.actor import OrderManager

__all__ = ["AGAIN_NS", "REFUSED_NS", "Placement"]

AGAIN_NS: Final = SECOND_NS
"""A stop is placed at the venue at most once in this time."""

REFUSED_NS: Final = 60 * SECOND_NS
"""The wait before a stop that the venue refused is placed again."""

_MS: Final = 1_000_000

_ACCEPTED: Final = ("New", "PartiallyFilled")


class Placement:
    """See the module."""

    def __init__(self, manager: OrderManager) -> None:
        self.m = manager
        self._gathered: dict[tuple[str, str], list[tuple[str, Live]]] | None = None

    # What is under way for a stop.

    @contextmanager
    def gathered(self, instrument: int) -> Iterator[None]:
        """Find the orders of each stop of a market once for all that is done within.

        No order is added to the live ones or ends meanwhile, since that takes an event.
        """
        found: dict[tuple[str, str], list[tuple[str, Live]]] = {}
        for client_order_id, order in (*self.m.live.items(), *(("", one) for one in self.m.approved)):
            if order.instrument == instrument and order.terms.handle:
                found.setdefault((order.owner, order.terms.handle), []).append((client_order_id, order))
        self._gathered = found
        try:
            yield
        finally:
            self._gathered = None

    def _all(self, stop: Stop) -> Iterable[tuple[str, Live]]:
        """Return the orders of a stop's handle that may still fill, oldest first."""
        if self._gathered is not None:
            return self._gathered.get((stop.owner, stop.handle), ())
        found = self.m.orders_of(stop.owner, stop.instrument)
        return [one for one in found if one[1].terms.handle == stop.handle]

    def orders(self, stop: Stop) -> list[tuple[str, Live]]:
        """Return the orders of a stop that wait for its price, oldest first; not those being canceled."""
        return [
            (client_order_id, order)
            for client_order_id, order in self._all(stop)
            if order.waiting and order.exits and not order.canceling
        ]

    def exiting(self, stop: Stop) -> int:
        """Return the size that exits of a fired stop close: owed, requested, waiting or live."""
        m = self.m
        owed = m.owed.get(f"{stop.instrument} {stop.owner} {stop.handle}")
        fired = sum(
            order.left
            for client_order_id, order in self._all(stop)
            if order.exits
            and not order.waiting
            # What is owed includes the order for it, what is asked the one that is not submitted yet.
            and (bool(order.terms.trigger) or (owed is None and bool(client_order_id)))
        )
        return fired + stop.asked + (owed.left if owed is not None else 0)

    def entry_works(self, owner: str, instrument: int, side: int) -> bool:
        """Return whether an opening of this side works in a book: an order, a part that waits, a target."""
        m = self.m
        if any(
            order.terms.role == OPEN and order.terms.side == side
            for _, order in m.orders_of(owner, instrument)
        ):
            return True
        if any(
            (turn.owner, turn.instrument, turn.terms.side) == (owner, instrument, side)
            for turn in m.turns.values()
        ):
            return True
        target = m.targets.of(owner, instrument)
        return (
            target is not None
            and target.wanted is not None
            and target.state in ("working", "waiting")
            and target.wanted * side > 0
            and (target.wanted - m.book(owner, instrument)) * side > 0
        )

    def covered(self, stop: Stop) -> int:
        """Return the size that the venue holds for a stop, with the trigger it has now."""
        return max(
            (order.left for _, order in self.orders(stop) if self.stands(stop, order)),
            default=0,
        )

    def dormant(self, order: Live) -> bool:
        """Return whether an order is attached to one that is not completely filled: it cannot trigger."""
        if not order.terms.parent:
            return False
        bracket = self.m.brackets.get(order.terms.handle.rpartition("/")[0])
        return bracket is None or not bracket.whole

    def price(self, at_ns: int, instrument: int, side: int) -> int:
        """Return the price that decides whether a trigger is reached, 0 if none is known.

        It is the venue's mark where the venue goes by it and it is recent, else the last trade of this
        session, else the best price that an order of `side` would trade at.
        """
        m = self.m
        known = m.prices.get(instrument)
        if known is None:
            return 0
        recent = at_ns - known.mark_ns <= m.config.risk.max_price_age_ms * _MS
        if known.mark and recent and m.instruments[instrument].rules.trigger_price == "mark":
            return known.mark
        if m.priced.get(instrument):
            return known.last
        return known.best(side) or known.last

    def stands(self, stop: Stop, order: Live) -> bool:
        """Return whether the venue holds an order with the stop's present trigger."""
        return self._holds(stop, order) and _accepted(order)

    # Placing.

    def watch(self, instrument: int) -> None:
        """Compute what the engine has to watch of each stop of a market: what the venue does not hold."""
        for stop in self.m.stops.get(instrument, {}).values():
            waits = 0 if stop.final else max(0, stop.need - self.exiting(stop))
            stop.engine = max(0, waits - self.covered(stop))

    def place(self, at_ns: int, instrument: int, emit: Emit) -> None:
        """Place, replace and cancel the orders of a market's stops and parked trails."""
        stops = tuple(self.m.stops.get(instrument, {}).values())
        trails = tuple(self.m.trails.get(instrument, {}).items())
        shares = self._shares(instrument, stops, trails)
        for stop in stops:
            self._place(at_ns, stop, shares.get(stop.number, 0), emit)
        self.watch(instrument)
        for owner, trail in trails:
            self._park(at_ns, owner, instrument, trail, shares.get(trail.number, 0), emit)

    def at_venue(self, instrument: int) -> bool:
        """Return whether the venue can hold the stops of a market."""
        if instrument in self.m.candles:
            return True
        rules = self.m.instruments[instrument].rules
        return rules.triggers and self.m.gates.flags_exits(instrument)

    def attaches(self, instrument: int) -> bool:
        """Return whether stops of a market can be attached to the order they protect."""
        rules = self.m.instruments[instrument].rules
        return rules.attached and self.at_venue(instrument) and not self.m.netted(instrument)

    def _shares(
        self, instrument: int, stops: tuple[Stop, ...], trails: tuple[tuple[str, Trail], ...]
    ) -> dict[int, int]:
        """Return the size that the venue has to hold, by the number of the stop or trail."""
        m = self.m
        if not self.at_venue(instrument):
            return {}
        # Nearest trigger first: the price falls to the highest and rises to the lowest.
        to_grid = m.instruments[instrument].size_to_grid
        claims = [
            (
                stop.kind,
                -stop.trigger_price if stop.falling else stop.trigger_price,
                stop.number,
                stop.side,
                to_grid(max(0, stop.need - self.exiting(stop))),
            )
            for stop in stops
        ]
        claims += [
            (
                "sl",
                trail.stop * trail.side,
                trail.number,
                trail.side,
                to_grid(min(trail.size, abs(m.book(owner, instrument)))),
            )
            for owner, trail in trails
            if m.parking and trail.held and trail.stop and trail.state != "firing"
        ]
        if instrument in m.candles or not m.netted(instrument):
            return {number: size for _, _, number, _, size in claims}
        account = m.account(instrument)
        left = {"sl": abs(account), "tp": abs(account)}
        shares: dict[int, int] = {}
        for kind, _, number, side, size in sorted(claims):
            if side * account < 0:
                shares[number] = to_grid(min(size, left[kind]))
                left[kind] -= shares[number]
        return shares

    def _place(self, at_ns: int, stop: Stop, share: int, emit: Emit) -> None:
        """Bring the orders of one stop to what the venue has to hold of it."""
        m = self.m
        orders = self.orders(stop)
        active = [one for one in orders if not self.dormant(one[1])]
        for client_order_id, order in orders:
            if self.dormant(order) and not self._same(stop, order):
                m.cancel(at_ns, client_order_id, order, "its trigger changed", emit)
        if not share or stop.final:
            why = "held in the engine" if stop.need else "nothing to protect"
            for client_order_id, order in active:
                m.cancel(at_ns, client_order_id, order, why, emit)
            return
        fitting = [one for one in active if self._holds(stop, one[1]) and self._fits(stop, one[1], share)]
        kept = [one for one in fitting if _accepted(one[1])]
        if kept:
            for client_order_id, order in active:
                if order is not kept[-1][1]:
                    m.cancel(at_ns, client_order_id, order, "replaced", emit)
            stop.refusals = 0
            stop.late = ""
        elif stop.placing or any(not _accepted(order) for _, order in active):
            return  # Its answer leads back here.
        elif not m.known(stop.instrument) or stop.instrument in m.doubted or self.through(at_ns, stop):
            return
        elif at_ns < (due_ns := max(stop.next_ns, stop.placed_ns + AGAIN_NS if active else 0)):
            m.timer(due_ns, f"protection {stop.instrument} {stop.handle}", emit)
        else:
            stop.placing = True
            stop.placed_ns = at_ns
            m.request(at_ns, stop.owner, stop.instrument, stop.terms(share), stop.reason, emit)

    def _park(self, at_ns: int, owner: str, instrument: int, trail: Trail, share: int, emit: Emit) -> None:
        """Place the stop that stands for a trail while the engine is stopped."""
        m = self.m
        if not share or trail.placing or not m.parking or self.parked(owner, instrument):
            return
        if at_ns < trail.next_ns:
            m.timer(trail.next_ns, f"protection {instrument} trail {owner}", emit)
            return
        trail.placing = True
        m.request(
            at_ns,
            owner,
            instrument,
            self.stand_in(instrument, trail, share),
            "parked while the engine is stopped",
            emit,
        )

    def stand_in(self, instrument: int, trail: Trail, size: int) -> OrderTerms:
        """Return the terms of a stop that stands for a trail at the venue."""
        trigger_price = self.m.instruments[instrument].price_to_grid(trail.stop, trail.side)
        return OrderTerms(
            trail.side, size, role=CLOSE, purpose="trail", trigger="sl", trigger_price=trigger_price
        )

    def parked(self, owner: str, instrument: int) -> list[tuple[str, Live]]:
        """Return the orders that stand for a trail at the venue and wait for its price."""
        return [
            (client_order_id, order)
            for client_order_id, order in self.m.orders_of(owner, instrument)
            if order.waiting and order.terms.purpose == "trail" and not order.canceling
        ]

    def holds_parked(self, owner: str, instrument: int) -> bool:
        """Return whether the venue holds the stop that stands for a trail."""
        return any(_accepted(order) for _, order in self.parked(owner, instrument))

    def through(self, at_ns: int, stop: Stop) -> bool:
        """Return whether the price is beyond the trigger: the venue would refuse the stop."""
        if stop.instrument in self.m.candles or stop.instrument not in self.m.priced:
            return False
        price = self.price(at_ns, stop.instrument, stop.side)
        return bool(price) and stop.reached(price)

    def _same(self, stop: Stop, order: Live) -> bool:
        """Return whether an order has the stop's present trigger and limit."""
        terms = order.terms
        return (terms.trigger_price, terms.limit) == (stop.trigger_price, stop.limit)

    def _holds(self, stop: Stop, order: Live) -> bool:
        """Return whether an order can trigger for a stop as it is now."""
        return self._same(stop, order) and not self.dormant(order)

    def _fits(self, stop: Stop, order: Live, share: int) -> bool:
        """Return whether the size of an order is right; the venue itself cuts it to a smaller book."""
        m = self.m
        if order.left == share:
            return True
        books = [size for size in m.books.get(stop.instrument, {}).values() if size]
        alone = len(books) == 1 or stop.instrument in m.candles
        return alone and share < order.left <= stop.cap - self.exiting(stop)


def _accepted(order: Live) -> bool:
    return order.state in _ACCEPTED
