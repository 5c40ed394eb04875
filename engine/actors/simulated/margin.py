"""Margin at the simulated venue: what the account can carry, and the liquidation of what it cannot.

The venue knows one account, not the books of strategies: a market needs the value of its position or, if that
is more, of the position with all live orders of one side filled, divided by the leverage. Orders count at the
worse of their price and the mark. Cross positions share the equity; an isolated position has its own margin
set aside. Below the maintenance margin, half of the initial margin at the highest leverage of the position's
tier, all open orders are canceled and the positions are closed at the market. Equity below 0 stays. A margin
call comes before that, once, when the equity is below the initial margin of the positions.

Markets without margin are paid in cash, and only what is held and not for sale already can be sold.

Money is at the account's scale; what is required is rounded up. Called by `arrival`, `fills`, `ticks` and
`candles`. State: the venue's `leverages`, `called` and `liquidations`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from engine.actors.simulated import depth
from engine.actors.simulated.state import DORMANT, FINER, UNIT, WAITING, WORKING, At, VenueOrder
from engine.config import FEE_SCALE
from engine.events import InstrumentListed, Liquidated, MarginCalled
from engine.instruments import entry_of
from engine.values import BUY, SELL, power_of_ten, wide

if TYPE_CHECKING:
    from engine.actors.simulated.venue import SimulatedVenue

__all__ = ["Margin", "liquidation_price"]

NO_MARGIN: Final = "Insufficient margin to place order."
NO_BALANCE: Final = "Insufficient spot balance."


def liquidation_price(
    *, mark: int, scale: int, size: int, available: int, money_scale: int, size_scale: int, leverage_max: int
) -> int | None:
    """Return the price at which a position is liquidated if only its mark moves, None if there is none.

    mark - side x available / |size| / (1 - side / n), where n is twice the highest leverage: `available`, at
    `money_scale`, is the equity that the position can use less its maintenance margin. `mark` and the result
    are at `scale`. The result is rounded towards the mark.
    """
    side, n = (BUY if size > 0 else SELL), 2 * leverage_max
    unit = power_of_ten(money_scale + 20 - scale - size_scale)
    above = mark * abs(size) * unit * (n - side) - side * available * n * power_of_ten(20)
    below = abs(size) * unit * (n - side)
    price = -(-above // below) if side == BUY else above // below
    return price if price > 0 else None


class Cross(NamedTuple):
    """The equity that cross positions can use, and of these positions the value and both margins."""

    equity: int
    value: int
    initial: int
    maintenance: int


class Outlook(NamedTuple):
    """What a range of prices can do to the account. `safe`: no margin call and no liquidation. `far`: prices
    would also have to move by all that the positions are worth (see `Margin.is_near`)."""

    safe: bool
    far: bool


SAFE: Final = Outlook(safe=True, far=True)
NEAR: Final = Outlook(safe=True, far=False)
UNSAFE: Final = Outlook(safe=False, far=False)

WIDER: Final = 32
"""A range of prices is looked at together with what is this part of it below and above."""


class Known:
    """A range of prices that is safe for an account with one position; `low` is 0 if a wide one is not."""

    def __init__(self, account: tuple[object, ...] = ()) -> None:
        self.account = account
        self.low = self.high = 1


class Margin:
    """See the module. What it remembers follows from the venue's state."""

    def __init__(self, venue: SimulatedVenue) -> None:
        self.v = venue
        self._known = Known()

    # Leverage.

    def on_margin(self, instrument: int) -> bool:
        """Return whether positions in a market are held on margin."""
        return self.v.instruments[instrument].rules.on_margin

    def is_isolated(self, instrument: int) -> bool:
        """Return whether a position has a margin of its own."""
        cross = self.v.leverages.get(instrument, (0, self.v.cross))[1]
        return self.on_margin(instrument) and not cross

    def leverage(self, instrument: int, value: int = 0) -> int:
        """Return the leverage of a position of this value: the chosen one, as far as its tier allows."""
        listed = self.v.instruments[instrument]
        chosen = self.v.leverages.get(instrument, (0, True))[0]
        chosen = chosen or entry_of(self.v.leverage_of, listed, listed.rules.leverage)
        return max(1, min(chosen, self.highest(listed, value)))

    def highest(self, listed: InstrumentListed, value: int) -> int:
        """Return the highest leverage of a position of this value."""
        highest = listed.rules.leverage_max
        for begins, most in listed.rules.tiers:
            if value >= self.v.account.amount(begins):
                highest = most
        return max(1, highest)

    # What is required.

    def _cross(self) -> Cross:
        """Return the sums of the cross positions, each valued once: prices are looked at very often.

        What was paid in cash is spent, and margin set aside belongs to its position.
        """
        v = self.v
        free, worth, initial, maintenance = v.cash, 0, 0, 0
        for instrument, held in v.positions.items():
            listed = v.instruments[instrument]
            if not listed.rules.on_margin:
                free -= held.cost
                continue
            chosen, cross = v.leverages.get(instrument, (0, v.cross))
            if not cross:
                free -= held.margin
                continue
            value = v.account.value(instrument)
            free += value - held.cost
            value = abs(value)
            worth += value
            highest = self.highest(listed, value)
            chosen = chosen or entry_of(v.leverage_of, listed, listed.rules.leverage)
            initial -= -value // max(1, min(chosen, highest))
            maintenance -= -value // (2 * highest)
        return Cross(free, worth, initial, maintenance)

    def maintenance(self, instrument: int) -> int:
        """Return the margin below which a position is liquidated."""
        value = abs(self.v.account.value(instrument))
        return -(-value // (2 * self.highest(self.v.instruments[instrument], value)))

    def refusal(self, order: VenueOrder) -> str:
        """Return why the account cannot carry an order, "" if it can."""
        if not self.on_margin(order.instrument):
            return self._cash_refusal(order)
        if self._closes(order):
            return ""
        needed = self._needed(order) + self._fee(order.instrument, self._worth(order))
        return NO_MARGIN if needed > self._cross().equity else ""

    def may_fill(self, order: VenueOrder, size: int) -> bool:
        """Return whether the account can hold the position after a fill of a resting order."""
        v = self.v
        held = v.account.size(order.instrument)
        after = held + order.side * size
        if abs(after) <= abs(held):
            return True
        if not self.on_margin(order.instrument):
            return not self._cash_refusal(order)
        mark = v.account.mark(order.instrument)
        others = sum(self._initial(number) for number in v.positions if number != order.instrument)
        value = v.account.money(order.instrument, mark, abs(after))
        if self.is_isolated(order.instrument):
            value -= v.account.money(order.instrument, mark, abs(held))
        return others - (-value // self.leverage(order.instrument, value)) <= self._cross().equity

    def _closes(self, order: VenueOrder) -> bool:
        """Return whether an order only reduces the account's position."""
        held = self.v.account.size(order.instrument)
        return order.terms.reduce_only or (held * order.side < 0 and order.remaining <= abs(held))

    def _worth(self, order: VenueOrder) -> int:
        """Return the value of an order at the worse of its price and the mark."""
        price = order.limit or order.terms.trigger_price or order.terms.bound
        fine = max(price * UNIT, self.v.account.mark(order.instrument))
        return self.v.account.money(order.instrument, fine, order.remaining)

    def _initial(self, instrument: int) -> int:
        """Return the initial margin of a cross position; an isolated one needs nothing more."""
        if not self.on_margin(instrument) or self.is_isolated(instrument):
            return 0
        value = abs(self.v.account.value(instrument))
        return -(-value // self.leverage(instrument, value))

    def _needed(self, order: VenueOrder) -> int:
        """Return what positions and live orders require together with this order."""
        live: dict[int, list[VenueOrder]] = {order.instrument: [order]}
        for instrument, orders in self.v.orders.items():
            live.setdefault(instrument, []).extend(
                one
                for one in orders
                if one is not order
                and one.remaining
                and one.phase not in (DORMANT, WAITING)
                and not one.terms.reduce_only
                and self.on_margin(instrument)
            )
        needed = sum(self._initial(number) for number in self.v.positions if number not in live)
        return needed + sum(self._market_needs(number, orders) for number, orders in live.items())

    def _market_needs(self, instrument: int, orders: list[VenueOrder]) -> int:
        held = instrument in self.v.positions
        value = self.v.account.value(instrument) if held and self.on_margin(instrument) else 0
        bought = sum(self._worth(one) for one in orders if one.side == BUY)
        sold = sum(self._worth(one) for one in orders if one.side == SELL)
        most = max(abs(value), abs(value + bought), abs(value - sold))
        lever = self.leverage(instrument, most)
        if self.is_isolated(instrument):
            most -= abs(value)
        return -(-most // lever)

    def _cash_refusal(self, order: VenueOrder) -> str:
        """Return why cash or holding do not suffice for an order in a market without margin."""
        v = self.v
        alike = [
            one
            for orders in v.orders.values()
            for one in orders
            if one is not order
            and one.remaining
            and one.phase == WORKING  # A stop that waits for its price is not for sale yet.
            and one.side == order.side
            and not self.on_margin(one.instrument)
        ]
        if order.side == SELL:
            for_sale = sum(one.remaining for one in alike if one.instrument == order.instrument)
            return NO_BALANCE if order.remaining + for_sale > v.account.size(order.instrument) else ""
        paid = [(one.instrument, self._paid(one)) for one in (*alike, order)]
        cost = sum(value + self._fee(instrument, value) for instrument, value in paid)
        sums = self._cross()
        return NO_BALANCE if cost > min(sums.equity - sums.initial, self._cash()) else ""

    def _fee(self, instrument: int, value: int) -> int:
        """Return a taker's fee on a value; a rebate counts as nothing."""
        return -(-value * max(0, self.v.fee_rate(instrument, "taker")) // power_of_ten(FEE_SCALE))

    def _paid(self, order: VenueOrder) -> int:
        """Return the most that a buy can cost, without its fee."""
        price = order.limit or order.terms.bound or order.terms.trigger_price
        return self.v.account.money(order.instrument, price * UNIT, order.remaining)

    def _cash(self) -> int:
        return self.v.cash - sum(
            held.cost for number, held in self.v.positions.items() if not self.on_margin(number)
        )

    # Liquidation.

    def is_near(self) -> bool:
        """Return whether a margin call is near enough to look at every price, not only at bars.

        It is far while prices would have to move by all that the positions are worth.
        """
        v = self.v
        if not any(map(self.on_margin, v.positions)):
            return False
        sums = self._cross()
        least, value = sums.equity - sums.initial, sums.value
        for number in self._isolated():
            least = min(least, self._available(number))
            value += abs(v.account.value(number))
        return least < value

    def level(self, instrument: int) -> int:
        """Return the first price of the grid at which the account is liquidated if only this market moves.

        0 if there is none.
        """
        v = self.v
        held = v.positions.get(instrument)
        if held is None or not self.on_margin(instrument):
            return 0
        listed = v.instruments[instrument]
        value = abs(v.account.value(instrument))
        fine = liquidation_price(
            mark=v.account.mark(instrument),
            scale=listed.price_scale + FINER,
            size=held.size,
            available=self._available(instrument),
            money_scale=v.scale,
            size_scale=listed.size_scale,
            leverage_max=self.highest(listed, value),
        )
        if fine is None:
            return 0
        step = listed.price_step
        steps = (fine - 1) // (step * UNIT) if held.size > 0 else fine // (step * UNIT) + 1
        return steps * step

    def _available(self, instrument: int) -> int:
        """Return the equity that a position can use less the maintenance margin that it has to cover."""
        v = self.v
        if self.is_isolated(instrument):
            margin = v.positions[instrument].margin
            return margin + v.account.unrealized(instrument) - self.maintenance(instrument)
        sums = self._cross()
        return sums.equity - sums.maintenance

    def _cross_positions(self) -> list[int]:
        return [n for n in self.v.positions if self.on_margin(n) and not self.is_isolated(n)]

    def _isolated(self) -> list[int]:
        return [n for n in self.v.positions if self.is_isolated(n)]

    def outlook(self, instrument: int, low: int, high: int) -> Outlook:
        """Return what prices from low to high, in one market, can do to the account.

        Of an account with one position the answer for a wider range is remembered until the account changes.
        """
        v = self.v
        if v.called or not v.positions:
            return UNSAFE if v.called else SAFE
        held = v.positions.get(instrument)
        if held is None or len(v.positions) > 1:
            return self._outlook(instrument, low, high)
        listed, leverage = v.instruments[instrument], v.leverages.get(instrument)
        account = (instrument, listed, leverage, v.scale, v.cash, held.size, held.cost, held.margin)
        known = self._known
        if known.account != account:
            known = self._known = Known(account)
        if not known.low <= low <= high <= known.high:
            wide = low - low // WIDER, high + high // WIDER
            outlook = self._outlook(instrument, *wide) if known.low else UNSAFE
            if outlook != SAFE:
                known.low = 0
                return self._outlook(instrument, low, high)
            known.low, known.high = wide
        return SAFE

    def _outlook(self, instrument: int, low: int, high: int) -> Outlook:
        """Return the same from the account at both ends.

        Equity follows the price in a straight line, and what a position requires only grows with its value:
        the least equity and the greatest requirement are those of the two ends.
        """
        v = self.v
        if not all(_grows(v.instruments[number]) for number in v.positions):
            return UNSAFE
        market = v.market(instrument)
        before = market.last
        ends = []
        for market.last in (low, high):
            isolated = [
                (v.positions[one].margin + v.account.unrealized(one), self.maintenance(one))
                for one in self._isolated()
            ]
            ends.append((self._cross(), isolated))
        market.last = before
        (one, isolated), (other, isolated_too) = ends
        spare = min(one.equity, other.equity) - max(one.initial, other.initial)
        spares = [
            min(mine[0], its[0]) - max(mine[1], its[1])
            for mine, its in zip(isolated, isolated_too, strict=True)
        ]
        if spare < 0 or any(one < 0 for one in spares):
            return UNSAFE
        return SAFE if not isolated and spare >= max(one.value, other.value) else NEAR

    def check(self, at: At) -> None:
        """Call for margin, and liquidate what the account cannot carry at the prices known now."""
        v = self.v
        if not v.positions:
            v.called = False
            return
        sums = self._cross()
        short = sums.equity < sums.initial
        if short and not v.called:
            at.emit(MarginCalled(at.recv_ns, v.scale, wide(sums.equity), wide(sums.initial)))
        v.called = short
        for instrument in self._isolated():
            if self._available(instrument) < 0:
                self._liquidate([instrument], [instrument], at)
                sums = self._cross()
        if sums.equity < sums.maintenance:
            cross = self._cross_positions()
            if cross:
                self._liquidate(cross, list(v.orders), at)

    def _liquidate(self, held: list[int], canceled: list[int], at: At) -> None:
        """Cancel the open orders of some markets and close positions."""
        v = self.v
        value = sum(abs(v.account.value(number)) for number in held)
        equity = v.account.equity()
        for number in canceled:
            for order in tuple(v.orders.get(number, ())):
                if order.remaining:
                    v.fills.end(order, "liquidation", at)
        sold = [(number, *close) for number in held for close in self._closes_at(number, at)]
        if not sold:
            return  # nothing to trade with: the next price decides
        v.liquidations += 1
        at.emit(Liquidated(at.recv_ns, v.liquidations, v.scale, wide(value), wide(equity)))
        for number, fine, size in sold:
            side = SELL if v.account.size(number) > 0 else BUY
            v.fills.liquidate(number, side, fine, size, at)

    def _closes_at(self, instrument: int, at: At) -> list[tuple[int, int]]:
        """Return the (fine price, size) at which a position is closed now, taking what is shown.

        What was shown before the market was left unfollowed does not count.
        """
        v = self.v
        market, held = v.market(instrument), v.account.size(instrument)
        side, left = (SELL if held > 0 else BUY), abs(held)
        if not market.depth:
            mark = v.account.mark(instrument)
            price = mark * (UNIT + side * v.liquidation_bps)
            price = -(-price // UNIT) if side == BUY else price // UNIT
            return [(max(price, 1), left)]
        found: list[tuple[int, int]] = []
        if not v.follows(at.recv_ns):
            return found
        for price, size in list(depth.levels_for(market, side)):
            taken = min(left, size)
            if taken:
                depth.take(market, side, price, taken)
                found.append((price * UNIT, taken))
                left -= taken
        return found


def _grows(listed: InstrumentListed) -> bool:
    """Return whether what a position requires never falls as its value grows: higher tiers allow less."""
    most = [listed.rules.leverage_max, *(highest for _, highest in listed.rules.tiers)]
    return most == sorted(most, reverse=True)
