"""What the books, the order manager and the start of a session derive: fills by owner, targets, protection.

All are derived. A *book* is the position of one owner in one market; owners are the strategies, "manual" (a
person's orders) and "external" (fills that were not ordered through the engine). Sizes are exact integers
at the instrument's scale.
"""

from __future__ import annotations

from typing import Annotated

from engine.events.base import Event
from engine.values import Amount, InstrumentId, Money, Price, Side, Size

__all__ = [
    "AccountAdjusted",
    "AccountMarked",
    "BookAdjusted",
    "ExitDelayed",
    "FillBooked",
    "MarginCalled",
    "ProtectionChanged",
    "StrategyBegan",
    "TargetChanged",
]

_Scaled = Annotated[Amount, "scaled"]


class FillBooked(Event, frozen=True, tag="fill-booked"):
    """A fill, or a part of one, in the book of its owner. It never takes a book across 0.

    Price and money have `finer` more decimals than the instrument's. `role` is whether it took the book away
    from 0 ("open") or towards it ("close"). `external`: it was not ordered through the engine. `over`: an
    exit carried the book beyond 0 by this part. `cause` is "" for an ordinary fill, "liquidation", "adl",
    "position read" (the venue's position differed), "taken back" (such a difference is explained by a fill
    that came later, which follows), "flat" (the account is flat), "adopted", or "fee" (a fee in base units
    took a part of the position). `venue_order_id` is the number of a real order that a change was sent for,
    since a change gives it another one; 0 for all others.
    """

    at_ns: int
    owner: str
    instrument: InstrumentId
    side: Side
    price: Price
    size: Size
    fee: Money
    finer: int
    client_order_id: str
    trade_id: int
    liquidity: str
    role: str
    purpose: str
    external: bool = False
    over: bool = False
    cause: str = ""
    handle: str = ""
    fee_asset: str = ""
    venue_ns: int = 0
    venue_order_id: int = 0


class BookAdjusted(Event, frozen=True, tag="book-adjusted"):
    """A fill from outside changed a book.

    `account` is the engine's position after it, `venue` the venue's.
    """

    at_ns: int
    owner: str
    instrument: InstrumentId
    before: Size
    after: Size
    account: Size
    venue: Size
    reason: str


class AccountAdjusted(Event, frozen=True, tag="account-adjusted"):
    """Money that is no profit or loss: a deposit, a withdrawal, or a difference to the venue's number.

    `venue`: of the account there, in its currency; "" where there is one account.
    """

    at_ns: int
    scale: int
    amount: _Scaled
    reason: str
    venue: str = ""


class AccountMarked(Event, frozen=True, tag="account-marked"):
    """The value of one account of several, in its own currency, after a change; `EquityMarked` has the sum.

    `unrealized` is the profit of the open positions, which `equity` includes.
    """

    at_ns: int
    venue: str
    currency: str
    scale: int
    equity: _Scaled
    unrealized: _Scaled


class TargetChanged(Event, frozen=True, tag="target-changed"):
    """The state of a target after a change.

    `wanted` is the size, None if there is no target. `working` is what its live order can still fill, signed.
    `state` is "none", "working", "waiting" (`reason` says for what; `next_ns` is the next try, 0 if it waits
    for an event), "reached", or "withdrawn" (only closing goes on).
    """

    at_ns: int
    strategy: str
    instrument: InstrumentId
    wanted: Annotated[int | None, "size"]
    position: Size
    working: Size
    state: str
    reason: str = ""
    next_ns: int = 0


class ProtectionChanged(Event, frozen=True, tag="protection"):
    """What protects a book: sizes of stops at the venue, of stops and trails in the engine, and of exits that
    are on their way. `size` is the position."""

    at_ns: int
    owner: str
    instrument: InstrumentId
    size: Size
    at_venue: Size
    in_engine: Size
    exiting: Size
    reason: str = ""


class ExitDelayed(Event, frozen=True, tag="exit-delayed"):
    """An exit that is owed has not been filled: `left` is what remains after `tries` since `since_ns`."""

    at_ns: int
    owner: str
    instrument: InstrumentId
    left: Size
    tries: int
    since_ns: int
    reason: str


class MarginCalled(Event, frozen=True, tag="margin-called"):
    """The equity fell below the initial margin of the positions: openings are refused."""

    at_ns: int
    scale: int
    equity: _Scaled
    required: _Scaled
    venue: str = ""


class StrategyBegan(Event, frozen=True, tag="strategy-began"):
    """A strategy began while its book holds a position. `fresh`: without the state it had; `why` says why.

    `positions` are (instrument, signed size).
    """

    at_ns: int
    name: str
    fresh: bool
    why: str
    positions: tuple[tuple[int, int], ...]
