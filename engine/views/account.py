"""The books and the equity: what every owner holds, what it is worth, and how the account came there.

Owns positions as `PositionChanged` records them, what protects each (`ProtectionChanged`), targets, the fills
of late, the equity as the engine marked it, and the curve of it. The arithmetic is that of the ledger and of
the loss limits (`engine.actors`), so a view and the engine cannot differ in it. Called by `View`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from engine.actors.books.book import unrealized
from engine.actors.orders.losses import Counted
from engine.actors.rescaling import Change, rescaled
from engine.events import (
    AccountMarked,
    EquityMarked,
    Event,
    FillBooked,
    InstrumentListed,
    PositionChanged,
    ProtectionChanged,
    TargetChanged,
)
from engine.values import InstrumentId, format_scaled, rescale, side_name
from engine.views.markets import Kept, Market
from engine.views.shapes import AccountRow, EquityPoint, FillRow, VenueAccountRow
from engine.views.units import ms, percent, size_text

__all__ = ["CURVE_MAX", "FILLS_MAX", "Account", "BookKey", "fill_row", "money_scale", "position_gain"]

FILLS_MAX: Final = 2_000
"""Fills remembered; older ones are in the journal."""

CURVE_MAX: Final = 4_000
"""Points of the equity curve. Beyond it the older three quarters keep every second one: that of two at which
the equity had fallen further."""

BookKey = tuple[InstrumentId, str]
"""(instrument, owner)."""


Point = tuple[int, int, EquityMarked, int, int]
"""(time, seq, mark, fall from the peak, its scale)."""


class Account:
    """State: the newest record of each book, of its protection and of its target; fills; the equity.

    `day` is the equity that the UTC day
    began with, None on the first day of the account.
    """

    def __init__(self) -> None:
        self.books: dict[BookKey, Kept] = {}
        self.protection: dict[BookKey, Kept] = {}
        self.targets: dict[BookKey, Kept] = {}
        self.fills: deque[Kept] = deque(maxlen=FILLS_MAX)
        self.fills_today = 0
        self.fills_of: dict[str, int] = {}
        self.equity: Kept | None = None
        self.accounts: dict[str, tuple[int, AccountMarked]] = {}
        self.day: EquityMarked | None = None
        self.counted = Counted()
        self.curve: list[Point] = []
        self.real = False
        self.handlers: dict[type[Event], Callable[[int, Any], None]] = {
            PositionChanged: self._position,
            ProtectionChanged: self._protection,
            TargetChanged: self._target,
            FillBooked: self._fill,
            EquityMarked: self._equity,
            AccountMarked: self._account,
        }

    def copy(self) -> Account:
        """Return a copy that is changed on its own."""
        twin = Account()
        handlers = twin.handlers
        vars(twin).update(vars(self))
        twin.handlers = handlers
        twin.books, twin.protection, twin.targets = (
            self.books.copy(),
            self.protection.copy(),
            self.targets.copy(),
        )
        twin.accounts = self.accounts.copy()
        twin.fills, twin.fills_of, twin.curve = self.fills.copy(), self.fills_of.copy(), self.curve.copy()
        twin.counted = Counted(*(getattr(self.counted, name) for name in Counted.__struct_fields__))
        return twin

    def begin_day(self) -> None:
        """Count the day's profit and fills from here."""
        self.day = None if self.equity is None else self.equity[1]
        self.fills_today = 0
        self.fills_of.clear()

    def move(self, before: InstrumentListed, listed: InstrumentListed) -> None:
        """Use the scales of a new listing for what is remembered."""
        change = Change.between(before, listed)
        one = dict[tuple[InstrumentId, str], tuple[int, Event]]
        self.books = rescaled(self.books, one, change)
        self.protection = rescaled(self.protection, one, change)
        self.targets = rescaled(self.targets, one, change)
        self.fills = rescaled(self.fills, deque[tuple[int, Event]], change)

    def _position(self, seq: int, changed: PositionChanged) -> None:
        self.books[changed.instrument, changed.strategy] = seq, changed

    def _protection(self, seq: int, changed: ProtectionChanged) -> None:
        self.protection[changed.instrument, changed.owner] = seq, changed

    def _target(self, seq: int, changed: TargetChanged) -> None:
        self.targets[changed.instrument, changed.strategy] = seq, changed

    def _fill(self, seq: int, fill: FillBooked) -> None:
        self.fills.append((seq, fill))
        self.fills_today += 1
        self.fills_of[fill.owner] = self.fills_of.get(fill.owner, 0) + 1

    def _equity(self, seq: int, marked: EquityMarked) -> None:
        self.equity = seq, marked
        counted = self.counted
        counted.count(marked, real=self.real)
        self.curve.append((marked.at_ns, seq, marked, counted.peak - counted.last, counted.scale))
        if len(self.curve) > CURVE_MAX:
            older = len(self.curve) * 3 // 4
            pairs = zip(self.curve[:older:2], self.curve[1:older:2], strict=False)
            self.curve[:older] = [_deeper(one, other) for one, other in pairs]

    def _account(self, seq: int, marked: AccountMarked) -> None:
        self.accounts[marked.venue] = seq, marked

    # Rows.

    def venue_rows(self) -> list[VenueAccountRow]:
        """Return the accounts of several venues as last valued."""
        return [
            VenueAccountRow(
                venue,
                marked.currency,
                format_scaled(marked.equity, marked.scale),
                format_scaled(marked.unrealized, marked.scale),
                seq,
            )
            for venue, (seq, marked) in self.accounts.items()
        ]

    def account_row(self, currency: str) -> AccountRow:
        """Return the account as last valued."""
        if self.equity is None:
            return AccountRow(
                0,
                0,
                currency,
                None,
                None,
                "0",
                "0",
                "0",
                "0",
                None,
                "0",
                None,
                None,
                None,
                None,
                [],
                self.venue_rows(),
            )
        seq, marked = self.equity
        scale, counted = marked.scale, self.counted
        equity = int(marked.equity)
        profit = equity - int(marked.adjustments) - self._begun(scale)
        fall, whole = counted.peak - counted.last, counted.peak + counted.moved
        return AccountRow(
            seq,
            ms(marked.at_ns),
            currency,
            format_scaled(equity, scale),
            format_scaled(equity - int(marked.unrealized), scale),
            format_scaled(marked.realized, scale),
            format_scaled(marked.unrealized, scale),
            format_scaled(marked.fees, scale),
            format_scaled(marked.funding, scale),
            format_scaled(marked.start, scale),
            format_scaled(marked.adjustments, scale),
            format_scaled(profit, scale),
            format_scaled(whole, counted.scale),
            format_scaled(fall, counted.scale),
            percent(fall, whole),
            list(marked.unvalued),
            self.venue_rows(),
        )

    def _begun(self, scale: int) -> int:
        """Return the equity that the day began with, without deposits and withdrawals until then."""
        if self.day is None:
            assert self.equity is not None
            return int(self.equity[1].start)
        day = self.day
        return rescale(int(day.equity) - int(day.adjustments), day.scale, scale)

    def points(self) -> list[EquityPoint]:
        """Return the curve, oldest first."""
        return [
            EquityPoint(
                ms(at_ns), format_scaled(marked.equity, marked.scale), format_scaled(fall, scale), seq
            )
            for at_ns, seq, marked, fall, scale in self.curve
        ]


def _deeper(one: Point, other: Point) -> Point:
    """Return the point at which the equity had fallen further; of equal ones the first."""
    scale = max(one[4], other[4])
    falls = (rescale(point[3], point[4], scale) for point in (one, other))
    return other if next(falls) < next(falls) else one


def money_scale(listed: InstrumentListed, changed: PositionChanged) -> int:
    """Return the scale of a book's money."""
    return listed.money_scale + changed.finer


def position_gain(market: Market, changed: PositionChanged) -> int | None:
    """Return the profit of an open position at the newest price, at its money's scale, or None."""
    if not changed.size:
        return 0
    price = market.price()
    if price is None:
        return None
    value, scale = price
    own = money_scale(market.listed, changed)
    return unrealized(changed.size, int(changed.cost), own, value, scale + market.listed.size_scale)


def fill_row(seq: int, fill: FillBooked, listed: InstrumentListed, label: str) -> FillRow:
    """Return a fill with exact numbers."""
    price_scale = listed.price_scale + fill.finer
    return FillRow(
        seq,
        ms(fill.at_ns),
        ms(fill.venue_ns),
        label,
        fill.owner,
        fill.client_order_id,
        side_name(fill.side),
        format_scaled(fill.price, price_scale),
        size_text(listed, fill.size),
        format_scaled(fill.price * fill.size, price_scale + listed.size_scale),
        format_scaled(fill.fee, listed.money_scale + fill.finer),
        fill.fee_asset,
        fill.liquidity,
        fill.role,
        fill.purpose,
        fill.external,
        fill.cause,
        str(fill.trade_id) if fill.trade_id else "",
    )
