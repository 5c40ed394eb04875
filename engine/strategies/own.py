"""What a strategy knows of its own: orders, stops, targets and positions, as its actor keeps them.

Owns copies, never decisions: books, order manager and execution decide, and each copy follows their events,
so that it replays and survives a restart. What a verb has just asked for is here at once (`asked`), before
its answer. Used by the actor, which passes events on, and by the verbs, which read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import field

from engine.actors.base import State, remember
from engine.actors.books.book import Book, parts
from engine.events import (
    ENDED,
    FillBooked,
    InstrumentListed,
    OrderChanged,
    OrderModified,
    OrderRefused,
    OrderRequested,
    PositionChanged,
    StopChanged,
    StopRequested,
    SubmitOrder,
    TargetChanged,
    TargetSet,
)
from engine.events.terms import CLOSE, OPEN
from engine.strategies.account_views import OwnOrder
from engine.values import InstrumentId, Size, power_of_ten, rescale

__all__ = ["Aim", "Asked", "Holding", "Own"]

_PURPOSES: Final = {"sl": "stop", "tp": "take"}
_STOP_STATES: Final = {
    "waiting": "Waiting",
    "parked": "Waiting",
    "firing": "Triggered",
    "fired": "Filled",
    "dropped": "Canceled",
}


class Asked(State):
    """A call whose answer is not complete: whether a part that closes, and one that opens, is awaited.

    `recorded`: the request has been routed, so it is in the journal.
    """

    order: OwnOrder
    closes: bool
    opens: bool
    recorded: bool = False


class Holding(State):
    """A position: a copy of its book, of which size and cost are kept, at `scale` decimals."""

    book: Book = field(default_factory=Book)
    scale: int = 0

    @property
    def size(self) -> int:
        """The signed size."""
        return self.book.size

    @property
    def cost(self) -> int:
        """What the open size cost, signed."""
        return self.book.cost


class Aim(State):
    """A target: the size, None for no target, its state, and the reason of the newest call.

    `asked` calls have not reached the order manager yet; the newest set `called`. `moved`: a fill that the
    target did not order may have changed it, so that the next call counts.
    """

    wanted: Size | None = None
    state: str = "none"
    reason: str = ""
    called: Size | None = None
    asked: int = 0
    moved: bool = False

    @property
    def size(self) -> int | None:
        """The target, a call on its way included."""
        return self.called if self.asked else self.wanted


class Own(State):
    """`asked` and `stops` by handle, `live` and `ended` orders by client order id, the rest by instrument.

    `count` is the number of the newest handle.
    """

    count: int = 0
    asked: dict[str, Asked] = field(default_factory=dict)
    live: dict[str, OwnOrder] = field(default_factory=dict)
    ended: dict[str, OwnOrder] = field(default_factory=dict)
    stops: dict[str, OwnOrder] = field(default_factory=dict)
    holdings: dict[InstrumentId, Holding] = field(default_factory=dict)
    aims: dict[InstrumentId, Aim] = field(default_factory=dict)

    # What the verbs read.

    def held(self, instrument: int) -> Holding:
        """Return the position in a market."""
        return self.holdings.get(instrument) or Holding()

    def aim(self, instrument: int) -> Aim:
        """Return the target of a market."""
        return self.aims.get(instrument) or Aim()

    def of(self, instrument: int) -> list[OwnOrder]:
        """Return stops, orders and requests of a market that are not at their end, each kind oldest first.

        A stop is one of them, wherever it is kept; once triggered, its exit stands for it.
        """
        live = [order for order in self.live.values() if order.instrument == instrument]
        exits = {order.handle for order in live if not order.trigger}
        stops = [
            stop
            for stop in self.stops.values()
            if stop.instrument == instrument and not (stop.state == "Triggered" and stop.handle in exits)
        ]
        orders = [order for order in live if not (order.trigger and order.handle in self.stops)]
        asked = [one.order for one in self.asked.values() if one.order.instrument == instrument]
        return [*stops, *orders, *asked]

    def has_openings(self, instrument: int) -> bool:
        """Return whether an own order that opens, or is to open, would be canceled by a call of `target`."""
        return any(order.state != "PendingCancel" for order in self._openings(instrument))

    def _openings(self, instrument: int) -> Iterator[OwnOrder]:
        """Yield the own orders of a market that open, and the requests of which a part is to open."""
        for asked in self.asked.values():
            if asked.opens and asked.order.instrument == instrument:
                yield asked.order
        for order in self.live.values():
            if order.instrument == instrument and order.role == OPEN and order.purpose == "own":
                yield order

    def handles(self, instrument: int) -> list[str]:
        """Return the handles of a market under which something lives, oldest first."""
        return list(
            dict.fromkeys(
                order.handle for order in self.of(instrument) if order.handle and self.find(order.handle)
            )
        )

    def find(self, handle: str) -> OwnOrder | None:
        """Return what lives under a handle and can be canceled or changed: a stop, an order, a request.

        The exit at market of a stop is not, only one that rests at the stop's limit.
        """
        stop = self.stops.get(handle)
        if stop is not None:
            return stop
        for order in self.live.values():
            if handle and order.handle == handle and (order.purpose == "own" or order.limit):
                return order
        asked = self.asked.get(handle)
        return asked.order if asked is not None else None

    def reason_of(self, client_order_id: str) -> str:
        """Return the reason of the call that ordered something."""
        order = self.live.get(client_order_id) or self.ended.get(client_order_id)
        return "" if order is None else order.reason

    # What the verbs write: what they have just asked for.

    def count_from(self, number: int) -> None:
        """Begin to count handles, unless one was given already.

        A strategy that begins without its state may still have orders and stops of earlier handles. Counted
        from the time in milliseconds, a new handle is none of them.
        """
        self.count = self.count or number

    def handle(self, name: str) -> str:
        """Return a new handle."""
        self.count += 1
        return f"{name}-{self.count}"

    def ask(self, order: OwnOrder, *, closes_only: bool = False, recorded: bool = False) -> None:
        """Note a request. What closes is decided by the position, as the order manager does."""
        held = self.held(order.instrument).size
        closes = min(order.size, abs(held)) if held * order.side < 0 else 0
        opens = not closes_only and (order.size > closes or not order.size)
        self.asked[order.handle] = Asked(order, closes_only or closes > 0, opens, recorded)

    def aim_at(self, instrument: int, wanted: int | None, reason: str) -> bool:
        """Note a call of `target`. Return whether it changes the target, or cancels an order."""
        aim = self.aim(instrument)
        stands = (
            not aim.moved
            and aim.size == wanted
            and (wanted is None or aim.asked or aim.state not in ("none", "withdrawn"))
        )
        if stands and not self.has_openings(instrument):
            return False
        self.aims[instrument] = Aim(aim.wanted, aim.state, reason, wanted, aim.asked + 1)
        for order in self._openings(instrument):
            order.state = "PendingCancel"
        return True

    # Events.

    def requested(self, request: OrderRequested) -> None:
        """Follow an own request; the order manager repeats the one of a part that opens."""
        terms = request.terms
        if terms.role or terms.purpose != "own":
            return
        order = OwnOrder(
            request.instrument,
            terms.side,
            terms.size,
            terms.size,
            terms.limit,
            terms.trigger,
            terms.trigger_price,
            terms.handle,
            reason=request.reason,
        )
        self._counted(terms.handle)
        self.ask(order, closes_only=terms.reduce_only, recorded=True)

    def stop_requested(self, request: StopRequested) -> None:
        """Follow an own request for a stop."""
        order = OwnOrder(
            request.instrument,
            request.side,
            request.size,
            request.size,
            request.limit_price,
            request.kind,
            request.trigger_price,
            request.handle,
            purpose=_PURPOSES[request.kind],
            reason=request.reason,
        )
        self._counted(request.handle)
        self.ask(order, closes_only=True, recorded=True)

    def restarted(self) -> None:
        """Drop what was asked for while the strategy was rebuilt: it was not recorded."""
        self.asked = {handle: asked for handle, asked in self.asked.items() if asked.recorded}
        for aim in self.aims.values():
            aim.asked = 0

    def refused(self, event: OrderRefused) -> OwnOrder | None:
        """Note a refusal; return what was asked for, if it is known."""
        asked = self.asked.get(event.handle)
        if asked is None:
            return self.find(event.handle) if event.handle else None
        self._answered(event.handle, asked, event.role)
        return asked.order

    def submitted(self, event: SubmitOrder) -> None:
        """Note an order on its way to the venue."""
        terms = event.terms
        asked = self.asked.get(terms.handle) if terms.handle else None
        if asked is not None:
            reason = asked.order.reason
            self._answered(terms.handle, asked, terms.role)
        elif terms.purpose == "target":
            reason = self.aim(event.instrument).reason
        else:
            known = self.stops.get(terms.handle)
            reason = known.reason if known is not None else ""
        self.live[event.client_order_id] = OwnOrder(
            event.instrument,
            terms.side,
            terms.size,
            terms.size,
            terms.limit,
            terms.trigger,
            terms.trigger_price,
            terms.handle,
            terms.role,
            terms.purpose,
            "PendingNew",
            reason,
            event.client_order_id,
        )

    def changed(self, event: OrderChanged, most: int) -> OwnOrder | None:
        """Follow the state of an order; return it, None for one that is not known.

        `most` ended orders are remembered.
        """
        name = event.client_order_id
        order = self.live.get(name) or self.ended.get(name)
        if order is None:
            return None
        order.state, order.filled, order.remaining = event.state, event.filled, event.remaining
        if event.state in ENDED and name in self.live:
            remember(self.ended, name, self.live.pop(name), most)
        return order

    def modified(self, event: OrderModified) -> None:
        """Follow a change that the venue made."""
        order = self.live.get(event.client_order_id)
        if order is not None and order.limit:
            order.limit = event.limit_price

    def stopped(self, event: StopChanged) -> OwnOrder:
        """Follow a stop; return it."""
        asked = self.asked.pop(event.handle, None)
        known = self.stops.get(event.handle)
        reason = known.reason if known is not None else asked.order.reason if asked is not None else ""
        stop = OwnOrder(
            event.instrument,
            event.side,
            event.size,
            event.size,
            event.limit_price,
            event.kind,
            event.trigger_price,
            event.handle,
            CLOSE,
            _PURPOSES[event.kind],
            _STOP_STATES[event.state],
            event.reason or reason,
        )
        if event.state in ("fired", "dropped"):
            self.stops.pop(event.handle, None)
        else:
            stop.reason = reason
            self.stops[event.handle] = stop
        return stop

    def booked(self, fill: FillBooked, listed: InstrumentListed, scale: int) -> None:
        """Follow a fill, at `scale` decimals or more: before the books report the position it leads to."""
        held = self.holdings.setdefault(fill.instrument, Holding())
        at = listed.money_scale + fill.finer
        finer = max(scale - held.scale, at - held.scale, 0)
        held.book.refine(power_of_ten(finer))
        held.scale += finer
        for part in parts(held.size, fill.side, fill.size):
            held.book.fill(fill.side, part.size, rescale(fill.price * part.size, at, held.scale))
        if fill.purpose != "target" and fill.instrument in self.aims:
            self.aims[fill.instrument].moved = True

    def positioned(self, event: PositionChanged, listed: InstrumentListed) -> None:
        """Take over a position from the books."""
        book = Book(event.size, int(event.cost))
        self.holdings[event.instrument] = Holding(book, listed.money_scale + event.finer)

    def target_set(self, event: TargetSet) -> None:
        """Follow a call to the order manager, whose answer comes next."""
        aim = self.aims.setdefault(event.instrument, Aim())
        aim.asked = max(0, aim.asked - 1)
        aim.reason = event.reason
        aim.wanted, aim.state = (None, "none") if event.withdrawn else (event.size, "working")

    def aimed(self, event: TargetChanged) -> None:
        """Follow the state of a target."""
        aim = self.aims.setdefault(event.instrument, Aim())
        aim.wanted, aim.state, aim.moved = event.wanted, event.state, False

    def _counted(self, handle: str) -> None:
        """Count a recorded handle, so that it is never given again."""
        number = handle.rpartition("-")[2]
        if number.isdecimal():
            self.count = max(self.count, int(number))

    def _answered(self, handle: str, asked: Asked, role: str) -> None:
        """Note that a part has its answer; "" answers the whole."""
        if role != OPEN:
            asked.closes = False
        if role != CLOSE:
            asked.opens = False
        if not asked.closes and not asked.opens:
            del self.asked[handle]
