"""What the venue says the account holds, against the books: positions, differences, adoption.

Owns the comparison. A position is compared with the fills up to its own time. A difference is booked like a
fill from outside, at the mark, and halts the market; a missing fill that comes later takes that booking back.
What fees in base units left of a step of the grid is ours: it is held, is in no book, and is no difference.
A fill in the same millisecond as the reading may be in it or not: then the account is read again first.

A position that is there when a market is read for the first time has no history. It is given to the strategy
that the configuration names, at the venue's entry price; otherwise it is external and the market is halted.
Called by `Books`, which holds the state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from engine.actors.base import Emit, State
from engine.actors.books.allocation import allocate
from engine.actors.books.book import EXTERNAL, FINER
from engine.actors.books.booking import Booking, Correction, Piece
from engine.actors.books.scaling import at_scale, fine_price
from engine.events import FillBooked, OrderFilled, PositionDiffers, PositionRead
from engine.instruments import entry_of, is_among
from engine.values import BUY, SELL, Size, format_scaled, power_of_ten

if TYPE_CHECKING:
    from engine.actors.books.actor import Books

__all__ = ["MS", "RECENT_MAX", "Found", "Readings"]

READ_AGAIN_MAX: Final = 3
"""How often the account is read again before a difference counts."""

RECENT_MAX: Final = 256
"""Upper bound on the bookings of a market that are remembered with their times."""

MS: Final = 1_000_000
"""A venue's clock has milliseconds: what has the same one may have happened in either order."""


class Found(State):
    """A position that was there before the engine and that no strategy took over: signed size and price."""

    size: Size
    price: int
    finer: int


class Readings:
    """See the module."""

    def __init__(self, books: Books) -> None:
        self.b = books

    # What was booked when.

    def note(self, instrument: int, pieces: Sequence[Piece]) -> None:
        """Remember bookings by the venue's time."""
        recent = self.b.recent.setdefault(instrument, [])
        recent += [(piece.venue_ns, piece.owner, piece.side * piece.size) for piece in pieces]
        del recent[:-RECENT_MAX]

    def sizes_at(self, instrument: int, venue_ns: int) -> list[tuple[str, int]]:
        """Return (owner, signed size) of the books as they were at a time of the venue."""
        later: dict[str, int] = {}
        for booked_ns, owner, size in self.b.recent.get(instrument, ()):
            if booked_ns > venue_ns:
                later[owner] = later.get(owner, 0) + size
        return [(owner, size - later.get(owner, 0)) for owner, size in self.b.sizes(instrument)]

    def note_left(self, instrument: int, venue_ns: int, left: int) -> None:
        """Remember by the venue's time what fees in base units changed in what they have left of steps."""
        if left:
            recent = self.b.left.setdefault(instrument, [])
            recent.append((venue_ns, left))
            del recent[:-RECENT_MAX]

    def left_at(self, instrument: int, venue_ns: int) -> int:
        """Return what fees left of steps in all books, as it was at a time of the venue (`Book.left`)."""
        b = self.b
        price_scale = b.instruments[instrument].price_scale
        left = sum(book.left(price_scale) for book in b.books.get(instrument, {}).values())
        return left - sum(later for at_ns, later in b.left.get(instrument, ()) if at_ns > venue_ns)

    # Readings.

    def compare(self, read: PositionRead, emit: Emit) -> None:
        """Compare a position of the venue with the books."""
        b, instrument = self.b, read.instrument
        adopter = self._adopter(instrument)
        if b.purse(b.venue_of(instrument)).starting and adopter:
            self._hand_over(read, adopter, emit)
        own = sum(size for _, size in self.sizes_at(instrument, read.venue_ns))
        missing = self._missing(read, own)
        if read.rest is not None:
            b.shown[instrument] = read.size
        if not missing:
            b.doubts.pop(instrument, None)
        elif self._may_miss_a_fill(read) and b.doubts.get(instrument, 0) < READ_AGAIN_MAX:
            b.doubts[instrument] = b.doubts.get(instrument, 0) + 1
            return  # `AccountRead` follows, and asks for the next reading.
        elif instrument not in b.compared and not any(size for _, size in b.sizes(instrument)):
            self._find(read, adopter, emit)
        else:
            self._follow(read, missing, emit)
        b.compared[instrument] = None

    def _missing(self, read: PositionRead, own: int) -> int:
        """Return the signed size that the venue has and the books, with what fees left, have not."""
        if read.rest is None:
            return read.size - own
        listed = self.b.instruments[read.instrument]
        scale = listed.money_scale + FINER
        unit = power_of_ten(scale - listed.size_scale)
        left = self.left_at(read.instrument, read.venue_ns)
        held = read.size * unit + at_scale(int(read.rest), read.scale, scale)
        # What is left may have been used for a fee or sold by now, but no book is larger than what is there.
        step = listed.size_step
        least = (held - max(0, left)) // (unit * step) * step
        most = (held - min(0, left)) // (unit * step) * step
        return least - own if own < least else min(0, most - own)

    def _may_miss_a_fill(self, read: PositionRead) -> bool:
        """Return whether a fill is so close to the reading that it may be in it or not."""
        return any(
            venue_ns // MS == read.venue_ns // MS for venue_ns, _, _ in self.b.recent.get(read.instrument, ())
        )

    def _follow(self, read: PositionRead, missing: int, emit: Emit) -> None:
        """Book a difference as a fill from outside, and halt the market."""
        b, instrument = self.b, read.instrument
        own = read.size - missing
        b.doubts.pop(instrument, None)
        emit(PositionDiffers(read.recv_ns, instrument, own, read.size))
        scale = b.instruments[instrument].size_scale
        words = (
            f"the position differs: {format_scaled(own, scale)} from the fills, "
            f"{format_scaled(read.size, scale)} at the venue"
        )
        b.halt(read.recv_ns, instrument, words, emit)
        side = BUY if missing > 0 else SELL
        template = self._template(read, side, self._price(read), "position read")
        booking = Booking(b, template, emit)
        owned = allocate(b.sizes(instrument), side, abs(missing), b.instruments[instrument].size_step)
        booking.shares(owned)
        self._note_correction(template, booking)
        b.close_if_flat(booking, owned, instrument)
        self.note(instrument, booking.pieces)
        booking.report("position read", read.size)

    def _note_correction(self, template: FillBooked, booking: Booking) -> None:
        """Remember what was booked in place of fills that are missing."""
        corrections = self.b.corrections.setdefault(template.instrument, [])
        corrections += [
            Correction(
                piece.venue_ns,
                piece.owner,
                piece.side,
                piece.size,
                template.price,
                template.finer,
                piece.gain,
                piece.cost,
                piece.fills,
                piece.net_cost,
                piece.net_fills,
            )
            for piece in booking.pieces
        ]
        del corrections[:-RECENT_MAX]

    def take_back(self, fill: OrderFilled, owner: str, booking: Booking) -> int:
        """Undo what was booked in place of a fill that was missing and comes now.

        Return the venue's time of the newest reading for which it was booked, 0 if nothing was.
        """
        b = self.b
        corrections = b.corrections.get(fill.instrument, [])
        left, newest_ns = fill.size, 0
        # The newest first, and first those in the book that the fill belongs to.
        for own in (True, False):
            for one in reversed(corrections):
                missed = fill.venue_ns // MS < one.venue_ns // MS and one.side == fill.side
                size = min(left, one.size)
                if missed and size and (one.owner == owner) == own:
                    booking.take_back(one, size)
                    left -= size
                    newest_ns = max(newest_ns, one.venue_ns)
        b.corrections[fill.instrument] = [one for one in corrections if one.size]
        return newest_ns

    # Positions that were there before.

    def _find(self, read: PositionRead, adopter: str, emit: Emit) -> None:
        """Book a position without history: to the strategy that takes it over, else as external."""
        b, instrument = self.b, read.instrument
        emit(PositionDiffers(read.recv_ns, instrument, 0, read.size, bool(adopter)))
        price = self._entry(read) or self._price(read)
        if not adopter:
            b.halt(
                read.recv_ns, instrument, "the account already has a position that no strategy adopts", emit
            )
            b.found[instrument] = Found(read.size, *price)
        cause = "adopted" if adopter else "position read"
        template = self._template(read, BUY if read.size > 0 else SELL, price, cause)
        booking = Booking(b, template, emit)
        booking.shares([(adopter or EXTERNAL, abs(read.size))])
        self._note_correction(template, booking)
        self.note(instrument, booking.pieces)
        booking.report(cause, read.size)

    def _hand_over(self, read: PositionRead, adopter: str, emit: Emit) -> None:
        """Give a position that was found earlier, and is external since, to its new owner."""
        b, instrument = self.b, read.instrument
        found = b.found.pop(instrument, None)
        held = b.book(EXTERNAL, instrument).size if found is not None else 0
        if found is None or held * found.size <= 0:
            return
        size = min(abs(held), abs(found.size))
        side = BUY if held > 0 else SELL
        emit(PositionDiffers(read.recv_ns, instrument, b.account(instrument), read.size, True))
        price = (found.price, found.finer)
        closing = Booking(b, self._template(read, -side, price, "adopted"), emit)
        closing.shares([(EXTERNAL, size)])
        opening = Booking(b, self._template(read, side, price, "adopted"), emit)
        opening.shares([(adopter, size)])
        self.note(instrument, [*closing.pieces, *opening.pieces])
        opening.before |= closing.before
        opening.report("adopted", read.size)

    def _adopter(self, instrument: int) -> str:
        """Return the strategy that takes over a position of a market, "" for none."""
        b = self.b
        listed = b.instruments[instrument]
        if not isinstance(b.adopt, bool):
            return entry_of(b.adopt, listed, "")
        traders = [title for title, markets in b.traders if not markets or is_among(listed, markets)]
        return traders[0] if b.adopt and len(traders) == 1 else ""

    # Prices.

    def _price(self, read: PositionRead) -> tuple[int, int]:
        """Return the price of a difference and its decimals: the mark, else the venue's entry price."""
        b, instrument = self.b, read.instrument
        listed = b.instruments[instrument]
        known = b.price(instrument)
        if known is not None:
            return fine_price(*known, listed.price_scale, b.finer(instrument))
        return self._entry(read) or self._cost(instrument)

    def _entry(self, read: PositionRead) -> tuple[int, int] | None:
        listed = self.b.instruments[read.instrument]
        entry = int(read.entry)
        finer = self.b.finer(read.instrument)
        return fine_price(entry, read.scale, listed.price_scale, finer) if entry else None

    def _cost(self, instrument: int) -> tuple[int, int]:
        """Return the average price of what the books hold, where no other price is known."""
        b = self.b
        listed = b.instruments[instrument]
        books = b.books.get(instrument, {}).values()
        held = sum(abs(book.size) for book in books)
        cost = sum(abs(book.cost) for book in books)
        scale = b.scale - listed.size_scale
        return fine_price(cost // held if held else 0, scale, listed.price_scale, b.finer(instrument))

    @staticmethod
    def _template(read: PositionRead, side: int, price: tuple[int, int], cause: str) -> FillBooked:
        return FillBooked(
            read.recv_ns,
            "",
            read.instrument,
            side,
            price[0],
            0,
            0,
            price[1],
            "",
            0,
            "",
            "",
            "own",
            True,
            False,
            cause,
            venue_ns=read.venue_ns,
        )
