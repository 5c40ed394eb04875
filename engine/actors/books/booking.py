"""Books one report of a fill: its parts by owner and by side of 0, then what they changed.

A `Booking` lives within one turn. It emits a `FillBooked` for each part, then `PositionChanged` for each book
it touched, `BookAdjusted` where the fill came from outside, and the equity. Called by `Books`.
"""

from __future__ import annotations

import msgspec

from engine.actors.base import Emit
from engine.actors.books.allocation import portions
from engine.actors.books.book import EXTERNAL, MANUAL, parts
from engine.actors.books.ledger import Ledger
from engine.events import BookAdjusted, FillBooked
from engine.events.terms import CLOSE, OPEN
from engine.values import power_of_ten, wide

__all__ = ["Booking"]


class Booking:
    """The booking of one report. `template` is a `FillBooked` without owner, size, fee and role."""

    def __init__(self, ledger: Ledger, template: FillBooked, emit: Emit) -> None:
        self._ledger = ledger
        self._template = template
        self._emit = emit
        self.touched: dict[str, int] = {}

    def shares(self, owned: list[tuple[str, int]], fee: int, *, exits: bool = False) -> None:
        """Book (owner, size) shares of the fill, each with its share of the fee.

        `exits`: the order may only close, so what opens is `over`.
        """
        fees = portions(fee, [size for _, size in owned])
        for (owner, size), paid in zip(owned, fees, strict=True):
            self._share(owner, size, paid, exits)

    def flatten(self) -> None:
        """Close every book of a market against the others, without fee: the account is flat."""
        self._template = msgspec.structs.replace(
            self._template, cause="flat", client_order_id="", external=True
        )
        for owner, held in self._ledger.sizes(self._template.instrument):
            if held:
                self._template = msgspec.structs.replace(self._template, side=-1 if held > 0 else 1)
                self._share(owner, abs(held), 0, False)

    @property
    def of_strategies(self) -> bool:
        """Whether a book of a strategy was touched."""
        return any(owner not in (MANUAL, EXTERNAL) for owner in self.touched)

    def report(self, reason: str = "", venue: int | None = None) -> None:
        """Emit what the booking changed. With a `reason` it came from outside."""
        ledger, template = self._ledger, self._template
        at_ns, instrument = template.at_ns, template.instrument
        account = ledger.account(instrument)
        for owner in self.touched:
            self._emit(ledger.changed(at_ns, owner, instrument, external=bool(reason)))
        for owner, before in self.touched.items() if reason else ():
            after = ledger.book(owner, instrument).size
            self._emit(
                BookAdjusted(
                    at_ns,
                    owner,
                    instrument,
                    before,
                    after,
                    account,
                    account if venue is None else venue,
                    reason,
                )
            )
        ledger.mark(at_ns, self._emit)

    def _share(self, owner: str, size: int, fee: int, exits: bool) -> None:
        ledger, template = self._ledger, self._template
        book = ledger.book(owner, template.instrument)
        self.touched.setdefault(owner, book.size)
        scale = ledger.instruments[template.instrument].money_scale + template.finer
        ledger.fit_scale(scale)
        unit = power_of_ten(ledger.scale - scale)
        pieces = parts(book.size, template.side, size)
        fees = portions(fee, [piece.size for piece in pieces])
        for piece, paid in zip(pieces, fees, strict=True):
            book.fill(template.side, piece.size, piece.size * template.price * unit)
            book.fees += paid * unit
            self._emit(
                msgspec.structs.replace(
                    template,
                    owner=owner,
                    size=piece.size,
                    fee=wide(paid),
                    role=OPEN if piece.opens else CLOSE,
                    over=exits and piece.opens,
                )
            )
