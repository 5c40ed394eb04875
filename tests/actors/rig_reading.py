"""What a test can read of a `Rig`: books, orders, fills, refusals and protection, in units of the market."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, TypeVar

from engine.actors import OrderManager
from engine.events import (
    EquityMarked,
    Event,
    FillBooked,
    OrderRefused,
    ProtectionChanged,
    SubmitOrder,
    TrailChanged,
)
from engine.events.codec import Record
from engine.sequencer import Sequencer
from engine.values import BUY

__all__ = ["Number", "Reading"]

E = TypeVar("E", bound=Event)
Number = int | str | Decimal


class Reading:
    """Base class of `Rig`. `log` holds every record, `scales` the decimals of price and size."""

    log: list[Record]
    scales: tuple[int, int]
    _sequencer: Sequencer

    @property
    def manager(self) -> OrderManager:
        """The order manager."""
        actor = self._sequencer.actor("orders")
        assert isinstance(actor, OrderManager)
        return actor

    def live(self, order: SubmitOrder) -> Any:
        """Return the manager's record of a live order."""
        return self.manager.live[order.client_order_id]

    def book(self, name: str, market: int = 1) -> Decimal:
        """Return the position of a book."""
        return self._units(self.manager.book(name, market))

    def account(self, market: int = 1) -> Decimal:
        """Return the position of the account."""
        return self._units(self.manager.account(market))

    def wanted(self, name: str, market: int = 1) -> Decimal | None:
        """Return the target of a book."""
        target = self.manager.aims.get(market, {}).get(name)
        return None if target is None or target.wanted is None else self._units(target.wanted)

    def orders(self, name: str = "", market: int = 1) -> list[tuple[str, Decimal, Decimal]]:
        """Return the live orders, oldest first: (side and purpose, open size, trigger, limit or 0)."""
        found: list[tuple[str, Decimal, Decimal]] = []
        for order in self.manager.live.values():
            terms = order.terms
            if name in ("", order.owner) and order.instrument == market:
                price = terms.trigger_price or terms.limit
                side = "buy" if terms.side == BUY else "sell"
                found.append((f"{side} {terms.purpose}", self._units(order.left), self._price(price)))
        return found

    def events(self, kind: type[E]) -> list[E]:
        """Return the recorded events of a type."""
        return [event for _, _, event in self.log if isinstance(event, kind)]

    def refusals(self, name: str = "") -> list[str]:
        """Return the limits that refused a request."""
        return [one.limit for one in self.events(OrderRefused) if name in ("", one.strategy)]

    def fills(self, name: str = "", market: int = 1) -> list[tuple[Decimal, Decimal]]:
        """Return (signed size, price) of each booked fill."""
        return [
            (
                self._units(one.side * one.size),
                Decimal(one.price).scaleb(-self.scales[0] - one.finer),
            )
            for one in self.events(FillBooked)
            if name in ("", one.owner) and one.instrument == market
        ]

    def cash_flow(self, name: str = "", market: int = 1) -> Decimal:
        """Return what the fills of a book, or of all, added to the cash, without fees."""
        return sum((-size * price for size, price in self.fills(name, market)), Decimal(0))

    def equity(self) -> EquityMarked | None:
        """Return the last `EquityMarked`."""
        marked = self.events(EquityMarked)
        return marked[-1] if marked else None

    def protection(self, name: str, market: int = 1) -> tuple[Decimal, Decimal, Decimal]:
        """Return the last recorded sizes of protection: (at the venue, in the engine, exiting)."""
        for one in reversed(self.events(ProtectionChanged)):
            if (one.owner, one.instrument) == (name, market):
                return self._units(one.at_venue), self._units(one.in_engine), self._units(one.exiting)
        return Decimal(0), Decimal(0), Decimal(0)

    def trails(self, name: str) -> list[tuple[str, Decimal, Decimal]]:
        """Return (state, size, stop) of each recorded change of trailing stops."""
        return [
            (one.state, self._units(one.size), self._price(one.stop))
            for one in self.events(TrailChanged)
            if one.strategy == name
        ]

    def __iter__(self) -> Iterator[Event]:
        return (event for _, _, event in self.log)

    # Units.

    def price(self, value: Number) -> int:
        """Return a price in steps."""
        return int(Decimal(value).scaleb(self.scales[0]))

    def size(self, value: Number) -> int:
        """Return a size in steps."""
        return int(Decimal(value).scaleb(self.scales[1]))

    def _units(self, steps: int) -> Decimal:
        return Decimal(steps).scaleb(-self.scales[1])

    def _price(self, steps: int) -> Decimal:
        return Decimal(steps).scaleb(-self.scales[0])
