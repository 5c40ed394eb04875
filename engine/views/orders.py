"""Orders, stops and trails: those that may still fill, and the latest that ended or were refused.

Owns the states of orders as `OrderChanged` records them, with the terms of their `SubmitOrder`. A stop of a
strategy (`StopChanged`, `TrailChanged`) is shown as an order as far as no order at the venue stands for it.
Called by `View`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from engine.actors.base import remember
from engine.actors.rescaling import Change, rescaled
from engine.events import (
    ENDED,
    CancelOrder,
    Event,
    FillBooked,
    InstrumentListed,
    OrderAccepted,
    OrderCanceled,
    OrderChanged,
    OrderModified,
    OrderRead,
    OrderRefused,
    OrderRejected,
    OrderTerms,
    OrderUnknown,
    StopChanged,
    SubmitOrder,
    TrailChanged,
)
from engine.events.terms import CLOSE
from engine.instruments import Instruments
from engine.values import InstrumentId, Size, format_scaled, power_of_ten, rescale, side_name
from engine.views.markets import Kept, Market
from engine.views.shapes import OrderRow, ProtectedBy, RefusalRow
from engine.views.units import average_text, ms, percent, price_text, size_text

__all__ = ["ENDED_MAX", "REFUSED_MAX", "OrderState", "Orders", "refusal_row"]

ENDED_MAX: Final = 500
"""Ended orders remembered."""

REFUSED_MAX: Final = 200
"""Refusals remembered."""

_OVER: Final = ("fired", "dropped")
"""States in which a stop or a trail is gone."""


class OrderState(msgspec.Struct):
    """One order. `filled` and `left` are its parts; `bought` of it, in units, is known with what it `paid`.

    `submitted_ns` is None for an order of an earlier day. `fired`: its trigger price was reached.
    """

    owner: str
    instrument: InstrumentId
    terms: OrderTerms
    state: str
    filled: Size
    left: Size
    seq: int
    submitted_ns: int | None
    updated_seq: int
    updated_ns: int
    reason: str = ""
    venue_id: int = 0
    fired: bool = False
    bought: Fraction = Fraction(0)
    paid: Fraction = Fraction(0)


class Groups(NamedTuple):
    """The live orders of each book, (id, order), and its stops, (handle, record)."""

    orders: dict[tuple[int, str], list[tuple[str, OrderState]]]
    stops: dict[tuple[int, str], list[tuple[str, Kept]]]

    def of_market(self, number: int) -> list[tuple[str, OrderState]]:
        """Return the live orders of a market."""
        return [one for key, group in self.orders.items() if key[0] == number for one in group]


class Orders:
    """State: live orders by client order id, the latest ended ones, stops and trails, the latest refusals."""

    def __init__(self, instruments: Instruments) -> None:
        self.instruments = instruments
        self.live: dict[str, OrderState] = {}
        self.ended: dict[str, OrderState] = {}
        self.stops: dict[tuple[InstrumentId, str, str], Kept] = {}
        self.trails: dict[tuple[InstrumentId, str], Kept] = {}
        self.refusals: deque[Kept] = deque(maxlen=REFUSED_MAX)
        self.refused_today = 0
        self.refused_of: dict[str, int] = {}
        self.grouped: Groups | None = None
        self.handlers: dict[type[Event], Callable[[int, Any], None]] = {
            SubmitOrder: self._submitted,
            OrderChanged: self._changed,
            FillBooked: self.fill,
            OrderAccepted: self._accepted,
            OrderModified: self._modified,
            OrderRead: self._read,
            OrderCanceled: self._reason,
            OrderRejected: self._reason,
            OrderUnknown: self._reason,
            CancelOrder: self._reason,
            OrderRefused: self._refused,
            StopChanged: self._stop,
            TrailChanged: self._trail,
        }

    def copy(self, instruments: Instruments) -> Orders:
        """Return a copy that is changed on its own."""
        twin = Orders(instruments)
        handlers = twin.handlers
        vars(twin).update(vars(self))
        twin.handlers, twin.instruments = handlers, instruments
        twin.grouped = None
        twin.live = {key: replace(order) for key, order in self.live.items()}
        twin.ended = {key: replace(order) for key, order in self.ended.items()}
        twin.stops, twin.trails = self.stops.copy(), self.trails.copy()
        twin.refusals, twin.refused_of = self.refusals.copy(), self.refused_of.copy()
        return twin

    def begin_day(self) -> None:
        """Count the day's refusals from here."""
        self.refused_today = 0
        self.refused_of.clear()

    def move(self, before: InstrumentListed, listed: InstrumentListed) -> None:
        """Use the scales of a new listing for what is remembered."""
        change = Change.between(before, listed)
        self.grouped = None
        self.live = rescaled(self.live, dict[str, OrderState], change)
        self.ended = rescaled(self.ended, dict[str, OrderState], change)
        self.stops = rescaled(self.stops, dict[tuple[InstrumentId, str, str], tuple[int, Event]], change)
        self.trails = rescaled(self.trails, dict[tuple[InstrumentId, str], tuple[int, Event]], change)
        self.refusals = rescaled(self.refusals, deque[tuple[int, Event]], change)

    def of(self, client_order_id: str) -> OrderState | None:
        """Return an order that is remembered."""
        return self.live.get(client_order_id) or self.ended.get(client_order_id)

    def groups(self) -> Groups:
        """Return the live orders and the stops of each book."""
        found = self.grouped
        if found is None:
            found = self.grouped = Groups({}, {})
            for name, order in self.live.items():
                found.orders.setdefault((order.instrument, order.owner), []).append((name, order))
            for (number, owner, handle), kept in self.stops.items():
                found.stops.setdefault((number, owner), []).append((handle, kept))
        return found

    def _submitted(self, seq: int, order: SubmitOrder) -> None:
        self.grouped = None
        self.live[order.client_order_id] = OrderState(
            order.strategy,
            order.instrument,
            order.terms,
            "PendingNew",
            0,
            order.terms.size,
            seq,
            order.at_ns,
            seq,
            order.at_ns,
            order.reason,
        )

    def _changed(self, seq: int, changed: OrderChanged) -> None:
        order = self.of(changed.client_order_id)
        if order is None:
            return
        order.state, order.filled, order.left = changed.state, changed.filled, changed.remaining
        order.updated_seq, order.updated_ns = seq, changed.at_ns
        if changed.state in ENDED and changed.client_order_id in self.live:
            self.grouped = None
            del self.live[changed.client_order_id]
            remember(self.ended, changed.client_order_id, order, ENDED_MAX)

    def fill(self, seq: int, fill: FillBooked) -> None:
        """Count what a fill of an order cost."""
        order = self.of(fill.client_order_id) if fill.client_order_id else None
        listed = self.instruments.get(fill.instrument)
        if order is not None and listed is not None:
            order.fired = True
            order.bought += Fraction(fill.size, power_of_ten(listed.size_scale))
            order.paid += Fraction(fill.price * fill.size, power_of_ten(listed.money_scale + fill.finer))

    def _accepted(self, seq: int, report: OrderAccepted) -> None:
        order = self.of(report.client_order_id)
        if order is not None:
            order.venue_id = max(order.venue_id, report.venue_order_id)
            order.fired = order.fired or report.triggered

    def _modified(self, seq: int, report: OrderModified) -> None:
        order = self.of(report.client_order_id)
        if order is not None:
            order.venue_id = max(order.venue_id, report.venue_order_id)
            if order.terms.limit:
                order.terms = replace(order.terms, limit=report.limit_price)

    def _read(self, seq: int, read: OrderRead) -> None:
        order = self.of(read.client_order_id)
        if order is None:
            return
        order.venue_id = max(order.venue_id, read.venue_order_id)
        order.fired = order.fired or read.triggered
        order.reason = read.reason or order.reason
        if read.state == "open" and order.terms.limit and order.state == "PendingReplace":
            order.terms = replace(order.terms, limit=read.limit_price)

    def _reason(self, seq: int, event: OrderCanceled | OrderRejected | OrderUnknown | CancelOrder) -> None:
        order = self.of(event.client_order_id)
        if order is not None:
            order.reason = event.reason or order.reason

    def _refused(self, seq: int, refused: OrderRefused) -> None:
        self.refusals.append((seq, refused))
        self.refused_today += 1
        self.refused_of[refused.strategy] = self.refused_of.get(refused.strategy, 0) + 1

    def _stop(self, seq: int, stop: StopChanged) -> None:
        self.grouped = None
        key = stop.instrument, stop.strategy, stop.handle
        if stop.state in _OVER:
            self.stops.pop(key, None)
        else:
            self.stops[key] = seq, stop

    def _trail(self, seq: int, trail: TrailChanged) -> None:
        key = trail.instrument, trail.strategy
        if trail.state in _OVER:
            self.trails.pop(key, None)
        else:
            self.trails[key] = seq, trail

    # Rows.

    def at_venue(self, instrument: int, owner: str, handle: str) -> int:
        """Return the size of the orders that wait at the venue for a stop of this handle."""
        return max(
            (
                order.left
                for _, order in self.groups().orders.get((instrument, owner), ())
                if order.terms.handle == handle and order.terms.trigger and order.terms.role == CLOSE
            ),
            default=0,
        )

    def in_engine(self, instrument: int, owner: str) -> Iterator[tuple[int, StopChanged | TrailChanged, int]]:
        """Yield (seq, stop or trail, size) of a book; the size is what only the engine watches, or 0."""
        for handle, (seq, stop) in self.groups().stops.get((instrument, owner), ()):
            yield seq, stop, max(0, stop.size - self.at_venue(instrument, owner, handle))
        kept = self.trails.get((instrument, owner))
        if kept is not None:
            yield kept[0], kept[1], 0 if kept[1].state == "parked" else kept[1].size

    def row(self, client_order_id: str, order: OrderState, market: Market, label: str, held: str) -> OrderRow:
        """Return an order with exact numbers and its distance to the market."""
        listed, terms = market.listed, order.terms
        live = client_order_id in self.live
        price = terms.trigger_price if terms.trigger and not order.fired else terms.limit
        distance, percents = _distance(market, terms, price, order.fired) if live else (None, None)
        known = order.bought == Fraction(order.filled, power_of_ten(listed.size_scale))
        average = average_text(listed, order.paid, order.bought) if known else None
        return OrderRow(
            client_order_id,
            label,
            order.owner,
            side_name(terms.side),
            "trail" if terms.purpose == "trail" and terms.trigger else terms.kind,
            held,
            order.state,
            terms.role,
            terms.purpose,
            size_text(listed, order.filled + order.left),
            size_text(listed, order.filled),
            size_text(listed, order.left),
            price_text(listed, terms.limit),
            terms.trigger,
            price_text(listed, terms.trigger_price),
            price_text(listed, terms.bound),
            terms.tif,
            terms.reduce_only,
            terms.parent,
            terms.group,
            terms.handle,
            average,
            distance,
            percents,
            order.reason,
            str(order.venue_id) if order.venue_id else "",
            order.seq,
            None if order.submitted_ns is None else ms(order.submitted_ns),
            order.updated_seq,
            ms(order.updated_ns),
        )

    def engine_row(
        self, seq: int, stop: StopChanged | TrailChanged, size: int, market: Market, label: str
    ) -> OrderRow:
        """Return a stop or a trail that only the engine watches, as an order."""
        listed = market.listed
        trail = isinstance(stop, TrailChanged)
        trigger = "sl" if isinstance(stop, TrailChanged) else stop.kind
        price = stop.stop if isinstance(stop, TrailChanged) else stop.trigger_price
        limit = 0 if isinstance(stop, TrailChanged) else stop.limit_price
        purpose = "trail" if trail else "stop" if trigger == "sl" else "take"
        terms = OrderTerms(stop.side, size, limit, trigger=trigger, trigger_price=price)
        distance, percents = _distance(market, terms, price, fired=False)
        handle = "" if isinstance(stop, TrailChanged) else stop.handle
        return OrderRow(
            f"{'trail' if trail else 'stop'} {stop.instrument} {stop.strategy} {handle}".rstrip(),
            label,
            stop.strategy,
            side_name(stop.side),
            "trail" if trail else terms.kind,
            "engine",
            stop.state,
            CLOSE,
            purpose,
            size_text(listed, size),
            "0",
            size_text(listed, size),
            price_text(listed, limit),
            trigger,
            price_text(listed, price),
            None,
            "",
            True,
            "",
            "",
            handle,
            None,
            distance,
            percents,
            "" if isinstance(stop, TrailChanged) else stop.reason,
            "",
            seq,
            ms(stop.at_ns),
            seq,
            ms(stop.at_ns),
        )

    def protection(self, instrument: int, owner: str, market: Market, held: str) -> list[ProtectedBy]:
        """Return what closes a position at a loss: stop-losses and trailing stops."""
        listed = market.listed
        found = []
        for name, order in self.groups().orders.get((instrument, owner), ()):
            terms = order.terms
            if terms.trigger == "sl" and terms.role == CLOSE:
                kind = "trail" if terms.purpose == "trail" else "stop"
                price = price_text(listed, terms.trigger_price)
                found.append(ProtectedBy(kind, name, size_text(listed, order.left), price, held))
        for _, stop, size in self.in_engine(instrument, owner):
            if not size:
                continue
            if isinstance(stop, TrailChanged):
                price = price_text(listed, stop.stop)
                found.append(ProtectedBy("trail", "", size_text(listed, size), price, "engine"))
            elif stop.kind == "sl":
                price = price_text(listed, stop.trigger_price)
                found.append(ProtectedBy("stop", stop.handle, size_text(listed, size), price, "engine"))
        return found


def refusal_row(seq: int, refused: OrderRefused, listed: InstrumentListed, label: str) -> RefusalRow:
    """Return a refusal with exact numbers."""
    return RefusalRow(
        seq,
        ms(refused.at_ns),
        label,
        refused.strategy,
        side_name(refused.side),
        size_text(listed, refused.size),
        refused.limit,
        refused.reason,
    )


def _distance(market: Market, terms: OrderTerms, price: int, fired: bool) -> tuple[str | None, float | None]:
    """Return how far the market has to move to a price, exactly and in percent; negative: it is beyond."""
    waits = bool(terms.trigger) and not fired
    now = market.trigger_price() if waits else market.against(terms.side)
    if now is None or not price:
        return None, None
    value, scale = now
    listed = market.listed
    finest = max(scale, listed.price_scale)
    value = rescale(value, scale, finest)
    away = value - rescale(price, listed.price_scale, finest)
    # A limit to buy waits for a lower price, and so does a stop-loss to sell.
    falls = (terms.side < 0) == (terms.trigger == "sl") if waits else terms.side > 0
    away = away if falls else -away
    return format_scaled(away, finest), percent(away, value)
