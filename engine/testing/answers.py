"""The answers that a test gives in place of the engine: accepted, filled, refused, canceled.

Owns, for the bench (`bench.py`), what the strategy asked for and the test has not answered, and the books and
the money that the fills lead to. Checks no rule: it answers what the test says.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from decimal import Decimal
from typing import Final

import msgspec

from engine.errors import UsageError
from engine.events import (
    EquityMarked,
    Event,
    FillBooked,
    OrderChanged,
    OrderRefused,
    OrderRequested,
    OrderTerms,
    PositionChanged,
    StopChanged,
    StopRequested,
    SubmitOrder,
    TargetChanged,
    TargetSet,
)
from engine.events.terms import CLOSE, OPEN
from engine.instruments import Instruments
from engine.strategies.literals import Side
from engine.strategies.own import Own
from engine.values import BUY, SELL, rescale, to_grid

__all__ = ["PRICE_SCALE", "SIDES", "SIZE_SCALE", "Answers", "Number", "steps"]

Number = str | int | float | Decimal
"""Prices and sizes in a test; floats such as 100.5 are accepted."""

PRICE_SCALE: Final = 6
SIZE_SCALE: Final = 6
MONEY_SCALE: Final = PRICE_SCALE + SIZE_SCALE
LEDGER_SCALE: Final = MONEY_SCALE + 4

SIDES: Final = {"buy": BUY, "sell": SELL}


class _Request(msgspec.Struct):
    """What the strategy asked for and the test has not answered to its end. `name`: the client order id."""

    number: int
    handle: str
    side: int
    size: int
    limit: int
    trigger: str
    trigger_price: int
    purpose: str
    children: tuple[tuple[str, int, int], ...] = ()
    name: str = ""
    filled: int = 0


class Answers(ABC):
    """Base class of `Bench`: `_name` is the strategy's, `_listed` the markets by number."""

    now_ns: int
    _name: str
    _listed: Instruments

    def __init__(self, cash: Number) -> None:
        self._cash = rescale(steps(cash), PRICE_SCALE, LEDGER_SCALE)
        self._fees = 0
        self._flow = 0  # quote currency received for sizes less paid for them
        self._books = Own()
        self._prices: dict[int, int] = {}
        self._requests: dict[str, _Request] = {}
        self._count = 0

    @abstractmethod
    def _send(self, event: Event) -> list[Event]:
        """Send an event to the strategy; return what it emitted."""

    @abstractmethod
    def _number(self, market: str) -> int:
        """Return the number of a market; "" is the first."""

    # Answers. A handle of "" is the newest request, "target" the order of the newest target.

    def accept(self, handle: str = "") -> list[Event]:
        """Accept an order, a stop or the order of a target. Return the emitted events."""
        request = self._find(handle)
        if request.purpose in ("stop", "take") and not request.name:
            return self._send(self._stop(request, "waiting"))
        return self._submit(request) + self._state(request, "New")

    def fill(
        self,
        handle: str = "",
        size: Number | None = None,
        price: Number | None = None,
        *,
        fee: Number = 0,
        liquidity: str = "taker",
    ) -> list[Event]:
        """Fill an order, a stop or the order of a target: wholly, or by `size`. Return the emitted events.

        The default price is the order's limit, else its trigger, else the newest price of the market.
        """
        request = self._find(handle)
        emitted: list[Event] = []
        if request.purpose in ("stop", "take") and not request.name:
            emitted += self._send(self._stop(request, "firing"))
        emitted += self._submit(request)
        left = request.size - request.filled
        filled = left if size is None else steps(size)
        if not 0 < filled <= left:
            raise UsageError(f"the order has {Decimal(left).scaleb(-SIZE_SCALE)} left to fill, not {size}")
        request.filled += filled
        at = request.limit or request.trigger_price or self._prices.get(request.number, 0)
        at = at if price is None else steps(price)
        if not at:
            raise UsageError("give a price: the market has none yet")
        emitted += self._book(request, filled, at, steps(fee), liquidity)
        if request.children:
            emitted += self._protect(request)
        if request.filled == request.size:
            emitted += self._end(request, "Filled")
        else:
            emitted += self._state(request, "PartiallyFilled")
        return emitted + self._send(self._equity())

    def refuse(self, handle: str = "", rule: str = "size", reason: str = "by the test") -> list[Event]:
        """Refuse a request, as the engine does. Return the emitted events."""
        request = self._find(handle)
        del self._requests[_key(request)]
        return self._send(
            OrderRefused(
                self.now_ns,
                0,
                self._name,
                request.number,
                request.side,
                request.size,
                rule,
                reason,
                handle=request.handle,
                purpose=request.purpose,
            )
        )

    def reject(self, handle: str = "") -> list[Event]:
        """Reject an order, as the venue does. Return the emitted events."""
        request = self._find(handle)
        return self._submit(request) + self._end(request, "Rejected")

    def cancel(self, handle: str = "") -> list[Event]:
        """Cancel an order or a stop. Return the emitted events."""
        request = self._find(handle)
        if request.purpose in ("stop", "take") and not request.name:
            del self._requests[_key(request)]
            return self._send(self._stop(request, "dropped"))
        return self._submit(request) + self._end(request, "Canceled")

    def external(self, side: Side, size: Number, price: Number, *, market: str = "") -> list[Event]:
        """Fill the strategy's position from outside: a person or the venue traded. Return the events."""
        request = _Request(self._number(market), "", SIDES[side], steps(size), 0, "", 0, "own")
        return self._book(request, request.size, steps(price), 0, "", external=True) + self._send(
            self._equity()
        )

    def _find(self, handle: str) -> _Request:
        for request in reversed(self._requests.values()):
            if handle in ("", request.handle or "target"):
                return request
        raise UsageError(f"there is no order {handle!r} to answer" if handle else "nothing was requested")

    def _submit(self, request: _Request) -> list[Event]:
        if request.name:
            return []
        self._count += 1
        request.name = f"0x{self._count:032x}"
        held = self._books.held(request.number).size
        role = CLOSE if held * request.side < 0 else OPEN
        terms = OrderTerms(
            request.side,
            request.size,
            request.limit,
            role=role,
            purpose=request.purpose,
            trigger=request.trigger if request.purpose == "own" else "",
            trigger_price=request.trigger_price if request.purpose == "own" else 0,
            handle=request.handle,
        )
        return self._send(SubmitOrder(self.now_ns, request.name, self._name, request.number, terms))

    def _state(self, request: _Request, state: str) -> list[Event]:
        name, filled = self._name, request.filled
        return self._send(
            OrderChanged(
                self.now_ns, request.name, name, request.number, state, filled, request.size - filled
            )
        )

    def _end(self, request: _Request, state: str) -> list[Event]:
        del self._requests[_key(request)]
        emitted = self._state(request, state)
        if request.purpose in ("stop", "take") and state == "Filled":
            emitted += self._send(self._stop(request, "fired"))
        if request.purpose == "target":
            aim = self._books.aim(request.number)
            reached = aim.wanted == self._books.held(request.number).size
            emitted += self._aim(request.number, aim.wanted, "reached" if reached else "waiting")
        return emitted

    def _stop(self, request: _Request, state: str) -> StopChanged:
        return StopChanged(
            self.now_ns,
            self._name,
            request.number,
            request.handle,
            request.side,
            request.size,
            request.trigger,
            request.trigger_price,
            state,
            request.limit,
        )

    def _protect(self, request: _Request) -> list[Event]:
        """Let the bracket of an order begin to wait."""
        emitted: list[Event] = []
        profits = 0
        for kind, trigger, size in request.children:
            profits += kind == "tp"
            handle = f"{request.handle}/sl" if kind == "sl" else f"{request.handle}/tp{profits}"
            purpose = "stop" if kind == "sl" else "take"
            stop = _Request(request.number, handle, -request.side, size, 0, kind, trigger, purpose)
            self._requests = {handle: stop, **self._requests}
            emitted += self._send(self._stop(stop, "waiting"))
        request.children = ()
        return emitted

    def _book(
        self, request: _Request, size: int, price: int, fee: int, liquidity: str, *, external: bool = False
    ) -> list[Event]:
        """Book a fill: to 0, then beyond."""
        number, side = request.number, request.side
        before = self._books.held(number).size
        closes = min(size, abs(before)) if before * side < 0 else 0
        emitted: list[Event] = []
        for part, role in ((closes, CLOSE), (size - closes, OPEN)):
            if not part:
                continue
            paid = rescale(fee * part // size, PRICE_SCALE, MONEY_SCALE)
            self._fees += rescale(paid, MONEY_SCALE, LEDGER_SCALE)
            self._flow -= side * rescale(price * part, MONEY_SCALE, LEDGER_SCALE)
            booked = FillBooked(
                self.now_ns,
                self._name,
                number,
                side,
                price,
                part,
                paid,
                0,
                request.name,
                self._count,
                liquidity,
                role,
                request.purpose,
                external,
                handle=request.handle,
            )
            self._books.booked(booked, self._listed[number], LEDGER_SCALE)
            emitted += self._send(booked) + self._moved(booked)
        held = self._books.held(number)
        finer = held.scale - MONEY_SCALE
        position = PositionChanged(
            self.now_ns, self._name, number, held.size, held.cost, 0, 0, finer, external=external
        )
        return emitted + self._send(position)

    def _moved(self, fill: FillBooked) -> list[Event]:
        """Let a target follow a fill that it did not order."""
        aim, after = self._books.aim(fill.instrument), self._books.held(fill.instrument).size
        if aim.wanted is None or fill.purpose == "target":
            return []
        if fill.role == OPEN:
            return self._aim(fill.instrument, aim.wanted + fill.side * fill.size, aim.state)
        capped = max(aim.wanted, after) if fill.side == BUY else min(aim.wanted, after)
        return [] if capped == aim.wanted else self._aim(fill.instrument, capped, "withdrawn")

    def _aim(self, number: int, wanted: int | None, state: str) -> list[Event]:
        held = self._books.held(number).size
        changed = TargetChanged(self.now_ns, self._name, number, wanted, held, 0, state)
        self._books.aimed(changed)
        return self._send(changed)

    def _equity(self) -> EquityMarked:
        cost = value = 0
        for number, held in self._books.holdings.items():
            cost += held.cost
            value += rescale(held.size * self._prices.get(number, 0), MONEY_SCALE, LEDGER_SCALE)
        equity = self._cash + self._flow - self._fees + value
        return EquityMarked(
            self.now_ns, LEDGER_SCALE, self._flow + cost, value - cost, self._fees, equity, start=self._cash
        )

    def _note(self, event: Event) -> None:
        """Keep what the strategy asked for until the test answers it."""
        match event:
            case OrderRequested():
                self._send(event)
                terms = event.terms
                self._requests[terms.handle] = _Request(
                    event.instrument,
                    terms.handle,
                    terms.side,
                    terms.size,
                    terms.limit,
                    terms.trigger,
                    terms.trigger_price,
                    terms.purpose,
                    event.children,
                )
            case StopRequested():
                self._send(event)
                self._requests[event.handle] = _Request(
                    event.instrument,
                    event.handle,
                    event.side,
                    event.size,
                    event.limit_price,
                    event.kind,
                    event.trigger_price,
                    "take" if event.kind == "tp" else "stop",
                )
            case TargetSet():
                self._send(event)
                number = event.instrument
                self._requests.pop(f"target {number}", None)
                missing = event.size - self._books.held(number).size
                if missing and not event.withdrawn:
                    side = BUY if missing > 0 else SELL
                    request = _Request(number, "", side, abs(missing), 0, "", 0, "target")
                    self._requests[_key(request)] = request
                wanted = None if event.withdrawn else event.size
                state = "none" if wanted is None else "working" if missing else "reached"
                self._aim(number, wanted, state)


def _key(request: _Request) -> str:
    return request.handle or f"target {request.number}"


def steps(value: Number) -> int:
    """Return a price or size on the bench's grid. Raises NumberError for an invalid number."""
    return to_grid(str(value) if isinstance(value, float) else value, scale=PRICE_SCALE)
