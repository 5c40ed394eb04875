"""Matches orders with trades, quotes, books and marks.

Owns what an order meets when the market moves. A taker meets the first event after its arrival: the book,
down to its bound; else the best bid and ask, no more than their size; else the trade, whole and made worse by
slippage. A trade beyond what is shown makes it dearer. A resting order fills at its own price: on trades
through it (at it with `fill_on_touch`), no more than their size in all, or on the opposite side that reaches
it. A stop fires at the venue's trigger price and meets what is there at that moment; a stop-loss never fills
better than its trigger. Of several, takers come first, oldest first; then resting orders, best price first;
then stops, nearest trigger first. Called by the venue with each market event while it has orders.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.actors.simulated import depth
from engine.actors.simulated.state import UNIT, WAITING, WORKING, At, Market, VenueOrder, worse
from engine.events import DepthExceeded, Trade
from engine.values import BUY, format_scaled

if TYPE_CHECKING:
    from engine.actors.simulated.queues import Queues
    from engine.actors.simulated.venue import SimulatedVenue

__all__ = ["Ticks"]


class Ticks:
    """See the module."""

    def __init__(self, venue: SimulatedVenue) -> None:
        self.v = venue

    def meet(self, instrument: int, at: At, trade: Trade | None = None) -> bool:
        """Match the orders of a market after an event: a trade, or a change of what is shown.

        Returns whether there were any.
        """
        v = self.v
        orders = self._arrived(instrument, at)
        if not orders:
            return False
        market = v.market(instrument)
        price = trade.price if trade is not None else 0
        for order in orders:
            if not order.judged and order.remaining:
                v.arrival.judge(order, at)
        resting = [order for order in orders if order.resting]
        waiting = [order for order in orders if order.phase == WAITING]
        for order in orders:
            if order.phase == WORKING and not order.resting and order.remaining:
                self._take(order, market, price, at)
        if resting:
            resting.sort(key=lambda order: -order.side * order.limit)
            if trade is not None:
                self._fill_by_trade(resting, market, trade, at)
            else:
                self._fill_by_depth(resting, market, at)
        if waiting:
            self._fire(waiting, instrument, price, at)
        return True

    def mark(self, instrument: int, at: At) -> bool:
        """Fire the stops that a new mark reaches. Returns whether any waited."""
        waiting = [one for one in self._arrived(instrument, at) if one.phase == WAITING and one.judged]
        if waiting:
            self._fire(waiting, instrument, 0, at)
        return bool(waiting)

    def _arrived(self, instrument: int, at: At) -> tuple[VenueOrder, ...]:
        """Return the orders of a market. By the venue's time, none meets what happened before it arrived."""
        orders = self.v.orders.get(instrument, ())
        if self.v.timing is None:
            return tuple(orders)
        return tuple(order for order in orders if order.arrived_ns <= at.venue_ns)

    def trigger_price(self, order: VenueOrder) -> int:
        """Return the fine price that is compared with the trigger of an order; 0 if none is known.

        The mark where the venue goes by it and the data has it, else the last trade; in data without trades,
        the side that the order would trade with.
        """
        market = self.v.market(order.instrument)
        by_mark = self.v.instruments[order.instrument].rules.trigger_price == "mark"
        if by_mark and self.v.mark_is_fresh(market):
            return market.mark
        if market.traded or market.candles:
            return market.last * UNIT if market.priced else 0
        return (market.ask if order.side == BUY else market.bid) * UNIT if market.live else 0

    # Takers.

    def _take(self, order: VenueOrder, market: Market, trade: int, at: At) -> None:
        """Let an order take what there is, within its limit or bound. The rest of it rests or ends."""
        v = self.v
        if market.depth and not market.live:
            return  # what is shown is not known yet
        if not market.depth and not trade:
            return
        levels = list(depth.levels_for(market, order.side)) if market.depth else [(trade, order.remaining)]
        slippage_bps = 0 if market.depth == "book" else v.slippage_bps
        any_taken = False
        for level, size in levels:
            price = worse(order.side, level, trade or level)
            if order.stops:
                price = worse(order.side, price, order.terms.trigger_price)
            if not order.allows(price, order.worst):
                break
            if order.terms.tif == "Alo":
                best = format_scaled(price, v.instruments[order.instrument].price_scale)
                v.fills.reject(order, f"Post only order would have immediately matched, bbo was {best}.", at)
                return
            size = min(size, order.remaining)
            if market.depth:
                depth.take(market, order.side, level, size)
            v.fills.take(order, price, size, slippage_bps, order.worst, at)
            any_taken = True
            if not order.remaining:
                return
        else:
            shown = depth.side_for(market, order.side).levels if market.depth else []
            if v.timing is not None and order.immediate and shown:
                self._take_beyond(order, shown[-1][0], at)
        if order.immediate and order.remaining:
            v.fills.end(order, "Ioc found no more" if any_taken else "Ioc found no match", at)
        elif order.remaining and order.limit:
            order.resting = True

    def _take_beyond(self, order: VenueOrder, last: int, at: At) -> None:
        """Report what an order would take beyond the levels shown, and fill it if so configured."""
        if not order.allows(last, order.worst):
            return
        v, size = self.v, order.remaining
        bps = v.beyond_bps
        fine = last * (UNIT + order.side * (bps or 0))
        filled = size if bps is not None and order.allows(fine, order.worst * UNIT) else 0
        at.emit(
            DepthExceeded(at.recv_ns, order.client_order_id, order.instrument, order.side, size, filled, last)
        )
        if filled:
            v.fills.take(order, last, filled, bps or 0, order.worst, at)

    # Resting orders.

    def _fill_by_trade(self, resting: list[VenueOrder], market: Market, trade: Trade, at: At) -> None:
        """Fill resting orders that a trade goes through, or reaches in their queue; together no more than its
        size.
        """
        if self.v.queue is not None and market.depth:
            self._fill_in_queue(self.v.queue, resting, trade, at)
            return
        price, size = trade.price, trade.size
        touch = self.v.fill_on_touch
        for order in resting:
            through = (order.limit - price) * order.side
            if order.remaining and (through > 0 or (touch and not through)):
                size -= self.v.fills.make(order, size, at)

    def _fill_in_queue(self, queue: Queues, resting: list[VenueOrder], trade: Trade, at: At) -> None:
        used = 0
        for order in resting:
            through = (order.limit - trade.price) * order.side
            if not order.remaining or through < 0:
                continue
            reach = trade.size
            if through:
                queue.clear(order)
            else:
                reach = queue.reach(order, trade, at.venue_ns)
            used += self.v.fills.make(order, max(0, reach - used), at)

    def _fill_by_depth(self, resting: list[VenueOrder], market: Market, at: At) -> None:
        """Fill resting orders that the opposite side reaches; together no more than is shown there."""
        for order in resting:
            for price, size in list(depth.levels_for(market, order.side)):
                if not order.remaining or (order.limit - price) * order.side < 0:
                    break
                filled = self.v.fills.make(order, size, at)
                depth.take(market, order.side, price, filled)

    # Stops.

    def _fire(self, waiting: list[VenueOrder], instrument: int, trade: int, at: At) -> None:
        """Fire the stops whose trigger is reached, nearest trigger first, then oldest."""
        v = self.v
        market = v.market(instrument)
        waiting.sort(
            key=lambda order: (order.rising, order.terms.trigger_price * (1 if order.rising else -1))
        )
        for order in waiting:
            reference = self.trigger_price(order)
            if not order.remaining or not order.judged or not reference:
                continue
            if order.phase == WAITING and order.reached_by(reference, order.terms.trigger_price * UNIT):
                v.arrival.fire(order, at)
                if order.remaining:
                    self._take(order, market, trade, at)
