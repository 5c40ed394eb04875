"""Books one report of a fill: its parts by owner and by side of 0, then what they changed.

A `Booking` lives within one turn. It emits a `FillBooked` for each part, then `PositionChanged` for each book
it touched, `BookAdjusted` where the fill came from outside, and the equity. Called by `Books`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from msgspec.structs import replace

from engine.actors.base import Emit, State
from engine.actors.books.allocation import portions
from engine.actors.books.book import FINER, Book, Executed, parts
from engine.actors.books.ledger import Ledger
from engine.actors.books.scaling import at_scale
from engine.events import BookAdjusted, FillBooked
from engine.events.terms import CLOSE, OPEN
from engine.values import BUY, SELL, Size, Value, power_of_ten, wide

__all__ = ["Booking", "Correction", "Piece"]

TAKEN_BACK: Final = "taken back"
"""Cause of what undoes a difference, because the fill that was missing is reported."""


class Correction(State):
    """A part of a difference to the venue's position, as it was booked; a missing fill takes it back.

    `size` is what has not been taken back, `gain` and `cost` what it changed in the book, which had `fills`
    bookings after it; `net_cost` and `net_fills` are the same of the account's position. `venue_ns` is the
    time of the reading.
    """

    venue_ns: int
    owner: str
    side: int
    size: Size
    price: int
    finer: int
    gain: int
    cost: int
    fills: int
    net_cost: int = 0
    net_fills: int = 0


class Piece(NamedTuple):
    """What one `FillBooked` changed in a book, and in the cost of the account's position."""

    venue_ns: int
    owner: str
    side: int
    size: int
    gain: int
    cost: int
    fills: int
    net_cost: int
    net_fills: int


class Booking:
    """The booking of one report. `template` is a `FillBooked` without owner, size, fee and role.

    `found` is the account's position before the fill, None if that is not known.
    `left` is what its fees in base units have left of the steps that they took (`Book.left`).
    """

    def __init__(self, ledger: Ledger, template: FillBooked, emit: Emit, *, found: int | None = None) -> None:
        self._ledger = ledger
        self._template = template
        self._emit = emit
        self._found = found
        self._begun: Executed | None = None
        self._listed = ledger.instruments[template.instrument]
        self.before: dict[str, int] = {}
        self._undone: dict[str, None] = {}
        self.pieces: list[Piece] = []
        self.left: Value = 0
        ledger.fit_scale(self._listed.money_scale + template.finer)

    def shares(self, owned: list[tuple[str, int]], fee: int = 0, *, exits: bool = False) -> None:
        """Book (owner, size) shares of the fill, each with its share of the fee.

        `exits`: the order may only close, so what opens is `over`.
        """
        fees = portions(fee, [size for _, size in owned])
        for (owner, size), paid in zip(owned, fees, strict=True):
            self._share(self._template, owner, size, paid, exits)

    def flatten(self) -> None:
        """Close every book of the market against the others, without fee: the account is flat."""
        flat = replace(self._template, cause="flat", client_order_id="", external=True, fee_asset="")
        for owner, held in self._ledger.sizes(flat.instrument):
            if held:
                self._share(replace(flat, side=SELL if held > 0 else BUY), owner, abs(held), 0, False)

    def take_back(self, correction: Correction, size: int) -> None:
        """Undo a part of a difference that was booked: exactly, if its book has not changed since."""
        side = -correction.side
        undone = replace(
            self._template,
            side=side,
            price=correction.price,
            finer=correction.finer,
            client_order_id="",
            trade_id=0,
            liquidity="",
            purpose="own",
            handle="",
            external=True,
            cause=TAKEN_BACK,
            fee_asset="",
            venue_ns=correction.venue_ns,
        )
        self._undone[correction.owner] = None
        book = self._book(correction.owner)
        if book.fills != correction.fills:
            self._share(undone, correction.owner, size, 0, False)
        else:
            gain = correction.gain * size // correction.size
            cost = correction.cost * size // correction.size
            role = CLOSE if book.size * side < 0 else OPEN
            book.size += side * size
            book.realized -= gain
            book.cost -= cost
            correction.gain -= gain
            correction.cost -= cost
            if size == correction.size:
                book.fills -= 1  # as if it had never been booked: an earlier part can be undone exactly too
            net_cost = self._undo_net(correction, size)
            net_fills = self._ledger.net(undone.instrument).fills
            changed = (-gain, -cost, book.fills, net_cost, net_fills)
            self.pieces.append(Piece(undone.venue_ns, correction.owner, side, size, *changed))
            self._emit(replace(undone, owner=correction.owner, size=size, role=role))
        correction.size -= size

    def _undo_net(self, correction: Correction, size: int) -> int:
        """Undo a part of a difference in the account's position; return what that changed in its cost.

        One that is not among the latest executions any more, or was booked by an earlier version, is undone
        by the same rule as in its book.
        """
        net = self._ledger.net(self._template.instrument)
        before, side, venue_ns = net.cost, correction.side, correction.venue_ns
        value = size * correction.price * self._unit(correction.finer)
        if net.take_back(venue_ns, side, size, value):
            return net.cost - before
        if net.fills != correction.net_fills:
            net.fill(venue_ns, -side, size, value, self._ledger.executions_kept)
            return net.cost - before
        cost = correction.net_cost * size // correction.size
        net.size -= correction.side * size
        net.cost -= cost
        correction.net_cost -= cost
        if size == correction.size:
            net.fills -= 1
        return -cost

    def report(self, reason: str = "", venue: int | None = None) -> None:
        """Emit what the booking changed. With a `reason` it came from outside; `venue` is the size there."""
        ledger, template = self._ledger, self._template
        at_ns, instrument = template.at_ns, template.instrument
        account = ledger.account(instrument)
        for owner in self.before:
            external = bool(reason) or owner in self._undone
            self._emit(ledger.changed(at_ns, owner, instrument, external=external))
        for owner, before in self.before.items():
            why = reason or (TAKEN_BACK if owner in self._undone else "")
            after = ledger.book(owner, instrument).size
            if why and after != before:
                self._emit(
                    BookAdjusted(
                        at_ns,
                        owner,
                        instrument,
                        before,
                        after,
                        account,
                        account if venue is None else venue,
                        why,
                    )
                )
        ledger.mark(at_ns, self._emit)

    def _unit(self, finer: int) -> int:
        """Return how much money one step of size at a price of 1 is."""
        return power_of_ten(self._ledger.scale - self._listed.money_scale - finer)

    def _book(self, owner: str) -> Book:
        book = self._ledger.book(owner, self._template.instrument)
        self.before.setdefault(owner, book.size)
        return book

    def _share(self, fill: FillBooked, owner: str, size: int, fee: int, exits: bool) -> None:
        """Book a share, in two parts if it crosses 0."""
        book = self._book(owner)
        unit = self._unit(fill.finer)
        pieces = parts(book.size, fill.side, size)
        fees = portions(fee, [piece.size for piece in pieces])
        for piece, paid in zip(pieces, fees, strict=True):
            self._part(fill, owner, book, piece.size, unit)
            taken = self._pay(fill, book, paid, unit)
            self._emit(
                replace(
                    fill,
                    owner=owner,
                    size=piece.size,
                    fee=wide(paid),
                    role=OPEN if piece.opens else CLOSE,
                    over=exits and piece.opens,
                )
            )
            if taken:
                self._take(fill, owner, book, taken, unit)

    def _part(self, fill: FillBooked, owner: str, book: Book, size: int, unit: int) -> None:
        net = self._ledger.net(fill.instrument)
        realized, cost, net_cost = book.realized, book.cost, net.cost
        value = size * fill.price * unit
        book.fill(fill.side, size, value)
        if fill.cause != TAKEN_BACK or not net.take_back(fill.venue_ns, -fill.side, size, value):
            kept = self._ledger.executions_kept
            if self._found is None or fill.cause in (TAKEN_BACK, "flat", "fee"):
                net.fill(fill.venue_ns, fill.side, size, value, kept)
            else:
                self._begun = net.fill(fill.venue_ns, fill.side, size, value, kept, self._found, self._begun)
        gain, cost, net_cost = book.realized - realized, book.cost - cost, net.cost - net_cost
        changed = (gain, cost, book.fills, net_cost, net.fills)
        self.pieces.append(Piece(fill.venue_ns, owner, fill.side, size, *changed))

    def _pay(self, fill: FillBooked, book: Book, fee: int, unit: int) -> int:
        """Book a fee in its asset; return the size that a fee in base units takes from the book."""
        asset, rules, ledger = fill.fee_asset, self._listed.rules, self._ledger
        if asset in ("", rules.quote or ledger.currency):
            book.fees += fee * unit
            return 0
        if self._listed.kind != "spot" or asset != (rules.base or self._listed.name.partition("/")[0]):
            ledger.other(asset, ledger.venue_of(fill.instrument)).fees += fee * unit
            return 0
        # What is left of the last step of the grid stays with the account, and counts for the next fee.
        scale, step = self._listed.money_scale, self._listed.size_step
        paid = at_scale(fee, scale + fill.finer, scale + FINER, up=True)
        book.base_fees += paid
        self.left -= paid
        due = at_scale(book.base_fees, scale + FINER, self._listed.size_scale, up=True)
        return max(0, min(-(-due // step) * step - book.base_taken, book.size))

    def _take(self, fill: FillBooked, owner: str, book: Book, size: int, unit: int) -> None:
        """Take a fee in base units from the book: its value at the fill's price is the fee."""
        fee = size * fill.price
        taken = replace(
            fill, side=SELL, client_order_id="", trade_id=0, liquidity="", fee_asset="", cause="fee"
        )
        self._part(taken, owner, book, size, unit)
        book.fees += fee * unit
        book.base_taken += size
        self.left += size * power_of_ten(self._listed.price_scale + FINER)
        self._emit(replace(taken, owner=owner, size=size, fee=wide(fee), role=CLOSE))
