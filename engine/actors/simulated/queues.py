"""The queue at a price: what is ahead of each resting order, where the data has sizes.

Owns the position of every resting order. An order joins behind all that is shown at its price. From then on:

- A trade at its price takes from what is ahead; what goes beyond that reaches the order. A trade through its
  price has taken all of it. A trade whose taker is on the order's own side is not of this queue.
- If the next quote or book shows less at the price than is left after those trades, the difference was
  canceled: a model says how much of it was ahead. What is ahead never exceeds what is shown.
- A print that is received after a book which shows it already is not counted twice: prints and books are put
  in order by the venue's times, and a print at the time of a book is in it.
- A price beyond the last level that is shown is out of the window: nothing is known, and the position stays.
  A price that was never in the window has no position; it gets one, at the back, when it first is.
- Changing an order puts it at the back.

Models of how much of what was canceled was *behind* the order, with b what is behind it and a what is ahead:
"back": all of it (a risk-averse estimate); "power n": b^n / (b^n + a^n); "power2 n": b^n / (a + b)^n;
"power3 n": 1 - (a / (a + b))^n; "log": ln(1 + b) / (ln(1 + b) + ln(1 + a)), "log2": ln(1 + b) /
ln(1 + a + b), both of sizes in base units. Sources: E. Rigtorp, "Estimating order queue position", 2013
(https://rigtorp.se/2013/06/08/estimating-order-queue-position.html); hftbacktest, "Order fill", where they
are RiskAdverseQueueModel, PowerProbQueueFunc, PowerProbQueueFunc2 and 3, LogProbQueueFunc and 2
(https://hftbacktest.readthedocs.io/en/latest/order_fill.html). Unlike there, what was traded does not count
as being behind. All arithmetic is exact, and what is ahead is rounded up.

Called by `arrival`, `ticks` and `fills`. Its state is the venue's `queues`, by client order id.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final

import msgspec

from engine.actors.base import State
from engine.actors.simulated import depth
from engine.actors.simulated.state import WORKING, At, VenueOrder
from engine.config.latency import log2_fixed
from engine.config.simulated import QueueModel
from engine.events import Trade
from engine.values import InstrumentId, Size, power_of_ten

if TYPE_CHECKING:
    from engine.actors.simulated.venue import SimulatedVenue

__all__ = ["Place", "Queues", "canceled_behind", "size_ahead"]

UNKNOWN: Final = -1

PRINTS_MAX: Final = 256
"""Prints that are kept apart until a book shows them; of more, the two oldest are taken together."""


class Place(State):
    """The place of an order in the queue at its price.

    `ahead` is what was ahead of it at the last showing, `shown` the size shown then, both `UNKNOWN` before
    the first one; `shown_ns` is the venue's time of it. `prints` are (time, size) of trades since then. The
    `last_` fields are the same of the showing before, and `traded` what was traded between the two.
    """

    instrument: InstrumentId
    ahead: Size = UNKNOWN
    shown: Size = UNKNOWN
    shown_ns: int = 0
    prints: list[tuple[int, Size]] = msgspec.field(default_factory=list)
    last_ahead: Size = UNKNOWN
    last_shown: Size = UNKNOWN
    last_ns: int = 0
    traded: Size = 0


class Queues:
    """See the module."""

    def __init__(self, venue: SimulatedVenue, model: QueueModel) -> None:
        self.v = venue
        self.model = model

    def join(self, order: VenueOrder) -> None:
        """Put an order that can rest at the back of the queue at its price."""
        if not order.limit or order.immediate or order.phase != WORKING:
            return
        market = self.v.market(order.instrument)
        shown = depth.shown_at(market, order.side, order.limit) if market.live else None
        place = Place(order.instrument)
        if shown is not None:
            place.ahead = place.shown = shown
        self.v.queues[order.client_order_id] = place

    def leave(self, order: VenueOrder) -> None:
        """Forget an order that has ended."""
        self.v.queues.pop(order.client_order_id, None)

    def show(self, instrument: int, at: At, *, best_only: bool) -> None:
        """Move the orders of a market up by what it shows now.

        `best_only`: a best bid and ask that is newer than the book; it says nothing of worse prices.
        """
        market = self.v.market(instrument)
        for order in self.v.orders.get(instrument, ()):
            place = self.v.queues.get(order.client_order_id)
            if place is None:
                continue
            best = market.bid if order.side > 0 else market.ask
            if best_only and (not best or (best - order.limit) * order.side > 0):
                continue
            shown = depth.shown_at(market, order.side, order.limit)
            if shown is not None and at.venue_ns >= place.shown_ns:
                self._show(place, shown, at.venue_ns, order.arrived_ns)

    def _show(self, place: Place, shown: int, at_ns: int, arrived_ns: int) -> None:
        if place.shown == UNKNOWN or at_ns < arrived_ns:
            # The first showing, or one of before the order arrived: all of it is ahead.
            place.ahead = place.shown = shown
            place.prints = [one for one in place.prints if one[0] > at_ns]
            place.shown_ns, place.last_shown = at_ns, UNKNOWN
            return
        place.traded = sum(size for print_ns, size in place.prints if print_ns <= at_ns)
        place.prints = [one for one in place.prints if one[0] > at_ns]
        place.last_ahead, place.last_shown, place.last_ns = place.ahead, place.shown, place.shown_ns
        place.shown, place.shown_ns = shown, at_ns
        place.ahead = self._ahead(place)

    def reach(self, order: VenueOrder, trade: Trade, at_ns: int) -> int:
        """Count a trade, and return how much of it reaches an order that rests at its price."""
        place = self.v.queues[order.client_order_id]
        if trade.aggressor == order.side or place.ahead == UNKNOWN:
            return 0
        if at_ns > place.shown_ns:
            before = self.ahead(order)
            place.prints.append((at_ns, trade.size))
            place.prints.sort()
            if len(place.prints) > PRINTS_MAX:
                (_, first), (second_ns, second) = place.prints[:2]
                place.prints[:2] = [(second_ns, first + second)]
        elif place.last_shown != UNKNOWN and at_ns > place.last_ns:
            before = max(0, place.last_ahead - place.traded)
            place.traded += trade.size
            place.ahead = min(place.ahead, self._ahead(place))
        else:
            return 0  # the order saw two books of after it
        return max(0, trade.size - before)

    def clear(self, order: VenueOrder) -> None:
        """Note that a trade went through the price: nothing is ahead."""
        place = self.v.queues[order.client_order_id]
        place.ahead, place.shown = 0, max(place.shown, 0)

    def ahead(self, order: VenueOrder) -> int:
        """Return what is ahead of an order now; `UNKNOWN` if its price has not been in the window."""
        place = self.v.queues[order.client_order_id]
        if place.ahead == UNKNOWN:
            return UNKNOWN
        return max(0, place.ahead - sum(size for _, size in place.prints))

    def _ahead(self, place: Place) -> int:
        unit = power_of_ten(self.v.instruments[place.instrument].size_scale)
        return size_ahead(self.model, place.last_ahead, place.last_shown, place.shown, place.traded, unit)


def size_ahead(model: QueueModel, ahead: int, before: int, shown: int, traded: int, unit: int) -> int:
    """Return what is ahead of an order after a showing.

    `ahead` of it were `before` at the showing before; `traded` was traded since; `shown` is there now. `unit`
    is one base unit.
    """
    rest = max(0, before - traded)
    ahead = max(0, ahead - traded)
    canceled = rest - shown
    if canceled > 0:
        behind = max(0, rest - ahead)
        of_behind = canceled_behind(model, ahead, behind, unit) * canceled
        left = ahead - max(canceled - of_behind, Fraction(canceled - behind))
        ahead = max(0, -(-left.numerator // left.denominator))
    return ahead  # never above `shown`: what is behind is never less than nothing


def canceled_behind(model: QueueModel, ahead: int, behind: int, unit: int) -> Fraction:
    """Return the share of what is canceled that was behind an order, from 0 to 1."""
    if model.name == "back":
        return Fraction(1)
    if not ahead or not behind:
        return Fraction(0 if not behind else 1)
    if model.name == "log" or model.name == "log2":
        rear = _log(behind, unit)
        whole = rear + _log(ahead, unit) if model.name == "log" else _log(ahead + behind, unit)
        return Fraction(rear, whole) if whole else Fraction(1)
    n = model.power
    if model.name == "power":
        return Fraction(behind**n, behind**n + ahead**n)
    if model.name == "power2":
        return Fraction(behind**n, (ahead + behind) ** n)
    return 1 - Fraction(ahead**n, (ahead + behind) ** n)


def _log(size: int, unit: int) -> int:
    """Return a multiple of ln(1 + size)."""
    return log2_fixed(unit + size) - log2_fixed(unit)
