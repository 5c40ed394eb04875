"""The gates: the conditions and limits that a part of a request has to pass, in one order.

Owns the rules by role. A closing part is refused only where nothing can be closed or nothing can be sent; an
opening part has to pass every limit:

    limit                                     closing part                       opening part
    size                                      refused                            refused
    disarmed                                  refused, or waits                  refused
    watched (of several venues, not armed)    refused                            refused
    nothing_to_close, exit_budget             refused, or waits (see `exits`)    -
    no_price                                  waits for the first price          refused
    stopping                                  refused, unless it is owed         refused
    trigger_side                              refused                            -
    min_value                                 where the venue would refuse it    refused
    max_order_size, max_order_notional        passes                             refused
    max_position_size, max_position_notional  passes                             refused
    netting, max_open_positions,              passes                             refused
    max_leverage, cooldown
    stale                                     passes                             refused
    max_orders_per_minute, request_budget     passes                             refused
    unreconciled, clock, unknown_orders       passes                             refused
    market_halted, halted, quarantined,       passes                             refused
    paused
    margin, balance, short_spot               passes                             refused

Called by `requests` for each part, and by the manager for what changes the conditions. The parts: `limits`,
`margin`, `halts`, `losses`, `conditions`. State: the manager's `gate`, `money` and `counted`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from msgspec.structs import replace

from engine.actors.base import Emit, RoutesChanged
from engine.actors.orders.conditions import SKEW_NS_MAX, UNKNOWN_MAX, fresh_until, not_fresh, note
from engine.actors.orders.halts import DISARMED, STOPPED, Halts
from engine.actors.orders.limits import Limits, add_time
from engine.actors.orders.losses import Losses
from engine.actors.orders.margin import Margin
from engine.actors.orders.state import Live
from engine.clock import SECOND_NS
from engine.config import MONEY_TEXT_SCALE
from engine.events import (
    AccountMarked,
    AccountRead,
    ActorFailed,
    ActorRestarted,
    ClockAdopted,
    ClockChecked,
    ClockJumped,
    EngineLagging,
    EquityMarked,
    Event,
    FeedDamaged,
    FeedDown,
    FeedGap,
    FeedHeard,
    FeedLagging,
    FeedPolling,
    FeedUp,
    FillBooked,
    GatewayDown,
    InstrumentListed,
    OrderChanged,
    OrderTerms,
    PositionChanged,
    PositionDiffers,
    QueryAccount,
    SessionStarted,
)
from engine.events.terms import CLOSE, OPEN
from engine.values import format_scaled, parse_scaled, parse_span, power_of_ten

if TYPE_CHECKING:
    from engine.actors.orders.actor import OrderManager

__all__ = ["Gates"]

_Refusal = tuple[str, str] | None


class Gates:
    """See the module."""

    WATCHES: ClassVar[tuple[type[Event], ...]] = (
        FeedUp,
        FeedDown,
        FeedDamaged,
        FeedGap,
        FeedHeard,
        FeedLagging,
        FeedPolling,
        GatewayDown,
        ClockAdopted,
        ClockChecked,
        ClockJumped,
        EngineLagging,
        PositionDiffers,
    )

    def __init__(self, manager: OrderManager) -> None:
        self.m = manager
        self.limits = Limits(manager)
        self.margin = Margin(manager)
        self.halts = Halts(manager)
        self.losses = Losses(manager)
        risk = manager.config.risk
        self._leverage_max = parse_scaled(risk.max_leverage, MONEY_TEXT_SCALE)
        self._cooldown_ns = parse_span(risk.cooldown)

    @property
    def halted(self) -> str:
        """The reason of the current halt, "" if there is none. A stop is not a halt: its session ends."""
        return "" if self.m.gate.halted == STOPPED else self.m.gate.halted

    @property
    def halted_markets(self) -> dict[str, str]:
        """The halted markets by name, each with its reason."""
        return {self.m.instruments.label(number): why for number, why in self.m.gate.markets.items()}

    @property
    def paused(self) -> list[str]:
        """The strategies that an operator has paused; "" stands for all."""
        return list(self.m.gate.paused)

    # Refusals.

    def refusal(self, at_ns: int, owner: str, instrument: int, terms: OrderTerms) -> _Refusal:
        """Return the (limit, reason) that refuses a part with a role, or None if it passes."""
        m = self.m
        listed = m.instruments[instrument]
        if terms.size <= 0:
            return "size", "the size is 0 on the venue's grid"
        if m.gate.disarmed:
            return "disarmed", DISARMED
        if m.gate.accounts and listed.venue not in m.gate.accounts:
            return "watched", f"{listed.venue} is watched only: its account is not armed in this session"
        if not m.price(instrument).any and (terms.role == OPEN or terms.market):
            return "no_price", f"no price of {m.instruments.label(instrument)} is known yet"
        stopping = self.halts.stopping(at_ns, terms)
        if stopping is not None:
            return stopping
        if terms.role == CLOSE:
            return self._refusal_of_exit(at_ns, instrument, terms, listed)
        return self._too_small(instrument, terms, listed) or self._refusal_of_opening(
            at_ns, owner, instrument, terms
        )

    def _refusal_of_opening(self, at_ns: int, owner: str, instrument: int, terms: OrderTerms) -> _Refusal:
        price = self.limits.price_of(instrument, terms)
        return (
            self.limits.order(instrument, terms, price)
            or self._positions(at_ns, owner, instrument, terms, price)
            or self._stale(at_ns, instrument)
            or self.limits.rate(at_ns, instrument)
            or self._conditions(owner, instrument)
            or self.margin.refusal(instrument, terms, price)
        )

    def refusal_of_change(self, at_ns: int, order: Live, size: int, limit: int) -> _Refusal:
        """Return the (limit, reason) that refuses a change of an opening to an open size and a limit.

        More size is judged like a new order for the difference, without the venue's minimum, which goes by
        the whole. Less size or another price has to pass only the limits of money at the new price.
        """
        m, instrument = self.m, order.instrument
        listed = m.instruments[instrument]
        whole = replace(order.terms, size=size, limit=limit)
        if size > order.left:
            more = replace(whole, size=size - order.left)
            broken = self._refusal_of_opening(at_ns, order.owner, instrument, more)
            if broken is not None:
                return broken
        price = self.limits.price_of(instrument, whole)
        sides = self.limits.sides(instrument, adds=(whole.side, whole.size, price), without=order)
        return (
            self._too_small(instrument, whole, listed)
            or self.limits.order_value(listed, whole.size * price)
            or self.limits.position_value(listed, sides)
            or self.margin.refusal(instrument, whole, price, without=order)
        )

    def is_dust(self, instrument: int, terms: OrderTerms) -> bool:
        """Return whether the venue would refuse an exit because its value is too small.

        Its exemption of orders that close goes by the account, which another book may have netted.
        """
        listed = self.m.instruments[instrument]
        rules = listed.rules
        held = self.m.account(instrument)
        reduces = held * terms.side < 0 and terms.size <= abs(held)
        if rules.value_min_exempts_close and reduces:
            return False
        return self._too_small(instrument, terms, listed) is not None

    def flags_exits(self, instrument: int) -> bool:
        """Return whether the venue has a reduce-only flag for this market."""
        return self.m.instruments[instrument].rules.reduce_only

    def largest_order(self, instrument: int) -> int:
        """Return the largest size of one order at the venue; 0 for no bound."""
        return self.m.instruments[instrument].rules.size_max

    def _refusal_of_exit(
        self, at_ns: int, instrument: int, terms: OrderTerms, listed: InstrumentListed
    ) -> _Refusal:
        if terms.trigger and terms.purpose == "own":
            price = self.m.protection.placement.price(at_ns, instrument, terms.side)
            beyond = (price - terms.trigger_price) * terms.side
            if price and (beyond >= 0 if terms.trigger == "sl" else beyond <= 0):
                at, now = (format_scaled(one, listed.price_scale) for one in (terms.trigger_price, price))
                return "trigger_side", f"the price is {now}, at or beyond the trigger price {at}"
        return self._too_small(instrument, terms, listed) if self.is_dust(instrument, terms) else None

    def _too_small(self, instrument: int, terms: OrderTerms, listed: InstrumentListed) -> _Refusal:
        """Return the refusal of an order below the venue's minimum value, at its limit or bound."""
        least = parse_scaled(listed.rules.value_min, MONEY_TEXT_SCALE)
        price = terms.worst or self.m.exits.bound(instrument, terms)
        value = terms.size * price
        if not price or value * power_of_ten(MONEY_TEXT_SCALE) >= least * power_of_ten(listed.money_scale):
            return None
        worth = format_scaled(value, listed.money_scale)
        return "min_value", f"{worth} is less than the venue's minimum of {listed.rules.value_min}"

    def _positions(self, at_ns: int, owner: str, instrument: int, terms: OrderTerms, price: int) -> _Refusal:
        """Return the limit on positions that an opening breaks, or None."""
        sides = self.limits.sides(instrument, adds=(terms.side, terms.size, price))
        return (
            self.limits.position(instrument, sides)
            or self.limits.netting(owner, instrument, terms.side)
            or self.limits.positions(owner, instrument)
            or self._leverage((instrument, terms.side, terms.size, price))
            or self.limits.cooling(owner, at_ns)
        )

    def _leverage(self, adds: tuple[int, int, int, int]) -> _Refusal:
        """Return why the account's value would be too high for its equity, or None."""
        if not self._leverage_max:
            return None
        scale = self.margin.scale()
        equity, value = self.margin.equity(scale), self.margin.value_of_all(scale, adds)
        if value * power_of_ten(MONEY_TEXT_SCALE) <= self._leverage_max * equity:
            return None
        words = (
            f"{format_scaled(value, scale)} would be open with an equity of {format_scaled(equity, scale)}"
        )
        return "max_leverage", f"{words}, at most {self.m.config.risk.max_leverage} times it is allowed"

    def _stale(self, at_ns: int, instrument: int) -> _Refusal:
        """Return why the price is not fresh, or None."""
        m = self.m
        why = not_fresh(
            m.gate, m.instruments[instrument], m.price(instrument), at_ns, m.config.risk.max_price_age_ms
        )
        return None if why is None else ("stale", why)

    def fresh_until(self, at_ns: int, instrument: int, terms: OrderTerms) -> int:
        """Return when the price on which a real opening was approved is too old to send it; 0: never."""
        m = self.m
        if not m.real or terms.role == CLOSE:
            return 0
        return fresh_until(
            m.gate,
            m.instruments[instrument].venue,
            m.price(instrument),
            at_ns,
            m.config.risk.max_price_age_ms,
        )

    def _conditions(self, owner: str, instrument: int) -> _Refusal:
        """Return the state of the account or the halt that refuses openings now, or None."""
        m, gate = self.m, self.m.gate
        if m.real:
            account = gate.account(m.instruments[instrument].venue)
            if account.unreconciled:
                return "unreconciled", account.unreconciled
            if gate.accounts and m.money.cash is None:
                return "unreconciled", "the account of another venue has not been read yet"
            if abs(account.skew_ns) > SKEW_NS_MAX:
                return (
                    "clock",
                    f"this machine's clock is {account.skew_ns / SECOND_NS:+.3f} s off the venue's",
                )
            if len(account.unknown) > UNKNOWN_MAX:
                return "unknown_orders", f"the fate of {len(account.unknown)} orders is not known"
        return self.halts.refusal(owner, instrument)

    # What changes the conditions.

    def follows(self) -> bool:
        """Return whether prices are followed to know their age, or since data was missed."""
        gate = self.m.gate
        heard = gate.heard_ms or any(one.heard_ms for one in gate.venues.values())
        return bool(heard or gate.doubted)

    def priced(self, instrument: int, emit: Emit) -> None:
        """Note a new price: what was missed before it does not matter any more."""
        self.m.gate.doubted.pop(instrument, None)
        if not self.follows():
            emit(RoutesChanged())

    def note_approval(self, at_ns: int) -> None:
        """Count an approval, of an exit too."""
        if self.m.config.risk.max_orders_per_minute:
            add_time(self.m.gate.approvals_ns, at_ns)

    def note_command(self, at_ns: int, instrument: int) -> None:
        """Count a command to the venue, if it limits them."""
        listed = self.m.instruments[instrument]
        if listed.rules.requests_per_minute:
            add_time(self.m.gate.account(listed.venue).commands_ns, at_ns)

    def begin(self, started: SessionStarted, emit: Emit) -> None:
        """Begin a session: its feeds and its account are not known yet."""
        gate = self.m.gate
        self.halts.begin()
        gate.begin_accounts(self.m.config.named_accounts if self.m.real else ())
        gate.feeds.clear()
        gate.late.clear()
        gate.venues.clear()
        gate.clocks.clear()
        gate.heard_ms = gate.heard_ns = gate.jumped_ns = gate.lag_ms = 0
        gate.unproved = False
        gate.speed = 1.0
        gate.doubted = dict.fromkeys(self.m.prices)
        emit(RoutesChanged())

    def watch(self, event: Event, emit: Emit) -> None:
        """Update the conditions for openings."""
        if isinstance(event, PositionDiffers):
            self.halts.note_difference(event, emit)
            return
        if isinstance(event, ClockJumped) and event.ahead and self.m.real:
            emit(QueryAccount(event.recv_ns, "the clock jumped"))
        followed = self.follows()
        note(self.m.gate, event, self.m.prices, self.m.instruments)
        if self.follows() != followed:
            emit(RoutesChanged())

    def note_account(self, read: AccountRead) -> None:
        """Note that the account is known."""
        note(self.m.gate, read, self.m.prices, self.m.instruments)

    def note_order(self, changed: OrderChanged) -> None:
        """Count the Unknown orders."""
        unknown = self.m.gate.account(self.m.instruments[changed.instrument].venue).unknown
        if changed.state == "Unknown":
            unknown[changed.client_order_id] = None
        else:
            unknown.pop(changed.client_order_id, None)

    def note_fill(self, fill: FillBooked, left: int, emit: Emit) -> None:
        """Halt for a fill beyond its order, and begin the cooldown after a stop."""
        self.halts.note_fill(fill, left, emit)
        if self._cooldown_ns and fill.role == CLOSE and fill.purpose in ("stop", "trail"):
            self.m.gate.cooling_ns[fill.owner] = fill.at_ns + self._cooldown_ns

    def note_position(self, changed: PositionChanged) -> None:
        """Note the cost of a book, for margin."""
        self.margin.note_position(changed)

    def note_marked(self, marked: AccountMarked, emit: Emit) -> None:
        """Compare the money of one of several accounts with what its positions need."""
        self.margin.note_account(marked, emit)

    def note_equity(self, marked: EquityMarked, emit: Emit) -> None:
        """Compare the equity with what positions need and with the loss limits."""
        self.margin.note_equity(marked, emit)
        self.losses.note(marked, emit)

    def failed(self, failed: ActorFailed, emit: Emit) -> None:
        """Halt, or quarantine the strategy."""
        self.halts.failed(failed, emit)

    def restarted(self, restarted: ActorRestarted) -> None:
        """End a quarantine."""
        self.halts.restarted(restarted)
