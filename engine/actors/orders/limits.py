"""Limits on orders and positions: sizes, values, counts. Only openings are measured against them.

What counts in a market is its worse side: the long side is the sum of the long books and of the live buys
that open, the short side likewise, so that closing one side never breaks the limit of the other. A value is
taken at the worse of the order's own price and the market's, in the account's currency (see `currencies`).
Called by `gates`; no state of its own.
"""

from __future__ import annotations

from decimal import Context, Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

from engine.actors.orders.currencies import Currencies
from engine.actors.orders.state import Live
from engine.clock import SECOND_NS
from engine.config import MONEY_TEXT_SCALE
from engine.events import InstrumentListed, OrderTerms
from engine.instruments import entry_of
from engine.values import BUY, format_scaled, parse_scaled

if TYPE_CHECKING:
    from engine.actors.orders.actor import OrderManager

__all__ = ["Limits", "Sides", "add_time"]

_EXACT: Final = Context(prec=200)
_MINUTE_NS: Final = 60 * SECOND_NS


class Sides(NamedTuple):
    """The two sides of a market: sizes, and values at the instrument's money scale."""

    long: int
    short: int
    long_value: int
    short_value: int

    @property
    def size(self) -> int:
        """The size of the worse side."""
        return max(self.long, self.short)

    @property
    def value(self) -> int:
        """The value of the worse side."""
        return max(self.long_value, self.short_value)


class Limits:
    """See the module."""

    def __init__(self, manager: OrderManager) -> None:
        self.m = manager
        risk = manager.config.risk
        self.currencies = Currencies(manager)
        self._order_notional = parse_scaled(risk.max_order_notional, MONEY_TEXT_SCALE)
        self._position_notional = parse_scaled(risk.max_position_notional, MONEY_TEXT_SCALE)

    # What is there.

    def own_price(self, instrument: int, terms: OrderTerms) -> int:
        """Return the worst price that an order can trade at: its limit, or the bound it would get."""
        return max(terms.worst or self.m.exits.bound(instrument, terms), terms.trigger_price)

    def price_of(self, instrument: int, terms: OrderTerms) -> int:
        """Return the price that an order is valued at: the worse of its own and the market's."""
        known = self.m.price(instrument)
        return max(self.own_price(instrument, terms), known.best(terms.side), known.any)

    def sides(
        self, instrument: int, *, adds: tuple[int, int, int] = (0, 0, 0), without: Live | None = None
    ) -> Sides:
        """Return the sides of a market, with an order of (side, size, price) that is not live yet.

        `without` is a live order that does not count.
        """
        m = self.m
        mark = m.price(instrument).any
        sizes, values = [0, 0], [0, 0]
        for held in m.books.get(instrument, {}).values():
            at = 0 if held > 0 else 1
            sizes[at] += abs(held)
            values[at] += abs(held) * mark
        for order in (*m.live.values(), *m.approved):
            if order.instrument == instrument and not order.exits and order is not without:
                at = 0 if order.terms.side == BUY else 1
                left = max(order.left, 0)
                sizes[at] += left
                values[at] += left * max(order.terms.worst, order.terms.trigger_price, mark)
        side, size, price = adds
        at = 0 if side == BUY else 1
        sizes[at] += size
        values[at] += size * price
        return Sides(sizes[0], sizes[1], values[0], values[1])

    # Refusals.

    def order(self, instrument: int, terms: OrderTerms, price: int) -> tuple[str, str] | None:
        """Return why one order is too large, or None."""
        listed = self.m.instruments[instrument]
        most = entry_of(self.m.config.risk.max_order_size, listed, "0")
        if _more(terms.size, listed.size_scale, most):
            size, name = format_scaled(terms.size, listed.size_scale), self.m.instruments.label(instrument)
            return "max_order_size", f"{size} {name} is more than {most}"
        largest = listed.rules.size_max
        if largest and terms.size > largest:
            size, allowed = (format_scaled(one, listed.size_scale) for one in (terms.size, largest))
            name = self.m.instruments.label(instrument)
            return "max_order_size", f"{size} {name} is more than {allowed}, the venue's largest order"
        return self.order_value(listed, terms.size * price)

    def order_value(self, listed: InstrumentListed, value: int) -> tuple[str, str] | None:
        """Return why the value of one order is too large, or None."""
        return self._exceeds("max_order_notional", value, self._order_notional, listed)

    def position(self, instrument: int, sides: Sides) -> tuple[str, str] | None:
        """Return why a position would be too large, or None."""
        listed = self.m.instruments[instrument]
        most = entry_of(self.m.config.risk.max_position_size, listed, "0")
        if _more(sides.size, listed.size_scale, most):
            size, name = format_scaled(sides.size, listed.size_scale), self.m.instruments.label(instrument)
            return "max_position_size", f"{size} {name} would be more than {most}"
        return self.position_value(listed, sides)

    def position_value(self, listed: InstrumentListed, sides: Sides) -> tuple[str, str] | None:
        """Return why the value of a position would be too large, or None."""
        return self._exceeds("max_position_notional", sides.value, self._position_notional, listed)

    def netting(self, owner: str, instrument: int, side: int) -> tuple[str, str] | None:
        """Return why an opening must not net a market, or None if it may."""
        m = self.m
        if m.config.risk.netting == "allow":
            return None
        for other, held in m.books.get(instrument, {}).items():
            if other != owner and held * side < 0:
                return "netting", f"{other} holds the other side of {m.instruments.label(instrument)}"
        for order in (*m.live.values(), *m.approved):
            other_side = order.terms.side != side and not order.exits
            if order.instrument == instrument and order.owner != owner and other_side:
                name = m.instruments.label(instrument)
                return "netting", f"{order.owner} is about to open the other side of {name}"
        return None

    def positions(self, owner: str, instrument: int) -> tuple[str, str] | None:
        """Return why no further position may be opened, or None. Orders that open count as positions."""
        m = self.m
        most = m.config.risk.max_open_positions
        if not most:
            return None
        taken = {
            (number, name): None for number, books in m.books.items() for name, held in books.items() if held
        }
        for order in (*m.live.values(), *m.approved):
            if not order.exits:
                taken[order.instrument, order.owner] = None
        if (instrument, owner) in taken or len(taken) < most:
            return None
        return "max_open_positions", f"{len(taken)} positions are open or about to be, {most} are allowed"

    def rate(self, at_ns: int, instrument: int) -> tuple[str, str] | None:
        """Return why no further order may be sent this minute, or None.

        A fifth of what the venue allows is kept for exits and cancels.
        """
        gate = self.m.gate
        most = self.m.config.risk.max_orders_per_minute
        sent = _in_last_minute(gate.approvals_ns, at_ns)
        if most and sent >= most:
            return "max_orders_per_minute", f"{sent} orders in the last minute"
        listed = self.m.instruments[instrument]
        allowed = listed.rules.requests_per_minute
        commands = _in_last_minute(gate.account(listed.venue).commands_ns, at_ns)
        if allowed and commands >= allowed * 4 // 5:
            return "request_budget", f"{commands} requests in the last minute; the venue allows {allowed}"
        return None

    def cooling(self, owner: str, at_ns: int) -> tuple[str, str] | None:
        """Return why a strategy must not open so soon after a stop, or None."""
        left_ns = self.m.gate.cooling_ns.get(owner, 0) - at_ns
        if left_ns <= 0:
            return None
        return "cooldown", f"a stop closed a position; openings again in {-(-left_ns // SECOND_NS)} s"

    def _exceeds(self, limit: str, value: int, most: int, listed: InstrumentListed) -> tuple[str, str] | None:
        """Return the refusal of a value, at the instrument's scale, above `most` at MONEY_TEXT_SCALE."""
        if not most:
            return None
        worth = self.currencies.worth(listed, value)
        if worth is None:
            return "no_price", f"no price of {listed.rules.quote} is known yet, so {limit} cannot be judged"
        if worth * 10**MONEY_TEXT_SCALE <= most * 10**listed.money_scale:
            return None
        unit = f" {self.currencies.own}" if self.currencies.is_other(listed) else ""
        allowed = format_scaled(most, MONEY_TEXT_SCALE)
        return limit, f"{format_scaled(worth, listed.money_scale)}{unit} is more than {allowed}"


def add_time(times_ns: list[int], at_ns: int) -> None:
    """Add a time to those of the last minute, and forget older ones."""
    _in_last_minute(times_ns, at_ns)
    times_ns.append(at_ns)


def _in_last_minute(times_ns: list[int], at_ns: int) -> int:
    """Return how many of these rising times lie in the last minute, and forget the others."""
    while times_ns and times_ns[0] <= at_ns - _MINUTE_NS:
        del times_ns[0]
    return len(times_ns)


def _more(size: int, scale: int, limit: str) -> bool:
    """Return whether a size exceeds a limit in base units, compared exactly; 0 is no limit."""
    most = Decimal(limit)
    return bool(most) and Decimal(size) > most.scaleb(scale, _EXACT)
